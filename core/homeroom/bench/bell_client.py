"""The client of `bench bell`: students who arrive within a minute, and the boards that watch, in a process of its own.

Reads a Plan as JSON from standard input and writes JSON lines: `{"done": …, "of": …}` as students are answered, at last
`{"result": …}`.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from homeroom.bench.bare import MARK
from homeroom.bench.codes import PLACEHOLDER, Teacher, shown
from homeroom.bench.exchange import ask, client, request, say
from homeroom.bench.sockets import Listener, Seat, open_all

_EXAMPLES = 3
_PATIENCE = 30.0
_STAMP = b'"recorded_at":"'
_WHO = b'"student_id":"'
_CREATED = 201
_TOLD = 25
_BARE_NEWS = f'{{"type":"attendance","cursor":"0","recorded_at":"{MARK}","student_id":"s000000"}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One student: how many seconds after the begin they send which request, and whose code goes into it."""

    at: float
    session_id: str
    student_id: str
    post: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One server: who arrives there, and which session each board watches. `codes`: it has codes to be shown."""

    name: str
    port: int
    arrivals: list[Arrival]
    boards: list[Seat]
    watched: list[str]
    codes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sides, one after the other, and who shows the codes."""

    sides: list[Side]
    teachers: list[Teacher]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """What one side did.

    `ms`: each expected answer, from the sending to the whole answer, with its connection. `board_ms`: from the
    record's `recorded_at` to a board. `last_board_ms`: from the last answer to the moment when every board had heard
    of every student who was answered. `late_ms`: by how much this client itself was late with its slowest request.
    """

    name: str
    seconds: float
    ms: list[float]
    board_ms: list[float]
    last_board_ms: float
    late_ms: float
    good: list[int]
    errors: int
    lost: int
    doubled: int
    examples: list[str] = field(default_factory=list)


async def run(plan: Plan) -> list[Rung]:
    """Every side, one after the other."""
    gc.collect()
    gc.freeze()
    gc.disable()  # the client's own pauses would be counted as the server's
    return [await _ring(side, plan.teachers) for side in plan.sides]


async def _ring(side: Side, teachers: list[Teacher]) -> Rung:
    if side.codes:
        async with shown(side.port, teachers) as codes:
            return await Bell(side, codes).ring()
    await ask(side.port, request("POST", "/message", body=_BARE_NEWS.encode()))
    return await Bell(side, {}).ring()


class Bell:
    """One side's minute."""

    def __init__(self, side: Side, codes: Mapping[str, bytes]) -> None:
        self.side = side
        self.codes = codes
        self.ms: list[float] = []
        self.board_ms: list[float] = []
        self.good: list[int] = []
        self.late = 0.0
        self.bad: Counter[str] = Counter()
        self.problems: list[str] = []
        self.answered: defaultdict[str, set[str]] = defaultdict(set)
        self.heard: list[Counter[str]] = []
        self.boards: list[Listener] = []
        for seat in side.boards:
            seen: Counter[str] = Counter()
            self.heard.append(seen)
            self.boards.append(Listener(seat, partial(self._news, seen), self._trouble))
        self.told = asyncio.Event()

    async def ring(self) -> Rung:
        """Open the boards, let everybody arrive, and wait for the last board."""
        await open_all(self.boards, self.problems)
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as arriving:
            for number, arrival in enumerate(self.side.arrivals):
                if (pause := begun + arrival.at - time.perf_counter()) > 0:
                    await asyncio.sleep(pause)
                arriving.create_task(self._arrive(number, arrival, begun + arrival.at))
        ended = time.perf_counter()
        await self._all_boards()
        last_board = time.perf_counter() - ended
        for board in self.boards:
            board.close()
        lost, doubled = self._compared()
        return Rung(
            name=self.side.name,
            seconds=ended - begun,
            ms=self.ms,
            board_ms=self.board_ms,
            last_board_ms=last_board * 1000,
            late_ms=self.late * 1000,
            good=self.good,
            errors=sum(self.bad.values()) + len(self.problems),
            lost=lost,
            doubled=doubled,
            examples=[*(f"{text} ({n} times)" for text, n in self.bad.most_common(_EXAMPLES)), *self.problems[:3]],
        )

    async def _arrive(self, number: int, arrival: Arrival, due: float) -> None:
        raw = arrival.post.encode()
        if self.codes:
            raw = raw.replace(PLACEHOLDER, self.codes[arrival.session_id])
        sent = time.perf_counter()
        self.late = max(self.late, sent - due)
        try:
            answer = await ask(self.side.port, raw, patience=_PATIENCE)
        except (OSError, TimeoutError) as exc:
            self.bad[type(exc).__name__] += 1
            return
        if answer.status != _CREATED:
            self.bad[f"{answer.status}: {answer.body[:200].decode(errors='replace')}"] += 1
            return
        self.ms.append((time.perf_counter() - sent) * 1000)
        self.good.append(number)
        self.answered[arrival.session_id].add(arrival.student_id)
        if len(self.good) % _TOLD == 0:
            say({"done": len(self.good), "of": len(self.side.arrivals)})

    def _news(self, seen: Counter[str], message: bytes) -> None:
        self.board_ms.append((time.time() - _stamp(message)) * 1000)
        seen[_after(_WHO, message).decode() if self.side.codes else str(seen.total())] += 1
        self.told.set()

    def _trouble(self, reason: str) -> None:
        self.problems.append(reason)
        self.told.set()

    async def _all_boards(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while self._compared()[0]:
                    self.told.clear()
                    await self.told.wait()
        except TimeoutError:
            return  # what is lacking is counted as lost

    def _compared(self) -> tuple[int, int]:
        """What boards have not heard of, and what they heard of more than once."""
        lost = doubled = 0
        for session, seen in zip(self.side.watched, self.heard, strict=True):
            lost += max(0, len(self.answered[session]) - len(seen))
            doubled += seen.total() - len(seen)
        return lost, doubled


def _stamp(message: bytes) -> float:
    return datetime.fromisoformat(_after(_STAMP, message).decode()).timestamp()


def _after(mark: bytes, message: bytes) -> bytes:
    at = message.index(mark) + len(mark)
    return message[at : message.index(b'"', at)]


def main() -> None:
    """Run the plan on standard input."""
    client(Plan, run)


if __name__ == "__main__":
    main()
