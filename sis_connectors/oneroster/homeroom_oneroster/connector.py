"""The driver: pages of records from a bundle, read in a thread, from any point again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from homeroom import Finding, Noun, OutgoingMark, Page, Pull, Pushed, Record, RowError, SourceError
from homeroom_oneroster import rows
from homeroom_oneroster.bundle import Bundle
from homeroom_oneroster.facts import BadField
from homeroom_oneroster.table import BadRow
from homeroom_oneroster.users import People

PAGE = 1000

_FILES: dict[Noun, tuple[str, rows.Reading]] = {
    "org": ("orgs", rows.org),
    "academicSession": ("academicSessions", rows.academic_session),
    "course": ("courses", rows.course),
    "class": ("classes", rows.class_),
    "enrollment": ("enrollments", rows.enrollment),
}


class Connector:
    """Reads one OneRoster CSV bundle; `source` None is only good for `with_source`."""

    nouns: tuple[Noun, ...] = ("org", "academicSession", "course", "class", "user", "enrollment")
    attendance_out: Literal["api", "file", "none"] = "none"
    attendance_level: Literal["class", "day"] = "class"

    def __init__(
        self,
        source: Path | None,
        *,
        end_dates: Literal["exclusive", "inclusive"] = "exclusive",
        max_bytes: int = 8 * 1024**3,
    ) -> None:
        self.source = source
        self._end_dates = end_dates
        self._max_bytes = max_bytes

    def with_source(self, source: Path) -> Connector:
        """The same connector for another bundle."""
        return Connector(source, end_dates=self._end_dates, max_bytes=self._max_bytes)

    async def check(self) -> Sequence[Finding]:
        """Try to open the bundle: what is wrong with it, and what to do."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._open)
        except SourceError as exc:
            return [Finding(problem=str(exc), fix="Export the bundle again, or set another source.")]
        return []

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """Read one noun page by page. Raises SourceError when the bundle cannot be read or has changed meanwhile."""
        loop = asyncio.get_running_loop()
        pages = self._pages(pull)
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="oneroster")
        try:
            while (page := await loop.run_in_executor(thread, next, pages, None)) is not None:
                yield page
        finally:
            await loop.run_in_executor(thread, pages.close)  # a round that is being read goes on to its end first
            thread.shutdown()

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        """OneRoster has nowhere to write attendance to, neither in 1.1 nor in 1.2."""
        return [Pushed(key=mark.key, error="OneRoster CSV takes no attendance") for mark in marks]

    def _open(self) -> Bundle:
        if self.source is None:
            raise SourceError(
                "no source is set: give one with --source, or set source or base_url under [plugins.oneroster]"
            )
        return Bundle.open(self.source, max_bytes=self._max_bytes)

    def _pages(self, pull: Pull) -> Generator[Page, None, None]:
        bundle = self._open()
        mark, number, done = _cursor(pull.cursor) if pull.cursor else (bundle.fingerprint, 0, 0)
        if mark != bundle.fingerprint:
            raise SourceError("the bundle has changed since this run began; start a new run")
        later = 1 if self._end_dates == "inclusive" else 0
        people = People(bundle, later)
        rounds = people.rounds if pull.noun == "user" else 1
        delta = people.delta if pull.noun == "user" else bundle.is_delta(_FILES[pull.noun][0])
        if delta and pull.cursor is None:
            yield Page(records=(), cursor=f"{bundle.fingerprint}:0:0", delta=True)  # even where no row follows
        for turn in range(number, rounds):
            items = people.of_round(turn) if pull.noun == "user" else _records(bundle, pull.noun, later)
            items = itertools.islice(items, done, None)
            while batch := list(itertools.islice(items, PAGE)):
                done += len(batch)
                yield _page(batch, f"{bundle.fingerprint}:{turn}:{done}", delta=delta)
            done = 0
        if self._open().fingerprint != bundle.fingerprint:
            raise SourceError("the bundle was changed while it was read; start a new run when it is complete")


def _records(bundle: Bundle, noun: Noun, later: int) -> Iterator[tuple[Record, str] | RowError]:
    name, reading = _FILES[noun]
    if bundle.modes[name] == "absent":
        return
    with bundle.table(name) as table:
        for row in table:
            if isinstance(row, BadRow):
                yield RowError(noun=noun, where=row.where, reason=row.reason, sourced_id=row.sourced_id)
                continue
            try:
                record = reading(row, later)
            except BadField as exc:
                sourced_id = row.text("sourcedId")
                yield RowError(noun=noun, where=row.where, reason=str(exc), field=exc.column, sourced_id=sourced_id)
            else:
                yield record, row.where


def _page(batch: Sequence[tuple[Record, str] | RowError], cursor: str, *, delta: bool) -> Page:
    placed = [item for item in batch if not isinstance(item, RowError)]
    return Page(
        records=[record for record, _ in placed],
        places=[where for _, where in placed],
        errors=[item for item in batch if isinstance(item, RowError)],
        cursor=cursor,
        delta=delta,
        whole=not delta,
    )


def _cursor(text: str) -> tuple[str, int, int]:
    try:
        mark, number, done = text.split(":")
        return mark, int(number), int(done)
    except ValueError:
        raise SourceError("the place to read on from is not one of this connector; start a new run") from None
