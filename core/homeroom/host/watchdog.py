"""Notices that the event loop stands still, and says which plugin holds it up."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from homeroom.host.calls import Implementation

log = structlog.get_logger("homeroom.host")

_LOOKS = 8  # within the limit; time that nobody looked at (a sleeping laptop) does not count


class Watchdog:
    """A daemon thread that opens the breaker of an `async def` hook which blocks the event loop for `limit` seconds.

    Blocking is one task that holds the loop all the time; many that fill it in turn are only a busy server. It can only
    name and quarantine: code that blocks a thread cannot be stopped from another. `running` says which task runs which
    hook; `blocked` is called, on the watchdog's thread, with whatever it finds.
    """

    def __init__(
        self,
        running: Mapping[asyncio.Task[Any], Implementation],
        *,
        limit: float = 1.0,
        blocked: Callable[[Implementation | None, str], None] | None = None,
    ) -> None:
        self._running = running
        self._limit = limit
        self._blocked = blocked
        self._beats = 0
        self._stop = threading.Event()
        self._beat_handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch the running event loop."""
        loop = asyncio.get_running_loop()
        self._beat(loop)
        threading.Thread(
            target=self._watch, args=(loop, threading.get_ident()), name="plugin-watchdog", daemon=True
        ).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stop.set()
        if self._beat_handle is not None:
            self._beat_handle.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beats += 1
        self._beat_handle = loop.call_later(self._limit / _LOOKS, self._beat, loop)

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        seen: tuple[int, asyncio.Task[Any] | None] = -1, None
        still = 0
        while not self._stop.wait(self._limit / _LOOKS):
            now = self._beats, asyncio.current_task(loop)
            still = still + 1 if now == seen else 0
            seen = now
            if still == _LOOKS:
                self._report(now[1], thread)

    def _report(self, task: asyncio.Task[Any] | None, thread: int) -> None:
        where = _where(thread)
        implementation = self._running.get(task) if task is not None else None
        if implementation is None:
            log.warning("event_loop_blocked", where=where, seconds=self._limit)
        else:
            text = f"it blocked the event loop for more than {self._limit:g} s at {where}"
            implementation.tally.last_error = text
            implementation.breaker.trip(text)
            log.error("plugin_quarantined", plugin=implementation.plugin, hook=implementation.hook, error=text)
        if self._blocked is not None:
            self._blocked(implementation, where)


def _where(thread: int) -> str:
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, and the only way to see another thread
    return "an unknown place" if frame is None else f"{frame.f_globals.get('__name__')}:{frame.f_lineno}"
