"""Processes that end themselves as `kill -9` would where they are told to, begun in a moment, one after the other.

    python -m tests.services.nursery MODULE

imports MODULE, then reads a line of JSON for each process, begins it with `MODULE.live(**line)`, prints its id, and how
it ended once it has ended. All of them are children of this one, which has imported everything before.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, Self


class Nursery:
    """Begins processes that run `live` of a module; `pid` is the present one's, 0 when there is none."""

    def __init__(self, module: str, log: Path) -> None:
        self.pid = 0
        self._module = module
        self._log = log
        self._file: IO[bytes] | None = None
        self._parent: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._file = self._log.open("wb")
        self._parent = subprocess.Popen(
            [sys.executable, "-m", __name__, self._module],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._file,
        )
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._parent is not None
        assert self._file is not None
        self.kill()
        self._parent.kill()
        self._parent.communicate()
        self._file.close()

    def begin(self, **how: Any) -> None:
        """Begin a process; `ended` waits for its end."""
        self._say(json.dumps(how))
        self.pid = self._hear()

    def ended(self) -> int:
        """The signal that ended the present process; 0 when it ended by itself. One that has failed fails the test."""
        ended = self._hear()
        self.pid = 0
        assert ended >= 0, self._told()
        return ended

    def kill(self) -> None:
        """End the present process, if there is one; `ended` tells when it has."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    def _say(self, line: str) -> None:
        assert self._parent is not None
        assert self._parent.stdin is not None
        self._parent.stdin.write(line.encode() + b"\n")
        self._parent.stdin.flush()

    def _hear(self) -> int:
        assert self._parent is not None
        assert self._parent.stdout is not None
        line = self._parent.stdout.readline()
        assert line, self._told()
        return int(line)

    def _told(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


def _main(module: str) -> None:
    live = importlib.import_module(module).live
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what it logs is no answer of ours
            live(**json.loads(line))
            sys.exit()
        _answer(pid)
        _answer(-os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main(sys.argv[1])
