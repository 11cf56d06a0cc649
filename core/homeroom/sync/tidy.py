"""Clearing away what a run has staged and no run can need any more, a little at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from homeroom.records import Noun
from homeroom.store import Store, Transaction, now_utc
from homeroom.store.bulk import write_in
from homeroom.sync.job import Job
from homeroom.sync.states import kept_runs

_PIECE = 2000  # rows deleted in one transaction


async def clear_staged(store: Store, job: Job) -> None:
    """Delete staged rows of the connector's runs, but for those that are kept to be released or approved."""
    now = now_utc()
    kept = set(await store.read(lambda connection: kept_runs(connection, job.source, now)))
    while await store.write(lambda tx: _clear_staged(tx, job, kept)):
        pass


async def clear_noun(store: Store, job: Job, noun: Noun) -> None:
    """Delete what this run has staged of one noun, to read it again."""
    while await store.write(lambda tx: _clear_noun(tx, job, noun)):
        pass


async def clear_letters(store: Store, job: Job) -> None:
    """Delete letters of earlier dry runs, and of earlier runs about rows that this one has read again, or not found."""
    while await store.write(lambda tx: _clear_letters(tx, job)):
        pass


def _clear_noun(tx: Transaction, job: Job, noun: Noun) -> bool:
    job.check_lease(tx)
    rows = tx.sql(
        "SELECT sourced_id FROM staged_rows WHERE run_id = ? AND noun = ? LIMIT ?", [job.run_id, noun, _PIECE]
    )
    _delete(tx, job.run_id, noun, [row[0] for row in rows])
    return bool(rows)


def _delete(tx: Transaction, run_id: str, noun: str, sourced_ids: Sequence[str]) -> None:
    text = "DELETE FROM staged_rows WHERE run_id = ? AND noun = ? AND sourced_id IN ({})"
    write_in(tx, text, [run_id, noun], sourced_ids)


def _clear_staged(tx: Transaction, job: Job, kept: Collection[str]) -> bool:
    """Rows of this connector's runs, all of which are over: one run at a time holds the lease."""
    marks = f"AND id NOT IN ({', '.join('?' * len(kept))})" if kept else ""
    rows = tx.sql(
        "SELECT run_id, noun, sourced_id FROM staged_rows "  # noqa: S608 - marks only
        f"WHERE run_id IN (SELECT id FROM sync_runs WHERE connector = ? {marks}) LIMIT ?",
        [job.source, *kept, _PIECE],
    )
    groups: dict[tuple[str, str], list[str]] = {}
    for run_id, noun, sourced_id in rows:
        groups.setdefault((run_id, noun), []).append(sourced_id)
    for (run_id, noun), sourced_ids in groups.items():
        _delete(tx, run_id, noun, sourced_ids)
    return bool(rows)


def _clear_letters(tx: Transaction, job: Job) -> bool:
    """Letters of earlier dry runs, of nouns that this run has read in full, and of each row that it has read."""
    rows = tx.sql(
        """
        SELECT id FROM dead_letters WHERE connector = ? AND run_id <> ? AND (
            run_id IN (SELECT id FROM sync_runs WHERE connector = ? AND dry_run)
            OR (? AND noun IN (SELECT noun FROM sync_checkpoints WHERE run_id = ? AND complete AND NOT delta))
            OR (? AND EXISTS (
                SELECT 1 FROM staged_rows s
                WHERE s.run_id = ? AND s.noun = dead_letters.noun AND s.sourced_id = dead_letters.sourced_id))
        ) LIMIT ?""",
        [job.source, job.run_id, job.source, *(not job.dry_run, job.run_id) * 2, _PIECE],
    )
    write_in(tx, "DELETE FROM dead_letters WHERE id IN ({})", (), [row[0] for row in rows])
    return bool(rows)
