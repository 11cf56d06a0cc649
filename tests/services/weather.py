"""`homeroom` as a process whose weather a test makes: `python -m tests.services.weather serve …`.

It is the program as it stands, with three things around it:

- The wall clock begins at MONDAY and can be set: every process looks at the file `clock` for how many seconds it is
  wrong by. Only the wall clock: the monotonic one goes on, as it does when a machine's clock is set.
- The background's leases, rests and waits are a tenth as long: what takes a minute and a half after a kill takes nine
  seconds.
- The plugin `moody`, which answers nothing for as long as the file `mood` names the hook.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine

from homeroom import Attempt, Event, Evidence, Services, hookimpl

FOLDER, SINCE = "HOMEROOM_TEST_WEATHER", "HOMEROOM_TEST_WEATHER_SINCE"
MONDAY = datetime(2026, 9, 14, 14, 0, tzinfo=UTC)  # ten o'clock in New York
_LOOK_SECONDS = 0.02


def write(path: Path, text: str) -> None:
    """Put `text` where a process reads it at any moment."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def environment(folder: Path, since: float) -> dict[str, str]:
    """What a process must be told; `since` is the true time at which it was MONDAY."""
    write(folder / "clock", "0")
    write(folder / "mood", "")
    return {FOLDER: str(folder), SINCE: repr(since)}


class Moody:
    """A plugin that hangs when it likes to."""

    hook_api = 1
    scopes = frozenset[str]()

    def __init__(self, settings: object, services: Services) -> None:
        del settings
        self._services = services

    @hookimpl
    async def verify_check_in(self, attempt: Attempt) -> Evidence | None:
        """Nothing: it knows no proof."""
        del attempt
        await self._sulk("verify_check_in")
        return None

    @hookimpl
    async def consume(self, events: Sequence[Event]) -> int:
        """Everything at once."""
        await self._sulk("consume")
        return events[-1].id

    async def _sulk(self, hook: str) -> None:
        mood = Path(os.environ[FOLDER]) / "mood"
        while mood.read_text() == hook:  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(_LOOK_SECONDS)


def _set_clock() -> None:
    """Begin with the weather's time, and follow it."""
    file = Path(os.environ[FOLDER]) / "clock"
    behind = time.time() - float(os.environ[SINCE]) - time.monotonic()

    def right(wrong_by: float) -> datetime:
        return MONDAY + timedelta(seconds=behind + time.monotonic() + wrong_by)

    wrong_by = float(file.read_text())
    clock = time_machine.travel(right(wrong_by), tick=True).start()

    def follow() -> None:
        nonlocal wrong_by
        while True:
            time.sleep(_LOOK_SECONDS)
            if (now := float(file.read_text())) != wrong_by:
                wrong_by = now
                clock.move_to(right(now), tick=True)

    threading.Thread(target=follow, name="weather", daemon=True).start()


def _hurry() -> None:
    """Make the waits of the background a tenth as long."""
    from homeroom import consumers, jobs, moments
    from homeroom.attendance_out import batches, pauses, runner
    from homeroom.host import breaker
    from homeroom.notify import clocks, delivery, judging, notifier, standing
    from homeroom.runs import scheduler
    from homeroom.store import leases

    for module in (consumers, runner, scheduler):
        vars(module)["LEASE_SECONDS"] /= 10
    for module in (consumers, runner, notifier):
        vars(module)["_IDLE_SECONDS"] /= 10
    lease = leases.KeptLease.__init__.__kwdefaults__
    assert lease is not None
    lease.update(seconds=lease["seconds"] / 10, renew=lease["renew"] / 10)
    for module, names in (
        (scheduler, ("_RENEW_SECONDS",)),
        (jobs, ("_ROUND_SECONDS", "_WORKER_SECONDS")),
        (consumers, ("_LONGEST_WAIT",)),
        (delivery, ("_FRESH", "_RESTS", "_LOOK_AGAIN")),
        (judging, ("_BEING_SENT",)),
        (standing, ("_FIRST_RETRY",)),
        (pauses, ("_FIRST_PAUSE", "LONGEST_PAUSE")),
        (batches, ("_FIRST_WAIT", "_LONGEST_WAIT", "LONGEST_PAUSE")),
    ):
        for name in names:
            vars(module)[name] /= 10
    vars(moments)["_FURTHEST"] = tuple((*column, instead / 10) for *column, instead in vars(moments)["_FURTHEST"])
    clocks.ASK_EVERY = 9.0  # a hundredth: it is what the storm's end waits for
    rest = breaker.Breaker.__init__.__kwdefaults__
    assert rest is not None
    rest["rest"] /= 10


if __name__ in ("__main__", "__mp_main__"):  # the second name is that of a process that `serve --workers` begins
    _hurry()
    _set_clock()

if __name__ == "__main__":
    from homeroom.cli import main

    sys.argv[0] = "homeroom"
    main()
