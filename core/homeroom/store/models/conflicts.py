"""Where a source and this database disagree: fields changed here, and the questions that come of them."""

from __future__ import annotations

from peewee import BigAutoField, CompositeKey, TextField

from homeroom.store.fields import UtcField
from homeroom.store.models.plumbing import Table


class LocalEdit(Table):
    """A field of a source's row that was changed here: when, and by whom.

    `field` is the record's name for it; "ended" says that the row was ended here, "added" that the source does not
    have it at all. The note goes when both sides agree again.
    """

    noun = TextField()
    row_id = TextField()
    field = TextField()
    source = TextField(index=True)
    at = UtcField()
    by = TextField(null=True)

    class Meta:
        table_name = "local_edits"
        primary_key = CompositeKey("noun", "row_id", "field")


class SyncConflict(Table):
    """One field that was changed both here and in the source, differently. `state`: "open", "settled" or "gone".

    `base` (what both last agreed on), `ours` and `theirs` are JSON, sealed under the person's key where the row is a
    person's. `chosen` is "ours", "theirs" or "value"; `who` a person's id, "policy" or "plugin"; `why` is sealed too.
    """

    id = BigAutoField()
    connector = TextField()
    noun = TextField()
    sourced_id = TextField()
    row_id = TextField()
    field = TextField()
    base = TextField(null=True)
    ours = TextField(null=True)
    theirs = TextField(null=True)
    state = TextField(default="open")
    chosen = TextField(null=True)
    why = TextField(null=True)
    who = TextField(null=True)
    found_at = UtcField()
    changed_at = UtcField()

    class Meta:
        table_name = "sync_conflicts"
        indexes = (
            (("connector", "noun", "sourced_id"), False),
            (("state", "id"), False),
        )
