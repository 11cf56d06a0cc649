"""Attendance on its way to a SIS: what each one should hold, every write, and what people decided about differences."""

from __future__ import annotations

from peewee import BigAutoField, BooleanField, DateField, IntegerField, TextField

from homeroom.store.fields import JsonField, UtcField
from homeroom.store.models.plumbing import Table


class OutgoingQueue(Table):
    """One connector's figures: marks that its SIS has taken, and new ones whose student or class it does not know.

    `last_sent_at` is when the SIS last took a mark that it did not hold already.
    """

    connector = TextField(primary_key=True)
    sent = IntegerField(default=0)
    confirmed = IntegerField(default=0)
    left_out = IntegerField(default=0)
    last_sent_at = UtcField(null=True)

    class Meta:
        table_name = "outgoing_queues"


class OutgoingMark(Table):
    """What one SIS should hold of one student for a class meeting, or (`class_id` None) for a school day.

    Always the latest wish; `version` grows with each change of it. The `…_sourced_id`s are frozen when the row is made.
    `state`: "waiting", "sent", "failed", "differs" (the SIS holds `theirs`, which nobody here wrote) or "kept" (so
    decided). `held` is what the SIS held after our last writing, in the connector's words, and `sent_wish` the wish of
    which that is known.
    """

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
        table_name = "outgoing_marks"
        indexes = (
            (("connector", "state", "school_id", "school_day", "student_id"), False),
            (("connector", "student_id", "school_day"), False),
        )


class OutgoingWrite(Table):
    """One writing into a SIS, kept from before it was tried: `content` as sent, what was there before and after.

    `outcome` is None while nobody knows whether it arrived: it is then sent again under the same key. Else "sent",
    "confirmed" (and seen to be there), "failed" or "differs". It is kept as long as the student's attendance.
    """

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
        table_name = "outgoing_writes"
        indexes = ((("connector", "outcome"), False),)


class OutgoingChoice(Table):
    """What a person decided where the SIS differed (`theirs`): "overwrite" or "keep". `why` is sealed."""

    id = BigAutoField()
    mark_id = TextField(index=True)
    version = IntegerField()
    choice = TextField()
    theirs = TextField(null=True)
    why = TextField()
    chosen_by = TextField(null=True)
    chosen_at = UtcField()

    class Meta:
        table_name = "outgoing_choices"
