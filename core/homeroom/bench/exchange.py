"""The little HTTP/1.1 that the measuring clients speak: requests as bytes made beforehand, answers with a length."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

HOST = "127.0.0.1"


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
