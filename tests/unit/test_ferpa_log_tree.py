"""The tree: every root and every proof is the one that RFC 9162 defines, and no other passes the verifier."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom_ferpa.log.tree import EMPTY, HASH, WIDTH, Frontier, Growing, Tree, TreeDamaged, leaf_hash, node_hash
from homeroom_ferpa.log.verifier import Problem, check_consistency, check_inclusion

MOST = 3 * WIDTH + 70
LEAVES = [leaf_hash(str(number).encode()) for number in range(MOST)]
EDGES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 255, 256, 257, 511, 512, 513)


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162 2.1.1, as it is written there."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def naive_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 9162 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(first: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PROOF of RFC 9162 2.1.4.1."""
    return naive_subproof(first, leaves, whole=True)


def naive_subproof(first: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if first == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = largest_power_below(len(leaves))
    if first <= k:
        return [*naive_subproof(first, leaves[:k], whole=whole), naive_root(leaves[k:])]
    return [*naive_subproof(first - k, leaves[k:], whole=False), naive_root(leaves[:k])]


def largest_power_below(number: int) -> int:
    k = 1
    while k * 2 < number:
        k *= 2
    return k


def grown(sizes: Sequence[int]) -> dict[tuple[int, int], bytes]:
    """The tiles of a tree that has grown to each of these sizes in turn."""
    tiles: dict[tuple[int, int], bytes] = {}
    before = 0

    def tile(level: int, number: int) -> bytes:
        return tiles.get((level, number), b"")

    for size in sizes:
        growing = Growing(before, tile)
        growing.add(LEAVES[before:size])
        tiles |= growing.changed
        assert growing.root() == tree_of(tiles, size).root()
        before = size
    return tiles


def tree_of(tiles: dict[tuple[int, int], bytes], size: int) -> Tree:
    return Tree(size, lambda level, number: tiles.get((level, number), b""))


ALL = grown([MOST])


@pytest.mark.parametrize("size", range(1, 65))
def test_every_proof_of_a_small_tree_is_the_one_of_the_rfc(size: int) -> None:
    tree, leaves = tree_of(ALL, size), LEAVES[:size]
    root = tree.root()
    assert root == naive_root(leaves)
    for index in range(size):
        path = tree.inclusion(index)
        assert path == naive_path(index, leaves)
        check_inclusion(leaves[index], index, size, path, root)
    for first in range(1, size + 1):
        proof = tree.consistency(first)
        assert proof == naive_proof(first, leaves)
        check_consistency((first, naive_root(leaves[:first])), (size, root), proof)


@given(st.lists(st.integers(0, MOST), min_size=1, max_size=8).map(sorted), st.data())
@settings(max_examples=60)
def test_however_a_tree_has_grown_its_roots_and_proofs_are_the_same(sizes: list[int], data: st.DataObject) -> None:
    tiles, size = grown(sizes), sizes[-1]
    assert tiles == grown([size])
    tree, leaves = tree_of(tiles, size), LEAVES[:size]
    assert tree.root() == naive_root(leaves)
    if size:
        index = data.draw(st.integers(0, size - 1))
        first = data.draw(st.integers(1, size))
        assert tree.inclusion(index) == naive_path(index, leaves)
        assert tree.consistency(first) == naive_proof(first, leaves)
        check_inclusion(leaves[index], index, size, tree.inclusion(index), tree.root())
        check_consistency((first, naive_root(leaves[:first])), (size, tree.root()), tree.consistency(first))


def test_a_frontier_has_the_same_roots_with_a_handful_of_hashes() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY
    for size in range(1, MOST + 1):
        frontier.add(LEAVES[size - 1])
        if size in EDGES:
            assert frontier.root() == naive_root(LEAVES[:size])


@pytest.mark.parametrize("size", EDGES)
def test_no_forged_inclusion_proof_passes(size: int) -> None:
    dice = random.Random(size)
    tree = tree_of(ALL, size)
    root = tree.root()
    for index in {0, size - 1, size // 2, dice.randrange(size)}:
        leaf, path = LEAVES[index], tree.inclusion(index)
        for forged in forgeries(path, dice):
            refused(leaf, index, size, forged, root)
        for other in {0, size - 1, index - 1, index + 1, index ^ 1, size, -1, 2 * size} - {index}:
            refused(leaf, other, size, path, root)
        refused(LEAVES[index + 1], index, size, path, root)
        refused(flipped(leaf, dice), index, size, path, root)
        refused(leaf, index, size, path, flipped(root, dice))
        refused(leaf, index, 0, path, root)


@pytest.mark.parametrize("size", EDGES)
def test_no_forged_consistency_proof_passes(size: int) -> None:
    dice = random.Random(size)
    tree = tree_of(ALL, size)
    for first in {1, size - 1, size // 2, dice.randrange(1, size + 1), size} - {0}:
        old, new, proof = (first, naive_root(LEAVES[:first])), (size, tree.root()), tree.consistency(first)
        for forged in forgeries(proof, dice):
            unfit(old, new, forged)
        unfit((first, flipped(old[1], dice)), new, proof)
        unfit(old, (size, flipped(new[1], dice)), proof)
        unfit((first, naive_root([*LEAVES[1:first], LEAVES[0]])) if first > 1 else (1, LEAVES[1]), new, proof)
        unfit((size + 1, old[1]), new, proof)
        unfit((-1, old[1]), new, proof)
        unfit((0, old[1]), new, proof)
    check_consistency((0, EMPTY), (size, tree.root()), [])


def test_a_node_cannot_be_passed_off_as_an_entry() -> None:
    tree = tree_of(ALL, 8)
    above = tree.inclusion(0)[1:]
    check_inclusion(naive_root(LEAVES[:2]), 0, 4, above, tree.root())  # the same hashes, were it an entry
    refused(leaf_hash(LEAVES[0] + LEAVES[1]), 0, 4, above, tree.root())


def test_a_lost_tile_is_told_and_not_guessed_at() -> None:
    tiles = {place: joined for place, joined in ALL.items() if place != (0, 1)}
    with pytest.raises(TreeDamaged):
        tree_of(tiles, MOST).inclusion(WIDTH + 3)
    with pytest.raises(TreeDamaged):
        Growing(MOST, lambda level, number: tiles.get((level, number), b"") + bytes(HASH))


def forgeries(path: Sequence[bytes], dice: random.Random) -> list[list[bytes]]:
    """A proof with something about it that is not right, in each way."""
    made = [[*path, bytes(HASH)], [bytes(HASH), *path]]
    made += [[*path[:at], flipped(one, dice), *path[at + 1 :]] for at, one in enumerate(path)]
    made += [[*path[:at], *path[at + 1 :]] for at in range(len(path))]
    made += [[*path[:at], path[at + 1], path[at], *path[at + 2 :]] for at in range(len(path) - 1)]
    made += [[*path[:at], path[at], *path[at:]] for at in range(len(path))]
    return [one for one in made if one != list(path)]


def flipped(one: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(one))
    return one[:at] + bytes([one[at] ^ 1 << dice.randrange(8)]) + one[at + 1 :]


def refused(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    with pytest.raises(Problem):
        check_inclusion(leaf, index, size, path, root)


def unfit(old: tuple[int, bytes], new: tuple[int, bytes], path: Sequence[bytes]) -> None:
    with pytest.raises(Problem):
        check_consistency(old, new, path)
