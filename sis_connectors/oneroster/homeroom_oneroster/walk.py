"""Going through one collection of a server that pages by `limit` and `offset`, whatever else it does or leaves out.

Neither `Link` nor `X-Total-Count` is to be relied on: real servers leave out either or both, clamp `limit` without a
word, and give a `next` that loops. So no link is ever followed. Each request begins at the last row that is known, by
the number of rows that really came: that row must come first again, else rows have moved while they were read. A
request that brings nothing but that row is the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from homeroom import SourceError

RESTARTS = 2  # how often a collection is read from its beginning again because it changed under the reader
_STEPS_BACK = 50

_REPEATED = "the system gives the same rows again and again, so nobody can tell whether these were all"
_UNORDERED = "the system gives its rows in another order each time, so nobody can tell whether these were all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one request brought: `more` when it names a next page, `total` and `revision` where the server tells them.

    `full` says that so many rows came that a limit of the server's may have cut them off. `revision` is of what the
    server lets us see (ClassLink's x-perm-rev).
    """

    rows: Sequence[Any] = field(repr=False)
    total: int | None = None
    more: bool = False
    full: bool = False
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a collection is read, in a form that outlives the process.

    `at` is the server's number of the next row, `seen` how many different rows came, `last` the mark of the last one,
    `largest` the longest answer. `total` is what the server counted at first, None when its count has changed since.
    `links` says that this server has named a next page before.
    """

    at: int = 0
    seen: int = 0
    last: str | None = None
    largest: int = 0
    total: int | None = None
    links: bool = False
    revision: str | None = None
    restarts: int = 0
    steps_back: int = 0
    steady: bool = True

    def again(self) -> Position:
        """The beginning; after too many beginnings the server's order is not relied on any more."""
        return Position(links=self.links, restarts=self.restarts + 1, steady=self.steady and self.restarts < RESTARTS)

    def after(self, rows: Sequence[Any], *, at: int, new: int, answer: Answer) -> Position:
        """The place behind `rows`, of which `new` were not known before; the server has `at` rows up to there."""
        return replace(
            self,
            at=at,
            seen=self.seen + new,
            last=mark(rows[-1]) if rows else self.last,
            largest=max(self.largest, len(rows)),
            total=answer.total if self.last is None or self.total == answer.total else None,
            links=self.links or answer.more,
            revision=answer.revision or self.revision,
        )

    def told(self) -> dict[str, Any]:
        """What `Position(**told)` is made from again."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Rows that were not given before, with the server's number of the first, and the position behind them.

    `doubt` says on the last sheet why nobody can tell whether that was everything.
    """

    rows: Sequence[Any] = field(repr=False)
    first: int
    position: Position
    total: int | None = None
    is_last: bool = False
    doubt: str | None = None


Ask = Callable[[int], Awaitable[Answer]]
"""Brings the rows from a number on."""


async def walk(ask: Ask, position: Position) -> AsyncIterator[Sheet]:
    """Every row from `position` on, in sheets, the last of which may be empty.

    When the server changes what it shows, the rows come again from the first. Raises SourceError when it goes in
    circles.
    """
    cycle = _Cycle()
    while True:
        if not position.steady:
            sheet: Sheet | None = await _plain(ask, position, cycle)
        elif position.last is None:
            sheet = _beginning(await ask(0), position)
        else:
            sheet = await _joined(ask, position)
        if sheet is None:
            position = position.again()
            continue
        yield sheet
        if sheet.is_last:
            return
        position = sheet.position


def mark(row: Any) -> str:
    """What a row is told from others by: its id, or for a row that has none, all of it, digested."""
    sourced_id = row.get("sourcedId") if isinstance(row, Mapping) else None
    if isinstance(sourced_id, str | int) and sourced_id != "":
        return str(sourced_id)
    return "?" + hashlib.blake2b(orjson.dumps(row), digest_size=12).hexdigest()


def _beginning(answer: Answer, position: Position) -> Sheet:
    count = len(answer.rows)
    behind = position.after(answer.rows, at=count, new=count, answer=answer)
    return Sheet(
        rows=answer.rows, first=0, position=behind, total=answer.total, is_last=not count or _is_all(answer, behind)
    )


async def _joined(ask: Ask, position: Position) -> Sheet | None:
    """The rows behind the last known one; None when that one cannot be found where it stood, or a little before."""
    first = max(position.at - 1, 0)
    answer = await ask(first)
    if _is_other(answer, position):
        return None
    known = _known(answer.rows, position)
    if known is None and position.steps_back < _STEPS_BACK:
        position = replace(position, steps_back=position.steps_back + 1)
        first = max(0, position.at - max(position.largest, 2))
        answer = await ask(first)
        known = _known(answer.rows, position)
    if known is None or _is_other(answer, position):
        return None
    doubt = None
    if 1 < known == len(answer.rows) >= position.largest:  # a whole page and nothing new: once may be a mishap
        answer = await ask(first)
        known = _known(answer.rows, position)
        if known is None:
            return None
        if known == len(answer.rows) and answer.total != position.seen:
            doubt = _REPEATED
    rows = answer.rows[known:]
    behind = position.after(rows, at=first + len(answer.rows), new=len(rows), answer=answer)
    return Sheet(
        rows=rows,
        first=first + known,
        position=behind,
        total=answer.total,
        is_last=not rows or _is_all(answer, behind),
        doubt=doubt,
    )


async def _plain(ask: Ask, position: Position, cycle: _Cycle) -> Sheet:
    """The next rows by their number alone, of a server that keeps to no order: read until none comes."""
    answer = await ask(position.at)
    count = len(answer.rows)
    if count:
        cycle.note(answer.rows)
    return Sheet(
        rows=answer.rows,
        first=position.at,
        position=position.after(answer.rows, at=position.at + count, new=count, answer=answer),
        total=answer.total,
        is_last=not count,
        doubt=_UNORDERED if not count and answer.total is None else None,
    )


def _is_all(answer: Answer, position: Position) -> bool:
    """Whether the server makes it plain that nothing follows, so that it need not be asked once more.

    A full page makes nothing plain: what some call the total is the number of the page's own rows.
    """
    if answer.more or answer.full:
        return False
    if answer.total is None:
        return position.links
    return position.total is not None and position.seen >= position.total


def _known(rows: Sequence[Any], position: Position) -> int | None:
    """How many rows, up to the last known one, came again; None when that one is not among them."""
    for number, row in enumerate(rows):
        if mark(row) == position.last:
            return number + 1
    return None


def _is_other(answer: Answer, position: Position) -> bool:
    return bool(answer.revision and position.revision and answer.revision != position.revision)


class _Cycle:
    """Finds out that pages come round again, whatever the round's length, keeping one page's digest (Brent)."""

    def __init__(self) -> None:
        self._kept: bytes | None = None
        self._steps = 0
        self._power = 1

    def note(self, rows: Sequence[Any]) -> None:
        """One more page. Raises SourceError when it has come before."""
        digest = hashlib.blake2b("\n".join(map(mark, rows)).encode(errors="replace")).digest()
        if digest == self._kept:
            raise SourceError("the system gives the same pages again and again; tell its vendor")
        self._steps += 1
        if self._steps == self._power:
            self._kept, self._steps, self._power = digest, 0, self._power * 2
