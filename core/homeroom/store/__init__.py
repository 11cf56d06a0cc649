"""The database: one writer thread with group commit, a few readers, and the journal that every change enters.

    record = await store.write(unit)     # unit(tx: Transaction) -> T, committed when this returns
    rows = await store.read(query)       # query(connection: Connection) -> T

Nothing that waits on a network belongs in a unit. A unit may run more than once and must then do the same.
"""

from homeroom.store.connection import ORIGIN, Connection, Entry, Origin, Sums, Transaction, now_utc
from homeroom.store.engine import Store
from homeroom.store.errors import Busy, Refused, StoreError, Unavailable, conflict, not_found
from homeroom.store.fields import iso, new_id

__all__ = [
    "ORIGIN",
    "Busy",
    "Connection",
    "Entry",
    "Origin",
    "Refused",
    "Store",
    "StoreError",
    "Sums",
    "Transaction",
    "Unavailable",
    "conflict",
    "iso",
    "new_id",
    "not_found",
    "now_utc",
]
