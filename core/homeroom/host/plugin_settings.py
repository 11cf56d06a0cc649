"""A plugin's settings: defaults, then the file, what an admin saved, the environment; every problem at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_origin

import orjson
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from homeroom.host.config import PluginsConfig, SettingsProblem

MASK = "***"
SAVED = "saved settings"


class NoSettings(BaseModel):
    """The settings of a plugin that has none."""

    model_config = ConfigDict(extra="forbid")


class SettingsInvalid(Exception):
    """A plugin's settings cannot be used; `problems` has every one of them."""

    def __init__(self, problems: list[SettingsProblem]) -> None:
        super().__init__("; ".join(_short(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Settings ready for use. `fixed` names those that the environment sets; `secrets` are texts never to be shown."""

    model: BaseModel = field(repr=False)
    fixed: frozenset[str] = frozenset()
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(slots=True)
class Gathered:
    """Values from every source, and where each came from; `variables` names those of the environment that fix one."""

    values: dict[str, Any] = field(default_factory=dict, repr=False)
    origin: dict[str, str] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    variables: dict[str, str] = field(default_factory=dict)
    problems: list[SettingsProblem] = field(default_factory=list)


def resolve(
    config: PluginsConfig, name: str, model: type[BaseModel], saved: Mapping[str, Any] | None = None
) -> Resolved:
    """The settings of the plugin `name`, where `saved` is what an admin has saved. Raises SettingsInvalid."""
    given = gather(config, name, model, saved or {})
    problems = given.problems
    told = {problem.field for problem in problems}
    try:
        made = model.model_validate(given.values)
    except ValidationError as exc:
        for error in exc.errors(include_url=False, include_input=False):
            key = str(error["loc"][0]) if error["loc"] else ""
            if key not in told:
                problems.append(_problem(error, given, config.source, name, model))
        told = {problem.field for problem in problems}
    unknown = [key for key in given.values if _field(model, key) is None and key not in told]
    problems += [_unknown(given.origin[key], name, key, model) for key in unknown]
    if problems:
        raise SettingsInvalid(problems)
    return Resolved(model=made, fixed=frozenset(given.fixed), secrets=tuple(_secrets(made)))


def gather(config: PluginsConfig, name: str, model: type[BaseModel], saved: Mapping[str, Any]) -> Gathered:
    """What every source gives to the plugin `name`, before any of it is judged."""
    given = Gathered()
    for key, value in config.section(name).items():
        given.origin[key] = config.source
        variable = _variable(value)
        if variable is None:
            given.values[key] = value
        elif variable in config.environment:
            given.values[key] = config.environment[variable]
            given.fixed.add(key)
            given.variables[key] = variable
        else:
            given.problems.append(_unset(config.source, name, key, variable))
    for key, value in saved.items():
        if key not in given.fixed:
            given.values[key], given.origin[key] = value, SAVED
    for key, variable, text in _from_environment(config, name, model):
        given.values[key], given.origin[key] = text, f"environment variable {variable}"
        given.fixed.add(key)
        given.variables[key] = variable
    # What was found elsewhere after all is no problem any more.
    given.problems = [problem for problem in given.problems if problem.field not in given.values]
    for key in given.fixed:
        given.values[key] = _parsed(given.values[key], _field(model, key))
    return given


def masked(resolved: Resolved) -> dict[str, Any]:
    """The settings as they may be shown: every secret is masked."""
    return {key: _mask(value, resolved.secrets) for key, value in resolved.model.model_dump(mode="json").items()}


def _mask(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _mask(one, secrets) for key, one in value.items()}
    if isinstance(value, list):
        return [_mask(one, secrets) for one in value]
    if isinstance(value, str) and (value in secrets or (value and set(value) == {"*"})):
        return MASK
    return value


def _secrets(value: Any) -> Iterator[str]:
    """Every secret text in a settings model, in whatever depth."""
    if isinstance(value, SecretStr):
        if value.get_secret_value():
            yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _secrets(one)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _secrets(one)


def _variable(value: Any) -> str | None:
    """The NAME in `{ env = "NAME" }`."""
    if isinstance(value, Mapping) and set(value) == {"env"} and isinstance(value["env"], str):
        return str(value["env"])
    return None


def _from_environment(config: PluginsConfig, name: str, model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Key, variable and text of every setting that the environment gives.

    A name of the plugin's own (`json_schema_extra={"env": "TWILIO_AUTH_TOKEN"}`) serves its plain instance only, for a
    second instance is another account.
    """
    for key, info in model.model_fields.items():
        extra = info.json_schema_extra
        variable = extra.get("env") if isinstance(extra, dict) else None
        if isinstance(variable, str) and config.environment.get(variable) and config.entry_point(name) == name:
            yield info.alias or key, variable, config.environment[variable]
    for key, (variable, text) in config.overrides(name).items():
        yield key, variable, text


def _parsed(text: Any, info: FieldInfo | None) -> Any:
    """A list or table from the environment's text: JSON, or for a list also words with commas."""
    if info is None or not isinstance(text, str):
        return text
    kind = get_origin(info.annotation) or info.annotation
    if text[:1] in ("[", "{") and kind is not str:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    if kind in (list, tuple, set, frozenset):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _field(model: type[BaseModel], key: str) -> FieldInfo | None:
    for name, info in model.model_fields.items():
        if key in (name, info.alias):
            return info
    return None


def _problem(error: Any, given: Gathered, source: str, name: str, model: type[BaseModel]) -> SettingsProblem:
    file = given.origin.get(str(error["loc"][0]), source) if error["loc"] else source
    place = ".".join(str(part) for part in error["loc"]) or None
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        return _unknown(file, name, str(place), model)
    if error["type"] == "missing":
        info = _field(model, str(error["loc"][0]))
        extra = info.json_schema_extra if info is not None else None
        variable = extra.get("env") if isinstance(extra, dict) else None
        fix = f"Add it to [plugins.{name}]" + (f", or set {variable}." if variable else ".")
        return SettingsProblem(file=file, plugin=name, field=place, message="this setting is missing.", fix=fix)
    message = error["msg"].removeprefix("Value error, ")
    for key in given.fixed:  # a plugin's own validator may quote what it was given
        if isinstance(given.values[key], str) and given.values[key]:
            message = message.replace(given.values[key], MASK)
    return SettingsProblem(file=file, plugin=name, field=place, message=f"{message}.".replace("..", "."))


def _unknown(file: str, name: str, key: str, model: type[BaseModel]) -> SettingsProblem:
    names = list(model.model_fields)
    close = difflib.get_close_matches(key, names, n=1)
    if close:
        fix = f"Did you mean {close[0]}?"
    else:
        fix = f"It has: {', '.join(names)}." if names else "This plugin has no settings; remove it."
    return SettingsProblem(file=file, plugin=name, field=key, message="unknown setting.", fix=fix)


def _unset(file: str, name: str, key: str, variable: str) -> SettingsProblem:
    fix = f"Set {variable} in the environment or in .env."
    return SettingsProblem(
        file=file, plugin=name, field=key, message=f"the environment variable {variable} is not set.", fix=fix
    )


def _short(problem: SettingsProblem) -> str:
    place = f"{problem.field}: " if problem.field else ""
    return f"{place}{problem.message} {problem.fix}".strip()
