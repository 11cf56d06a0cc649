"""What a vendor's calls to a plugin's routes need: the raw bytes, for those are what is signed."""

from __future__ import annotations

from quart import request

from homeroom.store.errors import Refused


async def raw_body(most: int) -> bytes:
    """The body of this request exactly as it came. Raises Refused 413 for one of more than `most` bytes."""
    too_large = Refused(413, "too-large", "This is more than is ever sent here at once.")
    if (request.content_length or 0) > most:
        raise too_large
    pieces = bytearray()
    async for piece in request.body:
        pieces += piece
        if len(pieces) > most:
            raise too_large
    return bytes(pieces)
