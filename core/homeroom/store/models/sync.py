"""Runs of the sync engine, where each stands, what it staged, and the rows that could not be taken."""

from __future__ import annotations

from peewee import BigAutoField, BooleanField, CompositeKey, IntegerField, TextField

from homeroom.store.fields import JsonField, UtcField, id_field
from homeroom.store.models.plumbing import Table


class SyncRun(Table):
    """One run of one connector. `state`: "pulling", "applying", "held", "done" or "failed".

    `kind` is "sync", or "replay" of dead letters, which reads no source. `approves` is the dry run whose rows it takes
    over. `findings` are the guard's; `judged_at` is when it, or the person `released_by`, let the run go on. `phase`,
    `noun`, `done` and `total` (where it is known) say how far it is, `rows_read` what it has read of all nouns.
    """

    id = id_field()
    connector = TextField()
    dry_run = BooleanField(default=False)
    full = BooleanField(default=True)
    state = TextField(default="pulling")
    reason = TextField(null=True)
    started_at = UtcField()
    finished_at = UtcField(null=True)
    added = IntegerField(default=0)
    changed = IntegerField(default=0)
    ended = IntegerField(default=0)
    unchanged = IntegerField(default=0)
    dead_letters = IntegerField(default=0)
    started_by = TextField(null=True)
    kind = TextField(default="sync")
    approves = TextField(null=True)
    findings = JsonField(default=list)
    judged_at = UtcField(null=True)
    released_by = TextField(null=True)
    phase = TextField(null=True)
    noun = TextField(null=True)
    done = IntegerField(default=0)
    total = IntegerField(null=True)
    rows_read = IntegerField(default=0)

    class Meta:
        table_name = "sync_runs"
        indexes = ((("connector", "started_at"), False),)


class SyncCheckpoint(Table):
    """How far one run has pulled and applied one noun.

    `unreadable` counts rows that could not even be told apart: with one of them, nobody can say what is missing.
    `given` counts usable records, one that came twice twice; `moved` says that the source's own count changed while it
    was read.
    """

    run_id = TextField()
    noun = TextField()
    cursor = TextField(null=True)
    pulled = IntegerField(default=0)
    total = IntegerField(null=True)
    complete = BooleanField(default=False)
    delta = BooleanField(default=False)
    unreadable = IntegerField(default=0)
    applied = IntegerField(default=0)
    given = IntegerField(default=0)
    moved = BooleanField(default=False)

    class Meta:
        table_name = "sync_checkpoints"
        primary_key = CompositeKey("run_id", "noun")


class StagedRow(Table):
    """A record as the source gave it, between pull and apply. `content_hash` tells an unchanged one at a glance.

    `change` is what is to be done ("add", "change", "end"), then what was done ("added", "changed", "ended", "same"),
    or "unchanged" or "dead". `content` holds addresses only as lookups; `sealed` holds them. `row_id` is the roster
    row's id, made here for a new one so that records may refer to each other in any order.
    """

    run_id = TextField()
    noun = TextField()
    sourced_id = TextField()
    content_hash = TextField()
    content = TextField()
    change = TextField(null=True)
    row_id = TextField(null=True)
    sealed = TextField(null=True)
    location = TextField(null=True)

    class Meta:
        table_name = "staged_rows"
        primary_key = CompositeKey("run_id", "noun", "sourced_id")


class SourceState(Table):
    """What a source last said of one record and was taken over: the base of the next comparison.

    `content` is a staged row's. `content_hash` is "" when not all of it could be taken, or the record has ended.
    """

    source = TextField()
    noun = TextField()
    sourced_id = TextField()
    content_hash = TextField()
    content = TextField()

    class Meta:
        table_name = "source_states"
        primary_key = CompositeKey("source", "noun", "sourced_id")


class DeadLetter(Table):
    """A row that could not be taken: where it stood, why, and what it was (sealed, for the replay)."""

    id = BigAutoField()
    connector = TextField()
    run_id = TextField(index=True)
    noun = TextField()
    sourced_id = TextField(null=True)
    location = TextField()
    field = TextField(null=True)
    reason = TextField()
    content = TextField(null=True)
    replayed_at = UtcField(null=True)

    class Meta:
        table_name = "dead_letters"
