"""A person's answer to a question: what it does to the roster, and what is kept of it."""

from __future__ import annotations

from typing import Any, cast

from homeroom.records import Noun
from homeroom.roster import classes, edits, people
from homeroom.roster.names import sort_name
from homeroom.store import Refused, Transaction, conflict, new_id, not_found
from homeroom.store.models import Enrollment, SyncConflict
from homeroom.sync.conflicts import QueuedConflict, look_again, shown
from homeroom.sync.content import CONTACTS
from homeroom.sync.links import VOUCH
from homeroom.sync.mapping import MAPPINGS, Row
from homeroom.sync.policy import Choice, from_text
from homeroom.sync.remembered import DUPLICATE, ENDED, PERSON, opened, sealed

_NAMES = ("given_name", "family_name", "preferred_given_name", "preferred_family_name")


def settle(
    tx: Transaction, conflict_id: int, *, resolution: Choice, value: str | None = None, why: str, by: str | None
) -> QueuedConflict:
    """The question, settled in the name of `by`: "theirs" takes the source's value over, "ours" keeps what stands here.

    "value" sets another one, a text as in the question. What is kept here stays until the source agrees. Raises
    Refused 404 for an unknown question, 409 for one that is settled already or whose row is gone, 422 for an answer
    that does not fit it.
    """
    asked = tx.one(SyncConflict.select().where(SyncConflict.id == conflict_id))
    if asked is None:
        raise not_found("There is no such question.")
    if asked.state != "open":
        raise conflict("conflict-settled", "This question is settled already; read the list again.")
    if not why.strip():
        raise Refused(422, "invalid", "Say why: whoever looks at this later will want to know.")
    _check(asked, resolution)
    noun = cast("Noun", asked.noun)
    if resolution == "theirs":
        _take_over(tx, noun, asked)
    elif resolution == "value":
        _set(tx, noun, asked, _value(noun, asked.field, value))
        edits.note(tx, noun, asked.row_id, asked.connector, [asked.field], by=by)
    values: dict[str, Any] = {"state": "settled", "chosen": resolution, "who": by, "changed_at": tx.now}
    values["why"] = sealed(tx, noun, asked.row_id, why.strip())
    tx.run(SyncConflict.update(**values).where(SyncConflict.id == conflict_id))
    look_again(tx, asked.connector, noun, asked.sourced_id)
    is_student = noun == "user" and people.is_student(tx, asked.row_id)
    data = {"conflict_id": conflict_id, "noun": noun, "field": asked.field, "chosen": resolution, "by": by}
    student_id = asked.row_id if is_student else None
    tx.journal("sync.conflict_settled", student_id=student_id, subject_id=asked.row_id, data=data)
    settled = tx.one(SyncConflict.select().where(SyncConflict.id == conflict_id))
    assert settled is not None  # noqa: S101 - it was just updated in this transaction
    return shown(tx, [settled])[0]


def _check(asked: SyncConflict, resolution: Choice) -> None:
    if asked.field == DUPLICATE and resolution != "ours":
        detail = "Two records are never merged here. Correct it in the SIS, then choose ours: both records stay."
        raise Refused(422, "invalid", detail)
    if resolution == "value" and asked.field in (ENDED, PERSON):
        raise Refused(422, "invalid", "Choose ours or theirs: there is no other value for this.")
    if resolution == "value" and asked.field in CONTACTS:
        raise Refused(422, "invalid", "Choose ours or theirs; an address of your own is added to the person itself.")


def _value(noun: Noun, name: str, text: str | None) -> Any:
    try:
        return from_text(noun, name, text)
    except ValueError as exc:
        raise Refused(422, "invalid", f"This value cannot be set: {exc}.") from None


def _take_over(tx: Transaction, noun: Noun, asked: SyncConflict) -> None:
    """Let the source's value hold; whether an id is the same person's is only noted, and taken over by the next run."""
    theirs = opened(tx, noun, asked.row_id, asked.theirs)
    if asked.field == PERSON:
        return
    if asked.field == ENDED:
        _end(tx, noun, asked)
    elif asked.field in CONTACTS:
        _replace_address(tx, asked, theirs)
    else:
        _set(tx, noun, asked, theirs)
    edits.forget(tx, noun, asked.row_id, [asked.field])


def _set(tx: Transaction, noun: Noun, asked: SyncConflict, value: Any) -> None:
    """Write one field of a row, and enter it in the journal."""
    row = _row(tx, noun, asked.row_id)
    column, value = _column(tx, noun, asked, value)
    changed: dict[str, Any] = {column: value, "changed_at": tx.now}
    if asked.field in _NAMES:
        names = [value if name == asked.field else getattr(row, name) for name in _NAMES]
        changed["sort_name"] = sort_name(*names)
    _update(tx, noun, row, changed)
    _enter(tx, noun, row, "changed", {"fields": [asked.field]})


def _column(tx: Transaction, noun: Noun, asked: SyncConflict, value: Any) -> tuple[str, Any]:
    """The column of a field and what it holds: for another record its id here."""
    mapping = MAPPINGS[noun]
    reference = next((one for one in mapping.references if one.name == asked.field), None)
    if reference is None:
        return asked.field, value
    table = MAPPINGS[reference.noun].table
    text = f"SELECT id FROM {table} WHERE source = ? AND sourced_id = ? AND NOT ended"  # noqa: S608 - names are ours
    found = tx.sql(text, [asked.connector, value]) if value is not None else []
    if not found and (value is not None or reference.required):
        raise conflict("conflict-outdated", "What the source names is not known here any more; run the sync again.")
    return reference.column, found[0][0] if found else None


def _end(tx: Transaction, noun: Noun, asked: SyncConflict) -> None:
    row = _row(tx, noun, asked.row_id)
    if not row.ended:
        _update(tx, noun, row, {"ended": True, "changed_at": tx.now})
        _enter(tx, noun, row, "ended")


def _replace_address(tx: Transaction, asked: SyncConflict, theirs: Any) -> None:
    """Keep the source's address beside those that were given here, in place of its last one."""
    row = _row(tx, "user", asked.row_id)
    if not isinstance(theirs, list):
        raise conflict("conflict-outdated", "The source's address is not known here any more; run the sync again.")
    lookup, address = theirs
    own = [row.id, asked.field, asked.connector, lookup]
    tx.write_sql("DELETE FROM contacts WHERE user_id = ? AND kind = ? AND source = ? AND lookup <> ?", own)
    text = "INSERT INTO contacts (id, user_id, kind, value, lookup, source) VALUES (?, ?, ?, ?, ?, ?)"
    values = [new_id(), row.id, asked.field, tx.seal_for(row.id, address), lookup, asked.connector]
    tx.write_sql(f"{text} {VOUCH}", values)
    _enter(tx, "user", row, "changed", {"fields": [asked.field]})


def _row(tx: Transaction, noun: Noun, row_id: str) -> Row:
    row = cast("Row | None", tx.get(cast("Any", MAPPINGS[noun].model), row_id))
    if row is None:
        raise conflict("conflict-outdated", "The row is not here any more; run the sync again.")
    return row


def _update(tx: Transaction, noun: Noun, row: Row, changed: dict[str, Any]) -> None:
    model = MAPPINGS[noun].model
    if MAPPINGS[noun].versioned:
        changed["version"] = getattr(row, "version", 0) + 1
    tx.run(model.update(**changed).where(model.id == row.id))


def _enter(tx: Transaction, noun: Noun, row: Row, what: str, data: dict[str, Any] | None = None) -> None:
    if isinstance(row, Enrollment):
        classes.enter(tx, f"enrollment.{what}", row)
        return
    is_student = noun == "user" and people.is_student(tx, row.id)
    tx.journal(
        f"{MAPPINGS[noun].event}.{what}",
        class_id=row.id if noun == "class" else None,
        student_id=row.id if is_student else None,
        subject_id=row.id,
        data=data,
    )
