"""What came of runs: for the command line, the API and the admin page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from homeroom.store import Connection, now_utc
from homeroom.store.models import DeadLetter, SyncRun
from homeroom.sync import lease
from homeroom.sync.guard import Alarm
from homeroom.sync.job import lease_of

RunState = Literal["pulling", "applying", "held", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What one run did, or in a dry run would have done. `seconds` counts until now for one that is still going.

    `kind` is "sync" or "replay" (of rows that were left out). `findings` are the guard's, `released_by` who let a held
    run go on, `approves` the dry run that it took over. `phase` ("pulling", "applying", "ending"), `noun`, `done` and
    `total` (where it is known) say how far it is or came; `rows_read` counts every noun's.
    """

    run_id: str
    connector: str
    status: RunState
    dry_run: bool
    added: int
    changed: int
    ended: int
    unchanged: int
    dead_letters: int
    seconds: float
    reason: str | None = None
    started_at: datetime
    finished_at: datetime | None = None
    started_by: str | None = None
    kind: Literal["sync", "replay"] = "sync"
    findings: tuple[Alarm, ...] = ()
    released_by: str | None = None
    approves: str | None = None
    phase: str | None = None
    noun: str | None = None
    done: int = 0
    total: int | None = None
    rows_read: int = 0

    @property
    def rows_per_second(self) -> float:
        """How many rows it has read and dealt with in a second, on average."""
        return round(self.rows_read / self.seconds, 1) if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """The shape of `sync run --json`, without the diff."""
        names = ("run_id", "connector", "status", "dry_run", "added", "changed", "ended", "unchanged", "dead_letters")
        told = {**{name: getattr(self, name) for name in names}, "seconds": self.seconds, "reason": self.reason}
        return {**told, "findings": [alarm.as_json() for alarm in self.findings]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorStatus:
    """Where one connector stands: its last run, its last success, and the rows it could not take.

    `last_success` is when the last real run was done, `lag_seconds` how long ago it began: how old its roster is.
    """

    connector: str
    running: bool
    last: RunResult
    last_success: datetime | None
    dead_letters: int
    lag_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One row that could not be taken, or not wholly: where it stands in the source, and why.

    `replayable` says that the row itself was kept, so that it can be replayed.
    """

    id: int
    run_id: str
    noun: str
    location: str
    field: str | None
    reason: str
    sourced_id: str | None = None
    replayable: bool = False


def result_of(connection: Connection, run_id: str) -> RunResult | None:
    """What one run did so far; None when there is no such run."""
    row = connection.get(SyncRun, run_id)
    return None if row is None else _result(row)


def runs(
    connection: Connection, connector: str | None = None, *, limit: int = 20, before: str | None = None
) -> list[RunResult]:
    """The latest runs, the newest first; `before` is the last id of the page before."""
    query = SyncRun.select().order_by(SyncRun.started_at.desc(), SyncRun.id.desc()).limit(limit)
    if connector is not None:
        query = query.where(SyncRun.connector == connector)
    if before is not None:
        last = connection.get(SyncRun, before)
        if last is None:
            return []
        same = (SyncRun.started_at == last.started_at) & (SyncRun.id < before)
        query = query.where((SyncRun.started_at < last.started_at) | same)
    return [_result(row) for row in connection.all(query)]


def status(connection: Connection, now: datetime) -> list[ConnectorStatus]:
    """Where each connector stands that ever ran, by name."""
    names = connection.values(SyncRun.select(SyncRun.connector).distinct().order_by(SyncRun.connector))
    return [_status(connection, name, now) for name in names]


def dead_letters(
    connection: Connection, connector: str, *, run_id: str | None = None, limit: int = 100, after: int = 0
) -> Sequence[Letter]:
    """The rows that could not be taken, in the order they were met; `after` is the last id of the page before."""
    query = DeadLetter.select().where(
        DeadLetter.connector == connector, DeadLetter.id > after, DeadLetter.replayed_at.is_null()
    )
    if run_id is not None:
        query = query.where(DeadLetter.run_id == run_id)
    return [
        Letter(
            id=row.id,
            run_id=row.run_id,
            noun=row.noun,
            location=row.location,
            field=row.field,
            reason=row.reason,
            sourced_id=row.sourced_id,
            replayable=row.content is not None,
        )
        for row in connection.all(query.order_by(DeadLetter.id).limit(limit))
    ]


def _status(connection: Connection, name: str, now: datetime) -> ConnectorStatus:
    real = SyncRun.select().where(
        SyncRun.connector == name, ~SyncRun.dry_run, SyncRun.state == "done", SyncRun.kind == "sync"
    )
    success = connection.one(real.order_by(SyncRun.started_at.desc()))
    held_until = lease.until(connection, lease_of(name))
    count = connection.sql(
        "SELECT count(*) FROM dead_letters WHERE connector = ? AND replayed_at IS NULL "
        "AND run_id NOT IN (SELECT id FROM sync_runs WHERE connector = ? AND dry_run)",
        [name, name],
    )
    return ConnectorStatus(
        connector=name,
        running=held_until is not None and held_until > now,
        last=runs(connection, name, limit=1)[0],
        last_success=success.finished_at if success else None,
        dead_letters=int(count[0][0]),
        lag_seconds=round((now - success.started_at).total_seconds(), 1) if success else None,
    )


def _result(row: SyncRun) -> RunResult:
    seconds = ((row.finished_at or now_utc()) - row.started_at).total_seconds()
    return RunResult(
        run_id=row.id,
        connector=row.connector,
        status=cast("RunState", row.state),
        dry_run=row.dry_run,
        added=row.added,
        changed=row.changed,
        ended=row.ended,
        unchanged=row.unchanged,
        dead_letters=row.dead_letters,
        seconds=round(seconds, 3),
        reason=row.reason,
        started_at=row.started_at,
        finished_at=row.finished_at,
        started_by=row.started_by,
        kind=cast("Literal['sync', 'replay']", row.kind),
        findings=tuple(Alarm.from_json(kept) for kept in row.findings),
        released_by=row.released_by,
        approves=row.approves,
        phase=row.phase,
        noun=row.noun,
        done=row.done,
        total=row.total,
        rows_read=row.rows_read,
    )
