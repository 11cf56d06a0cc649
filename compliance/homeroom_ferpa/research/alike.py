"""Leaves out of an extract what would tell somebody apart: every row stands for at least n students.

Values come in an order, the most wanted first; what is left blank is always the end of a row. Whoever would be told
apart is blanked together with others, so that a blank does not say that somebody is rare: where too few are blanked,
students of the largest group beside them, drawn by lot, are blanked with them. Of whom nothing is left to tell there is
no row.

Earlier extracts of the study are taken to be known, joined by their codes. So those of whom the same was told so far
are looked at by themselves, with whoever is gone since: again at least n of them are told the same, or have no row.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping

Values = tuple[str, ...]
Told = tuple[str | None, ...]
"""What is told of a student; None is blank."""

_Members = list[tuple[str, Values | None]]


def told(
    values: Mapping[str, Values], n: int, *, before: Mapping[str, Hashable], dice: random.Random
) -> dict[str, Told]:
    """What may be told of each student; who is not in the answer has no row.

    `before` is what earlier extracts told of a student, as one value; who stands in it and not in `values` is gone.
    The answer depends on nothing but the arguments and the state of `dice`.
    """
    strata: dict[Hashable, _Members] = {}
    for one in sorted(values.keys() | before.keys()):
        strata.setdefault(before.get(one), []).append((one, values.get(one)))
    found: dict[str, Told] = {}
    for members in strata.values():
        for row, those in _classes(members, 0, n, dice)[0].items():
            found |= dict.fromkeys(those, row) if any(value is not None for value in row) else {}
    return found


def _classes(members: _Members, depth: int, n: int, dice: random.Random) -> tuple[dict[Told, list[str]], list[str]]:
    """Those who are told the same, of members whose first `depth` values are equal; and who is left: fewer than n."""
    width = next((len(own) for _, own in members if own is not None), 0)
    left = [one for one, own in members if own is None]
    groups: dict[str, _Members] = {}
    for one, own in members:
        if own is not None and depth < width:
            groups.setdefault(own[depth], []).append((one, own))
        elif own is not None:
            left.append(one)
    found: dict[Told, list[str]] = {}
    for _, some in sorted(groups.items()):
        more, rest = _classes(some, depth + 1, n, dice)
        found |= more
        left += rest
    if left:
        left += _cover(found, n - len(left), n, dice)
    if len(left) < n:
        return found, left
    prefix = next((own[:depth] for _, own in members if own is not None), ())
    found[(*prefix, *[None] * (width - depth))] = left
    return found, []


def _cover(found: dict[Told, list[str]], wanted: int, n: int, dice: random.Random) -> list[str]:
    """So many students, or a few more, taken out of the groups that are told; no group keeps fewer than n."""
    taken: list[str] = []
    while len(taken) < wanted and found:
        row = max(found, key=lambda one: (len(found[one]), str(one)))
        spare = min(len(found[row]) - n, wanted - len(taken))
        if spare <= 0:  # each has just n: one of them goes whole
            taken += found.pop(row)
            continue
        drawn = set(dice.sample(found[row], spare))
        taken += sorted(drawn)
        found[row] = [one for one in found[row] if one not in drawn]
    return taken
