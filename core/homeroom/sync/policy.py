"""Three versions of a field: what both sides last agreed on, what stands here, and what the source says now.

Where one side alone has moved, its value holds. Where both have, differently, the district's rule decides, then the
plugins, then a person; until then the value that stands here stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from homeroom.field_policy import FieldPolicy, Rule
from homeroom.records import Conflict, Noun, Resolution
from homeroom.sync.mapping import MAPPINGS

Verdict = Literal["same", "ours", "theirs", "clash"]
Choice = Literal["ours", "theirs", "value"]

_FLAGS = frozenset({"enabled", "primary", "ended"})
_NUMBERS = frozenset({"school_year"})
_LISTS = frozenset({"grades", "periods"})
_DAYS = frozenset({"begins_on", "ends_on", "birth_date"})


def compare(base: Any, ours: Any, theirs: Any) -> Verdict:
    """Which side has moved away from `base`: neither or both alike, ours, theirs, or both differently."""
    if ours == theirs:
        return "same"
    if theirs == base:
        return "ours"
    return "theirs" if ours == base else "clash"


def ruled(rule: Rule, *, modified: str | None, edited_at: str | None) -> Choice | None:
    """What a rule says of a field that both sides have changed; None leaves it to others.

    `modified` is when the source last touched its record, `edited_at` when the field was changed here, both as kept;
    "newest" can say nothing when either is unknown.
    """
    if rule == "newest":
        if modified is None or edited_at is None:
            return None
        return "theirs" if modified > edited_at else "ours"
    choices: dict[Rule, Choice] = {"sis": "theirs", "ours": "ours"}
    return choices.get(rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """One field that both sides have changed, and what was decided: `chosen` None leaves it open.

    `told` is the same as plugins and people are told it; `value` is what is to hold from now on.
    """

    field: str
    base: Any = dataclasses.field(repr=False)
    ours: Any = dataclasses.field(repr=False)
    theirs: Any = dataclasses.field(repr=False)
    told: Conflict = dataclasses.field(repr=False)
    value: Any = dataclasses.field(repr=False)
    chosen: Choice | None = None
    who: str | None = None
    why: str | None = dataclasses.field(default=None, repr=False)


@dataclass(slots=True, kw_only=True)
class Judge:
    """Decides what both sides have changed, by the rules and then by what plugins have answered.

    `answers` None means that nobody is to be asked; `unasked` gathers what is not among them.
    """

    policy: FieldPolicy
    answers: Mapping[Conflict, Resolution | None] | None = None
    unasked: list[Conflict] = dataclasses.field(default_factory=list)

    def decide(
        self,
        told: Conflict,
        versions: tuple[Any, Any, Any],
        *,
        modified: str | None = None,
        edited_at: str | None = None,
        rule: Rule | None = None,
    ) -> Clash:
        """The clash of these versions (base, ours, theirs) with what was decided on it."""
        base, ours, theirs = versions
        rule = rule or self.policy.rule(told.noun, told.field)
        chosen = ruled(rule, modified=modified, edited_at=edited_at)
        who, why, value = "policy", f"the rule for {told.noun}.{told.field} is {rule}", ours
        if chosen is None:
            answer = self._answer(told)
            found = None if answer is None else _chosen(told, answer.value, ours, theirs)
            if answer is None or found is None:
                return Clash(field=told.field, base=base, ours=ours, theirs=theirs, told=told, value=ours)
            who, why = "plugin", answer.reason
            chosen, value = found
        elif chosen == "theirs":
            value = theirs
        return Clash(
            field=told.field,
            base=base,
            ours=ours,
            theirs=theirs,
            told=told,
            value=value,
            chosen=chosen,
            who=who,
            why=why,
        )

    def _answer(self, told: Conflict) -> Resolution | None:
        if self.answers is None:
            return None
        if told not in self.answers:
            self.unasked.append(told)
        return self.answers.get(told)


def _chosen(told: Conflict, text: str | None, ours: Any, theirs: Any) -> tuple[Choice, Any] | None:
    """What an answer's text means; None when it is no value of the field."""
    if text == told.theirs:
        return "theirs", theirs
    if text == told.ours:
        return "ours", ours
    try:
        return "value", from_text(told.noun, told.field, text)
    except ValueError:
        return None


def as_text(value: Any) -> str | None:
    """A value as people and plugins read it: lists with commas, "true" and "false", days as ISO 8601."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(str(one) for one in value) if isinstance(value, list | tuple) else str(value)


def from_text(noun: Noun, name: str, text: str | None) -> Any:
    """The value that a text stands for. Raises ValueError, with a plain reason, for none of this field's."""
    mapping = MAPPINGS[noun]
    if name not in mapping.plain:
        raise ValueError("take the value of one side; another cannot be set here")
    if not text:
        if name in mapping.required or mapping.plain[name] not in (None, []):
            raise ValueError("this cannot be empty")
        return mapping.plain[name]
    return _parsed(name, text)


def _parsed(name: str, text: str) -> Any:
    if name in _FLAGS:
        if text not in ("true", "false"):
            raise ValueError("this is true or false")
        return text == "true"
    if name in _NUMBERS:
        return int(text)
    if name in _DAYS:
        return date.fromisoformat(text).isoformat()
    return [one.strip() for one in text.split(",") if one.strip()] if name in _LISTS else text
