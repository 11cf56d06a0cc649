"""A queue empties into its SIS in batches, at least once, in order for each student, and over nobody else's values."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from homeroom.attendance.sessions import SessionState
from homeroom.attendance_out import batches, retry
from homeroom.attendance_out.batches import NO_ANSWER, TRIES, settle, take
from homeroom.attendance_out.drain import drain
from homeroom.attendance_out.pauses import pause
from homeroom.attendance_out.queue import cursor_of
from homeroom.records import Pushed, SourceError
from homeroom.store import Store, now_utc
from homeroom.store import models as m
from tests.services.outgoing import SIS, Out, out

TODAY = datetime.now(UTC).date()
NINE = datetime.combine(TODAY, time(9), UTC)
PLACE = ("sis-0", "sis-class", TODAY.isoformat())


async def failing(one: Out) -> None:
    """Send, and let the queue pause as the server would."""
    with pytest.raises(SourceError) as caught:
        await one.send()
    await pause(one.store, SIS, caught.value)


def paused(store: Store) -> m.Cursor:
    row = store.read_now(lambda c: c.get(m.Cursor, cursor_of(SIS)))
    assert row is not None
    return row


async def test_each_result_is_kept_for_its_student(store: Store) -> None:
    one = out(store)
    one.sis.refused["sis-1"] = Pushed(key="", error="This student is not enrolled there on that day.")
    one.sis.attendance["sis-2", "sis-class", TODAY.isoformat()] = "by the office"
    one.room.close(one.room.open().id)
    await one.send()
    assert [(row.state, row.confirmed, row.held) for row in one.rows()] == [
        ("sent", True, "absent"),
        ("failed", False, None),
        ("differs", False, None),
    ]
    status = one.status()
    assert (status.waiting, status.sent, status.confirmed, status.failed, status.differs) == (0, 1, 1, 1, 1)
    assert status.last_sent is not None
    failed, differs = sorted(one.problems(), key=lambda problem: problem.student_id)
    assert (failed.state, failed.reason) == ("failed", "This student is not enrolled there on that day.")
    assert (differs.state, differs.theirs, differs.status) == ("differs", "by the office", "absent")


async def test_marks_that_no_answer_comes_for_keep_none_behind_them_that_was_not_even_tried(store: Store) -> None:
    one = out(store, students=20)
    one.sis.gives_up = 3
    first = sorted(range(20), key=lambda number: one.students[number])[:3]
    one.sis.refused = {f"sis-{number}": Pushed(key="", error="it failed", retry=True) for number in first}
    one.room.close(one.room.open().id)
    await failing(one)
    assert {(row.state, row.tries) for row in one.rows()} == {("waiting", 0)}
    await one.send()
    left = [row for row in one.rows() if row.state != "sent"]
    assert {row.student_sourced_id for row in left} == set(one.sis.refused)
    assert {(row.state, row.error) for row in left} == {("waiting", "it failed")}


async def test_a_connector_that_tries_nothing_is_not_asked_again_at_once(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=3)
    one.sis.refused = {f"sis-{number}": Pushed(key="", error="later", retry=True, tried=False) for number in range(3)}
    one.room.close(one.room.open().id)
    await failing(one)
    assert len(one.sis.pushed) == 1
    assert all(row.retry_at is not None for row in one.rows())


async def test_a_mark_that_was_not_read_back_is_sent_but_not_confirmed(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=1)
    one.sis.read_back = False
    one.room.close(one.room.open().id)
    await one.send()
    assert (one.status().sent, one.status().confirmed) == (1, 0)


async def test_batches_hold_200_marks_and_cut_no_students_day_in_two(store: Store) -> None:
    one = out(store, students=150, periods=["1", "2", "3"])
    for hour in range(3):
        one.room.close(one.room.open(starts_at=NINE + timedelta(hours=hour)).id)
    await one.send()
    sizes = [len(push) for push in one.sis.pushed]
    assert sum(sizes) == 450
    assert max(sizes) <= 200
    assert len(sizes) == 3
    seen: list[str] = []
    for push in one.sis.pushed:
        students = list(dict.fromkeys(mark.student for mark in push))
        assert not set(students) & set(seen)
        seen += students
    assert [mark.starts_at for mark in one.sis.pushed[0][:3]] == [NINE + timedelta(hours=n) for n in range(3)]


async def test_a_mark_is_sent_when_it_has_waited_for_a_correction(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=1)
    one.mark(one.room.open(), one.students[0], "absent")
    await one.follow()
    before = now_utc()
    due = await drain(sqlite_store, SIS, one.sis, delay=timedelta(seconds=60))
    assert one.sis.pushed == []
    assert due is not None
    assert 50 < (due - before).total_seconds() <= 60
    assert await drain(sqlite_store, SIS, one.sis) is None
    assert len(one.sis.pushed) == 1


async def test_a_mark_that_was_queued_while_the_clock_was_ahead_does_not_wait_for_that(store: Store) -> None:
    one = out(store, students=1)
    one.mark(one.room.open(), one.students[0], "absent")
    await one.follow()
    ahead = now_utc() + timedelta(hours=2)
    store.write_now(lambda tx: tx.run(m.OutgoingMark.update(waiting_since=ahead)))
    await drain(store, SIS, one.sis, delay=timedelta(seconds=60))
    assert one.row().state == "sent"


async def test_a_busy_teacher_cannot_put_a_mark_off_for_ever(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=1)
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    await one.follow()
    since = one.row().waiting_since
    one.correct(session, one.students[0], "tardy")
    await one.follow()
    assert one.row().waiting_since == since


def _goes_through(one: Out, session: SessionState, number: int) -> None:
    """Give the second student the mark `number`, which the SIS does not hold yet."""
    if number == 0:
        one.mark(session, one.students[1], "absent")
    else:
        one.correct(session, one.students[1], "tardy" if number % 2 else "absent")


async def test_what_may_succeed_later_is_tried_again_after_longer_and_longer_waits_and_then_listed(
    store: Store,
) -> None:
    one = out(store, students=2)
    session = one.room.open()
    one.sis.refused["sis-0"] = Pushed(key="", error="The record is locked.", retry=True)
    one.mark(session, one.students[0], "absent")
    waits = []
    for number in range(TRIES - 1):
        _goes_through(one, session, number)
        await one.send()
        row = one.rows()[0]
        assert (row.state, one.problems()) == ("waiting", [])
        waits.append(round((row.retry_at - now_utc()).total_seconds()))
        await one.send()  # not yet
        one.soon()
    assert waits == [10, 20, 40, 80, 160, 320, 640]
    _goes_through(one, session, TRIES - 1)
    await one.send()
    assert [(problem.reason, problem.tries) for problem in one.problems()] == [("The record is locked.", TRIES)]
    tried = [mark.key for push in one.sis.pushed for mark in push if mark.student == "sis-0"]
    assert (len(tried), len(set(tried))) == (TRIES, 1)
    one.sis.refused.clear()
    assert store.write_now(lambda tx: retry(tx, SIS)) == 1
    await one.send()
    assert ([row.state for row in one.rows()], one.problems()) == (["sent", "sent"], [])


async def test_a_try_counts_only_where_another_mark_got_through_since_the_last_one(store: Store) -> None:
    one = out(store, students=2)
    session = one.room.open()
    one.sis.refused["sis-0"] = Pushed(key="", error="the system failed (status 500)", retry=True)
    one.mark(session, one.students[0], "absent")
    tries = []
    for number in range(2):
        for _ in range(3):  # nobody else's: it may be the SIS
            await one.send()
            tries.append(one.rows()[0].tries)
            one.soon()
        later = m.OutgoingMark.update(retry_at=now_utc() + timedelta(hours=1))
        store.write_now(lambda tx, later=later: tx.run(later.where(m.OutgoingMark.student_id == one.students[0])))  # type: ignore[misc]
        _goes_through(one, session, number)
        await one.send()
        one.soon()
    assert tries == [0, 0, 0, 1, 1, 1]


def _waiting(one: Out, hours: float) -> None:
    """Let every mark have waited for so long."""
    since = now_utc() - timedelta(hours=hours)
    one.store.write_now(lambda tx: tx.run(m.OutgoingMark.update(waiting_since=since)))


async def test_while_every_write_fails_the_queue_pauses_and_no_mark_ends_in_the_list(store: Store) -> None:
    one = out(store)
    failed = Pushed(key="", error="the system failed (status 500)", retry=True)
    one.sis.refused = dict.fromkeys(("sis-0", "sis-1", "sis-2"), failed)
    one.room.close(one.room.open().id)
    pauses = []
    for _ in range(TRIES + 4):
        await failing(one)
        assert paused(store).error == "the system failed (status 500)"
        pauses.append(round((paused(store).retry_at - now_utc()).total_seconds()))
        one.soon()
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900, 900]
    assert [(row.state, row.tries) for row in one.rows()] == [("waiting", 0)] * 3
    one.sis.refused.clear()
    await one.send()
    assert (len(one.sis.attendance), one.status().error) == (3, None)


async def test_what_the_sis_held_already_does_not_say_that_it_can_be_written_to(sqlite_store: Store) -> None:
    one = out(sqlite_store)
    one.sis.attendance["sis-2", "sis-class", TODAY.isoformat()] = "absent"
    failed = Pushed(key="", error="the system failed (status 500)", retry=True)
    one.sis.refused = dict.fromkeys(("sis-0", "sis-1"), failed)
    one.room.close(one.room.open().id)
    await failing(one)
    assert [(row.state, row.tries) for row in one.rows()] == [("waiting", 0), ("waiting", 0), ("sent", 0)]


async def test_a_mark_that_fails_alone_is_tried_more_and_more_seldom_and_pauses_nobody(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=2)
    session = one.room.open()
    one.sis.refused["sis-0"] = Pushed(key="", error="the system failed (status 500)", retry=True)
    one.mark(session, one.students[0], "absent")
    waits = []
    for hours in (0, 0.1, 0.2, 5):
        await one.follow()
        _waiting(one, hours)
        await one.send()
        waits.append(round((one.rows()[0].retry_at - now_utc()).total_seconds()))
        one.soon()
    assert waits == [10, 180, 360, 900]
    assert one.status().paused_until is None
    _goes_through(one, session, 0)
    await one.send()
    assert [row.state for row in one.rows()] == ["waiting", "sent"]


async def test_many_marks_that_fail_are_behind_those_that_may_go_through(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH", 2)
    one = out(store, students=4)
    session = one.room.open()
    failed = Pushed(key="", error="the system failed (status 500)", retry=True)
    one.sis.refused = {f"sis-{number}": failed for number in (0, 1)}
    for student in one.students[:2]:
        one.mark(session, student, "absent")
    await failing(one)
    for student in one.students[2:]:
        one.mark(session, student, "absent")
    past = now_utc() - timedelta(seconds=1)
    store.write_now(
        lambda tx: tx.run(m.OutgoingMark.update(retry_at=past).where(m.OutgoingMark.retry_at.is_null(False)))
    )
    await one.send()
    assert [row.state for row in one.rows()] == ["waiting", "waiting", "sent", "sent"]
    assert [row.tries for row in one.rows()] == [1, 1, 0, 0]


async def test_a_mark_without_an_answer_is_tried_again(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=1)
    one.sis.refused["sis-0"] = Pushed(key="", read_back=True)
    one.mark(one.room.open(), one.students[0], "absent")
    await one.follow()
    (mark,) = await sqlite_store.write(take(SIS, now_utc()))
    answers = {"somebody-else": Pushed(key="somebody-else")}

    await sqlite_store.write(settle(SIS, [mark], answers))
    assert (one.row().state, one.row().error) == ("waiting", NO_ANSWER)


async def test_a_students_next_mark_waits_while_an_earlier_one_is_to_be_tried_again(store: Store) -> None:
    one = out(store, periods=["1", "2"])
    first, second = (one.room.open(starts_at=NINE + timedelta(hours=n)) for n in (0, 1))
    one.sis.refused["sis-0"] = Pushed(key="", error="The record is locked.", retry=True)
    one.mark(first, one.students[0], "absent")
    await one.send()
    one.sis.refused.clear()
    one.mark(second, one.students[0], "present")
    one.mark(second, one.students[1], "present")
    await one.send()
    assert [mark.student for mark in one.sis.pushed[-1]] == ["sis-1"]
    one.soon()
    await one.send()
    assert [(mark.student, mark.status) for mark in one.sis.pushed[-1]] == [("sis-0", "absent"), ("sis-0", "present")]


@pytest.mark.parametrize(
    ("trouble", "seconds"),
    [
        (SourceError("Slow down.", retry_after=77), [77, 77, 77]),
        (SourceError("Down for maintenance.", retry=True), [5, 10, 20]),
        (SourceError("The plugin lacks a permission."), [5, 10, 20]),
    ],
)
async def test_a_sis_that_takes_nothing_pauses_the_queue_and_loses_nothing(
    sqlite_store: Store, trouble: SourceError, seconds: list[int]
) -> None:
    one = out(sqlite_store, students=2)
    one.sis.before_push = [trouble] * 3
    one.room.close(one.room.open().id)
    for wait in seconds:
        await failing(one)
        cursor = paused(sqlite_store)
        assert cursor.error == str(trouble)
        assert round((cursor.retry_at - now_utc()).total_seconds()) == wait
    assert (one.status().waiting, one.status().error) == (2, str(trouble))
    sqlite_store.write_now(lambda tx: retry(tx, SIS))
    assert (one.status().paused_until, one.status().error) == (None, None)
    await one.send()
    assert len(one.sis.attendance) == 2
    assert len({tuple(mark.key for mark in push) for push in one.sis.pushed}) == 1


async def test_what_was_sent_and_never_answered_goes_again_under_the_same_key_before_any_correction(
    store: Store,
) -> None:
    one = out(store, students=1)
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    one.sis.after_push = [SourceError("The answer was cut off.", retry=True)]
    await failing(one)
    one.correct(session, one.students[0], "present")
    await one.send()
    (lost,), (again,), (corrected,) = one.sis.pushed
    assert again == lost
    assert (corrected.status, corrected.held) == ("present", "absent")
    assert corrected.key != lost.key
    assert one.sis.attendance == {PLACE: "present"}
    assert (one.sis.writes, one.problems()) == (2, [])


async def test_a_process_killed_between_push_and_commit_sends_the_same_key_again_and_leaves_one_record(
    store: Store,
) -> None:
    one = out(store, students=3)
    one.room.close(one.room.open().id)
    await one.follow()
    batch = await store.write(take(SIS, now_utc()))
    await one.sis.push(batch)  # and then the process is gone: nothing of the answers was kept
    await one.send()
    assert [mark.key for mark in one.sis.pushed[1]] == [mark.key for mark in batch]
    assert (one.sis.writes, len(one.sis.attendance)) == (3, 3)
    assert [row.state for row in one.rows()] == ["sent"] * 3


async def test_the_students_number_goes_along_and_is_not_kept_with_the_write(store: Store) -> None:
    one = out(store, students=1)
    store.write_now(lambda tx: tx.run(m.User.update(identifier="4711").where(m.User.id == one.students[0])))
    one.mark(one.room.open(), one.students[0], "absent")
    one.sis.after_push = [SourceError("The answer was cut off.", retry=True)]
    await failing(one)
    await one.send()
    assert [mark.student_number for push in one.sis.pushed for mark in push] == ["4711", "4711"]
    assert "4711" not in str(one.writes()[0].content)


async def test_hazard_26_a_mark_that_the_read_back_finds_elsewhere_is_listed_and_never_tried_again(
    sqlite_store: Store,
) -> None:
    one = out(sqlite_store)
    wrong = "The SIS shows this mark for another student. Check which kind of id the settings use."
    one.sis.refused["sis-1"] = Pushed(key="", error=wrong)
    one.room.close(one.room.open().id)
    await one.send()
    await one.send()
    (listed,) = one.problems()
    assert (listed.student_id, listed.reason) == (one.students[1], wrong)
    assert sum(mark.student == "sis-1" for push in one.sis.pushed for mark in push) == 1


async def test_hazard_28_an_answer_for_some_is_no_answer_for_all(sqlite_store: Store) -> None:
    one = out(sqlite_store)
    one.sis.refused["sis-2"] = Pushed(key="", error="The SIS answered ERROR.", retry=True)
    one.room.close(one.room.open().id)
    await one.send()
    assert [row.state for row in one.rows()] == ["sent", "sent", "waiting"]
    one.sis.refused.clear()
    one.soon()
    await one.send()
    assert [mark.student for mark in one.sis.pushed[1]] == ["sis-2"]


async def test_a_connector_that_stumbles_over_one_mark_still_sends_the_others(sqlite_store: Store) -> None:
    one = out(sqlite_store)
    one.sis.refused["sis-1"] = KeyError("sis-1 Ruiz")
    one.room.close(one.room.open().id)
    await one.send()
    assert [row.state for row in one.rows()] == ["sent", "waiting", "sent"]
    assert one.rows()[1].error == "The connector failed at this mark (KeyError)."
    assert one.sis.writes == 2


async def test_a_connector_that_stumbles_over_every_mark_pauses_the_queue_and_names_no_person(
    sqlite_store: Store,
) -> None:
    one = out(sqlite_store)
    for student in ("sis-0", "sis-1", "sis-2"):
        one.sis.refused[student] = KeyError("Ana Ruiz")
    one.room.close(one.room.open().id)
    await failing(one)
    assert one.status().error == "The connector failed (KeyError)."
    assert [(row.state, row.tries) for row in one.rows()] == [("waiting", 0)] * 3


async def test_a_mark_that_a_connector_always_stumbles_over_keeps_no_other_waiting_and_is_listed(
    sqlite_store: Store,
) -> None:
    one = out(sqlite_store)
    session = one.room.open()
    one.sis.refused["sis-0"] = KeyError("Ana Ruiz")
    one.mark(session, one.students[0], "absent")
    await failing(one)
    for number in range(TRIES):
        one.soon()
        _goes_through(one, session, number)
        await one.send()
    assert [row.state for row in one.rows()] == ["failed", "sent"]
    (listed,) = one.problems()
    assert listed.reason == "The connector failed at this mark (KeyError)."


async def test_what_was_answered_before_the_sis_gave_up_is_kept(sqlite_store: Store) -> None:
    one = out(sqlite_store)
    one.sis.refused["sis-1"] = KeyError("x")
    one.sis.refused["sis-2"] = SourceError("Slow down.", retry_after=5)
    one.room.close(one.room.open().id)
    await failing(one)
    assert [row.state for row in one.rows()] == ["sent", "waiting", "waiting"]


async def test_a_change_made_during_a_push_goes_on_waiting_and_knows_what_was_written(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=1)
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    await one.follow()
    batch = await sqlite_store.write(take(SIS, now_utc()))
    one.correct(session, one.students[0], "present")
    await one.follow()
    answers = {answer.key: answer for answer in await one.sis.push(batch)}

    await sqlite_store.write(settle(SIS, batch, answers))
    assert (one.row().state, one.row().held) == ("waiting", "absent")
    await one.send()
    assert one.sis.attendance == {PLACE: "present"}
    assert one.problems() == []


async def test_answers_that_are_kept_twice_count_once(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=1)
    one.mark(one.room.open(), one.students[0], "absent")
    await one.follow()
    batch = await sqlite_store.write(take(SIS, now_utc()))
    answers = {answer.key: answer for answer in await one.sis.push(batch)}

    for _ in range(2):
        await sqlite_store.write(settle(SIS, batch, answers))
    assert one.status().sent == 1
