"""How the background jobs stand, as the database knows it: the same in every process, whoever does them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from homeroom.consumers import name_of
from homeroom.jobs import TIDY_SECONDS, tidy
from homeroom.live.tail import events_after
from homeroom.notify.notifier import LEASE as NOTIFY
from homeroom.runs.scheduler import LEASE as SCHEDULER
from homeroom.store import Connection, Transaction, not_found, now_utc
from homeroom.store import models as m
from homeroom.store.leases import take_lease

State = Literal["running", "waiting", "failing", "stopped"]
TIDY = "tidy"
_TURN = timedelta(seconds=TIDY_SECONDS / 2)
_LOOPS = ((NOTIFY, "messages"), (SCHEDULER, "schedules"))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job. `behind` is how many entries of the journal it has yet to take, `next_event` the first of them.

    "stopped": no process does it now. Moments are None where nothing keeps them.
    """

    name: str
    kind: Literal["consumer", "loop", "tidy"]
    state: State
    last_run: datetime | None = None
    next_run: datetime | None = None
    failures: int = 0
    error: str | None = None
    behind: int | None = None
    next_event: int | None = None
    next_kind: str | None = None
    can_run: bool = False


def jobs(connection: Connection, consumers: tuple[str, ...]) -> list[JobView]:
    """Every job: tidying, the loops of messages and schedules, and each of the plugins that follow the journal."""
    now = now_utc()
    held = {row.name: row.until for row in connection.all(m.Lease.select())}
    loops = [
        JobView(name=kind, kind="loop", state="running" if _runs(held.get(lease), now) else "stopped")
        for lease, kind in _LOOPS
    ]
    return [_tidying(held.get(TIDY), now), *loops, *(_consumer(connection, name, held, now) for name in consumers)]


def tidy_now(tx: Transaction) -> int:
    """Tidy at once; gives how many rows were deleted. The processes' own turn is counted from here."""
    take_lease(tx, TIDY, "by hand", _TURN.total_seconds())
    return tidy(tx)


def try_again(tx: Transaction, plugin: str) -> None:
    """Let a plugin that stands still be tried at once, without its wait. Raises Refused 404."""
    table = m.Cursor
    if not tx.run(table.update(retry_at=None).where(table.consumer == name_of(plugin))):
        raise not_found("This plugin has taken no events yet.")


def _runs(until: Any, now: datetime) -> bool:
    return until is not None and until > now


def _tidying(until: Any, now: datetime) -> JobView:
    last = None if until is None else until - _TURN
    due = None if last is None else max(now, last + timedelta(seconds=TIDY_SECONDS))
    return JobView(name=TIDY, kind="tidy", state="waiting", last_run=last, next_run=due, can_run=True)


def _consumer(connection: Connection, plugin: str, held: dict[str, Any], now: datetime) -> JobView:
    name = name_of(plugin)
    row = connection.get(m.Cursor, name)
    position = row.position if row is not None else 0
    error = row.error if row is not None else None
    following = events_after(connection, position, 1)
    newest = connection.sql("SELECT max(id) FROM journal")[0][0] or 0
    state: State = "failing" if error else "running" if _runs(held.get(name), now) else "stopped"
    return JobView(
        name=name,
        kind="consumer",
        state=state,
        next_run=row.retry_at if row is not None else None,
        failures=row.failures if row is not None else 0,
        error=error,
        behind=max(0, newest - position),
        next_event=following[0].id if following else None,
        next_kind=following[0].kind if following else None,
        can_run=error is not None,
    )
