"""What all processes of one test run share: a folder, locks in it, and the servers that the last one out stops."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

VARIABLE = "HOMEROOM_TEST_RUN"
_KEEPERS: list[subprocess.Popen[bytes]] = []


class NotHere(Exception):
    """A service that this machine cannot give; the text says why."""


def begin() -> Path:
    """Make the run's folder and tell the workers of it by the environment."""
    # Not pytest's own temporary folder: a socket's path must be short, and PostgreSQL may run as another user.
    base = Path(tempfile.mkdtemp(prefix="homeroom-"))
    os.environ[VARIABLE] = str(base)
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):  # else each of some hundred processes compiles everything anew
        os.environ["PYTHONPYCACHEPREFIX"] = str(base / "bytecode")
    # The keeper reads from a pipe that ends with this process, however it ends: nothing is left running.
    keeper = subprocess.Popen([sys.executable, __file__, str(base)], stdin=subprocess.PIPE, start_new_session=True)
    _KEEPERS.append(keeper)
    return base


def folder() -> Path:
    """The run's folder."""
    return Path(os.environ[VARIABLE])


def end() -> None:
    """Have every server that was started stopped, and the folder removed."""
    keeper = _KEEPERS.pop()
    assert keeper.stdin is not None
    keeper.stdin.close()
    keeper.wait(timeout=120)  # PostgreSQL writes everything out before it goes, and a machine may be busy
    del os.environ[VARIABLE]


def keep(base: Path) -> None:
    """Wait until the run has ended, then stop its servers and remove its folder."""
    sys.stdin.read()
    for pid_file in base.glob("*.pid"):
        stop(int(pid_file.read_text()), signal.SIGINT)  # PostgreSQL's fast shutdown; Redis stops as well
    shutil.rmtree(base, ignore_errors=True)


def stop(pid: int, how: signal.Signals = signal.SIGTERM) -> None:
    """End one process and wait for it; kill it when it does not go within five seconds."""
    for signalled in (how, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signalled)
        deadline = time.monotonic() + 5
        while lives(pid) and time.monotonic() < deadline:
            time.sleep(0.01)


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and is only waited for by its parent does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


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


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
