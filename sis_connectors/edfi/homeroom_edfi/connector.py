"""The driver: each noun from one or more resources of the ODS, page by page, from any point again."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from homeroom import NOUNS, Finding, Noun, OutgoingMark, Page, Pull, Pushed, Record, RowError, Services, SourceError
from homeroom_edfi import keys, reading
from homeroom_edfi.attendance import Attendance
from homeroom_edfi.client import Client
from homeroom_edfi.feed import Feed
from homeroom_edfi.settings import EdFiSettings

Reading = Callable[[dict[str, Any]], Record]

_CONTACTS = ("contacts", "studentContactAssociations")
_PARENTS = ("parents", "studentParentAssociations")
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)
_SEATS: tuple[keys.Kind, ...] = ("student", "staff")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    """Where reading stands: the resource's number, the offset in it, and the counts of those before it."""

    resource: int = 0
    offset: int = 0
    counted: int = 0
    since: int | None = None

    @classmethod
    def of(cls, text: str | None) -> _Cursor:
        if text is None:
            return cls()
        try:
            resource, offset, counted, since = text.split(":")
            return cls(resource=int(resource), offset=int(offset), counted=int(counted), since=int(since or -1))
        except ValueError:
            raise SourceError("the place to read on from is not one of this connector; start a new run") from None

    def __str__(self) -> str:
        return f"{self.resource}:{self.offset}:{self.counted}:{-1 if self.since is None else self.since}"


class Connector:
    """Reads rosters from an ODS and writes attendance events into it."""

    nouns: tuple[Noun, ...] = NOUNS

    def __init__(self, settings: EdFiSettings, services: Services) -> None:
        self.settings = settings
        self._services = services
        self.client = Client(settings, services)
        self._feed = Feed(self.client, services)
        self._attendance = Attendance(settings, self.client)
        self._later = 1 if settings.end_dates == "inclusive" else 0

    def __repr__(self) -> str:
        return f"Connector({self.settings.base_url})"

    @property
    def attendance_out(self) -> Literal["api", "file", "none"]:
        """By API, unless the district wants none."""
        return "none" if self.settings.attendance == "none" else "api"

    @property
    def attendance_level(self) -> Literal["class", "day"]:
        """Section events are per class, school events per day."""
        return "day" if self.settings.attendance == "school" else "class"

    async def check(self) -> Sequence[Finding]:
        """Try the key, every resource that is read, and every category that attendance is sent with."""
        try:
            resources = _resources(await self._contacts())
            findings = [_not_permitted(one) for one in resources if not await self.client.may_read(one)]
            if self.attendance_out == "api":
                findings += await self._attendance.check()
            if await self.client.newest_change() is None:
                findings.append(
                    Finding(
                        problem="This ODS keeps no change versions, so every run reads all enrolments.",
                        fix="Ask for the ChangeQueries feature to be switched on, or leave it: it only costs time.",
                    )
                )
        except SourceError as exc:
            return [
                Finding(
                    problem=f"The Ed-Fi ODS cannot be read: {exc}.",
                    fix="Check base_url, data_path, token_url, client_id and client_secret with your Ed-Fi host.",
                )
            ]
        return findings

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        """Write attendance events; see `Attendance`."""
        return await self._attendance.push(marks)

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """Read one noun page by page. Only enrolments can be asked for by what changed; the rest is read whole."""
        at = _Cursor.of(pull.cursor)
        since = at.since if at.since is not None and at.since >= 0 else None
        if pull.cursor is None:
            if pull.noun == NOUNS[0]:
                await self._feed.note()
            if pull.since is not None and pull.noun == "enrollment":
                since = await self._feed.before(pull.since)
        sources = await self._sources(pull.noun, since)
        counted = at.counted
        for number in range(at.resource, len(sources)):
            source = sources[number]
            offset: int | None = at.offset if number == at.resource else 0
            while offset is not None:
                batch = await self.client.page(source.resource, offset, **source.filters)
                total = batch.total if batch.total is not None else offset + len(batch.rows)
                is_last = batch.next is None and number == len(sources) - 1
                ahead = (number, batch.next) if batch.next is not None else (number + 1, 0)
                before = counted if batch.next is not None else counted + total
                cursor = _Cursor(resource=ahead[0], offset=ahead[1], counted=before, since=since)
                yield _page(
                    pull.noun,
                    source,
                    batch.rows,
                    offset,
                    cursor=str(cursor),
                    total=counted + total if is_last and since is None else None,
                    whole=since is None,
                )
                counted, offset = before, batch.next

    async def _sources(self, noun: Noun, since: int | None) -> list[_Source]:
        """What is read for a noun, in order, with what has to be gathered before."""
        match noun:
            case "org":
                return [_Source("localEducationAgencies", reading.agency), _Source("schools", reading.school)]
            case "academicSession":
                return [_Source("sessions", reading.session)]
            case "course":
                return [_Source("courses", reading.course)]
            case "class":
                offerings = {
                    keys.offering(
                        {**row["schoolReference"], **row["sessionReference"], "localCourseCode": row["localCourseCode"]}
                    ): reading.offering(row)
                    async for row in self.client.all("courseOfferings")
                }
                return [_Source("sections", lambda row: reading.section(row, offerings))]
            case "user":
                contacts, associations = await self._contacts()
                people = await self._people(associations)
                return [
                    _Source("students", lambda row: people.user("student", row)),
                    _Source("staffs", lambda row: people.user("staff", row)),
                    _Source(contacts, lambda row: people.user("contact", row)),
                ]
            case _:
                return _seats(since, self._later)

    async def _contacts(self) -> tuple[str, str]:
        """What contacts and their associations are called: up to data standard 4 they are parents."""
        return _CONTACTS if await self.client.knows(_CONTACTS[0]) else _PARENTS

    async def _people(self, contacts: str) -> reading.People:
        """What hangs on people. Raises SourceError for a row that cannot be read: somebody would lose a school."""
        people = reading.People(today=self._services.today())
        takings: list[tuple[str, Callable[[dict[str, Any]], None]]] = [
            ("studentSchoolAssociations", lambda row: people.at_school(row, self._later)),
            ("staffSchoolAssociations", people.works_at),
            (contacts, people.cares_for),
            ("studentEducationOrganizationAssociations", people.is_reached_at),
        ]
        for resource, take in takings:
            number = 0
            async for row in self.client.all(resource):
                number += 1
                try:
                    take(row)
                except _UNREADABLE as exc:
                    raise SourceError(f"{resource}, row {number} cannot be read: {_why(exc)[0]}") from None
        async for row in self.client.all("staffSectionAssociations"):
            with contextlib.suppress(*_UNREADABLE):  # told of where enrolments are read
                people.teaches(row, self._later)
        return people


@dataclass(frozen=True, slots=True)
class _Source:
    """One resource that is read for a noun."""

    resource: str
    reading: Reading
    filters: dict[str, Any] = field(default_factory=dict)


def _seats(since: int | None, later: int) -> list[_Source]:
    filters = {} if since is None else {"minChangeVersion": since}
    sources = [
        _Source("studentSectionAssociations", lambda row: reading.student_seat(row, later), filters),
        _Source("staffSectionAssociations", lambda row: reading.staff_seat(row, later), filters),
    ]
    if since is None:
        return sources
    gone: list[_Source] = []
    for kind, source in zip(_SEATS, sources, strict=True):
        gone += [
            _Source(f"{source.resource}/deletes", _ended(kind, "keyValues"), filters),
            _Source(f"{source.resource}/keyChanges", _ended(kind, "oldKeyValues"), filters),
        ]
    return [*gone, *sources]  # what was deleted and made again is there again


def _ended(kind: keys.Kind, where: str) -> Reading:
    return lambda row: reading.deleted_seat(kind, row[where])


def _page(
    noun: Noun,
    source: _Source,
    rows: Sequence[dict[str, Any]],
    offset: int,
    *,
    cursor: str,
    total: int | None,
    whole: bool,
) -> Page:
    records, places, errors = [], [], []
    for position, row in enumerate(rows):
        where = f"{source.resource}, row {offset + position + 1}"
        try:
            records.append(source.reading(row))
        except _UNREADABLE as exc:
            reason, name = _why(exc)
            errors.append(RowError(noun=noun, where=where, reason=reason, field=name))
        else:
            places.append(where)
            if source.resource == "students" and not reading.is_day(row.get("birthDate")):  # of nobody else it is read
                known = records[-1].sourced_id
                told = {"reason": "this is not a date", "field": "birthDate", "sourced_id": known}
                errors.append(RowError(noun=noun, where=where, **told, part=True))
    return Page(records=records, places=places, errors=errors, cursor=cursor, total=total, whole=whole)


def _why(exc: Exception) -> tuple[str, str | None]:
    """What is wrong with a row that is not as Ed-Fi prescribes, and the name of the value at fault, if known."""
    name = str(exc.args[0]) if isinstance(exc, KeyError) else None
    return f"{name} is missing" if name else "a value is not of the kind that Ed-Fi prescribes", name


def _resources(contacts: Sequence[str]) -> list[str]:
    return [
        *("localEducationAgencies", "schools", "sessions", "courses", "courseOfferings", "sections"),
        *("students", "staffs", *contacts, "studentSchoolAssociations", "staffSchoolAssociations"),
        "studentEducationOrganizationAssociations",
        *("studentSectionAssociations", "staffSectionAssociations"),
    ]


def _not_permitted(resource: str) -> Finding:
    return Finding(
        problem=f"The key may not read {resource}.",
        fix=f"Ask your Ed-Fi host to add read access to ed-fi/{resource} to this key's claim set.",
    )
