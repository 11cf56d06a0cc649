"""Documents that go with absence reports, and which codes families may use: frozen copies."""

from peewee import BooleanField, IntegerField, Model, TextField

from homeroom.store.fields import UtcField


def up(migrator, db):
    migrator.migrate(migrator.add_column("attendance_codes", "for_families", BooleanField(default=True)))

    class AbsenceDocument(Model):
        id = TextField(primary_key=True)
        report_id = TextField()
        student_id = TextField()
        kind = TextField()
        size = IntegerField()
        content = TextField(null=True)
        sent_by = TextField()
        sent_at = UtcField()

        class Meta:
            database = db
            table_name = "absence_documents"
            indexes = ((("report_id",), False), (("student_id",), False))

    db.create_tables([AbsenceDocument], safe=False)
