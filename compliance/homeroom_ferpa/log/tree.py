"""The Merkle tree of RFC 9162: hashes kept in tiles, and the proofs that are made from them.

A tile holds up to 256 hashes that stand side by side at one level of the tree: leaves at level 0, then only every
eighth level above, each hash that of a complete subtree of 256 below. What lies between is hashed anew where it is
needed, at most 254 hashes. So a million entries are some 4,000 rows, and a proof reads a handful of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

WIDTH = 256
HEIGHT = 8
HASH = 32
EMPTY = hashlib.sha256(b"").digest()

Tile = Callable[[int, int], bytes]
"""Gives the hashes, joined, of tile `number` at `level`; empty when there is none."""


class TreeDamaged(Exception):
    """A hash that must be kept is not there."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbours."""
    return hashlib.sha256(b"\1" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root of a complete subtree over a power of two of hashes."""
    sha256 = hashlib.sha256
    while len(hashes) > 1:
        hashes = [sha256(b"\1" + hashes[at] + hashes[at + 1]).digest() for at in range(0, len(hashes), 2)]
    return hashes[0]


def split(joined: bytes) -> list[bytes]:
    """The hashes of a tile one by one."""
    return [joined[at : at + HASH] for at in range(0, len(joined), HASH)]


class Tree:
    """The tree of the first `size` entries, read from tiles."""

    def __init__(self, size: int, tile: Tile) -> None:
        self.size = size
        self._tile = tile
        self._kept: dict[tuple[int, int], bytes] = {}

    def root(self) -> bytes:
        """The hash that stands for all entries."""
        return self._range(0, self.size) if self.size else EMPTY

    def inclusion(self, index: int) -> list[bytes]:
        """The proof that entry `index` (from 0) is in the tree; RFC 9162 2.1.3.1."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        path: list[bytes] = []
        first, end = 0, self.size
        while end - first > 1:
            middle = first + _half(end - first)
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(first, middle))
                first = middle
        return path[::-1]

    def consistency(self, old: int) -> list[bytes]:
        """The proof that the tree of the first `old` entries is the beginning of this one; RFC 9162 2.1.4.1."""
        if not 0 <= old <= self.size:
            raise IndexError(old)
        if old in (0, self.size):
            return []
        path: list[bytes] = []
        first, end, whole = 0, self.size, True
        while end != old:
            middle = first + _half(end - first)
            if old <= middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(first, middle))
                first, whole = middle, False
        return ([] if whole else [self._range(first, end)]) + path[::-1]

    def _range(self, first: int, end: int) -> bytes:
        """The root of the entries from `first` to before `end`."""
        count = end - first
        if count & (count - 1) == 0 and first % count == 0:
            return self._complete(count.bit_length() - 1, first // count)
        middle = first + _half(count)
        return node_hash(self._range(first, middle), self._range(middle, end))

    def _complete(self, height: int, number: int) -> bytes:
        level, rest = divmod(height, HEIGHT)
        first, count = number << rest, 1 << rest
        tile, offset = divmod(first, WIDTH)
        if (level, tile) not in self._kept:
            self._kept[level, tile] = self._tile(level, tile)
        joined = self._kept[level, tile][offset * HASH : (offset + count) * HASH]
        if len(joined) != count * HASH:
            raise TreeDamaged(f"tile {tile} at level {level} lacks hashes")
        return fold(split(joined))


class Growing:
    """The last tile of each level, to which hashes are appended; `changed` are the tiles to be written."""

    def __init__(self, size: int, tile: Tile) -> None:
        self.size = size
        self.changed: dict[tuple[int, int], bytes] = {}
        self._tile = tile
        self._last: list[bytes] = []
        level, count = 0, size
        while count:
            kept = tile(level, count // WIDTH)
            if len(kept) != count % WIDTH * HASH:
                raise TreeDamaged(f"tile {count // WIDTH} at level {level} does not hold {count % WIDTH} hashes")
            self._last.append(kept)
            count //= WIDTH
            level += 1

    def add(self, leaves: Iterable[bytes]) -> None:
        """Append the hashes of entries."""
        joined = b"".join(leaves)
        self._extend(0, self.size, joined)
        self.size += len(joined) // HASH

    def root(self) -> bytes:
        """The hash that stands for all entries."""
        return Tree(self.size, self._given).root()

    def _given(self, level: int, number: int) -> bytes:
        found = self.changed.get((level, number))
        return self._tile(level, number) if found is None else found

    def _extend(self, level: int, count: int, joined: bytes) -> None:
        if not joined:
            return
        while len(self._last) <= level:
            self._last.append(b"")
        first = count // WIDTH
        joined = self._last[level] + joined
        whole = WIDTH * HASH
        above: list[bytes] = []
        for number, at in enumerate(range(0, len(joined), whole), start=first):
            tile = joined[at : at + whole]
            self.changed[level, number] = tile
            if len(tile) == whole:
                above.append(fold(split(tile)))
        self._last[level] = joined[len(joined) // whole * whole :]
        self._extend(level + 1, first, b"".join(above))


class Frontier:
    """The roots of the complete subtrees of a tree that grows entry by entry: no more memory than their number."""

    def __init__(self) -> None:
        self.size = 0
        self._stack: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> None:
        """Append the hash of an entry."""
        height, found = 0, leaf
        while self._stack and self._stack[-1][0] == height:
            found = node_hash(self._stack.pop()[1], found)
            height += 1
        self._stack.append((height, found))
        self.size += 1

    def root(self) -> bytes:
        """The hash that stands for all entries so far."""
        if not self._stack:
            return EMPTY
        found = self._stack[-1][1]
        for _, left in self._stack[-2::-1]:
            found = node_hash(left, found)
        return found


def _half(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1
