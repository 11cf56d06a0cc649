"""Emergencies at a school and who was accounted for: frozen copies."""

from peewee import CompositeKey, DateField, IntegerField, Model, TextField

from homeroom.store.fields import UtcField


def up(migrator, db):
    class Emergency(Model):
        id = TextField(primary_key=True)
        school_id = TextField()
        school_day = DateField()
        kind = TextField()
        begun_at = UtcField()
        begun_by = TextField(null=True)
        ended_at = UtcField(null=True)
        ended_by = TextField(null=True)

        class Meta:
            database = db
            table_name = "emergencies"
            indexes = ((("school_id", "begun_at"), False),)

    class EmergencyWord(Model):
        emergency_id = TextField()
        number = IntegerField()
        student_id = TextField()
        state = TextField()
        at = UtcField()
        by = TextField(null=True)

        class Meta:
            database = db
            table_name = "emergency_words"
            primary_key = CompositeKey("emergency_id", "number")
            indexes = ((("student_id",), False),)

    db.create_tables([Emergency, EmergencyWord], safe=False)
