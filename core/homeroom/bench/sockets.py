"""A WebSocket of the measuring clients that only listens: raw, because two processors serve both ends."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from homeroom.bench.exchange import HOST, CannotMeasure
from homeroom.bench.frames import Frames, Opcode, client_frame

_AT_ONCE = 50
_OPENING = 60.0
_NEWS = b'"attendance"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where a socket connects. `greets`: the server sends a first message that is no news."""

    port: int
    path: str
    token: str
    greets: bool


class Listener(asyncio.Protocol):
    """One socket; `news` is called with each message about a student, `trouble` with the reason when it ends early."""

    def __init__(self, seat: Seat, news: Callable[[bytes], None], trouble: Callable[[str], None]) -> None:
        self.seat = seat
        self.count = 0
        self.ready = asyncio.Event()
        self._news = news
        self._trouble = trouble
        self._frames: Frames | None = None
        self._head = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's own promise for TCP
        self._transport = transport
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        lines = [
            f"GET {self.seat.path} HTTP/1.1",
            f"Host: {HOST}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Authorization: Bearer {self.seat.token}",
        ]
        transport.write("\r\n".join([*lines, "", ""]).encode())

    def data_received(self, data: bytes) -> None:
        """Take the handshake's answer, and then frames."""
        if self._frames is None:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._end(f"no WebSocket: {head[:60].decode(errors='replace')}")
                return
            self._frames = Frames()
            if not self.seat.greets:
                self.ready.set()
        for opcode, payload in self._frames.feed(data):
            if opcode == Opcode.TEXT:
                self._text(payload)
            elif opcode == Opcode.PING:
                self._transport.write(client_frame(Opcode.PONG, payload))
            elif opcode == Opcode.CLOSE:
                self._end(f"closed with {int.from_bytes(payload[:2], 'big')}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell of an end that this side did not want."""
        if not self._transport.is_closing():
            self._end(f"connection lost{f': {type(exc).__name__}' if exc else ''}")

    def close(self) -> None:
        """Hang up; no trouble is told of it."""
        self._transport.close()

    def _end(self, problem: str) -> None:
        self._trouble(problem)
        self.ready.set()
        self._transport.close()

    def _text(self, payload: bytes) -> None:
        if not self.ready.is_set():
            self.ready.set()  # the hello
        elif _NEWS in payload[:40]:
            self.count += 1
            self._news(payload)


async def open_all(listeners: list[Listener], problems: list[str]) -> None:
    """Connect every socket, a few at a time, and wait for each one's first message where there is one.

    Raises CannotMeasure with the first of `problems`, which their `trouble` fills.
    """
    gate = asyncio.Semaphore(_AT_ONCE)
    loop = asyncio.get_running_loop()

    async def one(listener: Listener) -> None:
        async with gate:
            await loop.create_connection(lambda: listener, HOST, listener.seat.port)
            async with asyncio.timeout(_OPENING):
                await listener.ready.wait()
            if problems:
                raise CannotMeasure(problems[0])

    await asyncio.gather(*map(one, listeners))
