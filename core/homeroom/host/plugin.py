"""One plugin: imported, checked, given its settings and services, and its hooks made ready to be called."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pluggy
from pydantic import BaseModel

from homeroom.hookspecs import HOOK_API, POLICIES, Specs
from homeroom.host import discovery
from homeroom.host.answers import checker, describe
from homeroom.host.breaker import Breaker, BreakerState
from homeroom.host.calls import Implementation
from homeroom.host.config import PluginsConfig, SettingsProblem
from homeroom.host.discovery import CannotLoad, Installed
from homeroom.host.plugin_settings import NoSettings, Resolved, resolve
from homeroom.host.threads import PluginThreads
from homeroom.services import Services, ServicesFor

State = Literal["loaded", "off", "quarantined", "left_out"]

_BIOMETRIC = re.compile(
    r"biometr|\bfaces?\b|face_|facial|finger_?print|palm|\biris\b|retina|voice_?print|\bgait\b|\bdna\b", re.IGNORECASE
)
"""Names of what 34 CFR 99.3 calls a biometric record."""

_CHECKS = {hook: checker(getattr(Specs, hook)) for hook in POLICIES}


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFigures:
    """What one hook of one plugin has cost and how it fails; times in milliseconds."""

    hook: str
    calls: int
    errors: int
    mean_ms: float
    max_ms: float
    breaker: BreakerState
    last_error: str | None
    last_error_at: datetime | None
    deadline_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """How one plugin is, for pages, the API and the CLI.

    `listed` means that the file names it, `enabled` that also no administrator has switched it off; `fixed` are the
    settings that the environment sets.
    """

    name: str
    version: str | None
    distribution: str | None
    listed: bool
    enabled: bool
    required: bool
    state: State
    reason: str | None
    hooks: tuple[str, ...]
    figures: tuple[HookFigures, ...]
    problems: tuple[SettingsProblem, ...]
    fixed: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Running:
    """A plugin's instance with its hooks, from its `__init__` to after its `stop`."""

    instance: object = field(repr=False)
    settings: Resolved
    services: Services
    threads: PluginThreads
    hooks: Mapping[str, Implementation]


@dataclass(slots=True, kw_only=True, eq=False)
class Plugin:
    """A plugin that is installed or asked for, and what has become of it."""

    name: str
    offer: Installed | None = None
    listed: bool = False
    required: bool = False
    switched_off: bool = False
    state: Literal["loaded", "off", "left_out"] = "off"
    reason: str | None = None
    running: Running | None = None
    settings_model: type[BaseModel] | None = None
    sealed: str | None = field(default=None, repr=False)
    revision: int = 0
    problems: tuple[SettingsProblem, ...] = ()
    hooks: tuple[str, ...] = ()

    @property
    def tripped(self) -> Implementation | None:
        """A hook of it whose breaker is open, if there is one."""
        hooks = self.running.hooks.values() if self.running is not None else ()
        return next((one for one in hooks if one.breaker.state != "closed"), None)

    def info(self) -> PluginInfo:
        """How it is now."""
        tripped = self.tripped if self.state == "loaded" else None
        running = self.running
        return PluginInfo(
            name=self.name,
            version=self.offer.version if self.offer else None,
            distribution=self.offer.distribution if self.offer else None,
            listed=self.listed,
            enabled=self.listed and not self.switched_off,
            required=self.required,
            state="quarantined" if tripped else self.state,
            reason=f"{tripped.hook}: {tripped.breaker.reason}" if tripped else self.reason,
            hooks=self.hooks,
            figures=tuple(_figures(one) for one in running.hooks.values()) if running else (),
            problems=self.problems,
            fixed=running.settings.fixed if running else frozenset(),
        )


def build(
    plugin: Plugin,
    config: PluginsConfig,
    services_for: ServicesFor,
    *,
    saved: Mapping[str, Any],
    clock: Callable[[], float] = time.monotonic,
) -> Running:
    """A running instance of an installed plugin. Raises CannotLoad or SettingsInvalid.

    Runs foreign code, so the host calls it on a thread of its own.
    """
    found = discovery.load(config.entry_point(plugin.name))
    return set_up(plugin, found, config, services_for, saved=saved, clock=clock)


def model_named(entry_point: str) -> type[BaseModel]:
    """The class of the settings of an installed plugin, imported. Raises CannotLoad."""
    return _settings_model(checked_class(discovery.load(entry_point)))


def set_up(
    plugin: Plugin,
    found: object,
    config: PluginsConfig,
    services_for: ServicesFor,
    *,
    saved: Mapping[str, Any],
    clock: Callable[[], float] = time.monotonic,
) -> Running:
    """A running instance of `found`, which the plugin's entry point names. Raises CannotLoad or SettingsInvalid."""
    cls = checked_class(found)
    plugin.settings_model = _settings_model(cls)
    settings = resolve(config, plugin.name, plugin.settings_model, saved)
    scopes = scopes_of(cls)
    services = services_for(plugin.name, scopes)
    try:
        instance = cls(settings.model, services)
    except BaseException as exc:  # noqa: BLE001 - sys.exit in __init__ must not end the server
        reason = describe(exc, secrets=settings.secrets, text=True)
        raise CannotLoad(f"its __init__ failed: {reason}") from None
    threads = PluginThreads(plugin.name)
    hooks = {
        hook: Implementation(
            plugin=plugin.name,
            hook=hook,
            function=implementation.function,
            argnames=tuple(implementation.argnames),
            scopes=scopes,
            secrets=settings.secrets,
            threads=threads,
            check=_CHECKS[hook],
            breaker=Breaker(clock=clock),
        )
        for hook, implementation in hooks_of(instance, plugin.name).items()
    }
    return Running(instance=instance, settings=settings, services=services, threads=threads, hooks=hooks)


def checked_class(found: object) -> type[Any]:
    """`found`, if it is a plugin class for this hook API. Raises CannotLoad."""
    if not isinstance(found, type):
        raise CannotLoad(f"its entry point names a {type(found).__name__}, not a class")
    api = getattr(found, "hook_api", None)
    if api is None:
        raise CannotLoad(f"{found.__name__} does not say its hook_api; this Homeroom has {HOOK_API}")
    if api != HOOK_API or isinstance(api, bool):
        fix = f"install a version of it for {HOOK_API}"
        raise CannotLoad(f"it is written for hook API {api}, and this Homeroom has {HOOK_API}: {fix}")
    return found


def hooks_of(instance: object, name: str) -> dict[str, pluggy.HookImpl]:
    """The hooks that an instance implements, in the order of the specs. Raises CannotLoad for any that cannot work.

    Each plugin has a pluggy manager of its own, so that one that is refused leaves nothing behind.
    """
    manager = pluggy.PluginManager("homeroom")
    manager.add_hookspecs(Specs)
    try:
        manager.register(instance, name)
        manager.check_pending()
    except pluggy.PluginValidationError as exc:
        raise CannotLoad(_validation(exc)) from None
    found: dict[str, pluggy.HookImpl] = {}
    for hook in POLICIES:
        implementations = getattr(manager.hook, hook).get_hookimpls()
        if not implementations:
            continue
        if len(implementations) > 1:
            raise CannotLoad(f"it implements {hook} more than once")
        [found[hook]] = implementations
        if found[hook].wrapper or found[hook].hookwrapper:
            raise CannotLoad(f"its {hook} is a hook wrapper; plugins answer for themselves only")
        if found[hook].tryfirst or found[hook].trylast:
            raise CannotLoad(f"its {hook} asks for tryfirst or trylast; the order of `enabled` is the call order")
    return found


def _validation(exc: pluggy.PluginValidationError) -> str:
    """What pluggy found, in one line without the plugin's repr."""
    text = str(exc)
    last = text.splitlines()[-1]
    if unknown := re.match(r"unknown hook '(\w+)'", last):
        close = difflib.get_close_matches(unknown[1], POLICIES, n=1)
        return f"it implements a hook that does not exist: {unknown[1]}" + (
            f" (did you mean {close[0]}?)" if close else ""
        )
    hook = re.search(r"for hook '(\w+)'", text)
    return f"its {hook[1] if hook else 'hooks'} cannot be used: {last}"


def _settings_model(cls: type[Any]) -> type[BaseModel]:
    model = getattr(cls, "Settings", NoSettings)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise CannotLoad("its Settings is not a pydantic model")
    return model


def scopes_of(cls: type[Any]) -> frozenset[str]:
    """The personal data that a plugin class asks to see. Raises CannotLoad, always for a biometric record."""
    scopes: Any = getattr(cls, "scopes", ())
    if not isinstance(scopes, frozenset | set | tuple | list) or not all(isinstance(one, str) for one in scopes):
        raise CannotLoad("its scopes are not a set of names")
    if bodies := sorted(one for one in scopes if _BIOMETRIC.search(one)):
        raise CannotLoad(f"its scope {bodies[0]} asks for a biometric record, which is not handed on")
    return frozenset(scopes)


def _figures(one: Implementation) -> HookFigures:
    tally = one.tally
    return HookFigures(
        hook=one.hook,
        calls=tally.calls,
        errors=tally.errors,
        mean_ms=round(1000 * tally.seconds / tally.calls, 3) if tally.calls else 0.0,
        max_ms=round(1000 * tally.longest, 3),
        breaker=one.breaker.state,
        last_error=tally.last_error,
        last_error_at=tally.last_error_at,
        deadline_seconds=POLICIES[one.hook].deadline,
    )
