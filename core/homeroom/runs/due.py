"""Which connectors' runs are due, by what stands in the database: schedules served, vendors' hints, runs begun.

Whoever begins a run claims it first: the claim is a row that stays until the run has ended, in the transaction that
notes its schedule as served and takes its hint away. So nothing is begun twice, and nothing that was begun is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeroom.runs import diffs
from homeroom.schedules import Schedule
from homeroom.store import Connection, Refused, Transaction
from homeroom.store.models import SyncHint, SyncRun, SyncSchedule, SyncTask
from homeroom.sync import lease
from homeroom.sync.job import lease_of

HINT = "hint"
"""What stands for a vendor's word among the schedules that a run serves."""

SETTLE = timedelta(seconds=10)  # a change at a vendor comes as several events
APART = timedelta(seconds=60)  # between two runs that hints ask for
HELD_FRESH = timedelta(hours=24)  # so long a person may let a held run go on; then it must be read again
_FIRST_WAIT = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=1)
_OVER = ("done", "held", "failed")
_BEGINS_WITHIN = timedelta(seconds=60)  # from the claim of a run to its lease

Schedules = Mapping[str, Sequence[Schedule]]
"""The schedules of each connector that can run, by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A run to be begun: `serves` are the schedules it is for, or HINT; none for one that a person asked for.

    `approves` is the dry run whose rows it is to take over.
    """

    connector: str
    full: bool
    dry_run: bool = False
    started_by: str | None = None
    approves: str | None = None
    serves: tuple[str, ...] = ()


def due(connection: Connection, schedules: Schedules, now: datetime, zone: str) -> list[Wish]:
    """The runs that should begin now, at most one for each connector; `zone` is the district's.

    A connector that runs, whose last run is held for a person, or that has not rested after a run, waits.
    """
    return [
        wish
        for name, several in schedules.items()
        if not any(one.off for one in several)
        and _may_begin(connection, name, now)
        and (wish := _due_of(connection, name, several, now, zone)) is not None
    ]


def claim(tx: Transaction, wish: Wish, run_id: str) -> None:
    """Note that a run begins here and now: it is to go on until it has ended, whatever happens to this process.

    Raises Refused 409 while another run of the connector is under way.
    """
    until = lease.until(tx, lease_of(wish.connector))
    if until is not None and until > tx.now:
        text = f"A run of {wish.connector} is under way. Wait until it has ended, then try again."
        raise Refused(409, "sync-running", text, retry_after=max(1, round((until - tx.now).total_seconds())))
    serves = [*wish.serves, *_overtaken(tx, wish, run_id)]
    fresh = tx.insert_new(
        SyncTask,
        run_id=run_id,
        connector=wish.connector,
        dry_run=wish.dry_run,
        full=wish.full,
        started_by=wish.started_by,
        approves=wish.approves,
        schedules="\n".join(serves),
        claimed_at=tx.now,
    )
    if not fresh:  # one that was interrupted goes on
        tx.run(SyncTask.update(claimed_at=tx.now).where(SyncTask.run_id == run_id))
    for schedule in serves:
        _serve(tx, wish.connector, schedule, served_at=tx.now)
    if serves and not wish.dry_run:
        tx.run(SyncHint.delete().where(SyncHint.connector == wish.connector))


def settle(tx: Transaction, run_id: str, *, failed: bool) -> None:
    """Note that a claimed run has ended; after a failure its schedules come again, after longer and longer waits.

    The claim of one that another process has gone on with is left to that one.
    """
    task, run = tx.get(SyncTask, run_id), tx.get(SyncRun, run_id)
    if task is None or (run is not None and run.state not in _OVER):
        return
    for schedule in filter(None, task.schedules.split("\n")):
        row = _row(tx, task.connector, schedule)
        failures = (row.failures if row else 0) + 1 if failed else 0
        wait = min(_FIRST_WAIT * 2 ** min(failures - 1, 10), _LONGEST_WAIT) if failed else None
        _serve(tx, task.connector, schedule, failures=failures, retry_at=tx.now + wait if wait else None)
        if failed and schedule == HINT:
            tx.insert_new(SyncHint, connector=task.connector, hinted_at=tx.now)
    tx.run(SyncTask.delete().where(SyncTask.run_id == run_id))


def take_back(tx: Transaction, run_id: str) -> None:
    """Undo the claim of a run that could not begin, because another was quicker: its schedules are due again."""
    task = tx.get(SyncTask, run_id)
    if task is None:
        return
    for schedule in filter(None, task.schedules.split("\n")):
        if schedule == HINT:
            tx.insert_new(SyncHint, connector=task.connector, hinted_at=tx.now)
        _serve(tx, task.connector, schedule, retry_at=tx.now + APART)
    tx.run(SyncTask.delete().where(SyncTask.run_id == run_id))


def leave(tx: Transaction, run_id: str) -> None:
    """Leave a claimed run to the next process, at once: this one stops."""
    tx.run(SyncTask.update(claimed_at=None).where(SyncTask.run_id == run_id))


def orphans(connection: Connection, now: datetime) -> list[SyncTask]:
    """The claimed runs that no process is at, because it stopped or died."""
    stale = SyncTask.claimed_at.is_null() | (SyncTask.claimed_at < now - _BEGINS_WITHIN)
    return [
        task for task in connection.all(SyncTask.select().where(stale)) if not runs_now(connection, task.connector, now)
    ]


def adopt(tx: Transaction, run_id: str) -> SyncTask | None:
    """Claim an orphan for this process; None when another was quicker, or when its run has ended already."""
    task = next((one for one in orphans(tx, tx.now) if one.run_id == run_id), None)
    if task is None:
        return None
    run = tx.get(SyncRun, run_id)
    if run is not None and run.state in _OVER:
        if task.dry_run:
            diffs.forget(tx, run_id)  # nobody knows whether all of it was kept
        settle(tx, run_id, failed=run.state == "failed")
        return None
    task.attempts += task.claimed_at is not None  # one that stopped has left it; one that died has not
    tx.run(SyncTask.update(claimed_at=tx.now, attempts=task.attempts).where(SyncTask.run_id == run_id))
    return task


def first_seen(connection: Connection, schedules: Schedules) -> list[tuple[str, str]]:
    """The times of day that nobody has kept yet: from now on they can be missed."""
    known = set(connection.tuples(SyncSchedule.select(SyncSchedule.connector, SyncSchedule.schedule)))
    return [
        (name, one.text)
        for name, several in schedules.items()
        for one in several
        if one.at is not None and (name, one.text) not in known
    ]


def see(tx: Transaction, connector: str, schedule: str) -> None:
    """Count a time of day from now on."""
    tx.insert_new(SyncSchedule, connector=connector, schedule=schedule, served_at=tx.now)


def next_start(
    connection: Connection, connector: str, several: Sequence[Schedule], now: datetime, zone: str
) -> datetime | None:
    """When the connector's next run is due, in UTC; None when nothing is scheduled."""
    found: list[datetime] = []
    for one in several:
        row = _row(connection, connector, one.text)
        at = one.next_start(row.served_at if row else None, now, zone)
        if row is not None and row.retry_at is not None:  # the last run for it failed
            found.append(row.retry_at)
        elif at is not None:
            found.append(at)
    return max(now, min(found)) if found else None


def runs_now(connection: Connection, connector: str, now: datetime) -> bool:
    """Whether any process is at a run of the connector."""
    until = lease.until(connection, lease_of(connector))
    return until is not None and until > now


def is_settled(connection: Connection, run_id: str) -> bool:
    """Whether a run that has ended is wholly dealt with: a dry run's rows are kept only then."""
    return connection.get(SyncTask, run_id) is None


def _overtaken(tx: Transaction, wish: Wish, run_id: str) -> list[str]:
    """The schedules of interrupted runs whose place a new one takes, where it serves them too; others come again."""
    found: set[str] = set()
    for task in orphans(tx, tx.now):
        if task.connector != wish.connector or task.run_id == run_id:
            continue
        if wish.dry_run or (task.full and not wish.full):
            take_back(tx, task.run_id)
        else:
            found |= set(filter(None, task.schedules.split("\n")))
            tx.run(SyncTask.delete().where(SyncTask.run_id == task.run_id))
    return sorted(found - set(wish.serves))


def _may_begin(connection: Connection, name: str, now: datetime) -> bool:
    if runs_now(connection, name, now) or connection.one(SyncTask.select().where(SyncTask.connector == name)):
        return False
    real = SyncRun.select().where(SyncRun.connector == name, ~SyncRun.dry_run, SyncRun.kind == "sync")
    last = connection.one(real.order_by(SyncRun.started_at.desc(), SyncRun.id.desc()))
    if last is None:
        return True
    if last.state == "held":
        return bool(last.started_at < now - HELD_FRESH)
    return True


def _due_of(connection: Connection, name: str, several: Sequence[Schedule], now: datetime, zone: str) -> Wish | None:
    ripe: list[Schedule] = []
    for one in several:
        row = _row(connection, name, one.text)
        if row is not None and row.retry_at is not None:
            if row.retry_at <= now:
                ripe.append(one)
        elif one.is_due(row.served_at if row else None, now, zone) and _rested(connection, name, one, now):
            ripe.append(one)
    if ripe:
        full = any(one.full for one in ripe)
        return Wish(connector=name, full=full, serves=tuple(one.text for one in ripe))
    return Wish(connector=name, full=False, serves=(HINT,)) if _hinted(connection, name, now) else None


def _hinted(connection: Connection, name: str, now: datetime) -> bool:
    """Whether a vendor's hint has settled, and the last run for one is long enough ago."""
    hinted = connection.get(SyncHint, name)
    if hinted is None or hinted.hinted_at > now - SETTLE:
        return False
    row = _row(connection, name, HINT)
    return row is None or (row.retry_at or row.served_at + APART) <= now


def _rested(connection: Connection, name: str, schedule: Schedule, now: datetime) -> bool:
    """Whether the connector has rested for as long as its last run took, or for the whole interval if that is less."""
    over = SyncRun.select().where(SyncRun.connector == name, SyncRun.finished_at.is_null(False))
    last = connection.one(over.order_by(SyncRun.finished_at.desc()))
    if last is None or schedule.every is None:
        return True
    if last.finished_at > now + APART:  # by a clock that was ahead then
        return True
    return bool(now >= last.finished_at + min(schedule.every, last.finished_at - last.started_at))


def _row(connection: Connection, connector: str, schedule: str) -> SyncSchedule | None:
    table = SyncSchedule
    return connection.one(table.select().where(table.connector == connector, table.schedule == schedule))


def _serve(tx: Transaction, connector: str, schedule: str, **values: object) -> None:
    table = SyncSchedule
    tx.insert_new(table, connector=connector, schedule=schedule)
    tx.run(table.update(**values).where(table.connector == connector, table.schedule == schedule))
