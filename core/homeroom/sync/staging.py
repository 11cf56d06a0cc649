"""From a connector's page to staged rows, with the checkpoint in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from homeroom.records import Noun, Page, Record, RowError
from homeroom.store import Connection, Transaction, new_id
from homeroom.store.models import StagedRow, SyncCheckpoint
from homeroom.sync.bulk import replace_on, select_in, upsert
from homeroom.sync.content import Content, Unusable, content_of
from homeroom.sync.job import UNIT, Job
from homeroom.sync.mapping import MAPPINGS

STAGED = (
    "run_id",
    "noun",
    "sourced_id",
    "content_hash",
    "content",
    "change",
    "row_id",
    "sealed",
    "location",
)
LETTER = ("connector", "run_id", "noun", "sourced_id", "location", "field", "reason", "content")
_KEY = ("run_id", "noun", "sourced_id")


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A page as it goes to staging: everything that costs time was done before the writer is asked.

    `before` is how many rows of the noun were pulled before it.
    """

    noun: Noun
    rows: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    dead: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    letters: list[tuple[Any, ...]] = field(default_factory=list)
    before: int = 0
    pulled: int = 0
    unreadable: int = 0
    cursor: str | None = None
    total: int | None = None
    delta: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of a record already: its roster row, whether that has ended, and what was last taken over."""

    row_id: str
    ended: bool
    content_hash: str | None
    content: str | None


def prepare(connection: Connection, job: Job, noun: Noun, page: Page) -> Prepared:
    """The page as rows of the staging table: what is unchanged is only noted, without its content."""
    prepared = Prepared(
        noun=noun,
        pulled=len(page.records) + len(page.errors),
        cursor=page.cursor,
        total=page.total,
    )
    usable = [record.sourced_id for record in page.records if _is_usable(record.sourced_id)]
    known = _known(connection, job, noun, usable)
    for position, record in enumerate(page.records):
        place = page.places[position] if position < len(page.places) else f"{noun} {record.sourced_id}"
        try:
            prepared.rows[record.sourced_id] = _row(connection, job, record, known.get(record.sourced_id), place)
        except Unusable as exc:
            _set_aside(prepared, job, RowError(noun=noun, where=place, reason=str(exc), sourced_id=record.sourced_id))
    for error in page.errors:
        _set_aside(prepared, job, error)
    return prepared


def stage(tx: Transaction, job: Job, prepared: Prepared) -> None:
    """Keep a prepared page and move the checkpoint behind it; a page that was kept already is not counted again."""
    job.check_lease(tx)
    point = checkpoint(tx, job, prepared.noun)
    if point is None or point.pulled != prepared.before:
        return
    if prepared.rows:
        upsert(tx, "staged_rows", STAGED, list(prepared.rows.values()), on_conflict=replace_on(_KEY, STAGED))
    dead = [row for sourced_id, row in prepared.dead.items() if sourced_id not in prepared.rows]
    if dead:
        upsert(tx, "staged_rows", STAGED, dead, on_conflict="ON CONFLICT DO NOTHING")
    if prepared.letters:
        upsert(tx, "dead_letters", LETTER, prepared.letters)
    values: dict[str, Any] = {
        "cursor": prepared.cursor,
        "pulled": prepared.before + prepared.pulled,
        "unreadable": point.unreadable + prepared.unreadable,
        "total": point.total if prepared.total is None else prepared.total,
        "delta": point.delta or prepared.delta,
    }
    tx.run(SyncCheckpoint.update(**values).where(*_at(job, prepared.noun)))


def begin_noun(tx: Transaction, job: Job, noun: Noun) -> str | None:
    """The cursor to read on from; what was staged without a cursor to go on from is forgotten and read again."""
    job.check_lease(tx)
    row = checkpoint(tx, job, noun)
    if row is None:
        tx.insert(SyncCheckpoint, run_id=job.run_id, noun=noun)
        return None
    if row.cursor is None and row.pulled:
        tx.write_sql("DELETE FROM staged_rows WHERE run_id = ? AND noun = ?", [job.run_id, noun])
        tx.write_sql("DELETE FROM dead_letters WHERE run_id = ? AND noun = ?", [job.run_id, noun])
        tx.run(SyncCheckpoint.update(pulled=0, unreadable=0).where(*_at(job, noun)))
    cursor: str | None = row.cursor
    return cursor


def complete_noun(tx: Transaction, job: Job, noun: Noun) -> None:
    """Note that this noun was read to its end."""
    job.check_lease(tx)
    tx.run(SyncCheckpoint.update(complete=True).where(*_at(job, noun)))


def checkpoint(connection: Connection, job: Job, noun: Noun) -> SyncCheckpoint | None:
    """How far the run has read this noun; None before its first page."""
    return connection.one(SyncCheckpoint.select().where(*_at(job, noun)))


def why_nothing_is_missing(connection: Connection, job: Job, noun: Noun) -> str | None:
    """Why rows that were not seen are not to be taken for gone ("": the source holds changes only); None: they are."""
    row = checkpoint(connection, job, noun)
    if row is None or not row.complete or row.delta:
        return ""
    staged = connection.value(StagedRow.select(StagedRow.run_id).where(*_staged(job, noun)))
    if staged is None:
        return "the source gave none at all"
    if row.unreadable:
        return f"{row.unreadable} rows could not be told apart"
    if row.total is not None:
        count = connection.sql("SELECT count(*) FROM staged_rows WHERE run_id = ? AND noun = ?", [job.run_id, noun])
        if count[0][0] != row.total:
            return f"the source counts {row.total} and gave {count[0][0]}"
    return None


def missing(connection: Connection, job: Job, noun: Noun, after: str) -> list[tuple[str, str]]:
    """Up to 500 (sourced id, roster id) of rows of this source that the run has not seen."""
    table = MAPPINGS[noun].table
    text = f"""
        SELECT t.sourced_id, t.id FROM {table} t
        LEFT JOIN staged_rows s ON s.run_id = ? AND s.noun = ? AND s.sourced_id = t.sourced_id
        WHERE t.source = ? AND NOT t.ended AND t.sourced_id > ? AND s.sourced_id IS NULL
        ORDER BY t.sourced_id LIMIT {UNIT}"""  # noqa: S608 - names are ours
    return [(row[0], row[1]) for row in connection.sql(text, [job.run_id, noun, job.source, after])]


def stage_missing(tx: Transaction, job: Job, noun: Noun, gone: Sequence[tuple[str, str]]) -> None:
    """Stage the end of rows that the source no longer holds."""
    job.check_lease(tx)
    rows = [(job.run_id, noun, sourced_id, "", "", "end", row_id, None, None) for sourced_id, row_id in gone]
    upsert(tx, "staged_rows", STAGED, rows, on_conflict="ON CONFLICT DO NOTHING")


def _set_aside(prepared: Prepared, job: Job, error: RowError) -> None:
    """Keep a row that cannot be taken: it stays as it was here, and with no id to tell it by, so does every other."""
    sourced_id = error.sourced_id if error.sourced_id and _is_usable(error.sourced_id) else None
    where, reason = _as_text(error.where), _as_text(error.reason)
    prepared.letters.append((job.source, job.run_id, error.noun, sourced_id, where, error.field, reason, None))
    if error.part:
        return
    if sourced_id is None:
        prepared.unreadable += 1
    else:
        dead = (job.run_id, error.noun, sourced_id, "", "", "dead", None, None, None)
        prepared.dead[sourced_id] = dead


def _is_usable(sourced_id: str) -> bool:
    return bool(sourced_id) and _as_text(sourced_id) == sourced_id


def _as_text(text: str) -> str:
    """`text` without what PostgreSQL cannot keep: NUL, and halves of characters."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def _row(connection: Connection, job: Job, record: Record, known: _Known | None, place: str) -> tuple[Any, ...]:
    key = (job.run_id, record.noun, record.sourced_id)
    if not _is_usable(record.sourced_id):
        raise Unusable("it has no usable id")
    if record.status == "tobedeleted":
        is_there = known is not None and not known.ended
        row_id = known.row_id if known is not None else None
        return (*key, "", "", "end" if is_there else "unchanged", row_id, None, place)
    base = known.content if known is not None else None
    content: Content = content_of(record, connection.cipher, base, administrators=job.administrators)
    if known is None:
        return (*key, content.hash, content.text, "add", new_id(), content.sealed, place)
    if not known.ended and known.content_hash == content.hash:
        return (*key, content.hash, "", "unchanged", known.row_id, None, None)
    return (*key, content.hash, content.text, "change", known.row_id, content.sealed, place)


def _known(connection: Connection, job: Job, noun: Noun, sourced_ids: Sequence[str]) -> dict[str, _Known]:
    found: dict[str, _Known] = {}
    text = f"""
        SELECT t.sourced_id, t.id, t.ended, s.content_hash, s.content FROM {MAPPINGS[noun].table} t
        LEFT JOIN source_states s ON s.source = t.source AND s.noun = ? AND s.sourced_id = t.sourced_id
        WHERE t.source = ? AND t.sourced_id IN ({{}})"""  # noqa: S608 - names are ours
    for start in range(0, len(sourced_ids), UNIT):
        some = sourced_ids[start : start + UNIT]
        for sourced_id, row_id, ended, content_hash, content in select_in(connection, text, [noun, job.source], some):
            found[sourced_id] = _Known(row_id=row_id, ended=bool(ended), content_hash=content_hash, content=content)
    return found


def _at(job: Job, noun: Noun) -> tuple[Any, Any]:
    return SyncCheckpoint.run_id == job.run_id, SyncCheckpoint.noun == noun


def _staged(job: Job, noun: Noun) -> tuple[Any, Any]:
    return StagedRow.run_id == job.run_id, StagedRow.noun == noun
