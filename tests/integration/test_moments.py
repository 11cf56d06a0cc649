"""A clock that was ahead and is set right: nothing waits for as long as it was wrong, and nothing else is touched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import time_machine

from homeroom.moments import WallClock, put_right
from homeroom.store import Connection, Store, Transaction
from homeroom.store import models as m
from homeroom.store.leases import take_lease

MONDAY = datetime(2026, 9, 14, 14, 0, tzinfo=UTC)


def mark(tx: Transaction, state: str, retry_at: datetime) -> None:
    names = ("connector", "student_id", "school_id", "student_sourced_id", "school_sourced_id", "wish")
    values = dict.fromkeys(names, "sis") | {"school_day": MONDAY.date(), "recorded_at": tx.now, "waiting_since": tx.now}
    tx.insert(m.OutgoingMark, id=f"{state} {retry_at}", state=state, retry_at=retry_at, **values)


def moments(connection: Connection) -> dict[str, list[datetime]]:
    found = {
        "leases": m.Lease.select(m.Lease.until).order_by(m.Lease.name),
        "cursors": m.Cursor.select(m.Cursor.retry_at).order_by(m.Cursor.consumer),
        "served": m.SyncSchedule.select(m.SyncSchedule.served_at).order_by(m.SyncSchedule.schedule),
        "schedules": m.SyncSchedule.select(m.SyncSchedule.retry_at).order_by(m.SyncSchedule.schedule),
        "hints": m.SyncHint.select(m.SyncHint.hinted_at).order_by(m.SyncHint.connector),
        "tasks": m.SyncTask.select(m.SyncTask.claimed_at).order_by(m.SyncTask.run_id),
        "marks": m.OutgoingMark.select(m.OutgoingMark.retry_at).order_by(m.OutgoingMark.id),
    }
    return {name: connection.values(query) for name, query in found.items()}


async def test_what_lies_too_far_ahead_comes_back_and_the_rest_stays(store: Store) -> None:
    near, far, two = timedelta(seconds=50), timedelta(hours=7), timedelta(hours=2)

    def fill(tx: Transaction) -> None:
        tx.insert(m.OutgoingQueue, connector="sis")
        for name, later in (("a", near), ("b", far)):
            at = MONDAY + later
            tx.insert(m.Lease, name=name, holder="gone", until=at)
            tx.insert(m.Cursor, consumer=f"attendance_out:{name}", retry_at=at)
            tx.insert(m.SyncSchedule, connector="sis", schedule=name, served_at=at, retry_at=at)
            tx.insert(m.SyncHint, connector=name, hinted_at=at)
            tx.insert(m.SyncTask, run_id=name, connector=name, claimed_at=at)
            mark(tx, "waiting", at)
        for consumer in ("attendance_out:c", "consume:c"):
            tx.insert(m.Cursor, consumer=consumer, retry_at=MONDAY + two)
        mark(tx, "failed", MONDAY + far)

    with time_machine.travel(MONDAY, tick=False):
        await store.write(fill)
        await store.write(put_right)
        renewed = MONDAY + timedelta(seconds=90)
        assert await store.read(moments) == {
            "leases": [MONDAY + near, renewed],
            "cursors": [MONDAY + near, MONDAY, MONDAY + two, MONDAY],
            "served": [MONDAY + near, MONDAY],
            "schedules": [MONDAY + near, MONDAY],
            "hints": [MONDAY + near, MONDAY],
            "tasks": [MONDAY + near, MONDAY],
            "marks": [MONDAY + far, MONDAY + near, MONDAY],  # by state, then by moment
        }


async def test_a_lease_of_the_dead_from_a_clock_that_was_ahead_is_free_soon(store: Store) -> None:
    clock = WallClock()
    with time_machine.travel(MONDAY, tick=True):
        await clock.look(store)
    with time_machine.travel(MONDAY + timedelta(hours=2), tick=True):
        await clock.look(store)
        assert await store.write(lambda tx: take_lease(tx, "consume:ledger", "gone", 90))
    with time_machine.travel(MONDAY, tick=True):
        assert not await store.write(lambda tx: take_lease(tx, "consume:ledger", "here", 90))
        await clock.look(store)
    with time_machine.travel(MONDAY + timedelta(seconds=100), tick=True):
        await clock.look(store)
        assert await store.write(lambda tx: take_lease(tx, "consume:ledger", "here", 90))


async def test_a_clock_that_goes_on_has_nothing_written(sqlite_store: Store) -> None:
    with time_machine.travel(MONDAY, tick=True) as now:
        clock = WallClock()
        await clock.look(sqlite_store)
        await sqlite_store.write(lambda tx: take_lease(tx, "consume:ledger", "gone", 7200))
        now.shift(60)
        await clock.look(sqlite_store)
        leases = m.Lease.select(m.Lease.until)
        [until] = await sqlite_store.read(lambda c: c.values(leases))
        assert until > MONDAY + timedelta(seconds=7000)
