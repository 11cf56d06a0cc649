"""Emergencies at a school, and who was accounted for by whom and when: every word about a student is kept."""

from __future__ import annotations

from peewee import CompositeKey, DateField, IntegerField, TextField

from homeroom.store.fields import UtcField, id_field
from homeroom.store.models.plumbing import Table


class Emergency(Table):
    """One evacuation or drill of one school; `kind` is "emergency" or "drill". School day and school are frozen."""

    id = id_field()
    school_id = TextField()
    school_day = DateField()
    kind = TextField()
    begun_at = UtcField()
    begun_by = TextField(null=True)
    ended_at = UtcField(null=True)
    ended_by = TextField(null=True)

    class Meta:
        table_name = "emergencies"
        indexes = ((("school_id", "begun_at"), False),)


class EmergencyWord(Table):
    """What somebody said of one student, numbered within the emergency; a student's latest word holds.

    `state`: "here", "safe", "with_guardian", or "not_accounted", which takes an earlier word back.
    """

    emergency_id = TextField()
    number = IntegerField()
    student_id = TextField()
    state = TextField()
    at = UtcField()
    by = TextField(null=True)

    class Meta:
        table_name = "emergency_words"
        primary_key = CompositeKey("emergency_id", "number")
        indexes = ((("student_id",), False),)
