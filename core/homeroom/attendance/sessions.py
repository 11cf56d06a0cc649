"""Class sessions: opening one, closing it, reading them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, Protocol, TypeVar

import orjson

from homeroom.attendance.absences import covering
from homeroom.attendance.records import Record, add, day_text, next_version
from homeroom.roster.calendar import WEEKDAYS, is_school_day, school_day, zone_of
from homeroom.store import Connection, Refused, Transaction, conflict, iso, not_found
from homeroom.store import models as m
from homeroom.store.bulk import select_in
from homeroom.types import ClassSession

T = TypeVar("T")

CACHED = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a teacher asks for; what is None comes from the class, then from the district's settings.

    `id` is made before the unit of work, so that running it again opens nothing twice. `defaults` are the methods for a
    class that names none, `served` every method that some plugin serves now.
    """

    id: str
    class_id: str
    starts_at: datetime | None = None
    late_after_minutes: int | None = None
    methods: Sequence[str] | None = None
    require: Literal["any", "all"] | None = None
    period: str | None = None
    defaults: Sequence[str] = ()
    served: Collection[str] = ()
    late_default: int = 5
    zone_default: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """A session with all that a screen shows of it. Times are RFC 3339 in UTC, as stored and as sent."""

    id: str
    class_id: str
    school_id: str
    school_day: str
    period: str | None
    starts_at: str
    late_after_minutes: int
    methods: Sequence[str]
    require: str
    state: str
    opened_by: str | None
    closed_at: str | None
    closed_by: str | None
    roll_taken_at: str | None


_COLUMNS = (
    "id, class_id, school_id, school_day, period, starts_at, late_after_minutes, methods, require, state, opened_by, "
    "closed_at, closed_by, roll_taken_at"
)
_ONE = f"SELECT {_COLUMNS} FROM class_sessions WHERE id = ?"  # noqa: S608 - constants
_OF_CLASS = f"SELECT {_COLUMNS} FROM class_sessions WHERE class_id = ?"  # noqa: S608 - constants
_RANKED = f"""
SELECT * FROM (SELECT {_COLUMNS}, ROW_NUMBER() OVER (PARTITION BY class_id ORDER BY starts_at DESC, id DESC) AS place
FROM class_sessions WHERE {{on}}class_id IN ({{{{}}}})) AS ranked WHERE place = 1
"""  # noqa: S608 - constants
_LATEST, _LATEST_ON = _RANKED.format(on=""), _RANKED.format(on="school_day = ? AND ")
ENROLLED = """
e.role = 'student' AND NOT e.ended AND (e.begins_on IS NULL OR e.begins_on <= {day})
AND (e.ends_on IS NULL OR e.ends_on > {day})
"""
"""The condition on `enrollments e` for a student who sits in the class on a day."""
_SEATED = f"SELECT DISTINCT e.user_id FROM enrollments e WHERE e.class_id = ? AND {ENROLLED.format(day='?')}"  # noqa: S608 - constants
_UNMARKED = (
    f"{_SEATED} AND NOT EXISTS (SELECT 1 FROM attendance_records r WHERE r.session_id = ? AND r.student_id = e.user_id)"  # noqa: S608 - constants
)


class Database(Protocol):
    """Where a check-in is kept: the store, or a call that is admitted with its first read or write."""

    async def read(self, query: Callable[[Connection], T]) -> T:
        """What `query` gives."""
        ...

    async def write(self, unit: Callable[[Transaction], T]) -> T:
        """What `unit` gives, once it is committed."""
        ...


@dataclass(slots=True)
class KnownSessions:
    """Sessions by id, kept because nothing of an open session ever changes but its state.

    The state is looked at again in the transaction of each check-in, so a session closed elsewhere is not missed.
    """

    _kept: OrderedDict[str, ClassSession] = field(default_factory=OrderedDict)

    async def get(self, store: Database, session_id: str) -> ClassSession:
        """The session. Raises Refused 404 when there is none."""
        known = self._kept.get(session_id)
        if known is not None:
            return known
        session = await store.read(lambda c: session_of(c, session_id))
        self._kept[session_id] = session
        if len(self._kept) > CACHED:
            self._kept.popitem(last=False)
        return session

    def forget(self, session_id: str) -> None:
        """Read the session anew next time: it was found closed."""
        self._kept.pop(session_id, None)


def session_of(connection: Connection, session_id: str) -> ClassSession:
    """The session as plugins see it. Raises Refused 404 when there is none."""
    return as_hook(read_session(connection, session_id))


def as_hook(state: SessionState) -> ClassSession:
    """The part of a session that crosses the border to plugins."""
    return ClassSession(
        id=state.id,
        class_id=state.class_id,
        school_id=state.school_id,
        school_day=date.fromisoformat(state.school_day),
        starts_at=datetime.fromisoformat(state.starts_at),
        late_after_minutes=state.late_after_minutes,
        methods=tuple(state.methods),
        require="all" if state.require == "all" else "any",
        state="open" if state.state == "open" else "closed",
    )


def read_session(connection: Connection, session_id: str) -> SessionState:
    """The session. Raises Refused 404 when there is none."""
    rows = connection.sql(_ONE, (session_id,))
    if not rows:
        raise not_found("There is no such session, or you may not see it.")
    return _state(rows[0])


def sessions_of(
    connection: Connection,
    class_id: str,
    *,
    since: date | None,
    until: date | None,
    limit: int,
    after: Sequence[str] | None,
) -> tuple[list[SessionState], bool]:
    """A class's sessions, the latest first, from the school day `since` to `until`; and whether there are more.

    `after` is the start and id of the last session of the page before.
    """
    text, params = _OF_CLASS, [class_id]
    for condition, value in ((" AND school_day >= ?", since), (" AND school_day <= ?", until)):
        if value is not None:
            text += condition
            params.append(value.isoformat())
    if after is not None:
        text += " AND (starts_at < ? OR (starts_at = ? AND id < ?))"
        params += [after[0], after[0], after[1]]
    rows = connection.sql(f"{text} ORDER BY starts_at DESC, id DESC LIMIT {limit + 1:d}", params)
    return [_state(row) for row in rows[:limit]], len(rows) > limit


def latest_of(connection: Connection, class_ids: Sequence[str], day: date | None = None) -> dict[str, SessionState]:
    """The latest session of each class that has one, on one school day when `day` is given."""
    text, params = (_LATEST, ()) if day is None else (_LATEST_ON, (day.isoformat(),))
    rows = select_in(connection, text, params, sorted(class_ids))
    return {row[1]: _state(row[:-1]) for row in rows}


def open_session(tx: Transaction, opening: Opening) -> SessionState:
    """Open a session. Its school and school day are frozen: a later transfer or change of zone moves no past.

    Raises Refused: 404 for no such class, 409 for an archived class or one that already has an open session which began
    at that moment, 422 for a method that no plugin serves or a start that lies too far away.
    """
    group = tx.get(m.Class, opening.class_id)
    if group is None:
        raise not_found("There is no such class, or you may not see it.")
    if group.archived or group.ended:
        raise conflict("class-archived", "This class is archived. Restore it before you open a session.")
    if tx.sql("SELECT 1 FROM class_sessions WHERE id = ?", (opening.id,)):
        return read_session(tx, opening.id)  # the same unit run again
    starts_at = (opening.starts_at or tx.now).astimezone(UTC)
    if not -366 <= (starts_at - tx.now).days <= 7:  # noqa: PLR2004 - a forgotten roll, or next week's plan
        raise Refused(422, "starts-too-far", "`starts_at` may lie at most a year back and a week ahead.")
    same = tx.sql(
        "SELECT id FROM class_sessions WHERE class_id = ? AND starts_at = ? AND state = 'open'",
        (group.id, iso(starts_at)),
    )
    if same:
        raise conflict("session-open", f"This class already has an open session that starts then: {same[0][0]}.")
    late = opening.late_after_minutes
    if late is None:
        late = opening.late_default if group.late_after_minutes is None else group.late_after_minutes
    tx.insert(
        m.ClassSession,
        id=opening.id,
        class_id=group.id,
        school_id=group.school_id,
        school_day=school_day(starts_at, zone_of(tx, group.school_id, opening.zone_default)),
        period=opening.period or (group.periods[0] if len(group.periods) == 1 else None),
        starts_at=starts_at,
        late_after_minutes=late,
        methods=_methods(opening, group),
        require=opening.require or group.require,
        state="open",
        opened_by=tx.origin.actor_id,
    )
    tx.journal("session.opened", class_id=group.id, session_id=opening.id, data={"starts_at": iso(starts_at)})
    return read_session(tx, opening.id)


def _methods(opening: Opening, group: Any) -> list[str]:
    """The methods asked for, else the class's, else the defaults. Raises Refused 422 for one that nobody serves."""
    asked = opening.methods if opening.methods is not None else group.methods or opening.defaults
    wanted = list(dict.fromkeys(asked))
    unserved = [method for method in wanted if method not in opening.served]
    if unserved:
        served = ", ".join(sorted(opening.served)) or "none"
        raise Refused(
            422,
            "method-not-served",
            f"No plugin that is switched on serves {', '.join(unserved)}. These can be used now: {served}.",
        )
    return wanted


def close_session(tx: Transaction, session_id: str, *, weekdays: Collection[int] = WEEKDAYS) -> SessionState:
    """Close a session: whoever has no record is absent, or excused where an approved report covers the day.

    On a day without school nobody becomes absent (`weekdays` are those of a school that names none of its own). Closing
    a closed session changes nothing.
    """
    state = read_session(tx, session_id)
    if state.state == "closed":
        return state
    if is_school_day(tx, state.school_id, date.fromisoformat(state.school_day), weekdays=weekdays):
        _mark_the_rest(tx, state)
    tx.write_sql(
        "UPDATE class_sessions SET state = 'closed', closed_at = ?, closed_by = ?, "
        "roll_taken_at = COALESCE(roll_taken_at, ?) WHERE id = ?",
        (iso(tx.now), tx.origin.actor_id, iso(tx.now), session_id),
    )
    tx.journal("session.closed", class_id=state.class_id, session_id=session_id, data={})
    return read_session(tx, session_id)


def _mark_the_rest(tx: Transaction, session: SessionState) -> None:
    day = session.school_day
    unmarked = [row[0] for row in tx.sql(_UNMARKED, (session.class_id, day, day, session.id))]
    excuses = covering(tx, unmarked, session.school_id, date.fromisoformat(day))
    now = iso(tx.now)
    for student_id in sorted(unmarked):
        excuse = excuses.get(student_id)
        key = record_id(session.id, student_id)
        add(
            tx,
            Record(
                id=key,
                session_id=session.id,
                class_id=session.class_id,
                school_id=session.school_id,
                student_id=student_id,
                school_day=day,
                status=excuse.status if excuse else "absent",
                code=excuse.code if excuse else None,
                origin="absence_report" if excuse else "close",
                recorded_at=now,
                recorded_by=tx.origin.actor_id,
                version=next_version(tx, key),
                valid_from=now,
            ),
        )


def record_id(session_id: str, student_id: str) -> str:
    """The id of a record that is made inside a unit of work, where ids must come out alike each time it runs."""
    return session_id[:12] + hashlib.sha256(f"{session_id} {student_id}".encode()).hexdigest()[:16]


def seated(connection: Connection, class_id: str, day: str) -> frozenset[str]:
    """The students who sit in a class on a day, as its sessions count them."""
    return frozenset(row[0] for row in connection.sql(_SEATED, (class_id, day, day)))


def _state(row: Sequence[Any]) -> SessionState:
    return SessionState(
        id=row[0],
        class_id=row[1],
        school_id=row[2],
        school_day=day_text(row[3]),
        period=row[4],
        starts_at=row[5],
        late_after_minutes=row[6],
        methods=orjson.loads(row[7]),
        require=row[8],
        state=row[9],
        opened_by=row[10],
        closed_at=row[11],
        closed_by=row[12],
        roll_taken_at=row[13],
    )
