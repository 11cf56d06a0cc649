"""Qmlativ's search conditions, applied to rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from homeroom_skyward.generic import Row, Table


class BadSearch(ValueError):
    """A condition that Qmlativ does not have."""


class Searches:
    """Answers searches; what was found last in each object is kept, since pages of one search follow each other."""

    def __init__(self) -> None:
        self._kept: dict[Table, tuple[Sequence[Row], str, Sequence[Row]]] = {}

    def found(self, table: Table, rows: Sequence[Row], body: Any) -> tuple[Sequence[Row], int]:
        """The rows that a search selects, in the order asked for, and how many of them come before its start.

        A condition that the key is above a number cuts off the beginning; so a page of a long list is found at once.
        Raises BadSearch.
        """
        body = body if isinstance(body, Mapping) else {}
        conditions = _flat(body.get("SearchCondition"))
        after = [one for one in conditions if one.get("FieldName") == table.key and _how(one) == "Greater"]
        chosen = self._chosen(table, rows, [one for one in conditions if one not in after])
        first = max((int(one["Value"]) for one in after), default=0)
        start = bisect_right(chosen, first, key=lambda row: int(row[table.key]))
        sort = body.get("SearchSort") or [{}]
        return (chosen[::-1], 0) if sort[0].get("Descending") else (chosen, start)

    def _chosen(self, table: Table, rows: Sequence[Row], conditions: Sequence[Mapping[str, Any]]) -> Sequence[Row]:
        if not conditions:
            return rows
        kept, text = self._kept.get(table), repr(conditions)
        if kept is None or kept[0] is not rows or kept[1] != text:
            tests = [_test(one) for one in conditions]
            kept = rows, text, [row for row in rows if all(test(row) for test in tests)]
            self._kept[table] = kept
        return kept[2]


def _flat(condition: Any) -> list[Mapping[str, Any]]:
    """Conditions that must all hold. Raises BadSearch."""
    if condition is None:
        return []
    [(kind, told)] = condition.items()
    if kind == "SearchConditionGroup":
        if told.get("ConditionGroupType") != "And":
            raise BadSearch
        return [one for part in told["Conditions"] for one in _flat(part)]
    if kind not in ("LongSearchCondition", "StringSearchCondition"):
        raise BadSearch
    return [told]


def _how(condition: Mapping[str, Any]) -> str:
    """The condition's type; one program writes the word with a small t."""
    return str(condition.get("ConditionType") or condition.get("Conditiontype"))


def _test(condition: Mapping[str, Any]) -> Callable[[Row], bool]:
    field, how = condition["FieldName"], _how(condition)
    if how == "List":
        wanted = {str(one) for one in condition["List"]}
        return lambda row: str(row.get(field)) in wanted
    if how not in _COMPARED:
        raise BadSearch
    compare, told = _COMPARED[how], str(condition["Value"])

    def holds(row: Row) -> bool:
        value = row.get(field)
        if isinstance(value, int):
            return compare(int(value), int(told))
        return value is not None and compare(str(value), told)

    return holds


_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "Equal": lambda a, b: a == b,
    "NotEqual": lambda a, b: a != b,
    "Greater": lambda a, b: a > b,
    "GreaterEqual": lambda a, b: a >= b,
    "Less": lambda a, b: a < b,
    "LessEqual": lambda a, b: a <= b,
}
