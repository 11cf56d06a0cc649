"""What the core counts for reports is what one would count by hand, whatever happened at the school."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeroom import School
from homeroom.figures import StoredFigures
from homeroom.store import Store, Transaction, new_id
from homeroom.store import models as m
from tests.services.classroom import Classroom, classroom
from tests.services.histories import CLASSES, DAYS, HISTORIES, MONDAY, STUDENTS, History, write

SCOPES = frozenset({"attendance.status", "student.given_name", "student.family_name", "student.preferred_name"})


def figures(store: Store, scopes: frozenset[str] = SCOPES) -> StoredFigures:
    return StoredFigures(store, "counter", scopes, time_zone="UTC", weekdays=range(5))


LATER = datetime(2026, 5, 1, tzinfo=UTC)
_PROPERTY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def school_at(store: Store, school_id: str, now: datetime = LATER) -> School:
    (school,) = store.read_now(lambda c: figures(store).schools(c, {school_id}, now=now))
    return school


def by_hand(history: History, groups: list[str] | None = None) -> dict[date, Counter[str]]:
    """The students of each day by status."""
    found: dict[date, Counter[str]] = {}
    for day in DAYS:
        for student in STUDENTS:
            status = history.status(student, day, groups=groups)
            if status is not None:
                found.setdefault(day, Counter())[status] += 1
    return found


@_PROPERTY
@given(history=HISTORIES, groups=st.none() | st.lists(st.sampled_from(CLASSES), unique=True, min_size=1))
def test_the_days_are_those_one_would_count_by_hand(store: Store, history: History, groups: list[str] | None) -> None:
    school = school_at(store, write(store, history))
    assert school.time_zone == history.zone
    class_ids = None if groups is None else {f"{school.id}-{group}" for group in groups}
    found = store.read_now(lambda c: figures(store).days(c, school, DAYS[0], DAYS[-1], class_ids=class_ids))
    counted = {
        one.school_day: Counter(present=one.present, tardy=one.tardy, absent=one.absent, excused=one.excused)
        for one in found
    }
    assert counted == by_hand(history, groups)
    assert [one.school_day for one in found] == sorted(counted)


@_PROPERTY
@given(history=HISTORIES, first=st.integers(0, 7), length=st.integers(1, 16))
def test_each_students_days_are_those_one_would_count_by_hand(
    store: Store, history: History, first: int, length: int
) -> None:
    school = school_at(store, write(store, history))
    since, until = DAYS[first], DAYS[min(first + length, len(DAYS)) - 1]
    held = store.read_now(lambda c: figures(store).school_days(c, school, since, until))
    assert held == [day for day in history.in_session() if since <= day <= until]

    ((totals, found),) = asyncio.run(figures(store).student_days([(school, held)]))

    wanted = {}
    for student in STUDENTS:
        enrolled = [day for day in held if history.is_enrolled(student, day)]
        what = Counter(history.status(student, day) for day in enrolled)
        outside = sum(history.status(student, day) is not None for day in held) - what.total() + what[None]
        if enrolled:
            attended = what["present"] + what["tardy"]
            wanted[f"{school.id}-{student}"] = (len(enrolled), attended, what["absent"], what["excused"], outside)
            assert what[None] == len(enrolled) - attended - what["absent"] - what["excused"]
    assert {
        one.student_id: (one.enrolled, one.attended, one.absent, one.excused, one.outside) for one in found
    } == wanted
    assert all(one.unknown >= 0 for one in found)
    assert totals == store.read_now(lambda c: figures(store).totals(c, school, held))
    counted = Counter((one.enrolled, one.attended, one.absent, one.excused, one.outside) for one in found)
    assert {
        (one.enrolled, one.attended, one.absent, one.excused, one.outside): one.students for one in totals
    } == counted
    marked = store.read_now(lambda c: figures(store).marked_days(c, school, since, until))
    assert marked == {DAYS[mark.day] for mark in history.marks if since <= DAYS[mark.day] <= until}


async def test_what_names_single_students_needs_its_scope(sqlite_store: Store) -> None:
    room = classroom(sqlite_store)
    school = school_at(sqlite_store, room.school_id)
    bare = figures(sqlite_store, frozenset())
    with pytest.raises(PermissionError, match=r"attendance\.status"):
        await bare.student_days([(school, [MONDAY])])
    with pytest.raises(PermissionError, match=r"attendance\.status"):
        sqlite_store.read_now(lambda c: bare.totals(c, school, [MONDAY]))
    with pytest.raises(PermissionError, match=r"student\.family_name"):
        await bare.names(room.students)


async def test_what_names_single_students_is_entered_first_and_holds_no_others(sqlite_store: Store) -> None:
    room = classroom(sqlite_store)
    school = school_at(sqlite_store, room.school_id)
    one = room.students[0]
    checked_in(room, 0, datetime(MONDAY.year, MONDAY.month, MONDAY.day, 9, tzinfo=UTC), status="absent")
    counting = figures(sqlite_store)
    ((totals, found),) = await counting.student_days([(school, [MONDAY])], missed=0.5)
    assert ([day.student_id for day in found], sum(alike.students for alike in totals)) == ([one], len(room.students))
    names = await counting.names([one])
    assert await counting.student_days([(school, [MONDAY])], enrolled=2) == [(totals, [])]  # nobody: nothing to enter
    assert list(names) == [one]
    rows = sqlite_store.read_now(lambda c: c.all(m.Journal.select().where(m.Journal.kind == "data.handed_out")))
    assert [(row.subject_id, row.data) for row in rows] == [
        ("counter", {"plugin": "counter", "fields": ["status"], "student_ids": [one]}),
        (
            "counter",
            {"plugin": "counter", "fields": ["family_name", "given_name", "preferred_name"], "student_ids": [one]},
        ),
    ]


def test_the_school_year_begins_with_the_calendars_or_in_july(store: Store) -> None:
    def began(day: date) -> date:
        return store.read_now(lambda c: figures(store).year_began(c, day))

    assert began(date(2026, 6, 30)) == date(2025, 7, 1)
    assert began(date(2026, 7, 1)) == date(2026, 7, 1)
    store.write_now(
        lambda tx: tx.insert(
            m.AcademicSession,
            title="2026",
            kind="schoolYear",
            begins_on=date(2026, 8, 17),
            ends_on=date(2027, 6, 12),
            changed_at=tx.now,
        )
    )
    assert began(date(2026, 11, 2)) == date(2026, 8, 17)
    assert began(date(2026, 8, 16)) == date(2026, 7, 1)


def held(room: Classroom, day: date, *, hour: int = 9, state: str = "closed", class_id: str | None = None) -> str:
    session = new_id()
    room.store.write_now(
        lambda tx: tx.insert(
            m.ClassSession,
            id=session,
            class_id=class_id or room.class_id,
            school_id=room.school_id,
            school_day=day,
            starts_at=datetime(day.year, day.month, day.day, hour, tzinfo=UTC),
            late_after_minutes=5,
            state=state,
        )
    )
    return session


def rolls_of(room: Classroom, days: list[date], now: datetime, **more: bool) -> list[tuple[date, str, str]]:
    school = school_at(room.store, room.school_id)
    found = room.store.read_now(
        lambda c: figures(room.store).rolls(c, school, days, now=now, open_for=timedelta(hours=3), **more)  # type: ignore[arg-type]
    )
    return [(roll.school_day, roll.title, roll.state) for roll in found]


def test_a_roll_is_taken_left_open_under_way_or_missing(store: Store) -> None:
    room = classroom(store)
    first, second, third, today = DAYS[:4]
    held(room, first)
    held(room, third, state="open")
    held(room, today, hour=9, state="open")
    titled = "Algebra"

    def on(hour: int) -> list[tuple[date, str, str]]:
        return rolls_of(room, DAYS[:4], datetime(2026, 3, 5, hour, 30, tzinfo=UTC))

    before = [(first, titled, "taken"), (second, titled, "none"), (third, titled, "open")]
    assert on(10) == [*before, (today, titled, "under_way")]
    assert on(12) == [*before, (today, titled, "open")]


def test_no_roll_is_asked_for_where_none_could_be_taken(store: Store) -> None:
    """Before the school began, out of term, without students, of today's classes that are still to come."""
    room = classroom(store)
    today = DAYS[4]

    def more(tx: Transaction) -> None:
        term = {"begins_on": DAYS[2], "ends_on": DAYS[3]}
        tx.insert(m.AcademicSession, id=f"{room.school_id}-t", title="T", kind="term", changed_at=tx.now, **term)
        for name, kind in (("empty", "scheduled"), ("short", "homeroom")):
            class_id = f"{room.school_id}-{name}"
            tx.insert(m.Class, id=class_id, title=name, school_id=room.school_id, kind=kind, changed_at=tx.now)
        tx.insert(m.ClassTerm, class_id=f"{room.school_id}-short", term_id=f"{room.school_id}-t")
        tx.insert(
            m.Enrollment,
            user_id=room.students[0],
            class_id=f"{room.school_id}-short",
            role="student",
            changed_at=tx.now,
        )

    store.write_now(more)
    assert rolls_of(room, DAYS[:5], LATER) == []
    held(room, DAYS[1])
    now = datetime(2026, 3, 6, 8, tzinfo=UTC)
    assert rolls_of(room, DAYS[:5], now) == [
        (DAYS[1], "Algebra", "taken"),
        (DAYS[2], "Algebra", "none"),
        (DAYS[2], "short", "none"),
        (DAYS[3], "Algebra", "none"),
    ]
    assert rolls_of(room, DAYS[:5], now, homerooms=True) == [(DAYS[2], "short", "none")]
    held(room, today)
    assert rolls_of(room, [today], now) == [(today, "Algebra", "taken")]


def checked_in(room: Classroom, student: int, at: datetime, *methods: str, **more: object) -> str:
    """A check-in as the core keeps one."""
    session, record = held(room, at.date()), new_id()
    evidence = [{"method": one, "verdict": "accept", "reason": ""} for one in methods]
    values = {
        "status": "present",
        "evidence": evidence,
        "origin": "check_in",
        "recorded_at": at,
        "valid_from": at,
        **more,
    }
    room.store.write_now(
        lambda tx: tx.insert(
            m.AttendanceRecord,
            id=record,
            session_id=session,
            class_id=room.class_id,
            school_id=room.school_id,
            student_id=room.students[student],
            school_day=at.date(),
            **values,
        )
    )
    return record


def test_check_ins_are_counted_in_the_hour_of_the_school_and_by_what_accepted_them(store: Store) -> None:
    room = classroom(store, zone="America/New_York")
    school = school_at(store, room.school_id)
    winter, summer = datetime(2026, 3, 6, 13, 59, tzinfo=UTC), datetime(2026, 3, 10, 12, 1, tzinfo=UTC)
    checked_in(room, 0, winter, "rotating_code")
    checked_in(room, 0, summer, "rotating_code")
    checked_in(room, 1, summer, "rotating_code", "geofence")
    checked_in(room, 2, summer)
    checked_in(room, 2, winter, "geofence", occurred_at=winter - timedelta(hours=2))
    checked_in(room, 1, winter, origin="teacher")
    corrected = checked_in(room, 0, winter + timedelta(hours=2), "rotating_code")

    def correct(tx: Transaction) -> None:
        row = tx.get(m.AttendanceRecord, corrected)
        assert row is not None
        kept = ("session_id", "class_id", "student_id", "school_day", "status", "origin", "valid_from")
        values = {name: getattr(row, name) for name in kept}
        tx.insert(m.AttendanceVersion, record_id=row.id, version=1, valid_to=tx.now, **values)
        tx.run(m.AttendanceRecord.update(origin="office", version=2).where(m.AttendanceRecord.id == row.id))

    store.write_now(correct)
    found = store.read_now(lambda c: figures(store).check_ins(c, school, DAYS[0], DAYS[-1]))
    assert [(one.hour, one.methods, one.count) for one in found] == [
        (6, ("geofence",), 1),
        (8, (), 1),
        (8, ("geofence", "rotating_code"), 1),
        (8, ("rotating_code",), 2),
        (10, ("rotating_code",), 1),
    ]
    other = store.read_now(lambda c: figures(store).check_ins(c, school, DAYS[0], DAYS[-1], class_ids={"another"}))
    assert other == []
