"""What the measuring clients share: a little HTTP/1.1, and how they take their plan and tell what they found."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import orjson
from pydantic import TypeAdapter

P = TypeVar("P")

HOST = "127.0.0.1"


class CannotMeasure(Exception):
    """The server does not do what the plan needs; says what, for the operator."""


def client(plan: type[P], run: Callable[[P], Awaitable[object]]) -> None:
    """Read a plan from standard input, run it, and say `{"result": …}`, or `{"failed": why}`."""
    given = TypeAdapter(plan).validate_json(sys.stdin.buffer.read())

    async def running() -> None:
        say({"result": await run(given)})

    try:
        asyncio.run(running())
    except (CannotMeasure, OSError, TimeoutError) as exc:
        say({"failed": str(exc) or type(exc).__name__})


def say(line: object) -> None:
    """Write one line of JSON to standard output, at once."""
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `size` is how many bytes of the stream it took, `last` whether the server closes after it."""

    status: int
    body: bytes
    size: int
    last: bool


def request(method: str, path: str, *, token: str | None = None, body: bytes | None = None) -> bytes:
    """A whole request, ready to be sent."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", "Accept: application/json"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def parse(data: bytes | bytearray) -> Answer | None:
    """The answer that `data` begins with, or None while some of it is still to come.

    Raises ValueError for an answer without a length: neither the baselines nor Homeroom stream.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(data[:end]).lower()
    status = int(head[9:12])
    length = 0
    if status >= 200:  # noqa: PLR2004 - 1xx has no body
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            raise ValueError("an answer without Content-Length")
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
    size = end + 4 + length
    if len(data) < size:
        return None
    return Answer(status, bytes(data[end + 4 : size]), size, b"\r\nconnection: close" in head)


async def ask(port: int, raw: bytes, *, patience: float = 10.0) -> Answer:
    """The answer to one request on a connection of its own. Raises OSError or TimeoutError when there is none."""
    async with asyncio.timeout(patience):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(raw)
            data = bytearray()
            while (answer := parse(data)) is None:
                more = await reader.read(65536)
                if not more:
                    raise ConnectionResetError("the server closed the connection before it had answered")
                data += more
            return answer
        finally:
            writer.close()
