"""How PowerSchool writes things down: its JSON with all its oddities, and its rows of strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from homeroom_powerschool.simulator.world import World


def one_or_many(items: Sequence[Any]) -> Any:
    """A list of one is the thing itself [N]."""
    return items[0] if len(items) == 1 else list(items)


def digits(text: str | None) -> Any:
    """A text of digits becomes a number, and loses its leading zeros [N]."""
    return int(text) if text and text.isascii() and text.isdecimal() else text


def envelope(name: str, item: str, rows: Sequence[Any]) -> dict[str, Any]:
    """A REST list [N]: without rows, without the key."""
    inner: dict[str, Any] = {"@expansions": "demographics, addresses, phones", "@extensions": ""}
    if rows:
        inner[item] = one_or_many(rows)
    return {name: inner}


def record(rows: Sequence[Any]) -> dict[str, Any]:
    """A query's answer [N]: without rows, without `record`."""
    return {"record": list(rows), "@extensions": ""} if rows else {"@extensions": ""}


def strings(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of a table or query [N]: every value is a string, and what is empty is absent."""
    return {key: _string(value) for key, value in row.items() if value is not None}


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return value.isoformat() if isinstance(value, date) else str(value)


def term(world: World, position: int) -> dict[str, Any]:
    """A term of `/ws/v1/school/{id}/term` [N]; its end date is its last day [I]."""
    row = world.terms[position]
    return {
        "id": row.dcid,
        "school_id": world.schools.dcid(row.school.sourced_id),
        "start_year": row.year + 1990,
        "portion": row.portion,
        "start_date": row.begins.isoformat(),
        "end_date": row.last_day.isoformat(),
        "abbreviation": digits(str(row.id)),
        "name": row.name,
    }


def school(world: World, position: int) -> dict[str, Any]:
    """A school of `/ws/v1/district/school` [N]."""
    name = world.schools.names[position]
    org = world.school_by_name[name]
    return {
        "id": world.schools.dcids[position],
        "school_number": digits(org.identifier),
        "name": org.name,
        "low_grade": 0,
        "high_grade": 12,
        "addresses": "",
        "phones": "",
    }


def course(world: World, position: int) -> dict[str, Any]:
    """A course of `/ws/v1/school/{id}/course` [N]."""
    one = world.courses_by_name[world.courses.names[position]]
    return {"id": world.courses.dcids[position], "course_number": one.code, "course_name": one.title}


def section(world: World, position: int) -> dict[str, Any]:
    """A section of `/ws/v1/school/{id}/section` [N]; `staff_id` is the place at the school."""
    name = world.sections.names[position]
    one = world.classes_by_name[name]
    lead = world.lead_of.get(name)
    row = {
        "id": world.sections.dcids[position],
        "school_id": world.schools.dcid(one.school),
        "course_id": world.courses.dcid(one.course or ""),
        "term_id": world.year_term(one.school).dcid,
        "section_number": digits(section_number(one.title)),
        "expression": world.expression(name),
    }
    place = f"{lead}@{one.school}"
    return {**row, "staff_id": world.places.dcid(place)} if place in world.places.place else row


def section_number(title: str) -> str:
    """The sample's class is called after its course and section."""
    return title.rpartition("section ")[2]


def enrollment(world: World, position: int) -> dict[str, Any]:
    """An enrolment of `/ws/v1/section/{id}/section_enrollment` [N]; the exit date is exclusive [N]."""
    name = world.cc.names[position]
    one = world.enrolled[name]
    return {
        "id": world.cc.dcids[position],
        "section_id": world.sections.dcid(one.class_),
        "student_id": world.students.dcid(one.user),
        "entry_date": (one.begins_on or world.first_day).isoformat(),
        "exit_date": world.exit_date(name).isoformat(),
        "dropped": name in world.dropped,
    }


def student(world: World, position: int, expansions: str) -> dict[str, Any]:
    """A student of `/ws/v1/district/student` [N]; `school_id` of the enrolment is the school's DCID [1]."""
    name = world.students.names[position]
    user = world.users[name]
    status = world.status.get(name, 0)
    item: dict[str, Any] = {
        "id": world.students.dcids[position],
        "local_id": digits(user.identifier),
        "student_username": user.username,
        "name": {"first_name": user.given_name, "last_name": user.family_name},
    }
    if "school_enrollment" in expansions:
        item["school_enrollment"] = {
            "enroll_status": {0: "A", -1: "P", 2: "T", 3: "G"}.get(status, "I"),
            "enroll_status_code": status,
            "grade_level": grade(user.grades),
            "entry_date": world.first_day.isoformat(),
            "exit_date": world.last_day.isoformat(),
            "school_number": world.number(world.orgs_of(name)[0]),
            "school_id": world.schools.dcid(world.orgs_of(name)[0]),
        }
    if "demographics" in expansions:
        item["demographics"] = {"birth_date": user.birth_date.isoformat()} if user.birth_date else ""
    if "contact_info" in expansions:
        item["contact_info"] = {"email": user.email} if user.email else ""
    return {**item, "phones": "", "fees": ""}


def staff(world: World, position: int, expansions: str) -> dict[str, Any]:
    """One place of somebody at a school, of `/ws/v1/school/{id}/staff` [N]."""
    person = world.places.names[position].partition("@")[0]
    user = world.users[person]
    item: dict[str, Any] = {
        "id": world.places.dcids[position],
        "users_dcid": world.staff.dcid(person),
        "local_id": digits(user.identifier),
        "teacher_username": user.username,
        "name": {"first_name": user.given_name, "last_name": user.family_name},
    }
    if "emails" in expansions:
        item["emails"] = {"work_email": user.email} if user.email else ""
    if "school_affiliations" in expansions:
        places = [
            {"school_id": number, "type": kind, "status": status}
            for number, status, kind in (part.split(":") for part in affiliations(world, person).split(","))
        ]
        item["school_affiliations"] = {"school_affiliation": one_or_many(places)}
    return item


def affiliations(world: World, person: str) -> str:
    """Somebody's places as the plugin's query joins them: school, status, kind; 0 is the district office [1]."""
    kind = 1 if any(role.role == "teacher" for role in world.users[person].roles) else 2
    schools = (world.schools.dcid(org) if org in world.school_by_name else 0 for org in world.orgs_of(person))
    return ",".join(f"{number}:1:{kind}" for number in schools)


def grade(grades: Sequence[str]) -> int | None:
    """0 is kindergarten [N]."""
    if not grades:
        return None
    return 0 if grades[0] == "KG" else int(grades[0])
