"""Why a database cannot be had, in one line with what to do: for whoever installs, who has only this line to go by.

What a driver says is never passed on: it may quote the URL, and with it the password.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from peewee import Database, PeeweeException

from homeroom.store.database import connect, sqlite_path
from homeroom.store.errors import StoreError
from homeroom.store.faults import plain

_HARMLESS = re.compile(r"[A-Za-z0-9_.:-]{1,80}")
_UNREADABLE = ("invalid URI", "invalid integer", "invalid percent", "invalid port", "Servname")
_CORRECT = "Correct DATABASE_URL"
_IN_USE = ("is in use by another process", "Stop that one first: SQLite serves one process")
_SQLITE = {
    sqlite3.SQLITE_NOTADB: ("is no SQLite database", f"{_CORRECT}, or restore a backup into a new file"),
    sqlite3.SQLITE_BUSY: _IN_USE,
    sqlite3.SQLITE_LOCKED: _IN_USE,
    sqlite3.SQLITE_FULL: ("cannot grow: its disk is full", "Free some space"),
}


class Unreachable(StoreError):
    """The database cannot be had: `problem` says why and `fix` what to do; the text is both."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}. {fix}")
        self.problem = problem
        self.fix = fix


@contextlib.contextmanager
def connected(url: str) -> Iterator[Database]:
    """A connection of its own to the database at `url`. Raises Unreachable when there is none to be had."""
    database = connect(url)
    try:
        with explained(url):
            database.connect()
        yield database
    finally:
        database.close()


@contextlib.contextmanager
def explained(url: str) -> Iterator[None]:
    """Raise Unreachable in place of the driver's error."""
    try:
        yield
    except (PeeweeException, sqlite3.Error, OSError, ValueError) as exc:
        raise _why(url, exc) from None


def create_private(url: str) -> None:
    """Create SQLite's file for its owner alone; left to itself, SQLite would let everybody on the machine read it."""
    if url.startswith("sqlite") and not sqlite_path(url).exists():
        with explained(url):
            os.close(os.open(sqlite_path(url), os.O_WRONLY | os.O_CREAT, 0o600))


def _why(url: str, exc: Exception) -> Unreachable:
    return _sqlite(sqlite_path(url), exc) if url.startswith("sqlite") else _postgres(url, str(exc))


def _sqlite(path: Path, exc: Exception) -> Unreachable:
    code = getattr(getattr(exc, "orig", exc), "sqlite_errorcode", 0) & 0xFF
    if path == Path() or path.is_dir():
        named = "no file" if path == Path() else f"the folder {path}, not a file"
        return Unreachable(f"DATABASE_URL names {named}", f"{_CORRECT}: sqlite:///./homeroom.db names a file")
    if not path.parent.is_dir():
        return Unreachable(f"there is no folder {path.parent}", f"Create it, or correct DATABASE_URL (it names {path})")
    if code == sqlite3.SQLITE_READONLY or isinstance(exc, OSError) or not _may_write(path):
        fix = "Mount its disk for writing, or give the user that runs Homeroom the right to write file and folder"
        return Unreachable(f"{path} cannot be written: the disk is read-only or the right is missing", fix)
    problem, fix = _SQLITE.get(code, (f"cannot be opened: {plain(exc)}", "Look at the file, its folder and its disk"))
    return Unreachable(f"{path} {problem}", fix)


def _may_write(path: Path) -> bool:
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def _postgres(url: str, said: str) -> Unreachable:
    parts = urlsplit(url)
    if _is_torn(parts) or any(words in said for words in _UNREADABLE):
        fix = "Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with each of / ? # @ : % in the password as %XX"
        return Unreachable("DATABASE_URL cannot be read", fix)
    database, where = _named(parts.path[1:], "that it names"), _place(parts)
    if "password authentication failed" in said or "no password supplied" in said or "role " in said:
        fix = f"{_CORRECT}, or set the password anew: ALTER ROLE … PASSWORD …"
        return Unreachable(f"PostgreSQL {where} refuses the user or the password of DATABASE_URL", fix)
    if "database " in said and "does not exist" in said:
        fix = f"Create it (createdb --owner=USER {database}), or correct DATABASE_URL"
        return Unreachable(f"PostgreSQL {where} has no database {database}", fix)
    if "no pg_hba.conf entry" in said:
        fix = "Add a line for this host, user and database to pg_hba.conf, and reload PostgreSQL"
        return Unreachable(f"PostgreSQL {where} lets nobody in from here", fix)
    if "resolve host" in said or "translate host name" in said:
        return Unreachable(f"the host of DATABASE_URL, {where.removeprefix('at ')}, is not known here", _CORRECT)
    problem = f"the database cannot be reached: no PostgreSQL answers {where}"
    return Unreachable(problem, "Start it, and see that DATABASE_URL names its host and port")


def _is_torn(parts: SplitResult) -> bool:
    """Whether a sign in the password has cut the URL in the wrong place: then nothing of it may be shown."""
    try:
        parts.port  # noqa: B018 - it raises for what is no number
    except ValueError:
        return True
    return "@" in parts.path + parts.query + parts.fragment or "@" in (parts.username or "") + (parts.password or "")


def _place(parts: SplitResult) -> str:
    host = f"{parts.hostname}:{parts.port or 5432}" if parts.hostname else "on this machine's socket"
    return f"at {_named(host, 'the given place')}" if parts.hostname else host


def _named(text: str, otherwise: str) -> str:
    return text if _HARMLESS.fullmatch(text) else otherwise
