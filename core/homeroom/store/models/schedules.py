"""When connectors run by themselves, what has been asked for and must go on, and what dry runs have found."""

from __future__ import annotations

from peewee import BooleanField, CompositeKey, IntegerField, TextField

from homeroom.store.fields import UtcField, id_field
from homeroom.store.models.plumbing import Table


class SyncSchedule(Table):
    """One schedule of one connector, as it is written: when a run last began for it.

    `failures` counts the runs for it that failed in a row; until `retry_at` none begins.
    """

    connector = TextField()
    schedule = TextField()
    served_at = UtcField(null=True)
    failures = IntegerField(default=0)
    retry_at = UtcField(null=True)

    class Meta:
        table_name = "sync_schedules"
        primary_key = CompositeKey("connector", "schedule")


class SyncHint(Table):
    """A vendor's word that something has changed there: a run is wanted soon. The row goes when one begins."""

    connector = TextField(primary_key=True)
    hinted_at = UtcField()

    class Meta:
        table_name = "sync_hints"


class SyncTask(Table):
    """A run that goes on in the background until it has ended, whatever process dies meanwhile.

    `schedules` are those it serves, one a line, `approves` the dry run whose rows it takes over. `claimed_at` is when a
    process took it up, None when one that stopped has left it to the next; `attempts` counts the processes that died
    over it.
    """

    run_id = id_field()
    connector = TextField()
    dry_run = BooleanField(default=False)
    full = BooleanField(default=False)
    started_by = TextField(null=True)
    approves = TextField(null=True)
    schedules = TextField(default="")
    claimed_at = UtcField(null=True)
    attempts = IntegerField(default=0)

    class Meta:
        table_name = "sync_tasks"


class SyncDiff(Table):
    """Some rows of what a dry run would change, in order, sealed: they hold people's data."""

    run_id = TextField()
    part = IntegerField()
    content = TextField()

    class Meta:
        table_name = "sync_diffs"
        primary_key = CompositeKey("run_id", "part")
