"""The life of a check-in, from the verifiers' answers to the committed record."""

from __future__ import annotations

import asyncio
import random
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom.attendance.check_in import CheckIn, _Accepted, _write, check_in
from homeroom.attendance.history import history_of
from homeroom.attendance.marks import NewMark, mark
from homeroom.attendance.policy import Judgement
from homeroom.attendance.records import Record, of_session
from homeroom.attendance.sessions import KnownSessions, SessionState, as_hook
from homeroom.attendance.statistics import recount
from homeroom.store import Refused, Store, iso, new_id, now_utc
from homeroom.store import models as m
from homeroom.types import Verdict
from tests.services.classroom import (
    ACCEPTS,
    Answered,
    Classroom,
    Verifiers,
    classroom,
    journal,
    says,
    seat,
)

REJECTS = says("door", Verdict.REJECT, "code-wrong")


class Door:
    """One session and whoever comes to it."""

    def __init__(self, room: Classroom, opened: SessionState) -> None:
        self.room = room
        self.opened = opened
        self.known = KnownSessions()
        self.verifiers = Verifiers([ACCEPTS])

    async def comes(self, student: str, **sent: object) -> tuple[Record, bool]:
        asked = CheckIn(session_id=self.opened.id, student_id=student, **sent)  # type: ignore[arg-type]
        return await check_in(self.room.store, self.verifiers, self.known, asked, offline_hours=24)

    async def is_refused(self, student: str, **sent: object) -> Refused:
        before = len(self.records())
        with pytest.raises(Refused) as refused:
            await self.comes(student, **sent)
        assert len(self.records()) == before
        return refused.value

    def records(self) -> dict[str, Record]:
        return self.room.store.read_now(lambda c: of_session(c, self.opened.id))


def door(store: Store, *, students: int = 3, **asked: object) -> Door:
    room = classroom(store, students=students)
    return Door(room, room.open(**asked))


async def test_a_check_in_is_recorded_with_its_counter_and_its_journal_row(store: Store) -> None:
    at_door = door(store)
    ann = at_door.room.students[0]
    record, new = await at_door.comes(ann, client_id="phone-1", proof={"code": "1"})
    assert new
    assert (record.status, record.needs_review, record.origin, record.client_id) == (
        "present",
        False,
        "check_in",
        "phone-1",
    )
    assert record.evidence == [{"method": "door", "verdict": "accept", "reason": ""}]
    assert at_door.records() == {ann: record}
    rows = journal(store, "attendance.recorded")
    assert [(row.student_id, row.session_id, row.subject_id) for row in rows] == [(ann, at_door.opened.id, record.id)]
    assert rows[0].data["status"] == "present"
    assert store.read_now(recount) == []


async def test_verifiers_are_asked_with_the_session_the_moment_and_the_proof(sqlite_store: Store) -> None:
    at_door = door(sqlite_store)
    before = now_utc()
    await at_door.comes(at_door.room.students[0], proof={"code": "1"})
    [(hook, arguments)] = at_door.verifiers.asked
    attempt = arguments["attempt"]
    assert hook == "verify_check_in"
    assert (attempt.session.id, attempt.proof, attempt.offline) == (at_door.opened.id, {"code": "1"}, False)
    assert before <= attempt.at <= now_utc()


async def test_the_same_student_again_gets_the_same_record_whatever_the_proof(store: Store) -> None:
    at_door = door(store)
    ann = at_door.room.students[0]
    first, _ = await at_door.comes(ann)
    assert await at_door.comes(ann) == (first, False)
    at_door.verifiers.answers = [REJECTS]
    assert await at_door.comes(ann) == (first, False)


async def test_a_hundred_at_once_make_one_record_for_each_student(store: Store) -> None:
    at_door = door(store, students=10)
    arrivals = [student for student in at_door.room.students for _ in range(10)]
    random.Random(7).shuffle(arrivals)
    answers = await asyncio.gather(*(at_door.comes(student) for student in arrivals))
    assert sum(new for _, new in answers) == 10
    assert {record.id for record, _ in answers} == {record.id for record in at_door.records().values()}
    assert len(at_door.records()) == 10
    assert store.read_now(recount) == []


async def test_who_comes_late_is_tardy_by_minutes(store: Store) -> None:
    at_door = door(store, starts_at=now_utc() - timedelta(minutes=12, seconds=5), late_after_minutes=10)
    record, _ = await at_door.comes(at_door.room.students[0])
    assert (record.status, record.minutes_late) == ("tardy", 12)
    assert store.read_now(recount) == []


async def test_a_rejected_proof_records_nothing(store: Store) -> None:
    at_door = door(store)
    at_door.verifiers.answers = [REJECTS]
    refused = await at_door.is_refused(at_door.room.students[0])
    assert (refused.status, refused.problem) == (422, "code-wrong")
    assert journal(store, "attendance.recorded") == []


async def test_a_failing_verifier_keeps_the_record_for_review(store: Store) -> None:
    at_door = door(store)
    at_door.verifiers.answers = [Answered("door", error=TimeoutError())]
    record, new = await at_door.comes(at_door.room.students[0])
    assert new
    assert record.needs_review
    assert at_door.records()[record.student_id] == record


async def test_nobody_checks_in_to_a_class_they_do_not_sit_in(store: Store) -> None:
    at_door = door(store)
    day = date.fromisoformat(at_door.opened.school_day)

    def build(tx: object) -> None:
        seat(tx, at_door.room.class_id, "left", ends_on=day)  # type: ignore[arg-type]
        seat(tx, at_door.room.class_id, "later", begins_on=day + timedelta(days=1))  # type: ignore[arg-type]
        seat(tx, at_door.room.class_id, "removed", ended=True)  # type: ignore[arg-type]

    store.write_now(build)
    for stranger in ("left", "later", "removed", "unknown"):
        assert (await at_door.is_refused(stranger)).status == 404
    at_door.verifiers.answers = [REJECTS]
    assert (await at_door.is_refused("unknown")).status == 404


async def test_there_is_no_checking_in_to_a_session_that_does_not_exist(sqlite_store: Store) -> None:
    at_door = door(sqlite_store)
    with pytest.raises(Refused) as refused:
        await check_in(
            sqlite_store,
            at_door.verifiers,
            at_door.known,
            CheckIn(session_id="none", student_id=at_door.room.students[0]),
            offline_hours=24,
        )
    assert refused.value.status == 404


async def test_a_closed_session_takes_nobody_even_where_it_is_still_known_as_open(store: Store) -> None:
    at_door = door(store)
    ann, bob, _ = at_door.room.students
    recorded, _ = await at_door.comes(ann)
    at_door.room.close(at_door.opened.id)
    for _ in range(2):  # known as open, then as closed
        refused = await at_door.is_refused(bob)
        assert (refused.status, refused.problem) == (409, "session-closed")
    at_door.verifiers.answers = [REJECTS]
    assert (await at_door.is_refused(bob)).problem == "session-closed"
    assert await at_door.comes(ann) == (recorded, False)
    assert at_door.records()[bob].status == "absent"


async def test_a_refusal_leaves_the_check_ins_beside_it_alone(store: Store) -> None:
    at_door = door(store, students=20)
    others = [at_door.comes(student) for student in at_door.room.students]
    strangers = [at_door.comes(f"stranger-{number}") for number in range(20)]
    answers = await asyncio.gather(*others, *strangers, return_exceptions=True)
    assert sum(isinstance(answer, Refused) for answer in answers) == 20
    assert len(at_door.records()) == 20
    assert store.read_now(recount) == []


async def test_a_teachers_mark_stays_when_the_student_checks_in_afterwards(store: Store) -> None:
    at_door = door(store)
    ann = at_door.room.students[0]
    [marked] = store.write_now(lambda tx: mark(tx, at_door.opened.id, [NewMark(student_id=ann, status="absent")]))
    assert await at_door.comes(ann) == (marked, False)


async def test_a_check_in_made_without_a_network_counts_from_then_and_is_reviewed(store: Store) -> None:
    at_door = door(store, starts_at=now_utc() - timedelta(hours=3), late_after_minutes=10)
    then = now_utc() - timedelta(hours=2, minutes=55)
    record, new = await at_door.comes(at_door.room.students[0], occurred_at=then)
    assert new
    assert (record.status, record.needs_review, record.occurred_at) == ("present", True, iso(then))
    attempt = at_door.verifiers.asked[0][1]["attempt"]
    assert (attempt.at, attempt.offline) == (then, True)


async def test_a_late_sent_check_in_corrects_the_absence_that_closing_entered(store: Store) -> None:
    at_door = door(store, starts_at=now_utc() - timedelta(hours=1))
    ann, bob, cy = at_door.room.students
    then = now_utc() - timedelta(minutes=58)
    store.write_now(lambda tx: mark(tx, at_door.opened.id, [NewMark(student_id=cy, status="absent")]))
    at_door.room.close(at_door.opened.id)
    record, new = await at_door.comes(ann, occurred_at=then, client_id="phone-1")
    assert not new
    assert (record.status, record.version, record.needs_review, record.client_id) == ("present", 2, True, "phone-1")
    assert await at_door.comes(ann, occurred_at=then) == (record, False)
    versions = store.read_now(lambda c: history_of(c, record.id))
    assert [(version.status, version.origin) for version in versions] == [("absent", "close"), ("present", "check_in")]
    assert (await at_door.is_refused(cy, occurred_at=then)).problem == "session-closed"
    at_door.verifiers.answers = [REJECTS]
    assert (await at_door.is_refused(bob, occurred_at=then)).problem == "session-closed"
    assert store.read_now(recount) == []


async def test_a_check_in_from_after_the_closing_is_refused_however_it_is_sent(sqlite_store: Store) -> None:
    at_door = door(sqlite_store, starts_at=now_utc() - timedelta(hours=1))
    at_door.room.close(at_door.opened.id)
    long_ago = iso(now_utc() - timedelta(minutes=50))
    sqlite_store.write_now(
        lambda tx: tx.run(m.ClassSession.update(closed_at=long_ago).where(m.ClassSession.id == at_door.opened.id))
    )
    refused = await at_door.is_refused(at_door.room.students[0], occurred_at=now_utc() - timedelta(minutes=30))
    assert refused.problem == "session-closed"


async def test_a_clock_that_is_wrong_is_told_so(sqlite_store: Store) -> None:
    at_door = door(sqlite_store)
    ahead = now_utc() + timedelta(minutes=10)
    with pytest.raises(Refused) as refused:
        await at_door.comes(at_door.room.students[0], occurred_at=ahead)
    assert refused.value.problem == "occurred-in-future"


def test_a_unit_run_again_after_a_commit_in_doubt_gives_the_same_answer(store: Store) -> None:
    room = classroom(store)
    session = as_hook(room.open())
    accepted = _Accepted(
        id=new_id(),
        session=session,
        sent=CheckIn(session_id=session.id, student_id=room.students[0]),
        at=now_utc(),
        offline=False,
        status="present",
        minutes_late=None,
        judgement=Judgement(evidence=[], needs_review=False),
    )
    first = store.write_now(lambda tx: _write(tx, accepted))
    assert store.write_now(lambda tx: _write(tx, accepted)) == first == (first[0], True)
    assert len(journal(store, "attendance.recorded")) == 1
    assert store.read_now(recount) == []


@settings(max_examples=25)
@given(order=st.permutations(["phone", "tablet", "late", "close"]))
def test_check_ins_that_arrive_in_any_order_give_one_record_and_one_status(
    sqlite_store: Store, order: list[str]
) -> None:
    """Two devices, one of them without a network until later, and the end of the lesson somewhere between."""
    began = now_utc() - timedelta(hours=1)
    at_door = door(sqlite_store, students=1, starts_at=began, late_after_minutes=120)
    ann = at_door.room.students[0]

    async def run() -> None:
        for step in order:
            if step == "close":
                at_door.room.close(at_door.opened.id)
                continue
            occurred = {"occurred_at": began + timedelta(minutes=1)} if step == "late" else {}
            try:
                await at_door.comes(ann, client_id=step, **occurred)
            except Refused as refused:
                assert refused.problem == "session-closed"  # noqa: PT017 - some orders are refused, some are not

    asyncio.run(run())
    records = at_door.records()
    assert len(records) == 1
    assert records[ann].status == "present"
    assert not [drift for drift in sqlite_store.read_now(recount) if drift.class_id == at_door.room.class_id]
