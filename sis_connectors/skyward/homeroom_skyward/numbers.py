"""Numbers in place of the sample's ids, as Skyward has them: the same ones in every simulator of a district."""

from __future__ import annotations

import functools
import hashlib


@functools.cache
def number(kind: str, sourced_id: str) -> int:
    """The number of one thing; things of another kind, or with another id, have another one."""
    digest = hashlib.blake2b(f"{kind} {sourced_id}".encode(), digest_size=6).digest()
    return int.from_bytes(digest) + 1
