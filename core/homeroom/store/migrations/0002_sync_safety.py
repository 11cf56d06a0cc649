"""What a run tells of itself while it goes on, what the guard found, and what was read twice."""

from peewee import BooleanField, IntegerField, TextField

from homeroom.store.fields import JsonField, UtcField


def up(migrator, db):
    runs = {
        "kind": TextField(default="sync"),
        "approves": TextField(null=True),
        "findings": JsonField(default=list),
        "judged_at": UtcField(null=True),
        "released_by": TextField(null=True),
        "phase": TextField(null=True),
        "noun": TextField(null=True),
        "done": IntegerField(default=0),
        "total": IntegerField(null=True),
        "rows_read": IntegerField(default=0),
    }
    checkpoints = {"given": IntegerField(default=0), "moved": BooleanField(default=False)}
    migrator.migrate(
        *(migrator.add_column("sync_runs", name, field) for name, field in runs.items()),
        *(migrator.add_column("sync_checkpoints", name, field) for name, field in checkpoints.items()),
    )
