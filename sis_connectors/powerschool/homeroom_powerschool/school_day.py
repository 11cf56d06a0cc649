"""What attendance of one school on one day refers to: codes, calendar day, and when each class meets."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, TypeVar

from homeroom import SourceError
from homeroom_powerschool import ids, queries, quirks
from homeroom_powerschool.client import Client
from homeroom_powerschool.columns import fields_of
from homeroom_powerschool.frame import Frame
from homeroom_powerschool.quirks import Row, Unreadable, as_number, as_object, as_text

K = TypeVar("K")
V = TypeVar("V")

_KEPT = 256  # days of schools: a day of a large district, and some corrections of earlier ones
_STUDENTS = 20_000
_FOR = timedelta(minutes=10)
_ARRAY = 500  # ids in one query; Oracle takes a thousand
_PRESENCE = {"present": True, "absent": False}
_BREAK = 15 * 60  # seconds: a longer one between two periods makes them two meetings
_EARLY = 30 * 60  # seconds before its first period that a session may begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One attendance code of one school and year; `present` None where PowerSchool does not say what it means."""

    id: ids.CodeId
    letters: str
    present: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """One period of a class; times are seconds since midnight."""

    period: ids.PeriodId
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolDay:
    """One school on one day. `calendar_day` is None where there is no school."""

    number: ids.SchoolNumber
    day: date
    year: ids.YearId
    calendar_day: ids.CalendarDayId | None
    codes: Mapping[str, Code]
    meetings: Mapping[ids.SectionDcid, tuple[Meeting, ...]]

    def letters_of(self, code: str) -> str | None:
        """The letters of a code by its id, None for one of another school or year."""
        return next((known.letters for known in self.codes.values() if str(known.id) == code), None)


class SchoolDays:
    """Resolves school days and students' ids, and keeps what it found for ten minutes at most."""

    def __init__(self, client: Client, frame: Frame, mode: Literal["meeting", "daily"]) -> None:
        self._client = client
        self._frame = frame
        self._mode = mode
        self._days: OrderedDict[tuple[ids.SchoolDcid, date], tuple[datetime, SchoolDay]] = OrderedDict()
        self._calendars: OrderedDict[date, tuple[datetime, dict[ids.SchoolNumber, ids.CalendarDayId]]] = OrderedDict()
        self._years: dict[ids.YearId, tuple[datetime, dict[tuple[int, int], bool]]] = {}
        self._students: OrderedDict[ids.StudentDcid, ids.StudentId] = OrderedDict()

    async def of(self, school: ids.SchoolDcid, day: date) -> SchoolDay:
        """One school's day. Raises SourceError, and Unplaceable for a school or a year that PowerSchool lacks."""
        key = (school, day)
        kept = self._days.get(key)
        if kept is None or self._client.now() - kept[0] > _FOR:
            kept = self._days[key] = self._client.now(), await self._resolve(school, day)
        _bound(self._days, key, _KEPT)
        return kept[1]

    async def student_ids(self, dcids: Iterable[ids.StudentDcid]) -> dict[ids.StudentDcid, ids.StudentId]:
        """The ID of each student by DCID.

        By day it is asked both ways round, and students on whom the two disagree are left out; by meeting the
        enrolments tell it a second time.
        """
        wanted = list(dict.fromkeys(dcids))
        unknown = [dcid for dcid in wanted if dcid not in self._students]
        for start in range(0, len(unknown), _ARRAY):
            some = unknown[start : start + _ARRAY]
            forth = _pairs(await self._client.query(queries.ID_MAP, {"students_dcid": some}))
            back = forth
            if self._mode == "daily":
                back = _pairs(await self._client.query(queries.ID_MAP, {"students_id": list(forth.values())}))
            self._students |= {dcid: forth[dcid] for dcid in some if dcid in forth and forth[dcid] == back.get(dcid)}
        found = {dcid: self._students[dcid] for dcid in wanted if dcid in self._students}
        while len(self._students) > _STUDENTS:
            self._students.popitem(last=False)
        return found

    async def enrollments(
        self, dcids: Sequence[ids.StudentDcid], day: date
    ) -> dict[tuple[ids.StudentDcid, ids.SectionDcid], tuple[ids.EnrollmentId, ids.StudentId]]:
        """By student and section of one day: the enrolment's ID, and the student's as the query knows it."""
        found = {}
        for start in range(0, len(dcids), _ARRAY):
            args = {"students": list(dcids[start : start + _ARRAY]), "day": day.isoformat()}
            for row in await self._client.query(queries.ENROLLMENT_IDS.name, args):
                key = ids.StudentDcid(as_number(row, "student_dcid")), ids.SectionDcid(as_number(row, "section_dcid"))
                found[key] = ids.EnrollmentId(as_number(row, "cc_id")), ids.StudentId(as_number(row, "student_id"))
        return found

    async def meeting_at(self, meetings: Sequence[Meeting], at: datetime | None) -> tuple[Meeting, ...]:
        """The periods of a meeting: where a class meets twice a day, of the one that a session at `at` belongs to."""
        blocks: list[list[Meeting]] = []
        for meeting in sorted(meetings, key=lambda meeting: meeting.start):
            if blocks and meeting.start - blocks[-1][-1].end <= _BREAK:
                blocks[-1].append(meeting)
            else:
                blocks.append([meeting])
        if len(blocks) > 1 and at is not None:
            local = at.astimezone(await self._client.zone())
            seconds = local.hour * 3600 + local.minute * 60 + local.second
            begun = [block for block in blocks if block[0].start - _EARLY <= seconds]
            # Of a roll that was opened after its meeting: the one that was last, and never one that is still to come.
            fitting = [block for block in begun if seconds < block[-1].end] or begun
            if not fitting:
                raise ids.Unplaceable("no meeting of this class has begun at that hour in PowerSchool")
            blocks = fitting[-1:]
        return tuple(meeting for block in blocks for meeting in block)

    async def _resolve(self, school: ids.SchoolDcid, day: date) -> SchoolDay:
        number = await self._frame.number_of(school)
        try:
            year, codes = await self._codes(number, day)
            calendar_day = (await self._calendar(day)).get(number)
            meetings: dict[ids.SectionDcid, tuple[Meeting, ...]] = {}
            if self._mode == "meeting" and calendar_day is not None:
                meetings = await self._meetings(calendar_day, year)
        except Unreadable as exc:  # of this school alone: the others' marks go on
            raise ids.Unplaceable(_unreadable(exc)) from None
        return SchoolDay(number=number, day=day, year=year, calendar_day=calendar_day, codes=codes, meetings=meetings)

    async def _codes(self, number: ids.SchoolNumber, day: date) -> tuple[ids.YearId, dict[str, Code]]:
        args = {"schoolid": number, "att_date": day.isoformat()}
        rows = [_inner(row, "attendance_code") for row in await self._client.query(queries.CODES, args)]
        if not rows:
            raise ids.Unplaceable(f"school {number} has no attendance codes in PowerSchool for the year of this day")
        year = ids.YearId(as_number(rows[0], "yearid"))
        means = await self._meanings(year)
        found = {}
        for row in rows:
            letters = as_text(row.get("att_code")) or ""
            code = ids.CodeId(as_number(row, "attendance_codeid"))
            found[letters] = Code(id=code, letters=letters, present=means.get((number, code)))
        return year, found

    async def _meanings(self, year: ids.YearId) -> dict[tuple[int, int], bool]:
        """Whether a school's code counts as present, by school number and code; codes that do not say are left out."""
        kept = self._years.get(year)
        if kept is None or self._client.now() - kept[0] > _FOR:
            rows = await self._client.whole_table("attendance_code", fields_of("ATTENDANCE_CODE"), f"yearid=={year}")
            known = {}
            with _of_all_schools():
                for row in rows:
                    present = _PRESENCE.get((as_text(row.get("presence_status_cd")) or "").casefold())
                    if present is not None:
                        known[as_number(row, "schoolid"), as_number(row, "id")] = present
            kept = self._years[year] = self._client.now(), known
        return kept[1]

    async def _calendar(self, day: date) -> dict[ids.SchoolNumber, ids.CalendarDayId]:
        """The calendar day of every school that is in session on that day."""
        kept = self._calendars.get(day)
        if kept is None or self._client.now() - kept[0] > _FOR:
            fields = fields_of("CALENDAR_DAY")
            rows = await self._client.whole_table("calendar_day", fields, f"date_value=={day.isoformat()}")
            in_session = (row for row in rows if quirks.as_flag(row.get("insession")))
            with _of_all_schools():
                known = {
                    ids.SchoolNumber(as_number(row, "schoolid")): ids.CalendarDayId(as_number(row, "id"))
                    for row in in_session
                }
            kept = self._calendars[day] = self._client.now(), known
        _bound(self._calendars, day, _KEPT)
        return kept[1]

    async def _meetings(
        self, calendar_day: ids.CalendarDayId, year: ids.YearId
    ) -> dict[ids.SectionDcid, tuple[Meeting, ...]]:
        args = {"calendar_day": calendar_day, "yearid": year}
        found: dict[ids.SectionDcid, tuple[Meeting, ...]] = {}
        for row in await self._client.query(queries.MEETINGS.name, args):
            section = ids.SectionDcid(as_number(row, "section_dcid"))
            meeting = Meeting(
                period=ids.PeriodId(as_number(row, "period_id")),
                start=as_number(row, "start_time"),
                end=as_number(row, "end_time"),
            )
            found[section] = (*found.get(section, ()), meeting)
        return found


@contextlib.contextmanager
def _of_all_schools() -> Iterator[None]:
    """What is read for all schools at once: a row that cannot be read lets every mark wait, and fails none."""
    try:
        yield
    except Unreadable as exc:
        raise SourceError(_unreadable(exc)) from None


def _unreadable(exc: Unreadable) -> str:
    return f"PowerSchool's answer about a school day cannot be read: {exc.field}: {exc}"


def _bound(kept: OrderedDict[K, V], used: K, most: int) -> None:
    """Forget what was not used for longest."""
    kept.move_to_end(used)
    while len(kept) > most:
        kept.popitem(last=False)


def _inner(row: Row, table: str) -> Row:
    return as_object(as_object(row.get("tables")).get(table))


def _pairs(rows: Sequence[Row]) -> dict[ids.StudentDcid, ids.StudentId]:
    return {ids.StudentDcid(as_number(row, "dcid")): ids.StudentId(as_number(row, "id")) for row in rows}
