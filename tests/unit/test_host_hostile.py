"""Whatever a plugin does, in whichever hook: the host goes on, the others answer, and the list says why it is out."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from homeroom import testing
from homeroom.hookspecs import POLICIES, Mode
from homeroom.host import Answer, Host, PluginInfo, PluginsConfig
from homeroom.testing.plugin_kit import samples
from tests.hostile_plugin.install import pretend_installed

DEADLINE = 0.2
HOOKS = tuple(POLICIES)
SCOPES = frozenset({"credentials.password", "message.sms", "proof.code"})
HOSTILE = ("hostile", "hostile_threads")
BEHAVIOURS = ("raise", "hang", "swallow", "block", "exit", "interrupt", "cancel", "wrong_type", "generator_exit")


@pytest.fixture(autouse=True)
def hostile(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hostile plugins look installed, and deadlines are short: that of the start where it is the subject."""
    for folder in pretend_installed(tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    subject = getattr(request.node, "callspec", None) and request.node.callspec.params.get("hook")
    for hook, policy in POLICIES.items():
        if hook == "start" != subject:
            continue  # a busy machine must not keep the others from coming up
        monkeypatch.setitem(POLICIES, hook, replace(policy, deadline=DEADLINE))


def make_host(
    *enabled: str,
    required: tuple[str, ...] = (),
    sections: dict[str, Any] | None = None,
    clock: Callable[[], float] = time.monotonic,
    **mischief: Any,
) -> Host:
    given = {name: {"seconds": 0.6, **mischief} for name in HOSTILE} | (sections or {})
    config = PluginsConfig(enabled=enabled, required=frozenset(required), sections=given)
    return Host(
        config,
        services=lambda name, scopes: testing.services(name, scopes=scopes),
        clock=clock,
        blocked_after=0.15,
        load_seconds=1.5,
    )


async def loaded(*enabled: str, **options: Any) -> Host:
    host = make_host(*enabled, **options)
    await host.load()
    await host.start()
    return host


async def call(host: Host, hook: str) -> dict[str, Answer]:
    arguments = {"conflict": None} if hook == "resolve_conflict" else samples(hook, SCOPES)
    if POLICIES[hook].mode is Mode.ALL:
        return {answer.plugin: answer for answer in await host.ask_all(hook, **arguments)}
    answer = await host.ask_first(hook, **arguments)
    return {answer.plugin: answer} if answer is not None else {}


def info(host: Host, name: str) -> PluginInfo:
    return next(plugin for plugin in host.plugins if plugin.name == name)


def test_the_hostile_plugin_knows_every_hook_and_this_file_every_behaviour() -> None:
    hostile = importlib.import_module("homeroom_hostile")
    assert tuple(hostile.GOOD) == HOOKS
    assert {"good", "stubborn", *BEHAVIOURS} == set(get_args(hostile.Behaviour))


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook not in ("start", "stop", "migrations")])
async def test_the_others_answer_in_time_whatever_a_plugin_does(hook: str, behaviour: str) -> None:
    host = await loaded(*HOSTILE, "bystander", hook=hook, behaviour=behaviour)
    started = time.monotonic()
    answers = await call(host, hook)
    elapsed = time.monotonic() - started
    late = 0.6 if behaviour == "block" else 0.0  # a thread that blocks the loop cannot be stopped, only named
    many = 2 if POLICIES[hook].mode is Mode.FIRST else 1
    assert elapsed < many * DEADLINE + late + 2
    if POLICIES[hook].mode is Mode.ALL:
        assert list(answers) == [*HOSTILE, "bystander"]
        assert answers["bystander"].error is None
        assert answers["hostile_threads"].error is not None
        assert answers["hostile"].error is not None or behaviour == "block"
    elif hook == "deliver" and behaviour != "block":
        assert list(answers) == ["hostile"]  # whether it was sent is unknown, so nobody else may send it
        assert answers["hostile"].error is not None
        assert answers["hostile"].reached
    elif behaviour != "block":
        assert list(answers) == ["bystander"]
    await host.stop()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("hook", ["start", "migrations"])
async def test_a_plugin_that_cannot_start_or_tell_its_tables_is_switched_off(hook: str, behaviour: str) -> None:
    host = await loaded(*HOSTILE, "bystander", hook=hook, behaviour=behaviour)
    await host.ask_all("migrations")
    assert info(host, "bystander").state == "loaded"
    for name in HOSTILE:
        if name == "hostile" and behaviour == "block":
            continue  # it did answer in the end
        assert info(host, name).state == "off"
        assert (info(host, name).reason or "").startswith(f"{hook} failed: ")
        assert not host.is_on(name)
    assert [answer.plugin for answer in await host.ask_all("health") if not answer.error][-1] == "bystander"
    await host.stop()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_the_host_stops_in_time_whatever_a_plugin_does_in_stop(behaviour: str) -> None:
    host = await loaded(*HOSTILE, "bystander", hook="stop", behaviour=behaviour)
    started = time.monotonic()
    await host.stop()
    assert time.monotonic() - started < 2.5
    assert {plugin.state for plugin in host.plugins} == {"off"}


def test_the_process_ends_although_a_plugin_swallows_every_cancellation() -> None:
    async def swallowing() -> None:
        given = {"hook": "health", "behaviour": "swallow", "seconds": 60}
        host = await loaded("hostile", sections={"hostile": given})
        [answer] = await host.ask_all("health")
        assert isinstance(answer.error, Exception)
        await host.stop()

    started = time.monotonic()
    asyncio.run(swallowing())
    assert time.monotonic() - started < 5


STUBBORN = """
import asyncio, sys
from homeroom import testing
from homeroom.host import Host, PluginsConfig

async def serve():
    section = {"hook": "health", "behaviour": "stubborn"}
    config = PluginsConfig(enabled=("hostile",), sections={"hostile": section})
    host = Host(config, services=lambda name, scopes: testing.services(name, scopes=scopes))
    await host.load()
    await host.start()
    asking = asyncio.create_task(host.ask_all("health"))
    await asyncio.sleep(0.05)
    asking.cancel()
    await host.stop()

asyncio.run(serve())
print("ended")
"""


def test_the_process_ends_although_a_plugins_task_cannot_be_ended_at_all(tmp_path: Path) -> None:
    folders = pretend_installed(tmp_path / "again")
    ran = subprocess.run(
        [sys.executable, "-c", STUBBORN],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert ran.stdout.endswith("ended\n")
    assert ran.returncode == 0


LEFT_OUT = {
    "hostile_other_api": "hook API 999, and this Homeroom has 1",
    "hostile_no_api": "does not say its hook_api",
    "hostile_not_a_class": "names a function, not a class",
    "hostile_wrapper": "is a hook wrapper",
    "hostile_unknown_hook": "did you mean verify_check_in?",
    "hostile_unknown_argument": "{'password'} are declared",
    "hostile_first": "the order of `enabled` is the call order",
    "hostile_twice": "health more than once",
    "hostile_settings": "its Settings is not a pydantic model",
    "hostile_scopes": "scopes are not a set of names",
    "hostile_init": "its __init__ failed: ValueError: not today",
    "hostile_init_exits": "its __init__ failed: SystemExit: 4",
    "hostile_init_hangs": "took more than 1.5 s",
    "hostile_looked_at": "cannot be loaded: it tried to end the process",
    "hostile_import": "RuntimeError: the library it needs is not there",
    "hostile_import_exits": "SystemExit: 9",
    "hostile_import_asserts": "AssertionError: never",
    "hostile_no_module": "No module named 'homeroom_hostile.nowhere'",
    "hostile_no_name": "no attribute 'Nobody'",
    "not_installed": "no installed distribution offers a plugin named not_installed",
}


@pytest.mark.parametrize("name", LEFT_OUT)
async def test_a_plugin_that_cannot_be_loaded_is_left_out_and_the_list_says_why(name: str) -> None:
    host = await loaded(name, "bystander")
    assert info(host, name).state == "left_out"
    assert LEFT_OUT[name] in (info(host, name).reason or "")
    assert "\n" not in (info(host, name).reason or "")
    [answer] = await host.ask_all("health")
    assert answer.plugin == "bystander"
    await host.stop()


async def test_wrong_settings_leave_a_plugin_out_and_every_problem_is_told() -> None:
    host = await loaded("hostile", sections={"hostile": {"behavior": "raise", "seconds": "long"}})
    assert info(host, "hostile").state == "left_out"
    told = {str(problem) for problem in host.problems}
    assert told == {
        "homeroom.toml: plugins.hostile.behavior: unknown setting. Did you mean behaviour?",
        "homeroom.toml: plugins.hostile.seconds: Input should be a valid number, unable to parse string as a number.",
    }
    await host.stop()


async def test_a_plugin_that_is_not_enabled_is_listed_and_never_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "homeroom_hostile.misfits", raising=False)
    host = await loaded("bystander")
    assert info(host, "hostile_other_api").state == "off"
    assert info(host, "hostile_other_api").version == "1.0"
    assert info(host, "hostile_other_api").reason == "not among `enabled` in homeroom.toml"
    assert "homeroom_hostile.misfits" not in sys.modules
    await host.stop()


async def test_two_distributions_that_offer_one_name_are_both_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in pretend_installed(tmp_path / "other", name="homeroom-imitation"):
        monkeypatch.syspath_prepend(str(folder))
    host = await loaded("hostile")
    assert info(host, "hostile").reason == (
        "several installed distributions offer a plugin named hostile: homeroom-hostile, homeroom-imitation"
    )
    await host.stop()


async def test_a_plugin_is_quarantined_after_three_failures_and_tried_again_after_a_minute() -> None:
    now = 0.0
    given = {"behaviour": "raise", "hook": "verify_check_in", "times": 3}
    host = await loaded("hostile", "bystander", sections={"hostile": given}, clock=lambda: now)
    for _ in range(3):
        assert info(host, "hostile").state == "loaded"
        assert (await call(host, "verify_check_in"))["hostile"].reached
    assert info(host, "hostile").state == "quarantined"
    assert (info(host, "hostile").reason or "").startswith("verify_check_in: ValueError")
    answers = await call(host, "verify_check_in")
    assert not answers["hostile"].reached
    assert "quarantined" in str(answers["hostile"].error)
    assert answers["bystander"].error is None
    assert (await call(host, "health"))["hostile"].error is None  # its other hooks go on
    now = 61.0
    assert (await call(host, "verify_check_in"))["hostile"].error is None
    assert info(host, "hostile").state == "loaded"
    await host.stop()


async def test_an_async_hook_that_blocks_the_loop_is_named_and_quarantined() -> None:
    host = await loaded("hostile", "bystander", hook="verify_check_in", behaviour="block")
    answers = await call(host, "verify_check_in")
    assert answers["bystander"].error is None
    assert info(host, "hostile").state == "quarantined"
    assert "blocked the event loop for more than 0.15 s at homeroom_hostile" in (info(host, "hostile").reason or "")
    await host.stop()


async def test_plain_hooks_that_hang_use_four_threads_and_then_fail_at_once() -> None:
    host = await loaded("hostile_threads", hook="audit", behaviour="hang", sections={"hostile_threads": {}})
    config = {"behaviour": "hang", "hook": "audit", "seconds": 1.5}
    await host.restart("hostile_threads", config)
    first = await asyncio.gather(*(call(host, "audit") for _ in range(5)))
    busy = [answers["hostile_threads"] for answers in first if not answers["hostile_threads"].reached]
    assert [str(answer.error) for answer in busy] == ["all 4 threads of hostile_threads are busy"]
    await host.stop()


async def test_secrets_and_data_in_a_plugins_error_are_not_shown() -> None:
    given = {"behaviour": "raise", "hook": "health", "secret": "s3cr3t-t0ken"}
    host = await loaded("hostile", sections={"hostile": given})
    await call(host, "health")
    [figures] = [one for one in info(host, "hostile").figures if one.hook == "health"]
    assert figures.last_error == "ValueError: no luck with ***"
    assert (figures.calls, figures.errors) == (1, 1)
    assert host.masked_settings("hostile")["secret"] == "***"
    assert await host.health_of("hostile") == {"ok": False, "detail": "ValueError: no luck with ***", "findings": []}
    await host.stop()


async def test_a_required_plugin_that_does_not_run_denies() -> None:
    host = await loaded("hostile_import", "bystander", required=("hostile_import",))
    assert host.implements("audit")
    answers = await call(host, "authorize")
    assert answers["bystander"].error is None
    assert str(answers["hostile_import"].error) == "hostile_import is required and is not running"
    assert "hostile_import" not in await call(host, "health")
    await host.stop()


async def test_a_caller_who_goes_away_ends_the_calls_and_blames_nobody() -> None:
    host = await loaded("hostile", sections={"hostile": {"behaviour": "hang", "hook": "audit", "times": 4}})
    for _ in range(4):
        asking = asyncio.create_task(call(host, "audit"))
        await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait({asking})
    assert info(host, "hostile").state == "loaded"
    assert (await call(host, "audit"))["hostile"].error is None
    await host.stop()


async def test_deliver_goes_on_to_the_next_plugin_when_the_first_was_not_reached() -> None:
    given = {"behaviour": "raise", "hook": "deliver"}
    host = await loaded("hostile", "bystander", sections={"hostile": given})
    for _ in range(3):
        assert list(await call(host, "deliver")) == ["hostile"]
    assert list(await call(host, "deliver")) == ["bystander"]
    await host.disable("bystander")
    unreached = (await call(host, "deliver"))["hostile"]
    assert unreached.error is not None
    assert not unreached.reached
    await host.stop()


async def test_a_plugin_whose_scopes_do_not_name_an_argument_is_not_asked() -> None:
    host = await loaded("bystander")
    message = replace(samples("deliver", SCOPES)["message"], channel="fax")
    assert await host.ask_first("deliver", message=message) is None
    assert await host.ask("bystander", "deliver", message=message) is None
    assert await host.ask("nobody", "health") is None
    await host.stop()


async def test_a_hook_that_nobody_implements_costs_no_task() -> None:
    host = await loaded()
    assert not host.implements("authorize")
    assert host.implementers("authorize") == ()
    before = len(asyncio.all_tasks())
    asking = host.ask_all("authorize", request=None)
    with pytest.raises(StopIteration):
        asking.send(None)
    assert len(asyncio.all_tasks()) == before
    await host.stop()


async def test_what_was_always_answered_is_forgotten_when_the_plugins_change_or_one_is_in_trouble() -> None:
    given = {"behaviour": "raise", "hook": "authorize"}
    host = await loaded("hostile", "bystander", sections={"hostile": given})
    host.lasting["attendance.check_in"] = "kept"
    assert host.lasting == {"attendance.check_in": "kept"}
    for _ in range(3):
        await call(host, "authorize")
    assert info(host, "hostile").state == "quarantined"
    assert host.lasting == {}
    host.lasting["attendance.check_in"] = "kept"
    assert host.lasting == {}
    await host.disable("hostile")
    assert host.lasting == {}
    await host.stop()


async def test_nothing_lasts_while_a_required_plugin_does_not_run() -> None:
    host = await loaded("hostile_import", "bystander", required=("hostile_import",))
    host.lasting["attendance.check_in"] = "kept"
    assert host.lasting == {}
    await host.stop()
