"""The smallest change a test can make: one key and its value, with a journal row."""

from __future__ import annotations

from collections.abc import Callable

from homeroom.store import Connection, Transaction
from homeroom.store.models import Journal, KeyValue


def put(key: str, value: str = "") -> Callable[[Transaction], bool]:
    """A unit that keeps `value` under `key` once, however often it is run."""

    def unit(tx: Transaction) -> bool:
        fresh = tx.insert_new(KeyValue, plugin="test", key=key, value=value)
        if fresh:
            tx.journal("test.put", subject_id=key)
        return fresh

    return unit


def keys(connection: Connection) -> list[str]:
    """Every key that was put, in order."""
    return connection.values(KeyValue.select(KeyValue.key).order_by(KeyValue.key))


def journaled(connection: Connection) -> list[str]:
    """The keys in the order of the journal."""
    return connection.values(Journal.select(Journal.subject_id).order_by(Journal.id))
