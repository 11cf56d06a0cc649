"""The server as a test needs it: in this process on Hypercorn, or as a process of its own that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx2
import websockets
from pydantic import SecretStr
from quart import Quart
from websockets.asyncio.client import ClientConnection

from homeroom.app import create_app
from homeroom.auth import sessions
from homeroom.auth.authenticator import Authenticator
from homeroom.cli import connections
from homeroom.cli.server import hypercorn_config, listen, url_of
from homeroom.district import District
from homeroom.settings import AttendanceSettings, DatabaseSettings, RedisSettings, Settings
from homeroom.store import Store, new_id


def settings_for(database_url: str, redis_url: str | None = None, **more: Any) -> Settings:
    """Settings of a district without plugins, in UTC, on these services."""
    return Settings(
        database=DatabaseSettings(url=database_url),
        redis=RedisSettings(url=SecretStr(redis_url) if redis_url else None),
        attendance=AttendanceSettings(time_zone="UTC", school_days=list(range(7))),
        **more,
    )


async def sign_in(store: Store, authenticator: Authenticator, user_id: str) -> str:
    """An access token of a fresh sign-in session of this person."""
    session_id = new_id()
    refresh = authenticator.refresh.make(session_id)
    await store.write(
        lambda tx: sessions.start(
            tx, session_id=session_id, user_id=user_id, refresh_token=refresh, device="test", days=1
        )
    )
    return authenticator.access.issue(user_id=user_id, session_id=session_id)


class Server:
    """One that runs in this process. `url` begins with http."""

    def __init__(self, app: Quart, district: District, url: str) -> None:
        self.app = app
        self.district = district
        self.url = url

    async def token(self, user_id: str) -> str:
        """An access token of this person."""
        return await sign_in(self.district.store, self.district.authenticator, user_id)

    def board(
        self,
        class_id: str,
        token: str | None = None,
        *,
        after: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        **options: Any,
    ) -> websockets.connect:
        """A connection to a class's board, to be entered or awaited."""
        text = f"{query}&after={after}" if after else query
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        address = f"{self.url.replace('http', 'ws', 1)}/ws/class/{class_id}?{text}"
        return websockets.connect(address, additional_headers={**sent, **(headers or {})}, **options)


async def heard(connection: ClientConnection, seconds: float = 10) -> dict[str, Any]:
    """The next message of a board."""
    async with asyncio.timeout(seconds):
        message: dict[str, Any] = json.loads(await connection.recv())
    return message


async def closed_with(connection: ClientConnection, seconds: float = 10) -> int:
    """The code with which the server closes, whatever it sends before."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                await connection.recv()
    except websockets.ConnectionClosed as exc:
        return exc.rcvd.code if exc.rcvd else 1006


@asynccontextmanager
async def serving(settings: Settings, port: int = 0) -> AsyncIterator[Server]:
    """A server in this process, on a real socket."""
    district = District(settings)
    app = create_app(district=district)
    listening = listen("127.0.0.1", port)
    started, stopping = asyncio.Event(), asyncio.Event()

    @app.before_serving
    async def tell() -> None:
        started.set()

    config = hypercorn_config(listening, None)
    config.graceful_timeout = 0.2
    serving_task = asyncio.create_task(connections.serve(app, config, stop=stopping.wait))
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait([serving_task, waiting], return_when=asyncio.FIRST_COMPLETED)
    if serving_task.done():
        serving_task.result()
    try:
        yield Server(app, district, url_of(listening))
    finally:
        waiting.cancel()
        stopping.set()
        await serving_task
        listening.close()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class ServerProcess:
    """`homeroom serve` as a process of its own, on one port through all its lives."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "from homeroom.cli import main; main()",
                    "serve",
                    "--port",
                    str(self.port),
                    *self._arguments,
                ],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        with httpx2.Client(base_url=self.url, timeout=2) as client:
            while True:
                try:
                    client.get("/health").raise_for_status()
                except httpx2.HTTPError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        raise AssertionError(f"the server did not start:\n{self.log()[-2000:]}") from None
                    time.sleep(0.02)
                else:
                    return

    def kill(self) -> None:
        """End it as a power cut would, with every process of its own."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def tell(self, how: signal.Signals) -> None:
        """Send a signal to its first process."""
        assert self._process is not None
        self._process.send_signal(how)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; gives its exit code."""
        assert self._process is not None
        self._process.send_signal(how)
        code = self._process.wait(timeout=30)
        self._process = None
        return code

    def log(self) -> str:
        """What it has written."""
        return (self._folder / "server.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()


class WorkerProcess:
    """`homeroom worker` as a process of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-c", "from homeroom.cli import main; main()", "worker"]
        with (folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        assert "worker runs" in self.process.stdout.readline(), (folder / "worker.log").read_text()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
