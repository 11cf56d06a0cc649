"""The conformance kit passes a good plugin and fails a bad one, for each thing that it promises to find."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import time
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from homeroom import Attempt, Evidence, Health, Mark, Services, Student, Verdict, hookimpl, testing
from homeroom.testing import SESSION, plugin_kit, plugin_tests, running_plugin


class Good:
    hook_api = 1
    scopes = frozenset({"proof.code"})

    def __init__(self, settings: BaseModel, services: Services) -> None:
        self.settings = settings
        self.services = services

    @hookimpl
    async def verify_check_in(self, attempt: Attempt) -> Evidence | None:
        if attempt.proof.get("code") != "1234":
            return None
        return Evidence(method="good", verdict=Verdict.ACCEPT)


TestGood = plugin_tests(Good)


def failing(plugin: type[Any], test: str, why: str, settings: Mapping[str, Any] | None = None) -> None:
    with pytest.raises((pytest.fail.Exception, Exception), match=why):
        getattr(plugin_tests(plugin, settings)(), test)()


def test_the_kit_finds_a_plugin_that_raises_on_bad_proofs() -> None:
    class Trusting(Good):
        @hookimpl
        async def verify_check_in(self, attempt: Attempt) -> Evidence | None:
            assert int(attempt.proof["code"]) > 0
            return None

    failing(Trusting, "test_bad_proofs_are_answered_and_raise_nothing", "code")


def test_the_kit_finds_a_wrong_answer_and_a_slow_one() -> None:
    class Wrong(Good):
        @hookimpl
        async def health(self) -> Health:
            return "fine"  # type: ignore[return-value] # the point

    class Blocking(Good):
        @hookimpl
        async def health(self) -> Health:
            time.sleep(0.2)  # noqa: ASYNC251 - the point
            return Health(ok=True)

    class Computing(Good):
        @hookimpl
        async def health(self) -> Health:
            until = time.thread_time() + 0.2
            while time.thread_time() < until:
                pass
            return Health(ok=True)

    failing(Computing, "test_the_event_loop_is_never_blocked", "health blocked the event loop for")
    failing(Wrong, "test_each_hook_answers_in_time_and_with_the_right_type", "str, not Health")
    failing(Blocking, "test_the_event_loop_is_never_blocked", "health blocked the event loop for")


def test_a_processor_that_others_have_is_not_held_against_a_hook() -> None:
    begun = plugin_kit._Clocks(wall=10.0, processor=5.0, waits=7)
    assert plugin_kit._kept(begun, begun._replace(wall=10.5, processor=5.25)) == 0.25
    assert plugin_kit._kept(begun, begun._replace(wall=10.5, processor=5.25, waits=8)) == 0.5


def test_the_kit_finds_a_task_that_is_left_behind() -> None:
    class Leaving(Good):
        @hookimpl
        async def start(self) -> None:
            self.task = asyncio.create_task(asyncio.sleep(60), name="left")

    failing(Leaving, "test_nothing_runs_on_after_it_was_stopped", "still running after stop: left")


def test_the_kit_finds_secrets_that_are_printed() -> None:
    class Open(BaseModel):
        api_key: str

    class Sealed(BaseModel):
        api_key: SecretStr

    class Telling(Good):
        Settings: type[BaseModel] = Open

    class Discreet(Good):
        Settings = Sealed

    failing(Telling, "test_secrets_stay_out_of_what_is_printed", "in clear: api_key", {"api_key": "hush"})
    plugin_tests(Discreet, {"api_key": "hush"})().test_secrets_stay_out_of_what_is_printed()


def test_the_kit_finds_hooks_that_are_never_asked() -> None:
    class Unmarked(Good):
        async def health(self) -> Health:
            return Health(ok=True)

    failing(Unmarked, "test_it_keeps_to_what_a_plugin_may_use", "health is named like a hook")


def test_the_kit_has_something_plausible_for_every_hook_that_takes_something() -> None:
    specs, kit = (importlib.import_module(f"homeroom.{name}") for name in ("hookspecs", "testing.plugin_kit"))
    for hook in set(specs.POLICIES) - {"resolve_conflict"}:
        wanted = set(inspect.signature(getattr(specs.Specs, hook)).parameters) - {"self"}
        assert set(kit.samples(hook, frozenset())) == wanted, hook


async def test_a_running_plugin_is_asked_as_the_server_would() -> None:
    at = SESSION.starts_at
    async with running_plugin(Good) as plugin:
        right = Attempt(session=SESSION, student_id="s", at=at, proof={"code": "1234", "location": {"lat": 1}})
        assert (await plugin.ask("verify_check_in", attempt=right)).verdict is Verdict.ACCEPT
        assert plugin.hooks == ("verify_check_in",)

    class Wrong(Good):
        @hookimpl
        async def stop(self) -> None:
            return 1  # type: ignore[return-value] # the point

    wrong = importlib.import_module("homeroom.host.answers").WrongAnswer
    with pytest.raises(wrong, match="int, not None"):
        async with running_plugin(Wrong):
            pass


async def test_the_kits_services_keep_to_the_scopes_as_the_real_ones_do() -> None:
    day = SESSION.school_day
    ada = Student(id="s", school_ids=("n",), given_name="Ada", email="ada@example.org")
    mark = Mark(id="r", session_id="one", class_id="k", student_id="s", school_day=day, status="tardy", note="bus")
    bare = testing.services(students=[ada], marks=[mark])
    assert await bare.roster.students(["s", "x"]) == [Student(id="s", school_ids=("n",))]
    [seen] = await bare.attendance.marks(session_id="one")
    assert (seen.status, seen.note) == (None, None)
    scopes = {"student.given_name", "student.email", "attendance.status", "attendance.note"}
    full = testing.services(scopes=scopes, students=[ada], marks=[mark])
    assert await full.roster.students(["s"]) == [ada]
    [named] = await full.roster.students(["s"], fields=["given_name"])
    assert (named.given_name, named.email) == ("Ada", None)
    assert await full.attendance.marks(student_ids=["s"], since=day, until=day) == [mark]
    assert await full.attendance.marks(student_ids=["other"]) == []


async def test_the_kits_keepings_expire_and_its_tables_ask_for_a_store() -> None:
    clock = testing.FakeClock()
    services = testing.services(clock=clock)
    await services.kv.set("a", "1", ttl=5)
    assert await services.kv.get("a") == "1"
    clock.move(5)
    assert await services.kv.get("a") is None
    await services.kv.delete("a")
    assert services.derive_key("x") == services.derive_key("x") != services.derive_key("y")
    with pytest.raises(LookupError, match="uses its own tables"):
        await services.store.read(lambda _connection: None)
    with pytest.raises(LookupError, match="uses its own tables"):
        await services.store.submit(lambda _tx: None)
