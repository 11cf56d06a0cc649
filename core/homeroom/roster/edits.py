"""Notes of what was changed here in rows that came from a source: the sync compares, the office lists them."""

from __future__ import annotations

from collections.abc import Collection

from homeroom.records import Noun
from homeroom.store import Transaction
from homeroom.store.models import LocalEdit


def note(
    tx: Transaction, noun: Noun, row_id: str, source: str | None, fields: Collection[str], *, by: str | None = None
) -> None:
    """Keep that these fields of a source's row are now as somebody here made them; other rows need no note.

    `by` is whoever did it, where that is not the origin's actor.
    """
    if source is None:
        return
    values = {"source": source, "at": tx.now, "by": by or tx.origin.actor_id}
    for name in fields:
        query = LocalEdit.insert(noun=noun, row_id=row_id, field=name, **values)
        tx.run(query.on_conflict(conflict_target=[LocalEdit.noun, LocalEdit.row_id, LocalEdit.field], update=values))


def forget(tx: Transaction, noun: Noun, row_id: str, fields: Collection[str]) -> None:
    """Drop the notes of fields in which both sides agree again."""
    where = LocalEdit.noun == noun, LocalEdit.row_id == row_id, LocalEdit.field.in_(list(fields))
    tx.run(LocalEdit.delete().where(*where))
