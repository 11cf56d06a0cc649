"""The processes of a bench: a server as an operator starts it, and a client that runs apart from everything."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import orjson
import psutil

from homeroom.bench import bare
from homeroom.bench.exchange import HOST, parse, request

ServerKind = Literal["hypercorn", "uvicorn", "granian"]
SERVERS: tuple[str, ...] = get_args(ServerKind)

_PATIENCE = 60.0
_STOPPING = 20.0
_HEALTH = request("GET", "/health")
_MIB = 1024 * 1024


class BenchFailed(Exception):
    """The bench could not be run; says why in words for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers on `port`."""

    port: int
    pid: int
    seconds: float

    def cpu_seconds(self) -> float:
        """Processor time used so far, children included: hardly moved by what else the machine does."""
        process = psutil.Process(self.pid)
        times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))

    def memory_mib(self) -> float:
        """Resident memory of the server and its children, in MiB."""
        process = psutil.Process(self.pid)
        return float(sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))) / _MIB


def product(kind: ServerKind, port: int, workers: int = 1) -> list[str]:
    """The command that serves Homeroom on this kind of server; more than one worker is Hypercorn's alone."""
    if kind == "hypercorn":
        return [*homeroom(), "serve", "--host", HOST, "--port", str(port), "--workers", str(workers)]
    return _other(kind, "homeroom.asgi:app", port)


def baseline(kind: ServerKind, port: int) -> list[str]:
    """The command that serves the bare application in the same way."""
    if kind == "hypercorn":
        return [sys.executable, "-m", "homeroom.bench.bare_server", str(port)]
    return _other(kind, f"{bare.__name__}:app", port)


def hello(port: int) -> list[str]:
    """The command that serves the bare application on Hypercorn's own command line, importing nothing of ours."""
    return [sys.executable, "-m", "hypercorn", "--workers", "0", "--bind", f"{HOST}:{port}", f"{bare.__file__}:app"]


def homeroom() -> list[str]:
    """The `homeroom` command of this very installation."""
    return [sys.executable, "-c", "from homeroom.cli import main; main()"]


def _other(kind: str, app: str, port: int) -> list[str]:
    quiet = ["--log-level", "warning"]
    if kind == "uvicorn":
        return [sys.executable, "-m", "uvicorn", app, "--host", HOST, "--port", str(port), "--no-access-log", *quiet]
    return [sys.executable, "-m", "granian", "--interface", "asgi", "--host", HOST, "--port", str(port), *quiet, app]


@contextlib.contextmanager
def serving(
    command: Callable[[int], list[str]],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    patience: float = _PATIENCE,
) -> Iterator[Running]:
    """A server started with `command` on a free port; stopped at the end, whatever happens.

    Raises BenchFailed, with the last lines it wrote, when it does not answer /health within `patience` seconds.
    """
    port = free_port()
    started = time.perf_counter()
    with tempfile.TemporaryFile(dir=folder) as said:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command(port),
            cwd=folder,
            env=dict(environment) if environment is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # Ctrl-C is ours to take; the server is stopped below
        )
        try:
            if not _answers(port, process, patience):
                raise BenchFailed(f"The server did not start: {_last_lines(said)}")
            yield Running(port=port, pid=process.pid, seconds=time.perf_counter() - started)
            if process.poll() is not None:
                raise BenchFailed(f"The server ended in mid-run: {_last_lines(said)}")
        finally:
            stop(process)


def run_client(module: str, plan: object, heard: Callable[[dict[str, Any]], None] = lambda _line: None) -> Any:
    """What the client `module` gives for `plan`; `heard` is called with each line it says meanwhile.

    Raises BenchFailed when it ends without a result.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            with process.stdin:
                process.stdin.write(orjson.dumps(plan))
            with process.stdout:
                for line in process.stdout:
                    event = orjson.loads(line)
                    if "result" in event:
                        return event["result"]
                    if "failed" in event:
                        raise BenchFailed(event["failed"])
                    heard(event)
            raise BenchFailed(f"The measuring client gave up: {_last_lines(said)}")
        finally:
            stop(process)


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def allow_sockets(count: int) -> None:
    """Let this process and those it starts open `count` sockets and some files more. Raises BenchFailed if refused."""
    wanted = count + 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise BenchFailed(f"This system lets a process open {hard} files; {count} sockets need {wanted}.")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything it has started."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOPPING)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # its session; children that outlived it are in there as well
    process.wait()


def _answers(port: int, process: subprocess.Popen[bytes], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=5) as connection:
            connection.sendall(_HEALTH)
            data = b""
            while (answer := parse(data)) is None and (more := connection.recv(4096)):
                data += more
            if answer is not None and answer.status == 200:  # noqa: PLR2004 - it serves
                return True
        time.sleep(0.005)  # another process comes up: there is nothing to wait on but its port
    return False


def _last_lines(said: Any, count: int = 4) -> str:
    said.seek(0)
    lines: Sequence[str] = said.read().decode(errors="replace").strip().splitlines()
    return " / ".join(line.strip() for line in lines[-count:]) or "it said nothing."
