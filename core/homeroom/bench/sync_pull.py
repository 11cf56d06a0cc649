"""The syncing process of `homeroom bench sync`: one run of the engine as `homeroom sync run` makes it, timed.

Reads a Plan from standard input; says `{"phase", "done", "total"}` lines and at last what it took.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from homeroom.bench.exchange import CannotMeasure, client, say
from homeroom.cli.installation import loaded, quiet_logs, spare_collector
from homeroom.records import Pull, SisConnector
from homeroom.runs.connectors import connector
from homeroom.runs.under_way import options
from homeroom.settings import load_settings
from homeroom.sync import Progress
from homeroom.sync import run as sync_run

_LOOK = 0.1  # seconds between two looks at the memory
_MIB = 1024 * 1024
_OFTEN = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run of `name`, or with "read" only a reading of all its pages, which are let go."""

    config: str
    environment: Mapping[str, str]
    name: str
    what: Literal["sync", "read"] = "sync"


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What it took: the run itself in seconds, the most resident memory in MiB, and its counts."""

    seconds: float
    memory_mib: float
    rows: int
    added: int = 0
    changed: int = 0
    ended: int = 0
    unchanged: int = 0
    dead_letters: int = 0


async def run(plan: Plan) -> Took:
    """Do it. Raises CannotMeasure when the run does not come to its end."""
    quiet_logs()
    async with loaded(load_settings(Path(plan.config), plan.environment)) as district, _memory() as most:
        source = await connector(district.host, plan.name)
        spare_collector()  # as the command does
        if plan.what == "read":
            return await _read(source, most)
        how = options(district)
        how["progress"] = _Told()
        started = time.perf_counter()
        result = await sync_run(district.store, plan.name, source, full=True, **how)
        seconds = time.perf_counter() - started
    if result.status != "done" or result.reason:
        raise CannotMeasure(f"the run is {result.status}: {result.reason or 'its guard stopped it'}")
    return Took(
        seconds=seconds,
        memory_mib=max(most),
        rows=result.rows_read,
        added=result.added,
        changed=result.changed,
        ended=result.ended,
        unchanged=result.unchanged,
        dead_letters=result.dead_letters,
    )


async def _read(source: SisConnector, most: list[float]) -> Took:
    rows = 0
    started = time.perf_counter()
    for noun in source.nouns:
        async for page in source.pull(Pull(noun=noun)):
            rows += len(page.records)
            say({"phase": f"reading {noun}", "done": rows})
    return Took(seconds=time.perf_counter() - started, memory_mib=max(most), rows=rows)


class _Told:
    """Says how far the run is, now and then."""

    def __init__(self) -> None:
        self._last: tuple[str, str, int] = ("", "", 0)

    def __call__(self, step: Progress) -> None:
        now = (step.phase, step.noun, step.done // _OFTEN)
        if now != self._last:
            self._last = now
            say({"phase": f"{step.phase} {step.noun}", "done": step.done, "total": step.total})


@contextlib.asynccontextmanager
async def _memory() -> AsyncIterator[list[float]]:
    """The most resident memory of this process so far, in MiB, in a list of one."""
    process = psutil.Process()
    most = [0.0]

    async def look() -> None:
        while True:
            most[0] = max(most[0], process.memory_info().rss / _MIB)
            await asyncio.sleep(_LOOK)

    task = asyncio.create_task(look())
    await asyncio.sleep(0)
    try:
        yield most
    finally:
        task.cancel()


if __name__ == "__main__":
    client(Plan, run)
