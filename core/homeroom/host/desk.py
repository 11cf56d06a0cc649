"""An administrator's desk: a plugin's settings read, tried and saved, while secrets stay where they are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import structlog
from pydantic import BaseModel

from homeroom.host.calls import Answer
from homeroom.host.discovery import CannotLoad
from homeroom.host.host import Host
from homeroom.host.plugin import Running
from homeroom.host.plugin_settings import MASK, SAVED, Gathered, SettingsInvalid, gather, resolve
from homeroom.host.scratch import scratch_services
from homeroom.host.secrecy import (
    SET,
    Keeper,
    addresses,
    defaults_of,
    is_secret,
    raw_tree,
    secrets_in,
    texts_in,
    tree_of,
)
from homeroom.store import Refused

log = structlog.get_logger("homeroom.host")

Source = Literal["default", "file", "saved", "environment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One setting that cannot be as it is, and why; holds no value."""

    field: str
    message: str


class Unfit(Exception):
    """Settings that cannot be used; `problems` has every one of them."""

    def __init__(self, problems: Sequence[Wrong]) -> None:
        super().__init__("; ".join(f"{one.field}: {one.message}" for one in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a setting's value comes from; `variable` names what in the environment fixes it."""

    source: Source
    variable: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsView:
    """A plugin's settings as they may be shown. `version` is their row's; `problems` are those of what is in force."""

    name: str
    version: int
    schema: Mapping[str, Any]
    values: Mapping[str, Any] = field(repr=False)
    origins: Mapping[str, Origin]
    problems: Sequence[Wrong]


@dataclass(slots=True, kw_only=True)
class Trial:
    """A plugin beside the running one, made with settings that are not saved."""

    _host: Host
    _running: Running = field(repr=False)
    _secrets: frozenset[str] = field(repr=False)

    def has(self, hook: str) -> bool:
        """Whether it can be asked."""
        return hook in self._running.hooks

    async def ask(self, hook: str) -> Answer | None:
        """What it answers, under the hook's deadline."""
        return await self._host.ask_candidate(self._running, hook)

    def hide(self, text: str) -> str:
        """`text` without any of the secrets, which foreign words may quote."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


@dataclass(slots=True, kw_only=True)
class _Now:
    """What holds of one plugin now."""

    model: type[BaseModel]
    schema: Mapping[str, Any]
    saved: dict[str, Any] = field(repr=False)
    version: int
    gathered: Gathered = field(repr=False)
    keeper: Keeper = field(repr=False)
    problems: list[Wrong]


class SettingsDesk:
    """Reads, tries and saves the settings of `host`'s plugins. Raises Refused (404, 409) for one that cannot be set."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._trying: set[str] = set()

    async def read(self, name: str) -> SettingsView:
        """The settings in force, or as they would be if they were right, and what to make a form of."""
        now = await self._now(name)
        shown = now.keeper.shown()
        return SettingsView(
            name=name,
            version=now.version,
            schema=now.schema,
            values=shown,
            origins={key: _origin(now.gathered, key) for key in (*now.schema.get("properties", {}),)},
            problems=now.problems,
        )

    async def save(self, name: str, given: Mapping[str, Any], reset: Sequence[str], *, expected: int | None) -> None:
        """Save what was given over what is saved, take back what is to be `reset`, and restart the plugin.

        Raises Unfit, and Refused 412 when somebody else has changed the plugin since version `expected`.
        """
        now = await self._now(name)
        if expected is not None and expected != now.version:
            raise Refused(412, "changed-meanwhile", "Somebody has changed this plugin meanwhile. Please look again.")
        saved = await self._candidate(name, now, given, reset)
        changed = {key for key in saved.keys() | now.saved.keys() if saved.get(key, ...) != now.saved.get(key, ...)}
        if changed:
            await self._host.save(name, saved, changed=changed, expected=expected)

    @contextlib.asynccontextmanager
    async def trial(self, name: str, given: Mapping[str, Any], reset: Sequence[str]) -> AsyncIterator[Trial]:
        """The plugin with these settings, which are not saved. Raises Unfit, CannotLoad, Refused 409 while one is made.

        It is not started, and what it would keep is forgotten.
        """
        now = await self._now(name)
        saved = await self._candidate(name, now, given, reset)
        if name in self._trying:
            raise Refused(409, "settings-being-tried", "Its settings are being tried just now.", retry_after=5)
        self._trying.add(name)
        started = time.monotonic()
        try:
            running = await self._host.candidate(name, saved, scratch_services(self._host.services_for))
            try:
                yield Trial(_host=self._host, _running=running, _secrets=frozenset(running.settings.secrets))
            finally:
                running.threads.close()
                await running.services.close()
        finally:
            self._trying.discard(name)
            log.info("plugin_settings_tried", plugin=name, seconds=round(time.monotonic() - started, 2))

    async def _now(self, name: str) -> _Now:
        host = self._host
        model = await host.model_of(name)
        saved, version = await host.saved_for(name)
        return await host.on_thread(name, partial(self._look, name, model, saved, version))

    def _look(self, name: str, model: type[BaseModel], saved: dict[str, Any], version: int) -> _Now:
        """What holds now; runs the plugin's own validators."""
        config = self._host.config
        schema, gathered = _schema(model), gather(config, name, model, saved)
        problems: list[Wrong] = []
        try:
            tree = tree_of(resolve(config, name, model, saved).model)
        except SettingsInvalid as exc:
            tree = raw_tree(gathered.values, schema, model)
            problems = _problems(exc, {text for _, text in secrets_in(tree)})
        keeper = Keeper(tree, self._host.text_key())
        return _Now(
            model=model,
            schema=schema,
            saved=saved,
            version=version,
            gathered=gathered,
            keeper=keeper,
            problems=problems,
        )

    async def _candidate(self, name: str, now: _Now, given: Mapping[str, Any], reset: Sequence[str]) -> dict[str, Any]:
        """What would be saved. Raises Unfit."""
        changes, wrong = _changes(now, given)
        unknown = [key for key in reset if key not in now.schema.get("properties", {})]
        wrong += [Wrong(field=key, message="unknown setting.") for key in unknown]
        kept = {key: value for key, value in now.saved.items() if key not in reset}
        saved = kept | {key: value for key, value in changes.items() if key not in reset}
        typed = texts_in(dict(given)) - {SET}
        return await self._host.on_thread(name, partial(self._judge, name, now, saved, typed, wrong))

    def _judge(
        self, name: str, now: _Now, saved: dict[str, Any], typed: set[str], wrong: list[Wrong]
    ) -> dict[str, Any]:
        """`saved`, when it can be used; runs the plugin's own validators."""
        config, model = self._host.config, now.model
        hidden = {text for _, text in secrets_in(now.keeper.tree)}
        try:
            tree = tree_of(resolve(config, name, model, saved).model)
        except SettingsInvalid as exc:
            new = raw_tree(gather(config, name, model, saved).values, now.schema, model)
            raise Unfit([*wrong, *_problems(exc, hidden | {text for _, text in secrets_in(new)})]) from None
        astray = now.keeper.astray(tree, typed, addresses(defaults_of(model)))
        wrong = [*wrong, *(Wrong(field=key, message=why) for key, why in astray)]
        if wrong:
            raise Unfit(wrong)
        return saved


def _changes(now: _Now, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Wrong]]:
    """What of the settings that were sent is another than in force, with kept secrets put back."""
    shown, changes, wrong = now.keeper.shown(), dict[str, Any](), list[Wrong]()
    for key, value in given.items():
        if value == shown.get(key, ...) or (value in ("", SET) and is_secret(now.schema, key)):
            continue  # as it is; an empty field keeps the secret that was never shown
        if key in now.gathered.fixed:
            variable = now.gathered.variables.get(key, "the environment")
            wrong.append(Wrong(field=key, message=f"The environment sets it ({variable}); change it there."))
            continue
        changes[key] = now.keeper.restored(value, (key,))
    return changes, wrong


def _origin(gathered: Gathered, key: str) -> Origin:
    if key in gathered.fixed:
        return Origin(source="environment", variable=gathered.variables.get(key))
    said = gathered.origin.get(key)
    return Origin(source="default" if said is None else "saved" if said == SAVED else "file")


def _problems(exc: SettingsInvalid, hidden: set[str]) -> list[Wrong]:
    found = []
    for one in exc.problems:
        message = f"{one.message} {one.fix}".strip()
        for secret in sorted(hidden, key=len, reverse=True):
            message = message.replace(secret, MASK)
        found.append(Wrong(field=one.field or "settings", message=message))
    return found


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema; of a model that has none, the names alone."""
    try:
        return model.model_json_schema(by_alias=True)
    except Exception:  # noqa: BLE001 - a plugin's own types may have no schema
        names = [info.alias or name for name, info in model.model_fields.items()]
        return {"type": "object", "properties": {name: {} for name in names}}


__all__ = ["CannotLoad", "Origin", "SettingsDesk", "SettingsView", "Source", "Trial", "Unfit", "Wrong"]
