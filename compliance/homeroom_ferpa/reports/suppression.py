"""Hides what could tell of one student in a table of counts with totals, and what would give the hidden away.

A table has a cell for each row and column, and totals (`ALL`). Each cell has two counts: the students, and those of
them who are counted (say, chronically absent). What is hidden stays unknown to whoever has the whole table: for every
hidden count there is another table of whole numbers, with the same published figures, in which it differs. Such
a table differs by one along a cycle of hidden cells; where there is no cycle, more is hidden.

Earlier tables are taken to be known. What they hid stays hidden. A cell that is hidden now for the first time is
covered only by others of its kind: neither by what an earlier table shows to be the same, nor by what it hid already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

ALL = "all"
LOW, HIGH = "<5 %", ">95 %"

Key = tuple[str, str]
Layer = Literal["students", "counted"]

_LAYERS: tuple[Layer, ...] = ("students", "counted")
_ONE_IN = 20  # 5 %


@dataclass(frozen=True, slots=True)
class Counts:
    """The truth about one cell: how many students, and how many of them are counted."""

    students: int
    counted: int


@dataclass(frozen=True, slots=True)
class Shown:
    """What is published of a cell; None is hidden, and `LOW` or `HIGH` says no more than that."""

    students: int | None
    counted: int | str | None


def with_totals(cells: Mapping[Key, Counts]) -> dict[Key, Counts]:
    """A cell for every row and column, with the totals."""
    full: dict[Key, Counts] = {}
    for row in (*sorted({row for row, _ in cells}), ALL):
        for column in (*sorted({column for _, column in cells}), ALL):
            of = [one for (r, c), one in cells.items() if row in (r, ALL) and column in (c, ALL)]
            full[row, column] = Counts(sum(one.students for one in of), sum(one.counted for one in of))
    return full


def suppressed(
    cells: Mapping[Key, Counts], n: int, earlier: Sequence[Mapping[Key, Shown]] = ()
) -> dict[Key, Shown] | None:
    """What may be published of `cells`, totals included; None when nothing may be, for what is known already."""
    full = with_totals(cells)
    shown = {key: _by_itself(one, n, [table[key] for table in earlier if key in table]) for key, one in full.items()}
    layers = [_LayerOf(layer, full, shown, earlier) for layer in _LAYERS]
    while True:
        found = next(((layer, key) for layer in layers for key in layer.given_away()), None)
        if found is None:
            return shown
        layer, key = found
        cover = layer.cover(key)
        if cover is None:
            return None
        shown[cover] = Shown(None if layer.layer == "students" else shown[cover].students, None)


def code_of(counts: Counts) -> str | None:
    """How a share is told that lies so near to nobody or everybody that it would tell of each."""
    if counts.counted * _ONE_IN < counts.students:
        return LOW
    if (counts.students - counts.counted) * _ONE_IN < counts.students:
        return HIGH
    return None


def _by_itself(counts: Counts, n: int, before: Sequence[Shown]) -> Shown:
    """What may be shown of a cell, whatever the others are."""
    if not counts.students:  # the school has no such grade, or has none any more
        known = all(isinstance(one.students, int) and isinstance(one.counted, int) for one in before)
        return Shown(0, 0) if known else Shown(None, None)
    if counts.students < n or any(one.students is None for one in before):
        return Shown(None, None)
    rest = counts.students - counts.counted
    code = code_of(counts)
    small = code is None and (counts.counted < n or rest < n)
    if small or any(one.counted is None for one in before):
        return Shown(counts.students, None)
    if code is None and any(isinstance(one.counted, str) for one in before):
        return Shown(counts.students, None)
    return Shown(counts.students, code or counts.counted)


class _LayerOf:
    """One of the two counts of every cell, as somebody sees it who has read all that is published."""

    def __init__(
        self,
        layer: Layer,
        full: Mapping[Key, Counts],
        shown: Mapping[Key, Shown],
        earlier: Sequence[Mapping[Key, Shown]],
    ) -> None:
        self.layer: Layer = layer
        self.full = full
        self.shown = shown
        self.same = {
            key
            for key, one in full.items()
            if any(getattr(table.get(key), layer, None) == getattr(one, layer) for table in earlier)
        }
        hid = [{key for key, one in table.items() if not isinstance(getattr(one, layer), int)} for table in earlier]
        self.since = {key: next((i for i, keys in enumerate(hid) if key in keys), len(hid)) for key in full}

    def given_away(self) -> Iterator[Key]:
        """What is hidden, or told only roughly, and can be worked out all the same."""
        rooms = {key: self._room(key) for key in self.full}
        ups = {key for key, (down, up) in rooms.items() if (down if _is_negative(key) else up)}
        downs = {key for key, (down, up) in rooms.items() if (up if _is_negative(key) else down)}
        lines: dict[int, tuple[_Lines, _Lines]] = {}
        for key in self.full:
            value = getattr(self.shown[key], self.layer)
            if isinstance(value, int) or key in self.same:
                continue
            since = self.since[key]
            if since not in lines:
                mine = {one for one in self.full if self.since[one] == since}
                lines[since] = _Lines(ups & mine, downs & mine), _Lines(downs & mine, ups & mine)
            up, down = lines[since]
            if not ((key in ups and up.closes(key)) or (key in downs and down.closes(key))):
                yield key

    def cover(self, key: Key) -> Key | None:
        """The next cell to hide so that `key` cannot be worked out; None when all that helps is hidden."""
        if self.shown[key].counted is not None and not any(self._room(key)):
            return key  # so few students that the code says how many
        row, column = key
        since = self.since[key]
        hidden = [one for one in self.full if not self._is_told(one) and self.since[one] == since and one != key]
        in_row = sum(1 for one in hidden if one[0] == row)
        in_column = sum(1 for one in hidden if one[1] == column)
        able = [one for one in self.full if self._can_cover(one, since)]
        able = [one for one in able if self._is_told(one)] or able
        near = [one for one in able if (one[0] == row if in_row <= in_column else one[1] == column)]
        if not near:
            near = [one for one in able if one[0] == row or one[1] == column] or able
        crossed = {one[1] if in_row <= in_column else one[0] for one in hidden}

        def order(one: Key) -> tuple[bool, bool, int, Key]:
            cross = one[1] if in_row <= in_column else one[0]
            return ALL in one, cross not in crossed, getattr(self.full[one], self.layer), one

        return min(near, key=order, default=None)

    def _is_told(self, key: Key) -> bool:
        return isinstance(getattr(self.shown[key], self.layer), int)

    def _can_cover(self, key: Key, since: int) -> bool:
        visible = self.full[key].students > 0 and getattr(self.shown[key], self.layer) is not None
        return visible and key not in self.same and self.since[key] == since

    def _room(self, key: Key) -> tuple[bool, bool]:
        """Whether the count could be one less, and one more, for all that is published of this cell."""
        counts, shown = self.full[key], self.shown[key]
        if key in self.same:
            return False, False
        if self.layer == "students":
            hidden = shown.students is None
            return hidden and counts.students > max(1, counts.counted), hidden
        if isinstance(shown.counted, int):
            return False, False
        less, more = Counts(counts.students, counts.counted - 1), Counts(counts.students, counts.counted + 1)
        fits = [0 <= one.counted <= one.students for one in (less, more)]
        if shown.counted is not None:
            fits = [fit and code_of(one) == shown.counted for fit, one in zip(fits, (less, more), strict=True)]
        return fits[0], fits[1]


def _is_negative(key: Key) -> bool:
    """Whether a cell counts as negative, so that every row and column adds up to nothing: the totals of one line."""
    return (key[0] == ALL) != (key[1] == ALL)


class _Lines:
    """The ways from a column down to a row and from a row up to a column."""

    def __init__(self, ups: set[Key], downs: set[Key]) -> None:
        self.columns: dict[str, list[str]] = {}
        self.rows: dict[str, list[str]] = {}
        for row, column in ups:
            self.columns.setdefault(row, []).append(column)
        for row, column in downs:
            self.rows.setdefault(column, []).append(row)

    def closes(self, key: Key) -> bool:
        """Whether one more in this cell can be made good by others."""
        row, column = key
        waiting, seen = deque([column]), {column}
        while waiting:
            here = waiting.popleft()
            for there in self.rows.get(here, ()):
                if (there, here) == key:
                    continue
                if there == row:
                    return True
                for further in self.columns.get(there, ()):
                    if further not in seen:
                        seen.add(further)
                        waiting.append(further)
        return False
