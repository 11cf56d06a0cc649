"""What a database's error means: worth trying again, lasting, or the fault of the one statement."""

from __future__ import annotations

import enum
import sqlite3
from typing import Any

from peewee import InterfaceError, OperationalError, PeeweeException

from homeroom.store.errors import StoreError


class Fault(enum.Enum):
    """Who is to blame for an error, and whether trying again helps."""

    AWAY = "the database is away or busy; it may be back in a moment"
    LASTING = "the database is full or read-only; trying again at once cannot help"
    UNIT = "what was asked of the database was wrong; others are not concerned"


_SQLITE = {
    sqlite3.SQLITE_BUSY: Fault.AWAY,
    sqlite3.SQLITE_LOCKED: Fault.AWAY,
    sqlite3.SQLITE_IOERR: Fault.AWAY,
    sqlite3.SQLITE_CANTOPEN: Fault.AWAY,
    sqlite3.SQLITE_PROTOCOL: Fault.AWAY,
    sqlite3.SQLITE_NOMEM: Fault.AWAY,
    sqlite3.SQLITE_FULL: Fault.LASTING,
    sqlite3.SQLITE_READONLY: Fault.LASTING,
    sqlite3.SQLITE_CORRUPT: Fault.LASTING,
    sqlite3.SQLITE_NOTADB: Fault.LASTING,
}

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES_LASTING = ("53100",)  # disk full
_READ_ONLY = "25006"
_POSTGRES_AWAY = (
    "08",  # the connection
    "40",  # deadlocks and the like
    "53",  # out of connections or memory
    "55P03",  # a lock was not to be had in time
    "57P",  # shutting down, crashed, starting up
    "58",  # input and output
    _READ_ONLY,  # a standby that has not been promoted yet
    "25P03",  # ended while it idled in a transaction (this process was frozen)
)


def fault_of(exc: BaseException) -> Fault:
    """What an error raised by a query, a unit or a commit means; anything but a database's error is the unit's own."""
    if not isinstance(exc, PeeweeException | sqlite3.Error) and not hasattr(exc, "sqlstate"):
        return Fault.UNIT
    raw = _raw(exc)
    if isinstance(raw, sqlite3.Error):
        return _SQLITE.get(getattr(raw, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF, Fault.UNIT)
    state = getattr(raw, "sqlstate", None)
    if state is None:  # psycopg gives none when it lost or never had a connection
        lost = isinstance(exc, OperationalError | InterfaceError) or type(raw).__name__ == "OperationalError"
        return Fault.AWAY if lost else Fault.UNIT
    if state.startswith(_POSTGRES_LASTING):
        return Fault.LASTING
    return Fault.AWAY if state.startswith(_POSTGRES_AWAY) else Fault.UNIT


def plain(exc: BaseException) -> str:
    """The error in words for an operator, with no data in them."""
    raw = _raw(exc)
    code = getattr(raw, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or getattr(raw, "sqlstate", None) in _POSTGRES_LASTING:
        return "the database's disk is full"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "the database is busy"
    if code == sqlite3.SQLITE_READONLY or getattr(raw, "sqlstate", None) == _READ_ONLY:
        return "the database is read-only"
    return "the database cannot be reached"


def answerable(exc: BaseException) -> Exception:
    """`exc`, or a StoreError for what no future may carry and no server should die of (SystemExit, StopIteration)."""
    if isinstance(exc, Exception) and not isinstance(exc, StopIteration):
        return exc
    return StoreError(f"the work ended with {type(exc).__name__}")


def _raw(exc: BaseException) -> Any:
    """The driver's own error, which peewee keeps as `orig`."""
    return getattr(exc, "orig", exc)
