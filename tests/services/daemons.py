"""Commands of `homeroom` that are started again whenever they have ended, as a service manager does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

_START_SECONDS = 120
_LOOK_SECONDS = 0.02


class Daemon:
    """One command, with the log of all its lives. `is_up` says whether it does its work once it has begun."""

    def __init__(
        self,
        folder: Path,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        is_up: Callable[[str], bool],
    ) -> None:
        self.name = name
        self._folder = folder
        self._command = [sys.executable, "-m", "tests.services.weather", *arguments]
        self._environment = {**os.environ, **environment}
        self._is_up = is_up
        self._process: subprocess.Popen[bytes] | None = None
        self._gate = threading.Lock()
        self.log_file = folder / f"{name}.log"
        self.log_file.touch()

    @property
    def lives(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process, or the last one."""
        assert self._process is not None
        return self._process.pid

    def workers(self) -> list[psutil.Process]:
        """The processes that `serve --workers` has begun, oldest first."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if any("spawn_main" in word for word in child.cmdline()):
                        found.append(child)
        return sorted(found, key=lambda one: one.pid)

    def everybody(self) -> list[psutil.Process]:
        """All its processes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.pid)
            return [own, *own.children(recursive=True)]
        return []

    def start(self) -> None:
        """Start it, again and again where it ends, until it does its work. Raises AssertionError when it never does."""
        deadline, seen = time.monotonic() + _START_SECONDS, 0
        with self._gate:
            while True:
                if not self.lives:
                    seen = self.log_file.stat().st_size
                    self._spawn()
                if self._is_up(self.log()[seen:]):
                    return
                assert time.monotonic() < deadline, f"{self.name} did not start:\n{self.log()[-3000:]}"
                time.sleep(_LOOK_SECONDS)

    def kill(self) -> None:
        """End it as a power cut would, with every process of its own."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> int:
        """Ask it to end; gives its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=40)

    def log(self) -> str:
        """What it has written in all its lives."""
        return self.log_file.read_text(errors="replace")

    def _spawn(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
