"""The conformance kit for plugins: an integrator's whole test file is three lines.

from homeroom.testing import plugin_tests
from homeroom_acme import Acme

TestAcme = plugin_tests(Acme, {"api_key": "made-up"})
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, ClassVar, NamedTuple, TypeVar

import pytest

from homeroom.hookspecs import POLICIES
from homeroom.host.calls import Calls
from homeroom.host.check import findings_in_class, findings_in_source
from homeroom.host.config import PluginsConfig
from homeroom.host.plugin import Plugin, Running, checked_class, scopes_of, set_up
from homeroom.host.plugin_settings import SettingsInvalid
from homeroom.services import Services
from homeroom.testing import fakes
from homeroom.types import (
    AccessRequest,
    Attempt,
    ClassSession,
    Credentials,
    Identity,
    Message,
    Outcome,
    RoleAt,
)

T = TypeVar("T")

_THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)  # Linux alone tells of one thread

NAME = "plugin"
_AT = datetime(2026, 9, 1, 14, 3, tzinfo=UTC)
_PATIENCE = 3.0  # the longest deadline that the kit waits for; a hook that talks to its fake vendor is done long before

SESSION = ClassSession(
    id="session-1",
    class_id="class-1",
    school_id="school-1",
    school_day=date(2026, 9, 1),
    starts_at=datetime(2026, 9, 1, 14, 0, tzinfo=UTC),
    late_after_minutes=5,
)
"""A session that is open, for tests."""

BAD_PROOFS: tuple[Mapping[str, Any], ...] = (
    {},
    {"code": "", "location": {}, "scan": ""},
    {"code": None, "location": None, "scan": None},
    {"code": 7, "location": 7, "scan": 7},
    {"code": ["1"], "location": ["1"], "scan": {"a": []}},
    {"code": "9" * 10_000, "location": {"lat": "x", "lon": None, "accuracy_m": -1}, "scan": "\x00" * 500},
    {"code": "\ud800", "location": {"lat": float("nan"), "lon": float("inf"), "accuracy_m": 0}, "scan": "ü.ü.ü"},
)


class RunningPlugin:
    """A plugin in a test: its `instance`, and `ask`, which calls a hook as the server would."""

    def __init__(self, running: Running, calls: Calls) -> None:
        self.instance = running.instance
        self.services = running.services
        self.settings = running.settings.model
        self._running = running
        self._calls = calls

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks that the plugin implements."""
        return tuple(self._running.hooks)

    async def ask(self, hook: str, **arguments: Any) -> Any:
        """What the plugin answers; None also when its scopes do not let it see the arguments.

        Raises what the server would count as the plugin's failure: its own exceptions, an answer of a wrong type, no
        answer within the hook's deadline.
        """
        implementation = self._running.hooks[hook]
        deadline = min(POLICIES[hook].deadline, _PATIENCE)
        for answer in await self._calls.ask((implementation,), deadline, arguments):
            if answer.error is not None:
                raise answer.error
            return answer.value
        return None

    async def end(self) -> None:
        """Stop the plugin and close what it was given."""
        if "stop" in self._running.hooks:
            await self.ask("stop")
        self._running.threads.close()
        await self._running.services.close()
        await self._calls.end()


@asynccontextmanager
async def running_plugin(
    plugin: type[Any],
    settings: Mapping[str, Any] | None = None,
    *,
    services: Services | None = None,
    start: bool = True,
) -> AsyncIterator[RunningPlugin]:
    """A plugin, set up and started as the server would, stopped at the end.

    Raises what the server would give as the reason to leave it out: a wrong hook API, wrong settings, unknown hooks.
    """
    given = services or fakes.services(NAME, scopes=scopes_of(checked_class(plugin)))
    config = PluginsConfig(enabled=(given.name,), sections={given.name: settings or {}}, source="the test's settings")
    running = set_up(Plugin(name=given.name), plugin, config, lambda _name, _scopes: given, saved={})
    entered = RunningPlugin(running, Calls())
    if start and "start" in running.hooks:
        await entered.ask("start")
    try:
        yield entered
    finally:
        await entered.end()


def samples(hook: str, scopes: frozenset[str]) -> dict[str, Any]:
    """Plausible arguments for `hook`, of a kind that a plugin with these scopes is asked for."""
    kinds = sorted(scope.partition(".")[2] for scope in scopes if scope.startswith("credentials."))
    channels = sorted(scope.partition(".")[2] for scope in scopes if scope.startswith("message."))
    person = Identity(subject="user-1", roles=(RoleAt(role="teacher", org_id="school-1"),))
    request = AccessRequest(action="attendance.read", identity=person, student_ids=frozenset({"student-1"}))
    message = Message(
        id="message-1", channel=(channels or ["sms"])[0], to="+15550100", subject="A", body="B", created_at=_AT
    )
    credentials = Credentials(kind=(kinds or ["password"])[0], fields={"email": "a@example.org", "password": "wrong"})
    known: dict[str, dict[str, Any]] = {
        "authenticate": {"credentials": credentials},
        "set_password": {"user_id": "user-1", "credentials": credentials},
        "authorize": {"request": request},
        "audit": {"request": request, "outcome": Outcome(allowed=True, student_ids=frozenset({"student-1"}))},
        "issue_challenge": {"session": SESSION},
        "verify_check_in": {"attempt": Attempt(session=SESSION, student_id="student-1", at=_AT)},
        "deliver": {"message": message},
        "find_delivery": {"message": message},
        "suppressions": {"since": None},
        "consume": {"events": ()},
    }
    return known.get(hook, {})


class PluginTests:
    """What every plugin must pass; `plugin_tests` makes a class of it for one plugin."""

    plugin: ClassVar[type[Any]]
    settings: ClassVar[Mapping[str, Any]]
    services: ClassVar[Callable[[], Services] | None]
    skip: ClassVar[frozenset[str]]
    max_block_ms: ClassVar[float]

    def test_it_can_be_loaded_started_and_stopped(self) -> None:
        """The hook API, the settings, the hooks and their arguments fit."""
        self._run(_nothing)

    def test_an_unknown_setting_is_refused(self) -> None:
        """A misspelt key must not be passed over in silence."""
        with pytest.raises(SettingsInvalid, match="unknown setting"):
            asyncio.run(_enter(self.plugin, {**self.settings, "no_such_setting": 1}))

    def test_secrets_stay_out_of_what_is_printed(self) -> None:
        """Logs and error pages print objects by their repr."""

        async def shown(running: RunningPlugin) -> str:
            return f"{running.instance!r} {running.settings!r} {running.settings}"

        text = self._run(shown)
        if open_ := [key for key, value in secrets_of(self.plugin, self.settings).items() if value in text]:
            pytest.fail(f"printed in clear: {', '.join(open_)}; declare it SecretStr")

    def test_each_hook_answers_in_time_and_with_the_right_type(self) -> None:
        """Plausible arguments get an answer, whatever it says."""

        async def ask(running: RunningPlugin) -> None:
            for hook in self._asked(running):
                await running.ask(hook, **samples(hook, running.services.scopes))

        self._run(ask)

    def test_bad_proofs_are_answered_and_raise_nothing(self) -> None:
        """What a student's device sends may be anything; an exception would count as the plugin's failure."""

        async def ask(running: RunningPlugin) -> None:
            if "verify_check_in" not in self._asked(running):
                pytest.skip("it judges no check-ins")
            attempt: Attempt = samples("verify_check_in", frozenset())["attempt"]
            for proof in BAD_PROOFS:
                await running.ask("verify_check_in", attempt=replace(attempt, proof=proof))

        self._run(ask)

    def test_the_event_loop_is_never_blocked(self) -> None:
        """While one hook computes, every other request of the process waits."""

        async def slow(running: RunningPlugin) -> list[str]:
            found = []
            for hook in self._asked(running):
                milliseconds = 1000 * await _longest_wait(running, hook)
                if milliseconds > self.max_block_ms:
                    found.append(f"{hook} blocked the event loop for {milliseconds:.0f} ms")
            return found

        if found := self._run(slow):
            pytest.fail("; ".join(found))

    def test_nothing_runs_on_after_it_was_stopped(self) -> None:
        """A task left behind works on for a plugin that is switched off."""

        async def left() -> list[str]:
            async with running_plugin(self.plugin, self.settings, services=self._services()):
                pass
            return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]

        if names := asyncio.run(left()):
            pytest.fail(f"still running after stop: {', '.join(names)}")

    def test_it_keeps_to_what_a_plugin_may_use(self) -> None:
        """No internals of Homeroom, no database drivers, no environment; hooks are marked and may be asked."""
        file = inspect.getsourcefile(self.plugin)
        if found := [*findings_in_class(self.plugin), *(findings_in_source(file) if file else ())]:
            pytest.fail("; ".join(f"{finding.problem} {finding.fix}" for finding in found))

    def _run(self, test: Callable[[RunningPlugin], Awaitable[T]]) -> T:
        async def go() -> T:
            async with running_plugin(self.plugin, self.settings, services=self._services()) as running:
                return await test(running)

        return asyncio.run(go())

    def _services(self) -> Services | None:
        make = type(self).services
        return make() if make is not None else None

    def _asked(self, running: RunningPlugin) -> list[str]:
        """The hooks that a test can call in any order."""
        return [hook for hook in running.hooks if hook not in self.skip | {"start", "stop", "resolve_conflict"}]


def plugin_tests(
    plugin: type[Any],
    settings: Mapping[str, Any] | None = None,
    *,
    services: Callable[[], Services] | None = None,
    skip: frozenset[str] = frozenset(),
    max_block_ms: float = 100.0,
) -> type[PluginTests]:
    """A pytest class of what every plugin must pass; `settings` are those that a district would write.

    `services` makes what the plugin is given where the default (in memory, no network) does not do. `skip` names hooks
    that cannot be called in a test. No hook may keep the event loop longer than `max_block_ms`.
    """
    given = {
        "plugin": plugin,
        "settings": settings or {},
        "services": staticmethod(services) if services is not None else None,
        "skip": skip,
        "max_block_ms": max_block_ms,
    }
    return type(f"Test{plugin.__name__}", (PluginTests,), given)


async def _nothing(running: RunningPlugin) -> None:
    """Only set up, start and stop."""


async def _enter(plugin: type[Any], settings: Mapping[str, Any]) -> None:
    async with running_plugin(plugin, settings):
        pass


def secrets_of(plugin: type[Any], settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that are declared secret or are named as if they were; an address (`token_url`) is none."""
    fields = getattr(getattr(plugin, "Settings", None), "model_fields", {})
    words = ("secret", "token", "password", "key")
    return {
        key: value
        for key, value in settings.items()
        if isinstance(value, str)
        and value
        and (
            "Secret" in str(fields[key].annotation if key in fields else "")
            or (key.endswith(words) and not key.endswith("_url"))
        )
    }


class _Clocks(NamedTuple):
    """This thread's time in seconds, by the wall and on a processor, and how often it has let one go by itself."""

    wall: float
    processor: float
    waits: int | None


def _kept(before: _Clocks, after: _Clocks) -> float:
    """For how long a hook kept the thread: whatever a busy machine gave to others meanwhile is not the hook's."""
    has_waited = after.waits != before.waits
    return after.wall - before.wall if has_waited else after.processor - before.processor


def _clocks() -> _Clocks:
    waits = resource.getrusage(_THREAD).ru_nvcsw if _THREAD is not None else None
    wall = time.perf_counter()
    return _Clocks(wall, wall if waits is None else time.thread_time(), waits)


async def _longest_wait(running: RunningPlugin, hook: str) -> float:
    """The longest time for which `hook` kept the loop from turning, in seconds."""
    task = asyncio.create_task(running.ask(hook, **samples(hook, running.services.scopes)))
    longest = 0.0
    collects = gc.isenabled()
    gc.disable()  # a collection of all that the tests have loaded takes longer than any hook may, and is not the hook's
    try:
        while not task.done():
            before = _clocks()
            await asyncio.sleep(0)
            longest = max(longest, _kept(before, _clocks()))
    finally:
        if collects:
            gc.enable()
    await task
    return longest
