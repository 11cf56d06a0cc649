"""OneRoster's `filter` parameter: one or two comparisons, joined by AND or OR."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

Texts = Callable[[Any, str], list[str] | None]
"""The texts that a record has in a field; None where no record has such a field."""

_ONE = r"([A-Za-z_.]+)\s*(!=|>=|<=|=|>|<|~)\s*'((?:[^'\\]|\\.|'')*)'"
_FILTER = re.compile(rf"^\s*{_ONE}(?:\s+(AND|OR)\s+{_ONE})?\s*$")

_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "~": lambda a, b: b in a,
}


class BadFilter(ValueError):
    """A filter that cannot be applied."""


def filtered(rows: Iterable[Any], text: str, texts: Texts) -> list[Any]:
    """The rows that `text` selects. Raises BadFilter for one that is not OneRoster's, or for an unknown field."""
    found = _FILTER.match(text)
    if found is None:
        raise BadFilter
    field, operator, value, joint, field2, operator2, value2 = found.groups()
    chosen = []
    for row in rows:
        fits = _fits(texts(row, field), operator, value)
        if joint is not None and fits == (joint == "AND"):
            fits = _fits(texts(row, field2), operator2, value2)
        if fits:
            chosen.append(row)
    return chosen


def _fits(held: list[str] | None, operator: str, value: str) -> bool:
    if held is None:
        raise BadFilter
    compare = _COMPARISONS[operator]
    told = value.replace("''", "'").casefold()
    return any(compare(one.casefold(), told) for one in held or [""])
