"""How long an event loop stood still, and where."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Coroutine
from types import FrameType
from typing import Any

_UNKNOWN = "an unknown place"


async def longest_pause(work: Coroutine[Any, Any, object], *, limit_ms: float) -> tuple[float, str]:
    """Run `work` and give the longest time in which the loop did not turn, in milliseconds, and where it stood then."""
    watch = _Watch(limit_ms / 1000)
    watch.start()
    task = asyncio.ensure_future(work)
    longest, where = 0.0, _UNKNOWN
    try:
        while not task.done():
            before, watch.where = time.perf_counter(), _UNKNOWN
            watch.beat = before
            await asyncio.sleep(0)
            pause = time.perf_counter() - before
            if pause > longest:
                longest, where = pause, watch.where
        await task
    finally:
        watch.end.set()
        watch.join()
    return 1000 * longest, where


class _Watch(threading.Thread):
    """Looks at the loop's thread when its heart has not beaten for `limit` seconds."""

    def __init__(self, limit: float) -> None:
        super().__init__(name="connector-watch", daemon=True)
        self._limit = limit
        self._watched = threading.get_ident()
        self.beat = time.perf_counter()
        self.end = threading.Event()
        self.where = _UNKNOWN

    def run(self) -> None:
        """Look until the end."""
        while not self.end.wait(self._limit / 4):
            if time.perf_counter() - self.beat > self._limit:
                frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - documented, and the only way
                if frame is not None:
                    self.where = _place(frame)


def _place(frame: FrameType) -> str:
    """The innermost line outside the standard library: whoever called `time.sleep` or imported, not how these work."""
    inner: FrameType | None = frame
    while inner is not None:
        module = str(inner.f_globals.get("__name__"))
        if module.partition(".")[0] not in sys.stdlib_module_names:
            return f"{module}:{inner.f_lineno}"
        inner = inner.f_back
    return f"{frame.f_globals.get('__name__')}:{frame.f_lineno}"
