"""OneRoster as Infinite Campus serves it.

Its `Link` headers cannot be trusted (`last` is the current page, `next` may go round, addresses hold `?&`), and are
not: pages are gone through by the rows that come. What is Campus's own is the change of everybody's id from 1.1 to 1.2.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Literal

from homeroom import Finding, Noun, Page, Pull, SisHttp, SourceError, VendorError
from homeroom_infinite_campus.bridge import Bridge, legacy_id
from homeroom_oneroster import RestConnector
from homeroom_oneroster.rest import Version
from homeroom_oneroster.walk import Answer, Position, walk

_PEOPLE = "users"
_SAMPLE = 20


class CampusRoster(RestConnector):
    """Reads rosters from Campus. With `ids` "legacy" people keep the ids that they had in OneRoster 1.1.

    That takes reading everybody once more before people and enrollments, since these name people by new ids.
    """

    def __init__(
        self,
        http: SisHttp,
        *,
        version: Version = "1.2",
        page_size: int = 1000,
        end_dates: Literal["exclusive", "inclusive"] = "exclusive",
        ids: Literal["own", "legacy"] = "own",
        has_app_name: bool = True,
    ) -> None:
        super().__init__(http, version=version, page_size=page_size, end_dates=end_dates)
        self._ids = ids
        self._has_app_name = has_app_name
        self._bridge: Bridge | None = None

    async def check(self) -> Sequence[Finding]:
        """What is wrong with each collection; and with ids "legacy", whether Campus tells the ids of 1.1."""
        found = list(await super().check())
        if found and not self._has_app_name:
            fix = "Copy the token URL from the connection's page whole: it ends in ?appName=…"
            found.append(Finding(problem="token_url names no appName.", fix=fix))
        if not found and self._ids == "legacy":
            rows = await self.sample(_PEOPLE, _SAMPLE)
            if not any(legacy_id(row) for row in rows if isinstance(row, dict)):
                found.append(
                    Finding(
                        problem="Campus does not tell which ids people had in OneRoster 1.1.",
                        fix="Ask Infinite Campus's support for metadata.ic.legacySourceId before the next run, "
                        "or everybody would come in as new.",
                    )
                )
        return found

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """Read one noun page by page. Raises SourceError when Campus cannot be read."""
        is_bridged = self._ids == "legacy" and pull.noun in ("user", "enrollment")
        self._bridge = await self._bridged() if is_bridged else None
        pages = super().pull(pull)
        try:
            async for page in pages:
                yield page
        finally:
            if isinstance(pages, AsyncGenerator):
                await pages.aclose()
            self._bridge = None

    def prepare(self, noun: Noun, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the ids of 1.1 where people are named, itself or others."""
        bridge = self._bridge
        if bridge is None:
            return row
        if noun == "user":
            row = {**row, "sourcedId": bridge[row.get("sourcedId")]}
            if isinstance(row.get("agents"), list):
                row["agents"] = [_renamed(agent, bridge) for agent in row["agents"]]
        elif noun == "enrollment":
            row = {**row, "user": _renamed(row.get("user"), bridge)}
        return row

    async def _bridged(self) -> Bridge:
        """Everybody's ids in 1.1. Raises SourceError when not everybody's can be read: some would come in as new."""
        bridge = Bridge()
        is_whole = False
        async for sheet in walk(self._people, Position()):
            bridge.add(sheet.rows)
            is_whole = sheet.doubt is None and sheet.total in (None, sheet.position.seen)
        if not is_whole:
            raise SourceError("not everybody's ids could be read", retry=True)
        bridge.complete()
        return bridge

    async def _people(self, offset: int) -> Answer:
        try:
            answer, _ = await self.ask(_PEOPLE, offset, None, filtered=False)
        except VendorError as exc:
            words = f"/{_PEOPLE}: {exc}"
            raise SourceError(words, retry=exc.retry, retry_after=exc.retry_after, fix=exc.fix) from None
        return answer


def _renamed(reference: Any, bridge: Bridge) -> Any:
    if not isinstance(reference, dict):
        return reference
    return {**reference, "sourcedId": bridge[reference.get("sourcedId")]}
