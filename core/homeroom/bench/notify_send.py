"""Messages on their way out, for `homeroom bench notify`: what a vendor takes a second, beside what it could take.

Reads a Plan from standard input: each time a share of the rolls is taken, turned into messages and sent to a vendor in
this process, which answers at once, after a set time, or after one that is now longer and now shorter.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from homeroom.bench import notify_morning, notify_vendor
from homeroom.bench.exchange import CannotMeasure, client, say
from homeroom.bench.notify_district import Class, classes, compare, to_send
from homeroom.cli.installation import loaded, quiet_logs, spare_collector
from homeroom.district import District
from homeroom.notify.notifier import Notifier
from homeroom.settings import load_settings
from homeroom.store import Connection

LATENCY = 0.1
"""Seconds until a vendor answers: about what the big ones need."""

PACES: Mapping[str, tuple[float, float]] = {"at once": (0, 0), "steadily": (LATENCY, 0), "unevenly": (LATENCY, 0.5)}
"""How the vendor answers: its latency, and by which share of it an answer may come sooner or later."""

_HOLDER = "bench"
_STATES = "SELECT state, COUNT(*), MAX(attempts) FROM notifications GROUP BY state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The messages of so many `absences` at each pace.

    The vendor is found in the folder `modules`, and notes in `taken` what it has taken.
    """

    config: str
    environment: Mapping[str, str]
    absences: int
    modules: str
    taken: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Messages a second by pace, what the vendor bounds them to, the processor's time for one, and what is amiss."""

    rates: dict[str, float]
    bound: float
    cpu_us: float
    sent: int
    lost: int
    doubled: int
    wrong: list[str]


async def run(plan: Plan) -> Took:
    """Do it. Raises CannotMeasure when the plugin is not there."""
    quiet_logs()
    sys.path.append(plan.modules)
    some = classes(plan.absences * len(PACES))
    size = -(-len(some) // len(PACES))
    settings = load_settings(Path(plan.config), plan.environment)
    rates: dict[str, float] = {}
    used: dict[str, float] = {}
    async with loaded(settings) as district:
        if not district.host.senders("sms"):
            raise CannotMeasure("the vendor's plugin is not loaded")
        notify_morning.write(district.store, some, lambda n: say({"phase": "families", "done": n, "total": len(some)}))
        notifier = Notifier(district, _HOLDER)
        await notifier.look()
        for number, (pace, (latency, spread)) in enumerate(PACES.items()):
            part = some[size * number : size * (number + 1)]
            await district.host.restart(notify_vendor.NAME, {"latency": latency, "spread": spread})
            rates[pace], used[pace] = await _sent(district, notifier, pace, part)
        await notifier.let_go()
        found = await district.store.read(lambda c: compare(c, some))
        states = await district.store.read(_states)
    taken = notify_vendor.taken(Path(plan.taken))
    wanted = to_send(some)
    return Took(
        rates=rates,
        bound=settings.notify.at_once / LATENCY,
        cpu_us=1e6 * used["at once"],
        sent=len(taken),
        lost=found.lost + max(0, wanted - len(taken)),
        doubled=found.doubled + taken.total() - len(taken),
        wrong=found.wrong + [f"{count} messages are {state}" for state, count in states.items() if state != "accepted"],
    )


async def _sent(district: District, notifier: Notifier, pace: str, part: Sequence[Class]) -> tuple[float, float]:
    """Messages a second of these classes' absences, and processor seconds for each."""
    notify_morning.mark_all(district.store, part, lambda _n: None)
    await notifier.look()
    say({"phase": f"a vendor that answers {pace}", "done": 0})
    spare_collector()
    started, used = time.perf_counter(), time.process_time()
    if await notifier.send() is None:
        raise CannotMeasure("another process holds the lease")
    count = to_send(part)
    return count / (time.perf_counter() - started), (time.process_time() - used) / count


def _states(connection: Connection) -> dict[str, int]:
    """How many messages that may be told are in each state; those that were tried more than once stand apart."""
    rows = [row for row in connection.sql(_STATES) if row[0] != "withheld"]
    return {state if most <= 1 else f"{state}, and tried again": count for state, count, most in rows}


if __name__ == "__main__":
    client(Plan, run)
