"""From a connector's page to staged rows, with the checkpoint in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from homeroom.records import NOUNS, Noun, Page, Record, RowError
from homeroom.store import Connection, Transaction, new_id
from homeroom.store.bulk import replace_on, select_in, upsert
from homeroom.store.models import SyncCheckpoint, SyncRun
from homeroom.sync.content import Content, Unusable, content_of, hash_of, stamped, tells_changes
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

# What the source gave, without what the run itself has staged because it was missing. A row that only applying found
# unfit was usable when it was given: it has a hash, one that was set aside while it was read has none.
_GIVEN = """
    SELECT count(*), count(*) FILTER (WHERE change <> 'dead' OR content_hash <> '') FROM staged_rows
    WHERE run_id = ? AND noun = ? AND NOT (content_hash = '' AND location IS NULL AND change <> 'dead')"""


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A page as it goes to staging: everything that costs time was done before the writer is asked.

    `before` is how many rows of the noun were pulled before it, `given` how many usable records the page held.
    """

    noun: Noun
    rows: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    dead: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    letters: list[tuple[Any, ...]] = field(default_factory=list)
    before: int = 0
    pulled: int = 0
    given: int = 0
    unreadable: int = 0
    cursor: str | None = None
    total: int | None = None
    delta: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of a record already: its roster row, whether that has ended, and what was last taken over.

    A record may have the id of its row before it has the row: then it is not there (`is_there`).
    """

    row_id: str
    ended: bool = False
    content_hash: str | None = None
    content: str | None = None
    is_there: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A row as it was staged once: its content and its sealed addresses."""

    noun: Noun
    sourced_id: str
    location: str
    content: str = field(repr=False)
    sealed: str | None = field(repr=False)


def prepare(connection: Connection, job: Job, noun: Noun, page: Page) -> Prepared:
    """The page as rows of the staging table: what is unchanged is only noted, without its content."""
    prepared = Prepared(
        noun=noun,
        pulled=len(page.records) + len(page.errors),
        cursor=page.cursor,
        total=page.total,
    )
    usable = [record.sourced_id for record in page.records if _is_usable(record.sourced_id)]
    content = any(tells_changes(record) for record in page.records)
    known = _known(connection, job, noun, usable, content=content)
    known |= _given(connection, job, noun, [one for one in usable if one not in known])
    for position, record in enumerate(page.records):
        place = page.places[position] if position < len(page.places) else f"{noun} {record.sourced_id}"
        try:
            prepared.rows[record.sourced_id] = _row(connection, job, record, known.get(record.sourced_id), place)
            prepared.given += 1
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
        "given": point.given + prepared.given,
        "unreadable": point.unreadable + prepared.unreadable,
        "total": point.total if prepared.total is None else prepared.total,
        "moved": point.moved or _differ(point.total, prepared.total),
        "delta": point.delta or prepared.delta,
    }
    tx.run(SyncCheckpoint.update(**values).where(*_at(job, prepared.noun)))
    so_far = {"phase": "pulling", "noun": prepared.noun, "done": values["pulled"], "total": values["total"]}
    read = SyncRun.rows_read + prepared.pulled
    tx.run(SyncRun.update(**so_far, rows_read=read).where(SyncRun.id == job.run_id))


def prepare_again(connection: Connection, job: Job, kept: Sequence[Kept]) -> list[tuple[Any, ...]]:
    """Rows of the staging table for what was staged by an earlier run, as today's settings and roster have them."""
    rows: list[tuple[Any, ...]] = []
    for noun in NOUNS:
        some = [one for one in kept if one.noun == noun]
        known = _known(connection, job, noun, [one.sourced_id for one in some])
        for one in some:
            key, digest = (job.run_id, noun, one.sourced_id), hash_of(one.content, administrators=job.administrators)
            there = known.get(one.sourced_id)
            if there is None:
                rows.append((*key, digest, one.content, "add", new_id(), one.sealed, one.location))
            elif not there.ended and there.content_hash == digest:
                rows.append((*key, digest, "", "unchanged", there.row_id, None, None))
            else:
                rows.append((*key, digest, one.content, "change", there.row_id, one.sealed, one.location))
    return rows


def stage_again(tx: Transaction, job: Job, rows: Sequence[tuple[Any, ...]]) -> None:
    """Stage what `prepare_again` gave."""
    job.check_lease(tx)
    upsert(tx, "staged_rows", STAGED, rows, on_conflict=replace_on(_KEY, STAGED))
    tx.run(SyncRun.update(rows_read=SyncRun.rows_read + len(rows)).where(SyncRun.id == job.run_id))


def begin_noun(tx: Transaction, job: Job, noun: Noun) -> str | None:
    """The cursor to read on from; where there is none, it is read again, and what was staged is gone (`is_in_vain`)."""
    job.check_lease(tx)
    row = checkpoint(tx, job, noun)
    if row is None:
        tx.insert(SyncCheckpoint, run_id=job.run_id, noun=noun)
        return None
    if is_in_vain(row):
        tx.write_sql("DELETE FROM dead_letters WHERE run_id = ? AND noun = ?", [job.run_id, noun])
        again: dict[str, Any] = {"pulled": 0, "given": 0, "unreadable": 0, "total": None, "moved": False}
        tx.run(SyncCheckpoint.update(**again).where(*_at(job, noun)))
    cursor: str | None = row.cursor
    return cursor


def is_in_vain(point: SyncCheckpoint | None) -> bool:
    """Whether rows were staged without a cursor from which reading could go on after them."""
    return point is not None and not point.complete and point.cursor is None and point.pulled > 0


def complete_noun(tx: Transaction, job: Job, noun: Noun) -> None:
    """Note that this noun was read to its end."""
    job.check_lease(tx)
    tx.run(SyncCheckpoint.update(complete=True).where(*_at(job, noun)))


def checkpoint(connection: Connection, job: Job, noun: Noun) -> SyncCheckpoint | None:
    """How far the run has read this noun; None before its first page."""
    return connection.one(SyncCheckpoint.select().where(*_at(job, noun)))


def why_nothing_is_missing(connection: Connection, job: Job, noun: Noun) -> str | None:
    """Why rows that were not seen are not to be taken for gone; "" where there is nothing to explain, None: they are.

    A source that holds changes only explains itself, and so does one that gives none of what it never gave.
    """
    row = checkpoint(connection, job, noun)
    if row is None or not row.complete or row.delta:
        return ""
    if row.unreadable:
        return f"{row.unreadable} rows could not be told apart"
    distinct, usable = connection.sql(_GIVEN, [job.run_id, noun])[0]
    if not distinct and not missing(connection, job, noun, ""):
        return ""  # it never had any
    return _why_not_all(row, distinct, usable)


def _why_not_all(row: SyncCheckpoint, distinct: int, usable: int) -> str | None:
    """What speaks against the source's having given everything once: its `distinct` rows, `usable` ones among them."""
    if not distinct:
        return "the source gave none at all"
    if row.moved:
        return "the source's own count changed while it was read"
    if row.total is not None:
        return None if distinct == row.total else f"the source counts {row.total} and gave {distinct}"
    if row.given > usable:
        return f"the source gave {row.given - usable} of them twice, and others may be left out"
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


def _differ(before: int | None, now: int | None) -> bool:
    return before is not None and now is not None and before != now


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
    return bool(sourced_id.strip()) and _as_text(sourced_id) == sourced_id


def _as_text(text: str) -> str:
    """`text` without what PostgreSQL cannot keep: NUL, and halves of characters."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "").encode(errors="replace").decode()


def _row(connection: Connection, job: Job, record: Record, known: _Known | None, place: str) -> tuple[Any, ...]:
    key = (job.run_id, record.noun, record.sourced_id)
    if not _is_usable(record.sourced_id):
        raise Unusable("it has no usable id")
    if record.status == "tobedeleted":
        is_there = known is not None and known.is_there and not known.ended
        row_id = known.row_id if known is not None else None
        return (*key, "", "", "end" if is_there else "unchanged", row_id, None, place)
    base = known.content if known is not None else None
    content: Content = content_of(record, connection.cipher, base, administrators=job.administrators)
    if known is None or not known.is_there:
        row_id = new_id() if known is None else known.row_id
        sealed = content.sealed(connection.cipher, record.sourced_id)
        return (*key, content.hash, content.text, "add", row_id, sealed, place)
    if not known.ended and known.content_hash == content.hash:
        return (*key, content.hash, "", "unchanged", known.row_id, None, None)
    told = stamped(content.text, record.modified)
    sealed = content.sealed(connection.cipher, record.sourced_id)
    return (*key, content.hash, told, "change", known.row_id, sealed, place)


def _known(
    connection: Connection, job: Job, noun: Noun, sourced_ids: Sequence[str], *, content: bool = False
) -> dict[str, _Known]:
    """What is there of these records, with the `content` that was taken over only where it is asked for.

    Two questions, because one that joins made PostgreSQL read whole tables.
    """
    found: dict[str, _Known] = {}
    rows = f"SELECT sourced_id, id, ended FROM {MAPPINGS[noun].table} WHERE source = ? AND sourced_id IN ({{}})"  # noqa: S608 - names are ours
    states = (
        f"SELECT sourced_id, content_hash, {'content' if content else 'NULL'} FROM source_states "  # noqa: S608 - ours
        "WHERE source = ? AND noun = ? AND sourced_id IN ({})"
    )
    there = select_in(connection, rows, [job.source], sourced_ids)
    told = {row[0]: row[1:] for row in select_in(connection, states, [job.source, noun], sourced_ids)} if there else {}
    for sourced_id, row_id, ended in there:
        digest, kept = told.get(sourced_id, (None, None))
        found[sourced_id] = _Known(row_id=row_id, ended=bool(ended), content_hash=digest, content=kept)
    return found


def _given(connection: Connection, job: Job, noun: Noun, sourced_ids: Sequence[str]) -> dict[str, _Known]:
    """The ids that a run which was cut off has given to records that are still new."""
    found: dict[str, _Known] = {}
    text = (
        "SELECT sourced_id, row_id FROM staged_rows "
        "WHERE run_id = ? AND noun = ? AND row_id IS NOT NULL AND sourced_id IN ({})"
    )
    if job.heir_of:
        for sourced_id, row_id in select_in(connection, text, [job.heir_of, noun], sourced_ids):
            found[sourced_id] = _Known(row_id=row_id, is_there=False)
    return found


def _at(job: Job, noun: Noun) -> tuple[Any, Any]:
    return SyncCheckpoint.run_id == job.run_id, SyncCheckpoint.noun == noun
