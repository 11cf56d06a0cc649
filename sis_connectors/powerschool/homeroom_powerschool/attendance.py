"""Attendance out: look what PowerSchool holds, write what is to change, and look again.

A mark counts as written only when PowerSchool shows it for that very child, whatever the answer to the write said.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from homeroom import OutgoingMark, Pushed, SourceError, VendorError
from homeroom_powerschool import ids, queries, quirks
from homeroom_powerschool.client import Client, MissingGrants
from homeroom_powerschool.frame import Frame
from homeroom_powerschool.quirks import Unreadable
from homeroom_powerschool.school_day import Meeting, SchoolDay, SchoolDays
from homeroom_powerschool.settings import PowerSchoolSettings
from homeroom_powerschool.slots import DAILY, MEETING, Slot, answers, by_key, code_of, shown

BATCH = 200
"""Records in one write of daily attendance, and students in one look, at most."""

_ONE, _MANY = "daily_time", "batch_daily_time"
_GIVE_UP = 3  # writes that might succeed later and failed one after another


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A mark whose school day is known."""

    mark: OutgoingMark
    student: ids.StudentDcid
    section: ids.SectionDcid | None
    day: SchoolDay
    meetings: tuple[Meeting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What PowerSchool answered to the write of one slot."""

    sure: bool = False
    reason: str = ""
    error: SourceError | None = None
    tried: bool = True


class Writer:
    """Writes marks by class meeting or by day, as the settings say; never both."""

    def __init__(self, client: Client, frame: Frame, settings: PowerSchoolSettings) -> None:
        self._client = client
        self._settings = settings
        self._days = SchoolDays(client, frame, settings.attendance_mode)
        self._mode = DAILY if settings.attendance_mode == "daily" else MEETING

    async def push(self, marks: Sequence[OutgoingMark]) -> list[Pushed]:
        """One answer for each mark. Raises SourceError (`retry`) where PowerSchool takes none at all for now."""
        told: dict[str, Pushed] = {}
        days: dict[date, list[_Placed]] = defaultdict(list)
        try:
            for mark in marks:
                try:
                    days[mark.school_day].append(await self._place(mark))
                except ids.Unplaceable as exc:
                    told[mark.key] = Pushed(key=mark.key, error=str(exc))
            for day, placed in days.items():
                slots = await self._slots(day, placed, told)
                for start in range(0, len(slots), BATCH):
                    told |= {pushed.key: pushed for pushed in await self._push(day, slots[start : start + BATCH])}
        except SourceError as exc:
            raise SourceError(str(exc), retry=True, retry_after=exc.retry_after) from None
        except Unreadable as exc:
            raise SourceError(f"PowerSchool's answer cannot be read: {exc.field}: {exc}", retry=True) from None
        return [told[mark.key] for mark in marks]

    async def _place(self, mark: OutgoingMark) -> _Placed:
        if (mark.class_ is None) != (self._mode == DAILY):
            level = "the whole day" if self._mode == DAILY else "one class"
            raise ids.Unplaceable(f"PowerSchool takes attendance for {level} here; attendance_mode says so")
        student, section = ids.student_of(mark.student), ids.section_of(mark.class_) if mark.class_ else None
        day = await self._days.of(ids.school_of(mark.school), mark.school_day)
        if day.calendar_day is None:
            raise ids.Unplaceable(
                f"{mark.school_day} is no school day at school {day.number} in PowerSchool's calendar"
            )
        if section is None:
            return _Placed(mark=mark, student=student, section=None, day=day)
        meetings = day.meetings.get(section, ())
        if not meetings:
            raise ids.Unplaceable(f"the class does not meet on {mark.school_day} in PowerSchool's schedule")
        meetings = await self._days.meeting_at(meetings, mark.starts_at)
        return _Placed(mark=mark, student=student, section=section, day=day, meetings=meetings)

    async def _slots(self, day: date, placed: Sequence[_Placed], told: dict[str, Pushed]) -> list[Slot]:
        """The slots of one day; what has none is told why."""
        students = list(dict.fromkeys(one.student for one in placed))
        known = await self._days.student_ids(students)
        classes = await self._days.enrollments(students, day) if self._mode == MEETING else {}
        grouped: dict[tuple[Any, ...], list[_Placed]] = defaultdict(list)
        for one in placed:
            grouped[(one.student, one.section, one.meetings)].append(one)
        slots = []
        for group in grouped.values():
            try:
                slots.append(self._slot(group, known, classes))
            except ids.Unplaceable as exc:
                told |= {one.mark.key: Pushed(key=one.mark.key, error=str(exc)) for one in group}
        return slots

    def _slot(
        self,
        group: Sequence[_Placed],
        known: Mapping[ids.StudentDcid, ids.StudentId],
        classes: Mapping[tuple[ids.StudentDcid, ids.SectionDcid], tuple[ids.EnrollmentId, ids.StudentId]],
    ) -> Slot:
        last = group[-1]
        student_id = known.get(last.student)
        if student_id is None:
            raise ids.Unplaceable("PowerSchool does not say for certain which student this is, so nothing was written")
        enrollment = None
        if last.section is not None:
            if (last.student, last.section) not in classes:
                raise ids.Unplaceable("the student is not in this class on that day in PowerSchool; run a sync")
            enrollment, same = classes[last.student, last.section]
            if same != student_id:
                raise ids.Unplaceable("PowerSchool gives two ids for this student, so nothing was written")
        return Slot(
            marks=tuple(one.mark for one in group),
            student=last.student,
            student_id=student_id,
            day=last.day,
            code=code_of(last.mark, last.day, self._settings),
            earlier=frozenset(_codes(group[:-1], self._settings)),
            enrollment=enrollment,
            meetings=last.meetings,
        )

    async def _push(self, day: date, slots: Sequence[Slot]) -> list[Pushed]:
        """Look, write, look again."""
        before = await self._look(day, slots)
        skip_present = self._settings.present_marks == "skip"
        done: list[Pushed] = []
        due: list[Slot] = []
        for slot in slots:
            answer = slot.judge(slot.held(before), skip_present=skip_present)
            if answer is None:
                due.append(slot)
            else:
                done += answers(slot, answer)
        if not due:
            return done
        replies = await self._write(due)
        try:
            after = await self._look(day, due)
        except SourceError:
            after = None
        for slot, told in zip(due, replies, strict=True):
            answer = _unseen(slot, told) if after is None else _seen(slot, told, slot.held(after))
            done += answers(slot, replace(answer, before=slot.held(before)))
        return done

    async def _look(self, day: date, slots: Iterable[Slot]) -> dict[tuple[str, ...], Mapping[str, Any]]:
        """What PowerSchool holds for these students on that day."""
        students = list(dict.fromkeys(slot.student for slot in slots))
        args = {
            "attendance_att_mode_code": [self._mode],
            "students_dcid": students,
            "attendance_att_date_start": day.isoformat(),
            "attendance_att_date_end": day.isoformat(),
        }
        return by_key(await self._client.query(queries.DETAIL, args), self._mode, day.isoformat())

    async def _write(self, slots: Sequence[Slot]) -> list[_Told]:
        """Write every slot; what PowerSchool says of each, in the same order.

        Raises SourceError where it takes none at all now: what was written by then is found when it is sent again.
        """
        told: dict[int, _Told] = {}
        failed = 0
        path, batches = await self._batches(slots)
        waiting = deque(batches)
        while waiting:
            batch = waiting.popleft()
            try:
                reply = await self._client.write(path, [record for slot in batch for record in slot.records()])
            except SourceError as exc:
                if _concerns_all(exc):
                    raise
                failed += exc.retry
                if path == _MANY:  # one of them may be at fault, and the others are not to pay for it
                    path = _ONE
                    waiting = deque([slot] for rest in (batch, *waiting) for slot in rest)
                    continue
                told |= {id(slot): _Told(error=exc) for slot in batch}
                if failed == _GIVE_UP:
                    told |= {id(slot): _Told(error=exc, tried=False) for rest in waiting for slot in rest}
                    break
            else:
                failed = 0
                told |= _each(batch, reply)
        return [told[id(slot)] for slot in slots]

    async def _batches(self, slots: Sequence[Slot]) -> tuple[str, list[list[Slot]]]:
        """Which slots go in one request: a meeting's by student, a day's by two hundred where PowerSchool can."""
        if self._mode == DAILY:
            has_batches = (await self._client.metadata()).has_batches
            size = BATCH if has_batches and len(slots) > 1 else 1
            batches = [list(slots[start : start + size]) for start in range(0, len(slots), size)]
            return (_ONE if size == 1 else _MANY), batches
        by_student: dict[tuple[ids.StudentId, ids.SchoolNumber], list[Slot]] = defaultdict(list)
        for slot in slots:
            by_student[slot.student_id, slot.day.number].append(slot)
        return "meeting_interval", list(by_student.values())


def _concerns_all(exc: SourceError) -> bool:
    """Whether no other mark would fare better: nothing is granted, signed in or set up, or all is too much now."""
    if isinstance(exc, VendorError):
        return exc.of_all
    return isinstance(exc, MissingGrants) or not exc.retry


def _codes(group: Sequence[_Placed], settings: PowerSchoolSettings) -> list[str]:
    """What marks that were overtaken may have left in PowerSchool, had they arrived before."""
    return [
        shown(
            settings.letters(one.day.number, one.mark.status or "present", one.mark.code if one.mark.status else None)
        )
        for one in group
    ]


def _each(batch: Sequence[Slot], reply: Any) -> dict[int, _Told]:
    """The part of an answer that concerns each slot; its results stand in the order of the records."""
    sent = [slot for slot in batch for _ in slot.records()]
    verdicts = quirks.verdicts(reply, len(sent))
    reasons: dict[int, str] = {}
    if len(verdicts.each) == len(sent):
        reasons = {id(slot): one.reason for slot, one in zip(sent, verdicts.each, strict=True) if not one.ok}
    elif any(not one.ok for one in verdicts.each):
        reasons = {id(slot): next(one.reason for one in verdicts.each if not one.ok) for slot in sent}
    return {id(slot): _Told(sure=verdicts.sure, reason=reasons.get(id(slot), "")) for slot in sent}


def _seen(slot: Slot, told: _Told, now: str) -> Pushed:
    """The answer, once PowerSchool was asked what it holds now."""
    key = slot.marks[-1].key
    if now == slot.wanted:
        return Pushed(key=key, read_back=True, held=now)
    if told.reason:
        return Pushed(key=key, error=f"PowerSchool refused it ({told.reason})", held=now)
    if told.error is not None:
        return Pushed(key=key, error=str(told.error), retry=told.error.retry, tried=told.tried, held=now)
    if told.sure:
        error = f"PowerSchool said it was written, but shows {now} for this student. Look at the student there."
        return Pushed(key=key, error=error, held=now)
    return Pushed(key=key, error="PowerSchool did not say that it was written", retry=True, held=now)


def _unseen(slot: Slot, told: _Told) -> Pushed:
    """The answer where PowerSchool could not be asked: only its own word counts."""
    key = slot.marks[-1].key
    if told.sure and not told.reason:
        return Pushed(key=key, held=slot.wanted)
    if told.reason:
        return Pushed(key=key, error=f"PowerSchool refused it ({told.reason})")
    if told.error is not None:
        return Pushed(key=key, error=str(told.error), retry=told.error.retry, tried=told.tried)
    return Pushed(key=key, error="nobody knows whether PowerSchool has written it", retry=True)
