"""The one place that decides whose data an identity reaches.

`check` is for a single object; `classes_within`, `students_within`, `records_within` are for lists and searches.
What the caller may not know of is 404, as if it did not exist. 403 is for a role that may not do the action at all, and
for a right that has ended.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal
from zoneinfo import ZoneInfo

from peewee import ModelSelect, PostgresqlDatabase, SqliteDatabase, Value

from homeroom.auth.rules import RULES, Reach, Rule
from homeroom.store import Connection, Refused, not_found, now_utc
from homeroom.store import models as m
from homeroom.types import Identity, Role, RoleAt

_ALWAYS: Any = Value(1) == Value(1)
_NEVER: Any = Value(1) == Value(0)
_OF_FAMILIES = (Reach.SELF, Reach.CHILDREN)
_Kind = Literal["class", "person", "school", "session"]
# What stands in a prepared statement for the values of one call; no id holds a NUL, and no enrolment is that old.
_KEY, _SUBJECT, _DAY = "\0key", "\0subject", date.min


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What an action is about; `check` fills in what it looked up (a session's class, a record's student, …)."""

    class_id: str | None = None
    student_id: str | None = None
    session_id: str | None = None
    record_id: str | None = None
    report_id: str | None = None
    school_id: str | None = None


def today_in(zone: str) -> date:
    """The date in the time zone `zone` (an IANA name) at this moment."""
    return now_utc().astimezone(ZoneInfo(zone)).date()


def check(
    connection: Connection,
    identity: Identity,
    action: str,
    place: Place,
    *,
    today: date | None = None,
    seated_later: bool = False,
) -> Place:
    """`place`, completed, when `identity` may do `action` there; else raises Refused with 403 or 404.

    Where students may name only themselves and name nobody, they are filled in. `today` is the date by which
    enrolments are judged (default: in the time zone of the district's own row). `seated_later` leaves a student's seat
    to the check-in itself, whose one statement asks for it anyway.
    """
    rule = RULES[action]
    reaches = _reaches(identity, rule)
    if action == "attendance.check_in":
        if place.student_id not in (None, identity.subject) or place.session_id is None:
            raise not_found()
        place = replace(place, student_id=identity.subject)
        return place if seated_later else _seated(connection, place, today or _today(connection))
    if rule.anyone:
        return place
    place = _completed(connection, place)
    named = (place.class_id, place.student_id, place.school_id) != (None, None, None)
    if place.student_id is None and set(reaches.values()) == {Reach.SELF} and (rule.whole_class or not named):
        place = replace(place, student_id=identity.subject)
    if not named:
        return place
    day = today or _today(connection)
    if _reached(connection, [_Judge(identity, reach, rule, day) for reach in reaches.values()], place):
        return place
    lapsed = [_Judge(identity, reach, rule, None) for reach in reaches.values()]
    if _reached(connection, lapsed, place):
        raise Refused(403, "right-ended", "Your right to this has ended, or has not begun.")
    raise not_found()


def classes_within(identity: Identity, action: str, today: date) -> ModelSelect[m.Class] | None:
    """The ids of the classes that `identity` reaches with `action`, as a query to select from; None means all."""
    judges = _judges(identity, action, today)
    if any(judge.reach is Reach.DISTRICT for judge in judges):
        return None
    return m.Class.select(m.Class.id).where(_any(judge.classes() for judge in judges))


def classes_with(
    connection: Connection, identity: Identity, action: str, student_id: str, today: date
) -> ModelSelect[m.Class] | None:
    """As `classes_within`, by those roles alone that reach this student as well.

    A teacher who is also a parent is not told that a student of the own class sits with the own child elsewhere.
    """
    judges = [
        judge for judge in _judges(identity, action, today) if _reaches_one(connection, judge, "person", student_id)
    ]
    if any(judge.reach is Reach.DISTRICT for judge in judges):
        return None
    return m.Class.select(m.Class.id).where(_any(judge.classes() for judge in judges))


def students_within(identity: Identity, action: str, today: date) -> ModelSelect[m.User] | None:
    """The ids of the people that `identity` reaches with `action`, as a query to select from; None means all.

    At a school it holds everybody with a role there: a search for students asks for the role besides.
    """
    judges = _judges(identity, action, today)
    if any(judge.reach is Reach.DISTRICT for judge in judges):
        return None
    return m.User.select(m.User.id).where(_any(judge.people() for judge in judges))


def own_children(identity: Identity, today: date) -> ModelSelect[m.Guardianship]:
    """The ids of the students whose guardian `identity` is today, not blocked and with access to their records."""
    return _Judge(identity, Reach.CHILDREN, Rule(), today).children()


def schools_within(identity: Identity, action: str, today: date = date.max) -> ModelSelect[m.Org] | None:
    """The ids of the schools that `identity` reaches with `action`, as a query to select from; None means all.

    What belongs to the district as a whole is for those who reach all. `today` matters where teachers reach schools.
    """
    judges = _judges(identity, action, today)
    if any(judge.reach is Reach.DISTRICT for judge in judges):
        return None
    return m.Org.select(m.Org.id).where(_any(judge.schools() for judge in judges))


def only_day(identity: Identity, action: str, today: date) -> date | None:
    """The one school day of which `identity` may see anything with `action`; None means every day."""
    judges = _judges(identity, action, today)
    return today if judges and all(judge.reach is Reach.STAND_IN for judge in judges) else None


def records_within(model: Any, identity: Identity, action: str, today: date) -> Any:
    """The condition on `model` (with `class_id`, `student_id`, `school_day`) that leaves what `identity` may see.

    None means everything. Each role is judged by itself: a teacher who is also a parent sees the own class's records
    and the own child's, not the records of a child's classmates.
    """
    judges = _judges(identity, action, today)
    if any(judge.reach is Reach.DISTRICT for judge in judges):
        return None
    return _any(_records(model, judge) for judge in judges)


def _records(model: Any, judge: _Judge) -> Any:
    if judge.reach in _OF_FAMILIES:
        return model.student_id.in_(m.User.select(m.User.id).where(judge.people()))
    found = model.class_id.in_(m.Class.select(m.Class.id).where(judge.classes()))
    return found & (model.school_day == judge.day) if judge.reach is Reach.STAND_IN else found


def _reaches(identity: Identity, rule: Rule) -> dict[Role, Reach]:
    """How far each of the identity's roles reaches. Raises Refused when none may do this at all."""
    if identity.kind == "service":
        if rule.scope is None or rule.scope not in identity.scopes:
            raise Refused(403, "not-allowed", "This API key does not have the scope for this.")
        return {"service": Reach.DISTRICT}
    reaches = {held.role: rule.of(held.role) for held in identity.roles if rule.of(held.role) is not Reach.NONE}
    if not reaches and not rule.anyone:
        raise Refused(403, "not-allowed", "Your role may not do this.")
    return reaches


@dataclass(frozen=True, slots=True)
class _Judge:
    """One role's reach, as conditions on the tables. `day` None asks for a right that once was."""

    identity: Identity
    reach: Reach
    rule: Rule
    day: date | None

    def classes(self) -> Any:
        """The condition on Class."""
        match self.reach:
            case Reach.DISTRICT:
                return _ALWAYS
            case Reach.SCHOOLS:
                return m.Class.school_id.in_(_schools(self.identity))
            case Reach.WORKPLACE:
                return m.Class.school_id.in_(self._workplaces())
            case Reach.CLASSES | Reach.STAND_IN:
                return m.Class.id.in_(self._taught())
            case _:
                return m.Class.id.in_(self._enrolled(m.Enrollment.class_id).where(self._is_family(m.Enrollment)))

    def people(self) -> Any:
        """The condition on User."""
        match self.reach:
            case Reach.DISTRICT:
                return _ALWAYS
            case Reach.SCHOOLS:
                return self._at_schools(_schools(self.identity))
            case Reach.WORKPLACE:
                return self._at_schools(self._workplaces())
            case Reach.CLASSES | Reach.STAND_IN:
                return m.User.id.in_(
                    self._enrolled(m.Enrollment.user_id).where(m.Enrollment.class_id.in_(self._taught()))
                )
            case Reach.CHILDREN:
                return m.User.id.in_(self.children())
            case _:
                return m.User.id == self.identity.subject

    def schools(self) -> Any:
        """The condition on Org."""
        match self.reach:
            case Reach.DISTRICT:
                return _ALWAYS
            case Reach.SCHOOLS:
                return m.Org.id.in_(_schools(self.identity))
            case Reach.WORKPLACE:
                return m.Org.id.in_(self._workplaces())
            case _:
                return _NEVER

    def children(self) -> ModelSelect[Any]:
        """The ids of one's own children."""
        table = m.Guardianship
        query = table.select(table.student_id).where(table.guardian_id == self.identity.subject)
        if self.identity.without:
            query = query.where(table.student_id.not_in(sorted(self.identity.without)))
        if self.day is None:
            return query
        return query.where(_current(table, self.day), ~table.blocked, table.data_access)

    def sessions(self) -> Any:
        """The condition on ClassSession, for who reaches those of a day alone."""
        stand_in = self._standing_in(m.Substitution.class_id)
        return m.ClassSession.class_id.in_(stand_in) & (
            m.ClassSession.school_day.in_(self._standing_in(m.Substitution.day))
        )

    def _standing_in(self, column: Any) -> ModelSelect[Any]:
        table = m.Substitution
        query = table.select(column).where(table.user_id == self.identity.subject)
        return query if self.day is None else query.where((table.day == self.day) & table.revoked_at.is_null())

    def _taught(self) -> ModelSelect[Any]:
        if self.reach is Reach.STAND_IN:
            return self._standing_in(m.Substitution.class_id)
        teaching = m.Enrollment.alias()
        query = teaching.select(teaching.class_id).where(
            (teaching.user_id == self.identity.subject) & (teaching.role == "teacher")
        )
        if self.day is not None:
            group = m.Class.alias()
            query = query.join(group, on=(group.id == teaching.class_id)).where(
                _current(teaching, self.day) & ~group.ended
            )
        return query

    def _enrolled(self, column: Any) -> ModelSelect[Any]:
        query = m.Enrollment.select(column).where(m.Enrollment.role == "student")
        if self.day is not None and not self.rule.former:
            query = query.where(_current(m.Enrollment, self.day))
        return query

    def _is_family(self, model: Any) -> Any:
        if self.reach is Reach.SELF:
            return model.user_id == self.identity.subject
        return model.user_id.in_(self.children())

    def _workplaces(self) -> ModelSelect[m.Org]:
        """The schools where this person has the role of a teacher, or teaches a class."""
        held = m.RoleAssignment.alias()
        roles = held.select(held.org_id).where((held.user_id == self.identity.subject) & (held.role == "teacher"))
        if self.day is not None:
            roles = roles.where(_dated(held, self.day))
        place = m.Class.alias()
        taught = place.select(place.school_id).where(place.id.in_(self._taught()))
        return m.Org.select(m.Org.id).where(m.Org.id.in_(roles) | m.Org.id.in_(taught))

    def _at_schools(self, schools: ModelSelect[m.Org]) -> Any:
        roles = m.RoleAssignment.select(m.RoleAssignment.user_id).where(m.RoleAssignment.org_id.in_(schools))
        if self.day is not None and not self.rule.former:
            roles = roles.where(_dated(m.RoleAssignment, self.day))
        classes = m.Class.select(m.Class.id).where(m.Class.school_id.in_(schools))
        seated = self._enrolled(m.Enrollment.user_id).where(m.Enrollment.class_id.in_(classes))
        return m.User.id.in_(roles) | m.User.id.in_(seated)


def _judges(identity: Identity, action: str, today: date) -> list[_Judge]:
    rule = RULES[action]
    return [_Judge(identity, reach, rule, today) for reach in _reaches(identity, rule).values()]


def _reached(connection: Connection, judges: Iterable[_Judge], place: Place) -> bool:
    """Whether one role alone reaches everything that `place` names, and it exists."""
    return any(_reaches_all(connection, judge, place) for judge in judges)


def _reaches_all(connection: Connection, judge: _Judge, place: Place) -> bool:
    family = judge.reach in _OF_FAMILIES
    named = place.student_id is not None
    if family and not named and not judge.rule.whole_class:
        return False  # the answer would be about a whole class or school
    wanted: list[tuple[_Kind, str | None]] = []
    if place.class_id is not None and not (family and place.record_id):
        wanted.append(("class", place.class_id))
    if named and (family or place.record_id is None):
        wanted.append(("person", place.student_id))  # staff reach a record through its class: the student may have left
    if place.school_id is not None:
        wanted.append(("school", place.school_id))
    if judge.reach is Reach.STAND_IN and place.session_id is not None:
        wanted.append(("session", place.session_id))
    return bool(wanted) and all(_reaches_one(connection, judge, kind, key) for kind, key in wanted)


def _reaches_one(connection: Connection, judge: _Judge, kind: _Kind, key: str | None) -> bool:
    held = sorted(judge.identity.orgs("school_admin"))
    text, places = _statement(
        kind=kind,
        reach=judge.reach,
        former=judge.rule.former,
        lapsed=judge.day is None,
        orgs=len(held),
        is_sqlite=connection.is_sqlite,
    )
    values: dict[Any, Any] = {_KEY: key, _SUBJECT: judge.identity.subject, _DAY: judge.day}
    values |= {_org(number): org_id for number, org_id in enumerate(held)}
    params = tuple(values.get(place, place) for place in places)
    return connection.database.execute_sql(text, params).fetchone() is not None


@functools.cache
def _statement(
    *, kind: _Kind, reach: Reach, former: bool, lapsed: bool, orgs: int, is_sqlite: bool
) -> tuple[str, tuple[Any, ...]]:
    """The SQL that finds one object within a reach, and its parameters with stand-ins for what differs each time.

    peewee takes up to a millisecond to put such a query together, many times what the database takes to answer it.
    """
    identity = Identity(
        subject=_SUBJECT, roles=tuple(RoleAt(role="school_admin", org_id=_org(number)) for number in range(orgs))
    )
    judge = _Judge(identity, reach, Rule(former=former), None if lapsed else _DAY)
    model: Any = {"class": m.Class, "person": m.User, "school": m.Org, "session": m.ClassSession}[kind]
    condition = {
        "class": judge.classes,
        "person": judge.people,
        "school": judge.schools,
        "session": judge.sessions,
    }[kind]()
    query = model.select(Value(1)).where((model.id == _KEY) & condition).limit(1)
    database = SqliteDatabase(None) if is_sqlite else PostgresqlDatabase(None, prefer_psycopg3=True)
    text, params = database.get_sql_context().sql(query).query()
    return text, tuple(params)


def _org(number: int) -> str:
    return f"\0org {number:06}"  # sorts as it counts


def _completed(connection: Connection, place: Place) -> Place:
    """`place` with what its session, record or report belongs to. Raises 404 when there is none."""
    if place.record_id is not None:
        text = "SELECT class_id, student_id, session_id FROM attendance_records WHERE id = ?"
        class_id, student_id, session_id = _row(connection, text, place.record_id)
        return replace(place, class_id=class_id, student_id=student_id, session_id=session_id)
    if place.report_id is not None:
        (student_id,) = _row(connection, "SELECT student_id FROM absence_reports WHERE id = ?", place.report_id)
        return replace(place, student_id=student_id)
    if place.session_id is not None:
        (class_id,) = _row(connection, "SELECT class_id FROM class_sessions WHERE id = ?", place.session_id)
        return replace(place, class_id=class_id)
    return place


def _row(connection: Connection, text: str, key: str) -> tuple[Any, ...]:
    rows = connection.sql(text, (key,))
    if not rows:
        raise not_found()
    return rows[0]


_SEAT = """
SELECT s.class_id FROM class_sessions s JOIN enrollments e ON e.class_id = s.class_id
WHERE s.id = ? AND e.user_id = ? AND e.role = 'student' AND NOT e.ended
  AND (e.begins_on IS NULL OR e.begins_on <= ?) AND (e.ends_on IS NULL OR e.ends_on > ?) LIMIT 1
"""


def _seated(connection: Connection, place: Place, today: date) -> Place:
    """The same rule as `_Judge` for a student who checks in, in one plain statement.

    Whoever is not enrolled now gets 404, whether or not they once were.
    """
    day = today.isoformat()
    rows = connection.sql(_SEAT, (place.session_id, place.student_id, day, day))
    if not rows:
        raise not_found("There is no such session, or you are not enrolled in its class.")
    return replace(place, class_id=rows[0][0])


def _schools(identity: Identity) -> ModelSelect[m.Org]:
    """The orgs where this person is school administrator, with what is directly below them."""
    held = sorted(identity.orgs("school_admin"))
    return m.Org.select(m.Org.id).where(m.Org.id.in_(held) | m.Org.parent_id.in_(held))


def _current(table: Any, day: date) -> Any:
    return ~table.ended & _dated(table, day)


def _dated(table: Any, day: date) -> Any:
    """Begin days are inclusive, end days exclusive; none means open."""
    return (table.begins_on.is_null() | (table.begins_on <= day)) & (table.ends_on.is_null() | (table.ends_on > day))


def _any(conditions: Iterable[Any]) -> Any:
    return functools.reduce(operator.or_, conditions, _NEVER)


def _today(connection: Connection) -> date:
    rows = connection.sql("SELECT time_zone FROM orgs WHERE kind = 'district' AND time_zone IS NOT NULL LIMIT 1")
    return today_in(rows[0][0] if rows else "UTC")
