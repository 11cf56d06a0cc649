"""How a run goes from one state to the next: begun, begun again, held, released, discarded, done, failed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from homeroom.records import Noun
from homeroom.store import ORIGIN, Connection, Refused, Store, StoreError, Transaction, conflict, iso
from homeroom.store.models import SyncCheckpoint, SyncRun
from homeroom.sync import lease
from homeroom.sync.guard import Alarm
from homeroom.sync.job import Job, lease_of

KEPT = timedelta(hours=24)
"""How long what a held run or a dry run has read may still be taken over."""

OVERLAP = timedelta(minutes=10)  # clocks of a SIS and of this server differ

_COUNTED = {
    "added": "'added'",
    "changed": "'changed'",
    "ended": "'ended'",
    "unchanged": "'unchanged', 'same'",
}
_OPEN = ("pulling", "applying")


def begin(
    tx: Transaction, job: Job, started_by: str | None, *, kind: str = "sync", approves: str | None = None
) -> None:
    """Take the connector's lease and enter a new run; those that were never ended are overtaken.

    Raises Refused 409 while another run of the connector is under way.
    """
    _take_lease(tx, job)
    over = _OPEN if job.dry_run or kind == "replay" else (*_OPEN, "held")
    unended = SyncRun.select(SyncRun.id, SyncRun.state).where(SyncRun.connector == job.source, SyncRun.state.in_(over))
    for run_id, state in tx.tuples(unended):
        was = "held and never released" if state == "held" else "interrupted"
        values = {"state": "failed", "reason": f"{was}; run {job.run_id} took its place", "finished_at": tx.now}
        tx.run(SyncRun.update(**values).where(SyncRun.id == run_id))
    tx.insert(
        SyncRun,
        id=job.run_id,
        connector=job.source,
        dry_run=job.dry_run,
        full=job.full,
        kind=kind,
        approves=approves,
        started_at=tx.now,
        started_by=started_by,
    )
    if approves is not None:
        data = {"connector": job.source, "run_id": job.run_id, "dry_run_id": approves}
        tx.journal("sync.approved", subject_id=job.run_id, data=data)


@contextlib.contextmanager
def in_name_of(by: str | None, run_id: str) -> Iterator[None]:
    """Let every change made here be entered in the journal as this person's (None: whoever asks now) and run's."""
    origin = ORIGIN.get()
    token = ORIGIN.set(replace(origin, actor_id=by or origin.actor_id, request_id=run_id))
    try:
        yield
    finally:
        ORIGIN.reset(token)


def begin_again(tx: Transaction, job: Job) -> SyncRun:
    """Take the lease for a run that failed or was killed; gives its row.

    Raises Refused 409 for a run that is done, held, a replay, under way or overtaken.
    """
    row = run_of(tx, job.run_id)
    if row.state == "done":
        raise conflict("sync-done", "This run is done.")
    if row.state == "held":
        raise conflict("sync-held", "This run is held. Release or discard it.")
    if row.kind == "replay":
        raise conflict("sync-replay", "This was a replay of rows that were left out. Replay them again.")
    if _is_overtaken(tx, row):
        raise conflict("sync-overtaken", "A later run has taken this one's place.")
    _take_lease(tx, job)
    tx.run(SyncRun.update(state="pulling", reason=None, finished_at=None).where(SyncRun.id == job.run_id))
    return row


def release(tx: Transaction, job: Job, by: str) -> None:
    """Let a held run go on, in the name of `by`.

    Raises Refused 409 when it is not held, or was read more than 24 hours ago.
    """
    row = run_of(tx, job.run_id)
    _check_held(row)
    if not is_fresh(row, tx.now):
        raise conflict("sync-too-old", "This run was read more than a day ago. Start a new one.")
    if _is_overtaken(tx, row, real_only=True):
        raise conflict("sync-overtaken", "A later run has taken this one's place.")
    _take_lease(tx, job)
    values = {"state": "applying", "reason": None, "finished_at": None, "judged_at": tx.now, "released_by": by}
    tx.run(SyncRun.update(**values).where(SyncRun.id == job.run_id))
    tx.journal("sync.released", subject_id=job.run_id, data={"connector": row.connector, "run_id": job.run_id})


def discard(tx: Transaction, run_id: str) -> None:
    """End a held run without taking anything over. Raises Refused 404 for an unknown run, 409 when it is not held."""
    row = run_of(tx, run_id)
    _check_held(row)
    values = {"state": "failed", "reason": "held, and discarded by an administrator", "finished_at": tx.now}
    tx.run(SyncRun.update(**values).where(SyncRun.id == run_id))
    tx.journal("sync.discarded", subject_id=run_id, data={"connector": row.connector, "run_id": run_id})


def pass_on(tx: Transaction, job: Job, alarms: Sequence[Alarm]) -> None:
    """Note what the guard found, and that the run goes on."""
    job.check_lease(tx)
    values: dict[str, Any] = {"findings": [alarm.as_json() for alarm in alarms], "judged_at": tx.now}
    tx.run(SyncRun.update(**values, state="applying").where(SyncRun.id == job.run_id))


def hold(tx: Transaction, job: Job, alarms: Sequence[Alarm]) -> None:
    """Stop the run before anything is taken over, and keep why."""
    job.check_lease(tx)
    reason = " ".join(alarm.found for alarm in alarms)
    values: dict[str, Any] = {"findings": [alarm.as_json() for alarm in alarms], "finished_at": tx.now}
    tx.run(SyncRun.update(**values, state="held", reason=reason).where(SyncRun.id == job.run_id))


async def finish(store: Store, job: Job, reason: str | None) -> None:
    """Keep what the run did: from here on it is done."""
    counts = await store.read(lambda connection: _counts(connection, job))

    def close(tx: Transaction) -> None:
        job.check_lease(tx)
        values = {"state": "done", "finished_at": tx.now, "reason": reason, **counts}
        tx.run(SyncRun.update(**values).where(SyncRun.id == job.run_id))

    await store.write(close)


async def fail(store: Store, job: Job, reason: str) -> None:
    """Keep why the run failed; what it has staged stays, so that it can be resumed.

    A run that another process has taken over is that process's to tell about.
    """

    def unit(tx: Transaction) -> None:
        if not lease.is_held(tx, job.lease, job.holder):
            return
        values = {"state": "failed", "reason": reason, "finished_at": tx.now}
        tx.run(SyncRun.update(**values).where(SyncRun.id == job.run_id, SyncRun.state != "done"))

    with contextlib.suppress(StoreError):  # the database itself may be what failed
        await store.write(unit)


def run_of(connection: Connection, run_id: str) -> SyncRun:
    """The row of a run. Raises Refused 404 when there is none."""
    row = connection.get(SyncRun, run_id)
    if row is None:
        raise Refused(404, "not-found", "There is no such run.")
    return row


def watermark(connection: Connection, source: str, noun: Noun) -> datetime | None:
    """Since when to ask for changes of a noun: when the last run that read it to its end and took it over began.

    Ten minutes are laid over, because clocks differ; None when no run ever did.
    """
    rows = connection.sql(
        "SELECT r.started_at FROM sync_runs r JOIN sync_checkpoints c ON c.run_id = r.id "
        "WHERE r.connector = ? AND r.state = 'done' AND NOT r.dry_run AND c.noun = ? AND c.complete "
        "ORDER BY r.started_at DESC LIMIT 1",
        [source, noun],
    )
    return datetime.fromisoformat(rows[0][0]) - OVERLAP if rows else None


def point_of(connection: Connection, job: Job, noun: Noun) -> SyncCheckpoint | None:
    """How far the run has read this noun; None before its first page."""
    query = SyncCheckpoint.select().where(SyncCheckpoint.run_id == job.run_id, SyncCheckpoint.noun == noun)
    return connection.one(query)


def cut_off(connection: Connection, source: str, run_id: str | None = None) -> str | None:
    """The last run but `run_id` that began to take rows over and never came to its end; None after a later one did."""
    applied = SyncRun.select(SyncRun.id, SyncRun.state).where(
        SyncRun.connector == source, ~SyncRun.dry_run, SyncRun.kind == "sync", ~SyncRun.judged_at.is_null()
    )
    if run_id is not None:
        applied = applied.where(SyncRun.id != run_id)
    last = connection.tuples(applied.order_by(SyncRun.started_at.desc(), SyncRun.id.desc()).limit(1))
    return last[0][0] if last and last[0][1] != "done" else None


def is_fresh(row: SyncRun, now: datetime) -> bool:
    """Whether what this run has read may still be taken over."""
    age: timedelta = now - row.started_at
    return age <= KEPT


def last_dry_run(connection: Connection, source: str) -> SyncRun | None:
    """The latest dry run of a connector that came to its end: the one whose rows are kept."""
    done = SyncRun.select().where(SyncRun.connector == source, SyncRun.dry_run, SyncRun.state == "done")
    return connection.one(done.order_by(SyncRun.started_at.desc(), SyncRun.id.desc()))


def kept_runs(connection: Connection, source: str, now: datetime) -> list[str]:
    """The runs whose staged rows may still be wanted: held ones and the last dry run, for a day, and one cut off."""
    since = iso(now - KEPT)
    held = SyncRun.select(SyncRun.id).where(
        SyncRun.connector == source, SyncRun.state == "held", SyncRun.started_at >= since
    )
    dry = last_dry_run(connection, source)
    cut = cut_off(connection, source)
    return [
        *connection.values(held),
        *([dry.id] if dry is not None and is_fresh(dry, now) else []),
        *([cut] if cut is not None else []),
    ]


def _check_held(row: SyncRun) -> None:
    if row.state != "held":
        raise conflict("sync-not-held", f"This run is not held: it is {row.state}.")


def _is_overtaken(tx: Transaction, row: SyncRun, *, real_only: bool = False) -> bool:
    later = SyncRun.select().where(SyncRun.connector == row.connector, SyncRun.started_at > row.started_at)
    if real_only:
        later = later.where(~SyncRun.dry_run, SyncRun.kind == "sync")
    return tx.one(later) is not None


def _take_lease(tx: Transaction, job: Job) -> None:
    if not lease.take(tx, job.lease, job.holder):
        until = lease.until(tx, lease_of(job.source))
        seconds = max(1, round((until - tx.now).total_seconds())) if until else lease.SECONDS
        raise Refused(
            409,
            "sync-running",
            f"A run of {job.source} is under way. If its process was killed, try again in {seconds} seconds.",
            retry_after=seconds,
        )


def _counts(connection: Connection, job: Job) -> dict[str, int]:
    counted = ", ".join(f"count(*) FILTER (WHERE change IN ({kinds}))" for kinds in _COUNTED.values())
    counts = connection.sql(f"SELECT {counted} FROM staged_rows WHERE run_id = ?", [job.run_id])  # noqa: S608 - ours
    letters = connection.sql("SELECT count(*) FROM dead_letters WHERE run_id = ?", [job.run_id])
    return {**dict(zip(_COUNTED, counts[0], strict=True)), "dead_letters": letters[0][0]}
