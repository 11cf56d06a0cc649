"""The form of a rule: which fields each kind has, what was filled in as settings, and settings as what is filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from homeroom_web.admin.terms import AUDIENCES
from homeroom_web.words import to_say

Form = Literal["number", "time", "text", "list", "numbers", "one", "some"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: its name (with a dot inside another), how it is filled in, its label, and what can be chosen."""

    name: str
    form: Form
    label: str
    choices: Mapping[str, str] | None = None

    def boxes(self) -> list[tuple[str, str, str]]:
        """Of a field with several choices: each box's name, its choice, and how that is said."""
        return [(f"{self.name}.{one}", one, said) for one, said in (self.choices or {}).items()]


_MISSED = {"absent": to_say("absent"), "excused": to_say("excused")}
_OF = {"day": to_say("the whole day"), "class": to_say("each class")}
_WITHIN = {"term": to_say("the term"), "year": to_say("the school year")}
_CLASSES = {"homeroom": to_say("homerooms"), "scheduled": to_say("scheduled classes")}

_AUDIENCE = Field(name="audience", form="some", label=to_say("Who is told"), choices=AUDIENCES)
_END = (
    Field(name="channels", form="list", label=to_say("Channels in this order, with commas; empty: as each prefers")),
    Field(name="until", form="time", label=to_say("Not later than, at the school")),
    Field(name="purpose", form="text", label=to_say("Purpose for which consent is asked")),
)
_CONDITIONS = (
    Field(name="conditions.categories", form="list", label=to_say("Only these Ed-Fi categories, with commas")),
    Field(name="conditions.codes", form="list", label=to_say("Only these attendance codes, with commas")),
    Field(name="conditions.grades", form="list", label=to_say("Only these grades, with commas")),
    Field(name="conditions.class_ids", form="list", label=to_say("Only these classes (ids), with commas")),
)
_DELAY = Field(name="delay_minutes", form="number", label=to_say("Minutes to wait, in which a late arrival counts"))
_WHAT = Field(name="of", form="one", label=to_say("About"), choices=_OF)
_STATUSES = Field(name="statuses", form="some", label=to_say("Which marks count"), choices=_MISSED)
_DAYS = Field(name="days", form="numbers", label=to_say("At these numbers of days, with commas"))
_SPAN = Field(name="within", form="one", label=to_say("Counted within"), choices=_WITHIN)
_AT = Field(name="at", form="time", label=to_say("At this time, at the school"))

_OWN: Mapping[str, tuple[Field, ...]] = {
    "absence": (
        *(_WHAT, _STATUSES, _DELAY),
        Field(name="latest", form="time", label=to_say("Sent by this time though a roll is not taken")),
    ),
    "tardy": (_WHAT, _DELAY, Field(name="from_minutes", form="number", label=to_say("Late by at least, minutes"))),
    "returned": (_DELAY,),
    "in_a_row": (_DAYS, _STATUSES, _DELAY),
    "total": (_DAYS, _SPAN, _STATUSES, _DELAY),
    "share": (
        Field(name="shares", form="numbers", label=to_say("At these shares, 0.1 is a tenth, with commas")),
        Field(name="least_days", form="number", label=to_say("Only after so many days")),
        *(_SPAN, _STATUSES, _DELAY),
    ),
    "roll_not_taken": (
        _AT,
        Field(name="class_kinds", form="some", label=to_say("Of these classes"), choices=_CLASSES),
    ),
    "digest": (_AT,),
}
_TROUBLE = (Field(name="late_hours", form="number", label=to_say("Hours without a good sync, where that is told")),)


def fields_of(kind: str) -> tuple[Field, ...]:
    """The fields of a kind of rule, in the order of the form."""
    about_students = kind in ("absence", "tardy", "returned", "in_a_row", "total", "share")
    return (_AUDIENCE, *_OWN.get(kind, _TROUBLE), *_END, *(_CONDITIONS if about_students else ()))


def settings_of(kind: str, form: Mapping[str, str]) -> dict[str, Any]:
    """The settings that were filled in; what was left empty is left out, and what is no number stays as typed."""
    found: dict[str, Any] = {}
    for field in fields_of(kind):
        value = _read(field, form)
        if value in (None, "", []):
            continue
        outer, dot, inner = field.name.partition(".")
        if dot:
            found.setdefault(outer, {})[inner] = value
        else:
            found[outer] = value
    return found


def form_of(kind: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """The form as it is filled in for these settings."""
    filled: dict[str, str] = {}
    for field in fields_of(kind):
        value: Any = settings
        for name in field.name.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if field.form == "some":
            filled |= {box: "on" for box, one, _ in field.boxes() if one in (value or ())}
        elif value is not None:
            listed = isinstance(value, list)
            filled[field.name] = ", ".join(map(str, value)) if listed else _short(field, value)
    return filled


def _read(field: Field, form: Mapping[str, str]) -> Any:
    if field.form == "some":
        return [one for box, one, _ in field.boxes() if form.get(box)]
    text = form.get(field.name, "").strip()
    if field.form in ("list", "numbers"):
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return [_number(part) for part in parts] if field.form == "numbers" else parts
    return _number(text) if field.form == "number" else text


def _number(text: str) -> Any:
    """The number that is meant; anything else goes to the route as it is, which says what is wrong with it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _short(field: Field, value: Any) -> str:
    """A time without its seconds, as a browser's field has it."""
    return str(value)[:5] if field.form == "time" else str(value)
