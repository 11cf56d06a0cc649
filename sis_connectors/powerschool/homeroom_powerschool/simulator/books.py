"""The attendance that was written: what `/ws/attendance/*` takes and answers, and what can be read.

Written from transcribed documentation and other people's clients [N]; the answer to a wrong record is a guess [?].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from homeroom_powerschool.simulator.shapes import one_or_many, strings
from homeroom_powerschool.simulator.world import World

DAILY, MEETING = "ATT_ModeDaily", "ATT_ModeMeeting"
_NEEDED = ("studentid", "att_date", "schoolid", "yearid", "att_mode_code", "attendance_codeid")

Key = tuple[str, ...]


@dataclass
class Books:
    """Attendance by mode, student, day and, for a meeting, enrolment and period. `locked`: students who are refused.

    `rejected`: students for whom a whole request is refused, each with the HTTP status.
    """

    world: World
    rows: dict[Key, dict[str, str]] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    rejected: dict[str, int] = field(default_factory=dict)

    def rejects(self, records: Sequence[Mapping[str, Any]]) -> int | None:
        """The status with which a request with these records is refused whole; None when it is not."""
        students = self.world.students
        names = [students.names[students.by_id[int(one["studentid"])]] for one in records if self.rejected]
        return next((self.rejected[name] for name in names if name in self.rejected), None)

    def write(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Insert or update each record; a wrong one is told with status ERROR inside an answer 200 [N]."""
        counts = {"insert_count": 0, "update_count": 0}
        results = []
        for position, record in enumerate(records, start=1):
            told = {str(key): str(value) for key, value in record.items()}
            errors = self._errors(told)
            if errors:
                results.append({"status": "ERROR", "error_message": {"error": one_or_many(errors)}})
                continue
            key = _key(told)
            counts["update_count" if key in self.rows else "insert_count"] += 1
            self.rows[key] = told
            results.append({"status": "SUCCESS", "success_message": {"id": position}})
        return {**counts, "result": one_or_many(results)}

    def detail(self, students: Sequence[int], modes: Sequence[str], first: str, last: str) -> list[dict[str, Any]]:
        """The records of some students, by their DCIDs, as `student_attendance_detail` gives them [1]."""
        known = (self.world.students.at(dcid) for dcid in students)
        wanted = {str(self.world.students.ids[position]) for position in known if position is not None}
        found = []
        for row in self.rows.values():
            fits = row["studentid"] in wanted and row["att_mode_code"] in modes and first <= row["att_date"] <= last
            if fits:
                code = self.world.code(int(row["attendance_codeid"]))
                letters = {"att_code": code.letters or None if code else None}
                found.append({"tables": {"attendance": dict(row), "attendance_code": strings(letters)}})
        return found

    def enter(self, student: str, day: date, letters: str, class_: str | None = None) -> None:
        """What somebody at the school enters, by sample ids; `class_` None is the whole day."""
        world = self.world
        school = world.orgs_of(student)[0] if class_ is None else world.classes_by_name[class_].school
        number = world.number(school)
        code = next(
            one for one in world.codes.values() if (one.school, one.year, one.letters) == (number, world.year, letters)
        )
        record: dict[str, Any] = {
            "studentid": world.students.id(student),
            "schoolid": number,
            "yearid": world.year,
            "att_date": day.isoformat(),
            "calendar_dayid": world.calendar_day(number, day),
            "attendance_codeid": code.id,
            "att_mode_code": DAILY if class_ is None else MEETING,
        }
        if class_ is not None:
            [cc] = [one for one in world.cc_of_student[student] if world.enrolled[world.cc.names[one]].class_ == class_]
            start, end = world.times(world.period_of(class_)[0])
            record |= {
                "ccid": world.cc.ids[cc],
                "periodid": world.period_id(number, world.period_of(class_)[0]),
                "start_time": start,
                "end_time": end,
            }
        self.write([record])

    def told(self) -> list[dict[str, Any]]:
        """Everything that stands in the books, by sample ids."""
        world = self.world
        found = []
        for row in self.rows.values():
            code = world.code(int(row["attendance_codeid"]))
            cc = world.cc.by_id.get(int(row["ccid"])) if "ccid" in row else None
            found.append(
                {
                    "student": world.students.names[world.students.by_id[int(row["studentid"])]],
                    "school_day": row["att_date"],
                    "code": code.letters if code else None,
                    "meaning": code.title if code else None,
                    "class": None if cc is None else world.enrolled[world.cc.names[cc]].class_,
                    "school_number": int(row["schoolid"]),
                }
            )
        return found

    def _errors(self, row: Mapping[str, str]) -> list[dict[str, str]]:
        needed = (*_NEEDED, *(("start_time", "end_time") if row.get("att_mode_code") == MEETING else ()))
        errors = [_error(name, "REQUIRED") for name in needed if not row.get(name)]
        if errors:
            return errors
        world = self.world
        if not row["studentid"].isdecimal() or int(row["studentid"]) not in world.students.by_id:
            return [_error("STUDENTID", "FIELD_VALIDATION_ERROR")]
        code = world.code(int(row["attendance_codeid"])) if row["attendance_codeid"].isdecimal() else None
        if code is None or (str(code.school), str(code.year)) != (row["schoolid"], row["yearid"]):
            return [_error("ATTENDANCE_CODEID", "FIELD_VALIDATION_ERROR")]
        name = world.students.names[world.students.by_id[int(row["studentid"])]]
        return [_error("ATT_DATE", "FIELD_VALIDATION_ERROR")] if name in self.locked else []


def _key(row: Mapping[str, str]) -> Key:
    own = (row["att_mode_code"], row["studentid"], row["att_date"])
    return own if row["att_mode_code"] == DAILY else (*own, row.get("ccid", ""), row.get("periodid", ""))


def _error(name: str, code: str) -> dict[str, str]:
    return {"field": name, "error_code": code, "error_description": "The value is not accepted."}
