"""What the queries and tables answer: rows made when they are asked for, found by bisection."""

from __future__ import annotations

import operator
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from homeroom_powerschool.simulator import shapes
from homeroom_powerschool.simulator.world import World

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """Rows in the order of a key: those at `positions` exist; `keys[i]` is the key and `row(i)` the row at i."""

    keys: Sequence[int]
    positions: Sequence[int]
    row: Callable[[int], Row]
    optional: tuple[str, ...] = ()

    def after(self, key: int) -> int:
        """How many come up to `key`."""
        at = bisect_right(self.keys, key)
        return at if isinstance(self.positions, range) else bisect_right(list(self.positions), at - 1)


def keyed(world: World, area: str) -> Keyed | None:
    """The plugin's roster query of this name, None for another."""
    made: Mapping[str, Callable[[], Keyed]] = {
        "sections": lambda: _all(world.sections, lambda i: _section(world, i), ("expression",)),
        "students": lambda: Keyed(
            keys=world.students.dcids,
            positions=world.listed(),
            row=lambda i: _student(world, i),
            optional=("birth_date", "username", "email"),
        ),
        "staff": lambda: _all(world.staff, lambda i: _staff(world, i), ("title", "username", "email")),
        "contacts": lambda: _all(world.contacts, lambda i: _contact(world, i), ("email", "phone", "sms")),
        "enrollments": lambda: Keyed(
            keys=world.cc.dcids, positions=world.listed_cc(), row=lambda i: _enrollment(world, i)
        ),
        "teachers": lambda: _all(world.teachers, lambda i: _teacher(world, i), ("end_date",)),
    }
    return made[area]() if area in made else None


def _all(numbered: Any, row: Callable[[int], Row], optional: tuple[str, ...]) -> Keyed:
    return Keyed(keys=numbered.dcids, positions=range(len(numbered)), row=row, optional=optional)


def meetings(world: World, calendar_day: int, _year: int) -> list[Row]:
    """When each class of a school meets on one day."""
    number, day = world.day_of(calendar_day)
    school = world.school_numbered(number)
    if school is None or not world.first_day <= day <= world.last_day:
        return []
    rows = []
    for position in world.sections_of_school.get(school, ()):
        period, days = world.period_of(world.sections.names[position])
        if world.cycle_letter(day) in days:
            start, end = world.times(period)
            row = {"section_dcid": world.sections.dcids[position], "period_id": world.period_id(number, period)}
            rows.append({**row, "start_time": start, "end_time": end})
    return rows


def enrollment_ids(world: World, students: Sequence[int], day: date) -> list[Row]:
    """By which ids attendance refers to some students' classes on one day."""
    rows = []
    for dcid in students:
        at = world.students.at(dcid)
        if at is None:
            continue
        name = world.students.names[at]
        for position in world.cc_of_student.get(name, ()):
            cc = world.cc.names[position]
            begins = world.enrolled[cc].begins_on or world.first_day
            if cc not in world.dropped and begins <= day < world.exit_date(cc):
                rows.append(
                    {
                        "cc_id": world.cc.ids[position],
                        "student_dcid": dcid,
                        "student_id": world.students.ids[at],
                        "section_dcid": world.sections.dcid(world.enrolled[cc].class_),
                    }
                )
    return rows


def table(world: World, name: str, q: str) -> list[tuple[int, Row]] | None:
    """The rows of a table by key, those that `q` lets through; None for a table that is not simulated."""
    wanted = re.findall(r"([a-z_.]+)(==|!=|=gt=|=ge=|=lt=|=le=)([^;]*)", q)
    made: Mapping[str, Callable[[], list[tuple[int, Row]]]] = {
        "courses": lambda: [
            (dcid, {"dcid": dcid, "course_number": one.code, "course_name": one.title})
            for dcid, one in (
                (dcid, world.courses_by_name[course])
                for dcid, course in zip(world.courses.dcids, world.courses.names, strict=True)
            )
        ],
        "schools": lambda: [
            (dcid, {"dcid": dcid, "school_number": world.number(school), "name": world.school_by_name[school].name})
            for dcid, school in zip(world.schools.dcids, world.schools.names, strict=True)
        ],
        "attendance_code": lambda: [
            (
                code.id,
                {
                    "id": code.id,
                    "schoolid": code.school,
                    "yearid": code.year,
                    "att_code": code.letters or None,
                    "presence_status_cd": code.presence,
                },
            )
            for code in world.codes.values()
        ],
        "calendar_day": lambda: _calendar(world, wanted),
        "students": lambda: [
            (
                world.students.dcids[i],
                {"dcid": world.students.dcids[i], "id": world.students.ids[i], **_numbered(world, i)},
            )
            for i in range(len(world.students))
        ],
    }
    if name not in made:
        return None
    return [(key, row) for key, row in made[name]() if all(_fits(row, *one) for one in wanted)]


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "=gt=": operator.gt,
    "=ge=": operator.ge,
    "=lt=": operator.lt,
    "=le=": operator.le,
}


def _fits(row: Row, column: str, sign: str, value: str) -> bool:
    held = row.get(column.rpartition(".")[2])
    if isinstance(held, int) and value.lstrip("-").isdecimal():
        return _OPERATORS[sign](held, int(value))
    return _OPERATORS[sign]("" if held is None else str(held), value)


def _numbered(world: World, position: int) -> Row:
    user = world.users[world.students.names[position]]
    return {"student_number": user.identifier, "first_name": user.given_name, "last_name": user.family_name}


def _calendar(world: World, wanted: Sequence[tuple[str, str, str]]) -> list[tuple[int, Row]]:
    asked = {column: value for column, sign, value in wanted if sign == "=="}
    numbers = [world.number(name) for name in world.schools.names]
    days = [world.first_day + timedelta(days=n) for n in range((world.last_day - world.first_day).days + 1)]
    if "schoolid" in asked:
        numbers = [number for number in numbers if str(number) == asked["schoolid"]]
    if "date_value" in asked:
        days = [day for day in days if day.isoformat() == asked["date_value"]]
    rows = []
    for number in numbers:
        for day in days:
            key = world.calendar_day(number, day) or 0
            row = {"id": key, "schoolid": number, "date_value": day, "insession": world.in_session(day)}
            rows.append((key, {**row, "cycle_day_id": 1, "bell_schedule_id": 1}))
    return rows


def _section(world: World, position: int) -> Row:
    name = world.sections.names[position]
    one = world.classes_by_name[name]
    return {
        "dcid": world.sections.dcids[position],
        "school_dcid": world.schools.dcid(one.school),
        "course_dcid": world.courses.dcid(one.course or ""),
        "term_dcid": world.year_term(one.school).dcid,
        "course_name": world.courses_by_name[one.course or ""].title,
        "section_number": shapes.section_number(one.title),
        "expression": world.expression(name),
    }


def _student(world: World, position: int) -> Row:
    name = world.students.names[position]
    user = world.users[name]
    home, *others = world.orgs_of(name)
    tokens = (one.token(world.contacts.dcid(one.person)) for one in world.relations.get(name, ()))
    return {
        "dcid": world.students.dcids[position],
        "student_number": user.identifier,
        "first_name": user.given_name or None,
        "last_name": user.family_name or None,
        "grade_level": shapes.grade(user.grades),
        "enroll_status": world.status.get(name, 0),
        "entry_date": world.first_day,
        "school_dcid": world.schools.dcid(home),
        "birth_date": user.birth_date,
        "username": user.username,
        "email": user.email,
        "other_schools": ",".join(str(world.schools.dcid(org)) for org in others) or None,
        "contacts": ",".join(tokens) or None,
    }


def _staff(world: World, position: int) -> Row:
    person = world.staff.names[position]
    user = world.users[person]
    title = {"principal": "Principal", "administrator": "Superintendent"}.get(user.roles[0].role, "Teacher")
    return {
        "dcid": world.staff.dcids[position],
        "staff_number": user.identifier,
        "first_name": user.given_name or None,
        "last_name": user.family_name or None,
        "email": user.email,
        "username": user.username,
        "title": title,
        "affiliations": shapes.affiliations(world, person),
    }


def _contact(world: World, position: int) -> Row:
    person = world.contacts.names[position]
    user = world.users[person]
    number = world.contacts.dcids[position]
    tokens = (relation.token(number) for _, relation in world.students_of_contact.get(person, ()))
    return {
        "id": number,
        "first_name": user.given_name or None,
        "last_name": user.family_name or None,
        "email": user.email,
        "phone": user.sms,
        "sms": user.sms,
        "relations": ",".join(tokens) or None,
    }


def _enrollment(world: World, position: int) -> Row:
    name = world.cc.names[position]
    one = world.enrolled[name]
    return {
        "dcid": world.cc.dcids[position],
        "student_dcid": world.students.dcid(one.user),
        "section_dcid": world.sections.dcid(one.class_),
        "school_dcid": world.schools.dcid(one.school or ""),
        "entry_date": one.begins_on or world.first_day,
        "exit_date": world.exit_date(name),
        "dropped": name in world.dropped,
    }


def _teacher(world: World, position: int) -> Row:
    name = world.teachers.names[position]
    one = world.teaching[name]
    return {
        "id": world.teachers.dcids[position],
        "user_dcid": world.staff.dcid(one.user),
        "section_dcid": world.sections.dcid(one.class_),
        "school_dcid": world.schools.dcid(one.school or ""),
        "lead": one.primary,
        "start_date": one.begins_on or world.first_day,
        "end_date": world.last_day,
    }
