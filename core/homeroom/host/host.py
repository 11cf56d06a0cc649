"""The plugin host: loads what a district enables, calls its hooks, and keeps the server well whatever a plugin does."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

import orjson
import structlog
from pydantic import BaseModel

from homeroom.hookspecs import POLICIES
from homeroom.host import discovery, switches
from homeroom.host.answers import NotRunning, describe
from homeroom.host.calls import Answer, Calls, HookMetrics, Implementation
from homeroom.host.config import PluginsConfig, SettingsProblem
from homeroom.host.discovery import CannotLoad, Installed
from homeroom.host.plugin import Plugin, PluginInfo, Running, build, model_named
from homeroom.host.plugin_settings import SettingsInvalid, masked, resolve
from homeroom.host.switches import Switch
from homeroom.host.threads import PluginThreads
from homeroom.host.watchdog import Watchdog
from homeroom.services import ServicesFor
from homeroom.store import Refused, Store, StoreError, conflict, not_found
from homeroom.types import Health

log = structlog.get_logger("homeroom.host")

LOAD_SECONDS = 10.0
BY_ADMIN = "switched off by an administrator"
_FOLLOW_SECONDS = 1.0

T = TypeVar("T")


class Host:
    """The plugins of one process.

    `services` makes what each plugin is given. `store` holds what administrators switch and save; without one these
    hold for this process only. `blocked_after` is how long an `async def` hook may block the event loop, in seconds.
    `changed` holds what is called with a plugin's name after it was switched on, off or restarted.
    """

    def __init__(
        self,
        config: PluginsConfig,
        *,
        services: ServicesFor,
        store: Store | None = None,
        metrics: HookMetrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        blocked_after: float = 1.0,
        load_seconds: float = LOAD_SECONDS,
    ) -> None:
        self.config = config
        self.required = config.required
        self.changed: list[Callable[[str], Awaitable[None]]] = []
        self._services = services
        self._store = store
        self._clock = clock
        self._load_seconds = load_seconds
        self._calls = Calls(metrics)
        self._watchdog = Watchdog(self._calls.running, limit=blocked_after)
        self._plugins: dict[str, Plugin] = {}
        self._table: Mapping[str, tuple[Implementation, ...]] = dict.fromkeys(POLICIES, ())
        self._lasting: dict[str, Any] = {}
        self._key = secrets.token_bytes(32)
        self._locks: dict[str, asyncio.Lock] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._switching: set[asyncio.Task[None]] = set()
        self._started = False

    def implements(self, hook: str) -> bool:
        """Whether asking `hook` would give any answer: some plugin implements it, or a required one is missing."""
        return bool(self._table[hook]) or bool(self._missing(hook))

    @property
    def lasting(self) -> dict[str, Any]:
        """What was found to be always answered to `authorize`; nothing is kept while a plugin cannot answer it."""
        hook = "authorize"
        if self._missing(hook) or any(one.breaker.state != "closed" for one in self._table[hook]):
            return {}
        return self._lasting

    def implementers(self, hook: str) -> tuple[str, ...]:
        """Names of the plugins that would be asked `hook`, in call order."""
        return tuple(one.plugin for one in self._table[hook])

    def senders(self, channel: str) -> tuple[str, ...]:
        """Names of the plugins that would be asked to deliver on a channel, in call order."""
        return tuple(one.plugin for one in self._table["deliver"] if f"message.{channel}" in one.scopes)

    def seeing(self, hook: str, argument: Any) -> tuple[str, ...]:
        """Names of the plugins that would be asked `hook` and may see an argument that keeps to scopes."""
        return tuple(one.plugin for one in self._table[hook] if argument.for_scopes(one.scopes) is not None)

    def has_threads(self, name: str, hook: str) -> bool:
        """Whether a plugin's hook is a plain `def`, of which only a few run at the same time."""
        return any(one.plugin == name and not one.is_async for one in self._table[hook])

    def is_on(self, name: str) -> bool:
        """Whether a plugin is loaded and switched on."""
        plugin = self._plugins.get(name)
        return plugin is not None and plugin.state == "loaded"

    async def ask_all(self, hook: str, **arguments: Any) -> list[Answer]:
        """What every plugin answers to `hook`, asked at once, in call order; failures are answers with an `error`.

        For a hook whose failure denies, a required plugin that is not running is a failed answer.
        """
        missing = self._missing(hook)
        implementations = self._table[hook]
        if not implementations and not missing:
            return []
        answers = await self._calls.ask(implementations, POLICIES[hook].deadline, arguments)
        if POLICIES[hook].failure == "off":
            for answer in answers:
                if answer.error is not None:
                    await self._fail(self._plugins[answer.plugin], hook, answer)
        return answers + [_not_running(name) for name in missing]

    def channels(self) -> set[str]:
        """The channels for which a plugin delivers messages."""
        scopes = (scope for implementation in self._table["deliver"] for scope in implementation.scopes)
        return {scope.removeprefix("message.") for scope in scopes if scope.startswith("message.")}

    async def ask_first(self, hook: str, **arguments: Any) -> Answer | None:
        """The first answer to `hook` that is not None, asking plugins one after the other; None when there is none.

        One that fails is passed over. Where a failure means "unknown" (`deliver`), the first plugin whose code ran and
        failed ends the search, and its failed answer is given; one that was not reached is given only when nobody
        else answered.
        """
        policy = POLICIES[hook]
        unreached: Answer | None = None
        for implementation in self._table[hook]:
            for answer in await self._calls.ask((implementation,), policy.deadline, arguments):
                if answer.error is None:
                    if answer.value is not None:
                        return answer
                elif policy.failure == "unknown":
                    if answer.reached:
                        return answer
                    unreached = unreached or answer
        return unreached

    async def ask(self, name: str, hook: str, **arguments: Any) -> Answer | None:
        """What one plugin answers; None when it is off, does not implement `hook`, or may not see the arguments."""
        one = [implementation for implementation in self._table[hook] if implementation.plugin == name]
        answers = await self._calls.ask(one, POLICIES[hook].deadline, arguments) if one else []
        return answers[0] if answers else None

    @property
    def plugins(self) -> list[PluginInfo]:
        """Every plugin that is installed or asked for: those of the file in call order, then the others by name."""
        return [plugin.info() for plugin in self._plugins.values()]

    @property
    def problems(self) -> list[SettingsProblem]:
        """Everything that is wrong with plugins' settings."""
        return [problem for plugin in self._plugins.values() for problem in plugin.problems]

    def masked_settings(self, name: str) -> dict[str, Any]:
        """A plugin's settings in force, with every secret masked; empty while it is off."""
        running = self._plugin(name).running
        return masked(running.settings) if running is not None else {}

    async def health_of(self, name: str) -> dict[str, Any] | None:
        """What a plugin's own check says, or None when it has none or is off."""
        answer = await self.ask(name, "health")
        if answer is None:
            return None
        if answer.error is not None:
            return {"ok": False, "detail": answer.reason, "findings": []}
        health: Health = answer.value
        findings = [{"problem": finding.problem, "fix": finding.fix} for finding in health.findings]
        return {"ok": health.ok, "detail": health.detail, "findings": findings}

    async def enable(self, name: str) -> None:
        """Switch a plugin on, here and in every other process. Raises Refused for one that the file does not name."""
        plugin = self._plugin(name)
        if not plugin.listed:
            raise self._not_listed(name)
        await self._switch(plugin, enabled=True)

    async def disable(self, name: str) -> None:
        """Switch a plugin off, here and in every other process. Raises Refused for one that is required."""
        plugin = self._plugin(name)
        if plugin.required:
            raise conflict("plugin-required", f"{name} is required in {self.config.source}, so it stays on.")
        await self._switch(plugin, enabled=False)

    async def restart(self, name: str, settings: Mapping[str, Any]) -> None:
        """Save settings (None takes one back) over those saved before, and restart the plugin with them everywhere.

        Raises SettingsInvalid, and saves nothing, when they cannot be used.
        """
        plugin = self._plugin(name)
        if plugin.settings_model is None:
            raise conflict("plugin-not-loaded", f"{name} cannot be imported, so its settings cannot be checked.")
        taken_back = {key for key, value in settings.items() if value is None}
        given = self._saved(plugin) | dict(settings)
        values = {key: value for key, value in given.items() if key not in taken_back}
        resolve(self.config, name, plugin.settings_model, values)
        await self.save(name, values, changed=settings)

    async def saved_for(self, name: str) -> tuple[dict[str, Any], int]:
        """What an administrator has saved of a plugin's settings, in clear, and at which revision its row is."""
        plugin = self._plugin(name)
        if self._store is None:
            return {}, plugin.revision
        row = (await self._rows()).get(name, Switch())
        return self._opened(name, row.sealed), row.revision

    async def save(
        self, name: str, values: Mapping[str, Any], *, changed: Iterable[str], expected: int | None = None
    ) -> None:
        """Keep `values` as all that is saved of a plugin's settings, and restart it with them everywhere.

        Raises Refused 412 when its row is no longer at the revision that is `expected`.
        """
        plugin = self._plugin(name)
        if self._store is None:
            await self._whole(self._renew(plugin, values))
            return
        unit = partial(switches.save_settings, name=name, values=values, changed=changed, expected=expected)
        await self._store.write(unit)
        await self._catch_up(plugin)

    async def model_of(self, name: str) -> type[BaseModel]:
        """The class of a plugin's settings; one that is switched off is imported for it. Raises Refused 404 and 409."""
        plugin = self._plugin(name)
        if plugin.settings_model is None:
            if not plugin.listed:
                raise self._not_listed(name)
            try:
                plugin.settings_model = await self.on_thread(name, partial(model_named, self.config.entry_point(name)))
            except CannotLoad as exc:
                text = f"{name} cannot be loaded, so nobody knows its settings: {exc}"
                raise conflict("plugin-not-loaded", text) from None
        return plugin.settings_model

    async def candidate(self, name: str, saved: Mapping[str, Any], services: ServicesFor) -> Running:
        """An instance beside the running one, as it would be with these saved settings; nothing is asked of it yet.

        Raises SettingsInvalid and CannotLoad.
        """
        beside = Plugin(name=name, offer=self._plugin(name).offer)
        make = partial(build, beside, self.config, services, saved=saved, clock=self._clock)
        return await self.on_thread(name, make)

    async def ask_candidate(self, running: Running, hook: str) -> Answer | None:
        """What a candidate answers to a hook without arguments; None when it does not implement it."""
        one = running.hooks.get(hook)
        return (await self._calls.ask((one,), POLICIES[hook].deadline, {}))[0] if one is not None else None

    @property
    def services_for(self) -> ServicesFor:
        """What makes each plugin's services."""
        return self._services

    def text_key(self) -> bytes:
        """With what texts that are not to be read are told apart, alike in every process of a district."""
        return self._store.cipher.derive("plugin settings") if self._store is not None else self._key

    async def load(self) -> None:
        """Import, check and set up every enabled plugin, one after the other; none of them can make this fail."""
        offers = discovery.installed()
        rows = await self._rows()
        for name in self.config.enabled:
            plugin = Plugin(name=name, listed=True, required=name in self.required)
            self._plugins[name] = plugin
            row = rows.get(name, Switch())
            plugin.revision, plugin.sealed = row.revision, row.sealed
            plugin.switched_off = row.enabled is False and not plugin.required
            if plugin.switched_off:
                plugin.reason = BY_ADMIN
                plugin.offer = next(iter(offers.get(self.config.entry_point(name), [])), None)
            else:
                await self._open(plugin, self._saved(plugin), offers)
        used = {self.config.entry_point(name) for name in self.config.enabled}
        for name, several in offers.items():
            if name not in used and name not in self._plugins:
                reason = f"not among `enabled` in {self.config.source}"
                self._plugins[name] = Plugin(name=name, offer=several[0], reason=reason)
        self._publish()

    async def start(self) -> None:
        """Start the watchdog and every loaded plugin, all at once; one that cannot start is switched off."""
        self._watchdog.start()
        await self.ask_all("start")
        self._started = True

    async def stop(self) -> None:
        """Stop every plugin, all at once, and leave none of their tasks behind."""
        half_done = {*self._following.values(), *self._switching}
        for task in half_done:
            task.cancel()
        await asyncio.gather(*half_done, return_exceptions=True)
        on = [plugin for plugin in self._plugins.values() if plugin.running is not None]
        await asyncio.gather(*(self._turn_off(plugin, "the server has stopped") for plugin in on))
        self._watchdog.stop()
        await self._calls.end()
        self._started = False

    async def follow(self) -> None:
        """Do what an administrator decided in another process, for every plugin at once.

        Gives up waiting after a second for a plugin that starts or stops slowly; the rest goes on behind.
        """
        rows = await self._rows()
        for plugin in self._plugins.values():
            row = rows.get(plugin.name)
            if row is not None and plugin.listed and row.revision > plugin.revision:
                running = self._following.get(plugin.name)
                if running is None or running.done():
                    self._following[plugin.name] = asyncio.create_task(self._apply(plugin, row))
        if self._following:
            done, _ = await asyncio.wait(self._following.values(), timeout=_FOLLOW_SECONDS)
            self._following = {name: task for name, task in self._following.items() if task not in done}
            for task in done:
                task.result()

    async def _open(self, plugin: Plugin, saved: Mapping[str, Any], offers: Mapping[str, list[Installed]]) -> None:
        """Make a running instance, or say why there is none. Foreign code runs on a thread, under a deadline."""
        plugin.problems = ()
        plugin.state, plugin.reason = "left_out", None
        try:
            plugin.offer = discovery.the_one(self.config.entry_point(plugin.name), offers)
            make = partial(build, plugin, self.config, self._services, saved=saved, clock=self._clock)
            plugin.running = await self.on_thread(plugin.name, make)
        except SettingsInvalid as exc:
            plugin.problems, plugin.reason = tuple(exc.problems), f"its settings are wrong: {exc}"
        except CannotLoad as exc:
            plugin.reason = str(exc)
        except Exception as exc:  # noqa: BLE001 - whatever else a plugin's class does when it is looked at
            plugin.reason = f"it cannot be loaded: {describe(exc)}"
        else:
            plugin.state, plugin.hooks = "loaded", tuple(plugin.running.hooks)
            return
        log.warning("plugin_left_out", plugin=plugin.name, reason=plugin.reason)

    async def on_thread(self, name: str, make: Callable[[], T]) -> T:
        """What foreign code gives, on a thread of its own. Raises CannotLoad when it takes too long."""
        thread = PluginThreads(f"{name}-load", limit=1)
        try:
            done, _ = await asyncio.wait({thread.submit(make)}, timeout=self._load_seconds)
        finally:
            thread.close()
        for future in done:
            made: T = future.result()
            return made
        raise CannotLoad(f"loading it took more than {self._load_seconds:g} s")

    async def _turn_on(self, plugin: Plugin, saved: Mapping[str, Any]) -> None:
        await self._open(plugin, saved, discovery.installed())
        if plugin.running is None:
            return
        start = plugin.running.hooks.get("start")
        if start is not None and self._started:
            plugin.state, plugin.reason = "off", "it is starting"  # nothing is asked of it before
            for answer in await self._calls.ask((start,), POLICIES["start"].deadline, {}):
                if answer.error is not None:
                    await self._fail(plugin, "start", answer)
                    return
            plugin.state, plugin.reason = "loaded", None
        self._publish()

    async def _turn_off(self, plugin: Plugin, reason: str) -> None:
        """Ask the plugin nothing more from now on, then let it stop."""
        running, plugin.running = plugin.running, None
        plugin.state, plugin.reason = "off", reason
        self._publish()
        if running is None:
            return
        stop = running.hooks.get("stop")
        if stop is not None and self._started:
            await self._calls.ask((stop,), POLICIES["stop"].deadline, {})
        running.threads.close()
        try:
            await running.services.close()
        except Exception as exc:  # noqa: BLE001 - it is going anyway
            log.warning("plugin_services_not_closed", plugin=plugin.name, error=describe(exc))

    async def _fail(self, plugin: Plugin, hook: str, answer: Answer) -> None:
        """Switch a plugin off whose `hook` failed, and keep the reason."""
        log.error("plugin_off", plugin=plugin.name, hook=hook, error=answer.reason)
        await self._turn_off(plugin, f"{hook} failed: {answer.reason}")

    def _publish(self) -> None:
        """Let calls go to the plugins that are loaded now, in the order of the file."""
        loaded = [plugin.running for plugin in self._plugins.values() if plugin.state == "loaded" and plugin.running]
        self._lasting = {}
        self._table = {
            hook: tuple(running.hooks[hook] for running in loaded if hook in running.hooks) for hook in POLICIES
        }

    def _missing(self, hook: str) -> list[str]:
        """Required plugins that do not run, where that must deny: one that never loaded may have had any hook."""
        if POLICIES[hook].failure != "deny" or not self.required:
            return []
        lost = ((name, self._plugins.get(name)) for name in sorted(self.required) if not self.is_on(name))
        return [name for name, plugin in lost if plugin is None or not plugin.hooks or hook in plugin.hooks]

    async def _switch(self, plugin: Plugin, *, enabled: bool) -> None:
        if self._store is None:
            row = Switch(enabled=enabled, sealed=plugin.sealed, revision=plugin.revision + 1)
            await self._whole(self._apply(plugin, row))
            return
        await self._store.write(partial(switches.switch, name=plugin.name, enabled=enabled))
        await self._catch_up(plugin)

    async def _catch_up(self, plugin: Plugin) -> None:
        await self._whole(self._apply(plugin, (await self._rows())[plugin.name]))

    async def _whole(self, switching: Coroutine[Any, Any, None]) -> None:
        """Do all of it, even if the caller goes away: half a restart would leave the plugin off."""
        task = asyncio.create_task(switching)
        self._switching.add(task)
        task.add_done_callback(self._switching.discard)
        await asyncio.shield(task)

    async def _renew(self, plugin: Plugin, saved: Mapping[str, Any]) -> None:
        async with self._lock(plugin.name):
            await self._turn_off(plugin, "restarting")
            await self._turn_on(plugin, saved)

    async def _apply(self, plugin: Plugin, row: Switch) -> None:
        async with self._lock(plugin.name):
            if row.revision <= plugin.revision:
                return
            same = row.sealed == plugin.sealed
            plugin.revision, plugin.sealed = row.revision, row.sealed
            if row.enabled is False and not plugin.required:
                plugin.switched_off = True
                await self._turn_off(plugin, BY_ADMIN)
            elif plugin.state != "loaded" or not same or plugin.tripped:
                await self._turn_off(plugin, "restarting")
                plugin.switched_off = False
                await self._turn_on(plugin, self._saved(plugin))
            log.info("plugin_switched", plugin=plugin.name, state=plugin.state)
        await self._tell(plugin.name)

    async def _tell(self, name: str) -> None:
        for callback in self.changed:
            try:
                await callback(name)
            except Exception as exc:  # noqa: BLE001 - a page that cannot be mounted stops nothing else
                log.error("plugin_change_not_followed", plugin=name, error=describe(exc))

    async def _rows(self) -> dict[str, Switch]:
        return await self._store.read(switches.switches_of) if self._store is not None else {}

    def _saved(self, plugin: Plugin) -> dict[str, Any]:
        return self._opened(plugin.name, plugin.sealed)

    def _opened(self, name: str, sealed: str | None) -> dict[str, Any]:
        if self._store is None:
            return {}
        try:
            return switches.opened(self._store.cipher, sealed)
        except (StoreError, orjson.JSONDecodeError) as exc:
            log.error("saved_settings_unreadable", plugin=name, error=str(exc))
            return {}

    def _not_listed(self, name: str) -> Refused:
        return conflict(
            "plugin-not-enabled",
            f"{name} is not among `enabled` in {self.config.source}. Add it with `homeroom plugins enable {name}` "
            "and restart the server.",
        )

    def _plugin(self, name: str) -> Plugin:
        plugin = self._plugins.get(name)
        if plugin is None:
            raise not_found("There is no plugin of that name.")
        return plugin

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def _not_running(name: str) -> Answer:
    error = NotRunning(f"{name} is required and is not running")
    return Answer(plugin=name, error=error, reason=str(error), reached=False)
