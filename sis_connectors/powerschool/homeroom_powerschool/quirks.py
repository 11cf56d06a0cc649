"""PowerSchool's JSON, made regular. Everything odd about it is dealt with here and nowhere else.

1. A list of one is the object itself.               2. An empty element is the empty string.
3. Texts of digits arrive as numbers.                4. Rows of tables and queries hold only strings, booleans as 0/1.
5. `@expansions` and `@extensions` stand beside the data; a query without rows has no `record`.
6. Optional keys are absent.                         7. A write may answer 200 with ERROR inside: see `verdicts`.
8. Some answers with status 200 have no body.        9. An outage is a redirect, then a page: SisHttp refuses both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from homeroom import SourceError

Row = Mapping[str, Any]
"""One row of a table or query."""

_WHOLE = re.compile(r"-?\d{1,18}(?:\.0+)?", re.ASCII)
_LONGEST = 19
_FIRST, _LAST = date(1900, 1, 1), date(2150, 1, 1)


class Unreadable(ValueError):
    """A field that cannot be read: `field` names it, the text says what is wrong and holds no value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def as_list(value: Any) -> list[Any]:
    """The items, whether there are many, one (1) or none (2, 6)."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def as_object(value: Any) -> Mapping[str, Any]:
    """The object; an empty one where it is absent or the empty string (2, 6)."""
    return value if isinstance(value, dict) else {}


def as_text(value: Any, *, digits: int = 0) -> str | None:
    """The text, None where there is none; one that lost its leading zeros (3) is filled up to `digits`."""
    if not isinstance(value, str):
        if value is None or isinstance(value, list | dict):
            return None
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        value = str(value)
    text: str = value.strip()
    if digits and text.isascii() and text.isdecimal():
        text = text.zfill(digits)
    return text or None


def as_number(row: Row, field: str) -> int:
    """A whole number, also from a text (4). Raises Unreadable where there is none."""
    value = row.get(field)
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < _LONGEST:
        return int(value)
    text = as_text(value)
    if text is None:
        raise Unreadable(field, "this is empty")
    if not _WHOLE.fullmatch(text):
        raise Unreadable(field, "this is not a whole number")
    return int(text.partition(".")[0])


def as_day(row: Row, field: str) -> date | None:
    """A day, None where there is none. Raises Unreadable for what is no date, or in an impossible year."""
    text = as_text(row.get(field))
    if text is None:
        return None
    try:
        day = date.fromisoformat(text[:10])
    except ValueError:
        raise Unreadable(field, "this is not a date") from None
    if not _FIRST <= day < _LAST:
        raise Unreadable(field, "this date lies in an impossible year")
    return day


def as_flag(value: Any) -> bool:
    """True for true, 1 and "1" (4)."""
    return (as_text(value) or "").lower() in ("true", "1", "1.0")


def collection(data: Any, envelope: str, item: str) -> list[Any]:
    """The items of a REST list (1, 2, 5). Raises SourceError where the answer is not such a list: it is not empty."""
    if not isinstance(data, dict) or envelope not in data:
        raise SourceError(f"PowerSchool's answer holds no {envelope}; it was not taken for an empty list", retry=True)
    return as_list(as_object(data[envelope]).get(item))


def records(data: Any) -> list[Any]:
    """The rows of a table or query (1, 5). Raises SourceError for an answer without a body (8): it is no empty list."""
    if not isinstance(data, dict):
        raise SourceError("PowerSchool's answer is empty; it was not taken for an empty list", retry=True)
    return as_list(data.get("record"))


def count_of(data: Any) -> int:
    """The number in an answer to `…/count`, in either of its two shapes. Raises SourceError where there is none."""
    inner = as_object(as_object(data).get("resource")) or as_object(data)
    try:
        return as_number(inner, "count")
    except Unreadable:
        raise SourceError("PowerSchool's answer holds no count", retry=True) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a write says of one record: `reason` where it failed, in PowerSchool's words about fields, not values."""

    ok: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What a write says (7). `sure` when every record is told to be written, and as many as were sent."""

    sure: bool
    each: list[Verdict]


def verdicts(data: Any, sent: int) -> Verdicts:
    """What the answer to a write of `sent` records says; an answer without a body (8) is sure of nothing."""
    body = as_object(as_object(data).get("results")) or as_object(data)
    each = [_verdict(as_object(one)) for one in as_list(body.get("result"))]
    counts = (as_text(body.get(name)) or "" for name in ("insert_count", "update_count"))
    written = sum(int(text) for text in counts if text.isdecimal())
    return Verdicts(sure=len(each) >= sent and all(one.ok for one in each) and written >= sent, each=each)


def _verdict(result: Mapping[str, Any]) -> Verdict:
    ok = (as_text(result.get("status")) or "").upper() in ("SUCCESS", "WARNING")
    errors = [as_object(one) for one in as_list(as_object(result.get("error_message")).get("error"))]
    words = [f"{as_text(error.get('field'))}: {as_text(error.get('error_code'))}" for error in errors]
    return Verdict(ok=ok, reason="" if ok else ", ".join(words) or "no reason given")
