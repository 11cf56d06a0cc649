"""A thousand WebSockets and one student after another who checks in: the client of `bench board`, in its own process.

Reads a Plan as JSON from standard input and writes JSON lines: `{"open": …}` when every socket has its first message,
`{"done": …}` after each block, at last `{"result": …}`.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from homeroom.bench.bare import MARK
from homeroom.bench.codes import PLACEHOLDER, Teacher, shown
from homeroom.bench.exchange import ask, client, request, say
from homeroom.bench.sockets import Listener, Seat, open_all

_PAUSE = 0.01
_STAMP = b'"recorded_at":"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One server's part: where its sockets connect, with which tokens, and the posts that make it send."""

    name: str
    port: int
    path: str
    tokens: list[str]
    greets: bool
    posts: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Both sides; each block of `block` posts goes to one, the next to the other. The first block of each warms up.

    After `patience` seconds a message that has not reached everybody is waited for no more.
    """

    real: Side
    bare: Side
    teacher: Teacher
    block: int
    patience: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one side's sockets heard.

    For each post the milliseconds from its stamp, and from its answer, to the last socket; then messages that never
    came, and that came too often.
    """

    name: str
    from_stamp_ms: list[float]
    from_answer_ms: list[float]
    errors: int
    lost: int
    doubled: int
    examples: list[str] = field(default_factory=list)
    bytes: int = 0


async def run(plan: Plan) -> list[Heard]:
    """Open every socket, then go through the blocks."""
    real, bare = _Crowd(plan.real, plan.patience), _Crowd(plan.bare, plan.patience)
    await real.open()
    await bare.open()
    say({"open": len(plan.real.tokens)})
    gc.collect()
    gc.freeze()
    gc.disable()  # the client's own pauses would be counted as the server's
    blocks = len(plan.real.posts) // plan.block
    async with shown(plan.real.port, [plan.teacher]) as codes:
        for number in range(blocks):
            part = slice(number * plan.block, (number + 1) * plan.block)
            await real.block(plan.real.posts[part], codes, warm=number == 0)
            if number == 0:
                await _teach(plan.bare.port, real.last)
            await bare.block(plan.bare.posts[part], {}, warm=number == 0)
            say({"done": number + 1, "of": blocks})
    return [real.heard(), bare.heard()]


async def _teach(port: int, message: bytes) -> None:
    """Give the baseline Homeroom's own message, with a place for the moment of sending."""
    at = message.index(_STAMP) + len(_STAMP)
    text = message[:at] + MARK.encode() + message[at + message[at:].index(b'"') :]
    await ask(port, request("POST", "/message", body=text))


class _Crowd:
    """Every socket of one side."""

    def __init__(self, side: Side, patience: float) -> None:
        self.side = side
        self.patience = patience
        self.problems: list[str] = []
        seats = [Seat(port=side.port, path=side.path, token=token, greets=side.greets) for token in side.tokens]
        self.sockets = [Listener(seat, self.news, self.problems.append) for seat in seats]
        self.got = 0
        self.wanted = 0
        self.all_got = asyncio.Event()
        self.last = b""
        self.last_at = 0.0
        self.posted = 0
        self.from_stamp: list[float] = []
        self.from_answer: list[float] = []

    async def open(self) -> None:
        """Connect every socket."""
        await open_all(self.sockets, self.problems)

    async def block(self, posts: list[str], codes: Mapping[str, bytes], *, warm: bool) -> None:
        """Post one after the other, each when the one before has reached everybody."""
        for text in posts:
            raw = text.encode()
            for code in codes.values():
                raw = raw.replace(PLACEHOLDER, code)
            await self._post(raw, warm=warm)
            await asyncio.sleep(_PAUSE)  # let both ends come to rest, so that each post is measured by itself

    async def _post(self, raw: bytes, *, warm: bool) -> None:
        self.wanted = self.got + len(self.sockets)
        self.all_got.clear()
        try:
            answer = await ask(self.side.port, raw)
        except (OSError, TimeoutError) as exc:
            self.problems.append(type(exc).__name__)
            return
        answered = time.time()
        if answer.status != 201:  # noqa: PLR2004 - recorded
            self.problems.append(f"{answer.status}: {answer.body[:200].decode(errors='replace')}")
            return
        self.posted += 1
        try:
            async with asyncio.timeout(self.patience):
                await self.all_got.wait()
        except TimeoutError:
            return  # counted as lost at the end
        if not warm:
            at = self.last.index(_STAMP) + len(_STAMP)
            stamp = datetime.fromisoformat(self.last[at : at + len(MARK)].decode()).timestamp()
            self.from_stamp.append((self.last_at - stamp) * 1000)
            self.from_answer.append((self.last_at - answered) * 1000)

    def news(self, message: bytes) -> None:
        """Take a message that one of the sockets got."""
        self.got += 1
        self.last = message
        if self.got >= self.wanted and not self.all_got.is_set():
            self.last_at = time.time()
            self.all_got.set()

    def heard(self) -> Heard:
        """What all of them heard."""
        return Heard(
            name=self.side.name,
            from_stamp_ms=self.from_stamp,
            from_answer_ms=self.from_answer,
            errors=len(self.problems),
            lost=sum(max(0, self.posted - socket.count) for socket in self.sockets),
            doubled=sum(max(0, socket.count - self.posted) for socket in self.sockets),
            examples=self.problems[:3],
            bytes=len(self.last),
        )


def main() -> None:
    """Run the plan on standard input."""
    client(Plan, run)


if __name__ == "__main__":
    main()
