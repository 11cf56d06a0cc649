"""Sessions, the attendance taken in them, every earlier version, and the counters that are kept beside them."""

from __future__ import annotations

from peewee import BooleanField, CompositeKey, DateField, IntegerField, TextField

from homeroom.store.fields import JsonField, UtcField, id_field
from homeroom.store.models.plumbing import Table


class AttendanceCode(Table):
    """A district's (or one school's) own code: data that maps to one of the four statuses and to Ed-Fi.

    `edfi_category` is an `AttendanceEventCategory` ("Unexcused Absence"); `org_id` "" holds for every school.
    `for_families`: guardians may report an absence under it, if it means one.
    """

    org_id = TextField(default="")
    code = TextField()
    title = TextField()
    status = TextField()
    edfi_category = TextField()
    needs_document = BooleanField(default=False)
    for_families = BooleanField(default=True)
    retired = BooleanField(default=False)

    class Meta:
        table_name = "attendance_codes"
        primary_key = CompositeKey("org_id", "code")


class ClassSession(Table):
    """One meeting of one class. School and day are frozen here, so that a later transfer changes no past."""

    id = id_field()
    class_id = TextField()
    school_id = TextField()
    school_day = DateField()
    period = TextField(null=True)
    starts_at = UtcField()
    late_after_minutes = IntegerField()
    methods = JsonField(default=list)
    require = TextField(default="any")
    state = TextField(default="open")
    opened_by = TextField(null=True)
    closed_at = UtcField(null=True)
    closed_by = TextField(null=True)
    roll_taken_at = UtcField(null=True)

    class Meta:
        table_name = "class_sessions"
        indexes = ((("class_id", "school_day"), False), (("school_id", "school_day"), False))


class AttendanceRecord(Table):
    """One student's attendance in one session as it is known now; the database itself forbids a second one.

    `origin`: "check_in", "teacher", "office", "absence_report" or "close". `note` is sealed under the student's key.
    `version` counts corrections from 1; `valid_from` is when this version became known.
    """

    id = id_field()
    session_id = TextField()
    class_id = TextField()
    school_id = TextField()
    student_id = TextField()
    school_day = DateField()
    status = TextField()
    code = TextField(null=True)
    minutes_late = IntegerField(null=True)
    needs_review = BooleanField(default=False)
    evidence = JsonField(default=list)
    origin = TextField()
    client_id = TextField(null=True)
    occurred_at = UtcField(null=True)
    recorded_at = UtcField()
    recorded_by = TextField(null=True)
    note = TextField(null=True)
    reason = TextField(null=True)
    version = IntegerField(default=1)
    valid_from = UtcField()

    class Meta:
        table_name = "attendance_records"
        indexes = (
            (("session_id", "student_id"), True),
            (("student_id", "school_day"), False),
            (("class_id", "school_day"), False),
            (("school_id", "school_day", "student_id", "class_id", "status"), False),  # all that a report counts
        )


class AttendanceVersion(Table):
    """What a record was before a correction: known from `valid_from` until `valid_to`."""

    record_id = TextField()
    version = IntegerField()
    session_id = TextField()
    class_id = TextField()
    student_id = TextField()
    school_day = DateField()
    status = TextField()
    code = TextField(null=True)
    minutes_late = IntegerField(null=True)
    needs_review = BooleanField(default=False)
    origin = TextField()
    recorded_by = TextField(null=True)
    note = TextField(null=True)
    reason = TextField(null=True)
    valid_from = UtcField()
    valid_to = UtcField()

    class Meta:
        table_name = "attendance_versions"
        primary_key = CompositeKey("record_id", "version")
        indexes = ((("class_id", "school_day"), False), (("student_id", "school_day"), False))


class AttendanceCount(Table):
    """How many records of each status a class has on a day, kept in the transaction of every change."""

    class_id = TextField()
    school_day = DateField()
    school_id = TextField()
    present = IntegerField(default=0)
    tardy = IntegerField(default=0)
    absent = IntegerField(default=0)
    excused = IntegerField(default=0)

    class Meta:
        table_name = "attendance_counts"
        primary_key = CompositeKey("class_id", "school_day")
        indexes = ((("school_id", "school_day"), False),)


class AbsenceReport(Table):
    """An absence told ahead or afterwards by a guardian or the office; `state`: "reported", "approved", "refused".

    `last_day` is inclusive. `reason` is sealed under the student's key.
    """

    id = id_field()
    student_id = TextField()
    first_day = DateField()
    last_day = DateField()
    code = TextField()
    reason = TextField(null=True)
    state = TextField(default="reported")
    reported_by = TextField()
    reported_at = UtcField()
    decided_by = TextField(null=True)
    decided_at = UtcField(null=True)

    class Meta:
        table_name = "absence_reports"
        indexes = ((("student_id", "first_day"), False), (("state", "reported_at"), False))


class AbsenceDocument(Table):
    """A document that goes with an absence report; `kind` is what its bytes are: "pdf", "jpeg" or "png".

    `content` is base64, sealed under the student's key; None once the student was erased.
    """

    id = id_field()
    report_id = TextField()
    student_id = TextField()
    kind = TextField()
    size = IntegerField()
    content = TextField(null=True)
    sent_by = TextField()
    sent_at = UtcField()

    class Meta:
        table_name = "absence_documents"
        indexes = ((("report_id",), False), (("student_id",), False))
