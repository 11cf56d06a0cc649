"""Absences into messages, for `homeroom bench notify`: one look of the notifier at a morning's rolls, timed.

Reads a Plan from standard input: makes the district and takes the rolls, then times what the notifier makes of them,
and how long the very same rows take to be inserted bare.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from homeroom.bench import notify_bare, notify_morning
from homeroom.bench.exchange import client, say
from homeroom.bench.notify_district import classes, compare
from homeroom.cli.installation import loaded, quiet_logs, spare_collector
from homeroom.notify.notifier import Notifier
from homeroom.settings import load_settings

HOLDER = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """So many `absences`; the same rows go `bare` into another database, by its URL."""

    config: str
    environment: Mapping[str, str]
    absences: int
    bare: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds and processor seconds of the look, seconds of the bare insertion, and what came of it."""

    seconds: float
    cpu_seconds: float
    bare_seconds: float
    students: int
    cases: int
    messages: int
    lost: int
    doubled: int
    wrong: list[str]


async def run(plan: Plan) -> Took:
    """Do it."""
    quiet_logs()
    some = classes(plan.absences)
    async with loaded(load_settings(Path(plan.config), plan.environment)) as district:
        store = district.store
        notifier = Notifier(district, HOLDER)
        notify_morning.write(store, some, lambda n: say({"phase": "families", "done": n, "total": len(some)}))
        await notifier.look()  # what is in the journal by now is no news
        notify_morning.mark_all(store, some, lambda n: say({"phase": "rolls", "done": n, "total": len(some)}))
        say({"phase": "turning absences into messages", "done": 0})
        spare_collector()  # as the server does
        started, used = time.perf_counter(), time.process_time()
        await notifier.look()
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - used
        await notifier.let_go()
        say({"phase": "baseline", "done": 0})
        made = await store.read(notify_bare.rows_of)
        found = await store.read(lambda c: compare(c, some))
    return Took(
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        bare_seconds=notify_bare.insert(plan.bare, made),
        students=sum(len(one.students) for one in some),
        cases=len(made["notification_cases"]),
        messages=len(made["notifications"]),
        lost=found.lost,
        doubled=found.doubled,
        wrong=found.wrong,
    )


if __name__ == "__main__":
    client(Plan, run)
