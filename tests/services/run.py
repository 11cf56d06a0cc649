"""What all processes of one test run share: a folder, locks in it, and the servers that the last one out stops."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

VARIABLE = "HOMEROOM_TEST_RUN"


class NotHere(Exception):
    """A service that this machine cannot give; the text says why."""


def begin() -> Path:
    """Make the run's folder and tell the workers of it by the environment."""
    # Not pytest's own temporary folder: a socket's path must be short, and PostgreSQL may run as another user.
    folder = Path(tempfile.mkdtemp(prefix="homeroom-"))
    os.environ[VARIABLE] = str(folder)
    return folder


def folder() -> Path:
    """The run's folder."""
    return Path(os.environ[VARIABLE])


def end() -> None:
    """Stop every server that was started and remove the folder."""
    base = folder()
    for pid_file in base.glob("*.pid"):
        stop(int(pid_file.read_text()), signal.SIGINT)  # PostgreSQL's fast shutdown; Redis stops as well
    shutil.rmtree(base, ignore_errors=True)
    del os.environ[VARIABLE]


def stop(pid: int, how: signal.Signals = signal.SIGTERM) -> None:
    """End one process and wait for it; kill it when it does not go within five seconds."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.send_signal(how)
        try:
            process.wait(timeout=5)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Keep the other workers out meanwhile."""
    with (folder() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def once(name: str, make: Callable[[], str]) -> str:
    """What `make` gave to the first worker that asked; a NotHere it raised is raised to every other one too."""
    answer, missing = folder() / f"{name}.answer", folder() / f"{name}.missing"
    with locked(name):
        if missing.exists():
            raise NotHere(missing.read_text())
        if not answer.exists():
            try:
                answer.write_text(make())
            except NotHere as exc:
                missing.write_text(str(exc))
                raise
        return answer.read_text()
