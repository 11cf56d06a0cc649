"""From a row of a CSV file to a record."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any, cast

from homeroom import AcademicSession, Class, Course, Enrollment, Org, Record, RecordStatus, User, UserRole, facts_of
from homeroom_oneroster.facts import BadField, Facts

ROLES = (
    "administrator",
    "aide",
    "counselor",
    "districtAdministrator",
    "guardian",
    "parent",
    "principal",
    "proctor",
    "relative",
    "siteAdministrator",
    "student",
    "systemAdministrator",
    "teacher",
)
_ROLES = {name.casefold(): name for name in ROLES}

_KINDS = {
    name.casefold(): name
    for name in (
        *("department", "school", "district", "local", "state", "national"),
        *("gradingPeriod", "semester", "schoolYear", "term"),
        *("homeroom", "scheduled"),
    )
}
_YEAR = re.compile(r"(?:\d{4}\s*[-/]\s*)?(\d{4})", re.ASCII)

USER_FIELDS = facts_of(User)

Reading = Callable[[Facts, int], Record]
"""Makes a record of a row; the number is added to end dates, in days. Raises BadField."""


def org(row: Facts, _later: int) -> Org:
    """A row of orgs.csv."""
    if row.status() != "active":
        return Org(sourced_id=row.needed("sourcedId"), name="", kind="school", status="tobedeleted")
    return Org(
        sourced_id=row.needed("sourcedId"),
        name=row.needed("name"),
        kind=_kind(row.needed("type")),
        identifier=row.text("identifier"),
        parent=row.text("parentSourcedId"),
        modified=row.moment("dateLastModified"),
    )


def academic_session(row: Facts, later: int) -> AcademicSession:
    """A row of academicSessions.csv."""
    if row.status() != "active":
        gone = row.needed("sourcedId")
        return AcademicSession(
            sourced_id=gone, title="", kind="term", begins_on=date.min, ends_on=date.min, status="tobedeleted"
        )
    begins_on, ends_on = row.day("startDate"), row.day("endDate", later=later)
    if begins_on is None or ends_on is None:
        raise BadField("endDate" if begins_on else "startDate", "this is empty")
    return AcademicSession(
        sourced_id=row.needed("sourcedId"),
        title=row.needed("title"),
        kind=_kind(row.needed("type")),
        begins_on=begins_on,
        ends_on=ends_on,
        school_year=_year(row.text("schoolYear")),
        parent=row.text("parentSourcedId"),
        modified=row.moment("dateLastModified"),
    )


def course(row: Facts, _later: int) -> Course:
    """A row of courses.csv."""
    if row.status() != "active":
        return Course(sourced_id=row.needed("sourcedId"), title="", status="tobedeleted")
    return Course(
        sourced_id=row.needed("sourcedId"),
        title=row.needed("title"),
        code=row.text("courseCode"),
        org=row.text("orgSourcedId"),
        modified=row.moment("dateLastModified"),
    )


def class_(row: Facts, _later: int) -> Class:
    """A row of classes.csv."""
    if row.status() != "active":
        return Class(sourced_id=row.needed("sourcedId"), title="", school="", status="tobedeleted")
    return Class(
        sourced_id=row.needed("sourcedId"),
        title=row.needed("title"),
        school=row.needed("schoolSourcedId"),
        course=row.text("courseSourcedId"),
        terms=row.listed("termSourcedIds") or row.listed("termSourcedId"),  # as some write it in 1.1
        code=row.text("classCode"),
        kind=_kind(row.text("classType") or "scheduled"),
        periods=row.listed("periods"),
        modified=row.moment("dateLastModified"),
    )


def enrollment(row: Facts, later: int) -> Enrollment:
    """A row of enrollments.csv."""
    if row.status() != "active":
        return Enrollment(sourced_id=row.needed("sourcedId"), user="", class_="", role="", status="tobedeleted")
    return Enrollment(
        sourced_id=row.needed("sourcedId"),
        user=row.needed("userSourcedId"),
        class_=row.needed("classSourcedId"),
        school=row.text("schoolSourcedId"),
        role=role_name(row),
        primary=row.flag("primary", default=False),
        begins_on=row.day("beginDate"),
        ends_on=row.day("endDate", later=later),
        modified=row.moment("dateLastModified"),
    )


def user_role(row: Facts, later: int) -> UserRole:
    """A row of roles.csv, or one of a user's `roles` (1.2)."""
    return UserRole(
        role=role_name(row),
        org=row.needed("orgSourcedId"),
        primary=(row.text("roleType") or "primary").casefold() == "primary",
        begins_on=row.day("beginDate"),
        ends_on=row.day("endDate", later=later),
        status=cast("RecordStatus", row.status()),
    )


def own_roles(row: Facts) -> tuple[UserRole, ...]:
    """The roles in a user's row itself (1.1): one role, at each of its orgs."""
    name = role_name(row)
    orgs = row.listed("orgSourcedIds")
    if not orgs:
        raise BadField(row.named("orgSourcedIds"), "this is empty")
    return tuple(UserRole(role=name, org=one, primary=one == orgs[0]) for one in dict.fromkeys(orgs))


def user(row: Facts, *, with_agents: bool = True, **beside: Any) -> User:
    """A person as the row has it, with what stands `beside` it (roles, birth date and how much is told)."""
    sourced_id = row.needed("sourcedId")
    if row.status() != "active":
        return User(sourced_id=sourced_id, given_name="", family_name="", status="tobedeleted")
    given_name, family_name = row.text("givenName"), row.text("familyName")
    if given_name is None and family_name is None:
        raise BadField("familyName", "there is no name")
    return User(
        sourced_id=sourced_id,
        given_name=given_name or "",
        family_name=family_name or "",
        middle_name=row.text("middleName"),
        preferred_given_name=row.text("preferredGivenName"),
        preferred_family_name=row.text("preferredFamilyName"),
        agents=row.listed("agentSourcedIds") if with_agents else (),
        grades=row.listed("grades"),
        identifier=row.text("identifier"),
        username=row.text("username"),
        email=row.text("email"),
        phone=row.text("phone"),
        sms=row.text("sms"),
        enabled=row.flag("enabledUser", default=True),
        modified=row.moment("dateLastModified"),
        **beside,
    )


def _kind(value: str) -> str:
    """The type in OneRoster's spelling ("School Year" and "schoolyear" are schoolYear); a vendor's own as it is."""
    return _KINDS.get("".join(filter(str.isalnum, value)).casefold(), value)


def _year(value: str | None) -> int | None:
    """The year in which a school year ends, the second one of "2026-2027"; None where that cannot be told."""
    found = _YEAR.fullmatch(value or "")
    return int(found[1]) if found else None


def role_name(row: Facts) -> str:
    """The role in OneRoster's spelling; a vendor's own ("ext:…") as it is. Raises BadField for any other."""
    value = row.needed("role")
    name = _ROLES.get(value.casefold())
    if name is None and not value.casefold().startswith("ext:"):
        raise BadField("role", "this is no role of OneRoster")
    return name or value
