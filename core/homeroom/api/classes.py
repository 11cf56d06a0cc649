"""Classes, who teaches them and who sits in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

from pydantic import Field
from quart import Blueprint, Response

from homeroom.api.etag import etag, expected_version
from homeroom.api.operation import Answer, Body, Call, Query, Target, operation
from homeroom.api.paging import PageQuery, cursor_of
from homeroom.api.sessions import Session
from homeroom.attendance import sessions as rolls
from homeroom.auth.access import classes_within, only_day
from homeroom.roster import classes as roster
from homeroom.roster.calendar import school_day, zone_of
from homeroom.store import Connection, Refused, Transaction, new_id, not_found, now_utc
from homeroom.store import models as m

classes = Blueprint("classes", __name__, url_prefix="/api/v1/classes")

Title = Field(min_length=1, max_length=200, examples=["Biology, section A"])
LateAfter = Field(default=None, ge=0, le=240, description="Minutes after which a check-in is tardy.")


class ClassFields(Body):
    """What a class is made or replaced with; `methods` are check-in methods that plugins serve."""

    title: str = Title
    course_id: str | None = None
    term_ids: list[str] = Field(default=[], max_length=50)
    methods: list[str] = Field(default=[], max_length=10, examples=[["rotating_code"]])
    require: Literal["any", "all"] = "any"
    late_after_minutes: int | None = LateAfter


class NewClass(ClassFields):
    """A class to be made; `school_id` may be left out in a district of one school."""

    school_id: str | None = None
    teacher_ids: list[str] = Field(default=[], max_length=50)


class Class(Answer):
    """One group of students taught together."""

    id: str
    title: str = Title
    school_id: str
    course_id: str | None = None
    code: str | None = None
    kind: str = Field(examples=["scheduled"])
    periods: list[str] = []
    term_ids: list[str] = []
    teacher_ids: list[str] = []
    methods: list[str] = []
    require: str = "any"
    late_after_minutes: int | None = None
    archived: bool


class ListedClass(Class):
    """A class in a list."""

    latest_session: Session | None = Field(default=None, description="Where it is asked for, and there is one.")


class ClassList(Answer):
    """A page of classes, by title."""

    items: list[ListedClass]
    next: str | None = None


class ClassQuery(PageQuery):
    """Which classes, and what besides: `with=latest_session` tells each one's latest session."""

    school_id: str | None = None
    archived: bool = False
    more: Literal["latest_session"] | None = Field(default=None, alias="with")


class Member(Answer):
    """Somebody in a class. `name` is what they want to be called; the end day is exclusive."""

    id: str
    name: str
    grades: list[str] = []
    primary: bool = False
    begins_on: date | None = None
    ends_on: date | None = None


class Roster(Answer):
    """Who is in a class on a day."""

    class_id: str
    day: date
    students: list[Member]
    teachers: list[Member]


class RosterQuery(Query):
    """For which day; today in the school's time zone when left out."""

    day: date | None = None


class Seat(Body):
    """One person's place in a class, from a day to before a day; a day left out is open."""

    role: Literal["student", "teacher"] = "student"
    begins_on: date | None = None
    ends_on: date | None = None


class SeatQuery(Query):
    """Which place ends, and the first day on which it no longer holds (default: today)."""

    role: Literal["student", "teacher"] = "student"
    day: date | None = None


class Enrollment(Answer):
    """One person in one class, from a day to before a day."""

    id: str
    user_id: str
    class_id: str
    role: str
    primary: bool
    begins_on: date | None = None
    ends_on: date | None = None


@classes.get("/")
@operation("class.list", query=ClassQuery, answers=ClassList)
async def list_classes(call: Call, query: ClassQuery) -> ClassList:
    """The classes that the caller may know of."""
    after, size = query.after(2), query.size()
    today = call.today()
    within = classes_within(call.me, "class.list", today)
    if query.more:
        classes_within(call.me, "session.read", today)  # an API key may need a scope more for that
    day = only_day(call.me, "session.read", today) if query.more else None

    def read(connection: Connection) -> ClassList:
        rows = m.Class.select().where(~m.Class.ended, m.Class.archived == query.archived)
        if within is not None:
            rows = rows.where(m.Class.id.in_(within))
        if query.school_id is not None:
            rows = rows.where(m.Class.school_id == query.school_id)
        if after is not None:
            title, last = after
            rows = rows.where((m.Class.title > title) | ((m.Class.title == title) & (m.Class.id > last)))
        found = connection.all(rows.order_by(m.Class.title, m.Class.id).limit(size + 1))
        more = cursor_of((found[size - 1].title, found[size - 1].id)) if len(found) > size else None
        sessions = rolls.latest_of(connection, [row.id for row in found[:size]], day) if query.more else {}
        items = [
            ListedClass(**dict(one), latest_session=sessions.get(one.id))
            for one in _classes(connection, found[:size], today)
        ]
        return ClassList(items=items, next=more)

    return await call.read(read)


@classes.post("/")
@operation("class.create", of=Target(school_id="body.school_id"), body=NewClass, answers={201: Class}, idempotent=True)
async def create_class(call: Call, body: NewClass) -> Response:
    """Make a class, for districts without a SIS."""
    class_id, today = new_id(), call.today()
    _check_methods(call, body.methods)

    def unit(tx: Transaction) -> Class:
        row = roster.create_class(tx, class_id=class_id, **body.model_dump())
        return _classes(tx, [row], today)[0]

    return await call.create(unit)


@classes.get("/<class_id>")
@operation("class.read", of=Target("class_id"), answers=Class)
async def read_class(call: Call, class_id: str) -> tuple[Class, int, dict[str, str]]:
    """A class with its school, terms and teachers."""
    today = call.today()

    def read(connection: Connection) -> tuple[Class, int]:
        row = _row(connection, class_id)
        return _classes(connection, [row], today)[0], row.version

    answer, version = await call.read(read)
    return answer, 200, etag(version)


@classes.put("/<class_id>")
@operation("class.edit", of=Target("class_id"), body=ClassFields, answers=Class, problems=(412, 428))
async def edit_class(call: Call, class_id: str, body: ClassFields) -> tuple[Class, int, dict[str, str]]:
    """Replace what can be edited of a class; `If-Match` names the version that was read."""
    version, today = expected_version(), call.today()
    _check_methods(call, body.methods)
    changes = body.model_dump(exclude={"term_ids"})

    def unit(tx: Transaction) -> tuple[Class, int]:
        row = roster.edit_class(tx, class_id, changes, version=version, term_ids=body.term_ids)
        return _classes(tx, [row], today)[0], row.version

    answer, now = await call.write(unit)
    return answer, 200, etag(now)


@classes.delete("/<class_id>")
@operation("class.edit", of=Target("class_id"), answers={204: None})
async def archive_class(call: Call, class_id: str) -> tuple[None, int]:
    """Archive a class; its attendance stays, and it can be read."""
    await call.write(lambda tx: roster.archive_class(tx, class_id))
    return None, 204


@classes.get("/<class_id>/roster")
@operation("class.roster", of=Target("class_id"), query=RosterQuery, answers=Roster)
async def read_roster(call: Call, class_id: str, query: RosterQuery) -> Roster:
    """Who is in a class on a day."""
    default = call.district.settings.attendance.time_zone
    asked = only_day(call.me, "class.roster", call.today()) or query.day

    def read(connection: Connection) -> Roster:
        row = _row(connection, class_id)
        day = asked or school_day(now_utc(), zone_of(connection, row.school_id, default))
        return _roster(roster.roster_of(connection, class_id, day))

    found = await call.read(read)
    call.discloses((s.id for s in found.students), fields=("name", "grades"), rows=len(found.students))
    return found


@classes.put("/<class_id>/enrollments/<user_id>")
@operation(
    "enrollment.edit", of=Target("class_id", student_id="user_id"), body=Seat, answers=Enrollment, problems=(409,)
)
async def enroll(call: Call, class_id: str, user_id: str, body: Seat) -> Enrollment:
    """Put somebody in a class, or change the days of the place they have."""
    enrollment_id = new_id()

    def unit(tx: Transaction) -> Enrollment:
        _check_same_school(tx, call, user_id)
        row = roster.enroll(tx, class_id, user_id, enrollment_id=enrollment_id, **body.model_dump())
        return Enrollment.model_validate(row)

    return await call.write(unit)


@classes.delete("/<class_id>/enrollments/<user_id>")
@operation("enrollment.edit", of=Target("class_id", student_id="user_id"), query=SeatQuery, answers={204: None})
async def end_enrollment(call: Call, class_id: str, user_id: str, query: SeatQuery) -> tuple[None, int]:
    """End somebody's place in a class; what they did there stays."""
    day = query.day or call.today()

    def unit(tx: Transaction) -> None:
        if not roster.end_enrollment(tx, class_id, user_id, day=day, role=query.role):
            raise not_found("This person has no place in this class.")

    await call.write(unit)
    return None, 204


def _row(connection: Connection, class_id: str) -> m.Class:
    row = connection.get(m.Class, class_id)
    if row is None:
        raise not_found()
    return row


def _check_methods(call: Call, methods: Sequence[str]) -> None:
    """Refuse a check-in method that no enabled plugin serves: students could never pass it."""
    known = set(call.district.host.implementers("verify_check_in"))
    unknown = [method for method in methods if method not in known]
    if unknown:
        raise Refused(422, "invalid", f"No enabled plugin serves the check-in method {unknown[0]}.")


def _check_same_school(tx: Transaction, call: Call, user_id: str) -> None:
    """Keep a school's administrator from drawing in people of other schools by enrolling them."""
    schools = call.me.orgs("school_admin")
    if call.me.kind == "service" or call.me.has("district_admin"):
        return
    table = m.RoleAssignment
    if tx.value(table.select(table.user_id).where(table.user_id == user_id, table.org_id.in_(list(schools)))) is None:
        raise not_found("There is no such person at your school.")


def _classes(connection: Connection, rows: Sequence[m.Class], today: date) -> list[Class]:
    ids = [row.id for row in rows]
    terms, teachers = roster.terms_of(connection, ids), roster.teachers_of(connection, ids, today)
    return [_class(row, terms[row.id], teachers[row.id]) for row in rows]


def _class(row: m.Class, term_ids: list[str], teacher_ids: list[str]) -> Class:
    values: dict[str, Any] = {name: getattr(row, name) for name in Class.model_fields if hasattr(row, name)}
    return Class(**values, term_ids=term_ids, teacher_ids=teacher_ids)


def _roster(found: roster.Roster) -> Roster:
    return Roster(
        class_id=found.class_id,
        day=found.day,
        students=[_member(member) for member in found.students],
        teachers=[_member(member) for member in found.teachers],
    )


def _member(member: roster.Member) -> Member:
    return Member(
        id=member.user_id,
        name=member.name,
        grades=list(member.grades),
        primary=member.primary,
        begins_on=member.begins_on,
        ends_on=member.ends_on,
    )
