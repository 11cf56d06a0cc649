"""Students: who they are, finding them, and keeping them in districts without a SIS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from pydantic import Field
from quart import Blueprint, Response

from homeroom.api.etag import etag, expected_version
from homeroom.api.operation import Answer, Body, Call, Target, operation
from homeroom.api.paging import PageQuery, cursor_of
from homeroom.auth.access import classes_with, students_within
from homeroom.roster import people
from homeroom.roster.classes import seats_of
from homeroom.roster.names import display_name
from homeroom.store import Connection, Transaction, new_id, not_found
from homeroom.store import models as m
from homeroom.types import Identity

students = Blueprint("students", __name__, url_prefix="/api/v1/students")

Name = Field(min_length=1, max_length=200)


class Student(Answer):
    """One student. `name` is what they want to be called; the legal name and the number are for the office."""

    id: str
    name: str
    grades: list[str] = []
    school_ids: list[str] = []
    given_name: str | None = None
    family_name: str | None = None
    identifier: str | None = None
    birth_date: date | None = None
    enabled: bool = True


class StudentList(Answer):
    """A page of students, by name."""

    items: list[Student]
    next: str | None = None


class ClassOfStudent(Answer):
    """One class in which a student sits. The end day is exclusive."""

    id: str
    title: str = Field(examples=["Biology 10, section B"])
    school_id: str
    periods: list[str] = []
    begins_on: date | None = None
    ends_on: date | None = None


class ClassesOfStudent(Answer):
    """The classes of a student that the caller may know of, by title."""

    items: list[ClassOfStudent]


class SearchQuery(PageQuery):
    """Words of the name (accents and case do not matter), or the whole student number."""

    q: str = Field(min_length=1, max_length=100)


class NewStudent(Body):
    """A student to be made."""

    given_name: str = Name
    family_name: str = Name
    middle_name: str | None = Field(default=None, max_length=200)
    preferred_given_name: str | None = Field(default=None, max_length=200)
    preferred_family_name: str | None = Field(default=None, max_length=200)
    school_id: str
    grades: list[str] = Field(default=[], max_length=5)
    identifier: str | None = Field(default=None, min_length=1, max_length=64)
    birth_date: date | None = None


class StudentChanges(Body):
    """What of a student changes; what is left out stays."""

    given_name: str | None = Field(default=None, min_length=1, max_length=200)
    family_name: str | None = Field(default=None, min_length=1, max_length=200)
    middle_name: str | None = Field(default=None, max_length=200)
    preferred_given_name: str | None = Field(default=None, max_length=200)
    preferred_family_name: str | None = Field(default=None, max_length=200)
    grades: list[str] | None = Field(default=None, max_length=5)
    identifier: str | None = Field(default=None, min_length=1, max_length=64)
    birth_date: date | None = None
    enabled: bool | None = None


_CHILDREN = 100
_NEVER_EMPTY = frozenset({"given_name", "family_name", "grades", "enabled"})


@students.get("/search")
@operation("student.search", query=SearchQuery, answers=StudentList)
async def search_students(call: Call, query: SearchQuery) -> StudentList:
    """Students whom the caller may know of, by name or number."""
    after, size = query.after(2), query.size()
    within = students_within(call.me, "student.search", call.today())
    found = await call.read(
        lambda c: _page(c, people.search_students(c, query.q, within, limit=size, after=after), call)
    )
    call.discloses((s.id for s in found.items), fields=("name", "grades"), rows=len(found.items))
    return found


@students.get("/children")
@operation("student.search", answers=StudentList)
async def list_children(call: Call) -> StudentList:
    """The caller's own children whose records they may see, by name; none for whoever is nobody's guardian."""
    if not call.me.has("guardian"):
        return StudentList(items=[])
    as_guardian = replace(call.me, roles=tuple(held for held in call.me.roles if held.role == "guardian"))
    within = students_within(as_guardian, "student.search", call.today())
    found = await call.read(lambda c: _page(c, people.search_students(c, None, within, limit=_CHILDREN), call))
    call.discloses((child.id for child in found.items), fields=("name", "grades"), rows=len(found.items))
    return found


@students.post("/")
@operation(
    "student.create",
    of=Target(school_id="body.school_id"),
    body=NewStudent,
    answers={201: Student},
    problems=(409,),
    idempotent=True,
)
async def create_student(call: Call, body: NewStudent) -> Response:
    """Make a student, for districts without a SIS."""
    student_id = new_id()

    def unit(tx: Transaction) -> Student:
        return _student(tx, people.create_student(tx, student_id=student_id, **body.model_dump()), call)

    return await call.create(unit)


@students.get("/<student_id>")
@operation("student.read", of=Target(student_id="student_id"), answers=Student)
async def read_student(call: Call, student_id: str) -> tuple[Student, int, dict[str, str]]:
    """A student; how much of one depends on who asks."""

    def read(connection: Connection) -> tuple[Student, int]:
        row = connection.get(m.User, student_id)
        if row is None or not people.is_student(connection, student_id):
            raise not_found("There is no such student, or you may not know of them.")
        return _student(connection, row, call), row.version

    answer, version = await call.read(read)
    call.discloses([student_id], fields=tuple(answer.model_fields_set - {"id", "school_ids"}), rows=1)
    return answer, 200, etag(version)


@students.get("/<student_id>/classes")
@operation("student.read", of=Target(student_id="student_id"), answers=ClassesOfStudent)
async def list_classes_of(call: Call, student_id: str) -> ClassesOfStudent:
    """The classes in which a student sits today, as far as the caller may know of them."""
    today = call.today()

    def read(connection: Connection) -> list[ClassOfStudent]:
        within = classes_with(connection, call.me, "class.read", student_id, today)
        found = seats_of(connection, student_id, today, within)
        return [
            ClassOfStudent(
                id=group.id,
                title=group.title,
                school_id=group.school_id,
                periods=group.periods,
                begins_on=seat.begins_on,
                ends_on=seat.ends_on,
            )
            for group, seat in found
        ]

    items = await call.read(read)
    call.discloses([student_id], fields=("class",), rows=len(items))
    return ClassesOfStudent(items=items)


@students.patch("/<student_id>")
@operation(
    "student.edit",
    of=Target(student_id="student_id"),
    body=StudentChanges,
    answers=Student,
    problems=(409, 412, 428),
)
async def edit_student(call: Call, student_id: str, body: StudentChanges) -> tuple[Student, int, dict[str, str]]:
    """Change some of a student; `If-Match` names the version that was read."""
    version = expected_version()
    changes = {
        key: value
        for key, value in body.model_dump(exclude_unset=True).items()
        if value is not None or key not in _NEVER_EMPTY
    }

    def unit(tx: Transaction) -> tuple[Student, int]:
        if not people.is_student(tx, student_id):
            raise not_found("There is no such student.")
        row = people.patch_person(tx, student_id, changes, version=version)
        return _student(tx, row, call), row.version

    answer, now = await call.write(unit)
    return answer, 200, etag(now)


def _page(connection: Connection, found: people.Found, call: Call) -> StudentList:
    more = cursor_of(found.after) if found.after is not None else None
    return StudentList(items=[_student(connection, row, call) for row in found.items], next=more)


def _student(connection: Connection, row: m.User, call: Call) -> Student:
    """A student as the caller may see one: legal name, number and birth date are the office's and the family's."""
    schools = people.schools_of(connection, [row.id]).get(row.id, ())
    shown: dict[str, Any] = {}
    if _is_office_or_family(connection, row.id, schools, call.me):
        shown = {name: getattr(row, name) for name in ("given_name", "family_name", "identifier", "birth_date")}
    return Student(
        id=row.id,
        name=display_name(row),
        grades=row.grades,
        school_ids=list(schools),
        enabled=row.enabled,
        **shown,
    )


def _is_office_or_family(connection: Connection, student_id: str, schools: Sequence[str], me: Identity) -> bool:
    if me.kind == "service" or me.has("district_admin") or me.subject == student_id:
        return True
    if me.orgs("school_admin") & set(schools):
        return True
    return me.has("guardian") and any(
        child.user.id == student_id for child in people.children_of(connection, me.subject)
    )
