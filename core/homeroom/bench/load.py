"""The HTTP client of the benches: a process of its own that shares nothing with the server it measures.

Reads a Plan as JSON from standard input and writes JSON lines: `{"done": …}` after each round, at last `{"result": …}`.
Raw protocols and requests made beforehand, because two processors serve both ends.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from homeroom.bench.codes import PLACEHOLDER, Teacher, shown
from homeroom.bench.exchange import HOST, client, parse, say

_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """`requests`, sent once each over `connections` kept-alive connections.

    `code_of` names the session whose code goes into the request of the same place (empty: none does).
    """

    name: str
    port: int
    connections: int
    requests: list[str]
    expected: int
    code_of: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Rounds in their order, and who shows codes meanwhile."""

    rounds: list[Round]
    codes_from: int | None = None
    teachers: list[Teacher] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one round took: the whole in seconds, each expected answer in milliseconds, and which requests got one."""

    name: str
    seconds: float
    ms: list[float]
    good: list[int]
    errors: int
    examples: list[str]


async def run(plan: Plan) -> list[Taken]:
    """Every round, one after the other."""
    if plan.codes_from is None:
        return [await _round(each, {}) for each in plan.rounds]
    async with shown(plan.codes_from, plan.teachers) as codes:
        return [await _round(each, codes) for each in plan.rounds]


async def _round(plan: Round, codes: Mapping[str, bytes]) -> Taken:
    state = _State(plan, codes)
    gc.collect()
    gc.disable()  # the client's own pauses would be counted as the server's
    try:
        loop = asyncio.get_running_loop()
        ready = [await loop.create_connection(lambda: _Client(state), HOST, plan.port) for _ in range(plan.connections)]
        started = time.perf_counter()
        for _transport, client in ready:
            client.next()
        await state.finished.wait()
        seconds = state.ended - started
    finally:
        gc.enable()
        for client in list(state.clients):
            client.transport.close()
    say({"done": plan.name})
    missing = len(plan.requests) - len(state.good)
    examples = [f"{text} ({n} times)" for text, n in state.bad.most_common(_EXAMPLES)]
    return Taken(name=plan.name, seconds=seconds, ms=state.ms, good=state.good, errors=missing, examples=examples)


class _State:
    """What the connections of one round share."""

    def __init__(self, plan: Round, codes: Mapping[str, bytes]) -> None:
        self.plan = plan
        self.codes = codes
        self.requests = [text.encode() for text in plan.requests]
        self.sent = 0
        self.answered = 0
        self.ms: list[float] = []
        self.good: list[int] = []
        self.bad: Counter[str] = Counter()
        self.clients: set[_Client] = set()
        self.finished = asyncio.Event()
        self.ended = 0.0
        self._opening: set[asyncio.Task[None]] = set()

    def take(self) -> tuple[int, bytes] | None:
        """The next request and its number; None when all are sent."""
        number = self.sent
        if number >= len(self.requests):
            return None
        self.sent += 1
        raw = self.requests[number]
        if self.plan.code_of:
            raw = raw.replace(PLACEHOLDER, self.codes[self.plan.code_of[number]])
        return number, raw

    def settle(self, number: int, seconds: float, problem: str | None) -> None:
        """Count the end of one request."""
        if problem is None:
            self.good.append(number)
            self.ms.append(seconds * 1000)
        else:
            self.bad[problem] += 1
        self.answered += 1
        if self.answered == len(self.requests):
            self.ended = time.perf_counter()
            self.finished.set()

    def replace(self) -> None:
        """Open another connection for one that the server has closed."""
        if self.sent < len(self.requests):
            task = asyncio.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _transport, client = await loop.create_connection(lambda: _Client(self), HOST, self.plan.port)
        except OSError as exc:
            if (taken := self.take()) is not None:  # a server that is gone answers nothing: say so for each request
                self.settle(taken[0], 0.0, type(exc).__name__)
                self.replace()
            return
        client.next()


class _Client(asyncio.Protocol):
    """One kept-alive connection: sends a request, and the next one when it is answered."""

    def __init__(self, state: _State) -> None:
        self.state = state
        self.data = bytearray()
        self.number: int | None = None
        self.sent_at = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's own promise for TCP
        self.transport = transport
        self.state.clients.add(self)

    def next(self) -> None:
        taken = self.state.take()
        if taken is None:
            self.number = None
            return
        self.number, raw = taken
        self.sent_at = time.perf_counter()
        self.transport.write(raw)

    def data_received(self, data: bytes) -> None:
        self.data += data
        answer = parse(self.data)
        if answer is None or self.number is None:
            return
        del self.data[: answer.size]
        problem = None
        if answer.status != self.state.plan.expected:
            problem = f"{answer.status}: {answer.body[:200].decode(errors='replace')}"
        number, self.number = self.number, None
        self.state.settle(number, time.perf_counter() - self.sent_at, problem)
        if answer.last:
            self.transport.close()
        else:
            self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        self.state.clients.discard(self)
        if self.number is not None:
            self.state.settle(self.number, 0.0, f"connection lost{f': {type(exc).__name__}' if exc else ''}")
        self.state.replace()


def main() -> None:
    """Run the plan on standard input."""
    client(Plan, run)


if __name__ == "__main__":
    main()
