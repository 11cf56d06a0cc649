"""Whether what a dry run has shown still holds, so that it can be taken over as it was shown."""

from __future__ import annotations

from functools import partial

from homeroom.records import NOUNS, Noun
from homeroom.store import Connection, Store, conflict, iso, now_utc
from homeroom.store.models import SyncRun
from homeroom.sync import states
from homeroom.sync.job import Job
from homeroom.sync.mapping import MAPPINGS

_DIFFERENT = """
    SELECT count(*) FROM staged_rows n
    LEFT JOIN staged_rows d ON d.run_id = ? AND d.noun = n.noun AND d.sourced_id = n.sourced_id
    WHERE n.run_id = ? AND n.noun = ? AND (d.run_id IS NULL OR d.content_hash <> n.content_hash OR NOT CASE n.change
        WHEN 'add' THEN d.change IN ('added', 'dead')
        WHEN 'change' THEN d.change NOT IN ('added', 'ended', 'unchanged')
        WHEN 'end' THEN d.change IN ('ended', 'same')
        ELSE d.change = n.change END)"""

_GONE = """
    SELECT count(*) FROM staged_rows d
    LEFT JOIN staged_rows n ON n.run_id = ? AND n.noun = d.noun AND n.sourced_id = d.sourced_id
    WHERE d.run_id = ? AND d.noun = ? AND n.run_id IS NULL"""


def approvable(connection: Connection, run_id: str) -> SyncRun:
    """The row of a dry run that may be approved.

    Raises Refused 404 when there is none, 409 when it is no dry run, not done, too old or not the last one.
    """
    row = states.run_of(connection, run_id)
    if not row.dry_run or row.state != "done":
        raise conflict("sync-not-approvable", "Only a dry run that came to its end can be approved.")
    if not states.is_fresh(row, now_utc()):
        raise conflict("sync-too-old", "This dry run is more than a day old. Make a new one.")
    last = states.last_dry_run(connection, row.connector)
    if last is None or last.id != run_id:
        raise conflict("sync-overtaken", "There is a later dry run. Look at that one.")
    return row


async def check_unchanged(store: Store, job: Job, dry_run_id: str) -> None:
    """Raise Refused 409 when this run has read anything else than the dry run did, or its rows were changed here.

    A run that has begun to take rows over was checked before.
    """
    row = await store.read(lambda connection: states.run_of(connection, job.run_id))
    if row.judged_at is not None:
        return
    different: dict[Noun, int] = {}
    for noun in NOUNS:
        count = await store.read(partial(_differing, job=job, dry_run_id=dry_run_id, noun=noun))
        if count:
            different[noun] = count
    if different:
        told = ", ".join(f"{count:,} {noun}" for noun, count in different.items())
        raise conflict(
            "sync-source-changed",
            f"The source has changed since the dry run ({told}). Nothing was taken over. Make a new dry run.",
        )
    edited = await store.read(lambda connection: _edited(connection, dry_run_id))
    if edited:
        raise conflict(
            "sync-roster-changed",
            f"{edited:,} of the rows were changed here since the dry run. Nothing was taken over. Make a new dry run.",
        )


def _differing(connection: Connection, job: Job, dry_run_id: str, noun: Noun) -> int:
    new = connection.sql(_DIFFERENT, [dry_run_id, job.run_id, noun])
    gone = connection.sql(_GONE, [job.run_id, dry_run_id, noun])
    return int(new[0][0]) + int(gone[0][0])


def _edited(connection: Connection, dry_run_id: str) -> int:
    """How many rows that the dry run would change or end were changed in the roster after it began."""
    began = iso(states.run_of(connection, dry_run_id).started_at)
    count = 0
    for noun in NOUNS:
        text = f"""
            SELECT count(*) FROM staged_rows d JOIN {MAPPINGS[noun].table} t ON t.id = d.row_id
            WHERE d.run_id = ? AND d.noun = ? AND d.change IN ('changed', 'ended') AND t.changed_at > ?"""  # noqa: S608 - names are ours
        count += int(connection.sql(text, [dry_run_id, noun, began])[0][0])
    return count
