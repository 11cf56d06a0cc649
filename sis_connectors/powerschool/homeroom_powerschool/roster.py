"""Rosters in: each noun from one or more collections, read by the plugin's queries, or by REST where they are missing.

A cursor is `collection:way:place:read`: which collection, by query (`q`) or REST (`r`), how far, how many rows so far.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from homeroom import Noun, Page, Pull, Record, RowError, SourceError, User
from homeroom_powerschool import ids, places, queries, quirks
from homeroom_powerschool.client import Client, NotInstalled
from homeroom_powerschool.columns import fields_of
from homeroom_powerschool.frame import Frame
from homeroom_powerschool.people import People
from homeroom_powerschool.queries import Query
from homeroom_powerschool.quirks import Row, Unreadable
from homeroom_powerschool.rest import Rest
from homeroom_powerschool.settings import PowerSchoolSettings

END = "end"
_BIRTH = "birth_date"

Make = Callable[[Row], Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Collection:
    """One kind of row. Without a `query` it is a table; `prefix` is that of its sourced ids."""

    name: str
    noun: Noun
    prefix: str
    make: Make
    query: Query | None

    @property
    def key(self) -> str:
        """The column that rows are ordered by."""
        return "dcid" if self.query is None else self.query.columns[0][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    name: str
    way: Literal["q", "r"]
    place: str
    read: int

    @classmethod
    def parse(cls, text: str) -> _Cursor:
        name, _, rest = text.partition(":")
        way, _, rest = rest.partition(":")
        place, _, read = rest.partition(":")
        if way not in ("q", "r") or not read.isdecimal():
            raise SourceError("the place to read on from is not one of this connector; start a new run")
        return cls(name=name, way="q" if way == "q" else "r", place=place, read=int(read))

    def __str__(self) -> str:
        return f"{self.name}:{self.way}:{self.place}:{self.read}"


class Roster:
    """Reads every noun. It cannot tell what changed since a moment, so that every page is `whole`."""

    def __init__(self, client: Client, frame: Frame, settings: PowerSchoolSettings) -> None:
        self._client = client
        self._frame = frame
        self._settings = settings
        self._rest = Rest(client, frame)

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """One noun, page by page."""
        if pull.cursor == END:
            return
        if pull.noun == "org":
            yield await self._orgs()
        elif pull.noun == "academicSession":
            yield await self._terms()
        else:
            async for page in self._pages(pull):
                yield page

    async def _orgs(self) -> Page:
        zone = (await self._client.metadata()).time_zone
        told = quirks.as_object((quirks.as_object(await self._client.get("/ws/v1/district"))).get("district"))
        if not told:
            raise SourceError("PowerSchool's answer holds no district", retry=True)
        schools = await self._frame.schools()
        records = [places.district(told, zone), *(school.org(zone) for school in schools)]
        return Page(records=records, cursor=END, total=len(records), whole=True)

    async def _terms(self) -> Page:
        year = await self._frame.year()
        terms = [term for term in await self._frame.terms() if term.year >= year]
        years = {(term.school, term.year): term.dcid for term in terms if term.portion == 1}
        records = [term.session(_above(term, years)) for term in sorted(terms, key=lambda term: term.portion != 1)]
        errors = self._frame.errors
        return Page(records=records, errors=errors, cursor=END, total=len(records) + len(errors), whole=True)

    async def _pages(self, pull: Pull) -> AsyncIterator[Page]:
        collections = await self._collections(pull.noun)
        counts = [await self._count(one) for one in collections]
        total = None if None in counts else sum(count for count in counts if count is not None)
        cursor = _Cursor.parse(pull.cursor) if pull.cursor else None
        start = 0 if cursor is None else next((i for i, one in enumerate(collections) if one.name == cursor.name), 0)
        whole = Page(records=(), total=total, whole=True)
        if any(one.name == "contact" and count is None for one, count in zip(collections, counts, strict=True)):
            whole = replace(whole, delta=True, whole=False)  # nobody told us of the contacts: they are not gone
        for one, count in list(zip(collections, counts, strict=True))[start:]:
            if one.name == "contact" and count is None:
                continue
            at = cursor if cursor is not None and cursor.name == one.name else None
            at = at or _Cursor(name=one.name, way="q" if count is not None else "r", place="", read=0)
            if (at.way == "q") != (count is not None):
                raise SourceError("the plugin's queries were installed or removed meanwhile; start a new run")
            async for rows, after in self._rows(one, at, count):
                yield replace(whole, **_read(one, rows), cursor=str(after))

    async def _collections(self, noun: Noun) -> list[_Collection]:
        people = People(settings=self._settings, today=await self._frame.today())
        every = [
            _Collection(name="course", noun="course", prefix="course", make=places.course, query=None),
            _Collection(name="section", noun="class", prefix="section", make=places.section, query=queries.SECTIONS),
            _Collection(name="student", noun="user", prefix="student", make=people.student, query=queries.STUDENTS),
            _Collection(name="staff", noun="user", prefix="staff", make=people.staff, query=queries.STAFF),
            _Collection(name="contact", noun="user", prefix="contact", make=people.contact, query=queries.CONTACTS),
            _Collection(
                name="enrollment", noun="enrollment", prefix="cc", make=places.enrollment, query=queries.ENROLLMENTS
            ),
            _Collection(
                name="teacher", noun="enrollment", prefix="teaching", make=places.teaching, query=queries.TEACHERS
            ),
        ]
        wanted = [one for one in every if one.noun == noun]
        return [one for one in wanted if one.name != "contact" or self._settings.guardians]

    async def _count(self, one: _Collection) -> int | None:
        """How many rows there are; None where the query is not installed."""
        if one.query is None:
            return await self._client.count("/ws/schema/table/courses")
        try:
            return await self._client.query_count(one.query.name, await self._args(one.query, 0))
        except NotInstalled:
            return None

    async def _args(self, query: Query, after: int) -> dict[str, Any]:
        values = {"after": after, "yearid": 0}
        if any(arg.name == "yearid" for arg in query.args):
            values["yearid"] = await self._frame.year()
        return {arg.name: values[arg.name] for arg in query.args}

    async def _rows(
        self, one: _Collection, at: _Cursor, count: int | None
    ) -> AsyncIterator[tuple[Sequence[Row], _Cursor]]:
        if count is None:
            async for rows, place in self._rest.rows(one.name, at.place):
                at = replace(at, place=place, read=at.read + len(rows))
                yield rows, at
            return
        size = await self._client.page_of("schema_table_query")
        after = int(at.place or 0)
        while found := await self._after(one, after, size):
            before, after = after, _last_key(found, one.key)
            if after <= before:
                raise SourceError("PowerSchool gave the same rows again instead of the next ones", retry=True)
            at = replace(at, place=str(after), read=at.read + len(found))
            yield found, at
            if at.read >= count and len(found) < size:
                return

    async def _after(self, one: _Collection, after: int, size: int) -> Sequence[Row]:
        if one.query is None:
            return await self._client.table("courses", fields_of("COURSES"), pagesize=size, q=f"dcid=gt={after}")
        rows = await self._client.query(one.query.name, await self._args(one.query, after), size)
        blank = dict.fromkeys(name for name, _ in one.query.columns)
        return [{**blank, **row} for row in rows]  # an empty column is left out (6), and is empty and not unasked


def _above(term: places.Term, years: Mapping[tuple[ids.SchoolDcid, ids.YearId], ids.TermDcid]) -> ids.TermDcid | None:
    return None if term.portion == 1 else years.get((term.school, term.year))


def _last_key(rows: Sequence[Row], key: str) -> int:
    try:
        return max(quirks.as_number(row, key) for row in rows)
    except Unreadable:
        raise SourceError(f"a row of PowerSchool has no {key}, so reading cannot go on after it") from None


def _made(one: _Collection, row: Row) -> tuple[Record | None, Sequence[Unreadable]]:
    """The record, where there is one, and what cannot be read; without a birth date a person is one all the same."""
    try:
        return one.make(row), ()
    except Unreadable as exc:
        if exc.field != _BIRTH:
            return None, (exc,)
        record, more = _made(one, {**row, _BIRTH: None})
        return (record.silent_on(_BIRTH) if isinstance(record, User) else record), (exc, *more)


def _read(one: _Collection, rows: Sequence[Row]) -> dict[str, Any]:
    """The records of a page, and the rows that cannot be read."""
    records: list[Record] = []
    where: list[str] = []
    errors: list[RowError] = []
    for row in rows:
        key = quirks.as_text(row.get(one.key))
        place = f"{one.name} {key}"
        record, found = _made(one, row)
        if record is not None:
            records.append(record)
            where.append(place)
        for exc in found:
            error = RowError(noun=one.noun, where=place, reason=str(exc), field=exc.field, part=record is not None)
            errors.append(replace(error, sourced_id=f"{one.prefix}-{key}") if key else error)
    return {"records": records, "places": where, "errors": errors}
