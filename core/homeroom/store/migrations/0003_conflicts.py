"""Fields changed here, and the questions that come of them: frozen copies, independent of the models."""

from peewee import BigAutoField, CompositeKey, Model, TextField

from homeroom.store.fields import UtcField


def up(migrator, db):
    class LocalEdit(Model):
        noun = TextField()
        row_id = TextField()
        field = TextField()
        source = TextField(index=True)
        at = UtcField()
        by = TextField(null=True)

        class Meta:
            database = db
            table_name = "local_edits"
            primary_key = CompositeKey("noun", "row_id", "field")

    class SyncConflict(Model):
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
            database = db
            table_name = "sync_conflicts"
            indexes = (
                (("connector", "noun", "sourced_id"), False),
                (("state", "id"), False),
            )

    db.create_tables([LocalEdit, SyncConflict], safe=False)
