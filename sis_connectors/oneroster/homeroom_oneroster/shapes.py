"""Records as OneRoster's JSON, 1.2 and 1.1: what the simulator answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from homeroom import AcademicSession, Class, Course, Enrollment, Org, Record, User, UserRole

Version = Literal["1.1", "1.2"]

LONG_AGO = datetime(2026, 8, 1, tzinfo=UTC)
"""When a record was last changed that does not say so itself."""

OPTIONAL = (
    *("metadata", "parent", "courseCode", "classType", "periods", "grades", "agents", "identifier", "username"),
    *("preferredFirstName", "sms", "email", "beginDate", "endDate"),
)
"""What a record may go without, the one that goes first last."""

_ROLES: dict[Version, dict[str, str]] = {
    "1.2": {"administrator": "districtAdministrator"},
    "1.1": {"principal": "administrator"},
}


class Shapes:
    """Makes JSON objects for one version, whose references begin with `base`."""

    def __init__(self, version: Version, base: str) -> None:
        self.version = version
        self._base = base

    def of(self, record: Record) -> dict[str, Any]:
        """The object of any record."""
        return _SHAPES[record.noun](self, record)

    def demographics(self, user: User) -> dict[str, Any]:
        """The demographics of one person."""
        return {**_begin(user), **_given(birthDate=user.birth_date and user.birth_date.isoformat())}

    def org(self, record: Org) -> dict[str, Any]:
        """An org."""
        return {
            **_begin(record),
            "name": record.name,
            "type": record.kind,
            "identifier": record.identifier or record.sourced_id,
            **_given(parent=self._reference("org", record.parent)),
        }

    def academic_session(self, record: AcademicSession) -> dict[str, Any]:
        """A school year or term."""
        return {
            **_begin(record),
            "title": record.title,
            "startDate": record.begins_on.isoformat(),
            "endDate": record.ends_on.isoformat(),
            "type": record.kind,
            "schoolYear": str(record.school_year or record.ends_on.year),
            **_given(parent=self._reference("academicSession", record.parent)),
        }

    def course(self, record: Course) -> dict[str, Any]:
        """A course."""
        code = record.code or record.sourced_id
        begun = {**_begin(record), "title": record.title, "courseCode": code}
        return begun | _given(org=self._reference("org", record.org))

    def class_(self, record: Class) -> dict[str, Any]:
        """A class."""
        return {
            **_begin(record),
            "title": record.title,
            "classType": record.kind,
            "course": self._reference("course", record.course),
            "school": self._reference("org", record.school),
            "terms": [self._reference("academicSession", term) for term in record.terms],
            **_given(classCode=record.code, periods=list(record.periods)),
        }

    def enrollment(self, record: Enrollment) -> dict[str, Any]:
        """An enrollment."""
        return {
            **_begin(record),
            "user": self._reference("user", record.user),
            "class": self._reference("class", record.class_),
            "school": self._reference("org", record.school),
            "role": record.role,
            **({"primary": _word(record.primary)} if record.role == "teacher" else {}),
            **_given(
                beginDate=record.begins_on and record.begins_on.isoformat(),
                endDate=record.ends_on and record.ends_on.isoformat(),
            ),
        }

    def user(self, record: User) -> dict[str, Any]:
        """A person."""
        shape = {
            **_begin(record),
            "enabledUser": _word(record.enabled),
            "givenName": record.given_name,
            "familyName": record.family_name,
            **_given(
                middleName=record.middle_name,
                username=record.username,
                identifier=record.identifier,
                email=record.email,
                sms=record.sms,
                phone=record.phone,
                agents=[self._reference("user", agent) for agent in record.agents],
                grades=list(record.grades),
            ),
        }
        if self.version == "1.1":
            orgs = dict.fromkeys(role.org for role in record.roles)
            shape["role"] = self._role(record.roles[0])
            shape["orgs"] = [self._reference("org", org) for org in orgs]
            return shape
        shape["roles"] = [
            {
                "roleType": "primary" if role.primary else "secondary",
                "role": self._role(role),
                "org": self._reference("org", role.org),
                **_given(
                    beginDate=role.begins_on and role.begins_on.isoformat(),
                    endDate=role.ends_on and role.ends_on.isoformat(),
                ),
            }
            for role in record.roles
        ]
        names = _given(preferredFirstName=record.preferred_given_name, preferredLastName=record.preferred_family_name)
        return shape | names

    def _role(self, role: UserRole) -> str:
        return _ROLES[self.version].get(role.role, role.role)

    def _reference(self, kind: str, sourced_id: str | None) -> dict[str, str] | None:
        if sourced_id is None:
            return None
        plural = "classes" if kind == "class" else f"{kind}s"
        href = f"{self._base}/{plural}/{quote(sourced_id, safe='')}"
        return {"href": href, "sourcedId": sourced_id, "type": kind}


_SHAPES: dict[str, Callable[[Shapes, Any], dict[str, Any]]] = {
    "org": Shapes.org,
    "academicSession": Shapes.academic_session,
    "course": Shapes.course,
    "class": Shapes.class_,
    "user": Shapes.user,
    "enrollment": Shapes.enrollment,
}


def moment(record: Record) -> str:
    """When the record was last changed, as OneRoster writes it."""
    return (record.modified or LONG_AGO).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _begin(record: Record) -> dict[str, Any]:
    return {"sourcedId": record.sourced_id, "status": record.status, "dateLastModified": moment(record)}


def _word(value: bool) -> str:  # noqa: FBT001 - one value in, its word out
    return "true" if value else "false"


def _given(**values: Any) -> dict[str, Any]:
    """Those that have a value."""
    return {name: value for name, value in values.items() if value}
