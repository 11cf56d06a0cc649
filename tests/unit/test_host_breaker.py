"""The breaker, the plugin's own threads and the watchdog, each by itself."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from homeroom.hookspecs import Specs
from homeroom.host.answers import TimedOut, WrongAnswer, checker, describe
from homeroom.host.breaker import Breaker
from homeroom.host.calls import Calls, Implementation
from homeroom.host.threads import NoThreadFree, PluginThreads, TriedToExit
from homeroom.host.watchdog import Watchdog
from homeroom.store import Unavailable


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        assert breaker.admit()
        breaker.failed("broken")


def test_three_failures_in_a_row_open_a_breaker() -> None:
    breaker = Breaker()
    fail(breaker, 2)
    assert breaker.admit()
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.state == "closed"
    fail(breaker, 1)
    assert (breaker.state, breaker.reason, breaker.admit()) == ("open", "broken", False)


def test_after_a_minute_one_call_goes_through_and_decides() -> None:
    clock = Time()
    breaker = Breaker(clock=clock)
    fail(breaker, 3)
    clock.now = 59.9
    assert not breaker.admit()
    clock.now = 60
    assert breaker.state == "half_open"
    assert breaker.admit()
    assert not breaker.admit()
    breaker.failed("still broken")
    assert (breaker.state, breaker.reason) == ("open", "still broken")
    clock.now = 120
    assert breaker.admit()
    breaker.succeeded()
    assert (breaker.state, breaker.reason) == ("closed", None)


def test_a_late_answer_from_before_the_opening_changes_nothing() -> None:
    clock = Time()
    breaker = Breaker(clock=clock)
    fail(breaker, 3)
    clock.now = 30
    breaker.succeeded()
    breaker.failed("late")
    assert (breaker.state, breaker.reason) == ("open", "broken")
    clock.now = 60
    assert breaker.admit()


def test_a_try_whose_caller_went_away_leaves_the_next_call_to_decide() -> None:
    clock = Time()
    breaker = Breaker(clock=clock)
    fail(breaker, 3)
    clock.now = 60
    assert breaker.admit()
    breaker.forget()
    assert breaker.admit()


async def test_four_calls_run_at_once_and_the_fifth_fails_at_once() -> None:
    threads, go = PluginThreads("p"), threading.Event()
    running = [threads.submit(go.wait, 5) for _ in range(4)]
    with pytest.raises(NoThreadFree, match="all 4 threads of p are busy"):
        threads.submit(go.wait, 5)
    go.set()
    assert await asyncio.gather(*running) == [True] * 4
    assert await threads.submit(lambda: threading.current_thread().daemon)
    threads.close()


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), StopIteration()])
async def test_what_would_end_a_process_is_only_a_failed_call(error: BaseException) -> None:
    def end() -> None:
        raise error

    with pytest.raises(TriedToExit, match=type(error).__name__):
        await PluginThreads("p").submit(end)


async def test_an_answer_that_comes_after_the_caller_went_away_is_dropped() -> None:
    threads, go = PluginThreads("p"), threading.Event()
    answer = threads.submit(go.wait, 5)
    answer.cancel()
    go.set()
    assert await threads.submit(lambda: 1) == 1


def implementation(function: Any, hook: str = "audit") -> Implementation:
    return Implementation(
        plugin="p",
        hook=hook,
        function=function,
        argnames=(),
        scopes=frozenset(),
        secrets=(),
        threads=PluginThreads("p"),
        check=lambda _value: None,
        breaker=Breaker(),
    )


async def test_the_watchdog_names_the_hook_that_blocks_the_loop_and_opens_its_breaker() -> None:
    async def block() -> None:
        time.sleep(0.4)  # noqa: ASYNC251 - the point

    calls, found = Calls(), list[tuple[Any, str]]()
    watchdog = Watchdog(calls.running, limit=0.1, blocked=lambda one, where: found.append((one, where)))
    watchdog.start()
    blocking = implementation(block)
    [answer] = await calls.ask([blocking], 5, {})
    watchdog.stop()
    assert answer.error is None
    assert found[0][0] is blocking
    assert found[0][1].startswith(f"{__name__}:")
    assert blocking.breaker.state == "open"
    assert len(found) == 1


async def test_the_watchdog_blames_nobody_when_many_fill_the_loop_in_turn() -> None:
    async def work() -> None:
        time.sleep(0.01)  # noqa: ASYNC251 - each is short, and all are there at the same moment

    calls, found = Calls(), list[Any]()
    watchdog = Watchdog(calls.running, limit=0.1, blocked=lambda one, _where: found.append(one))
    watchdog.start()
    busy = implementation(work)
    await asyncio.gather(*(calls.ask([busy], 5, {}) for _ in range(40)))
    watchdog.stop()
    assert found == []
    assert busy.breaker.state == "closed"


async def test_the_watchdog_blames_no_plugin_for_what_others_block() -> None:
    found = list[Any]()
    watchdog = Watchdog({}, limit=0.1, blocked=lambda one, _where: found.append(one))
    watchdog.start()
    time.sleep(0.3)  # noqa: ASYNC251 - the point
    await asyncio.sleep(0)
    watchdog.stop()
    assert found == [None]


async def test_time_in_which_the_loop_does_not_come_round_is_not_held_against_a_hook() -> None:
    async def hurry() -> int:
        for _ in range(5):
            await asyncio.sleep(0)
        return 7

    async def hold_up() -> None:
        for _ in range(8):
            time.sleep(0.05)  # noqa: ASYNC251 - the point
            await asyncio.sleep(0)

    holding = asyncio.create_task(hold_up())
    [answer] = await Calls().ask([implementation(hurry)], 0.05, {})
    await holding
    assert (answer.value, answer.error) == (7, None)


async def test_calls_that_are_late_together_count_once() -> None:
    hanging = implementation(asyncio.Event().wait)
    calls = Calls()
    for state in ("closed", "closed", "open"):
        late = await asyncio.gather(*(calls.ask([hanging], 0.05, {}) for _ in range(5)))
        assert all(isinstance(answer.error, TimedOut) for [answer] in late)
        assert hanging.breaker.state == state
    await calls.end()


async def test_our_own_database_is_not_held_against_a_plugin() -> None:
    async def ask_it() -> None:
        raise Unavailable("the database does not answer")

    asking = implementation(ask_it)
    for _ in range(5):
        [answer] = await Calls().ask([asking], 5, {})
        assert isinstance(answer.error, Unavailable)
    assert asking.breaker.state == "closed"
    assert asking.tally.errors == 5


async def test_a_plain_hook_that_gives_an_awaitable_is_awaited() -> None:
    async def later() -> int:
        return 7

    [answer] = await Calls().ask([implementation(lambda: later(), "consume")], 5, {})  # noqa: PLW0108 - not a coroutine function
    assert answer.value == 7


@pytest.mark.parametrize(
    ("hook", "value", "fine"),
    [
        ("consume", 3, True),
        ("consume", True, False),
        ("consume", "3", False),
        ("consume", None, False),
        ("audit", None, True),
        ("audit", False, False),
        ("health", None, False),
        ("routes", None, True),
        ("sis_connector", object(), False),
        ("migrations", "folder", False),
    ],
)
def test_an_answer_must_be_of_the_hooks_type(hook: str, value: object, fine: bool) -> None:  # noqa: FBT001 - a table
    check = checker(getattr(Specs, hook))
    if fine:
        check(value)
    else:
        with pytest.raises(WrongAnswer, match="it answered with"):
            check(value)


def test_a_connector_is_known_by_its_methods() -> None:
    class Almost:
        nouns = ()

        def __init__(self) -> None:
            self.attendance_out = "none"
            self.attendance_level = "class"

        async def check(self) -> None: ...
        async def pull(self) -> None: ...

    check = checker(Specs.sis_connector)
    with pytest.raises(WrongAnswer, match="Almost, not SisConnector or None"):
        check(Almost())
    check(type("Whole", (Almost,), {"push": lambda _self: None})())


def test_an_error_is_told_by_type_and_place_for_its_text_may_hold_data() -> None:
    with pytest.raises(ValueError, match="ada") as caught:
        raise ValueError("ada@example.org")
    assert describe(caught.value).startswith(f"ValueError at {__name__}:")
    assert describe(caught.value, text=True, secrets=["example"]) == "ValueError: ada@***.org"
    assert describe(ValueError()) == "ValueError at an unknown place"
    assert describe(ValueError(), text=True) == "ValueError"
    assert describe(TriedToExit("SystemExit")) == "it tried to end the process (SystemExit)"
