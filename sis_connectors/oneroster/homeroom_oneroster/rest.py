"""OneRoster over REST, 1.2 and 1.1: what every provider of it has in common, with hooks for what each does otherwise.

    connector = RestConnector(SisHttp(services, base_url, token=ClientCredentials(...)), version="1.2")

A vendor with quirks of its own subclasses it: `prepare` may change a row before it is read, `query` what is asked for.
How pages are gone through is in `walk`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

from homeroom import (
    NOUNS,
    Finding,
    Noun,
    OutgoingMark,
    Page,
    Pull,
    Pushed,
    Record,
    RowError,
    SisHttp,
    VendorError,
    closing,
    one_ahead,
)
from homeroom_oneroster import rows
from homeroom_oneroster.asking import SMALL, Place, Wish, answer_of, ever_less
from homeroom_oneroster.births import Births
from homeroom_oneroster.facts import BadField, JsonRow
from homeroom_oneroster.people import Birth, person
from homeroom_oneroster.walk import Answer, Position, Sheet, walk

Version = Literal["1.1", "1.2"]

COLLECTIONS: dict[Noun, str] = {
    "org": "orgs",
    "academicSession": "academicSessions",
    "course": "courses",
    "class": "classes",
    "user": "users",
    "enrollment": "enrollments",
}
"""Where each noun is, and the name in which an answer wraps it."""

DEMOGRAPHICS = "demographics"

_READING: dict[Noun, rows.Reading] = {
    "org": rows.org,
    "academicSession": rows.academic_session,
    "course": rows.course,
    "class": rows.class_,
    "enrollment": rows.enrollment,
}
_REFUSED = (400, 422)
_UNTOLD = Birth(told=False)
_UNAUTHORIZED = 401
_NOT_OURS = (401, 403, 404)
_NOT_SHARED = (403, 404)
_GIVE_UP = 3  # people who cannot be read one after another
_MAY_LACK: tuple[Noun, ...] = ("academicSession", "course")  # what a provider may keep from us; `check` says so


class RestConnector:
    """Reads rosters from a OneRoster server. `paths` names collections that are elsewhere than at `/NAME`.

    `page_size` is how many rows are asked for; a server may give fewer. With `end_dates` "inclusive" an end date is
    the last day, where OneRoster means the day after it.
    """

    nouns: tuple[Noun, ...] = NOUNS
    attendance_out: Literal["api", "file", "none"] = "none"
    attendance_level: Literal["class", "day"] = "class"

    def __init__(
        self,
        http: SisHttp,
        *,
        version: Version = "1.2",
        paths: Mapping[str, str] | None = None,
        page_size: int = 1000,
        end_dates: Literal["exclusive", "inclusive"] = "exclusive",
    ) -> None:
        self.http = http
        self.version = version
        self._paths = dict(paths or {})
        self._wish = Wish(limit=page_size)
        self._later = 1 if end_dates == "inclusive" else 0
        self._knows_the_time = False

    def prepare(self, noun: Noun, row: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """The row as OneRoster means it; a vendor that means something else by it changes it here, ids included."""
        return row

    def query(self, wish: Wish, offset: int, since: str | None) -> dict[str, str | int]:
        """The parameters of a request; `since` is by the server's clock."""
        asked: dict[str, str | int] = {"limit": wish.limit, "offset": offset}
        if wish.sort:
            asked |= {"sort": "sourcedId", "orderBy": "asc"}
        if since is not None and wish.filtered:
            asked["filter"] = f"dateLastModified>'{since}'"
        return asked

    def path(self, collection: str) -> str:
        """Where a collection is, below the base URL."""
        return self._paths.get(collection, f"/{collection}")

    async def check(self) -> Sequence[Finding]:
        """Try every collection: which cannot be read, or lacks what is needed, and what to do."""
        from homeroom_oneroster.checks import findings

        return await findings(self)

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """Read one noun page by page. Raises SourceError when the server cannot be read.

        Of terms or courses that are not shared with us nothing is told, and the rest goes on.
        """
        births: Births | None = None
        has_begun = pull.cursor is not None
        try:
            since = await self._by_its_clock(pull.since)
            place = Place.read(pull.cursor) if pull.cursor else Place(filtered=since is not None)
            births = await self._births(since) if pull.noun == "user" else None
            asking = _Asking(self, COLLECTIONS[pull.noun], since, filtered=place.filtered)
            async with closing(one_ahead(asking.sheets(place.position))) as sheets:
                async for sheet, filtered in sheets:
                    place = place.next(sheet.position, filtered=filtered)
                    read = partial(self._page, pull.noun, sheet, births)
                    page = await asyncio.to_thread(read)
                    has_begun = True
                    yield replace(page, cursor=place.text(), whole=not filtered)
            if births is not None and births.changes:
                async for page in self._newly_born(births):
                    place = place.next(place.position, filtered=asking.filtered)
                    yield replace(page, cursor=place.text())
        except VendorError as exc:
            if not has_begun and pull.noun in _MAY_LACK and exc.status in _NOT_SHARED and not exc.signing_in:
                yield Page(records=(), delta=True)  # nobody told us of them: they are not gone
                return
            raise _named(exc, self.path(COLLECTIONS[pull.noun])) from None
        finally:
            if births is not None:
                births.close()

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        """OneRoster has nowhere to write attendance to, neither in 1.1 nor in 1.2."""
        return [Pushed(key=mark.key, error="OneRoster takes no attendance") for mark in marks]

    async def ask(self, collection: str, offset: int, since: str | None, *, filtered: bool) -> tuple[Answer, Wish]:
        """The rows of a collection from a number on, and how they were asked for.

        A server that refuses the order, the size or the filter is asked without. Raises SourceError.
        """
        wish = replace(self._wish, filtered=filtered)
        refused: VendorError | None = None
        for one in ever_less(wish, may_read_all=offset == 0):
            try:
                reply = await self.http.get(self.path(collection), self.query(one, offset, since))
            except VendorError as exc:
                if exc.status not in _REFUSED or exc.signing_in:
                    raise
                refused = refused or exc
            else:
                self._wish = replace(one, filtered=False)
                self._knows_the_time = True
                answer = answer_of(reply, collection)
                return replace(answer, full=len(answer.rows) >= min(one.limit, SMALL)), one
        assert refused is not None  # noqa: S101 - there is at least one wish
        raise refused

    async def sample(self, collection: str, count: int) -> Sequence[Any]:
        """The first rows of a collection, as they come. Raises SourceError."""
        reply = await self.http.get(self.path(collection), self.query(Wish(limit=count, sort=False), 0, None))
        return answer_of(reply, collection).rows

    async def _by_its_clock(self, since: datetime | None) -> str | None:
        """A moment of ours as the server's clock has it, in the form that filters take."""
        if since is None:
            return None
        if not self._knows_the_time:
            await self.sample(COLLECTIONS["org"], 1)
        there = (since + self.http.skew).astimezone(UTC)
        return there.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _page(self, noun: Noun, sheet: Sheet, births: Births | None) -> Page:
        """The records of a sheet; what cannot be read is told by its place."""
        path = self.path(COLLECTIONS[noun])
        known = births.take(_ids(sheet.rows)) if births is not None else {}
        records: list[Record] = []
        places: list[str] = []
        errors: list[RowError] = []
        for number, raw in enumerate(sheet.rows):
            where = f"{path}?offset={sheet.first}, row {number + 1}"
            if not isinstance(raw, dict):
                errors.append(RowError(noun=noun, where=where, reason="this is not an object"))
                continue
            birth = known.get(JsonRow(raw, where).id or "", _UNTOLD)
            row = JsonRow(self.prepare(noun, raw), where)
            try:
                record, problems = _record(noun, row, birth, self._later)
            except BadField as exc:
                errors.append(_error(noun, where, exc, sourced_id=row.id))
                continue
            records.append(record)
            places.append(where)
            errors += [_error(noun, where, exc, part=True) for exc in problems]
        if sheet.doubt:
            errors.append(RowError(noun=noun, where=f"{path}?offset={sheet.first}", reason=sheet.doubt))
        return Page(records=records, places=places, errors=errors, total=sheet.total)

    async def _births(self, since: str | None) -> Births | None:
        """The birth dates that may be read, None when none may."""
        births = Births()
        asking = _Asking(self, DEMOGRAPHICS, since, filtered=since is not None)
        try:
            async for sheet in walk(asking.rows, Position()):
                await asyncio.to_thread(births.read, sheet.rows)
                births.changes = asking.filtered
                is_all = sheet.doubt is None and sheet.total in (None, sheet.position.seen)
                births.whole = is_all and not asking.filtered
        except VendorError as exc:
            births.close()
            if exc.status in _NOT_OURS and not exc.signing_in:
                return None
            raise
        except BaseException:
            births.close()
            raise
        return births

    async def _newly_born(self, births: Births) -> AsyncIterator[Page]:
        """The people whose birth date has changed and nothing else, each read whole.

        One who cannot be read is told of, and the others go on; of several in a row it is raised.
        """
        failed = 0
        while people := births.left(1):
            path = f"{self.path(COLLECTIONS['user'])}/{quote(people[0], safe='')}"
            try:
                reply = await self.http.get(path, accept=(404,))
            except VendorError as exc:
                failed += 1
                if exc.of_all or exc.status == _UNAUTHORIZED or failed == _GIVE_UP:
                    raise
                reason = f"the birth date has changed, and the person cannot be read: {exc}"
                error = RowError(noun="user", where=path, reason=reason, sourced_id=people[0], part=True)
                births.take(people)
                yield Page(records=(), errors=(error,))
                continue
            failed = 0
            row = reply.data.get("user") if reply.status != 404 and isinstance(reply.data, dict) else None  # noqa: PLR2004
            if isinstance(row, dict):
                sheet = Sheet(rows=[row], first=0, position=Position())
                yield self._page("user", sheet, births)
            births.take(people)


class _Asking:
    """Asks for one collection, and remembers whether the server takes the filter."""

    def __init__(self, connector: RestConnector, collection: str, since: str | None, *, filtered: bool) -> None:
        self._connector = connector
        self._collection = collection
        self._since = since
        self.filtered = filtered

    async def sheets(self, position: Position) -> AsyncIterator[tuple[Sheet, bool]]:
        """Each sheet from `position` on, and whether it was asked for with the filter."""
        async for sheet in walk(self.rows, position):
            yield sheet, self.filtered

    async def rows(self, offset: int) -> Answer:
        """The rows from a number on."""
        answer, wish = await self._connector.ask(self._collection, offset, self._since, filtered=self.filtered)
        self.filtered = wish.filtered
        return answer


def _ids(found: Sequence[Any]) -> list[str]:
    return [known for row in found if isinstance(row, dict) and (known := JsonRow(row, "").id)]


def _record(noun: Noun, row: JsonRow, birth: Birth, later: int) -> tuple[Record, Sequence[BadField]]:
    return person(row, birth, later) if noun == "user" else (_READING[noun](row, later), ())


def _error(noun: Noun, where: str, exc: BadField, *, sourced_id: str | None = None, part: bool = False) -> RowError:
    return RowError(noun=noun, where=where, reason=str(exc), field=exc.column, sourced_id=sourced_id, part=part)


def _named(exc: VendorError, path: str) -> VendorError:
    """The error with the collection that it is about; a refused sign-in is about none."""
    if exc.signing_in:
        return exc
    return VendorError(
        f"{path}: {exc}",
        status=exc.status,
        data=exc.data,
        retry=exc.retry,
        retry_after=exc.retry_after,
        fix=exc.fix,
    )
