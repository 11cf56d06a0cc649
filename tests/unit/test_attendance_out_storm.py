"""Ten thousand changes cost no request too many, and whatever fails on the way, nothing is lost."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, time, timedelta
from random import Random

import pytest

from homeroom.attendance.records import STATUSES
from homeroom.attendance.sessions import SessionState
from homeroom.attendance_out.batches import take
from homeroom.records import Pushed, SourceError
from homeroom.store import Store, now_utc
from homeroom.store import models as m
from tests.services.outgoing import SIS, Out, out

TODAY = datetime.now(UTC).date()
NINE = datetime.combine(TODAY, time(9), UTC)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("refusals", [False, True])
async def test_whatever_fails_and_in_whatever_order_the_sis_ends_as_the_records_are_or_a_person_is_asked(
    sqlite_store: Store, seed: int, *, refusals: bool
) -> None:
    dice = Random(seed)
    one = out(sqlite_store, students=4, periods=["1", "2"])
    one.sis.meetings = True
    sessions = [one.room.open(starts_at=NINE + timedelta(hours=n), period=str(n)) for n in (1, 2)]
    for _ in range(60):
        await _something(one, dice, dice.choice(sessions), refusals=refusals)
    one.sis.before_push, one.sis.after_push, one.sis.refused = [], [], {}
    for _ in range(3):
        one.soon()
        await one.send()
    asked = {problem.id for problem in one.problems()}
    assert refusals or not asked
    for row in one.rows():
        place = (row.student_sourced_id, row.periods[0], TODAY.isoformat())
        assert (one.sis.attendance[place] == row.status) == (row.id not in asked)
    records = sqlite_store.read_now(lambda c: c.all(m.AttendanceRecord.select()))
    wishes = {(row.session_id, row.student_id): row.status for row in one.rows()}
    assert {(record.session_id, record.student_id): record.status for record in records} == wishes


async def _something(one: Out, dice: Random, session: SessionState, *, refusals: bool) -> None:
    lost = SourceError("The answer was cut off.", retry=True)
    match dice.randrange(7):
        case 0 | 1:
            one.mark(session, dice.choice(one.students), dice.choice(STATUSES))
        case 2:
            await one.follow()
        case 3:
            one.sis.before_push, one.sis.after_push = [lost] * dice.randrange(2), [lost] * dice.randrange(2)
        case 4:  # killed between push and commit
            await one.follow()
            with contextlib.suppress(SourceError):
                await one.sis.push(await one.store.write(take(SIS, now_utc())))
        case 5 if refusals:
            locked = Pushed(key="", error="The record is locked.", retry=True)
            one.sis.refused = {f"sis-{dice.randrange(4)}": locked} if dice.randrange(2) else {}
        case _:
            with contextlib.suppress(SourceError):
                await one.send()


@pytest.mark.parametrize("students", [400, pytest.param(2000, marks=pytest.mark.long)])
async def test_thousands_of_changes_are_drained_with_hardly_a_request_wasted(
    sqlite_store: Store, students: int
) -> None:
    one = out(sqlite_store, students=students, periods=["1", "2", "3", "4", "5"])
    for hour in range(5):
        one.room.close(one.room.open(starts_at=NINE + timedelta(hours=hour)).id)
    await one.send()
    assert one.status().sent == 5 * students
    assert len(one.sis.pushed) <= 5 * students // 200 + 1
    students_and_days = {(mark.student, mark.school_day) for push in one.sis.pushed for mark in push}
    requests = sum(len({(mark.student, mark.school_day) for mark in push}) for push in one.sis.pushed)
    assert requests == len(students_and_days)  # a SIS that takes one student's day at a time is asked once for each
