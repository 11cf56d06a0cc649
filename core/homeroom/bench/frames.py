"""The little of RFC 6455 that a listening client needs: whole frames from a stream of bytes."""

from __future__ import annotations

import enum
import secrets
from collections.abc import Iterator

_SHORT, _MEDIUM, _LONG = 125, 126, 127


class Opcode(enum.IntEnum):
    """What a frame is."""

    TEXT = 1
    CLOSE = 8
    PING = 9
    PONG = 10


class Frames:
    """Takes bytes as they come and gives frames as they are complete."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Every frame that `data` completes, as (opcode, payload). Servers mask nothing and send ours in one piece."""
        if self._data:
            data = self._data + data
        at, size = 0, len(data)
        while size - at >= 2:  # noqa: PLR2004 - the least that a frame has
            length, begin = data[at + 1], at + 2
            if length == _MEDIUM:
                length, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif length == _LONG:
                length, begin = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if size < begin + length or size < begin:
                break
            yield data[at] & 0x0F, data[begin : begin + length]
            at = begin + length
        self._data = data[at:]


def client_frame(opcode: int, payload: bytes = b"") -> bytes:
    """A short frame as a client must send it: masked."""
    if len(payload) > _SHORT:
        raise ValueError("only short frames are sent")
    mask = secrets.token_bytes(4)
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked
