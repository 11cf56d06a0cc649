"""A mark that was taken back is taken back at the SIS too, unless another meeting's mark stands there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from homeroom.attendance.marks import withdraw
from homeroom.attendance.records import Record
from homeroom.attendance.sessions import SessionState
from homeroom.store import Store
from tests.services.outgoing import Out, out
from tests.services.scripted_sis import ScriptedSis


def take_back(one: Out, session: SessionState, records: Sequence[Record]) -> None:
    wanted = {record.id: record.version for record in records}
    told = one.store.write_now(lambda tx: withdraw(tx, session.id, wanted))
    assert sorted(told.withdrawn) == sorted(wanted)


@pytest.mark.parametrize("level", ["class", "day"])
async def test_the_sis_holds_nothing_any_more(store: Store, level: str) -> None:
    one = out(store, sis=ScriptedSis(attendance_out="api", attendance_level=level))  # type: ignore[arg-type]
    session = one.room.open()
    record = one.mark(session, one.students[0], "absent")
    await one.follow()
    await one.send()
    assert list(one.sis.attendance.values()) == ["absent"]
    take_back(one, session, [record])
    await one.follow()
    assert one.row().status is None
    await one.send()
    assert not [status for status in one.sis.attendance.values() if status is not None]


async def test_what_was_never_sent_is_not_asked_for(store: Store) -> None:
    one = out(store)
    session = one.room.open()
    take_back(one, session, [one.mark(session, one.students[0], "present")])
    await one.follow()
    assert list(one.rows()) == []


async def test_another_session_of_the_same_meeting_still_counts(store: Store) -> None:
    one = out(store)
    first, second = one.room.open(period="3"), one.room.open(period="3")
    one.mark(first, one.students[0], "tardy")
    record = one.mark(second, one.students[0], "absent")
    await one.follow()
    take_back(one, second, [record])
    await one.follow()
    assert one.row().status == "tardy"
