"""A process that sends a queue's attendance into a SIS that is a file, and may be killed between push and commit.

Arguments: the database's URL, the file (a line of JSON for each write), and "killed" or "lives".
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from homeroom.attendance_out.drain import drain
from homeroom.records import OutgoingMark, Pushed
from homeroom.store import Store
from homeroom.store.cipher import Cipher
from tests.services.scripted_sis import ScriptedSis

SIS = "acme"


@dataclass
class FileSis(ScriptedSis):
    """What it holds outlives the process; `kill` ends that right after a push was carried out."""

    path: Path = field(default_factory=Path)
    kill: bool = False

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        for line in written(self.path):
            self.attendance[line["student"], line["class"], line["day"]] = line["holds"]
        before = dict(self.attendance)
        answers = await super().push(marks)
        with self.path.open("ab") as file:
            for mark in marks:
                place = (mark.student, mark.class_, mark.school_day.isoformat())
                about = {"key": mark.key, "student": place[0], "class": place[1], "day": place[2]}
                fresh = before.get(place) != self.attendance.get(place)
                file.write(orjson.dumps({**about, "holds": self.attendance.get(place), "fresh": fresh}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return answers


def written(path: Path) -> list[dict[str, Any]]:
    """Every write that reached the file."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def main(url: str, path: str, fate: str) -> None:
    """Send once what waits."""
    with Store(url, cipher=Cipher([bytes(range(32))])) as store:
        sis = FileSis(attendance_out="api", path=Path(path), kill=fate == "killed")
        asyncio.run(_send(store, sis))


async def _send(store: Store, sis: FileSis) -> None:
    await drain(store, SIS, sis)


if __name__ == "__main__":
    main(*sys.argv[1:])
