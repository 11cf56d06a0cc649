"""Small random histories of a school, written as the core writes them, and the same figures counted naively."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from homeroom.attendance import records
from homeroom.store import Store, Transaction, iso, new_id
from homeroom.store import models as m
from homeroom.types import Status

MONDAY = date(2026, 3, 2)
LENGTH = 16  # over the second Sunday of March, when clocks change
DAYS = [MONDAY + timedelta(days=number) for number in range(LENGTH)]
STUDENTS, CLASSES = ("ann", "bob", "cy", "dan"), ("home", "math", "music")
ZONES = ("UTC", "America/New_York", "Pacific/Auckland")
RULES: tuple[dict[str, Any], ...] = (
    {"kind": "any_period"},
    {"kind": "all_periods"},
    {"kind": "homeroom"},
    {"kind": "share", "at_least": 0.5},
    {"kind": "share", "at_least": 0.67},
)
_STATUS = st.sampled_from(records.STATUSES)
_DAY = st.integers(-3, LENGTH + 3)
_MAYBE_DAY = st.none() | _DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """An enrolment; days are numbers from MONDAY on. `ended_on` is when the source took it away."""

    student: str
    group: str
    begins: int | None
    ends: int | None
    ended_on: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A mark, and what it was corrected to since."""

    student: str
    group: str
    day: int
    period: int
    status: Status
    corrected: Sequence[Status]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened at one school."""

    rule: dict[str, Any]
    zone: str
    closed: frozenset[int]
    extra: frozenset[int]
    seats: Sequence[Seat]
    marks: Sequence[Made]
    put_away: dict[str, int] = field(default_factory=dict)

    def where(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def in_session(self) -> list[date]:
        """Weekdays but the closed ones, and the extra days."""
        return [
            day
            for number, day in enumerate(DAYS)
            if number in self.extra - self.closed or (day.weekday() < 5 and number not in self.closed)
        ]

    def is_enrolled(self, student: str, day: date) -> bool:
        number = (day - MONDAY).days
        return any(
            seat.student == student
            and (seat.begins is None or seat.begins <= number)
            and (seat.ends is None or number < seat.ends)
            and (seat.ended_on is None or number < seat.ended_on)
            and (seat.group not in self.put_away or number < self.put_away[seat.group])
            for seat in self.seats
        )

    def status(self, student: str, day: date, *, groups: Sequence[str] | None = None) -> Status | None:
        """What the day was for the student: None where no mark counts."""
        rule: dict[str, Any] = self.rule if groups is None else {"kind": "any_period"}
        mine = sorted(
            (
                mark
                for mark in self.marks
                if mark.student == student
                and DAYS[mark.day] == day
                and (groups is None or mark.group in groups)
                and (rule["kind"] != "homeroom" or mark.group == "home")
            ),
            key=lambda mark: (mark.period, CLASSES.index(mark.group)),
        )
        if not mine:
            return None
        known: list[Status] = [(mark.status, *mark.corrected)[-1] for mark in mine]
        came = sum(status in ("present", "tardy") for status in known)
        enough = {
            "any_period": came >= 1,
            "all_periods": came == len(known),
            "homeroom": came == len(known),
            "share": came >= rule.get("at_least", 0) * len(known),
        }[rule["kind"]]
        if enough:
            return "tardy" if known[0] == "tardy" else "present"
        return "absent" if "absent" in known else "excused"


_SEATS = st.lists(
    st.builds(
        Seat,
        student=st.sampled_from(STUDENTS),
        group=st.sampled_from(CLASSES),
        begins=_MAYBE_DAY,
        ends=_MAYBE_DAY,
        ended_on=st.none() | st.none() | _DAY,
    ),
    max_size=9,
)
_MARKS = st.lists(
    st.builds(
        Made,
        student=st.sampled_from(STUDENTS),
        group=st.sampled_from(CLASSES),
        day=st.integers(0, LENGTH - 1),
        period=st.integers(1, 2),
        status=_STATUS,
        corrected=st.lists(_STATUS, max_size=2),
    ),
    max_size=40,
    unique_by=lambda mark: (mark.student, mark.group, mark.day, mark.period),
)
_FEW_DAYS = st.frozensets(st.integers(0, LENGTH - 1), max_size=4)
HISTORIES = st.builds(
    History,
    rule=st.sampled_from(RULES),
    zone=st.sampled_from(ZONES),
    closed=_FEW_DAYS,
    extra=_FEW_DAYS,
    seats=_SEATS,
    marks=_MARKS,
    put_away=st.dictionaries(st.sampled_from(("math", "music")), _DAY, max_size=1),
)


def write(store: Store, history: History) -> str:
    """Let it have happened, at a school of its own; gives the school's id. Students are `SCHOOL-NAME`."""
    school = new_id()

    def moment(number: int, hour: int = 9) -> datetime:
        """An hour of a day at the school."""
        local = datetime.combine(MONDAY + timedelta(days=number), time(hour), history.where())
        return local.astimezone(UTC)

    def unit(tx: Transaction) -> None:
        settings = {"day_rule": history.rule, "school_days": list(range(5))}
        tx.insert(
            m.Org, id=school, name="North", kind="school", time_zone=history.zone, settings=settings, changed_at=tx.now
        )
        for days, held in ((history.extra - history.closed, True), (history.closed, False)):
            for number in days:
                tx.insert(m.CalendarDay, school_id=school, day=DAYS[number], in_session=held)
        for group in CLASSES:
            gone = history.put_away.get(group)
            tx.insert(
                m.Class,
                id=f"{school}-{group}",
                title=group,
                school_id=school,
                kind="homeroom" if group == "home" else "scheduled",
                archived=gone is not None,
                changed_at=tx.now if gone is None else moment(gone),
            )
        for student in STUDENTS:
            named = {"given_name": student.title(), "family_name": "Lee", "sort_name": student}
            tx.insert(m.User, id=f"{school}-{student}", changed_at=tx.now, **named)
        for seat in history.seats:
            tx.insert(
                m.Enrollment,
                user_id=f"{school}-{seat.student}",
                class_id=f"{school}-{seat.group}",
                role="student",
                begins_on=None if seat.begins is None else MONDAY + timedelta(days=seat.begins),
                ends_on=None if seat.ends is None else MONDAY + timedelta(days=seat.ends),
                ended=seat.ended_on is not None,
                changed_at=tx.now if seat.ended_on is None else moment(seat.ended_on),
            )
        for mark in history.marks:
            _mark(tx, school, mark, moment(mark.day, 8 + mark.period))

    store.write_now(unit)
    return school


def _mark(tx: Transaction, school: str, mark: Made, starts_at: datetime) -> None:
    session = f"{school}-{mark.group}-{mark.day}-{mark.period}"
    place = {"class_id": f"{school}-{mark.group}", "school_id": school, "school_day": DAYS[mark.day]}
    if tx.get(m.ClassSession, session) is None:
        tx.insert(m.ClassSession, id=session, starts_at=starts_at, late_after_minutes=5, state="closed", **place)
    record = records.Record(
        id=f"{CLASSES.index(mark.group)}-{session}-{mark.student}",
        session_id=session,
        student_id=f"{school}-{mark.student}",
        status=mark.status,
        origin="teacher",
        recorded_at=iso(starts_at),
        valid_from=iso(starts_at),
        **{**place, "school_day": DAYS[mark.day].isoformat()},  # type: ignore[arg-type]
    )
    assert records.add(tx, record)
    for status in mark.corrected:
        change = records.Change(status=status, origin="office", by=None, reason="as it was")
        record = records.amend(tx, replace(record), change)
