"""Processes that send messages as `homeroom worker` does, each of which ends itself as `kill -9` would where told.

    python -m tests.services.killed_notifier

reads a line of JSON for each process, begins it, prints its id, and the signal that ended it once it has ended. All of
them are children of this one, which has imported everything before: so they begin in a moment.

`where` is "claimed" (a turn has claimed messages), "begun" (the attempt is kept, nothing has left), "answered" (the
vendor's answer is there, and not kept), "statement" (of the database's writer), or "" for one that goes on until it is
killed; `times` is at which time of these it ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import IO, Any, Self

from pydantic import SecretStr

from homeroom.district import District
from homeroom.host import PluginsConfig
from homeroom.notify import claims, outcomes
from homeroom.settings import DatabaseSettings, LogSettings, NotifySettings, SecuritySettings, ServerSettings, Settings

KEY = bytes(range(32))
ASK_AFTER = 0.5


@dataclass(frozen=True, kw_only=True)
class Life:
    """One process: what it works with, and where it ends."""

    url: str
    public_url: str
    plugins: Mapping[str, Mapping[str, Any]]
    where: str = ""
    times: int = 1


class Nursery:
    """Begins processes, one after the other; `pid` is the present one's."""

    def __init__(self, log: Path) -> None:
        self.pid = 0
        self._log = log
        self._file: IO[bytes] | None = None
        self._parent: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._file = self._log.open("wb")
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.services.killed_notifier"],
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

    def begin(self, life: Life) -> None:
        """Begin a process; `ended` waits for its end."""
        self._say(json.dumps(vars(life)))
        self.pid = self._hear()

    def ended(self) -> int:
        """The signal that ended the present process; 0 when it ended by itself."""
        ended = self._hear()
        self.pid = 0
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
        assert line, self._log.read_text(errors="replace")[-3000:]
        return int(line)


def settings_of(life: Life) -> Settings:
    """The settings of a district that sends with these plugins, at any hour and impatiently."""
    return Settings(
        server=ServerSettings(public_base_url=life.public_url),
        database=DatabaseSettings(url=life.url, readers=2),
        security=SecuritySettings(encryption_key=SecretStr(KEY.hex())),
        notify=NotifySettings(quiet_from=time(0), quiet_until=time(0), ask_after_seconds=ASK_AFTER, at_once=6),
        log=LogSettings(level="warning"),
        plugins=PluginsConfig(
            enabled=tuple(life.plugins), sections={key: dict(life.plugins[key]) for key in life.plugins}
        ),
    )


class _End:
    """Ends this process at the right step."""

    def __init__(self, life: Life, district: District) -> None:
        self._where, self._left = life.where, life.times
        self._write = district.store.write
        self._execute: Any = district.store.database.execute_sql
        district.store.write = self._unit  # type: ignore[method-assign] # it sees every unit
        district.store.database.execute_sql = self._statement  # type: ignore[method-assign] # and every statement

    async def _unit(self, unit: Any) -> Any:
        work = getattr(unit, "func", None)
        if work is outcomes.settle:
            self._at("answered")
        done = await self._write(unit)
        if getattr(work, "__name__", "") == "_claim" and done[0]:
            self._at("claimed")
        if work is claims.begin:
            self._at("begun")
        return done

    def _statement(self, *given: Any, **named: Any) -> Any:
        if threading.current_thread().name == "homeroom-writer":
            self._at("statement")
        return self._execute(*given, **named)

    def _at(self, where: str) -> None:
        self._left -= where == self._where
        if not self._left and where == self._where:
            os.kill(os.getpid(), signal.SIGKILL)


async def _live(life: Life) -> None:
    district = District(settings_of(life))
    _End(life, district)
    await district.start()
    await asyncio.Event().wait()


def _main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what it logs is no answer of ours
            asyncio.run(_live(Life(**json.loads(line))))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
