"""Where a mark goes in PowerSchool, what it shall say there, and what stands there now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from homeroom import OutgoingMark, Pushed
from homeroom_powerschool import ids
from homeroom_powerschool.quirks import as_object, as_text
from homeroom_powerschool.school_day import Code, Meeting, SchoolDay
from homeroom_powerschool.settings import PowerSchoolSettings

NOTHING = "(nothing)"
BLANK = "(blank)"
"""What PowerSchool is said to hold where there is no mark, and where there is one with its blank code."""

DAILY, MEETING = "ATT_ModeDaily", "ATT_ModeMeeting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One student's place in PowerSchool's attendance of one day: the marks for it in order, the last one counts.

    `enrollment` and `meetings` are those of the class, None and empty for the whole day.
    """

    marks: tuple[OutgoingMark, ...]
    student: ids.StudentDcid
    student_id: ids.StudentId
    day: SchoolDay
    code: Code
    earlier: frozenset[str]
    enrollment: ids.EnrollmentId | None = None
    meetings: tuple[Meeting, ...] = ()

    @property
    def wanted(self) -> str:
        """What PowerSchool shall hold, as `held` says it."""
        return shown(self.code.letters)

    def records(self) -> list[dict[str, str]]:
        """What is written: one record, or one for each period; every value is a string."""
        common = {
            "studentid": str(self.student_id),
            "schoolid": str(self.day.number),
            "yearid": str(self.day.year),
            "att_date": self.day.day.isoformat(),
            "calendar_dayid": str(self.day.calendar_day),
            "attendance_codeid": str(self.code.id),
            "programid": "0",
        }
        if self.enrollment is None:
            return [{**common, "att_mode_code": DAILY}]
        return [
            {
                **common,
                "att_mode_code": MEETING,
                "ccid": str(self.enrollment),
                "periodid": str(meeting.period),
                "start_time": str(meeting.start),
                "end_time": str(meeting.end),
            }
            for meeting in self.meetings
        ]

    def held(self, rows: Mapping[tuple[str, ...], Mapping[str, Any]]) -> str:
        """What PowerSchool holds here, of the rows that were read."""
        texts = [_letters(rows.get(key), self.day) for key in self._keys()]
        return texts[0] if len(set(texts)) == 1 else "/".join(texts)

    def _keys(self) -> list[tuple[str, ...]]:
        if self.enrollment is None:
            return [(str(self.student_id),)]
        return [(str(self.student_id), str(self.enrollment), str(meeting.period)) for meeting in self.meetings]

    def judge(self, now: str, *, skip_present: bool) -> Pushed | None:
        """The answer where nothing is to be written, None where something is."""
        last = self.marks[-1]
        if now == self.wanted:
            return Pushed(key=last.key, read_back=True, held=now, before=now)
        if now == NOTHING and (last.status is None or (skip_present and last.status == "present")):
            return Pushed(key=last.key, read_back=True, held=now, before=now)
        ours = {self.marks[0].held or NOTHING, *self.earlier}
        if now in ours or any(mark.overwrite for mark in self.marks):
            return None
        return Pushed(
            key=last.key,
            error=f"PowerSchool holds {now} there, which was not entered from here. Choose which of the two holds.",
            held=now,
            before=now,
            differs=True,
        )


def shown(letters: str) -> str:
    """Letters as `held` says them."""
    return letters or BLANK


def code_of(mark: OutgoingMark, day: SchoolDay, settings: PowerSchoolSettings) -> Code:
    """The code for a mark. Raises Unplaceable where the school has none, or one that means the opposite there."""
    letters = settings.letters(day.number, mark.status or "present", None if mark.status is None else mark.code)
    code = day.codes.get(letters)
    if code is None:
        raise ids.Unplaceable(
            f"school {day.number} has no attendance code {shown(letters)} in PowerSchool this year. Name the one to "
            "use under codes or codes_by_school."
        )
    is_present = mark.status in (None, "present", "tardy")
    if code.present is not None and mark.status != "excused" and code.present != is_present:
        raise ids.Unplaceable(
            f"at school {day.number} the code {shown(letters)} counts as {'present' if code.present else 'absent'} in "
            f"PowerSchool, and the mark says {mark.status or 'present'}. Name another under codes_by_school."
        )
    return code


def by_key(rows: Iterable[Any], mode: str, day: str) -> dict[tuple[str, ...], Mapping[str, Any]]:
    """Rows of attendance as read, by what a slot looks for."""
    found: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for row in rows:
        tables = as_object(as_object(row).get("tables"))
        attendance = as_object(tables.get("attendance"))
        if as_text(attendance.get("att_mode_code")) != mode or (as_text(attendance.get("att_date")) or "")[:10] != day:
            continue
        names = ("studentid",) if mode == DAILY else ("studentid", "ccid", "periodid")
        found[tuple(as_text(attendance.get(name)) or "" for name in names)] = tables
    return found


def answers(slot: Slot, answer: Pushed) -> Sequence[Pushed]:
    """The same answer for every mark of the slot: an earlier one was overtaken by the last."""
    return [replace(answer, key=mark.key) for mark in slot.marks]


def _letters(tables: Mapping[str, Any] | None, day: SchoolDay) -> str:
    if tables is None:
        return NOTHING
    code = as_text(as_object(tables.get("attendance")).get("attendance_codeid")) or ""
    letters = day.letters_of(code)
    return shown(
        letters if letters is not None else as_text(as_object(tables.get("attendance_code")).get("att_code")) or ""
    )
