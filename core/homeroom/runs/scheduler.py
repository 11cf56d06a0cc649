"""Begins the runs that are due, and goes on with those that a process has left: one process of the district at a time.

A plain look every few seconds, and not a task queue: what is due stands in the database, so a queue would be a second
truth that could disagree with it. A lease decides which process looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from homeroom.runs import due
from homeroom.runs.due import Wish
from homeroom.runs.under_way import Home, SyncRuns
from homeroom.schedules import Schedule
from homeroom.store import Refused, Transaction, new_id, now_utc
from homeroom.store.leases import KeptLease

log = structlog.get_logger("homeroom.sync")

LEASE = "sync-scheduler"
LEASE_SECONDS = 45.0
_RENEW_SECONDS = 15.0


def scheduled(home: Home) -> dict[str, Sequence[Schedule]]:
    """The schedules of every connector that is on, none for one that runs only by hand and by hints."""
    said = home.settings.sync.schedules
    return {name: said.get(name, ()) for name in home.host.implementers("sis_connector")}


class Scheduler:
    """This process's share of the looking; `holder` is its name in the lease."""

    def __init__(self, runs: SyncRuns, holder: str) -> None:
        self._home = runs.home
        self._runs = runs
        self._lease = KeptLease(runs.home.store, LEASE, holder, seconds=LEASE_SECONDS, renew=_RENEW_SECONDS)

    async def look(self) -> None:
        """Begin what is due and go on with what was left, if it is this process's turn."""
        if not await self._lease.take():
            return
        store, now = self._home.store, now_utc()
        schedules = scheduled(self._home)
        for task in await store.read(lambda c: due.orphans(c, now)):
            if task.connector in schedules:
                await self._adopt(task.run_id)
        for name, schedule in await store.read(lambda c: due.first_seen(c, schedules)):
            await store.write(partial(due.see, connector=name, schedule=schedule))
        zone = self._home.settings.attendance.time_zone
        for wish in await store.read(lambda c: due.due(c, schedules, now, zone)):
            await self._begin(wish, schedules)

    async def step_back(self) -> None:
        """Let another process look at once."""
        if self._lease.left:
            await self._lease.give_back()

    async def _begin(self, wish: Wish, schedules: Mapping[str, Sequence[Schedule]]) -> None:
        run_id, zone = new_id(), self._home.settings.attendance.time_zone

        def still_due(tx: Transaction) -> bool:
            only = {wish.connector: schedules[wish.connector]}
            if due.due(tx, only, tx.now, zone) != [wish]:
                return False
            due.claim(tx, wish, run_id)
            return True

        if await self._home.store.write(still_due):
            try:
                await self._runs.begin_claimed(run_id, wish)
            except Refused as exc:
                log.warning("sync_not_begun", connector=wish.connector, reason=exc.problem)

    async def _adopt(self, run_id: str) -> None:
        task = await self._home.store.write(partial(due.adopt, run_id=run_id))
        if task is None:
            return
        try:
            await self._runs.take_over(task)
        except Refused as exc:
            log.warning("sync_not_resumed", connector=task.connector, reason=exc.problem)
