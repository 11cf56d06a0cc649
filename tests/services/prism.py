"""A vendor's own specification at work: Prism (npm) mocks it, or stands before a server and tells what breaks it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.services import npm
from tests.services.run import NotHere, once

PACKAGE = "@stoplight/prism-cli@5.14.2"
_READY = "Prism is listening"


def specification(name: str) -> Path:
    """A vendor's file below HOMEROOM_VENDOR_SPECS. Raises NotHere with the reason where there is none."""
    base = os.environ.get("HOMEROOM_VENDOR_SPECS")
    if not base:
        raise NotHere("vendors' specifications: HOMEROOM_VENDOR_SPECS names no folder with them")
    path = Path(base) / name
    if not path.is_file():
        raise NotHere(f"vendors' specifications: HOMEROOM_VENDOR_SPECS has no {name}")
    return path


def command() -> str:
    """Prism, installed for this run. Raises NotHere with the reason where it cannot be had."""
    return once("prism", lambda: str(npm.installed("Prism", PACKAGE) / ".bin" / "prism"))


@contextlib.contextmanager
def mock(path: Path) -> Iterator[str]:
    """The address of a server that answers as the specification at `path` says. Raises NotHere without Prism."""
    with _running("mock", str(path)) as url:
        yield url


@contextlib.contextmanager
def proxy(path: Path, upstream: str) -> Iterator[str]:
    """An address before the server at `upstream`: what breaks the specification, asked or answered, is an error."""
    with _running("proxy", "--errors", str(path), upstream) as url:
        yield url


@contextlib.contextmanager
def _running(*arguments: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = [command(), arguments[0], "-h", "127.0.0.1", "-p", str(port), *arguments[1:]]
    process = subprocess.Popen(
        started, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        told: list[str] = []
        for line in process.stdout:
            told.append(line)
            if _READY in line:
                break
        else:
            raise NotHere(f"Prism: it does not start here: {''.join(told)[-200:]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        _end(process)
        process.stdout.close()


def _end(process: subprocess.Popen[str]) -> None:
    """End Prism and what it started."""
    started = [psutil.Process(process.pid)]
    with contextlib.suppress(psutil.NoSuchProcess):
        started += started[0].children(recursive=True)
    for one in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGTERM)
    process.wait(timeout=10)
