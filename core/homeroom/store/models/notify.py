"""Who is to be told of what, and every message on its way: rules, consent, cases under watch, the outbox."""

from __future__ import annotations

from peewee import BooleanField, CompositeKey, DateField, FloatField, IntegerField, TextField

from homeroom.store.fields import JsonField, UtcField, id_field
from homeroom.store.models.plumbing import Table


class NotificationRule(Table):
    """One rule as it holds now; `org_id` "" holds at every school. `settings` are those of its `kind`."""

    id = id_field()
    org_id = TextField(default="")
    kind = TextField()
    title = TextField()
    enabled = BooleanField(default=False)
    settings = JsonField(default=dict)
    version = IntegerField(default=1)
    changed_at = UtcField()
    changed_by = TextField(null=True)

    class Meta:
        table_name = "notification_rules"
        indexes = ((("org_id", "kind"), False),)


class NotificationRuleVersion(Table):
    """Every version of a rule, so that a message can always say by which one it was sent."""

    rule_id = TextField()
    version = IntegerField()
    title = TextField()
    enabled = BooleanField()
    settings = JsonField()
    changed_at = UtcField()
    changed_by = TextField(null=True)

    class Meta:
        table_name = "notification_rule_versions"
        primary_key = CompositeKey("rule_id", "version")


class NotificationTemplate(Table):
    """A district's or school's own words in place of the built-in ones; `part` is "sms", "subject" or "email"."""

    org_id = TextField(default="")
    kind = TextField()
    language = TextField()
    part = TextField()
    text = TextField()
    version = IntegerField(default=1)
    changed_at = UtcField()
    changed_by = TextField(null=True)

    class Meta:
        table_name = "notification_templates"
        primary_key = CompositeKey("org_id", "kind", "language", "part")


class NotificationPreference(Table):
    """How a person wants to be told: a language (BCP 47), and channels, the first one first."""

    user_id = TextField(primary_key=True)
    language = TextField(null=True)
    channels = JsonField(default=list)
    changed_at = UtcField()

    class Meta:
        table_name = "notification_preferences"


class NotificationConsent(Table):
    """What was said of one address and one purpose ("" is every one): `state` "given" or "withdrawn".

    The address is kept as a keyed hash only. `source` tells how it was said: "reply", "office", "person", "vendor".
    """

    channel = TextField()
    lookup = TextField()
    purpose = TextField(default="")
    state = TextField()
    source = TextField()
    changed_at = UtcField()
    changed_by = TextField(null=True)

    class Meta:
        table_name = "notification_consents"
        primary_key = CompositeKey("channel", "lookup", "purpose")


class NotificationCase(Table):
    """A student's day that may lead to messages: it is judged at `due_at`, when late scans and excuses have come.

    `state` is "waiting" or "judged". `revision` grows with every change to the day, `began_at` is the first of them.
    """

    student_id = TextField()
    school_id = TextField()
    school_day = DateField()
    state = TextField(default="waiting")
    revision = IntegerField(default=1)
    due_at = UtcField()
    began_at = UtcField()
    changed_at = UtcField()

    class Meta:
        table_name = "notification_cases"
        primary_key = CompositeKey("student_id", "school_id", "school_day")
        indexes = ((("state", "due_at"), False), (("school_day", "school_id"), False))


class Notification(Table):
    """One message to one person: the outbox.

    `key` is what makes it one: rule, student, day and recipient. `why` holds the rule's version and the marks behind
    it. `content` is what each channel would say, sealed under the student's key (the
    district's, where no student is meant).
    `channels` are those still to be tried, the first one first; `channel` is that one, and `contact_id` the address.
    `started_at` is None while nothing can have left yet. `due_at` is when it is sent, or (unknown) asked about, next.

    `state`: "waiting", "held" (a limit, or no plugin for its channel), "sending", "unknown", "accepted", "delivered",
    "failed", "expired", "cancelled" (not true any more, or so decided) or "withheld" (may not be told; `reason`).
    """

    id = id_field()
    key = TextField(unique=True)
    rule_id = TextField()
    rule_version = IntegerField()
    kind = TextField()
    purpose = TextField()
    school_id = TextField()
    school_day = DateField(null=True)
    student_id = TextField(null=True)
    recipient_id = TextField()
    audience = TextField()
    language = TextField()
    channels = JsonField(default=list)
    channel = TextField(null=True)
    contact_id = TextField(null=True)
    why = JsonField(default=dict)
    content = TextField(null=True)
    state = TextField(default="waiting")
    reason = TextField(null=True)
    code = TextField(null=True)
    due_at = UtcField()
    expires_at = UtcField()
    created_at = UtcField()
    changed_at = UtcField()
    tries = IntegerField(default=0)
    attempts = IntegerField(default=0)
    plugin = TextField(null=True)
    provider_id = TextField(null=True)
    segments = IntegerField(null=True)
    started_at = UtcField(null=True)
    holder = TextField(null=True)
    asked = IntegerField(default=0)
    corrects = TextField(null=True)

    class Meta:
        table_name = "notifications"
        indexes = (
            (("state", "due_at"), False),
            (("student_id", "school_day"), False),
            (("school_id", "created_at"), False),
            (("plugin", "provider_id"), False),
            (("recipient_id", "created_at"), False),
        )


class NotificationAttempt(Table):
    """One try of one message on one channel, kept from before it is made; `outcome` None means nobody knows yet."""

    message_id = TextField()
    number = IntegerField()
    channel = TextField()
    contact_id = TextField(null=True)
    started_at = UtcField()
    answered_at = UtcField(null=True)
    plugin = TextField(null=True)
    provider_id = TextField(null=True)
    outcome = TextField(null=True)
    reason = TextField(null=True)
    code = TextField(null=True)

    class Meta:
        table_name = "notification_attempts"
        primary_key = CompositeKey("message_id", "number")
        indexes = ((("plugin", "provider_id"), False),)


class NotificationCount(Table):
    """What a school has sent on one channel on one day, and what that has cost; kept with each attempt.

    `extra` is how many messages beyond the limit an administrator has let through.
    """

    school_id = TextField()
    day = DateField()
    channel = TextField()
    sent = IntegerField(default=0)
    segments = IntegerField(default=0)
    cost = FloatField(default=0)
    extra = IntegerField(default=0)
    alarmed_at = UtcField(null=True)

    class Meta:
        table_name = "notification_counts"
        primary_key = CompositeKey("school_id", "day", "channel")
