"""The tables of Homeroom 0.1: frozen copies, independent of the models."""

from peewee import BigAutoField, BigIntegerField, BooleanField, CompositeKey, DateField, IntegerField, Model, TextField

from homeroom.store.fields import JsonField, UtcField


def up(migrator, db):
    class Journal(Model):
        id = BigAutoField()
        at = UtcField()
        kind = TextField()
        actor_id = TextField(null=True)
        class_id = TextField(null=True)
        session_id = TextField(null=True)
        student_id = TextField(null=True)
        subject_id = TextField(null=True)
        purpose = TextField(null=True)
        basis = TextField(null=True)
        request_id = TextField(null=True)
        data = JsonField(default=dict)

        class Meta:
            database = db
            table_name = "journal"
            indexes = ((("class_id", "id"), False), (("student_id", "id"), False))

    class Cursor(Model):
        consumer = TextField(primary_key=True)
        position = BigIntegerField(default=0)
        failures = IntegerField(default=0)
        error = TextField(null=True)
        retry_at = UtcField(null=True)

        class Meta:
            database = db
            table_name = "cursors"

    class Lease(Model):
        name = TextField(primary_key=True)
        holder = TextField()
        until = UtcField()

        class Meta:
            database = db
            table_name = "leases"

    class KeyValue(Model):
        plugin = TextField()
        key = TextField()
        value = TextField()
        expires_at = UtcField(index=True, null=True)

        class Meta:
            database = db
            table_name = "key_values"
            primary_key = CompositeKey("plugin", "key")

    class IdempotencyKey(Model):
        owner = TextField()
        key = TextField()
        request_hash = TextField()
        status = IntegerField()
        answer = TextField()
        created_at = UtcField(index=True)

        class Meta:
            database = db
            table_name = "idempotency_keys"
            primary_key = CompositeKey("owner", "key")

    class PluginState(Model):
        name = TextField(primary_key=True)
        enabled = BooleanField(null=True)
        settings = TextField(null=True)
        revision = IntegerField(default=0)
        updated_at = UtcField()
        updated_by = TextField(null=True)

        class Meta:
            database = db
            table_name = "plugin_states"

    class PersonKey(Model):
        user_id = TextField(primary_key=True)
        sealed_key = TextField()

        class Meta:
            database = db
            table_name = "person_keys"

    class Org(Model):
        id = TextField(primary_key=True)
        source = TextField(null=True)
        sourced_id = TextField(null=True)
        name = TextField()
        kind = TextField()
        identifier = TextField(null=True)
        parent_id = TextField(index=True, null=True)
        time_zone = TextField(null=True)
        settings = JsonField(default=dict)
        ended = BooleanField(default=False)
        changed_at = UtcField()

        class Meta:
            database = db
            table_name = "orgs"
            indexes = ((("source", "sourced_id"), True),)

    class AcademicSession(Model):
        id = TextField(primary_key=True)
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
            database = db
            table_name = "academic_sessions"
            indexes = ((("source", "sourced_id"), True),)

    class CalendarDay(Model):
        school_id = TextField()
        day = DateField()
        in_session = BooleanField()
        title = TextField(default="")

        class Meta:
            database = db
            table_name = "calendar_days"
            primary_key = CompositeKey("school_id", "day")

    class Course(Model):
        id = TextField(primary_key=True)
        source = TextField(null=True)
        sourced_id = TextField(null=True)
        title = TextField()
        code = TextField(null=True)
        org_id = TextField(null=True)
        ended = BooleanField(default=False)
        changed_at = UtcField()

        class Meta:
            database = db
            table_name = "courses"
            indexes = ((("source", "sourced_id"), True),)

    class Class(Model):
        id = TextField(primary_key=True)
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
            database = db
            table_name = "classes"
            indexes = ((("source", "sourced_id"), True),)

    class ClassTerm(Model):
        class_id = TextField()
        term_id = TextField()

        class Meta:
            database = db
            table_name = "class_terms"
            primary_key = CompositeKey("class_id", "term_id")

    class User(Model):
        id = TextField(primary_key=True)
        source = TextField(null=True)
        sourced_id = TextField(null=True)
        given_name = TextField()
        middle_name = TextField(null=True)
        family_name = TextField()
        preferred_given_name = TextField(null=True)
        preferred_family_name = TextField(null=True)
        sort_name = TextField(index=True)
        identifier = TextField(index=True, null=True)
        username = TextField(null=True)
        grades = JsonField(default=list)
        birth_date = DateField(null=True)
        enabled = BooleanField(default=True)
        ended = BooleanField(default=False)
        version = IntegerField(default=1)
        changed_at = UtcField()

        class Meta:
            database = db
            table_name = "users"
            indexes = ((("source", "sourced_id"), True),)

    class RoleAssignment(Model):
        user_id = TextField()
        role = TextField()
        org_id = TextField(index=True, default="")
        source = TextField(null=True)
        primary = BooleanField(default=True)
        begins_on = DateField(null=True)
        ends_on = DateField(null=True)

        class Meta:
            database = db
            table_name = "role_assignments"
            primary_key = CompositeKey("user_id", "role", "org_id")

    class Contact(Model):
        id = TextField(primary_key=True)
        user_id = TextField(index=True)
        kind = TextField()
        value = TextField()
        lookup = TextField(index=True)
        source = TextField(null=True)
        begins_on = DateField(null=True)
        ends_on = DateField(null=True)

        class Meta:
            database = db
            table_name = "contacts"
            indexes = ((("user_id", "kind", "lookup"), True),)

    class Guardianship(Model):
        guardian_id = TextField()
        student_id = TextField(index=True)
        relationship = TextField(default="guardian")
        source = TextField(null=True)
        ended = BooleanField(default=False)
        changed_at = UtcField()

        class Meta:
            database = db
            table_name = "guardianships"
            primary_key = CompositeKey("guardian_id", "student_id")

    class Enrollment(Model):
        id = TextField(primary_key=True)
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
            database = db
            table_name = "enrollments"
            indexes = (
                (("source", "sourced_id"), True),
                (("class_id", "role", "user_id"), False),
                (("user_id", "role", "class_id"), False),
            )

    class SignInSession(Model):
        id = TextField(primary_key=True)
        user_id = TextField(index=True)
        device = TextField(default="")
        created_at = UtcField()
        last_used_at = UtcField()
        expires_at = UtcField()
        refresh_hash = TextField(unique=True)
        ended_at = UtcField(index=True, null=True)
        end_reason = TextField(null=True)

        class Meta:
            database = db
            table_name = "sign_in_sessions"

    class ExternalLogin(Model):
        provider = TextField()
        subject = TextField()
        user_id = TextField(index=True)
        created_at = UtcField()

        class Meta:
            database = db
            table_name = "external_logins"
            primary_key = CompositeKey("provider", "subject")

    class SignInAttempt(Model):
        state_hash = TextField(primary_key=True)
        provider = TextField()
        sealed = TextField()
        expires_at = UtcField(index=True)

        class Meta:
            database = db
            table_name = "sign_in_attempts"

    class Invitation(Model):
        id = TextField(primary_key=True)
        token_hash = TextField(unique=True)
        user_id = TextField()
        created_by = TextField(null=True)
        created_at = UtcField()
        expires_at = UtcField()
        used_at = UtcField(null=True)

        class Meta:
            database = db
            table_name = "invitations"

    class ApiKey(Model):
        id = TextField(primary_key=True)
        name = TextField()
        key_hash = TextField(unique=True)
        scopes = JsonField(default=list)
        created_by = TextField(null=True)
        created_at = UtcField()
        expires_at = UtcField(null=True)
        revoked = BooleanField(default=False)

        class Meta:
            database = db
            table_name = "api_keys"

    class Ticket(Model):
        token_hash = TextField(primary_key=True)
        purpose = TextField()
        user_id = TextField()
        session_id = TextField(null=True)
        data = JsonField(default=dict)
        expires_at = UtcField(index=True)
        uses_left = IntegerField(default=1)

        class Meta:
            database = db
            table_name = "tickets"

    class AttendanceCode(Model):
        org_id = TextField(default="")
        code = TextField()
        title = TextField()
        status = TextField()
        edfi_category = TextField()
        needs_document = BooleanField(default=False)
        retired = BooleanField(default=False)

        class Meta:
            database = db
            table_name = "attendance_codes"
            primary_key = CompositeKey("org_id", "code")

    class ClassSession(Model):
        id = TextField(primary_key=True)
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
            database = db
            table_name = "class_sessions"
            indexes = ((("class_id", "school_day"), False), (("school_id", "school_day"), False))

    class AttendanceRecord(Model):
        id = TextField(primary_key=True)
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
            database = db
            table_name = "attendance_records"
            indexes = (
                (("session_id", "student_id"), True),
                (("student_id", "school_day"), False),
                (("class_id", "school_day"), False),
            )

    class AttendanceVersion(Model):
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
            database = db
            table_name = "attendance_versions"
            primary_key = CompositeKey("record_id", "version")
            indexes = ((("class_id", "school_day"), False), (("student_id", "school_day"), False))

    class AttendanceCount(Model):
        class_id = TextField()
        school_day = DateField()
        school_id = TextField()
        present = IntegerField(default=0)
        tardy = IntegerField(default=0)
        absent = IntegerField(default=0)
        excused = IntegerField(default=0)

        class Meta:
            database = db
            table_name = "attendance_counts"
            primary_key = CompositeKey("class_id", "school_day")
            indexes = ((("school_id", "school_day"), False),)

    class AbsenceReport(Model):
        id = TextField(primary_key=True)
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
            database = db
            table_name = "absence_reports"
            indexes = ((("student_id", "first_day"), False), (("state", "reported_at"), False))

    class SyncRun(Model):
        id = TextField(primary_key=True)
        connector = TextField()
        dry_run = BooleanField(default=False)
        full = BooleanField(default=True)
        state = TextField(default="pulling")
        reason = TextField(null=True)
        started_at = UtcField()
        finished_at = UtcField(null=True)
        added = IntegerField(default=0)
        changed = IntegerField(default=0)
        ended = IntegerField(default=0)
        unchanged = IntegerField(default=0)
        dead_letters = IntegerField(default=0)
        started_by = TextField(null=True)

        class Meta:
            database = db
            table_name = "sync_runs"
            indexes = ((("connector", "started_at"), False),)

    class SyncCheckpoint(Model):
        run_id = TextField()
        noun = TextField()
        cursor = TextField(null=True)
        pulled = IntegerField(default=0)
        total = IntegerField(null=True)
        complete = BooleanField(default=False)
        delta = BooleanField(default=False)
        unreadable = IntegerField(default=0)
        applied = IntegerField(default=0)

        class Meta:
            database = db
            table_name = "sync_checkpoints"
            primary_key = CompositeKey("run_id", "noun")

    class StagedRow(Model):
        run_id = TextField()
        noun = TextField()
        sourced_id = TextField()
        content_hash = TextField()
        content = TextField()
        change = TextField(null=True)
        row_id = TextField(null=True)
        sealed = TextField(null=True)
        location = TextField(null=True)

        class Meta:
            database = db
            table_name = "staged_rows"
            primary_key = CompositeKey("run_id", "noun", "sourced_id")

    class SourceState(Model):
        source = TextField()
        noun = TextField()
        sourced_id = TextField()
        content_hash = TextField()
        content = TextField()

        class Meta:
            database = db
            table_name = "source_states"
            primary_key = CompositeKey("source", "noun", "sourced_id")

    class DeadLetter(Model):
        id = BigAutoField()
        connector = TextField()
        run_id = TextField(index=True)
        noun = TextField()
        sourced_id = TextField(null=True)
        location = TextField()
        field = TextField(null=True)
        reason = TextField()
        content = TextField(null=True)
        replayed_at = UtcField(null=True)

        class Meta:
            database = db
            table_name = "dead_letters"

    db.create_tables(
        [
            Journal,
            Cursor,
            Lease,
            KeyValue,
            IdempotencyKey,
            PluginState,
            PersonKey,
            Org,
            AcademicSession,
            CalendarDay,
            Course,
            Class,
            ClassTerm,
            User,
            RoleAssignment,
            Contact,
            Guardianship,
            Enrollment,
            SignInSession,
            ExternalLogin,
            SignInAttempt,
            Invitation,
            ApiKey,
            Ticket,
            AttendanceCode,
            ClassSession,
            AttendanceRecord,
            AttendanceVersion,
            AttendanceCount,
            AbsenceReport,
            SyncRun,
            SyncCheckpoint,
            StagedRow,
            SourceState,
            DeadLetter,
        ],
        safe=False,
    )
