"""The end of a run: its counts, and clearing away what is needed no longer, a little at a time."""

from __future__ import annotations

from homeroom.store import Connection, Store, Transaction
from homeroom.store.models import SyncRun
from homeroom.sync.bulk import select_in
from homeroom.sync.job import Job

_PIECE = 2000  # rows deleted in one transaction


async def finish(store: Store, job: Job, reason: str | None) -> None:
    """Keep what the run did: from here on it is done."""
    counts = await store.read(lambda connection: _counts(connection, job))

    def close(tx: Transaction) -> None:
        job.check_lease(tx)
        values = {"state": "done", "finished_at": tx.now, "reason": reason, **counts}
        tx.run(SyncRun.update(**values).where(SyncRun.id == job.run_id))

    await store.write(close)


async def clear(store: Store, job: Job) -> None:
    """Delete staged rows that no run can need any more, and letters of earlier runs that this one has read again."""
    while await store.write(lambda tx: _clear_staged(tx, job)):
        pass
    while await store.write(lambda tx: _clear_letters(tx, job)):
        pass


def overtake(tx: Transaction, run_id: str, by: str) -> None:
    """Note that a run which never ended has been overtaken; it cannot be resumed any more."""
    values = {"state": "failed", "reason": f"interrupted; run {by} took its place", "finished_at": tx.now}
    tx.run(SyncRun.update(**values).where(SyncRun.id == run_id))


def _counts(connection: Connection, job: Job) -> dict[str, int]:
    text = "SELECT change, count(*) FROM staged_rows WHERE run_id = ? GROUP BY change"
    by_change = dict(connection.sql(text, [job.run_id]))
    letters = connection.sql("SELECT count(*) FROM dead_letters WHERE run_id = ?", [job.run_id])
    return {
        "added": by_change.get("added", 0),
        "changed": by_change.get("changed", 0),
        "ended": by_change.get("ended", 0),
        "unchanged": by_change.get("unchanged", 0) + by_change.get("same", 0),
        "dead_letters": letters[0][0],
    }


def _clear_staged(tx: Transaction, job: Job) -> bool:
    """Rows of this connector's runs, all of which are over: one run at a time holds the lease."""
    rows = tx.sql(
        "SELECT run_id, noun, sourced_id FROM staged_rows "
        "WHERE run_id IN (SELECT id FROM sync_runs WHERE connector = ?) LIMIT ?",
        [job.source, _PIECE],
    )
    groups: dict[tuple[str, str], list[str]] = {}
    for run_id, noun, sourced_id in rows:
        groups.setdefault((run_id, noun), []).append(sourced_id)
    for (run_id, noun), sourced_ids in groups.items():
        tx.wrote = True
        text = "DELETE FROM staged_rows WHERE run_id = ? AND noun = ? AND sourced_id IN ({})"
        select_in(tx, text, [run_id, noun], sourced_ids)
    return bool(rows)


def _clear_letters(tx: Transaction, job: Job) -> bool:
    """Letters of earlier dry runs, and of earlier runs about nouns that this run has read in full."""
    rows = tx.sql(
        """
        SELECT id FROM dead_letters WHERE connector = ? AND run_id <> ? AND (
            run_id IN (SELECT id FROM sync_runs WHERE connector = ? AND dry_run)
            OR (? AND noun IN (SELECT noun FROM sync_checkpoints WHERE run_id = ? AND complete AND NOT delta))
        ) LIMIT ?""",
        [job.source, job.run_id, job.source, not job.dry_run, job.run_id, _PIECE],
    )
    if rows:
        tx.wrote = True
        select_in(tx, "DELETE FROM dead_letters WHERE id IN ({})", (), [row[0] for row in rows])
    return bool(rows)
