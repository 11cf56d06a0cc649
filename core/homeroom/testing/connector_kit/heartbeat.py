"""How long an event loop stood still, and where."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any


async def longest_pause(work: Coroutine[Any, Any, object], *, limit_ms: float) -> tuple[float, str]:
    """Run `work` and give the longest time in which the loop did not turn, in milliseconds, and where it stood then."""
    watch = _Watch(limit_ms / 1000)
    watch.start()
    task = asyncio.ensure_future(work)
    longest = 0.0
    try:
        while not task.done():
            before = watch.beat = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)
        await task
    finally:
        watch.end.set()
        watch.join()
    return 1000 * longest, watch.where


class _Watch(threading.Thread):
    """Looks at the loop's thread when its heart has not beaten for `limit` seconds."""

    def __init__(self, limit: float) -> None:
        super().__init__(name="connector-watch", daemon=True)
        self._limit = limit
        self._watched = threading.get_ident()
        self.beat = time.perf_counter()
        self.end = threading.Event()
        self.where = "an unknown place"

    def run(self) -> None:
        """Look until the end."""
        while not self.end.wait(self._limit / 4):
            if time.perf_counter() - self.beat > self._limit:
                frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - documented, and the only way
                if frame is not None:
                    self.where = f"{frame.f_globals.get('__name__')}:{frame.f_lineno}"
