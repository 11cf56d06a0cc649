"""The addresses that SendGrid has stopped sending to, read back list by list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta

from homeroom import AddressNews, Suppressions
from homeroom_sendgrid.client import Client, Unread
from homeroom_sendgrid.events import CHANNEL, News
from homeroom_sendgrid.settings import is_address

LISTS: Mapping[str, News] = {
    "bounces": "unreachable",
    "invalid_emails": "unreachable",
    "spam_reports": "opted_out",
    "unsubscribes": "opted_out",
}
"""What it means to stand in a list. Blocks are left out: SendGrid goes on sending to those."""

GROUPS = "/v3/asm/suppressions"

RIGHTS = ("suppression.read", *(f"suppression.{name}.read" for name in LISTS))
"""What lets a key read them: the first, or all the others."""

_OVERLAP = timedelta(hours=1)  # a row may appear late, and our clock may be ahead; to hear twice changes nothing


async def read(client: Client, since: datetime | None, until: datetime, group: int | None) -> Suppressions:
    """What SendGrid entered from `since` (None: ever) to `until`. Raises Unread, with a text for the administrator."""
    start = int((since - _OVERLAP).timestamp()) if since is not None else 0
    found: dict[AddressNews, None] = {}
    try:
        for name, news in LISTS.items():
            async for row in _listed(client, name, start, until):
                found.update(dict.fromkeys(_news(row.get("email"), news)))
        if group is not None:
            async for row in _left(client, group, start):
                found.update(dict.fromkeys(_news(row.get("email"), "opted_out")))
    except Unread as exc:
        if exc.status in (401, 403):
            raise Unread("the API key may not read suppressions: give it that right in SendGrid") from None
        raise
    return Suppressions(items=tuple(found), until=until)


async def _listed(client: Client, name: str, start: int, until: datetime) -> AsyncIterator[Mapping[str, object]]:
    """The rows of one list. An end in time keeps rows that come meanwhile from moving the pages."""
    params = {"end_time": int(until.timestamp()), **({"start_time": start} if start else {})}
    async for row in client.rows(f"/v3/suppression/{name}", params):
        if isinstance(row, Mapping):
            yield row


async def _left(client: Client, group: int, start: int) -> AsyncIterator[Mapping[str, object]]:
    """Who has left our unsubscribe group; SendGrid gives this list whole."""
    rows = await client.get(GROUPS)
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, Mapping) and row.get("group_id") == group:
            at = row.get("created_at")
            if not isinstance(at, int) or at >= start:
                yield row


def _news(address: object, news: News) -> tuple[AddressNews, ...]:
    if isinstance(address, str) and is_address(address.strip()):
        return (AddressNews(channel=CHANNEL, address=address.strip(), news=news),)
    return ()
