"""Absences told ahead or afterwards."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from homeroom.attendance.absences import Absence, Report, Wanted, absences, decide, read_absence, report_absence
from homeroom.attendance.codes import Code, save_codes
from homeroom.attendance.history import history_of
from homeroom.attendance.marks import NewMark, mark
from homeroom.attendance.records import Record, of_session
from homeroom.attendance.statistics import recount
from homeroom.store import ORIGIN, Origin, Refused, Store, new_id
from homeroom.store import models as m
from tests.services.classroom import Classroom, classroom, journal

TODAY = date(2026, 11, 23)


def tell(store: Store, student: str, **what: Any) -> Absence:
    report = Report(**{"id": new_id(), "student_id": student, "first_day": TODAY, "last_day": TODAY, **what})
    return store.write_now(lambda tx: report_absence(tx, report))


def decided(store: Store, absence: Absence, decision: Any, code: str | None = None) -> Absence:
    return store.write_now(lambda tx: decide(tx, absence.id, decision, code=code))


def roll(room: Classroom, day: date) -> str:
    """A closed session in which everybody was absent."""
    opened = room.open()
    room.store.write_now(lambda tx: tx.run(m.ClassSession.update(school_day=day).where(m.ClassSession.id == opened.id)))
    room.close(opened.id)
    return opened.id


def records(store: Store, session_id: str) -> dict[str, Record]:
    return store.read_now(lambda c: of_session(c, session_id))


def test_a_report_waits_for_a_decision_with_its_reason_sealed(store: Store) -> None:
    room = classroom(store)
    ORIGIN.set(Origin(actor_id="mother"))
    absence = tell(store, room.students[0], reason="Has a fever", last_day=TODAY + timedelta(days=2))
    assert (absence.state, absence.code, absence.reported_by, absence.reason) == (
        "reported",
        "E",
        "mother",
        "Has a fever",
    )
    assert (absence.first_day, absence.last_day) == ("2026-11-23", "2026-11-25")
    stored = store.read_now(lambda c: repr(c.sql("SELECT * FROM absence_reports") + c.sql("SELECT * FROM journal")))
    assert "fever" not in stored
    assert [row.subject_id for row in journal(store, "absence.reported")] == [absence.id]


@pytest.mark.parametrize("days", [-1, 201])
def test_days_in_the_wrong_order_or_without_end_are_refused(sqlite_store: Store, days: int) -> None:
    with pytest.raises(Refused) as refused:
        tell(sqlite_store, classroom(sqlite_store).students[0], last_day=TODAY + timedelta(days=days))
    assert refused.value.problem == "invalid-days"


def test_a_code_must_be_one_of_the_students_school(sqlite_store: Store) -> None:
    room = classroom(sqlite_store)
    zoo = Code(code="Z", title="Zoo", status="present", edfi_category="In Attendance")
    sqlite_store.write_now(lambda tx: save_codes(tx, [zoo], room.school_id))
    assert tell(sqlite_store, room.students[0], code="Z").code == "Z"
    with pytest.raises(Refused) as refused:
        tell(sqlite_store, classroom(sqlite_store).students[0], code="Z")
    assert refused.value.problem == "unknown-code"


def test_telling_run_again_after_a_commit_in_doubt_tells_once(store: Store) -> None:
    room = classroom(store)
    report = Report(id=new_id(), student_id=room.students[0], first_day=TODAY, last_day=TODAY)
    first = store.write_now(lambda tx: report_absence(tx, report))
    assert store.write_now(lambda tx: report_absence(tx, report)) == first
    assert len(journal(store, "absence.reported")) == 1


def test_approval_makes_absences_already_marked_follow(store: Store) -> None:
    room = classroom(store, students=2)
    ann, bob = room.students
    before, on, after = (roll(room, TODAY + timedelta(days=n)) for n in (-1, 0, 1))
    ORIGIN.set(Origin(actor_id="office"))
    absence = tell(store, ann, code="MED")
    approved = decided(store, absence, "approved")
    assert (approved.state, approved.decided_by) == ("approved", "office")
    record = records(store, on)[ann]
    assert (record.status, record.code, record.origin, record.version) == ("excused", "MED", "absence_report", 2)
    assert [version.status for version in store.read_now(lambda c: history_of(c, record.id))] == ["absent", "excused"]
    assert records(store, before)[ann].status == records(store, after)[ann].status == "absent"
    assert records(store, on)[bob].status == "absent"
    assert store.read_now(recount) == []


def test_what_was_marked_otherwise_stays(store: Store) -> None:
    room = classroom(store)
    ann = room.students[0]
    opened = room.open()
    day = date.fromisoformat(opened.school_day)
    store.write_now(lambda tx: mark(tx, opened.id, [NewMark(student_id=ann, status="tardy")]))
    decided(store, tell(store, ann, first_day=day, last_day=day), "approved")
    assert records(store, opened.id)[ann].status == "tardy"


def test_the_same_decision_again_changes_nothing_and_a_late_refusal_takes_nothing_back(store: Store) -> None:
    room = classroom(store)
    ann = room.students[0]
    session = roll(room, TODAY)
    absence = tell(store, ann)
    approved = decided(store, absence, "approved")
    assert decided(store, absence, "approved") == approved
    assert len(journal(store, "absence.decided")) == 1
    assert decided(store, absence, "refused").state == "refused"
    assert records(store, session)[ann].status == "excused"
    later = roll(room, TODAY)
    assert records(store, later)[ann].status == "absent"


def test_staff_may_decide_for_another_code(store: Store) -> None:
    room = classroom(store)
    session = roll(room, TODAY)
    approved = decided(store, tell(store, room.students[0]), "approved", code="FT")
    assert approved.code == "FT"
    record = records(store, session)[room.students[0]]
    assert (record.status, record.code) == ("present", "FT")


def test_reports_are_listed_newest_first_and_narrowed(store: Store) -> None:
    room = classroom(store, students=2)
    ann, bob = room.students
    told = [tell(store, student) for student in (ann, bob, ann, ann)]
    decided(store, told[0], "refused")

    def listed(**wanted: Any) -> tuple[list[str], str | None]:
        found, after = store.read_now(lambda c: absences(c, Wanted(**wanted)))
        return [absence.id for absence in found], after

    assert listed(student_id=ann)[0] == sorted((told[0].id, told[2].id, told[3].id), reverse=True)
    assert listed(state="refused")[0] == [told[0].id]
    assert listed(within=m.User.select(m.User.id).where(m.User.id == bob))[0] == [told[1].id]
    page, after = listed(limit=3)
    rest, end = listed(limit=3, after=after)
    assert sorted((*page, *rest)) == sorted(absence.id for absence in told)
    assert end is None
    with pytest.raises(Refused):
        store.read_now(lambda c: read_absence(c, "none"))
