"""Units that take staged rows over into the roster: at most 500 rows each, resumable, a repeat changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from peewee import ModelSelect

from homeroom.records import Conflict, Noun, Resolution
from homeroom.roster import classes
from homeroom.store import Connection, Transaction, places
from homeroom.store.bulk import select_in, upsert, write_in
from homeroom.store.models import Enrollment
from homeroom.sync.batch import Batch, batch_of, write
from homeroom.sync.conflicts import keep, keep_staying, kept_here
from homeroom.sync.duplicates import flag_duplicates
from homeroom.sync.job import UNIT, Job
from homeroom.sync.mapping import MAPPINGS
from homeroom.sync.plan import STAGED_COLUMNS, Change, DiffRow, Staged, plan, shown
from homeroom.sync.policy import Judge
from homeroom.sync.staging import LETTER

Answers = Mapping[Conflict, Resolution | None] | None

_TO_TAKE, _TO_END = ("add", "change"), ("end",)
_NO_ID = 2**62  # a range with an end: without one PostgreSQL expects a third of the journal, and reads all of it
_GONE = (*(f"{mapping.event}.ended" for mapping in MAPPINGS.values()), "person.erased")


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What one unit did: where the next one begins (None: there is no more), and each row's difference, to read once.

    `unasked` are conflicts on which plugins are to be heard first: the unit has done nothing and is to be run again.
    """

    rows: int = 0
    after: str | None = None
    diff: Iterable[DiffRow] = ()
    unasked: Sequence[Conflict] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What taking over the next rows does, found out before the writer is asked, and the journal's last row by then."""

    staged: Sequence[Staged]
    changes: Sequence[Change]
    batch: Batch
    seen: int

    @property
    def last(self) -> str:
        """The last of its rows."""
        return self.staged[-1].sourced_id

    def holds(self, connection: Connection) -> bool:
        """Whether everything that the rows refer to is still there."""
        text = f"SELECT kind FROM journal WHERE id > ? AND id < ? AND kind IN ({_list(_GONE)}) LIMIT 1"  # noqa: S608 - ours
        return not connection.sql(text, [self.seen, _NO_ID])


def plan_ahead(connection: Connection, job: Job, noun: Noun, after: str) -> Planned | None:
    """The plan for the next rows if all of them are new: nothing but what they refer to can change under it.

    None where there are no more, or where they have to be planned in the transaction that changes them: also rows that
    name others of their noun, which the unit before may find unfit.
    """
    if any(reference.noun == noun for reference in MAPPINGS[noun].references):
        return None
    seen = connection.sql("SELECT max(id) FROM journal")[0][0] or 0
    staged = _pending(connection, job, noun, after, _TO_TAKE)
    if not staged or not all(row.is_new for row in staged):
        return None
    changes = plan(connection, job, noun, staged, Judge(policy=job.policy))
    return Planned(staged=staged, changes=changes, batch=batch_of(noun, changes), seen=seen)


def apply_next(
    tx: Transaction, job: Job, noun: Noun, after: str, answers: Answers = None, *, planned: Planned | None = None
) -> Applied:
    """Take over the next rows to add or change; a dry run only says what that would do.

    `answers` are the plugins' to conflicts that are just as they were told; None asks nobody. `planned` is the plan for
    these rows, if one was made (`plan_ahead`).
    """
    job.check_lease(tx)
    if planned is not None and planned.holds(tx):
        staged, changes, batch = planned.staged, planned.changes, planned.batch
    else:
        staged = _pending(tx, job, noun, after, _TO_TAKE)
        if not staged:
            return Applied()
        judge = Judge(policy=job.policy, answers=answers)
        changes = plan(tx, job, noun, staged, judge)
        if judge.unasked and not answers:
            return Applied(after=after, unasked=judge.unasked)
        batch = batch_of(noun, changes)
    written = [change for change in changes if change.values is not None]
    if not job.dry_run:
        write(tx, job, noun, batch)
        keep(tx, job, noun, changes)
        if noun == "user":
            flag_duplicates(tx, job, written)
    _write_letters(tx, job, noun, changes)
    _mark(tx, job, noun, (after, _TO_TAKE), [(change.staged.sourced_id, change.outcome) for change in changes])
    diff = (
        DiffRow(noun=noun, sourced_id=change.staged.sourced_id, change=change.outcome, fields=shown(noun, change))
        for change in written
        if change.outcome in ("added", "changed")
    )
    return Applied(rows=len(staged), after=staged[-1].sourced_id, diff=diff)


def end_next(tx: Transaction, job: Job, noun: Noun, after: str, answers: Answers = None) -> Applied:
    """Deactivate the next rows that the source has ended or no longer holds; nothing is deleted.

    A row that was corrected here may stay (`kept_here`). `answers` as for `apply_next`.
    """
    job.check_lease(tx)
    staged = _pending(tx, job, noun, after, _TO_END)
    if not staged:
        return Applied()
    mapping = MAPPINGS[noun]
    model = mapping.model
    query: ModelSelect[Any] = model.select().where(model.id.in_([row.row_id for row in staged]), ~model.ended)
    rows = {row.id: row for row in tx.all(query)}
    judge = Judge(policy=job.policy, answers=answers)
    staying = kept_here(tx, job, noun, [row for row in staged if row.row_id in rows], judge)
    if judge.unasked and not answers:
        return Applied(after=after, unasked=judge.unasked)
    rows = {row_id: row for row_id, row in rows.items() if row_id not in staying}
    if not job.dry_run:
        keep_staying(tx, job, noun, staying)
    if not job.dry_run and rows:
        version = ", version = version + 1" if mapping.versioned else ""
        text = f"UPDATE {mapping.table} SET ended = ?, changed_at = ?{version} WHERE id IN ({{}})"  # noqa: S608 - ours
        write_in(tx, text, [True, tx.at], list(rows))
        write_in(
            tx,
            "UPDATE source_states SET content_hash = '' WHERE source = ? AND noun = ? AND sourced_id IN ({})",
            [job.source, noun],
            [row.sourced_id for row in staged],
        )
        students = _students(tx, list(rows)) if noun == "user" else set()
        for row in rows.values():
            if isinstance(row, Enrollment):
                classes.enter(tx, "enrollment.ended", row)
            else:
                _enter_end(tx, noun, row.id, is_student=row.id in students)
    _mark(
        tx, job, noun, (after, _TO_END), [(row.sourced_id, "ended" if row.row_id in rows else "same") for row in staged]
    )
    diff = [DiffRow(noun=noun, sourced_id=row.sourced_id, change="ended") for row in staged if row.row_id in rows]
    return Applied(rows=len(staged), after=staged[-1].sourced_id, diff=diff)


def _pending(connection: Connection, job: Job, noun: Noun, after: str, kinds: Sequence[str]) -> list[Staged]:
    where = f"run_id = ? AND noun = ? AND sourced_id > ? AND change IN ({_list(kinds)})"
    text = f"SELECT {', '.join(STAGED_COLUMNS)} FROM staged_rows WHERE {where} ORDER BY sourced_id LIMIT {UNIT}"  # noqa: S608 - ours
    rows = connection.sql(text, [job.run_id, noun, after])
    return [Staged(*row) for row in rows]


def _list(kinds: Sequence[str]) -> str:
    return ", ".join(f"'{kind}'" for kind in kinds)


def _write_letters(tx: Transaction, job: Job, noun: Noun, changes: Sequence[Change]) -> None:
    letters = []
    for change in changes:
        if not change.problems:
            continue
        staged = change.staged
        sealed = tx.cipher.seal(_kept(staged), places.DEAD_LETTER)
        letters += [
            (job.source, job.run_id, noun, staged.sourced_id, staged.location or "", name, reason, sealed)
            for name, reason in change.problems
        ]
    if letters:
        upsert(tx, "dead_letters", LETTER, letters)


def _kept(staged: Staged) -> str:
    """The row as it can be staged again, with its addresses (which are sealed in it once more)."""
    return orjson.dumps({"content": staged.content, "sealed": staged.sealed}).decode()


def _mark(
    tx: Transaction, job: Job, noun: Noun, unit: tuple[str, Sequence[str]], outcomes: Sequence[tuple[str, str]]
) -> None:
    """Note what became of the rows of a `unit` (after, kinds): all of these kinds between `after` and the last one."""
    after, kinds = unit
    (usual, _), *others = Counter(outcome for _, outcome in outcomes).most_common()
    where = "WHERE run_id = ? AND noun = ?"
    for other, _ in others:
        text = f"UPDATE staged_rows SET change = ? {where} AND sourced_id IN ({{}})"  # noqa: S608 - ours
        write_in(tx, text, [other, job.run_id, noun], [row for row, outcome in outcomes if outcome == other])
    where = f"{where} AND sourced_id > ? AND sourced_id <= ? AND change IN ({_list(kinds)})"
    text = f"UPDATE staged_rows SET change = ? {where}"  # noqa: S608 - ours
    tx.write_sql(text, [usual, job.run_id, noun, after, outcomes[-1][0]])


def _enter_end(tx: Transaction, noun: Noun, row_id: str, *, is_student: bool) -> None:
    tx.journal(
        f"{MAPPINGS[noun].event}.ended",
        class_id=row_id if noun == "class" else None,
        student_id=row_id if is_student else None,
        subject_id=row_id,
    )


def _students(connection: Connection, user_ids: Sequence[str]) -> set[str]:
    text = "SELECT DISTINCT user_id FROM role_assignments WHERE role = 'student' AND user_id IN ({})"
    return {row[0] for row in select_in(connection, text, (), user_ids)}
