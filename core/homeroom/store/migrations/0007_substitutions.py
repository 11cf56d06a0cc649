"""Links by which somebody stands in for a teacher: a frozen copy."""

from peewee import DateField, Model, TextField

from homeroom.store.fields import UtcField, id_field


def up(migrator, db):
    class Substitution(Model):
        id = id_field()
        token_hash = TextField(unique=True)
        user_id = TextField(unique=True)
        class_id = TextField()
        day = DateField()
        begins_at = UtcField()
        ends_at = UtcField()
        created_by = TextField(null=True)
        created_at = UtcField()
        revoked_at = UtcField(null=True)
        revoked_by = TextField(null=True)

        class Meta:
            database = db
            table_name = "substitutions"
            indexes = ((("class_id", "day"), False),)

    db.create_tables([Substitution], safe=False)
