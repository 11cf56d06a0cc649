"""A thousand WebSockets and one student after another who checks in: the client of `bench board`, in its own process.

Reads a Plan as JSON from standard input and writes JSON lines: `{"open": …}` when every socket has its first message,
`{"done": …}` after each block, at last `{"result": …}`.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from homeroom.bench.bare import MARK
from homeroom.bench.codes import PLACEHOLDER, Teacher, shown
from homeroom.bench.exchange import HOST, CannotMeasure, ask, client, request, say
from homeroom.bench.frames import Frames, Opcode, client_frame

_AT_ONCE = 50
_OPENING = 60.0
_PAUSE = 0.01
_NEWS = b'"attendance"'
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
        self.sockets: list[_Socket] = []
        self.ready = 0
        self.all_ready = asyncio.Event()
        self.got = 0
        self.wanted = 0
        self.all_got = asyncio.Event()
        self.last = b""
        self.last_at = 0.0
        self.posted = 0
        self.from_stamp: list[float] = []
        self.from_answer: list[float] = []
        self.problems: list[str] = []

    async def open(self) -> None:
        """Connect every socket, a few at a time, and wait for each one's first message where there is one."""
        gate = asyncio.Semaphore(_AT_ONCE)
        loop = asyncio.get_running_loop()

        async def one(token: str) -> None:
            async with gate:
                socket = _Socket(self, token)
                await loop.create_connection(lambda: socket, HOST, self.side.port)
                async with asyncio.timeout(_OPENING):
                    await socket.ready.wait()
                if self.problems:
                    raise CannotMeasure(self.problems[0])
                self.sockets.append(socket)

        await asyncio.gather(*(one(token) for token in self.side.tokens))

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


class _Socket(asyncio.Protocol):
    """One WebSocket that only listens."""

    def __init__(self, crowd: _Crowd, token: str) -> None:
        self.crowd = crowd
        self.token = token
        self.count = 0
        self.ready = asyncio.Event()
        self.frames: Frames | None = None
        self.head = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's own promise for TCP
        self.transport = transport
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        lines = [
            f"GET {self.crowd.side.path} HTTP/1.1",
            f"Host: {HOST}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Authorization: Bearer {self.token}",
        ]
        transport.write("\r\n".join([*lines, "", ""]).encode())

    def data_received(self, data: bytes) -> None:
        if self.frames is None:
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._end(f"no WebSocket: {head[:60].decode(errors='replace')}")
                return
            self.frames = Frames()
            if not self.crowd.side.greets:
                self.ready.set()
        for opcode, payload in self.frames.feed(data):
            if opcode == Opcode.TEXT:
                self._text(payload)
            elif opcode == Opcode.PING:
                self.transport.write(client_frame(Opcode.PONG, payload))
            elif opcode == Opcode.CLOSE:
                self._end(f"closed with {int.from_bytes(payload[:2], 'big')}")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.transport.is_closing():
            self._end(f"connection lost{f': {type(exc).__name__}' if exc else ''}")

    def _end(self, problem: str) -> None:
        self.crowd.problems.append(problem)
        self.ready.set()
        self.transport.close()

    def _text(self, payload: bytes) -> None:
        if not self.ready.is_set():
            self.ready.set()  # the hello
        elif _NEWS in payload[:40]:
            self.count += 1
            self.crowd.news(payload)


def main() -> None:
    """Run the plan on standard input."""
    client(Plan, run)


if __name__ == "__main__":
    main()
