"""Whose value holds when a field was changed both here and in the source: one rule per field.

    FieldPolicy({"user.email": "sis", "enrollment.*": "ask", "*": "newest"}).rule("user", "email")  # "sis"

A field that only one side has changed takes that side's value under every rule.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from homeroom.records import NOUNS, AcademicSession, Class, Course, Enrollment, Noun, Org, User, facts_of

Rule = Literal["sis", "ours", "newest", "ask"]
"""The source's value, the one held here, the one changed last, or a question to a person."""

DEFAULTS: dict[str, Rule] = {
    "*": "ask",
    "org.*": "sis",
    "academicSession.*": "sis",
    "course.*": "sis",
    "class.*": "sis",
    "user.ended": "sis",
}
"""Calendars and courses are the source's; what was corrected of a person or an enrolment is not lost without a word."""

_FIELDS: dict[Noun, tuple[str, ...]] = {
    one.noun: (*facts_of(one), "ended") for one in (Org, AcademicSession, Course, Class, User, Enrollment)
}
KEYS = ("*", *(f"{noun}.{name}" for noun in NOUNS for name in ("*", *_FIELDS[noun])))
"""Every key that a policy may hold."""

_CANONICAL = {key.casefold(): key for key in KEYS}


class UnknownKey(ValueError):
    """A policy names a field that there is not; `close` is the nearest one that there is, if any is near."""

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no field {key}")
        self.key = key
        near = difflib.get_close_matches(key.casefold(), _CANONICAL, n=1)
        self.close = _CANONICAL[near[0]] if near else None


class UnknownRule(ValueError):
    """A policy gives a rule that there is not."""

    def __init__(self, key: str, value: object) -> None:
        super().__init__(f"{key} is to be one of {', '.join(get_args(Rule))}, not {value!r}")
        self.key = key


class FieldPolicy:
    """The rules of a district: a precise key goes before `noun.*`, and that before `*`.

    What a district's own table leaves open is as in DEFAULTS. Raises UnknownKey or UnknownRule.
    """

    def __init__(self, rules: Mapping[str, Rule] | None = None) -> None:
        own = checked(rules or {})
        self._rules: dict[str, Rule] = dict(own)
        for key, rule in DEFAULTS.items():
            if not any(wider in own for wider in _as_wide_as(key)):
                self._rules.setdefault(key, rule)

    def rule(self, noun: Noun, field: str) -> Rule:
        """The rule for one field of one noun."""
        for key in (f"{noun}.{field}", f"{noun}.*"):
            if key in self._rules:
                return self._rules[key]
        return self._rules["*"]


def checked(table: Mapping[str, Any]) -> dict[str, Rule]:
    """The rules of a settings table, with keys as they are spelt here; `user = { email = … }` is `"user.email" = …`."""
    rules: dict[str, Rule] = {}
    for key, value in _flat(table):
        if key.casefold() not in _CANONICAL:
            raise UnknownKey(key)
        if value not in get_args(Rule):
            raise UnknownRule(key, value)
        rules[_CANONICAL[key.casefold()]] = value
    return rules


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{name}", one) for name, one in value.items())
        else:
            yield key, value


def _as_wide_as(key: str) -> tuple[str, ...]:
    """The keys by which a district decides what a default would: itself, and the wider ones."""
    return (key, f"{key.partition('.')[0]}.*", "*")
