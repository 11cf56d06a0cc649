"""The class board over a real WebSocket: who sees what, in which order, and nobody for longer than they may."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from homeroom.attendance.sessions import close_session
from homeroom.auth import sessions
from homeroom.live import board as board_module
from homeroom.live import listener as listener_module
from homeroom.live import views
from homeroom.live.views import cursor_of, position_of
from homeroom.settings import ServerSettings
from homeroom.store import Refused, Transaction, iso, new_id, now_utc
from homeroom.store import models as m
from homeroom.types import Status
from tests.services import world
from tests.services.marks import mark
from tests.services.server import Server, closed_with, heard, serving, settings_for
from tests.services.waiting import until


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Server]:
    async with serving(settings_for(database_url)) as one:
        await one.district.store.write(world.build)
        yield one


@pytest.fixture
async def lite(sqlite_url: str) -> AsyncIterator[Server]:
    """The same on SQLite alone, for what does not differ between databases."""
    async with serving(settings_for(sqlite_url)) as one:
        await one.district.store.write(world.build)
        yield one


async def test_a_hello_says_who_is_marked_and_then_every_change_comes(server: Server) -> None:
    store = server.district.store
    async with server.board("algebra", await server.token("teacher_a")) as board:
        hello = await heard(board)
        assert hello["type"] == "hello"
        assert hello["class_id"] == "algebra"
        assert hello["session"]["id"] == "session_algebra"
        assert hello["session"]["state"] == "open"
        marked = hello["marks"][0]
        assert [mark["student_id"] for mark in hello["marks"]] == ["ann", "dan"]
        assert (marked["student_id"], marked["name"], marked["status"]) == ("ann", "Ann Ann", "present")
        await store.write(mark("algebra", "dan", "tardy"))
        told = await heard(board)
        assert {key: told[key] for key in ("type", "session_id", "student_id", "name", "status")} == {
            "type": "attendance",
            "session_id": "session_algebra",
            "student_id": "dan",
            "name": "Dan Dan",
            "status": "tardy",
        }
        assert told["recorded_at"].endswith("Z")
        record = await store.read(
            lambda c: c.value(
                m.AttendanceRecord.select(m.AttendanceRecord.id).where(
                    m.AttendanceRecord.student_id == "dan", m.AttendanceRecord.session_id == "session_algebra"
                )
            )
        )
        assert told["record_id"] == record
        await store.write(mark("algebra", "ann", "absent"))
        assert (await heard(board))["status"] == "absent"
        await store.write(lambda tx: close_session(tx, "session_algebra"))
        assert {**await heard(board), "cursor": ""} == {
            "type": "session",
            "cursor": "",
            "session_id": "session_algebra",
            "state": "closed",
        }
    async with server.board("algebra", await server.token("teacher_a")) as board:
        hello = await heard(board)
        assert hello["session"] is None
        assert hello["marks"] == []


async def test_a_change_of_another_class_is_not_told(lite: Server) -> None:
    async with lite.board("algebra", await lite.token("teacher_a")) as board:
        await heard(board)
        await lite.district.store.write(mark("biology", "dan"))
        await lite.district.store.write(mark("algebra", "dan"))
        assert (await heard(board))["session_id"] == "session_algebra"


async def test_preferred_names_are_shown_also_when_they_change(lite: Server) -> None:
    store = lite.district.store

    def rename(tx: Transaction) -> None:
        tx.run(m.User.update(preferred_given_name="Annie").where(m.User.id == "ann"))
        tx.journal("user.changed", subject_id="ann", student_id="ann")

    async with lite.board("algebra", await lite.token("teacher_a")) as board:
        assert (await heard(board))["marks"][0]["name"] == "Ann Ann"
        await store.write(rename)
        await store.write(mark("algebra", "ann", "tardy"))
        await store.write(mark("algebra", "ann", "present"))
        assert [(await heard(board))["name"], (await heard(board))["name"]] == ["Annie Ann"] * 2


async def test_resuming_after_a_cursor_gives_exactly_what_was_missed(server: Server) -> None:
    store, token = server.district.store, await server.token("teacher_a")
    statuses: list[Status] = ["tardy", "present", "absent", "excused"]
    async with server.board("algebra", token) as board:
        cursor = (await heard(board))["cursor"]
        await store.write(mark("algebra", "ann", "tardy"))
        first = await heard(board)
    for status in statuses[1:]:
        await store.write(mark("algebra", "ann", status))
        await store.write(mark("biology", "bob", status))
    async with server.board("algebra", token, after=cursor) as board:
        assert [await heard(board) for _ in range(1)] == [first]
        assert [(await heard(board))["status"] for _ in range(3)] == statuses[1:]
        await store.write(mark("algebra", "dan", "tardy"))
        last = await heard(board)
        assert (last["student_id"], last["name"]) == ("dan", "Dan Dan")
    async with server.board("algebra", token, after=last["cursor"]) as board:
        await store.write(mark("algebra", "dan", "present"))
        assert (await heard(board))["status"] == "present"


async def test_boards_that_come_and_go_in_a_storm_see_each_change_once_and_in_order(server: Server) -> None:
    store, token = server.district.store, await server.token("teacher_a")
    seen: list[str] = []
    ended = asyncio.Event()

    async def storm() -> None:
        for n in range(120):
            await store.write(mark("algebra", "ann", ("tardy", "present")[n % 2]))
        ended.set()

    async with server.board("algebra", token) as board:
        start = cursor = (await heard(board))["cursor"]
    storming = asyncio.create_task(storm())
    newest = None
    while newest is None or cursor != newest:
        async with server.board("algebra", token, after=cursor) as board:
            for _ in range(7):
                try:
                    told = await heard(board, 0.3)
                except TimeoutError:
                    break
                seen.append(told["cursor"])
                cursor = told["cursor"]
        if ended.is_set() and newest is None:
            newest = cursor_of(await store.read(lambda c: c.sql("SELECT MAX(id) FROM journal")[0][0]))
    await storming
    rows = await store.read(
        lambda c: c.sql(
            "SELECT id FROM journal WHERE class_id = 'algebra' AND id > ? ORDER BY id", (position_of(start),)
        )
    )
    assert seen == [cursor_of(row[0]) for row in rows]
    assert len(seen) == 120


@pytest.mark.parametrize("cursor", ["jffffffff", "j", "nonsense", "j0x1", "j" + "f" * 40, "%00"])
async def test_a_cursor_that_is_not_ours_gives_a_fresh_hello(lite: Server, cursor: str) -> None:
    async with lite.board("algebra", await lite.token("teacher_a"), after=cursor) as board:
        assert (await heard(board))["type"] == "hello"


async def test_a_cursor_is_good_for_a_day_and_one_too_old_gives_a_fresh_hello(lite: Server) -> None:
    store = lite.district.store
    token = await lite.token("teacher_a")

    async def first_after(age: timedelta) -> str:
        await store.write(mark("algebra", "ann", "tardy"))
        newest = await store.read(lambda c: c.sql("SELECT MAX(id) FROM journal")[0][0])
        await store.write(
            lambda tx: tx.write_sql("UPDATE journal SET at = ? WHERE id = ?", (iso(now_utc() - age), newest))
        )
        await store.write(mark("algebra", "ann", "present"))
        async with lite.board("algebra", token, after=cursor_of(newest)) as board:
            return str((await heard(board))["type"])

    assert await first_after(timedelta(hours=25)) == "attendance"
    assert await first_after(timedelta(hours=49)) == "hello"


async def test_more_missed_than_is_sensible_gives_a_fresh_hello(lite: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_MISSED_AT_MOST", 3)
    store, token = lite.district.store, await lite.token("teacher_a")
    start = cursor_of(await store.read(lambda c: c.sql("SELECT MAX(id) FROM journal")[0][0]))
    for n in range(4):
        await store.write(mark("algebra", "ann", ("tardy", "present")[n % 2]))
    async with lite.board("algebra", token, after=start) as board:
        assert (await heard(board))["type"] == "hello"


@pytest.mark.parametrize(
    ("user", "class_id", "code"),
    [
        ("teacher_b", "algebra", 4403),
        ("teacher_c", "algebra", 4403),
        ("teacher_gone", "algebra", 4403),
        ("bob", "algebra", 4403),
        ("dan", "algebra", 4403),  # has left it
        ("eve", "algebra", 4403),  # comes tomorrow
        ("guardian_cy", "algebra", 4403),
        ("guardian_lost", "algebra", 4403),
        ("admin_south", "algebra", 4403),
        ("nobody", "algebra", 4403),
        ("admin", "no_such_class", 4404),
        ("teacher_a", "no_such_class", 4404),
    ],
)
async def test_whoever_may_not_watch_is_told_by_the_code(lite: Server, user: str, class_id: str, code: int) -> None:
    async with lite.board(class_id, await lite.token(user)) as board:
        assert await closed_with(board) == code


@pytest.mark.parametrize("user", ["teacher_a", "admin_north", "admin"])
async def test_staff_see_the_whole_class(lite: Server, user: str) -> None:
    async with lite.board("algebra", await lite.token(user)) as board:
        assert [marked["student_id"] for marked in (await heard(board))["marks"]] == ["ann", "dan"]
        await lite.district.store.write(mark("algebra", "dan", "tardy"))
        assert (await heard(board))["student_id"] == "dan"


@pytest.mark.parametrize("user", ["bob", "dan", "teacher_parent"])
async def test_families_see_only_their_own_and_teachers_who_are_parents_their_class(lite: Server, user: str) -> None:
    store, token = lite.district.store, await lite.token(user)
    async with lite.board("biology", token) as board:
        hello = await heard(board)
        whole = user == "teacher_parent"
        assert [marked["student_id"] for marked in hello["marks"]] == (
            ["bob"] if user in ("bob", "teacher_parent") else []
        )
        for student in ("bob", "dan"):
            await store.write(mark("biology", student, "tardy"))
        await store.write(lambda tx: tx.journal("session.closed", class_id="biology", session_id="session_biology"))
        told: list[dict[str, Any]] = []
        while not told or told[-1]["type"] != "session":
            told.append(await heard(board))
        assert [one["student_id"] for one in told[:-1]] == (["bob", "dan"] if whole else [user])
    async with lite.board("biology", token, after=hello["cursor"]) as board:
        again = [await heard(board) for _ in told]
        assert again == told


async def test_a_guardian_sees_the_own_child_only(server: Server) -> None:
    async with server.board("algebra", await server.token("guardian_ann")) as board:
        assert [marked["student_id"] for marked in (await heard(board))["marks"]] == ["ann"]
        await server.district.store.write(mark("algebra", "dan"))
        await server.district.store.write(mark("algebra", "ann", "tardy"))
        assert (await heard(board))["student_id"] == "ann"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}])
async def test_whoever_has_not_signed_in_is_accepted_and_closed_with_4401(
    lite: Server, headers: dict[str, str]
) -> None:
    async with lite.board("algebra", headers=headers) as board:
        assert await closed_with(board) == 4401


async def test_a_ticket_opens_one_socket_once(server: Server) -> None:
    authenticator = server.district.authenticator
    token = await server.token("teacher_a")
    identity = await authenticator.identify_headers({"Authorization": f"Bearer {token}"})
    ticket = await authenticator.issue_ticket(identity, purpose="websocket")
    async with server.board("algebra", query=f"ticket={ticket}") as board:
        assert (await heard(board))["type"] == "hello"
    async with server.board("algebra", query=f"ticket={ticket}") as board:
        assert await closed_with(board) == 4401


async def test_an_api_key_with_the_scope_watches_until_it_is_revoked(lite: Server) -> None:
    from homeroom.auth.tokens import fingerprint

    store = lite.district.store
    key = "hrk_test-key"

    def make(tx: Transaction) -> None:
        values = {"name": "board", "key_hash": fingerprint(key), "scopes": ["attendance.read"], "created_at": tx.now}
        tx.insert(m.ApiKey, id="key", **values)

    def revoke(tx: Transaction) -> None:
        tx.run(m.ApiKey.update(revoked=True).where(m.ApiKey.id == "key"))
        tx.journal("api_key.revoked", subject_id="key")

    await store.write(make)
    async with lite.board("chemistry", key) as board:
        assert (await heard(board))["type"] == "hello"
        await store.write(revoke)
        assert await closed_with(board, 5) == 4401


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("https://board.example", True),
        ("https://board.example:443", True),
        ("http://board.example", False),
        ("https://evil.example", False),
        ("https://board.example.evil.example", False),
        ("null", False),
        ("https://[broken", False),
    ],
)
async def test_a_browser_is_let_in_from_allowed_pages_only(sqlite_url: str, origin: str, *, welcome: bool) -> None:
    allowed = ServerSettings(allowed_origins=["https://board.example"])
    async with serving(settings_for(sqlite_url, server=allowed)) as server:
        await server.district.store.write(world.build)
        token = await server.token("teacher_a")
        async with server.board("algebra", token, headers={"Origin": origin}) as board:
            if welcome:
                assert (await heard(board))["type"] == "hello"
            else:
                assert await closed_with(board) == 4403
        async with server.board("algebra", token, headers={"Origin": server.url}) as board:
            assert (await heard(board))["type"] == "hello"


def _revoke(tx: Transaction) -> None:
    tx.run(m.RoleAssignment.delete().where(m.RoleAssignment.user_id == "teacher_a"))
    tx.journal("role.revoked", subject_id="teacher_a", data={"role": "teacher"})


def _unseat(tx: Transaction) -> None:
    tx.run(m.Enrollment.update(ended=True).where(m.Enrollment.user_id == "ann"))
    tx.journal("enrollment.ended", class_id="algebra", student_id="ann", subject_id="ann")


def _part(tx: Transaction) -> None:
    tx.run(m.Guardianship.update(ended=True).where(m.Guardianship.guardian_id == "guardian_ann"))
    tx.journal("guardianship.ended", student_id="ann", subject_id="guardian_ann")


def _remove_class(tx: Transaction) -> None:
    tx.run(m.Class.update(ended=True).where(m.Class.id == "algebra"))
    tx.journal("class.ended", class_id="algebra", subject_id="algebra")


@pytest.mark.parametrize(
    ("user", "loss"),
    [
        ("teacher_a", _revoke),
        ("ann", _unseat),
        ("guardian_ann", _unseat),
        ("guardian_ann", _part),
        ("teacher_a", _remove_class),
    ],
)
async def test_a_right_that_is_lost_closes_the_socket_within_five_seconds(lite: Server, user: str, loss: Any) -> None:
    async with lite.board("algebra", await lite.token(user)) as board:
        await heard(board)
        await lite.district.store.write(loss)
        assert await closed_with(board, 5) == 4403


async def test_signing_out_closes_the_socket_within_five_seconds(server: Server) -> None:
    async with server.board("algebra", await server.token("teacher_a")) as board:
        await heard(board)
        ids = await server.district.store.read(lambda c: c.values(m.SignInSession.select(m.SignInSession.id)))
        await server.district.store.write(lambda tx: sessions.end(tx, ids[0], reason="signed out"))
        assert await closed_with(board, 5) == 4401


async def test_a_right_that_ends_without_a_word_is_noticed_by_the_sweep(
    lite: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An enrolment whose last day passes writes nothing to the journal."""
    monkeypatch.setattr(board_module, "SWEEP_SECONDS", 0.01)
    async with lite.board("algebra", await lite.token("ann")) as board:
        await heard(board)
        await lite.district.store.write(
            lambda tx: tx.run(m.Enrollment.update(ends_on=world.TODAY).where(m.Enrollment.user_id == "ann"))
        )
        assert await closed_with(board, 5) == 4403


async def test_a_guardian_who_gains_a_child_sees_it_at_once(lite: Server) -> None:
    store = lite.district.store

    async with lite.board("algebra", await lite.token("guardian_ann")) as board:
        await heard(board)
        await store.write(world.gain_a_child)
        (listener,) = lite.district.boards._everybody()
        await until(lambda: listener.students == frozenset({"ann", "cy"}))
        await store.write(mark("algebra", "cy"))
        assert (await heard(board))["student_id"] == "cy"


async def test_a_ping_comes_when_nothing_else_does(lite: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "PING_SECONDS", 0.05)
    async with lite.board("algebra", await lite.token("teacher_a")) as board:
        await heard(board)
        assert await heard(board) == {"type": "ping"}
        assert await heard(board) == {"type": "ping"}


async def ended_by(connection: ClientConnection) -> AsyncIterator[str]:
    """What still comes until the server closes, however it does."""
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            yield str(await connection.recv())


async def test_a_slow_reader_is_told_to_start_over_and_slows_nobody(
    lite: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "WAITING_AT_MOST", 20)
    boards, token = lite.district.boards, await lite.token("teacher_a")
    big = json.dumps({"type": "filler", "text": "x" * 20_000})
    async with lite.board("algebra", token, max_queue=1) as slow:
        await heard(slow)
        (stuck,) = boards._everybody()
        async with lite.board("algebra", token) as fast:
            await heard(fast)
            sent = 0
            while stuck.ending is None:  # its connection fills up, then its queue
                stuck.tell(big)
                sent += 1
                await asyncio.sleep(0)
                assert sent < 5000
            await lite.district.store.write(mark("algebra", "dan"))
            assert (await heard(fast, 2))["student_id"] == "dan"
        async with asyncio.timeout(10):
            messages = [message async for message in ended_by(slow)]
        assert json.loads(messages[-1]) == {"type": "resync"}
        assert slow.close_code == 1013


async def test_many_changes_in_one_moment_are_no_reason_to_take_a_reader_for_slow(
    lite: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "WAITING_AT_MOST", 150)
    token, many = await lite.token("teacher_a"), 400

    def back_and_forth(tx: Transaction) -> None:
        for number in range(many):
            mark("algebra", "dan", "tardy" if number % 2 else "absent")(tx)

    async with lite.board("algebra", token) as board:
        before = (await heard(board))["cursor"]
        await lite.district.store.write(back_and_forth)
        told = [await heard(board) for _ in range(many)]
        assert {one["type"] for one in told} == {"attendance"}
    async with lite.board("algebra", token, after=before) as again:
        assert [(await heard(again))["cursor"] for _ in range(many)] == [one["cursor"] for one in told]


def test_what_passes_is_not_told_as_a_right_that_has_ended() -> None:
    codes = {status: board_module.close_code(Refused(status, "x", "X")) for status in (401, 403, 404, 503)}
    assert codes == {401: 4401, 403: 4403, 404: 4404, 503: 1011}


async def test_a_reader_that_takes_not_even_the_last_words_is_dropped(
    lite: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "WAITING_AT_MOST", 20)
    monkeypatch.setattr(listener_module, "_PATIENCE", 0.05)
    monkeypatch.setattr(board_module, "SWEEP_SECONDS", 0.05)
    boards = lite.district.boards
    big = json.dumps({"type": "filler", "text": "x" * 20_000})
    connection = await lite.board("algebra", await lite.token("teacher_a"), max_queue=1)
    await heard(connection)
    (stuck,) = boards._everybody()
    while stuck.ending is None:
        stuck.tell(big)
        await asyncio.sleep(0)
    await until(lambda: boards.sockets == 0, 5)
    connection.transport.abort()


async def test_a_client_that_talks_too_much_is_closed(lite: Server) -> None:
    async with lite.board("algebra", await lite.token("teacher_a")) as board:
        await heard(board)
        for _ in range(10):
            await board.send("a word now and then is not heeded")
        await lite.district.store.write(mark("algebra", "dan"))
        assert (await heard(board))["type"] == "attendance"
        for _ in range(60):
            await board.send("chatter")
        assert await closed_with(board) == 1008


async def test_leaving_leaves_nothing_behind(lite: Server) -> None:
    boards = lite.district.boards
    for user in ("teacher_a", "guardian_ann", "ann"):
        async with lite.board("algebra", await lite.token(user)) as board:
            await heard(board)
            assert boards.sockets == 1
        await until(lambda: boards.sockets == 0)
    assert not boards._hubs
    assert not boards._of_person
    assert not boards._doubtful


async def test_frames_are_not_compressed(lite: Server) -> None:
    """A compressor would cost each of a thousand sockets more than everything else together."""
    async with lite.board("algebra", await lite.token("teacher_a"), compression="deflate") as board:
        assert board.protocol.extensions == []


async def test_a_database_that_is_away_closes_with_1011(lite: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from homeroom.store import Unavailable

    token = await lite.token("teacher_a")

    async def away(*_args: object) -> None:
        raise Unavailable("the database cannot be reached")

    monkeypatch.setattr(lite.district.store, "read", away)
    async with lite.board("algebra", token) as board:
        assert await closed_with(board) == 1011


async def test_rights_are_looked_at_again_when_the_database_is_back(
    lite: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_module, "SWEEP_SECONDS", 0.05)
    boards = lite.district.boards
    async with lite.board("algebra", await lite.token("teacher_a")) as board:
        await heard(board)
        failures = []
        original = boards._check

        async def away(listeners: Any) -> None:
            failures.append(listeners)
            if len(failures) < 3:
                raise OSError
            await original(listeners)

        monkeypatch.setattr(boards, "_check", away)
        await lite.district.store.write(_revoke)
        assert await closed_with(board, 5) == 4403
        assert len(failures) >= 3


async def test_the_boards_of_another_process_hear_it_through_redis(postgres_url: str, redis_url: str) -> None:
    settings = settings_for(postgres_url, redis_url)
    async with serving(settings) as here, serving(settings) as there:
        await here.district.store.write(world.build)
        token = await here.token("teacher_a")
        async with here.board("algebra", token) as first, there.board("algebra", token) as second:
            await heard(first)
            await heard(second)
            await here.district.store.write(mark("algebra", "dan"))
            await there.district.store.write(mark("algebra", "ann", "tardy"))
            told = [await heard(first), await heard(first)]
            assert told == [await heard(second), await heard(second)]
            assert [one["student_id"] for one in told] == ["dan", "ann"]
            await there.district.store.write(_revoke)
            assert [await closed_with(first, 5), await closed_with(second, 5)] == [4403, 4403]


def test_cursors_are_opaque_and_come_back() -> None:
    assert [position_of(cursor_of(n)) for n in (0, 1, 255, 2**40)] == [0, 1, 255, 2**40]
    assert position_of("") is None
    assert new_id() not in cursor_of(1)


async def test_a_server_that_stops_sends_everybody_away_at_once(lite: Server) -> None:
    token = await lite.token("teacher_a")
    async with lite.board("algebra", token) as board:
        await heard(board)
        await lite.district.boards.stop()
        assert await closed_with(board, 2) == 1001
    async with lite.board("algebra", token) as late:
        assert await closed_with(late, 2) == 1001
