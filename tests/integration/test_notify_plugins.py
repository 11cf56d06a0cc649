"""The outbox before the real plugin host: plugins that hang, raise, are quarantined, switched off or slow to begin."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from homeroom import testing
from homeroom.hookspecs import POLICIES
from homeroom.host import Host, PluginsConfig
from homeroom.store import Store
from tests.hostile_plugin.install import pretend_installed
from tests.services.families import Families, on_monday, settings
from tests.services.outbox import absent, check, one, tried

Start = Callable[..., Any]


@pytest.fixture
def families(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A school; the hostile plugins look installed, and deadlines are short."""
    for folder in pretend_installed(tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    for hook, policy in POLICIES.items():
        monkeypatch.setitem(POLICIES, hook, replace(policy, deadline=0.1))
    with on_monday(sqlite_store) as there:
        there.settings = settings(at_once=1)
        yield there


@pytest.fixture
async def begin(families: Families) -> AsyncIterator[Start]:
    """Has the real host run plugins, the hostile one with this mischief."""
    hosts: list[Host] = []
    now = time.monotonic

    async def start(*enabled: str, clock: Callable[[], float] = now, **mischief: Any) -> Host:
        config = PluginsConfig(enabled=enabled, sections={name: mischief for name in enabled if name != "bystander"})
        made = Host(config, services=lambda name, scopes: testing.services(name, scopes=scopes), clock=clock)
        hosts.append(made)
        await made.load()
        await made.start()
        host: Any = made
        families.vendor = host
        families.start()
        return made

    yield start
    for host in hosts:
        await host.stop()


async def test_a_good_plugin_takes_it(families: Families, begin: Start) -> None:
    await begin("hostile")
    await absent(families, "ann")
    await families.tick()
    assert (one(families).state, one(families).plugin) == ("accepted", "hostile")
    assert tried(families) == [("sms", "accepted")]


@pytest.mark.parametrize(
    ("behaviour", "reason"), [("hang", "no_answer"), ("raise", "lost_answer"), ("wrong_type", "lost_answer")]
)
async def test_a_plugin_that_gives_no_answer_leaves_it_unknown_and_is_asked_alone(
    families: Families, begin: Start, behaviour: str, reason: str
) -> None:
    host = await begin("hostile", "bystander", hook="deliver", behaviour=behaviour, times=1)
    await absent(families, "ann")
    await families.notifier.send()
    row = one(families)
    assert (row.state, row.reason, tried(families)) == ("unknown", reason, [("sms", None)])
    families.clock.shift(60)
    await families.notifier.ask()
    await families.notifier.send()
    assert tried(families) == [("sms", "not_sent"), ("sms", "accepted")]
    assert host.senders("sms")[0] == "hostile"
    check(families.store)


async def test_a_plugin_that_keeps_failing_is_quarantined_and_the_others_messages_wait(
    families: Families, begin: Start
) -> None:
    ahead = 0.0
    await begin("hostile", clock=lambda: time.monotonic() + ahead, hook="deliver", behaviour="raise", times=3)
    await absent(families, *(f"s{number}" for number in range(8)))
    await families.notifier.send()
    assert Counter(families.states()) == {"unknown": 3, "waiting": 5}
    assert {row.reason for row in families.messages() if row.attempts > 0} == {"lost_answer", "plugin_quarantined"}
    ahead = 61.0
    await families.move(1)
    await families.move(1)
    await families.move(2)
    assert Counter(families.states()) == {"accepted": 8}
    check(families.store)


async def test_a_plugin_that_is_switched_off_leaves_messages_waiting_and_a_new_one_sends_them(
    families: Families, begin: Start
) -> None:
    host = await begin("hostile")
    await absent(families, "ann", channels=["sms"])
    await host.disable("hostile")
    await families.tick()
    assert (one(families).state, one(families).reason, tried(families)) == ("waiting", "no_plugin", [])
    await host.enable("hostile")
    await families.move(5)
    assert tried(families) == [("sms", "accepted")]
    check(families.store)


async def test_while_a_plugin_that_the_law_requires_is_not_running_nobody_is_told(
    families: Families, begin: Start
) -> None:
    host = await begin("hostile", hook="authorize", behaviour="raise")
    await absent(families, "ann")
    await families.tick()
    assert (one(families).state, one(families).reason) == ("waiting", "denied: access could not be checked")
    assert not host.is_on("nobody")
    assert tried(families) == []


async def test_a_plugin_with_threads_sends_as_many_as_it_has_threads_and_none_twice(
    families: Families, begin: Start
) -> None:
    families.settings = settings(at_once=16)
    await begin("hostile_threads")
    await absent(families, *(f"s{number}" for number in range(30)))
    await families.tick()
    assert Counter(families.states()) == {"accepted": 30}
    check(families.store)
