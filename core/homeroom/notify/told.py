"""What families were told before: the messages about some students that a new look must not repeat, or must mend."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import orjson

from homeroom.attendance.records import day_text
from homeroom.notify.settings import Audience
from homeroom.store import Connection
from homeroom.store.bulk import select_in

SENT = ("sending", "unknown", "accepted", "delivered")
"""The states of a message that somebody may have read."""

UNSENT = ("waiting", "held", "withheld")

_OF_A_DAY = timedelta(days=15)
_OF_DAYS = timedelta(days=400)  # a school year
_TOLD = """
SELECT id, key, rule_id, rule_version, kind, state, student_id, school_id, school_day, recipient_id, audience, why,
  corrects, purpose
FROM notifications WHERE school_day >= ? AND (school_day >= ? OR kind NOT IN ('absence', 'tardy', 'returned'))
AND student_id IN ({}) ORDER BY created_at, id
"""
_OF_DAYS_TOLD = """
SELECT student_id, school_day, state FROM notifications WHERE school_day >= ? AND school_day <= ?
AND kind IN ('absence', 'tardy') AND audience = 'guardian' AND corrects IS NULL AND student_id IN ({})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One message about a student."""

    id: str
    key: str
    rule_id: str
    rule_version: int
    kind: str
    state: str
    student_id: str
    school_id: str
    school_day: str
    recipient_id: str
    audience: Audience
    why: Mapping[str, Any]
    corrects: str | None
    purpose: str

    @property
    def is_sent(self) -> bool:
        """Whether its recipient may have read it."""
        return self.state in SENT

    @property
    def is_unsent(self) -> bool:
        """Whether it can be taken back: it is surely not on its way, and nobody has read it."""
        return self.state in UNSENT

    @property
    def records(self) -> Sequence[str]:
        """The attendance records that it was about."""
        found: Sequence[str] = self.why.get("records", ())
        return found


class History:
    """The messages about some students that a look at a day must know, and those of the school year that count days."""

    def __init__(self, connection: Connection, students: Collection[str], day: date) -> None:
        self._by_student: dict[str, list[Told]] = defaultdict(list)
        self._corrections: dict[str, Told] = {}
        ordered, since = sorted(students), ((day - _OF_DAYS).isoformat(), (day - _OF_A_DAY).isoformat())
        for row in select_in(connection, _TOLD, since, ordered):
            told = _told(row)
            if told.corrects is not None:
                self._corrections[told.corrects] = told
            else:
                self._by_student[told.student_id].append(told)

    def about(self, student_id: str, *kinds: str) -> list[Told]:
        """The messages about a student of these kinds, the oldest first; corrections are not among them."""
        return [told for told in self._by_student.get(student_id, ()) if told.kind in kinds]

    def readers(self) -> set[str]:
        """Everybody who may have read one of them."""
        return {told.recipient_id for some in self._by_student.values() for told in some if told.is_sent}

    def correction_of(self, told: Told) -> Told | None:
        """The correction of a message, where there is one."""
        return self._corrections.get(told.id)

    def is_taken_back(self, told: Told) -> bool:
        """Whether a correction of it has gone out, or is on its way."""
        correction = self.correction_of(told)
        return correction is not None and (correction.is_sent or correction.state in ("waiting", "held"))

    def is_corrected(self, told: Told) -> bool:
        """Whether its recipient may have read a correction of it."""
        correction = self.correction_of(told)
        return correction is not None and correction.is_sent


def _told(row: Sequence[Any]) -> Told:
    return Told(
        id=row[0],
        key=row[1],
        rule_id=row[2],
        rule_version=row[3],
        kind=row[4],
        state=row[5],
        student_id=row[6],
        school_id=row[7],
        school_day=day_text(row[8]),
        recipient_id=row[9],
        audience=row[10],
        why=orjson.loads(row[11]),
        corrects=row[12],
        purpose=row[13],
    )


def told_of(connection: Connection, students: Collection[str], since: date, until: date) -> dict[tuple[str, str], str]:
    """Whether families were told of an absence or a late arrival, by (student, school day), where a message was made.

    "told": one was taken by a vendor; "waiting": one is to go; "unknown": nobody knows; "failed": none will go.
    """
    states: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in select_in(connection, _OF_DAYS_TOLD, (since.isoformat(), until.isoformat()), sorted(students)):
        states[row[0], day_text(row[1])].add(row[2])
    return {key: _summed(found) for key, found in states.items()}


def _summed(states: Collection[str]) -> str:
    if {"accepted", "delivered"} & set(states):
        return "told"
    if {*UNSENT, "sending"} & set(states):
        return "waiting"
    return "unknown" if "unknown" in states else "failed"
