"""The service of a plugin that stands at a school's door: who belongs there, and a check-in for whoever came in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from homeroom import gate
from homeroom.attendance.check_in import CheckIn, check_in
from homeroom.attendance.sessions import ENROLLED, KnownSessions, seated, session_of
from homeroom.auth.access import schools_within
from homeroom.roster.calendar import school_day, zone_of
from homeroom.store import ORIGIN, Connection, Refused, Store, iso, now_utc
from homeroom.store import models as m
from homeroom.types import AccessRequest, Identity, Mark

SCOPE = "attendance.check_in"

_CHUNK = 500
_BELONGS = """
SELECT {column}, u.id FROM users u JOIN role_assignments r ON r.user_id = u.id
WHERE {column} IN ({marks}) AND r.role = 'student' AND r.org_id = ? AND NOT u.ended
  AND (r.begins_on IS NULL OR r.begins_on <= ?) AND (r.ends_on IS NULL OR r.ends_on > ?)
"""
_OPEN = f"""
SELECT DISTINCT s.id, s.starts_at, s.methods FROM class_sessions s JOIN enrollments e ON e.class_id = s.class_id
WHERE e.user_id = ? AND s.school_id = ? AND s.state = 'open' AND s.school_day = ? AND s.starts_at <= ?
  AND {ENROLLED.format(day="s.school_day")}
ORDER BY s.starts_at, s.id
"""  # noqa: S608 - constants


class StoredEntrance:
    """What a plugin with the scope `attendance.check_in` may do; any other is refused."""

    def __init__(
        self,
        store: Store,
        plugin: str,
        scopes: frozenset[str],
        *,
        host: Callable[[], Any] = lambda: None,
        time_zone: str = "UTC",
    ) -> None:
        self._store = store
        self._plugin = plugin
        self._scopes = scopes
        self._host = host
        self._time_zone = time_zone
        self._sessions = KnownSessions()

    async def schools(self, identity: Identity, action: str) -> Mapping[str, str]:
        """The names, by id, of the schools that somebody reaches with an action."""
        self._check_scope()
        within = schools_within(identity, action)
        query = m.Org.select(m.Org.id, m.Org.name).where(m.Org.kind == "school", ~m.Org.ended)
        if within is not None:
            query = query.where(m.Org.id.in_(within))
        return dict(await self._store.read(lambda c: c.tuples(query.order_by(m.Org.name, m.Org.id))))

    async def students(
        self, school_id: str, *, ids: Collection[str] = (), numbers: Collection[str] = ()
    ) -> Mapping[str, str]:
        """The ids of those who are students of the school today, by the id or the student number that was asked for.

        A number that two of them have is nobody's.
        """
        self._check_scope()
        return await self._store.read(lambda c: self._belonging(c, school_id, ids, numbers))

    async def seated(self, session_id: str) -> frozenset[str]:
        """The ids of the students who sit in a session's class on its day. Raises Refused 404 when there is none."""
        self._check_scope()

        def read(connection: Connection) -> frozenset[str]:
            session = session_of(connection, session_id)
            return seated(connection, session.class_id, session.school_day.isoformat())

        return await self._store.read(read)

    async def check_in(
        self,
        student_id: str,
        *,
        school_id: str,
        at: datetime,
        by: str,
        early: timedelta = timedelta(0),
        proof: Mapping[str, Any],
    ) -> list[Mark]:
        """The student's marks in the sessions that this check-in reaches, committed when this returns.

        These are the day's open sessions of the student at the school that take this plugin as a method and begin at
        most `early` after `at`, the moment that counts. The proof is judged as any student's is; where it does not
        suffice, nothing is recorded in that session. A mark that is there stays. `by` is who is entered in the journal.
        Raises Refused 403 where a plugin's `authorize` denies it.
        """
        self._check_scope()
        sessions = await self._store.read(lambda c: self._open(c, student_id, school_id, at, early))
        found: list[Mark] = []
        if not sessions:
            return found
        host = self._host()
        origin = ORIGIN.get()
        granted = await gate.ask(host, self._access(student_id))
        before = ORIGIN.set(replace(origin, actor_id=by, purpose=SCOPE, basis=granted.basis or origin.basis))
        try:
            for session_id in sessions:
                mark = await self._enter(host, CheckIn(session_id=session_id, student_id=student_id, proof=proof), at)
                found += [mark] if mark is not None else []
        finally:
            ORIGIN.reset(before)
        return found

    async def _enter(self, host: Any, sent: CheckIn, at: datetime) -> Mark | None:
        try:
            record, _ = await check_in(self._store, host, self._sessions, replace(sent, seen_at=at), offline_hours=0)
        except Refused as refusal:
            if refusal.status in (404, 409, 422, 429):  # closed meanwhile, or it asks for more than being at the door
                return None
            raise
        return Mark(
            id=record.id,
            session_id=record.session_id,
            class_id=record.class_id,
            student_id=record.student_id,
            school_day=date.fromisoformat(record.school_day),
            status=record.status,
            minutes_late=record.minutes_late,
        )

    def _check_scope(self) -> None:
        if SCOPE not in self._scopes:
            raise Refused(403, "not-allowed", f"{self._plugin} has no scope {SCOPE}.")

    def _day(self, connection: Connection, school_id: str, at: datetime) -> date:
        return school_day(at, zone_of(connection, school_id, self._time_zone))

    def _belonging(
        self, connection: Connection, school_id: str, ids: Collection[str], numbers: Collection[str]
    ) -> dict[str, str]:
        day = self._day(connection, school_id, now_utc()).isoformat()
        found: dict[str, set[str]] = {}
        for column, wanted in (("u.id", ids), ("u.identifier", numbers)):
            asked = sorted(set(wanted))
            for some in (asked[start : start + _CHUNK] for start in range(0, len(asked), _CHUNK)):
                text = _BELONGS.format(column=column, marks=", ".join("?" * len(some)))
                for key, student_id in connection.sql(text, (*some, school_id, day, day)):
                    found.setdefault(key, set()).add(student_id)
        return {key: next(iter(people)) for key, people in found.items() if len(people) == 1}

    def _open(
        self, connection: Connection, student_id: str, school_id: str, at: datetime, early: timedelta
    ) -> list[str]:
        day = self._day(connection, school_id, at).isoformat()
        rows = connection.sql(_OPEN, (student_id, school_id, day, iso(at + early)))
        return [session_id for session_id, _, methods in rows if self._plugin in orjson.loads(methods)]

    def _access(self, student_id: str) -> AccessRequest:
        return AccessRequest(
            action=SCOPE,
            identity=None,
            student_ids=frozenset({student_id}),
            request_id=ORIGIN.get().request_id,
            recipient=self._plugin,
        )
