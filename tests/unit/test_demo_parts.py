"""The parts of the demo that can be looked at without starting one."""

from __future__ import annotations

import asyncio
import json
import socket
import tomllib
from collections.abc import AsyncIterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import pytest
from rich.console import Console

from homeroom.demo import board as boards
from homeroom.demo import run as running
from homeroom.demo.board import Board
from homeroom.demo.folder import configure, make_folder
from homeroom.demo.people import fresh_password
from homeroom.demo.simulation import LAST_SECONDS, ON_TIME_SECONDS, _mistyped, plan_visits
from homeroom.demo.sis import holds
from homeroom.demo.vendors import Vendor
from homeroom.testing.district import first_school_day

NAMES = {"a": "Ana", "b": "Bo", "c": "Cy"}


def mark(student: str, status: str, second: int) -> dict[str, Any]:
    return {
        "type": "attendance",
        "student_id": student,
        "name": NAMES[student],
        "status": status,
        "recorded_at": f"2026-11-23T14:00:{second:02}Z",
    }


def fresh() -> Board:
    return Board(title="Algebra", names=dict(NAMES), zone=ZoneInfo("America/New_York"))


def shown(board: Board) -> str:
    console = Console(width=60)
    with console.capture() as captured:
        console.print(board.table())
    return captured.get()


def test_the_board_shows_the_latest_first_and_then_who_has_not_come() -> None:
    board = fresh()
    board.take({"type": "hello", "marks": [mark("a", "present", 1)]})
    board.take(mark("b", "tardy", 2))
    assert board.take({"type": "ping"}) == []
    lines = [line.split() for line in shown(board).splitlines()]
    assert lines[1:] == [["09:00:02", "tardy", "Bo"], ["09:00:01", "present", "Ana"], ["-", "Cy"]]
    assert board.summary() == "2 of 3 marked: 1 present, 1 tardy"


def test_a_correction_replaces_the_mark() -> None:
    board = fresh()
    board.take(mark("a", "absent", 1))
    board.take(mark("a", "present", 5))
    assert board.summary() == "1 of 3 marked: 1 present"
    assert board.line(board.marks["a"]) == "09:00:05  present  Ana"


async def stream(*messages: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    for message in messages:
        yield message


async def test_the_board_is_drawn_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    await boards.draw(fresh(), stream(mark("a", "present", 1)), lambda: "123456", lambda: "PowerSchool has 12 marks")
    drawn = capsys.readouterr().out
    assert "123456" in drawn
    assert "Ana" in drawn
    assert "PowerSchool has 12 marks" in drawn
    await boards.tell(fresh(), stream(mark("b", "tardy", 2)))
    assert capsys.readouterr().out == "09:00:02  tardy    Bo   (1 of 3 marked: 1 tardy)\n"


async def test_the_board_takes_up_a_lost_connection_where_it_was() -> None:
    from websockets.asyncio.server import ServerConnection, serve

    asked: list[str] = []

    async def answer(connection: ServerConnection) -> None:
        assert connection.request is not None
        asked.append(connection.request.path)
        await connection.send(json.dumps({"type": "hello", "cursor": f"c{len(asked)}", "marks": []}))
        await connection.close(1012)

    async with serve(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        messages = boards.messages(f"http://127.0.0.1:{port}", "algebra", "token")
        assert (await anext(messages))["cursor"] == "c1"
        assert (await anext(messages))["cursor"] == "c2"
        await messages.aclose()  # type: ignore[attr-defined] # it is a generator
    assert asked == ["/ws/class/algebra", "/ws/class/algebra?after=c1"]


def test_somebody_is_late_somebody_mistypes_and_somebody_stays_away() -> None:
    students = [f"s{number}" for number in range(30)]
    visits = plan_visits(students)
    assert visits == plan_visits(students)
    assert {visit.student_id for visit in visits} == set(students[:-1])
    late = [visit for visit in visits if visit.after > ON_TIME_SECONDS]
    assert 2 <= len(late) <= 6
    assert any(visit.wrong_first for visit in visits)
    assert not all(visit.wrong_first for visit in visits)
    assert [visit.after for visit in visits] == sorted(visit.after for visit in visits)
    assert visits[-1].after <= LAST_SECONDS


def test_a_mistyped_code_is_never_the_right_one() -> None:
    for code in ("000000", "123456", "999999"):
        assert _mistyped(code) != code
        assert len(_mistyped(code)) == len(code)


def test_passwords_are_long_and_different() -> None:
    made = {fresh_password() for _ in range(50)}
    assert len(made) == 50
    assert min(map(len, made)) >= 15


def test_each_demo_has_secrets_of_its_own(tmp_path: Path) -> None:
    first, second = (configure(make_folder(tmp_path / name), "http://127.0.0.1:8000") for name in ("one", 'tw"o\\'))
    assert first.auth.secret_key != second.auth.secret_key
    assert first.security.encryption_key != second.security.encryption_key
    assert second.database.url == f'sqlite:///{tmp_path}/tw"o\\/homeroom.db'
    assert first.plugins.enabled == ("accounts", "rotating_code", "oneroster", "web", "reports")


def test_marks_go_to_the_sis_that_the_rosters_come_from_and_its_restart_is_told(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "demo")
    sis = Vendor(
        name="powerschool",
        url="http://127.0.0.1:4711",
        settings={"base_url": "http://127.0.0.1:4711", "titles": ['a "b"']},
    )
    settings = configure(folder, "http://127.0.0.1:8000", sis, students=60)
    assert settings.plugins.enabled == ("accounts", "rotating_code", "powerschool", "web", "reports")
    assert tuple(settings.sync.attendance_out) == ("powerschool",)
    text = folder.config.read_text(encoding="utf-8")
    assert tomllib.loads(text)["plugins"]["powerschool"] == dict(sis.settings)
    assert "homeroom simulate powerschool --port 4711 --students 60" in text


def test_marks_are_counted_in_words() -> None:
    assert [holds(count) for count in (0, 1, 12)] == [
        "PowerSchool has 0 marks",
        "PowerSchool has 1 mark",
        "PowerSchool has 12 marks",
    ]


@pytest.mark.parametrize("today", [date(2027, 1, 1) + timedelta(days=number) for number in range(0, 366, 5)])
def test_on_any_day_of_the_year_a_school_year_is_under_way(today: date) -> None:
    begins_on = first_school_day(today)
    assert timedelta(days=1) <= today - begins_on < timedelta(days=300)


def test_without_a_name_the_folder_is_a_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert make_folder(None).path.parent == tmp_path


def test_the_next_free_port_is_taken_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    free = socket.create_server(("127.0.0.1", 0))
    tried: list[int] = []

    def listen(_host: str, port: int) -> socket.socket:
        tried.append(port)
        if port < 8002:
            raise click.ClickException("in use")
        return free

    monkeypatch.setattr(running, "listen", listen)
    said: list[str] = []
    assert running.take_port(None, said.append) is free
    assert tried == [8000, 8001, 8002]
    assert said == ["Port 8000 is in use, so the demo takes 8002."]
    free.close()

    def none_free(_host: str, _port: int) -> socket.socket:
        raise click.ClickException("in use")

    monkeypatch.setattr(running, "listen", none_free)
    with pytest.raises(click.ClickException, match="--port"):
        running.take_port(None, said.append)


async def test_when_one_part_fails_the_others_end() -> None:
    ended = asyncio.Event()

    async def goes_on() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fails() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await running._until_cancelled(goes_on(), fails(), None)
    assert ended.is_set()
