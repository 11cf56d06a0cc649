"""Attendance as CSV files in a folder, for systems that take it no other way: what a connector's `push` hands over.

    file = AttendanceFile(Path("/srv/attendance"), "infinite_campus", clock=services.clock)
    pushed = await file.push(marks)

Each batch is one file: complete when it appears, readable by this server's account only, never written again. The
columns are `COLUMNS`; no file holds a name. A change that was handed over once is not written a second time, however
often it comes (`key`), as long as the newest `REMEMBERED` keys hold it; the receiver may move files away at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import hashlib
import io
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from homeroom.records import Noun, OutgoingMark, Page, Pull, Pushed, SourceError
from homeroom.services import Clock
from homeroom.types import Finding

COLUMNS = (
    "key",
    "change",
    "student",
    "student_number",
    "school",
    "class",
    "period",
    "school_day",
    "starts_at",
    "status",
    "code",
    "minutes_late",
    "recorded_at",
)
"""`change` is new, changed or withdrawn; `class`, `period` and `starts_at` are empty for a whole school day.

Moments are in UTC. A class that meets in several periods has all of them, with commas.
"""

REMEMBERED = 20_000
_DIGEST = 12
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class AttendanceFile:
    """Writes marks to new files in `folder`, whose names begin with `name` and the moment of writing, in UTC."""

    def __init__(self, folder: Path, name: str, *, clock: Clock) -> None:
        self.folder = folder
        self.name = name
        self._clock = clock
        self._keys = folder / f".{name}.keys"
        self._part = folder / f".{name}.part"
        self._turn = asyncio.Lock()

    async def check(self) -> Sequence[Finding]:
        """What keeps files from being written to the folder, or others from being kept out of it."""
        return await asyncio.to_thread(self._check)

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        """Hand the marks over; a file that was written is all that can be known of them.

        Raises SourceError, with `retry`, when the folder cannot be written.
        """
        async with self._turn:
            try:
                await asyncio.to_thread(self._hand_over, marks)
            except OSError as exc:
                reason = f"the folder for attendance files cannot be written ({exc.strerror or type(exc).__name__})"
                raise SourceError(reason, retry=True) from None
        return [Pushed(key=mark.key, held=held(mark)) for mark in marks]

    def _check(self) -> list[Finding]:
        if not self.folder.is_dir():
            fix = f"Create {self.folder} and let this server's account write to it."
            return [Finding(problem="The folder for attendance files is not there.", fix=fix)]
        if not os.access(self.folder, os.W_OK | os.X_OK):
            fix = f"Let this server's account write to {self.folder}."
            return [Finding(problem="The folder for attendance files cannot be written.", fix=fix)]
        if self.folder.stat().st_mode & stat.S_IRWXO:
            fix = f"Take the rights of others away: chmod o= {self.folder}"
            return [Finding(problem="Everybody on this machine can open the folder for attendance files.", fix=fix)]
        return []

    def _hand_over(self, marks: Sequence[OutgoingMark]) -> None:
        """One file with what is new; the keys are noted after it is there, so that nothing is ever noted and lost."""
        known = self._known()
        seen = set(known)
        new = {digest: mark for mark in marks if (digest := _digest(mark.key)) not in seen}
        if not new:
            return
        batch = _digest("".join(sorted(new)))
        if not any(self.folder.glob(f"{self.name}-*-{batch}.csv")):  # it is there when the keys could not be noted
            moment = self._clock.now().astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")
            self._publish(self.folder / f"{self.name}-{moment}-{batch}.csv", _table(list(new.values())))
        self._note(known, list(new))

    def _known(self) -> list[str]:
        """The digests of the keys that were handed over; what a power cut has left half is none."""
        try:
            lines = self._keys.read_text("ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        return [line for line in lines if len(line) == 2 * _DIGEST]

    def _note(self, known: Sequence[str], new: Sequence[str]) -> None:
        """Remember the keys; what is older than the newest `REMEMBERED` is forgotten now and then."""
        if len(known) > 2 * REMEMBERED:
            self._publish(self._keys, _lines([*known[-REMEMBERED:], *new]))
            return
        with _private(self._keys, os.O_APPEND) as opened:
            opened.write(_lines(new))

    def _publish(self, path: Path, content: bytes) -> None:
        """Put `content` at `path`, complete or not at all, also after a power cut."""
        with _private(self._part, os.O_TRUNC) as opened:
            opened.write(content)
        self._part.replace(path)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class RosterSource(Protocol):
    """A connector's half that reads."""

    @property
    def nouns(self) -> tuple[Noun, ...]: ...  # noqa: D102 - SisConnector says it

    async def check(self) -> Sequence[Finding]: ...  # noqa: D102

    def pull(self, pull: Pull) -> AsyncIterator[Page]: ...  # noqa: D102


class WithAttendanceFile:
    """A whole connector: `roster` reads, attendance goes out as files, or nowhere where no `file` is set.

    `title` is what people call the system.
    """

    def __init__(
        self,
        roster: RosterSource,
        file: AttendanceFile | None,
        *,
        title: str | None = None,
        level: Literal["class", "day"] = "class",
    ) -> None:
        self.roster = roster
        self.file = file
        self.title = title
        self.attendance_level: Literal["class", "day"] = level

    @property
    def nouns(self) -> tuple[Noun, ...]:
        """What the roster's half reads."""
        return self.roster.nouns

    @property
    def attendance_out(self) -> Literal["api", "file", "none"]:
        """As a file, where there is a folder for it."""
        return "none" if self.file is None else "file"

    async def check(self) -> Sequence[Finding]:
        """What is wrong with the roster's half, and with the folder."""
        findings = list(await self.roster.check())
        return findings if self.file is None else [*findings, *await self.file.check()]

    def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """Read one noun page by page."""
        return self.roster.pull(pull)

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        """Hand the marks over as a file."""
        if self.file is None:
            return [Pushed(key=mark.key, error="no folder for attendance files is set") for mark in marks]
        return await self.file.push(marks)


def held(mark: OutgoingMark) -> str | None:
    """What the receiver holds once it has read the file; None after a withdrawal."""
    if mark.status is None:
        return None
    return mark.status if mark.code is None else f"{mark.status} {mark.code}"


def _table(marks: Sequence[OutgoingMark]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([_safe(value) for value in _row(mark)] for mark in marks)
    return text.getvalue().encode()


def _row(mark: OutgoingMark) -> tuple[str, ...]:
    change = "withdrawn" if mark.status is None else "new" if mark.held is None else "changed"
    return (
        mark.key,
        change,
        mark.student,
        mark.student_number or "",
        mark.school,
        mark.class_ or "",
        ",".join(mark.periods),
        mark.school_day.isoformat(),
        "" if mark.starts_at is None else _utc(mark.starts_at),
        mark.status or "",
        mark.code or "",
        "" if mark.minutes_late is None else str(mark.minutes_late),
        _utc(mark.recorded_at),
    )


def _safe(value: str) -> str:
    """`value` as no spreadsheet takes it for a formula: with an apostrophe before it (OWASP, CSV injection)."""
    return f"'{value}" if value.startswith(_FORMULA) else value


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST).hexdigest()


def _lines(keys: Sequence[str]) -> bytes:
    """A line for each, begun afresh after one that a power cut has left half."""
    return "".join(f"\n{key}" for key in keys).encode()


@contextlib.contextmanager
def _private(path: Path, how: int) -> Iterator[BinaryIO]:
    """`path`, opened for writing, for this account only; what was written is on the disk at the end."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600), "wb") as opened:
        yield opened
        opened.flush()
        os.fsync(opened.fileno())
