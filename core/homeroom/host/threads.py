"""A few daemon threads of one plugin's own, for its plain `def` hooks.

Not `asyncio.to_thread`: one plugin would use up the pool that all share, and its threads would hold up the exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

THREADS = 4


class NoThreadFree(RuntimeError):
    """Every thread of the plugin is busy, most likely with calls that never end."""


@dataclass(slots=True)
class _Task:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    context: contextvars.Context
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]


class PluginThreads:
    """At most `limit` daemon threads, started when first needed; a call that finds none free fails at once."""

    def __init__(self, name: str, limit: int = THREADS) -> None:
        self._name = name
        self._limit = limit
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._busy = 0

    def submit(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """A future of what `function(*args)` gives. Raises NoThreadFree."""
        with self._lock:
            if self._busy >= self._limit:
                raise NoThreadFree(f"all {self._limit} threads of {self._name} are busy")
            self._busy += 1
            if self._busy > self._started:
                self._started += 1
                threading.Thread(target=self._work, name=f"plugin-{self._name}-{self._started}", daemon=True).start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._tasks.put(_Task(function, args, contextvars.copy_context(), loop, answer))
        return answer

    def close(self) -> None:
        """Let the threads end, each when what it runs has ended."""
        for _ in range(self._started):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            value: Any = None
            error: BaseException | None = None
            try:
                value = task.context.run(task.function, *task.args)
            except BaseException as exc:  # noqa: BLE001 - SystemExit too is only a failed call
                error = exc
            with self._lock:
                self._busy -= 1
            with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits any more
                task.loop.call_soon_threadsafe(_settle, task.answer, value, error)
            del task, value, error


def _settle(answer: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    elif isinstance(error, Exception) and not isinstance(error, StopIteration):
        answer.set_exception(error)
    else:
        answer.set_exception(TriedToExit(type(error).__name__))


class TriedToExit(RuntimeError):
    """A plugin raised what would have ended the process (SystemExit, KeyboardInterrupt), or is not an answer at all."""
