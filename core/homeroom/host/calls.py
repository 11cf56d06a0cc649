"""Calls hooks so that no plugin can take its caller down: each in a task of its own, under the hook's deadline."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from homeroom.host.answers import HookFailed, Quarantined, TimedOut, describe
from homeroom.host.breaker import Breaker
from homeroom.host.threads import NoThreadFree, PluginThreads, TriedToExit
from homeroom.store import Unavailable

log = structlog.get_logger("homeroom.host")

_LOOKS = 8  # within a deadline; time in which the event loop did not come round is not the plugin's, and does not count


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one plugin answered: `value`, or the `error` that counts as its failure.

    `reason` is the error in one line, without anybody's data. `reached` is False when the plugin's code was not run at
    all (quarantined, no thread free): then it has surely done nothing.
    """

    plugin: str
    value: Any = None
    error: BaseException | None = None
    reason: str | None = None
    seconds: float = 0.0
    reached: bool = True


class HookMetrics(Protocol):
    """Where the time and failures of calls are counted."""

    def hook(self, plugin: str, hook: str, seconds: float, *, failed: bool) -> None:
        """Count one call."""
        ...


@dataclass(slots=True)
class Tally:
    """What one hook of one plugin has cost since it was loaded."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    last_error: str | None = None
    last_error_at: datetime | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Implementation:
    """One hook of one plugin, ready to be called."""

    plugin: str
    hook: str
    function: Callable[..., Any]
    argnames: tuple[str, ...]
    scopes: frozenset[str]
    secrets: tuple[str, ...] = field(repr=False)
    threads: PluginThreads
    check: Callable[[Any], None]
    breaker: Breaker
    tally: Tally = field(default_factory=Tally)
    blamed_at: float = 0.0  # when something was last held against it, as `time.perf_counter` counts
    is_async: bool = field(init=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"{self.plugin}.{self.hook}"
        self.is_async = inspect.iscoroutinefunction(self.function)

    def describe(self, error: BaseException) -> str:
        """An error of this hook in one line, without anybody's data."""
        return describe(error, secrets=self.secrets, text=not self.argnames)


class _Call:
    """One implementation on its way."""

    __slots__ = ("begun", "error", "implementation", "seconds", "task")

    def __init__(self, implementation: Implementation) -> None:
        self.implementation = implementation
        self.begun = time.perf_counter()
        self.task: asyncio.Task[Any] | None = None
        self.error: BaseException | None = None
        self.seconds = 0.0

    async def run(self, args: list[Any]) -> Any:
        implementation = self.implementation
        started = time.perf_counter()
        try:
            if implementation.is_async:
                value = await implementation.function(*args)
            else:
                value = await implementation.threads.submit(implementation.function, *args)
                if inspect.isawaitable(value):
                    value = await value
            implementation.check(value)
        except (SystemExit, KeyboardInterrupt) as exc:  # asyncio would let these out of the event loop
            raise TriedToExit(type(exc).__name__) from None
        finally:
            self.seconds = time.perf_counter() - started
        return value


class Calls:
    """Asks implementations and keeps account of them. `running` says which task is whose, for the watchdog."""

    def __init__(self, metrics: HookMetrics | None = None) -> None:
        self.running: dict[asyncio.Task[Any], Implementation] = {}
        self._metrics = metrics

    async def ask(
        self, implementations: Sequence[Implementation], deadline: float, arguments: Mapping[str, Any]
    ) -> list[Answer]:
        """What each answers, in their order, within `deadline` seconds; one that may not see an argument is left out.

        Cancelling this cancels the calls.
        """
        narrow = [name for name, value in arguments.items() if hasattr(value, "for_scopes")]
        calls: list[_Call] = []
        for implementation in implementations:
            seen = _narrowed(arguments, narrow, implementation.scopes) if narrow else arguments
            if seen is not None:
                calls.append(self._begin(implementation, seen))
        tasks = [call.task for call in calls if call.task is not None]
        if tasks:
            try:
                await _ended(tasks, deadline)
            except asyncio.CancelledError:
                for call in calls:
                    self._abandon(call)
                raise
        return [self._end(call, deadline) for call in calls]

    async def end(self, grace: float = 0.5) -> None:
        """Leave no task behind: the end of the event loop would wait without limit for one that swallows its cancel.

        Such a one is closed, which ends our part of it whatever the plugin's does.
        """
        if not self.running:
            return
        for task in list(self.running):
            self._let_go(task)
        _, stubborn = await asyncio.wait(set(self.running), timeout=grace)
        for task in stubborn:
            coroutine = task.get_coro()
            with contextlib.suppress(BaseException):
                if coroutine is not None:
                    coroutine.close()
            task.cancel()
        if stubborn:
            await asyncio.wait(stubborn, timeout=grace)
        self.running.clear()

    def _begin(self, implementation: Implementation, arguments: Mapping[str, Any]) -> _Call:
        call = _Call(implementation)
        if not implementation.breaker.admit():
            call.error = Quarantined(f"quarantined: {implementation.breaker.reason}")
            return call
        args = [arguments[name] for name in implementation.argnames]
        call.task = asyncio.create_task(call.run(args), name=implementation.name)
        self.running[call.task] = implementation
        return call

    def _end(self, call: _Call, deadline: float) -> Answer:
        implementation, task = call.implementation, call.task
        if task is None:
            self._count(implementation, 0.0, failed=True)
            return Answer(plugin=implementation.plugin, error=call.error, reason=str(call.error), reached=False)
        if not task.done():
            self._let_go(task)
            call.seconds = deadline
            error: BaseException | None = TimedOut(f"no answer in {deadline:g} s")
        else:
            del self.running[task]
            error = HookFailed("it cancelled its own task") if task.cancelled() else task.exception()
        self._count(implementation, call.seconds, failed=error is not None)
        if error is None:
            implementation.breaker.succeeded()
            return Answer(plugin=implementation.plugin, value=task.result(), seconds=call.seconds)
        reason = implementation.describe(error)
        self._blame(call, error, reason)
        reached = not isinstance(error, NoThreadFree)
        return Answer(plugin=implementation.plugin, error=error, reason=reason, seconds=call.seconds, reached=reached)

    def _blame(self, call: _Call, error: BaseException, text: str) -> None:
        implementation = call.implementation
        implementation.tally.last_error, implementation.tally.last_error_at = text, datetime.now(UTC)
        before = implementation.breaker.state
        if isinstance(error, Unavailable) or (isinstance(error, TimedOut) and call.begun < implementation.blamed_at):
            implementation.breaker.forget()  # our database is away; or one stall, which makes many calls late at once
        else:
            implementation.blamed_at = time.perf_counter()
            implementation.breaker.failed(text)
        after = implementation.breaker.state
        event = "plugin_quarantined" if after == "open" and before != "open" else "plugin_failed"
        log.warning(event, plugin=implementation.plugin, hook=implementation.hook, error=text)

    def _count(self, implementation: Implementation, seconds: float, *, failed: bool) -> None:
        tally = implementation.tally
        tally.calls += 1
        tally.errors += failed
        tally.seconds += seconds
        tally.longest = max(tally.longest, seconds)
        if self._metrics is not None:
            self._metrics.hook(implementation.plugin, implementation.hook, seconds, failed=failed)

    def _abandon(self, call: _Call) -> None:
        """The caller is gone: end the call, and hold nothing against the plugin."""
        if call.task is None:
            return
        call.implementation.breaker.forget()
        self._let_go(call.task)

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        # Kept in `running` until it ends: a task that nothing refers to may vanish while it runs.
        task.cancel()
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.running.pop(task, None)
        if not task.cancelled():
            task.exception()  # seen, so that asyncio does not report it


async def _ended(tasks: list[asyncio.Task[Any]], deadline: float) -> None:
    """Return when all of `tasks` have ended, or after `deadline` seconds in which the event loop came round.

    `asyncio.wait` in fewer steps, for it is on the path of every check-in. Not `wait_for` or `timeout`: those wait for
    the task that they cancel, and a plugin may swallow the cancel.
    """
    loop = asyncio.get_running_loop()
    enough = loop.create_future()
    left, looks = len(tasks), _LOOKS
    timer: asyncio.TimerHandle

    def ended(_task: asyncio.Task[Any]) -> None:
        nonlocal left
        left -= 1
        release(done=not left)

    def look() -> None:
        nonlocal looks, timer
        looks -= 1
        timer = loop.call_later(deadline / _LOOKS, look)
        release(done=not looks)

    def release(*, done: bool) -> None:
        if done and not enough.done():
            enough.set_result(None)

    timer = loop.call_later(deadline / _LOOKS, look)
    for task in tasks:
        task.add_done_callback(ended)
    try:
        await enough
    finally:
        timer.cancel()


def _narrowed(arguments: Mapping[str, Any], names: list[str], scopes: frozenset[str]) -> Mapping[str, Any] | None:
    """The arguments as a plugin with these scopes may see them, or None when it is not to be asked."""
    seen = dict(arguments)
    for name in names:
        seen[name] = arguments[name].for_scopes(scopes)
        if seen[name] is None:
            return None
    return seen
