"""`homeroom serve` and `homeroom worker` as processes: they serve, they say so, they stop, and they come back."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from homeroom import doctor
from tests.services import certificate

SECONDS = 30


class Process:
    """A command that runs, and what it has printed so far."""

    def __init__(self, *args: str, cwd: Path, **environment: str) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("HOMEROOM__")}
        self._log = cwd / "stderr.txt"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "homeroom", *args],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=cwd,
                env={**env, **environment},
            )

    def line(self) -> str:
        """The next line on stdout."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        assert text, f"ended with {self.process.wait()}: {self._log.read_text()}"
        return text.strip()

    def children(self) -> list[psutil.Process]:
        """The processes that it started, but for multiprocessing's own."""
        return [child for child in psutil.Process(self.process.pid).children() if _is_worker(child)]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(how)
        code = self.process.wait(timeout=SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:  # it has died meanwhile
        return False


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts commands; whatever still runs at the end is killed."""
    begun: list[Process] = []

    def go(*args: str, **environment: str) -> Process:
        begun.append(Process(*args, cwd=tmp_path, **environment))
        return begun[-1]

    yield go
    for one in begun:
        for child in psutil.Process(one.process.pid).children(recursive=True) if one.process.poll() is None else []:
            child.kill()
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        if one.process.stdout is not None:
            one.process.stdout.close()


def url_in(line: str) -> str:
    assert line.startswith("Homeroom serves on "), line
    return line.rsplit(" ", 1)[1]


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_fresh_folder_serves_at_once_and_stops_cleanly(start: Start, tmp_path: Path, how: signal.Signals) -> None:
    server = start("serve", "--port", "0", DATABASE_URL=f"sqlite:///{tmp_path / 'new.db'}")
    url = url_in(server.line())
    answer = httpx2.get(f"{url}/health")
    assert answer.json() == {"status": "ok"}
    assert "server" not in answer.headers
    assert server.stop(how) == 0
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{url}/health")


def test_only_tls_1_3_is_spoken(start: Start, tmp_path: Path, sqlite_url: str) -> None:
    cert, key = certificate.write(tmp_path)
    server = start("serve", "--port", "0", "--certfile", str(cert), "--keyfile", str(key), DATABASE_URL=sqlite_url)
    url = url_in(server.line())
    assert url.startswith("https://")
    port = int(url.rsplit(":", 1)[1])
    context = ssl.create_default_context(cafile=cert)
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as s,
    ):
        assert s.version() == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", port)) as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(raw, server_hostname="localhost").close()
    assert server.stop() == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_doctor_knows_a_server_by_https_and_on_ipv6_too(
    start: Start, tmp_path: Path, sqlite_url: str, host: str, scheme: str
) -> None:
    cert, key = certificate.write(tmp_path)
    files = ("--certfile", str(cert), "--keyfile", str(key)) if scheme == "https" else ()
    server = start("serve", "--host", host, "--port", "0", *files, DATABASE_URL=sqlite_url)
    port = int(url_in(server.line()).rsplit(":", 1)[1])
    assert doctor.listening(host, port).detail == f"Homeroom serves on {port}"
    assert server.stop() == 0


def test_safe_starts_without_any_plugin(start: Start, tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "homeroom.toml").write_text('[plugins]\nenabled = ["rotating_code"]\n')
    server = start("serve", "--port", "0", "--safe", DATABASE_URL=sqlite_url)
    url = url_in(server.line())
    plugins = httpx2.get(f"{url}/health/detailed").json()["plugins"]
    assert "loaded" not in {plugin["state"] for plugin in plugins}
    assert server.stop() == 0


def test_several_workers_share_the_port_and_one_that_dies_is_replaced(
    start: Start, postgres_url: str, redis_url: str
) -> None:
    server = start("serve", "--port", "0", "--workers", "2", DATABASE_URL=postgres_url, REDIS_URL=redis_url)
    url = url_in(server.line())
    seen: set[int] = set()

    def both() -> bool:
        with httpx2.Client(timeout=SECONDS) as client:
            seen.add(client.get(f"{url}/health/detailed").json()["process"]["pid"])
        return len(seen) == 2

    until(both)
    victim = seen.pop()
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in {child.pid for child in server.children()} and len(server.children()) == 2)
    until(both)
    workers = server.children()
    assert server.stop() == 0
    assert not any(worker.is_running() for worker in workers)


def test_workers_do_not_outlive_a_parent_that_was_killed(start: Start, postgres_url: str, redis_url: str) -> None:
    server = start("serve", "--port", "0", "--workers", "2", DATABASE_URL=postgres_url, REDIS_URL=redis_url)
    url = url_in(server.line())
    assert httpx2.get(f"{url}/health", timeout=SECONDS).status_code == 200
    workers = server.children()
    assert len(workers) == 2
    server.process.kill()
    gone, alive = psutil.wait_procs(workers, timeout=SECONDS)
    assert (len(gone), alive) == (2, [])


def test_a_database_that_is_away_is_one_clear_line(start: Start, tmp_path: Path) -> None:
    server = start("serve", "--port", "0", DATABASE_URL="postgresql://nobody:secret@127.0.0.1:1/none")
    assert server.process.wait(timeout=SECONDS) == 1
    (told,) = (tmp_path / "stderr.txt").read_text().splitlines()
    assert "cannot be reached" in told
    assert "secret" not in told


def test_a_worker_runs_until_it_is_stopped(start: Start, postgres_url: str, redis_url: str) -> None:
    worker = start("worker", DATABASE_URL=postgres_url, REDIS_URL=redis_url)
    assert "worker runs" in worker.line()
    assert worker.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_told_to_stop_it_says_so_and_serves_on_until_the_time_to_drain_is_over(
    start: Start, postgres_url: str, redis_url: str, workers: int
) -> None:
    services = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "HOMEROOM__SERVER__DRAIN_SECONDS": "1.5"}
    server = start("serve", "--port", "0", "--workers", str(workers), **services)
    url = url_in(server.line())
    assert httpx2.get(f"{url}/health/ready", timeout=SECONDS).json() == {"status": "ready"}
    pids: set[int] = set()
    until(lambda: len(_asked(url, pids)) == workers)
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    until(lambda: httpx2.get(f"{url}/health/ready").status_code == 503)
    answer = httpx2.get(f"{url}/health/ready")
    assert answer.json()["type"].endswith("/draining")
    assert httpx2.get(f"{url}/health").status_code == 200
    server.process.send_signal(signal.SIGTERM)  # systemd tells every process of a unit: that must not cut it short
    assert server.process.wait(timeout=SECONDS) == 0
    assert time.monotonic() - began >= 1.5


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_does_not_drain_and_ends_draining(start: Start, postgres_url: str, redis_url: str, workers: int) -> None:
    services = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "HOMEROOM__SERVER__DRAIN_SECONDS": "200"}
    server = start("serve", "--port", "0", "--workers", str(workers), **services)
    url = url_in(server.line())
    pids: set[int] = set()
    until(lambda: len(_asked(url, pids)) == workers)
    server.process.send_signal(signal.SIGTERM)
    until(lambda: httpx2.get(f"{url}/health/ready").status_code == 503)
    assert server.stop(signal.SIGINT) == 0


def _asked(url: str, pids: set[int]) -> set[int]:
    """The processes that have answered, with the one that answers now."""
    with httpx2.Client(timeout=SECONDS) as client:
        pids.add(client.get(f"{url}/health/detailed").json()["process"]["pid"])
    return pids


def test_the_figures_are_those_of_all_workers_whichever_answers(
    start: Start, postgres_url: str, redis_url: str
) -> None:
    server = start("serve", "--port", "0", "--workers", "2", DATABASE_URL=postgres_url, REDIS_URL=redis_url)
    url = url_in(server.line())
    pids: set[int] = set()
    until(lambda: len(_asked(url, pids)) == 2)

    def asked_for_nothing(times: int) -> None:
        for _ in range(times):
            assert httpx2.get(f"{url}/api/v1/nothing", timeout=SECONDS).status_code == 404

    asked_for_nothing(40)
    seen = [_figures(url) for _ in range(12)]
    missed = 'homeroom_request_seconds_count{method="GET",route="unknown"}'
    assert {figures[missed] for figures in seen} == {40.0}
    of_both = [name for name in seen[-1] if name.startswith("process_resident_memory_bytes")]
    assert of_both == [f'process_resident_memory_bytes{{worker="{number}"}}' for number in (0, 1)]
    _never_less(seen)
    os.kill(pids.pop(), signal.SIGKILL)
    until(lambda: len(_asked(url, pids)) == 2)
    asked_for_nothing(2)
    later = [*seen, *(_figures(url) for _ in range(12))]
    assert later[-1][missed] == 42.0  # what the dead one had counted stays
    _never_less(later, but="process_")
    assert server.stop() == 0


def _figures(url: str) -> dict[str, float]:
    """What Prometheus would collect."""
    with httpx2.Client(timeout=SECONDS) as client:
        lines = client.get(f"{url}/metrics").text.splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    assert len({name for name, _ in pairs}) == len(pairs), "a figure is there twice"
    return {name: float(value) for name, value in pairs}


def _never_less(seen: list[dict[str, float]], but: str = "nothing") -> None:
    """No counter ever goes down, nor does one vanish."""
    for before, after in itertools.pairwise(seen):
        for name, value in before.items():
            bare = name.partition("{")[0]
            if bare.endswith(("_total", "_count", "_sum", "_bucket")) and not name.startswith(but):
                assert after[name] >= value, name
