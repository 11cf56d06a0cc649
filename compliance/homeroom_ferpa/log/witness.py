"""Checkpoints on their way out of the database: into a file that is only appended to, and to a web address.

Whoever can rewrite the database can rewrite everything in it; what was carried outside shows that.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO

import httpx2

from homeroom import Connection, Services
from homeroom_ferpa.log import table, verifier
from homeroom_ferpa.log.settings import LogSettings
from homeroom_ferpa.log.table import Sealed

_AT_ONCE = 500
_TAIL = 65_536


class Contradiction(Exception):
    """What a witness has kept is not what the log says now."""


class Witness:
    """Carries checkpoints out. `problems` says what stands in the way, by witness."""

    def __init__(self, settings: LogSettings, services: Services) -> None:
        self.problems: dict[str, str] = {}
        self.posted = 0
        self._settings = settings
        self._services = services
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ferpa-witness")
        self._post_at = 0.0
        if settings.witness_url is not None:
            services.allow_host(settings.witness_url)

    async def tell(self, last: Sealed, *, now: bool = False) -> None:
        """Carry out what is new. `now` does not wait for the next turn of the web address."""
        if self._settings.witness_file is not None:
            await self._append(self._settings.witness_file, last)
        if self._settings.witness_url is not None and last.number > self.posted:
            moment = asyncio.get_running_loop().time()
            if now or moment >= self._post_at:
                self._post_at = moment + self._settings.witness_seconds
                await self._post(self._settings.witness_url, last)

    def close(self) -> None:
        """End the thread that writes."""
        self._thread.shutdown(wait=False)

    async def _append(self, path: Path, last: Sealed) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                kept = await loop.run_in_executor(self._thread, last_note, path)
                fresh = await self._services.store.read(partial(_after, note=kept, newest=last))
                if not fresh:
                    break
                await loop.run_in_executor(self._thread, append, path, kept, fresh)
        except (OSError, Contradiction) as exc:
            text = str(exc) if isinstance(exc, Contradiction) else f"it cannot be written: {type(exc).__name__}"
            if "file" not in self.problems:
                self._services.log.error("witness_file_failed", reason=text)
            self.problems["file"] = text
        else:
            self.problems.pop("file", None)

    async def _post(self, url: str, last: Sealed) -> None:
        try:
            answer = await self._services.http.post(
                url, content=last.note.encode(), headers={"Content-Type": "text/plain; charset=utf-8"}
            )
        except (httpx2.HTTPError, OSError) as exc:
            self.problems["url"] = f"it cannot be reached: {type(exc).__name__}"
            return
        if answer.is_success:
            self.posted = last.number
            self.problems.pop("url", None)
        else:
            self.problems["url"] = f"it answers HTTP {answer.status_code}"


def last_note(path: Path) -> str | None:
    """The last checkpoint of a witness file, None when there is none yet."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        return _last(file)
    return None


def append(path: Path, kept: str | None, fresh: list[str]) -> None:
    """Append checkpoints, on the disk when this returns; nothing, when another process has appended meanwhile."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if _last(file) == kept:
            file.write("".join(f"{note}\n" for note in fresh).encode())
            file.flush()
            os.fsync(file.fileno())


def _last(file: IO[bytes]) -> str | None:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    found = list(verifier.notes(file.read().decode(errors="replace").split("\n")))
    return found[-1] if found else None


def _after(connection: Connection, note: str | None, newest: Sealed) -> list[str]:
    """The checkpoints after the one that a witness kept last. Raises Contradiction where the log never gave that."""
    if note is None:
        return [newest.note] if newest.number else []
    try:
        number = int(verifier.parse_note(note).extension("number") or "")
    except (ValueError, verifier.Problem):
        raise Contradiction("its last checkpoint is damaged; keep the file, and give the log a new one") from None
    found = table.checkpoints(connection, f"number >= ? ORDER BY number LIMIT {_AT_ONCE}", (number,))
    if not found or found[0].note != note:
        raise Contradiction(
            f"it holds checkpoint {number}, which the log does not have: the log was rewritten, or a backup was "
            "restored. Keep the file, and run: homeroom audit verify"
        )
    return [one.note for one in found[1:]]
