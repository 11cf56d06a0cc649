"""Which plugins a district runs, and with which settings: the `[plugins]` part of homeroom.toml and its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

ENVIRONMENT_PREFIX = "HOMEROOM__PLUGINS__"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsProblem:
    """One thing that is wrong with the settings: where it stands, what it is, and what to do. Holds no value."""

    file: str
    plugin: str | None = None
    field: str | None = None
    message: str
    fix: str = ""

    def __str__(self) -> str:
        place = ".".join(part for part in ("plugins." + self.plugin if self.plugin else None, self.field) if part)
        where = f"{self.file}: {place}: " if place else f"{self.file}: "
        if not self.fix:
            return f"{where}{self.message}"
        stop = "" if self.message.endswith((".", "!", "?")) else "."
        return f"{where}{self.message}{stop} {self.fix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginsConfig:
    """What the file and the environment say about plugins. The order of `enabled` is the call order.

    `sections` holds each plugin's own table by its name, `source` the file's name for messages, `environment` every
    variable that a setting may name.
    """

    enabled: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    source: str = "homeroom.toml"
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, section: Mapping[str, Any], *, source: str, environment: Mapping[str, str]) -> Self:
        """The configuration in a `[plugins]` table; raises pydantic's ValidationError with every problem of it."""
        given = dict(section)
        for key in ("enabled", "required"):
            if text := environment.get(f"{ENVIRONMENT_PREFIX}{key.upper()}"):
                given[key] = text
        table = _File.model_validate({"plugins": given}).plugins
        return cls(
            enabled=tuple(table.enabled),
            required=frozenset(table.required),
            sections=dict(table.__pydantic_extra__ or {}),
            source=source,
            environment=environment,
        )

    def entry_point(self, name: str) -> str:
        """The installed plugin behind an instance's name: `[plugins.north] use = "powerschool"`."""
        return str(self.sections.get(name, {}).get("use", name))

    def section(self, name: str) -> dict[str, Any]:
        """The settings that the file gives to one plugin."""
        return {key: value for key, value in self.sections.get(name, {}).items() if key != "use"}

    def overrides(self, name: str) -> dict[str, tuple[str, str]]:
        """What `HOMEROOM__PLUGINS__NAME__KEY` sets for one plugin: by key, the variable's name and its text."""
        prefix = f"{ENVIRONMENT_PREFIX}{name.replace('-', '_').upper()}__"
        return {
            key.removeprefix(prefix).lower(): (key, text)
            for key, text in self.environment.items()
            if key.startswith(prefix) and key != prefix
        }


def _names(value: Any) -> Any:
    """A list in an environment variable is written with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _table(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError("unknown setting: [plugins] has `enabled` and `required`, and a table [plugins.NAME] for each")  # noqa: TRY004 - pydantic wants it
    return value


_Names = Annotated[list[str], BeforeValidator(_names)]


class _Plugins(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[dict[str, Any], BeforeValidator(_table)]]

    enabled: _Names = []
    required: _Names = []

    @model_validator(mode="after")
    def _agree(self) -> Self:
        twice = sorted({name for name in self.enabled if self.enabled.count(name) > 1})
        if twice:
            raise ValueError(f"enabled more than once: {', '.join(twice)}; two instances of one plugin need two names")
        lost = [name for name in self.required if name not in self.enabled]
        if lost:
            raise ValueError(f"required but not enabled: {', '.join(lost)}; add it to `enabled`")
        return self


class _File(BaseModel):
    plugins: _Plugins
