"""FERPA on what is written down: every read, every denial, and that nobody can change it afterwards unseen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets

from homeroom.host.switches import switch
from homeroom.store import Transaction, now_utc
from homeroom.store import models as m
from homeroom.testing import FakeClock
from homeroom.types import Status
from homeroom_ferpa.access import decisions
from homeroom_ferpa.log.verify import verify
from tests.services import world
from tests.services.lawful import lawful
from tests.services.marks import mark
from tests.services.sealed import sealing
from tests.services.served import Served, served
from tests.services.server import Server, closed_with, heard
from tests.services.waiting import until


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    """The small world with the plugin on, once on SQLite and once on PostgreSQL."""
    async with served(database_url, enabled=("ferpa",), required=("ferpa",)) as running:
        yield running


async def entries(api: Served, kind: str) -> list[tuple[Any, ...]]:
    text = "SELECT actor, action, student_ids, basis, reason FROM ferpa_audit WHERE kind = ? ORDER BY id"
    found: list[tuple[Any, ...]] = await api.district.store.read(lambda c: c.sql(text, (kind,)))
    return found


async def test_a_foreign_student_is_an_answer_without_data_and_a_row_in_the_log(api: Served) -> None:
    """FERPA 26 §99.31(a)(1)(i)(A): ids outside a teacher's current sections give 404 or 403 and a log row."""
    for student in ("bob", "cy", "dan"):
        answer = await api.get(f"~/students/{student}", "teacher_a")
        assert answer.status_code in (403, 404)
    assert [(who, student) for who, _, student, _, reason in await entries(api, "denied") if reason] == [
        ("teacher_a", f'["{student}"]') for student in ("bob", "cy", "dan")
    ]


async def test_reads_of_school_officials_are_logged_though_they_need_no_place_in_the_record(api: Served) -> None:
    """FERPA 42 §99.32(d): the system logs own officials, parents and students internally, with their basis."""
    for who in ("teacher_a", "guardian_ann", "ann"):
        assert (await api.get("~/students/ann", who)).status_code == 200
    told = await entries(api, "read")
    assert [(who, student) for who, _, student, _, _ in told] == [
        (who, '["ann"]') for who in ("teacher_a", "guardian_ann", "ann")
    ]
    assert all(basis for *_, basis, _ in told)
    ledger = await api.district.store.read(lambda c: c.sql("SELECT count(*) FROM ferpa_ledger"))
    assert ledger == [(0,)]


async def test_an_entry_that_was_changed_afterwards_is_found(api: Served) -> None:
    """FERPA 37 §99.32(a)(1): what was entered stays as it was entered; a change, also by hand, shows."""
    assert (await api.get("~/students/ann", "teacher_a")).status_code == 200
    await sealing(api.district.store, clock=FakeClock(now_utc())).log.sealer.seal()
    report = await verify(api.district.store.read)
    assert (report.problems, report.pending) == ([], 0)
    await api.district.store.write(lambda tx: tx.write_sql("UPDATE ferpa_audit SET actor = 'teacher_b' WHERE id = 1"))
    (problem,) = (await verify(api.district.store.read)).problems
    assert problem.startswith("audit row 1 ")
    assert problem.endswith("is not what was sealed")


async def entered(server: Server) -> list[tuple[str, str]]:
    """Of whom boards were entered, and to whom they are shown."""
    text = "SELECT actor, student_ids FROM ferpa_audit WHERE kind = 'read' AND action = 'class.watch' ORDER BY id"
    found: list[tuple[str, str]] = await server.district.store.read(lambda c: c.sql(text))
    return found


def unmark(tx: Transaction) -> None:
    tx.write_sql("DELETE FROM attendance_records")


@pytest.mark.parametrize("user", ["teacher_a", "admin", "guardian_ann", "ann"])
async def test_whom_a_board_may_name_is_entered_before_the_first_mark_and_once(sqlite_url: str, user: str) -> None:
    """FERPA 37 §99.32(a)(1): a board opened before anybody is marked is entered all the same, with its basis."""
    async with lawful(sqlite_url) as server:
        store = server.district.store
        await store.write(unmark)
        async with server.board("algebra", await server.token(user)) as board:
            assert (await heard(board))["marks"] == []
            assert await entered(server) == [(user, '["ann"]')]
            basis = await store.read(lambda c: c.sql("SELECT basis FROM ferpa_audit WHERE action = 'class.watch'"))
            assert basis == [(decisions.OWN if user in ("guardian_ann", "ann") else decisions.STAFF,)]
            statuses: tuple[Status, ...] = ("present", "tardy", "absent")
            for status in statuses:
                await store.write(mark("algebra", "ann", status))
                assert (await heard(board))["status"] == status
        assert await entered(server) == [(user, '["ann"]')]


async def test_who_joins_the_class_later_is_entered_before_a_board_shows_them(database_url: str) -> None:
    """FERPA 37 §99.32(a)(1): one entry more for each board, then the marks in their order; not one for each mark."""
    async with lawful(database_url) as server:
        store = server.district.store
        await store.write(unmark)

        def join(tx: Transaction) -> None:
            for student in ("bob", "cy"):
                values = {"user_id": student, "class_id": "algebra", "role": "student"}
                tx.insert(m.Enrollment, **values, changed_at=tx.now)
            for student in ("cy", "ann", "bob"):
                mark("algebra", student)(tx)

        token = await server.token("teacher_a")
        async with server.board("algebra", token) as one, server.board("algebra", token) as other:
            boards = (one, other)
            assert [(await heard(board))["marks"] for board in boards] == [[], []]
            assert await entered(server) == [("teacher_a", '["ann"]')] * 2
            await store.write(join)
            for board in boards:
                assert [(await heard(board))["student_id"] for _ in range(3)] == ["cy", "ann", "bob"]
            assert await entered(server) == [("teacher_a", '["ann"]')] * 2 + [("teacher_a", '["bob","cy"]')] * 2


async def test_a_child_that_a_family_gains_is_entered_before_the_open_board_shows_it(sqlite_url: str) -> None:
    """FERPA 42 §99.32(d): what a family's open board gains is logged as what it began with."""
    async with lawful(sqlite_url) as server:
        store = server.district.store

        async with server.board("algebra", await server.token("guardian_ann")) as board:
            await heard(board)
            await store.write(world.gain_a_child)
            (listener,) = server.district.boards._everybody()
            await until(lambda: listener.students == frozenset({"ann", "cy"}))
            await store.write(mark("algebra", "dan"))  # whom it does not see
            await store.write(mark("algebra", "cy"))
            assert (await heard(board))["student_id"] == "cy"
            assert await entered(server) == [("guardian_ann", '["ann"]'), ("guardian_ann", '["cy"]')]


async def test_a_board_shows_nobody_who_cannot_be_entered_and_goes_on_when_they_can(sqlite_url: str) -> None:
    """FERPA 37 §99.32(a)(1): while the log cannot be written a board ends, and misses nothing when it comes back."""
    async with lawful(sqlite_url) as server:
        store = server.district.store
        await store.write(unmark)
        token = await server.token("teacher_a")
        async with server.board("algebra", token) as board:
            cursor = (await heard(board))["cursor"]
            await store.write(lambda tx: tx.write_sql("ALTER TABLE ferpa_audit RENAME TO ferpa_away"))
            await store.write(mark("algebra", "ann"))
            told = await heard(board)
            assert told["student_id"] == "ann"  # entered when it was opened
            await store.write(mark("algebra", "dan"))
            with pytest.raises(websockets.ConnectionClosed) as ended:
                await heard(board)
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == 1011
        async with server.board("algebra", token, after=cursor) as board:
            assert await closed_with(board) == 1011
        await store.write(lambda tx: tx.write_sql("ALTER TABLE ferpa_away RENAME TO ferpa_audit"))
        async with server.board("algebra", token, after=told["cursor"]) as board:
            assert (await heard(board))["student_id"] == "dan"
        assert await entered(server) == [("teacher_a", '["ann"]'), ("teacher_a", '["ann","dan"]')]


async def test_a_board_that_was_open_when_the_log_was_switched_on_is_entered_with_its_next_mark(
    sqlite_url: str,
) -> None:
    """FERPA 37 §99.32(a)(1): what is shown after the plugin was switched on is entered, also on boards open before."""
    async with lawful(sqlite_url, required=False) as server:
        district = server.district

        async def switched(*, on: bool) -> None:
            await district.store.write(lambda tx: switch(tx, "ferpa", enabled=on))
            await until(lambda: district.host.implements("audit") is on)

        await switched(on=False)
        async with server.board("algebra", await server.token("teacher_a")) as board:
            await heard(board)
            await district.store.write(mark("algebra", "dan", "tardy"))
            await heard(board)
            await switched(on=True)
            assert await entered(server) == []
            await district.store.write(mark("algebra", "dan", "absent"))
            assert (await heard(board))["status"] == "absent"
            assert await entered(server) == [("teacher_a", '["ann","dan"]')]
            await switched(on=False)
            await district.store.write(mark("algebra", "bob"))
            assert (await heard(board))["student_id"] == "bob"
