"""Serving with Hypercorn: one process, or several that share one listening socket and are watched."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog
from hypercorn.config import Config
from hypercorn.utils import LifespanFailureError

from homeroom.cli import connections
from homeroom.cli.installation import leave_bytecode_alone, spare_collector

if TYPE_CHECKING:
    from quart import Quart

    from homeroom.district import District
    from homeroom.settings import Settings

log = structlog.get_logger("homeroom.server")

GRACE_SECONDS = 10
_BACKLOG = 2048
_NO_START = 3  # a worker's exit code when it could not start; of the first ones, that ends the server
_TOO_SOON = 1.0  # a worker that dies younger than this waits before it is started again


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A certificate and its key, as PEM files."""

    certfile: Path
    keyfile: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one server process needs to know."""

    settings: Settings
    tls: Tls | None = None
    safe: bool = False
    upgrade: bool = False
    figures: tuple[Path, int] | None = None  # where workers put their figures together, and which one this is


class _Hypercorn(Config):
    """Hypercorn's settings, with TLS 1.3 as the least."""

    def create_ssl_context(self) -> ssl.SSLContext | None:
        """Hypercorn's context, without TLS 1.2."""
        context = super().create_ssl_context()
        if context is not None:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


def cannot_serve(settings: Settings, *, workers: int, certfile: Path | None, keyfile: Path | None) -> str | None:
    """Why these settings and options cannot go together, or None."""
    if (certfile is None) != (keyfile is None):
        return "TLS needs both --certfile and --keyfile."
    if workers > 1:
        missing = []
        if settings.database.url.startswith("sqlite"):
            missing.append("PostgreSQL (set DATABASE_URL; SQLite serves one process)")
        if settings.redis.url is None:
            missing.append("Redis (set REDIS_URL; it wakes the boards of the other processes)")
        if missing:
            return f"--workers {workers} needs {' and '.join(missing)}."
    return None


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises ClickException, in one line, when it cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror:
        raise click.ClickException(f"{host} is not an address of this machine.") from None
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as exc:
        bound.close()
        raise click.ClickException(_why_not_bound(host, port, exc)) from None
    bound.setblocking(False)
    return bound


def _why_not_bound(host: str, port: int, exc: OSError) -> str:
    import errno

    if exc.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use: stop what uses it, or choose another with --port."
    if exc.errno == errno.EACCES:
        return f"Port {port} may only be used by an administrator: choose one above 1023 with --port."
    return f"Cannot listen on {host} port {port}: {exc.strerror}."


def url_of(listening: socket.socket, *, tls: bool = False) -> str:
    """The URL by which a browser on this machine reaches the socket."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def run(plan: Plan, listening: socket.socket, *, workers: int, announce: Callable[[str], None]) -> None:
    """Serve on the socket until SIGINT or SIGTERM. Raises ClickException when the server cannot start."""
    url = url_of(listening, tls=plan.tls is not None)
    if workers == 1:
        try:
            asyncio.run(serve_one(plan, listening, on_start=lambda: announce(url)))
        except LifespanFailureError as exc:
            raise click.ClickException(f"The server could not start: {why(exc)}") from None
        return
    announce(url)
    _supervise(plan, listening, workers)


def why(exc: LifespanFailureError) -> str:
    """What the application said when it failed to start."""
    return str(exc).partition("'")[2].rstrip("'\" ") or str(exc)


def hypercorn_config(listening: socket.socket, tls: Tls | None) -> Config:
    """How Hypercorn serves us on a socket of ours."""
    config = _Hypercorn()
    # Hypercorn closes what it is given, so each serving gets a descriptor of its own. Not socket.dup(): that makes the
    # socket block for a moment, in every worker that shares it, and one that is just accepting would stand still.
    config.bind = [f"fd://{os.dup(listening.fileno())}"]
    config.backlog = _BACKLOG
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.graceful_timeout = GRACE_SECONDS
    config.shutdown_timeout = GRACE_SECONDS
    config.keep_alive_timeout = 75
    config.keep_alive_max_requests = 100_000
    config.websocket_max_message_size = 64 * 1024  # clients have little to say; all news goes the other way
    if tls is not None:
        config.certfile, config.keyfile = str(tls.certfile), str(tls.keyfile)
    return config


def stop_signals(at_once: asyncio.Event | None = None) -> asyncio.Event:
    """An event that SIGINT and SIGTERM set; SIGINT, which is somebody at the keyboard, sets `at_once`, too."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if at_once is not None:
            at_once.set()
        stopping.set()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    return stopping


async def serve_one(plan: Plan, listening: socket.socket, *, on_start: Callable[[], None]) -> None:
    """Serve in this process until a signal comes; `on_start` is called once requests are answered."""
    from homeroom.app import create_app

    at_once = asyncio.Event()
    stopping = stop_signals(at_once)
    parent = multiprocessing.parent_process()
    if parent is not None:  # a worker does not outlive the process that watches it, even one that was killed

        def orphaned() -> None:
            at_once.set()
            stopping.set()

        asyncio.get_running_loop().add_reader(parent.sentinel, orphaned)
    app = create_app(plan.settings, safe=plan.safe, upgrade=plan.upgrade)
    if plan.figures is not None:
        _share_figures(app, *plan.figures)
    await serve_app(app, listening, stopping, at_once=at_once, tls=plan.tls, on_start=on_start)


def _share_figures(app: Quart, folder: Path, index: int) -> None:
    from homeroom.worker_figures import WorkerFigures

    district: District = app.extensions["homeroom"]
    district.workers = workers = WorkerFigures(folder, index, district)
    app.before_serving(workers.start)
    app.after_serving(workers.stop)


async def serve_app(
    app: Quart,
    listening: socket.socket,
    stopping: asyncio.Event,
    *,
    at_once: asyncio.Event | None = None,
    tls: Tls | None = None,
    on_start: Callable[[], None],
) -> None:
    """Serve an application until `stopping` is set; `on_start` is called once requests are answered.

    With `at_once` it first drains: see `[server] drain_seconds`. Setting that event ends the draining.
    """
    district: District = app.extensions["homeroom"]

    @app.before_serving
    async def settled() -> None:
        spare_collector()
        leave_bytecode_alone()
        on_start()

    async def stopped() -> None:
        await stopping.wait()
        district.draining = True  # a balancer that asks for it sends nothing new from now on
        if at_once is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(district.settings.server.drain_seconds):
                    await at_once.wait()
        # Open boards would hold up the end for the whole time of grace; their clients come back to the next server.
        await district.boards.stop()

    asyncio.get_running_loop().set_exception_handler(_unless_cancelled)
    await connections.serve(app, hypercorn_config(listening, tls), stop=stopped)


def _unless_cancelled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say nothing of connections that were cut off at the end of the time of grace; asyncio takes that for an error."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _work(plan: Plan, listening: socket.socket) -> None:
    """One worker process, from start to end."""
    try:
        asyncio.run(serve_one(plan, listening, on_start=lambda: None))
    except LifespanFailureError as exc:
        log.error("worker_cannot_start", reason=why(exc))
        raise SystemExit(_NO_START) from None


def _supervise(plan: Plan, listening: socket.socket, count: int) -> None:
    """Keep `count` processes serving one socket; replace one that dies, stop all of them on a signal."""
    context = multiprocessing.get_context("spawn")
    born: dict[SpawnProcess, float] = {}
    numbers: dict[SpawnProcess, int] = {}

    def start() -> None:
        number = min(set(range(count)) - {numbers[process] for process in born})
        mine = replace(plan, figures=(Path(folder), number))
        process = context.Process(target=_work, args=(mine, listening), name="homeroom-worker")
        process.start()
        born[process], numbers[process] = time.monotonic(), number

    with _signalled() as woken, tempfile.TemporaryDirectory(prefix="homeroom-") as folder:
        woken.on_interrupt = lambda: _interrupt(list(born))
        for _ in range(count):
            start()
        first = set(born)
        while not woken.stopped:
            multiprocessing.connection.wait([woken.reader, *(process.sentinel for process in born)])
            for process in [process for process in born if not process.is_alive()]:
                lived = time.monotonic() - born.pop(process)
                if woken.stopped:
                    continue
                log.error("worker_died", exit_code=process.exitcode)
                if process.exitcode == _NO_START and process in first:
                    _stop(list(born), 0)
                    raise click.ClickException("A worker could not start; the line above says why.")
                if lived < _TOO_SOON or process.exitcode == _NO_START:  # the database may be back in a moment
                    woken.wait(_TOO_SOON)
                if not woken.stopped:
                    start()
        _stop(list(born), plan.settings.server.drain_seconds)


def _interrupt(processes: list[SpawnProcess]) -> None:
    for process in processes:
        if process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)


def _stop(processes: list[SpawnProcess], drain_seconds: float) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + drain_seconds + 2 * GRACE_SECONDS
    for process in processes:
        process.join(timeout=max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


class _Signalled:
    """Whether SIGINT or SIGTERM came, as a socket that can be waited on together with processes.

    `on_interrupt` is called for each SIGINT, in the middle of whatever is being done.
    """

    def __init__(self) -> None:
        self.on_interrupt: Callable[[], None] = lambda: None
        self.reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self.stopped = False

    def come(self, number: int, *_: object) -> None:
        """Take the signal."""
        self.stopped = True
        if number == signal.SIGINT:
            self.on_interrupt()
        with contextlib.suppress(BlockingIOError):
            self._writer.send(b"!")

    def wait(self, seconds: float) -> None:
        """Wait that long, or until the signal comes."""
        multiprocessing.connection.wait([self.reader], seconds)

    def close(self) -> None:
        """Give the sockets back."""
        self.reader.close()
        self._writer.close()


@contextlib.contextmanager
def _signalled() -> Iterator[_Signalled]:
    woken = _Signalled()
    before = {number: signal.signal(number, woken.come) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield woken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        woken.close()
