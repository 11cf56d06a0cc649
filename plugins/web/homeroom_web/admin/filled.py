"""A form of settings as it was filled in: what is sent to the route, and the form as it was, to be shown again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from werkzeug.datastructures import MultiDict

from homeroom_web.admin.controls import Control
from homeroom_web.pages import language

PREFIX = "setting."
REMOVE, BACK = "remove.", "back."
_SET = "set"


@dataclass(slots=True)
class Filled:
    """`values` and `reset` are for the route, `errors` what cannot be sent, `controls` the form as it was filled in."""

    values: dict[str, Any] = field(default_factory=dict, repr=False)
    reset: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    controls: list[Control] = field(default_factory=list)

    @property
    def sent(self) -> dict[str, Any]:
        """The body for the route."""
        return {"values": self.values, "reset": self.reset}


_OMIT = object()


def filled_in(controls: Sequence[Control], form: MultiDict[str, str]) -> Filled:
    """What a form says of these controls; those that the environment fixes are left as they are."""
    filled = Filled()
    for control in controls:
        if control.fixed is not None:
            filled.controls.append(control)
            continue
        filled.controls.append(_again(control, form))
        if form.get(f"{BACK}{control.name}"):
            filled.reset.append(control.name)
            continue
        value = _value(control, form, filled.errors)
        if value is not _OMIT:
            filled.values[control.name] = value
        elif control.kind == "number" and control.source == "saved":
            filled.reset.append(control.name)  # an emptied number is what it is without us
    return filled


def _value(control: Control, form: MultiDict[str, str], errors: dict[str, str]) -> Any:
    """What a control says; _OMIT where it says nothing."""
    name = f"{PREFIX}{control.name}"
    if control.kind == "check":
        return name in form
    if control.kind == "choices":
        return form.getlist(name)
    if control.kind == "group":
        return _group(control, form, errors)
    text = form.get(name, "").replace("\r\n", "\n").strip()
    return _of_text(control, text, errors, is_removed=bool(form.get(f"{REMOVE}{control.name}")))


def _of_text(control: Control, text: str, errors: dict[str, str], *, is_removed: bool) -> Any:
    if control.kind == "secret":
        return None if is_removed else text or _OMIT
    if control.kind == "lines":
        return [_number(line) if control.is_number else line for line in map(str.strip, text.split("\n")) if line]
    if not text and (control.may_be_empty or control.kind == "choice"):
        return None
    if control.kind == "json":
        return _parsed(control, text, errors)
    if control.kind == "number":
        return _number(text) if text else _OMIT
    return text


def _group(control: Control, form: MultiDict[str, str], errors: dict[str, str]) -> dict[str, Any]:
    found = {}
    for part in control.parts:
        value = _value(part, form, errors)
        if value is _OMIT and part.kind == "secret" and part.is_set:
            value = _SET  # keeps the secret that stands there
        if value is not _OMIT:
            found[part.key] = value
    return found


def _parsed(control: Control, text: str, errors: dict[str, str]) -> Any:
    if not text:
        return _OMIT
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        errors[control.name] = language().say(
            "This is no valid JSON: see line {line}, column {column}.", line=exc.lineno, column=exc.colno
        )
        return _OMIT


def _number(text: str) -> Any:
    """A number, or the text itself, which the route then refuses in its own words."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _again(control: Control, form: MultiDict[str, str]) -> Control:
    """A control as it was filled in; a secret is never shown again."""
    name = f"{PREFIX}{control.name}"
    if control.kind == "secret":
        return control
    if control.kind == "group":
        return replace(control, parts=tuple(_again(part, form) for part in control.parts))
    if control.kind in ("check", "choices"):
        return replace(control, chosen=tuple(form.getlist(name)))
    return replace(control, value=form.get(name, control.value))
