"""Rules, consent, cases and the outbox of messages: frozen copies, and what a guardianship now says."""

from peewee import BooleanField, CompositeKey, DateField, FloatField, IntegerField, Model, TextField

from homeroom.store.fields import JsonField, UtcField


def up(migrator, db):
    guardianships = {
        "blocked": BooleanField(default=False),
        "data_access": BooleanField(default=True),
        "notify": BooleanField(default=True),
        "begins_on": DateField(null=True),
        "ends_on": DateField(null=True),
    }
    migrator.migrate(*(migrator.add_column("guardianships", name, field) for name, field in guardianships.items()))

    class NotificationRule(Model):
        id = TextField(primary_key=True)
        org_id = TextField(default="")
        kind = TextField()
        title = TextField()
        enabled = BooleanField(default=False)
        settings = JsonField(default=dict)
        version = IntegerField(default=1)
        changed_at = UtcField()
        changed_by = TextField(null=True)

        class Meta:
            database = db
            table_name = "notification_rules"
            indexes = ((("org_id", "kind"), False),)

    class NotificationRuleVersion(Model):
        rule_id = TextField()
        version = IntegerField()
        title = TextField()
        enabled = BooleanField()
        settings = JsonField()
        changed_at = UtcField()
        changed_by = TextField(null=True)

        class Meta:
            database = db
            table_name = "notification_rule_versions"
            primary_key = CompositeKey("rule_id", "version")

    class NotificationTemplate(Model):
        org_id = TextField(default="")
        kind = TextField()
        language = TextField()
        part = TextField()
        text = TextField()
        version = IntegerField(default=1)
        changed_at = UtcField()
        changed_by = TextField(null=True)

        class Meta:
            database = db
            table_name = "notification_templates"
            primary_key = CompositeKey("org_id", "kind", "language", "part")

    class NotificationPreference(Model):
        user_id = TextField(primary_key=True)
        language = TextField(null=True)
        channels = JsonField(default=list)
        changed_at = UtcField()

        class Meta:
            database = db
            table_name = "notification_preferences"

    class NotificationConsent(Model):
        channel = TextField()
        lookup = TextField()
        purpose = TextField(default="")
        state = TextField()
        source = TextField()
        changed_at = UtcField()
        changed_by = TextField(null=True)

        class Meta:
            database = db
            table_name = "notification_consents"
            primary_key = CompositeKey("channel", "lookup", "purpose")

    class NotificationCase(Model):
        student_id = TextField()
        school_id = TextField()
        school_day = DateField()
        state = TextField(default="waiting")
        revision = IntegerField(default=1)
        due_at = UtcField()
        began_at = UtcField()
        changed_at = UtcField()

        class Meta:
            database = db
            table_name = "notification_cases"
            primary_key = CompositeKey("student_id", "school_id", "school_day")
            indexes = ((("state", "due_at"), False), (("school_day", "school_id"), False))

    class Notification(Model):
        id = TextField(primary_key=True)
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
            database = db
            table_name = "notifications"
            indexes = (
                (("state", "due_at"), False),
                (("student_id", "school_day"), False),
                (("school_id", "created_at"), False),
                (("plugin", "provider_id"), False),
                (("recipient_id", "created_at"), False),
            )

    class NotificationAttempt(Model):
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
            database = db
            table_name = "notification_attempts"
            primary_key = CompositeKey("message_id", "number")
            indexes = ((("plugin", "provider_id"), False),)

    class NotificationCount(Model):
        school_id = TextField()
        day = DateField()
        channel = TextField()
        sent = IntegerField(default=0)
        segments = IntegerField(default=0)
        cost = FloatField(default=0)
        extra = IntegerField(default=0)
        alarmed_at = UtcField(null=True)

        class Meta:
            database = db
            table_name = "notification_counts"
            primary_key = CompositeKey("school_id", "day", "channel")

    db.create_tables(
        [
            NotificationRule,
            NotificationRuleVersion,
            NotificationTemplate,
            NotificationPreference,
            NotificationConsent,
            NotificationCase,
            Notification,
            NotificationAttempt,
            NotificationCount,
        ],
        safe=False,
    )
