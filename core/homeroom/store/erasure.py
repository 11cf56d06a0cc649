"""Taking a person out of the database for good, and keeping a backup from bringing them back.

What lies in clear (names, numbers, what a source said of them) is deleted; what is sealed under the person's own key
can be read by nobody once that key is gone. Rows that hold ids only stay: the journal still verifies, and figures of
the past stay what they were. The list of the erased lies outside the database: a backup made earlier knows nothing of
an erasure, so whatever is opened is compared with the list before anybody is served (`replay`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import orjson
import structlog

from homeroom.store import places
from homeroom.store.cipher import CannotOpen, Cipher
from homeroom.store.connection import Connection, Transaction, now_utc
from homeroom.store.engine import Store
from homeroom.store.errors import StoreError
from homeroom.store.fields import iso
from homeroom.store.models import TABLES
from homeroom.store.scrub import scrub

log = structlog.get_logger("homeroom.store")

ERASED = "Erased"
_MARK = "~erased"  # in `sort_name`, which is indexed: no folded name begins with it
_SHORTEST = 3  # a shorter text is found everywhere
_PAGE = 500

_BLANK = f"""
UPDATE users SET source = NULL, sourced_id = NULL, given_name = '{ERASED}', middle_name = NULL,
  family_name = '{ERASED}', preferred_given_name = NULL, preferred_family_name = NULL, sort_name = '{_MARK}',
  identifier = NULL, username = NULL, grades = '[]', birth_date = NULL, enabled = ?, ended = ?, version = version + 1,
  changed_at = ? WHERE id = ?
"""  # noqa: S608 - constants
# A seat's end of long ago, or that of its person, stays where it was: figures of the past rest on the earlier one.
_LEFT = """
UPDATE enrollments SET source = NULL, sourced_id = NULL, ended = ?, changed_at = CASE WHEN ended THEN changed_at
  ELSE COALESCE((SELECT u.changed_at FROM users u WHERE u.id = enrollments.user_id AND u.ended), ?) END
WHERE user_id = ?
"""
_GONE: Mapping[str, str] = {
    "person_keys": "user_id = ?",
    "contacts": "user_id = ?",
    "external_logins": "user_id = ?",
    "sign_in_sessions": "user_id = ?",
    "tickets": "user_id = ?",
    "invitations": "user_id = ?",
    "substitutions": "user_id = ?",
    "idempotency_keys": "owner = ?",
    "notification_preferences": "user_id = ?",
    "sync_conflicts": "noun = 'user' AND row_id = ?",
    "local_edits": "noun = 'user' AND row_id = ?",
    "staged_rows": "noun = 'user' AND row_id = ?",
    "outgoing_choices": "mark_id IN (SELECT id FROM outgoing_marks WHERE student_id = ?)",
    "outgoing_writes": "mark_id IN (SELECT id FROM outgoing_marks WHERE student_id = ?)",
    "outgoing_marks": "student_id = ?",
    "notification_cases": "student_id = ?",
}
"""Rows that are nobody else's, by table; a mark's own rows go before the mark."""
_SOURCED: Mapping[str, str] = {
    "source_states": "source = ? AND noun = 'user' AND sourced_id = ?",
    "dead_letters": "connector = ? AND noun = 'user' AND sourced_id = ?",
    "staged_rows": ("run_id IN (SELECT id FROM sync_runs WHERE connector = ?) AND noun = 'user' AND sourced_id = ?"),
}
"""What a source has told of the person."""
_TOLD: Mapping[str, tuple[str, str]] = {
    "source_states": ("source, noun, sourced_id", "source = ?"),
    "staged_rows": ("run_id, noun, sourced_id", "run_id IN (SELECT id FROM sync_runs WHERE connector = ?)"),
}
"""What a source has told of others, by table: the key, and which rows are that source's."""
_SEALED: Mapping[str, tuple[str, Sequence[str]]] = {
    "attendance_records": ("student_id", ("note", "reason")),
    "attendance_versions": ("student_id", ("note", "reason")),
    "absence_reports": ("student_id", ("reason",)),
    "absence_documents": ("student_id", ("content",)),
    "notifications": ("student_id", ("content",)),
}
"""Texts under the person's key: emptied, so that nothing tries to open them under a key made later."""


class EraseList:
    """The ids of those who were erased, one to a line after the moment, in a file outside the database."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ids(self) -> list[str]:
        """Everybody on it. Raises StoreError when it cannot be read; one that is not there yet is empty."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as exc:
            raise StoreError(f"the erasure list {self.path} cannot be read: {type(exc).__name__}") from None
        words = [line.split() for line in lines if line.strip()]
        if any(len(parts) != 2 for parts in words):  # noqa: PLR2004 - the moment and the id
            raise StoreError(f"the erasure list {self.path} is damaged: a line is not a moment and an id")
        return list(dict.fromkeys(person_id for _, person_id in words))

    def check(self) -> None:
        """Return when it can be written. Raises StoreError."""
        self.ids()
        self._append("")

    def add(self, person_ids: Iterable[str]) -> None:
        """Add people, on the disk when this returns. Raises StoreError."""
        moment = iso(now_utc())
        self._append("".join(f"{moment} {person_id}\n" for person_id in person_ids))

    def _append(self, text: str) -> None:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise StoreError(f"the erasure list {self.path} cannot be written: {type(exc).__name__}") from None


def is_erased(connection: Connection, person_id: str) -> bool:
    """Whether this person was erased."""
    return bool(connection.sql("SELECT 1 FROM users WHERE id = ? AND sort_name = ?", (person_id, _MARK)))


def erased_people(connection: Connection) -> list[str]:
    """The ids of everybody who was erased in this database."""
    return [row[0] for row in connection.sql("SELECT id FROM users WHERE sort_name = ? ORDER BY id", (_MARK,))]


def erase(tx: Transaction, person_id: str) -> dict[str, int]:
    """Take a person out; gives how many rows of each table were deleted or emptied. A repeat changes nothing."""
    rows = tx.sql(
        "SELECT source, sourced_id, identifier, username, given_name, family_name, preferred_given_name, "
        "preferred_family_name FROM users WHERE id = ? AND sort_name <> ?",
        (person_id, _MARK),
    )
    if not rows:
        return {}
    source, sourced_id, identifier, username, *names = rows[0]
    found = _Named(
        ids=tuple(one for one in (person_id, sourced_id, identifier, username) if one and len(one) >= _SHORTEST),
        given=tuple(filter(None, (names[0], names[2]))),
        family=tuple(filter(None, (names[1], names[3]))),
    )
    done: dict[str, int] = {}
    if source is not None and sourced_id is not None:
        _delete_told(tx, source, sourced_id, done)
    _delete_named(tx, found, done)
    for table, condition in _GONE.items():
        _count(done, table, tx.write_sql(f"DELETE FROM {table} WHERE {condition} RETURNING 1", (person_id,)))  # noqa: S608 - constants
    for table in _plugins_tables(tx):
        _count(done, table, tx.write_sql(f'DELETE FROM "{table}" WHERE user_id = ? RETURNING 1', (person_id,)))  # noqa: S608 - a table's own name
    for table, (owner, columns) in _SEALED.items():
        given = ", ".join(f"{column} = NULL" for column in columns)
        held = " OR ".join(f"{column} IS NOT NULL" for column in columns)
        text = f"UPDATE {table} SET {given} WHERE {owner} = ? AND ({held}) RETURNING 1"  # noqa: S608 - constants
        _count(done, table, tx.write_sql(text, (person_id,)))
    moment = iso(tx.now)
    for text in (
        _LEFT,
        "UPDATE guardianships SET source = NULL, ended = ?, changed_at = ? WHERE ? IN (guardian_id, student_id)",
    ):
        tx.write_sql(text, (True, moment, person_id))
    tx.write_sql(_BLANK, (False, True, moment, person_id))
    done["users"] = 1
    tx.journal("person.erased", student_id=person_id, subject_id=person_id, data={"rows": done})
    return done


def replay(store: Store, people: EraseList) -> list[str]:
    """Erase again whom a backup has brought back, and complete the list; gives whom. Raises StoreError.

    A crash between an erasure and its line in the list is mended here as well.
    """
    listed = people.ids()
    erased = store.read_now(erased_people)
    if missing := sorted(set(erased) - set(listed)):
        people.add(missing)
    back = [
        person_id
        for start in range(0, len(listed), _PAGE)
        for person_id in store.read_now(lambda c, start=start: _present(c, listed[start : start + _PAGE]))  # type: ignore[misc]
    ]
    for person_id in back:
        store.write_now(lambda tx, person_id=person_id: erase(tx, person_id))  # type: ignore[misc]
    if back:
        log.warning("erased_again", people=len(back))
        scrub(store.url)
    return back


def _present(connection: Connection, ids: Sequence[str]) -> list[str]:
    marks = ", ".join("?" * len(ids))
    text = f"SELECT id FROM users WHERE id IN ({marks}) AND sort_name <> ?"  # noqa: S608 - marks only
    return [row[0] for row in connection.sql(text, (*ids, _MARK))]


def _plugins_tables(connection: Connection) -> list[str]:
    """Tables of plugins with one row for each person: those whose primary key is `user_id`."""
    known = {model._meta.table_name for model in TABLES}  # noqa: SLF001 - peewee's documented API
    database = connection.database
    others = [name for name in database.get_tables() if name not in known and not name.startswith("migrations_")]
    return sorted(name for name in others if list(database.get_primary_keys(name)) == ["user_id"])


class _Named:
    """How a text may name a person."""

    def __init__(self, *, ids: Sequence[str], given: Sequence[str], family: Sequence[str]) -> None:
        self._ids = ids
        self._given = given
        self._family = family

    def is_in(self, text: str) -> bool:
        """Whether the text holds one of the ids, or a given and a family name."""
        if any(one in text for one in self._ids):
            return True
        return any(one in text for one in self._given) and any(one in text for one in self._family)


def _delete_told(tx: Transaction, source: str, sourced_id: str, done: dict[str, int]) -> None:
    """Delete what a source has told of the person, in rows of their own and of others (an enrolment, a guardian)."""
    for table, condition in _SOURCED.items():
        text = f"DELETE FROM {table} WHERE {condition} RETURNING 1"  # noqa: S608 - constants
        _count(done, table, tx.write_sql(text, (source, sourced_id)))
    quoted = f'%"{_escaped(sourced_id)}"%'
    for table, (key, condition) in _TOLD.items():
        text = f"SELECT {key}, content FROM {table} WHERE {condition} AND content LIKE ? ESCAPE '!'"  # noqa: S608 - constants
        for row in tx.sql(text, (source, quoted)):
            facts = orjson.loads(row[-1])
            if facts.get("user") == sourced_id or sourced_id in facts.get("agents", ()):
                where = " AND ".join(f"{column} = ?" for column in key.split(", "))
                _count(done, table, tx.write_sql(f"DELETE FROM {table} WHERE {where} RETURNING 1", row[:-1]))  # noqa: S608 - constants


def _delete_named(tx: Transaction, person: _Named, done: dict[str, int]) -> None:
    """Delete what is sealed under the district's key and names the person."""
    for letter_id, content in tx.sql("SELECT id, content FROM dead_letters WHERE content IS NOT NULL"):
        if _names(tx.cipher, content, places.DEAD_LETTER, person):
            _count(done, "dead_letters", tx.write_sql("DELETE FROM dead_letters WHERE id = ? RETURNING 1", [letter_id]))
    for owner, key, answer in tx.sql("SELECT owner, key, answer FROM idempotency_keys"):
        if _names(tx.cipher, answer, places.idempotent_answer(owner, key), person):
            text = "DELETE FROM idempotency_keys WHERE owner = ? AND key = ? RETURNING 1"
            _count(done, "idempotency_keys", tx.write_sql(text, (owner, key)))
    runs = {
        run_id
        for run_id, part, content in tx.sql("SELECT run_id, part, content FROM sync_diffs")
        if _names(tx.cipher, content, places.diff(run_id, part), person)
    }
    for run_id in sorted(runs):  # half of a dry run would be read as the whole of it
        _count(done, "sync_diffs", tx.write_sql("DELETE FROM sync_diffs WHERE run_id = ? RETURNING 1", (run_id,)))
    for message_id, key, content in tx.sql(
        "SELECT id, key, content FROM notifications WHERE student_id IS NULL AND content IS NOT NULL"
    ):
        if _names(tx.cipher, content, places.message(key), person):
            text = "UPDATE notifications SET content = NULL WHERE id = ? RETURNING 1"
            _count(done, "notifications", tx.write_sql(text, (message_id,)))


def _names(cipher: Cipher, sealed: str, place: str, person: _Named) -> bool:
    """Whether a sealed text names the person. One that nobody can open is nobody's reading either."""
    with contextlib.suppress(CannotOpen):
        return person.is_in(cipher.unseal(sealed, place))
    return False


def _count(done: dict[str, int], table: str, rows: Sequence[object]) -> None:
    if rows:
        done[table] = done.get(table, 0) + len(rows)


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
