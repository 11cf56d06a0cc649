"""Tables that hold the platform itself together: the journal and what follows it."""

from __future__ import annotations

from peewee import BigAutoField, BigIntegerField, BooleanField, CompositeKey, IntegerField, Model, TextField

from homeroom.store.fields import JsonField, UtcField


class Table(Model):
    """What every table of the core has in common."""

    class Meta:
        legacy_table_names = False


class Journal(Table):
    """One row per change, in the transaction of the change, in commit order: the spine that everything else follows.

    Holds ids, codes and field names, never names of people or addresses, so that erasing a person does not break it.
    """

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
        table_name = "journal"
        indexes = ((("class_id", "id"), False), (("student_id", "id"), False))


class Cursor(Table):
    """How far one consumer has followed the journal."""

    consumer = TextField(primary_key=True)
    position = BigIntegerField(default=0)
    failures = IntegerField(default=0)
    error = TextField(null=True)
    retry_at = UtcField(null=True)

    class Meta:
        table_name = "cursors"


class Lease(Table):
    """Who may do what only one process may do at a time, and until when."""

    name = TextField(primary_key=True)
    holder = TextField()
    until = UtcField()

    class Meta:
        table_name = "leases"


class KeyValue(Table):
    """A plugin's small keepings."""

    plugin = TextField()
    key = TextField()
    value = TextField()
    expires_at = UtcField(null=True, index=True)

    class Meta:
        table_name = "key_values"
        primary_key = CompositeKey("plugin", "key")


class IdempotencyKey(Table):
    """The answer a POST has given, sealed, so that the same POST again gives it. `request_hash` tells a misuse."""

    owner = TextField()
    key = TextField()
    request_hash = TextField()
    status = IntegerField()
    answer = TextField()
    created_at = UtcField(index=True)

    class Meta:
        table_name = "idempotency_keys"
        primary_key = CompositeKey("owner", "key")


class PluginState(Table):
    """What an admin decided at run time: on or off, and settings saved on the page (sealed)."""

    name = TextField(primary_key=True)
    enabled = BooleanField(null=True)
    settings = TextField(null=True)
    revision = IntegerField(default=0)
    updated_at = UtcField()
    updated_by = TextField(null=True)

    class Meta:
        table_name = "plugin_states"


class PersonKey(Table):
    """The key under which one person's contacts, notes and reasons are sealed; destroying it erases them."""

    user_id = TextField(primary_key=True)
    sealed_key = TextField()

    class Meta:
        table_name = "person_keys"
