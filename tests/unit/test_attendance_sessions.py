"""Opening and closing sessions."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from homeroom.attendance.absences import Report, decide, report_absence
from homeroom.attendance.records import of_session
from homeroom.attendance.sessions import (
    KnownSessions,
    Opening,
    SessionState,
    open_session,
    read_session,
    session_of,
    sessions_of,
)
from homeroom.attendance.statistics import recount
from homeroom.roster.calendar import set_calendar_day
from homeroom.store import Refused, Store, iso, new_id, now_utc
from homeroom.store import models as m
from tests.services.classroom import Classroom, at, classroom, journal, seat


def refusal(room: Classroom, **asked: object) -> Refused:
    with pytest.raises(Refused) as refused:
        room.open(**asked)
    return refused.value


def test_a_session_takes_what_is_not_said_from_the_class_then_from_the_district(store: Store) -> None:
    plain = classroom(store)
    state = plain.open(methods=None, defaults=("door",), late_default=7)
    assert (state.methods, state.late_after_minutes, state.require, state.state) == (["door"], 7, "any", "open")
    own = classroom(store, methods=["gate", "door"], require="all", late_after_minutes=0, periods=["3"])
    state = own.open(methods=None, defaults=("door",), late_default=7)
    assert (state.methods, state.late_after_minutes, state.require) == (["gate", "door"], 0, "all")
    assert state.period == "3"
    state = own.open(methods=["door"], late_after_minutes=2, require="any", period="4", starts_at=now_utc())
    assert (state.methods, state.late_after_minutes, state.require, state.period) == (["door"], 2, "any", "4")


def test_a_session_without_methods_is_marked_by_the_teacher_alone(store: Store) -> None:
    assert classroom(store).open(methods=[]).methods == []


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("America/New_York", "2026-11-24T02:30:00+00:00", "2026-11-23"),
        ("Pacific/Auckland", "2026-11-23T21:00:00+00:00", "2026-11-24"),
        ("Europe/Berlin", "2026-10-25T00:30:00+02:00", "2026-10-25"),
        ("UTC", "2026-11-23T23:59:59+00:00", "2026-11-23"),
    ],
)
def test_the_school_day_is_the_date_at_the_school(sqlite_store: Store, zone: str, moment: str, day: str) -> None:
    assert classroom(sqlite_store, zone=zone).open(starts_at=at(moment)).school_day == day


def test_school_and_day_are_frozen_when_the_class_moves_to_another_school(sqlite_store: Store) -> None:
    room = classroom(sqlite_store)
    opened = room.open()
    sqlite_store.write_now(lambda tx: tx.run(m.Class.update(school_id="elsewhere").where(m.Class.id == room.class_id)))
    room.close(opened.id)
    rows = sqlite_store.read_now(lambda c: of_session(c, opened.id))
    assert {record.school_id for record in rows.values()} == {room.school_id}


def test_a_method_that_no_plugin_serves_is_refused_by_name(sqlite_store: Store) -> None:
    found = refusal(classroom(sqlite_store), methods=["door", "crystal"])
    assert (found.status, found.problem) == (422, "method-not-served")
    assert "crystal" in found.detail


def test_an_archived_class_opens_no_session(sqlite_store: Store) -> None:
    assert refusal(classroom(sqlite_store, archived=True)).problem == "class-archived"
    assert refusal(classroom(sqlite_store, ended=True)).problem == "class-archived"


def test_there_is_no_session_of_a_class_that_does_not_exist(sqlite_store: Store) -> None:
    with pytest.raises(Refused) as refused:
        sqlite_store.write_now(lambda tx: open_session(tx, Opening(id=new_id(), class_id="none")))
    assert refused.value.status == 404
    with pytest.raises(Refused) as refused:
        sqlite_store.read_now(lambda c: read_session(c, "none"))
    assert refused.value.status == 404


def test_the_same_meeting_is_not_opened_twice(sqlite_store: Store) -> None:
    room = classroom(sqlite_store)
    begins = now_utc()
    first = room.open(starts_at=begins)
    found = refusal(room, starts_at=begins)
    assert (found.status, found.problem) == (409, "session-open")
    assert first.id in found.detail
    room.close(first.id)
    assert room.open(starts_at=begins).id != first.id


def test_a_start_far_from_now_is_refused(sqlite_store: Store) -> None:
    room = classroom(sqlite_store)
    assert refusal(room, starts_at=now_utc() + timedelta(days=9)).problem == "starts-too-far"
    assert refusal(room, starts_at=now_utc() - timedelta(days=400)).problem == "starts-too-far"
    assert room.open(starts_at=now_utc() - timedelta(days=300)).state == "open"


def test_opening_run_again_after_a_commit_in_doubt_opens_one_session(store: Store) -> None:
    room = classroom(store)
    opening = Opening(id=new_id(), class_id=room.class_id, methods=[])
    first = store.write_now(lambda tx: open_session(tx, opening))
    assert store.write_now(lambda tx: open_session(tx, opening)) == first
    assert len(journal(store, "session.opened")) == 1


def test_closing_makes_those_without_a_mark_absent_and_is_done_once(store: Store) -> None:
    room = classroom(store, students=4)
    opened = room.open()
    closed = room.close(opened.id)
    assert closed.state == "closed"
    assert closed.roll_taken_at == closed.closed_at
    assert room.close(opened.id) == closed
    rows = store.read_now(lambda c: of_session(c, opened.id))
    assert {record.status for record in rows.values()} == {"absent"}
    assert {record.origin for record in rows.values()} == {"close"}
    assert sorted(rows) == sorted(room.students)
    assert len(journal(store, "attendance.recorded")) == 4
    assert [row.session_id for row in journal(store, "session.closed")] == [opened.id]
    assert store.read_now(recount) == []


def test_only_those_who_sat_in_the_class_that_day_become_absent(store: Store) -> None:
    room = classroom(store, students=1)
    opened = room.open()
    day = date.fromisoformat(opened.school_day)

    def build(tx: object) -> None:
        seat(tx, room.class_id, "left", ends_on=day)  # type: ignore[arg-type]
        seat(tx, room.class_id, "stays", ends_on=day + timedelta(days=1))  # type: ignore[arg-type]
        seat(tx, room.class_id, "joins", begins_on=day)  # type: ignore[arg-type]
        seat(tx, room.class_id, "later", begins_on=day + timedelta(days=1))  # type: ignore[arg-type]
        seat(tx, room.class_id, "removed", ended=True)  # type: ignore[arg-type]

    store.write_now(build)
    room.close(opened.id)
    assert set(store.read_now(lambda c: of_session(c, opened.id))) == {room.students[0], "stays", "joins"}


def test_a_holiday_makes_nobody_absent(store: Store) -> None:
    room = classroom(store)
    opened = room.open()
    day = date.fromisoformat(opened.school_day)
    store.write_now(lambda tx: set_calendar_day(tx, room.school_id, day, in_session=False, title="Snow"))
    assert room.close(opened.id).state == "closed"
    assert store.read_now(lambda c: of_session(c, opened.id)) == {}


def test_an_approved_report_excuses_instead(store: Store) -> None:
    room = classroom(store, students=4)
    opened = room.open()
    day = date.fromisoformat(opened.school_day)
    ill, waiting, away, present = room.students

    def tell(student: str, code: str | None, first: date, *, approve: bool = True) -> None:
        report = Report(id=new_id(), student_id=student, first_day=first, last_day=first, code=code)
        store.write_now(lambda tx: report_absence(tx, report))
        if approve:
            store.write_now(lambda tx: decide(tx, report.id, "approved"))

    tell(ill, "MED", day)
    tell(waiting, None, day, approve=False)
    tell(away, None, day - timedelta(days=1))
    tell(present, "FT", day)
    room.close(opened.id)
    rows = store.read_now(lambda c: of_session(c, opened.id))
    assert (rows[ill].status, rows[ill].code, rows[ill].origin) == ("excused", "MED", "absence_report")
    assert (rows[waiting].status, rows[waiting].code) == ("absent", None)
    assert rows[away].status == "absent"
    assert (rows[present].status, rows[present].code) == ("present", "FT")
    assert store.read_now(recount) == []


def test_sessions_are_listed_latest_first_page_by_page(store: Store) -> None:
    room = classroom(store)
    begins = now_utc()
    ids = [room.open(starts_at=begins - timedelta(days=back)).id for back in (1, 0, 3, 2)]
    latest_first = [ids[1], ids[0], ids[3], ids[2]]

    def listed(**wanted: Any) -> tuple[list[SessionState], bool]:
        asked: dict[str, Any] = {"since": None, "until": None, "limit": 3, "after": None, **wanted}
        return store.read_now(lambda c: sessions_of(c, room.class_id, **asked))

    page, more = listed()
    rest, end = listed(after=(page[-1].starts_at, page[-1].id))
    assert [one.id for one in (*page, *rest)] == latest_first
    assert (more, end) == (True, False)
    day = date.fromisoformat(page[1].school_day)
    assert [one.id for one in listed(since=day, until=day)[0]] == [ids[0]]


async def test_known_sessions_are_read_once_and_forgotten_when_asked(sqlite_store: Store) -> None:
    room = classroom(sqlite_store)
    opened = room.open()
    known = KnownSessions()
    assert (await known.get(sqlite_store, opened.id)).state == "open"
    room.close(opened.id)
    assert (await known.get(sqlite_store, opened.id)).state == "open"
    known.forget(opened.id)
    assert (await known.get(sqlite_store, opened.id)).state == "closed"


async def test_known_sessions_do_not_grow_without_end(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeroom.attendance.sessions.CACHED", 2)
    room = classroom(sqlite_store)
    known = KnownSessions()
    for back in range(4):
        await known.get(sqlite_store, room.open(starts_at=now_utc() - timedelta(days=back)).id)
    assert len(known._kept) == 2


def test_plugins_see_a_session_as_types_of_their_own(store: Store) -> None:
    room = classroom(store)
    begins = now_utc()
    opened = room.open(starts_at=begins, require="all")
    seen = store.read_now(lambda c: session_of(c, opened.id))
    assert iso(seen.starts_at) == opened.starts_at == iso(begins)
    assert seen.school_day == date.fromisoformat(opened.school_day)
    assert (seen.require, seen.methods, seen.state) == ("all", ("door",), "open")
