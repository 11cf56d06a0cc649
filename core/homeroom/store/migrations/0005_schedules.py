"""When connectors run by themselves, runs in the background, and what dry runs have found: frozen copies."""

from peewee import BooleanField, CompositeKey, IntegerField, Model, TextField

from homeroom.store.fields import UtcField


def up(migrator, db):
    class SyncSchedule(Model):
        connector = TextField()
        schedule = TextField()
        served_at = UtcField(null=True)
        failures = IntegerField(default=0)
        retry_at = UtcField(null=True)

        class Meta:
            database = db
            table_name = "sync_schedules"
            primary_key = CompositeKey("connector", "schedule")

    class SyncHint(Model):
        connector = TextField(primary_key=True)
        hinted_at = UtcField()

        class Meta:
            database = db
            table_name = "sync_hints"

    class SyncTask(Model):
        run_id = TextField(primary_key=True)
        connector = TextField()
        dry_run = BooleanField(default=False)
        full = BooleanField(default=False)
        started_by = TextField(null=True)
        approves = TextField(null=True)
        schedules = TextField(default="")
        claimed_at = UtcField(null=True)
        attempts = IntegerField(default=0)

        class Meta:
            database = db
            table_name = "sync_tasks"

    class SyncDiff(Model):
        run_id = TextField()
        part = IntegerField()
        content = TextField()

        class Meta:
            database = db
            table_name = "sync_diffs"
            primary_key = CompositeKey("run_id", "part")

    db.create_tables([SyncSchedule, SyncHint, SyncTask, SyncDiff], safe=False)
