"""Attendance on its way to a SIS: frozen copies, independent of the models."""

from peewee import BigAutoField, BooleanField, DateField, IntegerField, Model, TextField

from homeroom.store.fields import JsonField, UtcField


def up(migrator, db):
    class OutgoingQueue(Model):
        connector = TextField(primary_key=True)
        sent = IntegerField(default=0)
        confirmed = IntegerField(default=0)
        left_out = IntegerField(default=0)
        last_sent_at = UtcField(null=True)

        class Meta:
            database = db
            table_name = "outgoing_queues"

    class OutgoingMark(Model):
        id = TextField(primary_key=True)
        connector = TextField()
        student_id = TextField()
        school_id = TextField()
        class_id = TextField(null=True)
        session_id = TextField(null=True)
        school_day = DateField()
        student_sourced_id = TextField()
        school_sourced_id = TextField()
        class_sourced_id = TextField(null=True)
        enrollment_sourced_id = TextField(null=True)
        periods = JsonField(default=list)
        starts_at = UtcField(null=True)
        status = TextField(null=True)
        code = TextField(null=True)
        minutes_late = IntegerField(null=True)
        recorded_at = UtcField()
        wish = TextField()
        version = IntegerField(default=1)
        state = TextField(default="waiting")
        waiting_since = UtcField()
        tries = IntegerField(default=0)
        retry_at = UtcField(null=True)
        error = TextField(null=True)
        overwrite = BooleanField(default=False)
        sent_wish = TextField(null=True)
        held = TextField(null=True)
        theirs = TextField(null=True)
        confirmed = BooleanField(default=False)
        sent_at = UtcField(null=True)

        class Meta:
            database = db
            table_name = "outgoing_marks"
            indexes = (
                (("connector", "state", "school_id", "school_day", "student_id"), False),
                (("connector", "student_id", "school_day"), False),
            )

    class OutgoingWrite(Model):
        key = TextField(primary_key=True)
        mark_id = TextField(index=True)
        connector = TextField()
        version = IntegerField()
        wish = TextField()
        content = JsonField()
        held_before = TextField(null=True)
        held_after = TextField(null=True)
        outcome = TextField(null=True)
        reason = TextField(null=True)
        started_at = UtcField()
        answered_at = UtcField(null=True)

        class Meta:
            database = db
            table_name = "outgoing_writes"
            indexes = ((("connector", "outcome"), False),)

    class OutgoingChoice(Model):
        id = BigAutoField()
        mark_id = TextField(index=True)
        version = IntegerField()
        choice = TextField()
        theirs = TextField(null=True)
        why = TextField()
        chosen_by = TextField(null=True)
        chosen_at = UtcField()

        class Meta:
            database = db
            table_name = "outgoing_choices"

    db.create_tables([OutgoingQueue, OutgoingMark, OutgoingWrite, OutgoingChoice], safe=False)
