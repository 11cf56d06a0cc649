"""The parts of serving that a running server shows too rarely."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from pathlib import Path

import click
import pytest
import structlog

from homeroom.cli import server
from homeroom.settings import DatabaseSettings, Settings


def empty(tmp_path: Path) -> server.Plan:
    """A plan that cannot work: nobody has migrated its database."""
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    return server.Plan(settings=Settings(database=DatabaseSettings(url=url, readers=1)))


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with server.listen("127.0.0.1", 0) as listening, pytest.raises(click.ClickException, match="homeroom db upgrade"):
        server.run(empty(tmp_path), listening, workers=1, announce=print)
    structlog.reset_defaults()


def test_workers_that_cannot_start_end_the_server(tmp_path: Path) -> None:
    told: list[str] = []
    with server.listen("127.0.0.1", 0) as listening, pytest.raises(click.ClickException, match="could not start"):
        server.run(empty(tmp_path), listening, workers=2, announce=told.append)
    assert len(told) == 1


def test_a_worker_that_cannot_start_says_so_by_its_exit_code(tmp_path: Path) -> None:
    with server.listen("127.0.0.1", 0) as listening, pytest.raises(SystemExit) as ended:
        server._work(empty(tmp_path), listening)
    assert ended.value.code == server._NO_START
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EADDRINUSE, "--port"), (errno.EACCES, "above 1023"), (errno.EIO, "error")]
)
def test_why_a_port_cannot_be_had_comes_with_what_to_do(number: int, words: str) -> None:
    told = server._why_not_bound("127.0.0.1", 80, OSError(number, os.strerror(number)))
    assert words in told


def test_the_url_is_one_that_a_browser_on_this_machine_can_open() -> None:
    with server.listen("0.0.0.0", 0) as listening:  # noqa: S104 - that is the point
        port = listening.getsockname()[1]
        assert server.url_of(listening) == f"http://127.0.0.1:{port}"
        assert server.url_of(listening, tls=True) == f"https://127.0.0.1:{port}"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_ipv6_address_is_written_in_brackets() -> None:
    with server.listen("::1", 0) as listening:
        assert server.url_of(listening).startswith("http://[::1]:")


async def test_connections_cut_off_at_the_end_are_no_error(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    server._unless_cancelled(loop, {"message": "cut off", "exception": asyncio.CancelledError()})
    assert caplog.messages == []
    server._unless_cancelled(loop, {"message": "a bug"})
    assert caplog.messages == ["a bug"]


def test_a_signal_wakes_whoever_waits_and_the_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with server._signalled() as woken:
        os.kill(os.getpid(), signal.SIGTERM)
        woken.wait(5)
        assert woken.stopped
    assert signal.getsignal(signal.SIGTERM) is before
