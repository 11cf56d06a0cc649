"""The journal becomes what a SIS should hold: one row for each student and meeting or day, always the latest wish."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from homeroom.attendance.absences import Report, decide, report_absence
from homeroom.attendance.marks import NewMark, mark
from homeroom.attendance_out.queue import begin
from homeroom.roster.calendar import clear_calendar_day, set_calendar_day
from homeroom.store import Store, Transaction, new_id
from homeroom.store import models as m
from tests.services.classroom import classroom, seat
from tests.services.outgoing import SIS, from_sis, out
from tests.services.scripted_sis import ScriptedSis

TODAY = datetime.now(UTC).date()
NINE = datetime.combine(TODAY, time(9), UTC)


def daily() -> ScriptedSis:
    return ScriptedSis(attendance_out="api", attendance_level="day")


async def test_a_mark_waits_for_the_sis_under_its_own_ids(store: Store) -> None:
    one = out(store)
    session = one.room.open(starts_at=NINE, period="3")
    one.mark(session, one.students[1], code="MED")
    await one.follow()
    row = one.row()
    assert (row.student_sourced_id, row.class_sourced_id, row.school_sourced_id) == ("sis-1", "sis-class", "sis-school")
    assert (row.enrollment_sourced_id, row.periods, row.starts_at) == ("sis-seat-1", ["3"], NINE)
    assert (row.status, row.code, row.school_day, row.state) == ("excused", "MED", TODAY, "waiting")
    assert one.status().waiting == 1


async def test_ten_corrections_before_it_is_sent_are_one_write_of_the_last(store: Store) -> None:
    one = out(store)
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    await one.follow()
    for status in ("present", "absent", "tardy", "absent", "excused") * 2:
        one.correct(session, one.students[0], status)
        await one.follow()
    assert (one.row().status, one.row().version) == ("excused", 11)
    await one.send()
    assert one.sis.writes == 1
    assert one.sis.attendance == {("sis-0", "sis-class", TODAY.isoformat()): "excused"}


async def test_what_is_followed_twice_changes_nothing(store: Store) -> None:
    one = out(store)
    session = one.room.open()
    for student in one.students:
        one.mark(session, student, "absent")
    await one.follow()
    rows = [row.__data__ for row in one.rows()]
    store.write_now(lambda tx: tx.run(m.Cursor.update(position=0)))
    await one.follow()
    assert [row.__data__ for row in one.rows()] == rows


async def test_a_queue_begins_with_what_comes_after_it_was_switched_on(sqlite_store: Store) -> None:
    one = out(sqlite_store, begun=False)
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    for _ in range(2):
        sqlite_store.write_now(lambda tx: begin(tx, SIS))
        one.mark(session, one.students[1], "absent")
    await one.follow()
    assert [row.student_id for row in one.rows()] == [one.students[1]]


async def test_students_and_classes_that_the_sis_does_not_know_are_left_out_and_counted_once(store: Store) -> None:
    one = out(store)
    local = classroom(store)
    newcomer = f"{one.room.class_id}-new"

    def join(tx: Transaction) -> None:
        names = {"given_name": "Bo", "family_name": "Lee", "sort_name": "lee bo"}
        tx.insert(m.User, id=newcomer, changed_at=tx.now, **names)
        seat(tx, one.room.class_id, newcomer)

    store.write_now(join)
    session = one.room.open()
    one.mark(session, newcomer, "absent")
    one.mark(session, one.students[0], "absent")
    theirs = local.open()
    store.write_now(lambda tx: mark(tx, theirs.id, [NewMark(student_id=local.students[0], status="absent")]))
    await one.follow()
    one.correct(session, newcomer, "excused")
    await one.follow()
    assert [row.student_id for row in one.rows()] == [one.students[0]]
    assert one.status().left_out == 2


async def test_hazard_26_ids_that_another_source_gave_are_never_sent(sqlite_store: Store) -> None:
    one = out(sqlite_store)
    other = classroom(sqlite_store)
    from_sis(sqlite_store, other, source="other_sis")  # the very same texts, for other children
    session = other.open()
    sqlite_store.write_now(lambda tx: mark(tx, session.id, [NewMark(student_id=other.students[0], status="absent")]))
    await one.send()
    assert (one.rows(), one.sis.pushed, one.status().left_out) == ([], [], 1)


@pytest.mark.parametrize("level", ["class", "day"])
async def test_hazard_18_a_past_mark_of_a_student_who_left_still_goes_out(sqlite_store: Store, level: Any) -> None:
    one = out(sqlite_store, sis=ScriptedSis(attendance_out="api", attendance_level=level))
    session = one.room.open()
    one.mark(session, one.students[0], "absent")

    def leave(tx: Transaction) -> None:
        tx.run(m.User.update(ended=True).where(m.User.id == one.students[0]))
        tx.run(m.Enrollment.update(ended=True).where(m.Enrollment.user_id == one.students[0]))

    sqlite_store.write_now(leave)
    await one.send()
    one.correct(session, one.students[0], "excused")
    await one.send()
    assert [mark.status for push in one.sis.pushed for mark in push] == ["absent", "excused"]
    assert list(one.sis.attendance.values()) == ["excused"]


async def test_hazard_6_a_transfer_changes_nothing_about_a_mark_that_was_made(sqlite_store: Store) -> None:
    one = out(sqlite_store)
    elsewhere = classroom(sqlite_store)
    from_sis(sqlite_store, elsewhere, prefix="far-")
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    await one.follow()

    def move(tx: Transaction) -> None:
        moved = {"school_id": elsewhere.school_id, "sourced_id": "sis-class-moved"}
        tx.run(m.Class.update(**moved).where(m.Class.id == one.room.class_id))
        tx.run(m.User.update(sourced_id="sis-again").where(m.User.id == one.students[0]))

    sqlite_store.write_now(move)
    one.correct(session, one.students[0], "excused")
    await one.send()
    ((sent,),) = one.sis.pushed
    assert (sent.student, sent.school, sent.class_) == ("sis-0", "sis-school", "sis-class")


async def test_an_absence_that_is_approved_later_goes_out_as_excused_with_its_code(store: Store) -> None:
    one = out(store)
    session = one.room.open()
    one.room.close(session.id)
    await one.send()
    report = Report(id=new_id(), student_id=one.students[0], first_day=TODAY, last_day=TODAY, code="MED")
    store.write_now(lambda tx: report_absence(tx, report))
    store.write_now(lambda tx: decide(tx, report.id, "approved"))
    await one.send()
    assert [mark.status for mark in one.sis.pushed[0]] == ["absent"] * 3
    ((excused,),) = one.sis.pushed[1:]
    assert (excused.student, excused.status, excused.code, excused.held) == ("sis-0", "excused", "MED", "absent")


async def test_two_meetings_of_a_class_on_one_day_are_two_marks(store: Store) -> None:
    one = out(store, periods=["1", "2"])
    sessions = [one.room.open(starts_at=NINE + timedelta(hours=n)) for n in (0, 1)]
    one.mark(sessions[0], one.students[0], "absent")
    one.mark(sessions[1], one.students[0], "present")
    await one.follow()
    assert [row.status for row in one.rows()] == ["absent", "present"]


async def test_of_a_session_that_was_opened_twice_by_mistake_the_later_one_counts(sqlite_store: Store) -> None:
    one = out(sqlite_store)
    first, second = (one.room.open(starts_at=NINE + timedelta(minutes=n)) for n in (0, 5))
    one.room.close(first.id)
    one.mark(second, one.students[0], "present")
    await one.follow()
    one.correct(first, one.students[0], "excused")
    await one.follow()
    row = next(row for row in one.rows() if row.student_id == one.students[0])
    assert (row.status, row.session_id) == ("present", second.id)


async def test_a_wish_that_returns_to_what_was_sent_costs_no_write(sqlite_store: Store) -> None:
    one = out(sqlite_store)
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    await one.send()
    one.correct(session, one.students[0], "present")
    one.correct(session, one.students[0], "absent")
    one.correct(session, one.students[0], "tardy")
    await one.follow()
    one.correct(session, one.students[0], "absent")
    await one.send()
    assert len(one.sis.pushed) == 1
    assert (one.row().state, one.status().waiting) == ("sent", 0)


async def test_a_day_is_one_mark_by_the_schools_own_rule(store: Store) -> None:
    one = out(store, sis=daily())
    morning, noon = (one.room.open(starts_at=NINE + timedelta(hours=n), period=str(n)) for n in (0, 3))
    student = one.students[0]
    one.mark(morning, student, code="MED")
    await one.send()
    assert (one.row().class_id, one.row().status, one.row().code) == (None, "excused", "MED")
    one.mark(noon, student, "tardy", minutes_late=7)
    await one.send()
    assert one.sis.attendance == {("sis-0", None, TODAY.isoformat()): "present"}  # came, though not to the first period
    rule = {"school_days": list(range(7)), "day_rule": {"kind": "all_periods"}}
    store.write_now(lambda tx: tx.run(m.Org.update(settings=rule).where(m.Org.id == one.room.school_id)))
    one.correct(noon, student, "absent")
    await one.send()
    assert one.sis.attendance == {("sis-0", None, TODAY.isoformat()): "absent"}
    assert len(one.rows()) == 1


async def test_a_day_that_its_rule_does_not_know_yet_is_not_sent(sqlite_store: Store) -> None:
    one = out(sqlite_store, sis=daily())
    rule = {"school_days": list(range(7)), "day_rule": {"kind": "homeroom"}}
    sqlite_store.write_now(lambda tx: tx.run(m.Org.update(settings=rule).where(m.Org.id == one.room.school_id)))
    one.mark(one.room.open(), one.students[0], "absent")
    await one.send()
    assert (one.rows(), one.status().left_out) == ([], 0)


async def test_a_day_without_school_is_not_sent_and_a_holiday_made_later_is_taken_back(store: Store) -> None:
    one = out(store, sis=daily())
    school = one.room.school_id
    store.write_now(lambda tx: set_calendar_day(tx, school, TODAY, in_session=False))
    one.mark(one.room.open(), one.students[0], "absent")
    await one.send()
    assert one.rows() == []
    store.write_now(lambda tx: clear_calendar_day(tx, school, TODAY))
    await one.send()
    assert list(one.sis.attendance.values()) == ["absent"]
    store.write_now(lambda tx: set_calendar_day(tx, school, TODAY, in_session=False))
    await one.send()
    assert one.sis.attendance == {}
    assert one.sis.pushed[-1][0].status is None


async def test_hazard_17_the_day_is_the_schools_own_and_not_that_of_utc(sqlite_store: Store) -> None:
    one = out(sqlite_store, zone="America/Los_Angeles")
    late = datetime.combine(TODAY, time(2), UTC)  # the evening before at the school
    one.mark(one.room.open(starts_at=late), one.students[0], "absent")
    await one.send()
    assert one.sis.pushed[0][0].school_day == TODAY - timedelta(days=1)


async def test_much_in_the_journal_that_is_no_attendance_is_passed_over(sqlite_store: Store) -> None:
    one = out(sqlite_store)

    def chatter(tx: Transaction) -> None:
        for number in range(6000):
            tx.journal("user.changed", subject_id=str(number))

    sqlite_store.write_now(chatter)
    one.mark(one.room.open(), one.students[0], "absent")
    await one.follow()
    assert one.status().waiting == 1


async def test_the_enrolment_is_the_one_of_that_day(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=1)
    student = one.students[0]
    ended: dict[str, Any] = {"begins_on": date(2020, 1, 1), "ends_on": TODAY}
    sqlite_store.write_now(
        lambda tx: seat(tx, one.room.class_id, student, source=SIS, sourced_id="sis-seat-before", **ended)
    )
    one.mark(one.room.open(), student, "absent")
    await one.follow()
    assert one.row().enrollment_sourced_id == "sis-seat-0"
