"""What planned changes write into roster and journal, as rows: made before the writer is asked, then written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from homeroom.records import Noun
from homeroom.store import Entry, Transaction, new_id
from homeroom.store.bulk import replace_on, upsert, write_in
from homeroom.sync.changes import Change
from homeroom.sync.job import Job
from homeroom.sync.links import NO_LINKS, VOUCH
from homeroom.sync.mapping import MAPPINGS
from homeroom.sync.plan import state_of

_STATE = ("source", "noun", "sourced_id", "content_hash", "content")
_ROLE = ("user_id", "role", "org_id", "primary", "begins_on", "ends_on")
_CONTACT = ("id", "user_id", "kind", "value", "lookup")
_GUARDIAN = {"relationship": "guardian", "ended": False}
_RIGHTS = {"blocked": False, "data_access": True, "notify": True}
"""What a new guardian may: no source tells it, and what a school has said since is kept."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """Rows to write, in the order of each table's columns. `whole` are records of which all that is staged is taken."""

    rows: list[tuple[Any, ...]] = field(default_factory=list, repr=False)
    roles: list[tuple[Any, ...]] = field(default_factory=list)
    contacts: list[tuple[str, str, str, str]] = field(default_factory=list, repr=False)
    guardians: list[tuple[str, str]] = field(default_factory=list)
    terms: list[tuple[str, str]] = field(default_factory=list)
    losing: list[Change] = field(default_factory=list, repr=False)
    entries: list[Entry] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    partly: list[tuple[Any, ...]] = field(default_factory=list, repr=False)


def batch_of(noun: Noun, changes: Sequence[Change]) -> Batch:
    """What taking over these rows of one noun writes."""
    batch, pick = Batch(), MAPPINGS[noun].pick
    for change in changes:
        if change.is_whole:
            batch.whole.append(change.staged.sourced_id)
        elif change.outcome != "dead":
            batch.partly.append((change.staged.sourced_id, *state_of(change)))
        if change.values is None:
            continue
        batch.rows.append(pick(change.values))
        if change.links is not NO_LINKS:
            _add_links(batch, change)
        _add_entries(batch, noun, change)
    return batch


def write(tx: Transaction, job: Job, noun: Noun, batch: Batch) -> None:
    """Write all of it, in this transaction."""
    mapping = MAPPINGS[noun]
    at = {"changed_at": tx.at}
    told = (*mapping.columns, "changed_at")
    upsert(
        tx, mapping.table, mapping.columns, batch.rows, same=at | mapping.fresh, on_conflict=replace_on(("id",), told)
    )
    _write_links(tx, job, batch)
    _write_states(tx, job, noun, batch)
    tx.journal_many(batch.entries)


def _add_links(batch: Batch, change: Change) -> None:
    row_id, links = change.staged.row_id, change.links
    batch.roles += [(row_id, role, org_id, *values) for role, org_id, *values in links.roles_set]
    batch.contacts += [(row_id, kind, value, lookup) for kind, value, lookup in links.contacts_new]
    batch.guardians += [(guardian_id, row_id) for guardian_id in links.guardians_new]
    batch.terms += [(row_id, term) for term in links.terms_new]
    if links.roles_gone or links.contacts_gone or links.guardians_gone or links.terms_gone:
        batch.losing.append(change)


def _add_entries(batch: Batch, noun: Noun, change: Change) -> None:
    """One journal row for the row, and one for each guardianship that began or ended with it."""
    row_id, values, links = change.staged.row_id, change.values or {}, change.links
    what: str = "restored" if change.restored else change.outcome
    data: dict[str, Any] = {} if what == "added" else {"fields": sorted(change.fields)}
    if noun == "enrollment":
        data = {"enrollment_id": row_id, "role": values["role"], **data}
        student_id = values["user_id"] if values["role"] == "student" else None
        kind = f"enrollment.{what}"
        batch.entries.append(Entry.of(kind, values["class_id"], student_id, values["user_id"], data))
        return
    is_student = any(role[0] == "student" for role in change.taken.get("roles", ()))
    kind = f"{MAPPINGS[noun].event}.{'created' if what == 'added' else what}"
    class_id, student_id = row_id if noun == "class" else None, row_id if is_student else None
    batch.entries.append(Entry.of(kind, class_id, student_id, row_id, data))
    for guardian_id in links.guardians_new:
        batch.entries.append(Entry.of("guardianship.added", None, row_id, guardian_id))
    for guardian_id in links.guardians_gone:
        batch.entries.append(Entry.of("guardianship.ended", None, row_id, guardian_id))


def _write_links(tx: Transaction, job: Job, batch: Batch) -> None:
    """Write what hangs on people and classes: nothing here for the other nouns."""
    source = {"source": job.source}
    for change in batch.losing:
        _take_away(tx, job, change)
    kept = replace_on(("user_id", "role", "org_id"), (*_ROLE, "source"))
    upsert(tx, "role_assignments", _ROLE, batch.roles, same=source, on_conflict=kept)
    if batch.contacts:
        sealed = tx.seal_many([(row_id, value) for row_id, _, value, _ in batch.contacts])
        rows = [
            (new_id(), row_id, kind, value, lookup)
            for (row_id, kind, _, lookup), value in zip(batch.contacts, sealed, strict=True)
        ]
        upsert(tx, "contacts", _CONTACT, rows, same=source, on_conflict=VOUCH)
    now = {**_GUARDIAN, **source, "changed_at": tx.at}
    kept = replace_on(("guardian_id", "student_id"), tuple(now))
    upsert(tx, "guardianships", ("guardian_id", "student_id"), batch.guardians, same=now | _RIGHTS, on_conflict=kept)
    upsert(tx, "class_terms", ("class_id", "term_id"), batch.terms, on_conflict="ON CONFLICT DO NOTHING")


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


def _write_states(tx: Transaction, job: Job, noun: Noun, batch: Batch) -> None:
    """Remember what the source said: where all of it was taken, the database copies what is staged."""
    kept = replace_on(("source", "noun", "sourced_id"), _STATE)
    text = f"""
        INSERT INTO source_states ({", ".join(_STATE)}) SELECT ?, noun, sourced_id, content_hash, content
        FROM staged_rows WHERE run_id = ? AND noun = ? AND sourced_id IN ({{}}) {kept}"""  # noqa: S608 - names are ours
    write_in(tx, text, [job.source, job.run_id, noun], batch.whole)
    same = {"source": job.source, "noun": noun}
    upsert(tx, "source_states", _STATE[2:], batch.partly, same=same, on_conflict=kept)
