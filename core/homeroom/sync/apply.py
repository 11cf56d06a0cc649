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
from homeroom.store import Connection, Transaction, new_id, places
from homeroom.store.bulk import replace_on, select_in, upsert, write_in
from homeroom.store.models import Enrollment
from homeroom.sync.conflicts import keep, keep_staying, kept_here
from homeroom.sync.duplicates import flag_duplicates
from homeroom.sync.job import UNIT, Job
from homeroom.sync.links import NO_LINKS, VOUCH
from homeroom.sync.mapping import MAPPINGS
from homeroom.sync.plan import STAGED_COLUMNS, Change, DiffRow, Staged, plan, shown, state_of
from homeroom.sync.policy import Judge
from homeroom.sync.staging import LETTER

Answers = Mapping[Conflict, Resolution | None] | None

_STATE = ("source", "noun", "sourced_id", "content_hash", "content")
_ROLE = ("user_id", "role", "org_id", "source", "primary", "begins_on", "ends_on")
_CONTACT = ("id", "user_id", "kind", "value", "lookup", "source")
_GUARDIAN = ("guardian_id", "student_id", "relationship", "source", "ended", "changed_at")
_TO_TAKE, _TO_END = ("add", "change"), ("end",)
_GONE = (*(f"{mapping.event}.ended" for mapping in MAPPINGS.values()), "person.erased")
_RIGHTS = {"blocked": False, "data_access": True, "notify": True}
"""What a new guardian may: no source tells it, and what a school has said since is kept."""


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
    seen: int

    @property
    def last(self) -> str:
        """The last of its rows."""
        return self.staged[-1].sourced_id

    def holds(self, connection: Connection) -> bool:
        """Whether everything that the rows refer to is still there."""
        text = f"SELECT kind FROM journal WHERE id > ? AND kind IN ({_list(_GONE)}) LIMIT 1"  # noqa: S608 - ours
        return not connection.sql(text, [self.seen])


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
    return Planned(staged=staged, changes=plan(connection, job, noun, staged, Judge(policy=job.policy)), seen=seen)


def apply_next(
    tx: Transaction, job: Job, noun: Noun, after: str, answers: Answers = None, *, planned: Planned | None = None
) -> Applied:
    """Take over the next rows to add or change; a dry run only says what that would do.

    `answers` are the plugins' to conflicts that are just as they were told; None asks nobody. `planned` is the plan for
    these rows, if one was made (`plan_ahead`).
    """
    job.check_lease(tx)
    if planned is not None and planned.holds(tx):
        staged, changes = planned.staged, planned.changes
    else:
        staged = _pending(tx, job, noun, after, _TO_TAKE)
        if not staged:
            return Applied()
        judge = Judge(policy=job.policy, answers=answers)
        changes = plan(tx, job, noun, staged, judge)
        if judge.unasked and not answers:
            return Applied(after=after, unasked=judge.unasked)
    written = [change for change in changes if change.values is not None]
    if not job.dry_run:
        _write_rows(tx, noun, written)
        _write_links(tx, job, written)
        _write_states(tx, job, noun, [change for change in changes if change.outcome != "dead"])
        for change in written:
            _enter(tx, noun, change)
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
                _enter_one(tx, noun, "ended", row.id, is_student=row.id in students)
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


def _write_rows(tx: Transaction, noun: Noun, written: Sequence[Change]) -> None:
    mapping = MAPPINGS[noun]
    if written:
        fresh = tuple(mapping.fresh.values())
        rows = [(*mapping.pick(change.values or {}), tx.at, *fresh) for change in written]
        told = (*mapping.columns, "changed_at")
        upsert(tx, mapping.table, (*told, *mapping.fresh), rows, on_conflict=replace_on(("id",), told))


def _write_links(tx: Transaction, job: Job, written: Sequence[Change]) -> None:
    """Write what hangs on people and classes: nothing here for the other nouns."""
    roles, contacts, guardians, terms = [], [], [], []
    now = tx.at
    for change in written:
        row_id, links = change.staged.row_id, change.links
        if links is NO_LINKS:
            continue
        roles += [(row_id, role, org_id, job.source, *values) for role, org_id, *values in links.roles_set]
        contacts += [(row_id, kind, value, lookup) for kind, value, lookup in links.contacts_new]
        guardians += [
            (one, row_id, "guardian", job.source, False, now, *_RIGHTS.values()) for one in links.guardians_new
        ]
        terms += [(row_id, term) for term in links.terms_new]
        _take_away(tx, job, change)
    if roles:
        upsert(tx, "role_assignments", _ROLE, roles, on_conflict=replace_on(("user_id", "role", "org_id"), _ROLE))
    if contacts:
        sealed = tx.seal_many([(row_id, value) for row_id, _, value, _ in contacts])
        rows = [
            (new_id(), row_id, kind, value, lookup, job.source)
            for (row_id, kind, _, lookup), value in zip(contacts, sealed, strict=True)
        ]
        upsert(tx, "contacts", _CONTACT, rows, on_conflict=VOUCH)
    if guardians:
        kept = replace_on(("guardian_id", "student_id"), _GUARDIAN)
        upsert(tx, "guardianships", (*_GUARDIAN, *_RIGHTS), guardians, on_conflict=kept)
    if terms:
        upsert(tx, "class_terms", ("class_id", "term_id"), terms, on_conflict="ON CONFLICT DO NOTHING")


def _take_away(tx: Transaction, job: Job, change: Change) -> None:
    """Roles and addresses of this source go, guardianships end: few rows, one statement each."""
    row_id, links = change.staged.row_id, change.links
    for role, org_id in links.roles_gone:
        text = "DELETE FROM role_assignments WHERE user_id = ? AND role = ? AND org_id = ? AND source = ?"
        tx.write_sql(text, [row_id, role, org_id, job.source])
    for contact_id in links.contacts_gone:
        tx.write_sql("DELETE FROM contacts WHERE id = ?", [contact_id])
    for guardian_id in links.guardians_gone:
        text = "UPDATE guardianships SET ended = ?, changed_at = ? WHERE guardian_id = ? AND student_id = ?"
        tx.write_sql(text, [True, tx.at, guardian_id, row_id])
    for term_id in links.terms_gone:
        tx.write_sql("DELETE FROM class_terms WHERE class_id = ? AND term_id = ?", [row_id, term_id])


def _write_states(tx: Transaction, job: Job, noun: Noun, taken: Sequence[Change]) -> None:
    if taken:
        rows = [(job.source, noun, change.staged.sourced_id, *state_of(change)) for change in taken]
        upsert(tx, "source_states", _STATE, rows, on_conflict=replace_on(("source", "noun", "sourced_id"), _STATE))


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


def _enter(tx: Transaction, noun: Noun, change: Change) -> None:
    """One journal row for the row, and one for each guardianship that began or ended with it."""
    row_id = change.staged.row_id
    what: str = "restored" if change.restored else change.outcome
    fields = {} if what == "added" else {"fields": sorted(change.fields)}
    if noun == "enrollment":
        values = change.values or {}
        student_id = values["user_id"] if values["role"] == "student" else None
        data = {"enrollment_id": row_id, "role": values["role"], **fields}
        class_id, user_id = values["class_id"], values["user_id"]
        tx.journal(f"enrollment.{what}", class_id=class_id, student_id=student_id, subject_id=user_id, data=data)
        return
    is_student = any(role[0] == "student" for role in change.taken.get("roles", ()))
    what = "created" if what == "added" else what
    _enter_one(tx, noun, what, row_id, is_student=is_student, data=fields)
    for guardian_id in change.links.guardians_new:
        tx.journal("guardianship.added", student_id=row_id, subject_id=guardian_id)
    for guardian_id in change.links.guardians_gone:
        tx.journal("guardianship.ended", student_id=row_id, subject_id=guardian_id)


def _enter_one(
    tx: Transaction, noun: Noun, what: str, row_id: str, *, is_student: bool = False, data: dict[str, Any] | None = None
) -> None:
    tx.journal(
        f"{MAPPINGS[noun].event}.{what}",
        class_id=row_id if noun == "class" else None,
        student_id=row_id if is_student else None,
        subject_id=row_id,
        data=data,
    )


def _students(connection: Connection, user_ids: Sequence[str]) -> set[str]:
    text = "SELECT DISTINCT user_id FROM role_assignments WHERE role = 'student' AND user_id IN ({})"
    return {row[0] for row in select_in(connection, text, (), user_ids)}
