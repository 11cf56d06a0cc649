"""Attendance into Qmlativ by its Generic API: one StudentAttendancePeriod for each class that a student misses.

No vendor has been seen doing this; the objects and their fields are those of a generated SDK. So nothing is taken for
granted: what Skyward holds is read before each write and again after it, and whatever somebody else has entered
meanwhile stays.

A student who is present has no row. `codes` says which attendance type, and after a slash which reason, stands for a
code or status of ours: {"absent": "A", "excused": "A/EX", "tardy": "T"}.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TypeVar

from homeroom import Finding, OutgoingMark, Pushed, SourceError, VendorError
from homeroom_skyward import tables as t
from homeroom_skyward.generic import Generic, Row, Table, equal, key_of, number_of, on, whole
from homeroom_skyward.qmlativ import not_shown
from homeroom_skyward.qmlativ_pages import YES

_NO_ID = "it was not read from Skyward's Generic API, so Skyward's number of it is not known"
_DAYS_KEPT = 60
_GIVE_UP = 3  # writes that might succeed later and failed one after another
T = TypeVar("T")


class NotSendable(Exception):
    """A mark that Skyward cannot hold; the text says why and holds no personal value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """A mark in Skyward's numbers. `target` is what Skyward should hold, None for no row."""

    mark: OutgoingMark
    school: _School
    day: int
    student: int
    period: int
    target: str | None
    values: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """A mark that was to be written, with what Skyward held `before`; `error` says why it was not, if it was `sent`."""

    wish: _Wish
    before: str | None
    error: SourceError | None
    sent: bool = True


@dataclass(slots=True)
class _School:
    """What an entity calls things: periods, types and reasons by code, and the days of its calendars."""

    entity: int
    calendars: frozenset[int]
    periods: dict[str, int]
    types: dict[str, int]
    reasons: dict[str, int]
    days: dict[date, int | None] = field(default_factory=dict)


class QmlativAttendance:
    """Writes marks, in as few requests as can be: what is there is read for all marks of a day at once."""

    def __init__(self, generic: Generic, codes: Mapping[str, str]) -> None:
        self._generic = generic
        self._codes = codes
        self._entities: dict[str, int] | None = None
        self._schools: dict[int, _School] = {}
        self._is_stale = False

    async def check(self) -> Sequence[Finding]:
        """Which of the objects and fields that attendance needs are not granted, and which codes exist nowhere."""
        found = await not_shown(self._generic, t.READ_FOR_ATTENDANCE)
        if found:
            return [*found, Finding(problem="Attendance cannot be written yet.", fix=f"Grant {t.GRANTS}.")]
        types = {str(row.get("Code")) for row in await self._generic.all(t.TYPE)}
        reasons = {str(row.get("Code")) for row in await self._generic.all(t.REASON)}
        for ours, theirs in self._codes.items():
            kind, _, reason = theirs.partition("/")
            if kind not in types or (reason and reason not in reasons):
                fix = f"Set codes.{ours} to an attendance type of Skyward's, with a reason after a slash if it has one."
                found.append(Finding(problem=f"No school in Skyward knows the attendance type {theirs}.", fix=fix))
        return found

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        """Write the marks. Raises SourceError when Skyward cannot be reached; the same marks may then come again."""
        if self._is_stale:
            self._entities, self._schools, self._is_stale = None, {}, False
        answers: dict[str, Pushed] = {}
        wishes: dict[int, list[_Wish]] = defaultdict(list)
        for mark in marks:
            try:
                wish = await self._wish(mark)
            except NotSendable as exc:
                self._is_stale = True  # what was missing may be there the next time
                answers[mark.key] = Pushed(key=mark.key, error=str(exc), held=mark.held)
            else:
                wishes[wish.day].append(wish)
        for day, some in wishes.items():
            answers |= await self._write(day, some)
        return [answers[mark.key] for mark in marks]

    async def _wish(self, mark: OutgoingMark) -> _Wish:
        entity = await self._entity(mark.school)
        school = await self._school(entity)
        day = await self._day(school, mark.school_day)
        section = _number(mark.enrollment, "student-")
        if len(mark.periods) != 1:
            raise NotSendable("Skyward wants one period, and the class meets in none or in several")
        period = _of(school.periods, mark.periods[0], "Skyward's school has no attendance period of this name")
        values: Row = {}
        target = None
        code = self._code(mark)
        if code is not None:
            kind, _, reason = code.partition("/")
            values["AttendanceTypeID"] = _of(school.types, kind, f"Skyward's school has no attendance type {kind}")
            values["AttendanceReasonID"] = (
                _of(school.reasons, reason, f"Skyward's school has no attendance reason {reason}") if reason else None
            )
            values |= {
                "AttendancePeriodID": period,
                "StudentSectionID": section,
                "EntityIDCourse": entity,
                "EntityIDAttendancePeriod": entity,
            }
            target = code
        return _Wish(
            mark=mark,
            school=school,
            day=day,
            student=_number(mark.student, "student-"),
            period=period,
            target=target,
            values=values,
        )

    def _code(self, mark: OutgoingMark) -> str | None:
        """The type and reason that stand for the mark; None for a student who is present, or a mark withdrawn."""
        if mark.status is None:
            return None
        code = self._codes.get(mark.code or "") or self._codes.get(mark.status)
        if code is None and mark.status != "present":
            raise NotSendable(f"codes does not say what {mark.code or mark.status} is called in Skyward")
        return code

    async def _write(self, day: int, wishes: Sequence[_Wish]) -> dict[str, Pushed]:
        """Write what differs from what Skyward holds on one day, and see that it then holds it."""
        held = await self._held(day, wishes)
        answers: dict[str, Pushed] = {}
        tried: list[_Tried] = []
        failed = 0
        for wish in wishes:
            mark, now = wish.mark, held.words(wish)
            if now == wish.target:
                answers[mark.key] = Pushed(key=mark.key, held=now, before=now, read_back=True)
            elif now != mark.held and not mark.overwrite:
                answers[mark.key] = Pushed(key=mark.key, held=now, before=now, differs=True)
            else:  # where one after the other failed, the rest would too
                sent = failed < _GIVE_UP
                error = await self._try(wish, held) if sent else tried[-1].error
                failed = min(failed + 1, _GIVE_UP) if error is not None and error.retry else 0
                tried.append(_Tried(wish=wish, before=now, error=error, sent=sent))
        if tried:
            after = await self._after(day, [one.wish for one in tried])
            answers |= {one.wish.mark.key: _seen(one, after) for one in tried}
        return answers

    async def _try(self, wish: _Wish, held: _Held) -> SourceError | None:
        """Write one mark; gives what went wrong with it. Raises SourceError where no other would fare better."""
        try:
            await self._put(wish, held)
        except VendorError as exc:
            if exc.of_all:
                raise
            return exc
        except SourceError as exc:
            if not exc.retry:
                raise
            return exc
        return None

    async def _after(self, day: int, wishes: Sequence[_Wish]) -> _Held | None:
        """What Skyward holds after the writing; None where it cannot be asked."""
        try:
            return await self._held(day, wishes)
        except SourceError:
            return None

    async def _put(self, wish: _Wish, held: _Held) -> None:
        row = held.rows.get((wish.student, wish.period))
        if wish.target is None:
            if row is not None:
                await self._generic.delete(t.STUDENT_PERIOD, key_of(t.STUDENT_PERIOD, row))
                del held.rows[wish.student, wish.period]
            return
        if row is not None:
            changed = {name: wish.values[name] for name in ("AttendanceTypeID", "AttendanceReasonID")}
            await self._generic.update(t.STUDENT_PERIOD, key_of(t.STUDENT_PERIOD, row), changed)
            held.rows[wish.student, wish.period] = {**row, **changed}
            return
        if wish.student not in held.days:
            day = {"StudentID": wish.student, "CalendarDayID": wish.day, "EntityID": wish.school.entity}
            held.days[wish.student] = await self._generic.create(t.STUDENT_DAY, {**day, **self._generic.year})
        values = {"StudentAttendanceID": held.days[wish.student], **wish.values}
        key = await self._generic.create(t.STUDENT_PERIOD, values)
        held.rows[wish.student, wish.period] = {**values, t.STUDENT_PERIOD.key: key}

    async def _held(self, day: int, wishes: Sequence[_Wish]) -> _Held:
        """What Skyward holds on this day of these students."""
        students = [wish.student for wish in wishes]
        days = {
            number_of(t.STUDENT_DAY, row, "StudentID"): key_of(t.STUDENT_DAY, row)
            for row in await self._generic.of(t.STUDENT_DAY, "StudentID", students, equal("CalendarDayID", day))
        }
        owner = {number: student for student, number in days.items()}
        rows = {
            (
                owner[number_of(t.STUDENT_PERIOD, row, "StudentAttendanceID")],
                number_of(t.STUDENT_PERIOD, row, "AttendancePeriodID"),
            ): row
            for row in await self._generic.of(t.STUDENT_PERIOD, "StudentAttendanceID", list(owner))
        }
        schools = {wish.school.entity: wish.school for wish in wishes}.values()
        types = {number: code for school in schools for code, number in school.types.items()}
        reasons = {number: code for school in schools for code, number in school.reasons.items()}
        return _Held(days=days, rows=rows, types=types, reasons=reasons)

    async def _entity(self, school: str) -> int:
        if self._entities is None:
            rows = await self._generic.all(t.ENTITY_SCHOOL)
            rows.sort(key=lambda row: row.get("IsDefaultSchoolForEntity") in YES)
            self._entities = {str(row.get("SchoolID")): number_of(t.ENTITY_SCHOOL, row, "EntityID") for row in rows}
        return _of(self._entities, school, "Skyward knows no entity for this school")

    async def _school(self, entity: int) -> _School:
        if entity not in self._schools:
            of = equal("EntityID", entity)
            calendars = await self._generic.all(t.CALENDAR, [of])
            self._schools[entity] = _School(
                entity,
                frozenset(key_of(t.CALENDAR, row) for row in calendars),
                await self._by_code(t.PERIOD, entity),
                await self._by_code(t.TYPE, entity),
                await self._by_code(t.REASON, entity),
            )
        return self._schools[entity]

    async def _by_code(self, table: Table, entity: int) -> dict[str, int]:
        rows = await self._generic.all(table, [equal("EntityID", entity)])
        return {str(row.get("Code")): key_of(table, row) for row in rows}

    async def _day(self, school: _School, day: date) -> int:
        if day not in school.days:
            if len(school.days) >= _DAYS_KEPT:
                school.days.clear()
            rows = await self._generic.all(t.CALENDAR_DAY, [on("Date", day.isoformat())])
            ours = [
                key_of(t.CALENDAR_DAY, row)
                for row in rows
                if number_of(t.CALENDAR_DAY, row, "CalendarID") in school.calendars
            ]
            school.days[day] = ours[0] if len(ours) == 1 else None
        found = school.days[day]
        if found is None:
            raise NotSendable("the day is no school day in Skyward's calendar of this school, or is in several")
        return found


@dataclass(slots=True, kw_only=True)
class _Held:
    """What Skyward holds: attendance days by student, and rows by student and period."""

    days: dict[int, int]
    rows: dict[tuple[int, int], Row]
    types: Mapping[int, str]
    reasons: Mapping[int, str]

    def words(self, wish: _Wish) -> str | None:
        """Type and reason as `codes` writes them; None where there is no row."""
        row = self.rows.get((wish.student, wish.period))
        if row is None:
            return None
        kind, reason = whole(row.get("AttendanceTypeID")), whole(row.get("AttendanceReasonID"))
        words = self.types.get(kind or 0, f"type {kind}")
        return f"{words}/{self.reasons.get(reason, reason)}" if reason else words


def _seen(tried: _Tried, after: _Held | None) -> Pushed:
    """The answer for a mark that was to be written, after a look at what Skyward holds now."""
    wish, error = tried.wish, tried.error
    now = None if after is None else after.words(wish)
    told = Pushed(key=wish.mark.key, held=now, before=tried.before)
    if after is not None and now == wish.target:
        return replace(told, read_back=True)
    if isinstance(error, VendorError) and not error.retry:
        return replace(told, error=_refusal(error))
    if error is not None:
        return replace(told, error=str(error), retry=True, tried=tried.sent)
    if after is None:
        return replace(told, error="nobody knows whether Skyward has written it", retry=True)
    return replace(told, error="Skyward took the mark and does not show it", retry=True)


def _refusal(exc: VendorError) -> str:
    if exc.status in (401, 403):
        return f"Skyward does not let us write attendance; the district grants {t.GRANTS}"
    return f"Skyward refused the mark (status {exc.status})"


def _number(sourced_id: str | None, prefix: str) -> int:
    digits = (sourced_id or "").removeprefix(prefix)
    if sourced_id is None or not sourced_id.startswith(prefix) or not (digits.isascii() and digits.isdecimal()):
        raise NotSendable(_NO_ID)
    return int(digits)


def _of(known: Mapping[str, T], name: str, problem: str) -> T:
    if name not in known:
        raise NotSendable(problem)
    return known[name]
