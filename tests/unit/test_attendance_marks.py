"""Marks, corrections, and what was known when."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom.attendance.codes import Code, save_codes
from homeroom.attendance.history import Wanted, as_of, history_of, records
from homeroom.attendance.marks import Correction, MarksInvalid, NewMark, correct, mark
from homeroom.attendance.records import STATUSES, Change, Record, amend, of_session, read
from homeroom.attendance.statistics import recount
from homeroom.store import ORIGIN, Origin, Refused, Store, iso
from homeroom.store import models as m
from tests.services.classroom import Classroom, classroom, journal


def marked(store: Store, session_id: str, *marks: NewMark) -> list[Record]:
    return store.write_now(lambda tx: mark(tx, session_id, marks))


def corrected(store: Store, record: Record, **what: Any) -> Record:
    correction = Correction(**{"reason": "Was at the nurse.", "version": record.version, **what})
    return store.write_now(lambda tx: correct(tx, record.id, correction))


def a_record(store: Store, **what: Any) -> Record:
    room = classroom(store)
    wanted = NewMark(**{"student_id": room.students[0], "status": "absent", **what})
    return marked(store, room.open().id, wanted)[0]


def rows(store: Store, room: Classroom, **wanted: Any) -> list[Record]:
    return store.read_now(lambda c: records(c, Wanted(class_id=room.class_id, **wanted)))[0]


def known_at(store: Store, record: Record, moment: datetime) -> Record | None:
    """The record as it was known at a moment, without the end that was not known then."""
    found = store.read_now(lambda c: as_of(c, record.id, moment))
    return found and replace(found, valid_to=None)


def test_a_whole_class_is_marked_at_once_in_the_order_asked(store: Store) -> None:
    room = classroom(store)
    opened = room.open()
    statuses = ("present", "tardy", "excused")
    wanted = [NewMark(student_id=s, status=status) for s, status in zip(room.students, statuses, strict=True)]  # type: ignore[arg-type]
    found = marked(store, opened.id, *wanted)
    assert [record.status for record in found] == list(statuses)
    assert [record.student_id for record in found] == list(room.students)
    assert store.read_now(lambda c: of_session(c, opened.id)) == {record.student_id: record for record in found}
    assert [row.data["origin"] for row in journal(store, "attendance.recorded")] == ["teacher"] * 3
    assert store.read_now(recount) == []


def test_one_wrong_mark_undoes_all_and_every_fault_is_named(store: Store) -> None:
    room = classroom(store)
    opened = room.open()
    ann, bob, _ = room.students
    with pytest.raises(MarksInvalid) as invalid:
        marked(
            store,
            opened.id,
            NewMark(student_id=ann, status="present"),
            NewMark(student_id="stranger", status="present"),
            NewMark(student_id=ann, status="absent"),
            NewMark(student_id=bob),
            NewMark(student_id=room.students[2], code="XX"),
        )
    assert [field for field, _ in invalid.value.errors] == [
        "marks.1.student_id",
        "marks.2.student_id",
        "marks.3.status",
        "marks.4.code",
    ]
    assert store.read_now(lambda c: of_session(c, opened.id)) == {}
    assert journal(store, "attendance.recorded") == []


def test_a_code_says_the_status_and_may_not_contradict_it(store: Store) -> None:
    room = classroom(store)
    opened = room.open()
    ann, bob, _ = room.students
    found = marked(
        store, opened.id, NewMark(student_id=ann, code="MED"), NewMark(student_id=bob, code="FT", status="present")
    )
    assert [(record.status, record.code) for record in found] == [("excused", "MED"), ("present", "FT")]
    with pytest.raises(MarksInvalid):
        marked(store, opened.id, NewMark(student_id=ann, code="MED", status="present"))


def test_a_school_can_use_its_own_codes(store: Store) -> None:
    room = classroom(store)
    own = Code(code="Z", title="Zoo", status="present", edfi_category="In Attendance")
    store.write_now(lambda tx: save_codes(tx, [own], room.school_id))
    [found] = marked(store, room.open().id, NewMark(student_id=room.students[0], code="Z"))
    assert (found.status, found.code) == ("present", "Z")


def test_marking_what_is_known_changes_nothing_and_another_mark_is_a_new_version(store: Store) -> None:
    room = classroom(store)
    opened = room.open()
    wanted = NewMark(student_id=room.students[0], status="tardy", minutes_late=4, note="Bus")
    [first] = marked(store, opened.id, wanted)
    assert marked(store, opened.id, wanted) == [first]
    assert (first.version, first.minutes_late, first.note) == (1, 4, "Bus")
    [second] = marked(store, opened.id, replace(wanted, status="present", minutes_late=None, note=""))
    assert (second.id, second.version, second.status, second.minutes_late) == (first.id, 2, "present", None)
    assert second.note is None
    assert store.read_now(recount) == []


def test_the_first_mark_says_when_the_roll_was_taken(store: Store) -> None:
    room = classroom(store)
    opened = room.open()
    assert opened.roll_taken_at is None
    [record] = marked(store, opened.id, NewMark(student_id=room.students[0], status="present"))
    marked(store, opened.id, NewMark(student_id=room.students[1], status="present"))
    assert room.close(opened.id).roll_taken_at == record.recorded_at


def test_after_closing_only_corrections_with_a_reason_are_taken(store: Store) -> None:
    room = classroom(store)
    opened = room.open()
    room.close(opened.id)
    with pytest.raises(Refused) as refused:
        marked(store, opened.id, NewMark(student_id=room.students[0], status="present"))
    assert refused.value.problem == "session-closed"


def test_notes_and_reasons_lie_sealed_in_the_database_and_nowhere_in_the_journal(store: Store) -> None:
    record = a_record(store, note="Mother called")
    corrected(store, record, status="excused", reason="Has the flu")
    stored = store.read_now(
        lambda c: repr(
            c.sql("SELECT * FROM attendance_records")
            + c.sql("SELECT * FROM attendance_versions")
            + c.sql("SELECT * FROM journal")
        )
    )
    assert "Mother" not in stored
    assert "flu" not in stored
    now = store.read_now(lambda c: read(c, record.id))
    assert now is not None
    assert (now.note, now.reason) == ("Mother called", "Has the flu")


def test_a_note_whose_student_was_erased_cannot_be_read_any_more(store: Store) -> None:
    record = a_record(store, note="Mother called")
    store.write_now(lambda tx: tx.run(m.PersonKey.delete().where(m.PersonKey.user_id == record.student_id)))
    now = store.read_now(lambda c: read(c, record.id))
    assert now is not None
    assert now.note is None


def test_a_correction_keeps_what_was_known_before(store: Store) -> None:
    record = a_record(store)
    ORIGIN.set(Origin(actor_id="teacher"))
    now = corrected(store, record, status="excused", code="MED", note="Slip seen")
    assert (now.status, now.code, now.version, now.recorded_by, now.note) == (
        "excused",
        "MED",
        2,
        "teacher",
        "Slip seen",
    )
    first, second = store.read_now(lambda c: history_of(c, record.id))
    assert (first.status, first.version, first.valid_to) == ("absent", 1, now.valid_from)
    assert (second, second.reason) == (now, "Was at the nurse.")
    [row] = journal(store, "attendance.corrected")
    assert (row.actor_id, row.subject_id, row.data["was"]) == ("teacher", record.id, "absent")
    assert set(row.data["changed"]) == {"status", "code", "note"}
    assert store.read_now(recount) == []


def test_a_lost_update_is_refused(store: Store) -> None:
    record = a_record(store)
    corrected(store, record, status="present")
    with pytest.raises(Refused) as refused:
        corrected(store, record, status="tardy", reason="I saw him later")
    assert refused.value.status == 412
    assert corrected(store, record, status="tardy", version=None).version == 3


def test_a_correction_run_again_after_a_commit_in_doubt_is_made_once(store: Store) -> None:
    record = a_record(store)
    first = corrected(store, record, status="present", note="")
    assert corrected(store, record, status="present", note="") == first
    assert len(journal(store, "attendance.corrected")) == 1


def test_a_correction_of_the_status_drops_a_code_that_no_longer_fits(store: Store) -> None:
    record = a_record(store, status="excused", code="MED")
    assert corrected(store, record, note="only a note").code == "MED"
    assert corrected(store, record, status="present", version=2).code is None


def test_a_correction_to_tardy_takes_minutes_and_any_other_drops_them(store: Store) -> None:
    record = a_record(store)
    late = corrected(store, record, status="tardy", minutes_late=9)
    assert late.minutes_late == 9
    assert corrected(store, late, note="still").minutes_late == 9
    assert corrected(store, late, status="present", version=3).minutes_late is None


def test_a_correction_settles_a_review(store: Store) -> None:
    record = a_record(store)
    store.write_now(lambda tx: tx.run(m.AttendanceRecord.update(needs_review=True)))
    assert not corrected(store, record).needs_review


def test_marking_again_settles_a_review_too(store: Store) -> None:
    room = classroom(store)
    opened = room.open()
    wanted = NewMark(student_id=room.students[0], status="present")
    marked(store, opened.id, wanted)
    store.write_now(lambda tx: tx.run(m.AttendanceRecord.update(needs_review=True)))
    [again] = marked(store, opened.id, wanted)
    assert (again.version, again.needs_review) == (2, False)


def test_there_is_no_correcting_what_does_not_exist_or_with_a_code_nobody_knows(sqlite_store: Store) -> None:
    record = a_record(sqlite_store)
    with pytest.raises(Refused) as refused:
        corrected(sqlite_store, replace(record, id="none"), status="present")
    assert refused.value.status == 404
    with pytest.raises(Refused) as refused:
        corrected(sqlite_store, record, code="nope")
    assert refused.value.status == 422
    with pytest.raises(Refused) as refused:
        sqlite_store.read_now(lambda c: history_of(c, "none"))
    assert refused.value.status == 404


def test_a_clock_that_was_set_back_ends_no_version_before_it_began(store: Store) -> None:
    record = a_record(store)
    ahead = iso(datetime.fromisoformat(record.valid_from) + timedelta(hours=1))
    store.write_now(lambda tx: tx.run(m.AttendanceRecord.update(valid_from=ahead)))
    corrected(store, record, status="present")
    first, second = store.read_now(lambda c: history_of(c, record.id))
    assert first.valid_from <= str(first.valid_to) <= second.valid_from


def test_lists_filter_and_page(store: Store) -> None:
    room = classroom(store, students=7)
    opened = room.open()
    found = marked(
        store,
        opened.id,
        *(NewMark(student_id=s, status="present" if n % 2 else "absent") for n, s in enumerate(room.students)),
    )
    ids = sorted(record.id for record in found)
    page, more = store.read_now(lambda c: records(c, Wanted(class_id=room.class_id, limit=4)))
    rest, end = store.read_now(lambda c: records(c, Wanted(class_id=room.class_id, limit=4, after=page[-1].id)))
    assert [record.id for record in (*page, *rest)] == ids
    assert (more, end) == (True, False)
    assert len(rows(store, room, status="present")) == 3
    assert [record.student_id for record in rows(store, room, student_id=room.students[2])] == [room.students[2]]
    assert len(rows(store, room, session_id=opened.id, needs_review=False)) == 7
    day = date.fromisoformat(opened.school_day)
    assert len(rows(store, room, since=day, until=day)) == 7
    assert rows(store, room, since=day + timedelta(days=1)) == rows(store, room, until=day - timedelta(days=1)) == []
    narrowed = rows(store, room, within=lambda model: model.student_id == room.students[0])
    assert [record.student_id for record in narrowed] == [room.students[0]]
    assert len(rows(store, room, within=lambda _: None)) == 7


@settings(max_examples=30)
@given(steps=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(STATUSES)), min_size=1, max_size=12))
def test_what_was_known_at_any_moment_is_what_replaying_the_changes_gives(
    sqlite_store: Store, steps: list[tuple[int, Any]]
) -> None:
    room = classroom(sqlite_store)
    opened = room.open()
    known: dict[str, Record] = {}
    told: dict[str, dict[str, str]] = {}
    for who, status in steps:
        [record] = marked(sqlite_store, opened.id, NewMark(student_id=room.students[who], status=status))
        if known.get(record.student_id) != record:  # else it was known already
            known[record.student_id] = record
            told[record.valid_from] = {student: one.status for student, one in known.items()}
    for moment, expected in told.items():
        then = datetime.fromisoformat(moment)
        found = rows(sqlite_store, room, as_of=then)
        assert {record.student_id: record.status for record in found} == expected
        assert [known_at(sqlite_store, record, then) for record in found] == found
    before = datetime.fromisoformat(min(told)) - timedelta(microseconds=1)
    assert rows(sqlite_store, room, as_of=before) == []
    for record in known.values():
        versions = sqlite_store.read_now(lambda c, r=record: history_of(c, r.id))  # type: ignore[misc]
        assert [version.version for version in versions] == list(range(1, len(versions) + 1))
        assert all(one.valid_to == after.valid_from for one, after in pairwise(versions))
    assert not [drift for drift in sqlite_store.read_now(recount) if drift.class_id == room.class_id]


def test_what_was_known_then_is_the_same_on_both_databases(store: Store) -> None:
    room = classroom(store)
    opened = room.open()
    [first] = marked(store, opened.id, NewMark(student_id=room.students[0], status="absent", note="n"))
    second = corrected(store, first, status="present")
    then = datetime.fromisoformat(first.valid_from)
    [old] = rows(store, room, as_of=then)
    assert (old.status, old.note, old.version, old.evidence) == ("absent", "n", 1, [])
    assert rows(store, room, as_of=then, status="present") == []
    assert rows(store, room, as_of=datetime.fromisoformat(second.valid_from)) == [second]
    assert store.read_now(lambda c: as_of(c, first.id, then - timedelta(seconds=1))) is None


def test_amending_says_only_what_changed(sqlite_store: Store) -> None:
    record = a_record(sqlite_store)
    same = sqlite_store.write_now(lambda tx: amend(tx, record, Change(origin="office", by=None)))
    assert (same.status, same.version, same.origin) == ("absent", 2, "office")
    assert journal(sqlite_store, "attendance.corrected")[0].data["changed"] == []
