"""People, schools, terms, classes and who is in them, in OneRoster 1.2's nouns.

`source` and `sourced_id` say which connector a row came from and its id there; both are empty for rows made here.
`ended` rows are kept: a removal deactivates, a return restores, history stays. End days are exclusive.
"""

from __future__ import annotations

from peewee import BooleanField, CompositeKey, DateField, IntegerField, TextField

from homeroom.store.fields import JsonField, UtcField, id_field
from homeroom.store.models.plumbing import Table

_SOURCED = ((("source", "sourced_id"), True),)


class Org(Table):
    """A district or school. `settings` holds its day rule, codes' defaults and the like; `parent_id` the district."""

    id = id_field()
    source = TextField(null=True)
    sourced_id = TextField(null=True)
    name = TextField()
    kind = TextField()
    identifier = TextField(null=True)
    parent_id = TextField(null=True, index=True)
    time_zone = TextField(null=True)
    settings = JsonField(default=dict)
    ended = BooleanField(default=False)
    changed_at = UtcField()

    class Meta:
        table_name = "orgs"
        indexes = _SOURCED


class AcademicSession(Table):
    """A school year, term, semester or grading period."""

    id = id_field()
    source = TextField(null=True)
    sourced_id = TextField(null=True)
    title = TextField()
    kind = TextField()
    begins_on = DateField()
    ends_on = DateField()
    school_year = IntegerField(null=True)
    parent_id = TextField(null=True)
    ended = BooleanField(default=False)
    changed_at = UtcField()

    class Meta:
        table_name = "academic_sessions"
        indexes = _SOURCED


class CalendarDay(Table):
    """A day on which one school departs from its pattern: a holiday (`in_session` False) or an extra day."""

    school_id = TextField()
    day = DateField()
    in_session = BooleanField()
    title = TextField(default="")

    class Meta:
        table_name = "calendar_days"
        primary_key = CompositeKey("school_id", "day")


class Course(Table):
    """What is taught."""

    id = id_field()
    source = TextField(null=True)
    sourced_id = TextField(null=True)
    title = TextField()
    code = TextField(null=True)
    org_id = TextField(null=True)
    ended = BooleanField(default=False)
    changed_at = UtcField()

    class Meta:
        table_name = "courses"
        indexes = _SOURCED


class Class(Table):
    """One group of students taught together. `archived` by a person, `ended` by the source."""

    id = id_field()
    source = TextField(null=True)
    sourced_id = TextField(null=True)
    title = TextField()
    school_id = TextField(index=True)
    course_id = TextField(null=True)
    code = TextField(null=True)
    kind = TextField(default="scheduled")
    periods = JsonField(default=list)
    methods = JsonField(default=list)
    require = TextField(default="any")
    late_after_minutes = IntegerField(null=True)
    archived = BooleanField(default=False)
    ended = BooleanField(default=False)
    version = IntegerField(default=1)
    changed_at = UtcField()

    class Meta:
        table_name = "classes"
        indexes = _SOURCED


class ClassTerm(Table):
    """The terms in which a class meets."""

    class_id = TextField()
    term_id = TextField()

    class Meta:
        table_name = "class_terms"
        primary_key = CompositeKey("class_id", "term_id")


class User(Table):
    """A person. Legal and preferred names are kept apart; contacts are rows of their own, sealed.

    `sort_name` is the family then given name in folded case, for lists and searches.
    """

    id = id_field()
    source = TextField(null=True)
    sourced_id = TextField(null=True)
    given_name = TextField()
    middle_name = TextField(null=True)
    family_name = TextField()
    preferred_given_name = TextField(null=True)
    preferred_family_name = TextField(null=True)
    sort_name = TextField()
    identifier = TextField(null=True, index=True)
    username = TextField(null=True)
    grades = JsonField(default=list)
    birth_date = DateField(null=True)
    enabled = BooleanField(default=True)
    ended = BooleanField(default=False)
    version = IntegerField(default=1)
    changed_at = UtcField()

    class Meta:
        table_name = "users"
        indexes = (*_SOURCED, (("sort_name", "birth_date"), False))


class RoleAssignment(Table):
    """One role of one person at one org; `org_id` is "" for a role that holds everywhere. `source` as for rows."""

    user_id = TextField()
    role = TextField()
    org_id = TextField(default="", index=True)
    source = TextField(null=True)
    primary = BooleanField(default=True)
    begins_on = DateField(null=True)
    ends_on = DateField(null=True)

    class Meta:
        table_name = "role_assignments"
        primary_key = CompositeKey("user_id", "role", "org_id")


class Contact(Table):
    """One address of one person (`kind`: "email", "phone", "sms"); `value` is sealed under the person's key.

    `lookup` is a keyed hash of the folded address, so that an e-mail can be found without being kept in clear.
    """

    id = id_field()
    user_id = TextField()
    kind = TextField()
    value = TextField()
    lookup = TextField(index=True)
    source = TextField(null=True)
    begins_on = DateField(null=True)
    ends_on = DateField(null=True)

    class Meta:
        table_name = "contacts"
        indexes = ((("user_id", "kind", "lookup"), True),)


class Guardianship(Table):
    """A guardian of a student (OneRoster's agent); ended links are kept.

    `blocked` says that a court order or the like keeps them from the student's records: it beats everything else.
    `data_access` and `notify` are what the school grants; from `begins_on` to before `ends_on`, where set.
    """

    guardian_id = TextField()
    student_id = TextField(index=True)
    relationship = TextField(default="guardian")
    blocked = BooleanField(default=False)
    data_access = BooleanField(default=True)
    notify = BooleanField(default=True)
    begins_on = DateField(null=True)
    ends_on = DateField(null=True)
    source = TextField(null=True)
    ended = BooleanField(default=False)
    changed_at = UtcField()

    class Meta:
        table_name = "guardianships"
        primary_key = CompositeKey("guardian_id", "student_id")


class Enrollment(Table):
    """One person in one class, as "student" or "teacher", from a day to before a day."""

    id = id_field()
    source = TextField(null=True)
    sourced_id = TextField(null=True)
    user_id = TextField()
    class_id = TextField()
    role = TextField()
    primary = BooleanField(default=False)
    begins_on = DateField(null=True)
    ends_on = DateField(null=True)
    ended = BooleanField(default=False)
    changed_at = UtcField()

    class Meta:
        table_name = "enrollments"
        indexes = (
            (("source", "sourced_id"), True),
            (("class_id", "role", "user_id"), False),
            (("user_id", "role", "class_id"), False),
        )
