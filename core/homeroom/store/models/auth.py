"""Sign-in sessions, keys and one-time links. Everything secret is kept as a hash, or sealed."""

from __future__ import annotations

from peewee import BooleanField, CompositeKey, DateField, IntegerField, TextField

from homeroom.store.fields import JsonField, UtcField, id_field
from homeroom.store.models.plumbing import Table


class SignInSession(Table):
    """One sign-in of one person on one device.

    `refresh_hash` is the current refresh token's; any earlier one of the session that is used again ends it.
    """

    id = id_field()
    user_id = TextField(index=True)
    device = TextField(default="")
    created_at = UtcField()
    last_used_at = UtcField()
    expires_at = UtcField()
    refresh_hash = TextField(unique=True)
    ended_at = UtcField(null=True, index=True)
    end_reason = TextField(null=True)

    class Meta:
        table_name = "sign_in_sessions"


class ExternalLogin(Table):
    """A person's account at a single sign-on provider, joined by provider and subject."""

    provider = TextField()
    subject = TextField()
    user_id = TextField(index=True)
    created_at = UtcField()

    class Meta:
        table_name = "external_logins"
        primary_key = CompositeKey("provider", "subject")


class SignInAttempt(Table):
    """A single sign-on under way: the hash of its `state`, and sealed what the callback needs. One use."""

    state_hash = TextField(primary_key=True)
    provider = TextField()
    sealed = TextField()
    expires_at = UtcField(index=True)

    class Meta:
        table_name = "sign_in_attempts"


class Invitation(Table):
    """A one-time right to register as a certain person with certain roles."""

    id = id_field()
    token_hash = TextField(unique=True)
    user_id = TextField()
    created_by = TextField(null=True)
    created_at = UtcField()
    expires_at = UtcField()
    used_at = UtcField(null=True)

    class Meta:
        table_name = "invitations"


class Substitution(Table):
    """A link by which somebody stands in for the teacher of one class on one school day; its token is hashed.

    `user_id` is a person of this link alone, who has no other role, address or password.
    """

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
        table_name = "substitutions"
        indexes = ((("class_id", "day"), False),)


class ApiKey(Table):
    """An integrator's key: hashed, with scopes, revocable."""

    id = id_field()
    name = TextField()
    key_hash = TextField(unique=True)
    scopes = JsonField(default=list)
    created_by = TextField(null=True)
    created_at = UtcField()
    expires_at = UtcField(null=True)
    revoked = BooleanField(default=False)

    class Meta:
        table_name = "api_keys"


class Ticket(Table):
    """A single-purpose key that may stand in a URL ("websocket", …): hashed, expiring, `uses_left` times."""

    token_hash = TextField(primary_key=True)
    purpose = TextField()
    user_id = TextField()
    session_id = TextField(null=True)
    data = JsonField(default=dict)
    expires_at = UtcField(index=True)
    uses_left = IntegerField(default=1)

    class Meta:
        table_name = "tickets"
