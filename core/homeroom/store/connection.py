"""What a read or a unit of work is given: one thread's connection, on which peewee's queries run."""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import orjson
from peewee import Database, ModelSelect, SqliteDatabase

from homeroom.store.cipher import Cipher
from homeroom.store.dice import many
from homeroom.store.fields import iso
from homeroom.store.models.plumbing import PersonKey, Table

_M = TypeVar("_M", bound=Table)

_PEOPLE = 500  # in one statement

JOURNAL_COLUMNS = (
    "at",
    "kind",
    "actor_id",
    "class_id",
    "session_id",
    "student_id",
    "subject_id",
    "purpose",
    "basis",
    "request_id",
    "data",
)


class Entry(NamedTuple):
    """A change as `Transaction.journal_many` takes it; `data` is JSON."""

    kind: str
    class_id: str | None
    student_id: str | None
    subject_id: str | None
    data: str

    @classmethod
    def of(
        cls,
        kind: str,
        class_id: str | None,
        student_id: str | None,
        subject_id: str | None,
        data: Mapping[str, Any] | None = None,
    ) -> Entry:
        """An entry whose data is not JSON yet."""
        return cls(kind, class_id, student_id, subject_id, orjson.dumps(data).decode() if data else "{}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """On whose behalf a change is made; every journal row of the change carries it."""

    actor_id: str | None = None
    purpose: str | None = None
    basis: str | None = None
    request_id: str | None = None


ORIGIN: ContextVar[Origin] = ContextVar("homeroom_origin", default=Origin())  # noqa: B039 - it is frozen
"""The origin of the request or job that is running; `Store.write` takes it along to the writer thread."""


class Connection:
    """Runs queries on the connection of the thread that it is used in."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self.database = database
        self.cipher = cipher
        self.is_sqlite = isinstance(database, SqliteDatabase)

    def all(self, query: ModelSelect[_M]) -> list[_M]:
        """Every row, as the model's instances."""
        return list(query.execute(self.database))

    def one(self, query: ModelSelect[_M]) -> _M | None:
        """The first row, or None."""
        rows = self.all(query.limit(1))
        return rows[0] if rows else None

    def get(self, model: type[_M], key: str) -> _M | None:
        """The row with the primary key `key`, or None."""
        return self.one(model.select().where(model._meta.primary_key == key))  # noqa: SLF001 - peewee's documented API

    def tuples(self, query: Any) -> list[tuple[Any, ...]]:
        """Every row, as plain tuples in the order of the selected columns."""
        return list(query.tuples().execute(self.database))

    def value(self, query: Any) -> Any:
        """The first column of the first row, or None."""
        rows = self.tuples(query.limit(1))
        return rows[0][0] if rows else None

    def values(self, query: Any) -> list[Any]:
        """The first column of every row."""
        return [row[0] for row in self.tuples(query)]

    def sql(self, text: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of plain SQL with `?` for parameters, for the few statements that must be fast."""
        cursor = self.database.execute_sql(text if self.is_sqlite else text.replace("?", "%s"), params)
        rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
        return rows

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let several reads see the database as of one moment."""
        self.database.execute_sql("BEGIN" if self.is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            if not self.database.is_closed():
                self.database.execute_sql("ROLLBACK")

    def unseal_for(self, person_id: str, sealed: str | None) -> str | None:
        """What was sealed under a person's key; None when that key was destroyed (the person is erased)."""
        if sealed is None:
            return None
        row = self.get(PersonKey, person_id)
        return None if row is None else self._open(row).unseal(sealed, person_id)

    def unseal_many(self, texts: Sequence[tuple[str, str | None]]) -> list[str | None]:
        """Each (person's id, sealed text) opened as `unseal_for` does, with one statement for all of them."""
        people = list({person for person, text in texts if text is not None})
        keys: dict[str, Cipher] = {}
        for start in range(0, len(people), _PEOPLE):
            some = people[start : start + _PEOPLE]
            marks = ", ".join("?" * len(some))
            rows = self.sql(f"SELECT user_id, sealed_key FROM person_keys WHERE user_id IN ({marks})", some)  # noqa: S608 - marks only
            keys |= {person: self._open(PersonKey(user_id=person, sealed_key=key)) for person, key in rows}
        return [
            keys[person].unseal(text, person) if text is not None and person in keys else None for person, text in texts
        ]

    def _open(self, row: PersonKey) -> Cipher:
        key = self.cipher.unseal(row.sealed_key, f"person_keys.{row.user_id}")
        return Cipher([base64.b64decode(key)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """A table of counters: `key` tells its rows apart, `given` goes with a new row, `amounts` are added up."""

    table: str
    key: tuple[str, ...]
    given: tuple[str, ...] = ()
    amounts: tuple[str, ...]

    def statement(self, rows: int) -> str:
        """The SQL that adds to so many rows, all different."""
        columns = (*self.key, *self.given, *self.amounts)
        one = f"({', '.join('?' * len(columns))})"
        added = ", ".join(f"{name} = {self.table}.{name} + excluded.{name}" for name in self.amounts)
        return (
            f"INSERT INTO {self.table} ({', '.join(columns)}) VALUES {', '.join([one] * rows)} "  # noqa: S608 - names are ours
            f"ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {added}"
        )


class Transaction(Connection):
    """What a unit of work writes with.

    A unit may be run more than once, so it reads no clock and rolls no dice: `now` is fixed, and ids are made before
    it. `wrote` says whether anything was written yet.
    """

    def __init__(self, database: Database, cipher: Cipher, origin: Origin, now: datetime) -> None:
        super().__init__(database, cipher)
        self.origin = origin
        self.now = now
        self.wrote = False
        self.pending: list[tuple[Any, ...]] = []
        self.sums: list[tuple[Sums, tuple[Any, ...], Sequence[int]]] = []

    @cached_property
    def at(self) -> str:
        """`now` as it is stored."""
        return iso(self.now)

    def run(self, query: Any) -> int:
        """Run an INSERT, UPDATE or DELETE; gives the number of rows it touched."""
        self.wrote = True
        result = query.execute(self.database)
        return result if isinstance(result, int) else 0

    def insert(self, model: type[Table], **values: Any) -> None:
        """Insert one row."""
        self.run(model.insert(**values))

    def insert_new(self, model: type[Table], **values: Any) -> bool:
        """Insert one row unless its keys are taken; whether it was inserted."""
        self.wrote = True
        query = model.insert(**values).on_conflict_ignore()
        key = next(iter(model._meta.sorted_field_names))  # noqa: SLF001 - any column will do
        return bool(list(query.returning(getattr(model, key)).tuples().execute(self.database)))

    def write_sql(self, text: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Like `sql`, for a statement that writes."""
        self.wrote = True
        return self.sql(text, params)

    def add(self, sums: Sums, row: tuple[Any, ...], amounts: Sequence[int]) -> None:
        """Add `amounts` to the counters of `row` (the values of `key`, then `given`).

        It is written with what the other units of the transaction add, after them: a unit does not see its own.
        """
        self.wrote = True
        self.sums.append((sums, row, amounts))

    def journal(
        self,
        kind: str,
        *,
        class_id: str | None = None,
        session_id: str | None = None,
        student_id: str | None = None,
        subject_id: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Enter a change in the journal, in this transaction, with the origin's actor, purpose and request id."""
        self.wrote = True
        origin = self.origin
        self.pending.append(
            (
                self.at,
                kind,
                origin.actor_id,
                class_id,
                session_id,
                student_id,
                subject_id,
                origin.purpose,
                origin.basis,
                origin.request_id,
                orjson.dumps(data or {}).decode(),
            )
        )

    def journal_many(self, entries: Iterable[Entry]) -> None:
        """Enter many changes, which belong to no session, as `journal` does."""
        self.wrote = True
        at, origin = self.at, self.origin
        why = (origin.purpose, origin.basis, origin.request_id)
        self.pending += [
            (at, kind, origin.actor_id, class_id, None, student_id, subject_id, *why, data)
            for kind, class_id, student_id, subject_id, data in entries
        ]

    def seal_for(self, person_id: str, text: str) -> str:
        """`text` sealed under a person's key, which is made when it is first needed."""
        row = self.get(PersonKey, person_id)
        if row is None:
            fresh = base64.b64encode(secrets.token_bytes(32)).decode()
            sealed = self.cipher.seal(fresh, f"person_keys.{person_id}")
            self.run(PersonKey.insert(user_id=person_id, sealed_key=sealed).on_conflict_ignore())
            row = self.get(PersonKey, person_id)
            assert row is not None  # noqa: S101 - it was just inserted in this transaction
        return self._open(row).seal(text, person_id)

    def seal_many(self, texts: Sequence[tuple[str, str]]) -> list[str]:
        """Each (person's id, text) sealed as `seal_for` does, with two statements for all of them."""
        people = list({person for person, _ in texts})
        if not people:
            return []
        marks = ", ".join("?" * len(people))
        held = self.sql(f"SELECT user_id, sealed_key FROM person_keys WHERE user_id IN ({marks})", people)  # noqa: S608 - marks only
        keys = {person: self._open(PersonKey(user_id=person, sealed_key=key)) for person, key in held}
        new = [person for person in people if person not in keys]
        fresh = dict(zip(new, many(32, len(new)), strict=True))
        if fresh:
            made: list[str] = []
            for person, key in fresh.items():
                made += (person, self.cipher.seal(base64.b64encode(key).decode(), f"person_keys.{person}"))
            marks = ", ".join(["(?, ?)"] * len(fresh))
            self.write_sql(f"INSERT INTO person_keys (user_id, sealed_key) VALUES {marks}", made)  # noqa: S608 - marks only
            keys |= {person: Cipher([key]) for person, key in fresh.items()}
        return [keys[person].seal(text, person) for person, text in texts]


def now_utc() -> datetime:
    """This moment, aware and in UTC."""
    return datetime.now(UTC)
