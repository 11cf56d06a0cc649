"""How this process has been in the last hour: a few figures every half minute, in memory, for charts.

What is to last longer is Prometheus' business (`/metrics`); this is gone with the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

EVERY_SECONDS = 30.0
KEPT = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is counted elsewhere: live sockets, writes that wait, requests and failed ones since the process began."""

    sockets: int
    writes_waiting: int
    requests: int
    failed_requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look: `cpu_percent` of one core, requests and failures since the look before, the event loop's delay."""

    at: datetime
    memory_bytes: int
    cpu_percent: float
    sockets: int
    writes_waiting: int
    requests: int
    failed_requests: int
    loop_delay_ms: float


class History:
    """Looks at this process every `every` seconds and remembers the last `kept` looks."""

    def __init__(self, figures: Callable[[], Load], *, every: float = EVERY_SECONDS, kept: int = KEPT) -> None:
        self.every = every
        self._load = figures
        self._samples: deque[Sample] = deque(maxlen=kept)
        self._process = psutil.Process()
        self._before = (time.monotonic(), self._cpu(), figures())
        self._task: asyncio.Task[None] | None = None

    @property
    def samples(self) -> list[Sample]:
        """The last hour's, the oldest first."""
        return list(self._samples)

    async def start(self) -> None:
        """Begin."""
        self._before = (time.monotonic(), self._cpu(), self._load())
        self._task = asyncio.create_task(self._looks(), name="history")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def look(self, delay: float = 0.0) -> Sample:
        """Take a sample; `delay` is by how many seconds the event loop was late."""
        (then, cpu, old), now = self._before, (time.monotonic(), self._cpu(), self._load())
        self._before = now
        new, seconds = now[2], max(now[0] - then, 0.001)
        sample = Sample(
            at=datetime.now(UTC),
            memory_bytes=self._process.memory_info().rss,
            cpu_percent=round(100 * max(now[1] - cpu, 0) / seconds, 1),
            sockets=new.sockets,
            writes_waiting=new.writes_waiting,
            requests=new.requests - old.requests,
            failed_requests=new.failed_requests - old.failed_requests,
            loop_delay_ms=round(1000 * max(delay, 0), 1),
        )
        self._samples.append(sample)
        return sample

    async def _looks(self) -> None:
        while True:
            due = time.monotonic() + self.every
            await asyncio.sleep(self.every)
            self.look(time.monotonic() - due)

    def _cpu(self) -> float:
        used = self._process.cpu_times()
        return float(used.user + used.system)
