"""On, off and settings at run time: kept in the database, followed by every process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homeroom import testing
from homeroom.hookspecs import POLICIES
from homeroom.host import Host, PluginInfo, PluginsConfig, SettingsInvalid
from homeroom.store import Refused, Store
from homeroom.store import models as m
from homeroom.store.cipher import Cipher
from tests.hostile_plugin.install import pretend_installed


@pytest.fixture(autouse=True)
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in pretend_installed(tmp_path / "plugins"):
        monkeypatch.syspath_prepend(str(folder))


CONFIG = PluginsConfig(
    enabled=("bystander", "hostile"),
    required=frozenset({"bystander"}),
    sections={"hostile": {"seconds": 1}},
)


async def process(store: Store | None, config: PluginsConfig = CONFIG) -> Host:
    """A host as each process of a server has one."""
    host = Host(config, services=lambda name, scopes: testing.services(name, scopes=scopes), store=store)
    await host.load()
    await host.start()
    return host


def info(host: Host, name: str) -> PluginInfo:
    return next(plugin for plugin in host.plugins if plugin.name == name)


def instance(host: Host, name: str) -> Any:
    running = host._plugins[name].running
    return running.instance if running else None


async def test_a_plugin_switched_off_in_one_process_is_off_in_the_others_and_after_a_restart(store: Store) -> None:
    here, there = await process(store), await process(store)
    stopped = instance(there, "hostile")
    await here.disable("hostile")
    assert (info(here, "hostile").state, info(here, "hostile").enabled) == ("off", False)
    await there.follow()
    assert info(there, "hostile").reason == "switched off by an administrator"
    assert stopped.calls[-1] == "stop"
    assert there.implementers("health") == ("bystander",)
    later = await process(store)
    assert info(later, "hostile").state == "off"
    await later.enable("hostile")
    await there.follow()
    assert info(there, "hostile").state == "loaded"
    assert instance(there, "hostile").calls == ["start"]
    assert instance(there, "hostile") is not stopped
    rows = await store.read(lambda c: c.all(m.Journal.select().order_by(m.Journal.id)))
    assert [(row.kind, row.subject_id, row.data) for row in rows] == [
        ("plugin.switched", "hostile", {"enabled": False}),
        ("plugin.switched", "hostile", {"enabled": True}),
    ]
    for host in (here, there, later):
        await host.stop()


async def test_saved_settings_are_sealed_and_restart_the_plugin_everywhere(store: Store) -> None:
    here, there = await process(store), await process(store)
    changed: list[str] = []

    async def note(name: str) -> None:
        changed.append(name)

    async def broken(name: str) -> None:
        raise LookupError(name)

    there.changed += [broken, note]
    before = instance(there, "hostile")
    await here.restart("hostile", {"secret": "hush-hush", "times": 4})
    await there.follow()
    after = instance(there, "hostile")
    assert before.calls[-1] == "stop"
    assert (after.settings.times, after.settings.seconds) == (4, 1)
    assert after.settings.secret.get_secret_value() == "hush-hush"
    assert changed == ["hostile"]
    row = await store.read(lambda c: c.get(m.PluginState, "hostile"))
    assert row is not None
    assert "hush" not in str(row.settings)
    entry = await store.read(lambda c: c.one(m.Journal.select()))
    assert entry is not None
    assert (entry.kind, entry.data) == ("plugin.configured", {"keys": ["secret", "times"]})
    await here.restart("hostile", {"times": None})
    assert instance(here, "hostile").settings.times == 1_000_000
    assert instance(here, "hostile").settings.secret.get_secret_value() == "hush-hush"
    for host in (here, there):
        await host.stop()


async def test_wrong_settings_are_not_saved(store: Store) -> None:
    host = await process(store)
    with pytest.raises(SettingsInvalid, match="behaviour"):
        await host.restart("hostile", {"behavior": "raise"})
    assert await store.read(lambda c: c.all(m.PluginState.select())) == []
    assert info(host, "hostile").state == "loaded"
    await host.stop()


async def test_following_does_nothing_when_nothing_changed(sqlite_store: Store) -> None:
    host = await process(sqlite_store)
    await host.disable("hostile")
    await host.enable("hostile")
    before = instance(host, "hostile")
    await host.follow()
    await host.enable("hostile")
    assert instance(host, "hostile") is before
    await host.stop()


async def test_settings_whose_key_is_gone_fall_back_to_the_file(sqlite_store: Store) -> None:
    host = await process(sqlite_store)
    await host.restart("hostile", {"times": 4})
    await host.stop()
    sqlite_store.cipher = Cipher([bytes(32)])
    host = await process(sqlite_store)
    assert instance(host, "hostile").settings.times == 1_000_000
    await host.stop()


async def test_what_may_not_be_switched_is_refused_in_plain_words(sqlite_store: Store) -> None:
    host = await process(sqlite_store)
    with pytest.raises(Refused, match="required"):
        await host.disable("bystander")
    with pytest.raises(Refused, match="hostile_import is not among `enabled`"):
        await host.enable("hostile_import")
    with pytest.raises(Refused, match="no plugin of that name") as caught:
        await host.enable("nothing")
    assert caught.value.status == 404
    with pytest.raises(Refused, match="cannot be imported"):
        await host.restart("hostile_import", {})
    await host.stop()


async def test_a_plugin_that_stops_slowly_does_not_hold_up_the_others(sqlite_store: Store) -> None:
    config = PluginsConfig(
        enabled=("hostile", "hostile_threads"), sections={"hostile": {"behaviour": "hang", "hook": "stop"}}
    )
    here, there = await process(sqlite_store, config), await process(sqlite_store, config)
    policy = POLICIES["stop"]
    assert policy.deadline > 5
    stopping = asyncio.create_task(here.disable("hostile"))
    await here.disable("hostile_threads")
    started = time.monotonic()
    while there.is_on("hostile") or there.is_on("hostile_threads"):
        await there.follow()
        assert time.monotonic() - started < 2
    stopping.cancel()
    for host in (here, there):
        host._plugins["hostile"].running = None
        await host.stop()


async def test_without_a_database_switches_hold_for_this_process() -> None:
    host = await process(None)
    await host.disable("hostile")
    assert not host.is_on("hostile")
    await host.enable("hostile")
    assert host.is_on("hostile")
    await host.restart("hostile", {"times": 2})
    assert instance(host, "hostile").settings.times == 2
    await host.stop()


async def test_an_administrator_who_goes_away_leaves_no_plugin_half_restarted(sqlite_store: Store) -> None:
    slow = {"behaviour": "swallow", "hook": "stop", "seconds": 0.3}
    host = await process(sqlite_store, PluginsConfig(enabled=("hostile",), sections={"hostile": slow}))
    before = instance(host, "hostile")
    saving = asyncio.create_task(host.restart("hostile", {"times": 9}))
    await _until(lambda: not host.is_on("hostile"))
    saving.cancel()
    await _until(lambda: host.is_on("hostile"))
    assert instance(host, "hostile") is not before
    await host.stop()


async def test_nothing_is_asked_of_a_plugin_before_it_has_started(sqlite_store: Store) -> None:
    slow = {"behaviour": "swallow", "hook": "start", "seconds": 0.3}
    host = await process(sqlite_store, PluginsConfig(enabled=("hostile", "bystander"), sections={"hostile": slow}))
    await host.disable("hostile")
    enabling = asyncio.create_task(host.enable("hostile"))
    await _until(lambda: info(host, "hostile").reason == "it is starting")
    await host.disable("bystander")  # publishes what is loaded now
    assert host.implementers("health") == ()
    await enabling
    assert host.implementers("health") == ("hostile",)
    await host.stop()


async def test_a_plugin_that_cannot_start_when_it_is_switched_on_is_off_with_the_reason() -> None:
    failing = {"behaviour": "raise", "hook": "start", "secret": "hush"}
    host = await process(None, PluginsConfig(enabled=("hostile",), sections={"hostile": failing}))
    assert info(host, "hostile").reason == "start failed: ValueError: no luck with ***"
    await host.disable("hostile")
    await host.enable("hostile")
    assert info(host, "hostile").state == "off"
    assert info(host, "hostile").reason == "start failed: ValueError: no luck with ***"
    assert await host.health_of("hostile") is None
    assert host.masked_settings("hostile") == {}
    await host.stop()


async def test_calls_are_counted_for_the_metrics_and_in_the_diagnostics() -> None:
    class Metrics:
        def __init__(self) -> None:
            self.seen: list[tuple[str, str, bool]] = []

        def hook(self, plugin: str, hook: str, seconds: float, *, failed: bool) -> None:
            assert seconds >= 0
            self.seen.append((plugin, hook, failed))

    metrics = Metrics()
    config = PluginsConfig(enabled=("hostile",), sections={"hostile": {"behaviour": "raise", "hook": "audit"}})
    host = Host(config, services=lambda name, scopes: testing.services(name, scopes=scopes), metrics=metrics)
    await host.load()
    await host.start()
    assert await host.health_of("hostile") == {"ok": True, "detail": "", "findings": []}
    await host.ask_all("audit", request=None, outcome=None)
    assert metrics.seen == [
        ("hostile", "start", False),
        ("hostile", "health", False),
        ("hostile", "audit", True),
    ]
    figures = {figure.hook: (figure.calls, figure.errors) for figure in info(host, "hostile").figures}
    assert figures["audit"] == (1, 1)
    assert figures["health"] == (1, 0)
    await host.stop()


async def test_a_client_that_cannot_be_closed_stops_nothing() -> None:
    class Sticky:
        async def handle_async_request(self, _request: Any) -> Any: ...

        async def aclose(self) -> None:
            raise OSError("no")

    def sticky(name: str, scopes: frozenset[str]) -> Any:
        given = testing.services(name, scopes=scopes, http=Sticky())  # type: ignore[arg-type] # a transport's shape
        assert given.transport
        return given

    host = Host(PluginsConfig(enabled=("bystander",)), services=sticky)
    await host.load()
    await host.start()
    await host.stop()
    assert not host.is_on("bystander")


async def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not happened():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_two_instances_of_one_plugin_have_names_and_settings_of_their_own() -> None:
    sections = {"north": {"use": "hostile", "times": 1}, "south": {"use": "hostile", "times": 2}}
    host = await process(None, PluginsConfig(enabled=("north", "south"), sections=sections))
    assert [instance(host, name).settings.times for name in ("north", "south")] == [1, 2]
    assert instance(host, "north").services.name == "north"
    assert [answer.plugin for answer in await host.ask_all("health")] == ["north", "south"]
    assert [plugin.name for plugin in host.plugins if plugin.name == "hostile"] == []
    await host.stop()


async def test_an_administrator_can_bring_a_quarantined_plugin_back_at_once(sqlite_store: Store) -> None:
    host = await process(sqlite_store)
    await host.restart("hostile", {"behaviour": "raise", "hook": "health", "times": 3})
    for _ in range(3):
        await host.ask_all("health")
    assert info(host, "hostile").state == "quarantined"
    await host.restart("hostile", {"behaviour": "good"})
    assert info(host, "hostile").state == "loaded"
    await asyncio.gather(host.stop())
