"""Random bytes in great number: the system is asked for many at once, for each question gives up the lock.

A thread that gives it up waits until another one has had its turn: one that seals thousands of values did so for each.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

_STOCK = 512


class Dice:
    """Throws `size` random bytes at a time, as good as the system's."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._stock: Iterator[bytes] = iter(())
        os.register_at_fork(after_in_child=self._forget)  # a child must not repeat its parent's throws

    def throw(self) -> bytes:
        """Bytes that nobody was given before."""
        while True:
            for taken in self._stock:
                return taken
            self._stock = iter(many(self._size, _STOCK))

    def _forget(self) -> None:
        self._stock = iter(())


def many(size: int, count: int) -> list[bytes]:
    """`count` times `size` random bytes."""
    stock = secrets.token_bytes(size * count)
    return [stock[at : at + size] for at in range(0, len(stock), size)]
