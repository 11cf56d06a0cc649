"""Check-ins while the same server tells a district's families, beside check-ins in peace, for `homeroom bench notify`.

The rolls are taken before the server starts, and its notifier is kept from them by holding its lease: given back, it
goes to work at once. Rounds in peace come before and after, so that a drift of the machine hits both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from homeroom.bench import notify_morning, notify_vendor
from homeroom.bench.checkin import Shot, count, shots_of
from homeroom.bench.crowd import CLASSES, Crowd, Rates, parts_of, teachers_of
from homeroom.bench.notify_district import Class, Difference, classes, compare, to_send
from homeroom.bench.outcome import median
from homeroom.bench.processes import BenchFailed, product, serving
from homeroom.bench.synthetic import Installation, populate
from homeroom.notify import cases
from homeroom.notify.notifier import LEASE
from homeroom.store import Store
from homeroom.store.leases import give_back, take_lease

Progress = Callable[[str, int, int | None], None]

_STAGES = ("in peace", "while judging", "while sending", "in peace")
_ROUNDS = 2  # of each
_HOLDER = "bench"
_LONG = 7200.0  # seconds of the lease that keeps the notifier waiting
_LOOK = 0.05
_PATIENCE = 120.0  # seconds in which something must move on
_CASES = "SELECT COUNT(*) FROM notification_cases"
_JUDGED = "SELECT COUNT(*) FROM notification_cases WHERE state = 'judged'"
_OPEN = "SELECT COUNT(*) FROM notifications WHERE state IN ('waiting', 'held', 'sending', 'unknown')"


@dataclass(slots=True, kw_only=True)
class Told:
    """The rates of check-ins, in peace and by what went on meanwhile, and what became of the messages."""

    rates: Rates
    while_judging: float = 0.0
    while_sending: float = 0.0
    messages: Difference


def measure(here: Installation, *, absences: int, checkins: int, taken: Path, progress: Progress) -> Told:
    """The rates of so many check-ins in all, over 64 kept-alive connections, while so many absences are told."""
    some = classes(absences)
    with here.store() as store:
        groups = populate(store, classes=CLASSES, students=checkins)
        _prepare(store, some, progress)
    warm, parts = parts_of(shots_of(here, groups), _ROUNDS * len(_STAGES))
    told = Told(rates=(rates := Rates()), messages=Difference())
    with serving(partial(product, "hypercorn"), here.folder, here.environment) as server, here.store() as store:
        work = _Work(store, some)
        crowd = Crowd(rates=rates, port=server.port, teachers=teachers_of(here, groups))
        crowd.rush(warm)
        for number, stage in enumerate(_STAGES):
            progress(f"check-ins {stage}", number, len(_STAGES))
            now = parts[_ROUNDS * number : _ROUNDS * (number + 1)]
            match stage:
                case "while judging":
                    store.write_now(lambda tx: give_back(tx, _HOLDER, LEASE))
                    work.wait(work.has_begun)
                    told.while_judging = _meanwhile(crowd, now, work.is_judging)
                case "while sending":
                    work.wait(lambda: not work.is_judging())
                    told.while_sending = _meanwhile(crowd, now, lambda: not work.is_over())
                    work.wait(work.is_over)
                case _:
                    rates.in_peace += [crowd.rush(part) for part in now]
        rates.lost, rates.doubled = store.read_now(lambda c: count(c, crowd.answered))
        told.messages = store.read_now(lambda c: compare(c, some))
    left = notify_vendor.taken(taken)
    told.messages.lost += max(0, to_send(some) - len(left))
    told.messages.doubled += left.total() - len(left)
    return told


def _prepare(store: Store, some: Sequence[Class], progress: Progress) -> None:
    """Families and rolls, all of it news to the server's notifier."""
    notify_morning.write(store, some, lambda done: progress("families", done, len(some)))
    store.write_now(lambda tx: take_lease(tx, LEASE, _HOLDER, _LONG))
    store.write_now(cases.begin)
    notify_morning.mark_all(store, some, lambda done: progress("rolls", done, len(some)))


def _meanwhile(crowd: Crowd, parts: Sequence[Sequence[Shot]], is_on: Callable[[], bool]) -> float:
    """Check-ins a second while something is on; whether it was on to the end is noted."""
    rates = []
    for part in parts:
        was_on = is_on()
        rates.append(crowd.rush(part))
        crowd.rates.cut_short |= not (was_on and is_on())
    crowd.rates.meanwhile += rates
    return median(rates)


class _Work:
    """What the server's notifier has to do, as the database shows it."""

    def __init__(self, store: Store, some: Sequence[Class]) -> None:
        self._store = store
        self._cases = sum(student.status != "present" for one in some for student in one.students)

    def has_begun(self) -> bool:
        """Whether it has come to the rolls."""
        return self._count(_CASES) > 0

    def is_judging(self) -> bool:
        """Whether cases are still to be judged."""
        return self._count(_JUDGED) < self._cases

    def is_over(self) -> bool:
        """Whether every message is out."""
        return not self.is_judging() and not self._count(_OPEN)

    def wait(self, until: Callable[[], bool]) -> None:
        """Come back when that is so. Raises BenchFailed when nothing moves on for long."""
        deadline, before = time.monotonic() + _PATIENCE, self._standing()
        while not until():
            now = self._standing()
            if now != before:
                deadline, before = time.monotonic() + _PATIENCE, now
            if time.monotonic() > deadline:
                raise BenchFailed("The notifier does not come to its end.")
            time.sleep(_LOOK)  # another process does it: there is nothing to wait on but its word

    def _standing(self) -> tuple[int, ...]:
        return tuple(self._count(text) for text in (_CASES, _JUDGED, _OPEN))

    def _count(self, text: str) -> int:
        return int(self._store.read_now(lambda c: c.sql(text))[0][0])
