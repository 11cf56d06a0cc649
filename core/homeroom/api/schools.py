"""A school as a whole, for those who work there: its rolls of a day, its records and its roster."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint

from homeroom.api.operation import Answer, Call, Query, Target, operation
from homeroom.api.paging import PageQuery, cursor_of
from homeroom.api.problem import FieldError, Invalid
from homeroom.attendance import school
from homeroom.auth.access import schools_within
from homeroom.notify.told import told_of
from homeroom.roster.calendar import is_school_day, school_day, zone_of
from homeroom.store import Connection, now_utc
from homeroom.store import models as m
from homeroom.types import Status

schools = Blueprint("schools", __name__, url_prefix="/api/v1/schools")

_LONGEST = timedelta(days=366)
_FIELDS = ("name", "identifier", "grades", "status", "code", "minutes_late", "note")


class School(Answer):
    """One school: the date that its calendar shows now, its time zone, and whether school is held that day."""

    id: str
    name: str = Field(examples=["North School"])
    today: date
    time_zone: str = Field(examples=["America/New_York"])
    in_session: bool


class SchoolList(Answer):
    """Schools, by name."""

    items: list[School]


class RollQuery(Query):
    """For which day; today at the school when left out."""

    day: date | None = None


class RollTeacher(Answer):
    """Somebody who teaches a class."""

    id: str
    name: str


class RollSession(Answer):
    """One session of the day, and how many students are marked in it."""

    id: str
    period: str | None = None
    starts_at: AwareDatetime
    state: Literal["open", "closed"]
    roll_taken_at: AwareDatetime | None = None
    marked: int


class SchoolRoll(Answer):
    """One class in one period, and how far its roll is.

    "taken": every session of it is closed, or everybody is marked; "open": one is open; "not_taken": there is none.
    """

    class_id: str
    title: str
    kind: str = Field(examples=["scheduled"])
    period: str | None = None
    teachers: list[RollTeacher]
    students: int
    state: Literal["taken", "open", "not_taken"]
    sessions: list[RollSession]


class SchoolRolls(Answer):
    """A school's rolls of a day, by the classes' titles."""

    school_id: str
    day: date
    in_session: bool
    taken: int
    open: int
    not_taken: int
    items: list[SchoolRoll]


class SchoolRecordQuery(PageQuery):
    """Which records: days are included on both ends, today when none is named. `status` may name several, by commas."""

    since: date | None = Field(default=None, alias="from")
    until: date | None = Field(default=None, alias="to")
    class_id: str | None = None
    status: str | None = Field(
        default=None, pattern=r"^(present|tardy|absent|excused)(,(present|tardy|absent|excused)){0,3}$"
    )


class SchoolRecord(Answer):
    """A record as an office reads it. `version` is what a correction sends as If-Match.

    `told` says whether the family was told of that day: "told", "waiting", "unknown" or "failed"; null means that no
    message was made.
    """

    id: str
    session_id: str
    session_state: Literal["open", "closed"]
    class_id: str
    class_title: str = Field(examples=["Biology 10, section B"])
    period: str | None = None
    student_id: str
    name: str
    given_name: str
    family_name: str
    identifier: str | None = None
    grades: list[str] = []
    school_day: date
    status: Status
    code: str | None = None
    minutes_late: int | None = None
    needs_review: bool
    origin: str = Field(examples=["teacher"])
    recorded_at: AwareDatetime
    note: str | None = None
    version: int
    told: Literal["told", "waiting", "unknown", "failed"] | None = None


class SchoolRecordList(Answer):
    """A page of records, by day and name."""

    items: list[SchoolRecord]
    next: str | None = None


class SchoolRosterQuery(PageQuery):
    """Which part of the roster, on which day (default: today at the school)."""

    class_id: str | None = None
    day: date | None = None


class SchoolSeat(Answer):
    """One student's place in one class. The end day is exclusive."""

    class_id: str
    class_title: str = Field(examples=["Biology 10, section B"])
    student_id: str
    name: str
    given_name: str
    family_name: str
    identifier: str | None = None
    grades: list[str] = []
    begins_on: date | None = None
    ends_on: date | None = None


class SchoolRoster(Answer):
    """A page of a school's roster, by class and name."""

    items: list[SchoolSeat]
    next: str | None = None


@schools.get("/")
@operation("school.list", answers=SchoolList)
async def list_schools(call: Call) -> SchoolList:
    """The schools at which the caller works; for a district's administrators, all."""
    within = schools_within(call.me, "school.list", call.today())
    settings = call.district.settings.attendance

    def read(connection: Connection) -> list[School]:
        rows = m.Org.select().where(m.Org.kind == "school", ~m.Org.ended)
        if within is not None:
            rows = rows.where(m.Org.id.in_(within))
        found: list[School] = []
        for row in connection.all(rows.order_by(m.Org.name, m.Org.id)):
            zone = zone_of(connection, row.id, settings.time_zone)
            today = school_day(now_utc(), zone)
            held = is_school_day(connection, row.id, today, weekdays=settings.school_days)
            found.append(School(id=row.id, name=row.name, today=today, time_zone=zone.key, in_session=held))
        return found

    return SchoolList(items=await call.read(read))


@schools.get("/<school_id>/rolls")
@operation("school.rolls", of=Target(school_id="school_id"), query=RollQuery, answers=SchoolRolls)
async def list_rolls(call: Call, school_id: str, query: RollQuery) -> SchoolRolls:
    """Which rolls of a day are taken, open or not taken, with the teachers; one line for each class and period."""
    settings = call.district.settings.attendance

    def read(connection: Connection) -> tuple[date, bool, list[school.Roll]]:
        day = query.day or _today(connection, call, school_id)
        held = is_school_day(connection, school_id, day, weekdays=settings.school_days)
        return day, held, school.rolls(connection, school_id, day)

    day, held, found = await call.read(read)
    states = [roll.state for roll in found]
    return SchoolRolls(
        school_id=school_id,
        day=day,
        in_session=held,
        taken=states.count("taken"),
        open=states.count("open"),
        not_taken=states.count("not_taken"),
        items=[SchoolRoll.model_validate(roll) for roll in found],
    )


@schools.get("/<school_id>/attendance")
@operation(
    "school.attendance",
    of=Target(school_id="school_id", class_id="query.class_id"),
    query=SchoolRecordQuery,
    answers=SchoolRecordList,
)
async def list_records(call: Call, school_id: str, query: SchoolRecordQuery) -> SchoolRecordList:
    """A school's records with the students' names and classes, and whether the families were told."""
    after, size = query.after(3), query.size()
    statuses = query.status.split(",") if query.status else []

    def read(connection: Connection) -> tuple[list[SchoolRecord], tuple[str, str, str] | None]:
        until = query.until or query.since or _today(connection, call, school_id)
        since = query.since or until
        if not timedelta(0) <= until - since <= _LONGEST:
            raise Invalid([FieldError(field="from", message="must not be after `to`, nor more than a year before it")])
        wanted = school.Wanted(
            school_id=school_id,
            since=since,
            until=until,
            class_id=query.class_id,
            statuses=statuses,
            after=after,
            limit=size,
        )
        found, last = school.records(connection, wanted)
        told = told_of(connection, {one.student_id for one in found}, since, until)
        items = [
            SchoolRecord.model_validate(one).model_copy(update={"told": told.get((one.student_id, one.school_day))})
            for one in found
        ]
        return items, last

    items, last = await call.read(read)
    call.discloses({one.student_id for one in items}, fields=_FIELDS, rows=len(items))
    return SchoolRecordList(items=items, next=cursor_of(last) if last else None)


@schools.get("/<school_id>/roster")
@operation(
    "roster.export",
    of=Target(school_id="school_id", class_id="query.class_id"),
    query=SchoolRosterQuery,
    answers=SchoolRoster,
)
async def read_school_roster(call: Call, school_id: str, query: SchoolRosterQuery) -> SchoolRoster:
    """Who sits in which class of a school, with the names and numbers that a spreadsheet needs."""
    after, size = query.after(4), query.size()

    def read(connection: Connection) -> tuple[list[school.Seat], tuple[str, str, str, str] | None]:
        day = query.day or _today(connection, call, school_id)
        return school.seats(connection, school_id, day, class_id=query.class_id, after=after, limit=size)

    found, last = await call.read(read)
    call.discloses({one.student_id for one in found}, fields=("name", "identifier", "grades"), rows=len(found))
    return SchoolRoster(items=[SchoolSeat.model_validate(one) for one in found], next=cursor_of(last) if last else None)


def _today(connection: Connection, call: Call, school_id: str) -> date:
    zone = zone_of(connection, school_id, call.district.settings.attendance.time_zone)
    return school_day(now_utc(), zone)
