"""A form's controls, drawn from the JSON schema of a plugin's settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal["text", "long", "secret", "number", "check", "choice", "choices", "lines", "group", "json"]

_DEEPEST = 2  # groups within groups; what lies deeper is shown as JSON
_LONG_TEXT = 100
_INPUTS = {"date": "date", "time": "time", "email": "email"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One setting on the form. `name` is its path with points, `value` what the control holds (never a secret).

    `may_be_empty` means that nothing is a value, too; `is_set` that there is a secret; `fixed` names the variable that
    sets it; `parts` are a group's own.
    """

    name: str
    label: str
    hint: str = ""
    kind: Kind
    type: str = "text"
    value: str = field(default="", repr=False)
    chosen: Sequence[str] = ()
    options: Sequence[str] = ()
    minimum: float | None = None
    maximum: float | None = None
    step: str = "any"
    longest: int | None = None
    required: bool = False
    may_be_empty: bool = False
    is_number: bool = False
    is_set: bool = False
    fixed: str | None = None
    source: str = ""
    error: str = ""
    parts: Sequence[Control] = ()

    @property
    def key(self) -> str:
        """The setting's own name."""
        return self.name.rpartition(".")[2]


def controls_of(told: Mapping[str, Any]) -> list[Control]:
    """The controls for what `GET /plugins/NAME/settings` tells."""
    schema = told["schema"]
    required, found = schema.get("required", ()), []
    for name, one in schema.get("properties", {}).items():
        control = _control(name, one, told["values"].get(name), schema.get("$defs", {}), depth=0)
        origin = told["origins"].get(name) or {"source": "default"}
        fixed = (origin.get("variable") or "…") if origin["source"] == "environment" else None
        parts = tuple(replace(part, fixed=fixed) for part in control.parts)
        found.append(
            replace(control, required=name in required, fixed=fixed, source=origin["source"], parts=parts),
        )
    return found


def with_errors(controls: Sequence[Control], errors: Mapping[str, str]) -> tuple[list[Control], list[str]]:
    """The controls with what is wrong with each, and what is wrong with none of them."""
    left = dict(errors)
    marked = [_marked(control, left) for control in controls]
    return marked, [f"{name}: {why}" for name, why in left.items()]


def _marked(control: Control, left: dict[str, str]) -> Control:
    parts = tuple(_marked(part, left) for part in control.parts)
    mine = [name for name in left if name == control.name or name.startswith(f"{control.name}.")]
    said = [left.pop(name) if name == control.name else f"{name}: {left.pop(name)}" for name in mine]
    return replace(control, parts=parts, error=" ".join(said))


def _control(name: str, schema: Any, value: Any, defs: Mapping[str, Any], *, depth: int) -> Control:
    one, may_be_empty = _resolved(schema, defs)
    control = Control(
        name=name,
        label=str(one.get("title") or name.rpartition(".")[2]),
        hint=str(one.get("description") or ""),
        kind="text",
        may_be_empty=may_be_empty,
    )
    if one.get("writeOnly") or one.get("format") == "password":
        return replace(control, kind="secret", is_set=bool(value))
    if "enum" in one or "const" in one:
        options = [str(option) for option in one.get("enum", [one.get("const")])]
        return replace(control, kind="choice", options=options, value=_text(value))
    if one.get("type") == "object" and one.get("properties") and depth < _DEEPEST and isinstance(value, dict | None):
        return _group(control, one, value or {}, defs, depth)
    if one.get("type") == "array":
        return _of_list(control, one, value, defs)
    return _plain(control, one, value)


def _plain(control: Control, one: Mapping[str, Any], value: Any) -> Control:
    """The control for a value without parts; what has another type is shown as JSON."""
    match one.get("type"):
        case "boolean":
            return replace(control, kind="check", chosen=("on",) if value else ())
        case "integer" | "number":
            step = "1" if one["type"] == "integer" else "any"
            limits: dict[str, Any] = {"minimum": one.get("minimum"), "maximum": one.get("maximum")}
            return replace(control, kind="number", step=step, value=_text(value), is_number=True, **limits)
        case "string":
            return _of_text(control, one, value)
    return replace(control, kind="json", value=_json(value))


def _of_text(control: Control, one: Mapping[str, Any], value: Any) -> Control:
    text, longest = _text(value), one.get("maxLength")
    is_long = len(text) > _LONG_TEXT or "\n" in text
    kind: Kind = "long" if is_long else "text"
    return replace(control, kind=kind, type=_INPUTS.get(one.get("format", ""), "text"), value=text, longest=longest)


def _of_list(control: Control, one: Mapping[str, Any], value: Any, defs: Mapping[str, Any]) -> Control:
    item, _ = _resolved(one.get("items") or {}, defs)
    given = value if isinstance(value, list) else []
    if "enum" in item:
        chosen = tuple(_text(each) for each in given)
        return replace(control, kind="choices", options=[str(option) for option in item["enum"]], chosen=chosen)
    is_secret = item.get("writeOnly") or item.get("format") == "password"
    if item.get("type") in ("string", "integer", "number") and not is_secret:
        is_number = item["type"] != "string"
        return replace(control, kind="lines", value="\n".join(_text(each) for each in given), is_number=is_number)
    return replace(control, kind="json", value=_json(value))


def _group(
    control: Control, one: Mapping[str, Any], value: Mapping[str, Any], defs: Mapping[str, Any], depth: int
) -> Control:
    required = one.get("required", ())
    parts = tuple(
        replace(
            _control(f"{control.name}.{key}", part, value.get(key), defs, depth=depth + 1), required=key in required
        )
        for key, part in one["properties"].items()
    )
    return replace(control, kind="group", parts=parts)


def _resolved(schema: Any, defs: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A schema without references and without the branch `null`, and whether it had that one."""
    one = dict(schema) if isinstance(schema, Mapping) else {}
    may_be_empty = False
    for _ in range(10):
        if reference := one.pop("$ref", None):
            one = {**defs.get(str(reference).rpartition("/")[2], {}), **one}
            continue
        branches = one.get("anyOf") or one.get("oneOf") or one.get("allOf") or []
        kept = [branch for branch in branches if branch.get("type") != "null"]
        may_be_empty = may_be_empty or len(kept) < len(branches)
        if len(kept) != 1:
            return one, may_be_empty
        outer = {key: value for key, value in one.items() if key not in ("anyOf", "oneOf", "allOf", "default")}
        one = {**kept[0], **outer}
    return one, may_be_empty


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, indent=2)
