"""What is wrong with the way to SendGrid and back, each with its fix."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeroom import Finding, Health
from homeroom_sendgrid import suppressions
from homeroom_sendgrid.client import Client, Unread
from homeroom_sendgrid.settings import SendGridSettings
from homeroom_sendgrid.signature import public_key

SEND = "mail.send"
READ_WEBHOOK = "user.webhooks.event.settings.read"
READ_DOMAINS = "whitelabel.read"
READ_GROUPS = ("asm.groups.read", "asm.groups.suppressions.read")

EVENTS = (
    "processed",
    "deferred",
    "delivered",
    "bounce",
    "dropped",
    "spam_report",
    "unsubscribe",
    "group_unsubscribe",
    "group_resubscribe",
)
"""What the event webhook is to tell, by the names of its settings."""

_DEADLINE = 2.5  # seconds; the hook has three
_DELIVERY = frozenset(EVENTS[:5])
_GROUP_EVENTS = frozenset({"group_unsubscribe", "group_resubscribe"})


@dataclass(frozen=True, slots=True)
class _Found:
    """A finding, and whether it keeps families from being told, or us from knowing."""

    finding: Finding
    stops: bool = True


async def look(client: Client, settings: SendGridSettings, address: str | None) -> Health:
    """How things stand. `address` is where SendGrid's events come in, as the world sees it."""
    found = [*_without_asking(settings, address)]
    try:
        async with asyncio.timeout(_DEADLINE):
            found += await _asked(client, settings, address)
    except TimeoutError:
        found.append(_found("SendGrid does not answer in time.", "Try again later."))
    except Unread as exc:
        found.append(_unread(exc))
    ok = not any(one.stops for one in found)
    detail = "" if ok else next(one.finding.problem for one in found if one.stops)
    return Health(ok=ok, detail=detail, findings=tuple(one.finding for one in found))


def _without_asking(settings: SendGridSettings, address: str | None) -> Iterator[_Found]:
    if settings.webhook_public_key is None:
        yield _found(
            "No webhook_public_key is set, so SendGrid's events are refused and nobody learns what became of a mail.",
            "Switch on signature verification at SendGrid's event webhook and copy the verification key from there.",
        )
    if address is None:
        yield _found("PUBLIC_BASE_URL is not set, so SendGrid cannot reach this server.", "Set it, then the webhook.")
    if settings.sandbox:
        yield _found("The sandbox is on: SendGrid checks mails and sends none.", "Set sandbox = false.", stops=False)


async def _asked(client: Client, settings: SendGridSettings, address: str | None) -> list[_Found]:
    told = await client.get("/v3/scopes")
    listed = told.get("scopes") if isinstance(told, Mapping) else None
    if not isinstance(listed, list):
        return [_found("SendGrid does not say what the API key may do.", "Check base_url.")]
    scopes = frozenset(one for one in listed if isinstance(one, str))
    found = [*_lacking(scopes, settings)]
    webhook, domains = await asyncio.gather(
        _if_allowed(client, "/v3/user/webhooks/event/settings/all", READ_WEBHOOK in scopes),
        _if_allowed(client, "/v3/whitelabel/domains", READ_DOMAINS in scopes),
    )
    listed = webhook.get("webhooks") if isinstance(webhook, Mapping) else None
    if isinstance(listed, list) and address is not None:
        found += _webhook([one for one in listed if isinstance(one, Mapping)], settings, address)
    if isinstance(domains, list):
        found += _sender([one for one in domains if isinstance(one, Mapping)], settings)
    return found


async def _if_allowed(client: Client, path: str, allowed: bool) -> Any:  # noqa: FBT001 - a yes or no of the caller's
    """What is kept at `path`, or None where the key may not look or cannot."""
    try:
        return await client.get(path) if allowed else None
    except Unread:
        return None


def _lacking(scopes: frozenset[str], settings: SendGridSettings) -> Iterator[_Found]:
    if SEND not in scopes:
        yield _found("The API key may not send mails.", "Give it Mail Send in SendGrid (Settings > API Keys).")
    first, *others = suppressions.RIGHTS
    groups = settings.asm_group_id is None or any(one in scopes for one in READ_GROUPS)
    if not groups or (first not in scopes and not scopes.issuperset(others)):
        yield _found(
            "The API key may not read every suppression, so an address that left while events were lost is not seen.",
            "Give it read access to Suppressions" + ("." if groups else " and Unsubscribe Groups."),
            stops=False,
        )
    if READ_WEBHOOK not in scopes:
        yield _found(
            "The API key may not read the event webhook's settings, so they were not compared.",
            "Give it read access to Mail Settings > Event Notification, or compare them as docs/sendgrid.md says.",
            stops=False,
        )


def _webhook(webhooks: Sequence[Mapping[str, Any]], settings: SendGridSettings, address: str) -> Iterator[_Found]:
    ours = next((one for one in webhooks if str(one.get("url", "")).rstrip("/") == address), None)
    if ours is None or ours.get("enabled") is not True:
        what = "No event webhook of SendGrid calls this server." if ours is None else "SendGrid's event webhook is off."
        yield _found(what, f"In SendGrid, under Settings > Mail Settings > Event Webhooks, enable one for {address}")
        return
    shown = ours.get("public_key")
    if not isinstance(shown, str) or not shown:
        yield _found(
            "SendGrid does not sign its events.", "Switch on Signed Event Webhook there and copy its verification key."
        )
    elif settings.webhook_public_key is not None and not _same(shown, settings.webhook_public_key):
        yield _found(
            "SendGrid signs its events with another key than webhook_public_key.",
            "Copy the verification key from SendGrid; put the old one among previous_webhook_public_keys for a day.",
        )
    wanted = [one for one in EVENTS if settings.asm_group_id is not None or one not in _GROUP_EVENTS]
    if silent := [one for one in wanted if ours.get(one) is not True]:
        problem = f"SendGrid does not tell of: {', '.join(silent)}."
        yield _found(problem, "Tick these events at the event webhook.", stops=not _DELIVERY.isdisjoint(silent))


def _sender(domains: Sequence[Mapping[str, Any]], settings: SendGridSettings) -> Iterator[_Found]:
    ours = settings.from_email.rpartition("@")[2].lower()
    valid = {str(one.get("domain", "")).lower() for one in domains if one.get("valid") is True}
    if ours not in valid:
        yield _found(
            "The domain of from_email is not authenticated at SendGrid; mails may be refused or taken for spam.",
            "Authenticate it under Settings > Sender Authentication, or verify from_email there as a single sender.",
            stops=False,
        )


def _same(one: str, other: str) -> bool:
    try:
        return public_key(one) == public_key(other)
    except ValueError:
        return False


def _unread(exc: Unread) -> _Found:
    if exc.status in (401, 403):
        return _found("SendGrid does not accept the API key.", "Make a new one in SendGrid and set it as api_key.")
    return _found(f"{exc}.", "Check base_url and the way to SendGrid, or try again later.")


def _found(problem: str, fix: str, *, stops: bool = True) -> _Found:
    return _Found(finding=Finding(problem=problem, fix=fix), stops=stops)
