"""The server is killed in the middle of everything, and nothing that it answered is lost or done twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from homeroom.store import Store
from tests.services.server import ServerProcess, settings_for
from tests.services.storm import SESSION, Board, Storm, gather_class, kept
from tests.services.waiting import until

STUDENTS = 660
BOARDS = 3


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.long)])
async def test_kills_in_a_storm_of_check_ins_lose_and_double_nothing(
    database_url: str, tmp_path: Path, kills: int
) -> None:
    settings = settings_for(database_url)
    with Store(database_url, cipher=settings.cipher()) as store:
        tokens = await asyncio.to_thread(gather_class, store, settings, STUDENTS)
    teacher = tokens.pop("teacher")
    with _server(tmp_path, database_url) as server:
        storm = Storm(url=server.url, tokens=tokens, teacher=teacher)
        boards = [Board(url=server.url, token=teacher) for _ in range(BOARDS)]
        watching = [asyncio.create_task(board.watch()) for board in boards]
        await until(lambda: all(board.hellos for board in boards))
        blowing = asyncio.create_task(storm.blow())
        for kill in range(1, kills + 1):
            await until(lambda many=kill * STUDENTS // (kills + 2): storm.checked_in >= many, 60)  # type: ignore[misc]
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await blowing
        with contextlib.suppress(TimeoutError):  # then the comparison below says who is missing
            await until(lambda: all(len(board.seen) >= STUDENTS for board in boards), 20)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    assert storm.odd == []
    assert storm.lost > 0, "the kills came between the check-ins, so nothing was proved"
    with Store(database_url, cipher=settings.cipher()) as store:
        records, told, counted = await store.read(kept)
    assert records == {student: answers[-1][1] for student, answers in storm.answers.items()}
    assert all(len(answers) == 1 for answers in storm.answers.values())
    assert told == dict.fromkeys(tokens, 1)
    assert counted == STUDENTS
    for board in boards:
        assert len(board.seen) == STUDENTS, f"{STUDENTS - len(set(board.seen))} missing, {len(board.seen)} shown"
        assert set(board.seen) == set(tokens)
        assert board.hellos == 1
        assert board.connections > kills // 2


async def test_clients_that_hang_up_in_the_middle_lose_nothing(database_url: str, tmp_path: Path) -> None:
    """Quart cancels a handler when its client disconnects: what others were answered must still be there."""
    settings = settings_for(database_url)
    with Store(database_url, cipher=settings.cipher()) as store:
        tokens = await asyncio.to_thread(gather_class, store, settings, 300)
    teacher = tokens.pop("teacher")
    hanging_up, staying = dict(list(tokens.items())[::2]), dict(list(tokens.items())[1::2])
    with _server(tmp_path, database_url) as server:
        storm = Storm(url=server.url, tokens=staying, teacher=teacher)
        blowing = asyncio.create_task(storm.blow())
        await until(lambda: bool(storm.code))
        for n, token in enumerate(hanging_up.values()):
            await _hang_up(server.port, token, storm.code, after=(n % 8) / 2000)
        await blowing
        log = server.log()
    assert storm.odd == []
    with Store(database_url, cipher=settings.cipher()) as store:
        records, told, counted = await store.read(kept)
    assert {student: answers[0] for student, answers in storm.answers.items()} == {
        student: (201, records[student]) for student in staying
    }
    assert told == dict.fromkeys(records, 1)
    assert counted == len(records)
    assert "unexpected_error" not in log


def _server(folder: Path, database_url: str) -> ServerProcess:
    (folder / "homeroom.toml").write_text('[plugins]\nenabled = ["rotating_code"]\n')
    environment = {
        "DATABASE_URL": database_url,
        "HOMEROOM__ATTENDANCE__TIME_ZONE": "UTC",
        "HOMEROOM__SERVER__REQUESTS_PER_MINUTE": "1000000",
    }
    return ServerProcess(folder, environment)


async def _hang_up(port: int, token: str, code: str, *, after: float) -> None:
    """Ask to check in, and leave before or while the answer comes."""
    body = json.dumps({"session_id": SESSION, "proof": {"code": code}}).encode()
    head = (
        f"POST /api/v1/attendance/checkin HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    await writer.drain()
    await asyncio.sleep(after)
    writer.transport.abort()
