"""The district that benches measure on, and the count of what is there afterwards, on both databases."""

from __future__ import annotations

import pytest

from homeroom.bench.checkin import count
from homeroom.bench.synthetic import populate, remember
from homeroom.store import Store, Transaction, iso
from homeroom.store import models as m


def record(tx: Transaction, session: str, student: str, *, key: str = "") -> None:
    tx.insert(
        m.AttendanceRecord,
        id=f"{session}-{student}{key}",
        session_id=session,
        class_id="c0000",
        school_id="school",
        student_id=student,
        school_day=tx.now.date(),
        status="present",
        origin="check_in",
        recorded_at=iso(tx.now),
        valid_from=iso(tx.now),
    )


def enter(tx: Transaction, session: str, student: str) -> None:
    tx.journal("attendance.recorded", session_id=session, student_id=student)


def counted(tx: Transaction, present: int) -> None:
    values = {"class_id": "c0000", "school_day": tx.now.date(), "school_id": "school"}
    tx.insert(m.AttendanceCount, **values, present=present)


def test_every_student_sits_in_one_class_with_an_open_session(store: Store) -> None:
    groups = populate(store, classes=3, students=50, teachers=2, first=20)
    assert [len(group.students) for group in groups] == [20, 15, 15]
    assert len({student for group in groups for student in group.students}) == 50
    sessions = store.read_now(lambda c: c.all(m.ClassSession.select().where(m.ClassSession.state == "open")))
    assert {session.id for session in sessions} == {group.session_id for group in groups}
    seats = store.read_now(lambda c: c.tuples(m.Enrollment.select(m.Enrollment.class_id, m.Enrollment.role)))
    assert (seats.count(("c0000", "student")), seats.count(("c0000", "teacher"))) == (20, 2)


def test_a_made_up_year_has_a_row_for_each_student_and_day_and_counters_that_agree(store: Store) -> None:
    groups = populate(store, classes=2, students=10)
    rows, days = remember(store, groups, 40)
    assert (rows, len(days)) == (400, 40)
    assert all(day.weekday() < 5 for day in days)
    counts = store.read_now(lambda c: c.all(m.AttendanceCount.select()))
    assert len(counts) == 80
    assert sum(one.present + one.tardy + one.absent + one.excused for one in counts) == 400
    assert 0 < sum(one.absent for one in counts) < sum(one.present for one in counts)


def test_what_was_answered_and_is_there_once_is_neither_lost_nor_doubled(sqlite_store: Store) -> None:
    def unit(tx: Transaction) -> None:
        for student in ("s1", "s2"):
            record(tx, "n1", student)
            enter(tx, "n1", student)
        counted(tx, 2)

    sqlite_store.write_now(unit)
    assert sqlite_store.read_now(lambda c: count(c, {("n1", "s1"), ("n1", "s2")})) == (0, 0)


@pytest.mark.parametrize("missing", ["record", "journal", "count"])
def test_an_answered_check_in_that_is_not_there_in_full_is_lost(sqlite_store: Store, missing: str) -> None:
    def unit(tx: Transaction) -> None:
        record(tx, "n1", "s1")
        enter(tx, "n1", "s1")
        if missing != "record":
            record(tx, "n1", "s2")
        if missing != "journal":
            enter(tx, "n1", "s2")
        counted(tx, 1 if missing in {"count", "record"} else 2)

    sqlite_store.write_now(unit)
    lost, doubled = sqlite_store.read_now(lambda c: count(c, {("n1", "s1"), ("n1", "s2")}))
    assert (lost, doubled) == (1, 0)


@pytest.mark.parametrize("twice", ["record", "journal", "count"])
def test_a_check_in_that_is_there_twice_is_doubled(sqlite_store: Store, twice: str) -> None:
    def unit(tx: Transaction) -> None:
        record(tx, "n1", "s1")
        enter(tx, "n1", "s1")
        if twice == "record":
            tx.write_sql("DROP INDEX attendancerecord_session_id_student_id")
            record(tx, "n1", "s1", key="again")
        if twice == "journal":
            enter(tx, "n1", "s1")
        counted(tx, 1 if twice == "journal" else 2)

    sqlite_store.write_now(unit)
    lost, doubled = sqlite_store.read_now(lambda c: count(c, {("n1", "s1")}))
    assert (lost, doubled) == (0, 1)
