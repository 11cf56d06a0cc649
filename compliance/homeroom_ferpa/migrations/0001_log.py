"""The audit rows, the tiles of the Merkle tree over them and the journal, its checkpoints and keys.

`ferpa_log_tiles.refs` says for each leaf of a tile which row it stands for: a byte (1 the journal, 2 the audit rows)
and the row's id in eight. `ferpa_log_processes` knows which processes enter reads now, so that gaps can be told.
"""

from peewee import BigAutoField, BigIntegerField, BlobField, CompositeKey, IntegerField, Model, TextField


def up(migrator, db):
    class Audit(Model):
        id = BigAutoField()
        key = TextField(unique=True)
        at = TextField()
        actor = TextField(null=True)
        kind = TextField()
        action = TextField()
        purpose = TextField(null=True)
        basis = TextField(null=True)
        student_ids = TextField()
        class_id = TextField(null=True)
        fields = TextField()
        rows = IntegerField()
        request_id = TextField(null=True)
        recipient = TextField(null=True)
        reason = TextField(null=True)

        class Meta:
            database = db
            table_name = "ferpa_audit"
            indexes = ((("actor", "id"), False),)

    class Tile(Model):
        level = IntegerField()
        number = BigIntegerField()
        hashes = BlobField()
        refs = BlobField(null=True)
        last_audit = BigIntegerField(null=True)
        last_journal = BigIntegerField(null=True)

        class Meta:
            database = db
            table_name = "ferpa_log_tiles"
            primary_key = CompositeKey("level", "number")
            indexes = ((("level", "last_audit"), False), (("level", "last_journal"), False))

    class Checkpoint(Model):
        number = BigIntegerField(primary_key=True)
        size = BigIntegerField(index=True)
        root = TextField()
        at = TextField()
        last_audit = BigIntegerField()
        last_journal = BigIntegerField()
        note = TextField()

        class Meta:
            database = db
            table_name = "ferpa_log_checkpoints"

    class Key(Model):
        since = BigIntegerField(primary_key=True)
        key_id = TextField()
        name = TextField()
        public = TextField()
        sealed = TextField()

        class Meta:
            database = db
            table_name = "ferpa_log_keys"

    class Process(Model):
        process = TextField(primary_key=True)
        seen_at = TextField()
        stopped = IntegerField(default=0)

        class Meta:
            database = db
            table_name = "ferpa_log_processes"

    db.create_tables([Audit, Tile, Checkpoint, Key, Process], safe=False)


def down(migrator, db):
    for table in ("audit", "log_tiles", "log_checkpoints", "log_keys", "log_processes"):
        db.execute_sql(f"DROP TABLE ferpa_{table}")
