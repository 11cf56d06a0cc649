"""The services that reach into the database: a plugin's small keepings, its tables, and the doors to people's data."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, timedelta
from typing import Any, TypeVar

import structlog

from homeroom.hand_outs import HostOf, hand_out
from homeroom.services import Allowance, Clock, Limiter
from homeroom.store import Connection, Store, Transaction
from homeroom.store import models as m
from homeroom.types import Mark, Student

log = structlog.get_logger("homeroom.services")

T = TypeVar("T")

STUDENT_FIELDS = (
    "given_name",
    "family_name",
    "preferred_name",
    "grades",
    "identifier",
    "email",
    "phone",
    "birth_date",
)
_MARK_FIELDS = ("status", "code", "minutes_late", "recorded_at")
_CHUNK = 500


class StoredKeyValues:
    """A plugin's small keepings, sealed in the database."""

    def __init__(self, store: Store, plugin: str, clock: Clock) -> None:
        self._store = store
        self._plugin = plugin
        self._clock = clock

    async def get(self, key: str) -> str | None:
        """What was kept under `key`, or None when there is nothing or it has expired."""
        now = self._clock.now()

        def query(connection: Connection) -> str | None:
            row = connection.one(m.KeyValue.select().where(self._is(key)))
            if row is None or (row.expires_at is not None and row.expires_at <= now):
                return None
            return connection.cipher.unseal(row.value, self._context(key))

        return await self._store.read(query)

    async def set(self, key: str, value: str, *, ttl: float | None = None) -> None:
        """Keep `value`, for `ttl` seconds where given; committed when this returns."""
        until = None if ttl is None else self._clock.now() + timedelta(seconds=ttl)
        sealed = self._store.cipher.seal(value, self._context(key))

        def unit(tx: Transaction) -> None:
            tx.run(m.KeyValue.delete().where(self._is(key)))
            tx.insert(m.KeyValue, plugin=self._plugin, key=key, value=sealed, expires_at=until)

        await self._store.write(unit)

    async def delete(self, key: str) -> None:
        """Keep nothing under `key` any more."""
        await self._store.write(lambda tx: tx.run(m.KeyValue.delete().where(self._is(key))))

    def _is(self, key: str) -> Any:
        return (m.KeyValue.plugin == self._plugin) & (m.KeyValue.key == key)

    def _context(self, key: str) -> str:
        return f"key_values.{self._plugin}.{key}"


class StoredTables:
    """A plugin's own tables."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def submit(self, unit: Callable[[Transaction], T]) -> T:
        """What `unit` gives, once it is committed."""
        return await self._store.write(unit)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """What `query` gives, on a connection that cannot write."""
        return await self._store.read(query)


class NamespacedLimiter:
    """The district's limiter, under keys of one plugin's own."""

    def __init__(self, limiter: Limiter, plugin: str) -> None:
        self._limiter = limiter
        self._prefix = f"plugin:{plugin}:"

    async def hit(self, key: str, limit: int, seconds: float) -> Allowance:
        """Count one and say whether it was within `limit` per `seconds`."""
        return await self._limiter.hit(self._prefix + key, limit, seconds)

    async def peek(self, key: str, limit: int, seconds: float) -> Allowance:
        """Whether one more would be allowed now, without counting it."""
        return await self._limiter.peek(self._prefix + key, limit, seconds)

    async def forget(self, key: str) -> None:
        """Start counting `key` anew."""
        await self._limiter.forget(self._prefix + key)


class _Door:
    """What both doors to people's data do alike: keep to the scopes, ask plugins, and enter what was handed out."""

    def __init__(
        self,
        store: Store,
        plugin: str,
        scopes: frozenset[str],
        host: HostOf = lambda: None,
    ) -> None:
        self._store = store
        self._plugin = plugin
        self._scopes = scopes
        self._host = host

    def _refuse(self, fields: Collection[str]) -> None:
        if fields:
            log.warning("fields_outside_scopes", plugin=self._plugin, fields=sorted(fields))

    async def _enter(self, student_ids: Collection[str], fields: Collection[str]) -> None:
        """Ask whether it may be, then one row in the ledger, both before anything is handed out: ids and field names.

        Raises Refused: 403 where plugins deny it, 503 where a required one cannot enter it.
        """
        if student_ids and fields:
            await hand_out(self._store, self._host(), self._plugin, student_ids, fields)


class StoredRoster(_Door):
    """The door to students."""

    async def students(self, ids: Collection[str], *, fields: Collection[str] | None = None) -> list[Student]:
        """The students that exist among `ids`, with those of `fields` (default: all) that the scopes name."""
        named = {field for field in STUDENT_FIELDS if f"student.{field}" in self._scopes}
        wanted = named if fields is None else set(fields)
        self._refuse(wanted - named)
        fields = wanted & named
        found = await self._store.read(lambda connection: _students(connection, sorted(set(ids)), fields))
        await self._enter([student.id for student in found], fields)
        return found


class StoredAttendance(_Door):
    """The door to attendance."""

    async def marks(
        self,
        *,
        session_id: str | None = None,
        student_ids: Collection[str] | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> list[Mark]:
        """The marks of one session, or of some students from the school day `since` to `until`, both included."""
        if session_id is None and student_ids is None:
            raise TypeError("name a session or students")
        fields = {field for field in _MARK_FIELDS if "attendance.status" in self._scopes}
        fields |= {"note"} if "attendance.note" in self._scopes else set()
        if not fields:
            self._refuse(["attendance.status"])
        row = m.AttendanceRecord
        conditions = [row.session_id == session_id] if session_id is not None else []
        conditions += [row.school_day >= since] if since is not None else []
        conditions += [row.school_day <= until] if until is not None else []
        ids = None if student_ids is None else sorted(set(student_ids))
        found = await self._store.read(lambda connection: _marks(connection, conditions, ids, fields))
        await self._enter({mark.student_id for mark in found}, fields)
        return found


def _chunks(ids: list[str]) -> list[list[str]]:
    return [ids[at : at + _CHUNK] for at in range(0, len(ids), _CHUNK)]


def _students(connection: Connection, ids: list[str], fields: Collection[str]) -> list[Student]:
    found: list[Student] = []
    for chunk in _chunks(ids):
        role = m.RoleAssignment
        schools: dict[str, list[str]] = {}
        for user_id, org_id in connection.tuples(
            role.select(role.user_id, role.org_id).where(role.user_id.in_(chunk), role.role == "student")
        ):
            schools.setdefault(user_id, []).append(org_id)
        contacts = _contacts(connection, list(schools), fields)
        for user in connection.all(m.User.select().where(m.User.id.in_(list(schools)))):
            given: dict[str, Any] = {
                "given_name": user.given_name,
                "family_name": user.family_name,
                "preferred_name": user.preferred_given_name,
                "grades": tuple(user.grades or ()),
                "identifier": user.identifier,
                "birth_date": user.birth_date,
                **contacts.get(user.id, {}),
            }
            seen = {field: value for field, value in given.items() if field in fields}
            found.append(Student(id=user.id, school_ids=tuple(sorted(filter(None, schools[user.id]))), **seen))
    return found


def _contacts(connection: Connection, ids: list[str], fields: Collection[str]) -> dict[str, dict[str, str | None]]:
    """The first e-mail and phone of each person, in clear, where `fields` ask for them."""
    kinds = {"email": "email", "phone": "phone", "sms": "phone"}
    wanted = [kind for kind, field in kinds.items() if field in fields]
    found: dict[str, dict[str, str | None]] = {}
    if not wanted:
        return found
    table = m.Contact
    for row in connection.all(
        table.select().where(table.user_id.in_(ids), table.kind.in_(wanted)).order_by(table.kind, table.id)
    ):
        mine = found.setdefault(row.user_id, {})
        if mine.get(kinds[row.kind]) is None:
            mine[kinds[row.kind]] = connection.unseal_for(row.user_id, row.value)
    return found


def _marks(connection: Connection, conditions: list[Any], ids: list[str] | None, fields: Collection[str]) -> list[Mark]:
    row = m.AttendanceRecord
    found: list[Mark] = []
    for chunk in [None] if ids is None else _chunks(ids):
        query = row.select().where(*conditions) if conditions else row.select()
        if chunk is not None:
            query = query.where(row.student_id.in_(chunk))
        for record in connection.all(query.order_by(row.school_day, row.id)):
            seen: dict[str, Any] = {field: getattr(record, field) for field in fields if field != "note"}
            if "note" in fields:
                seen["note"] = connection.unseal_for(record.student_id, record.note)
            found.append(
                Mark(
                    id=record.id,
                    session_id=record.session_id,
                    class_id=record.class_id,
                    student_id=record.student_id,
                    school_day=record.school_day,
                    **seen,
                )
            )
    return found
