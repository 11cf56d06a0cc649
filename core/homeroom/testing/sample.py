"""The synthetic district of `homeroom.testing.district` in memory, as records: what a vendor's simulator serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from random import Random
from typing import Any

from homeroom.records import AcademicSession, Class, Course, Enrollment, Org, User, UserRole
from homeroom.testing.district import DISTRICT, write_rows


@dataclass(slots=True)
class SampleDistrict:
    """Every record of the district, by noun, in the order in which they were made."""

    orgs: list[Org] = field(default_factory=list)
    academic_sessions: list[AcademicSession] = field(default_factory=list)
    courses: list[Course] = field(default_factory=list)
    classes: list[Class] = field(default_factory=list)
    users: list[User] = field(default_factory=list)
    enrollments: list[Enrollment] = field(default_factory=list)

    @property
    def schools(self) -> list[Org]:
        """The orgs that are schools."""
        return [org for org in self.orgs if org.kind == "school"]

    def people(self, role: str) -> list[User]:
        """The users with this role anywhere (student, teacher, guardian, principal, administrator)."""
        return [user for user in self.users if any(held.role == role for held in user.roles)]


def sample_district(*, students: int, seed: int = 1, starts_on: date = date(2026, 8, 17)) -> SampleDistrict:
    """The same district that `write_bundle` writes with these arguments."""
    sink = _Records()
    write_rows(sink, Random(seed), starts_on, students)  # noqa: S311 - repeatable on purpose
    users = sink.district.users
    sink.district.users = [replace(user, birth_date=sink.births.get(user.sourced_id)) for user in users]
    return sink.district


class _Records:
    """Takes the generator's rows as records."""

    def __init__(self) -> None:
        self.district = SampleDistrict()
        self.births: dict[str, date] = {}

    def row(self, file: str, sourced_id: str, **values: str) -> None:
        """One row of any file but the people's."""
        getattr(self, f"_{file}")(sourced_id, _row(values))

    def user(self, sourced_id: str, role: str, orgs: Sequence[str], **values: str) -> None:
        """One person."""
        row = _row(values)
        roles = tuple(UserRole(role=role, org=org, primary=position == 0) for position, org in enumerate(orgs))
        self.district.users.append(
            User(
                sourced_id=sourced_id,
                given_name=row["givenName"] or "",
                family_name=row["familyName"] or "",
                preferred_given_name=row["preferredGivenName"],
                roles=roles,
                agents=row.listed("agentSourcedIds"),
                grades=row.listed("grades"),
                identifier=row["identifier"],
                username=sourced_id,
                email=row["email"],
                sms=row["sms"],
            )
        )

    def _orgs(self, sourced_id: str, row: _Row) -> None:
        parent = row["parentSourcedId"] or (None if sourced_id == DISTRICT else DISTRICT)
        org = Org(sourced_id=sourced_id, name=row["name"] or "", kind=row["type"] or "", identifier=row["identifier"])
        self.district.orgs.append(replace(org, parent=parent))

    def _academicSessions(self, sourced_id: str, row: _Row) -> None:  # noqa: N802 - the file's name
        self.district.academic_sessions.append(
            AcademicSession(
                sourced_id=sourced_id,
                title=row["title"] or "",
                kind=row["type"] or "",
                begins_on=date.fromisoformat(row["startDate"] or ""),
                ends_on=date.fromisoformat(row["endDate"] or ""),
                school_year=int(row["schoolYear"] or 0),
                parent=row["parentSourcedId"],
            )
        )

    def _courses(self, sourced_id: str, row: _Row) -> None:
        self.district.courses.append(
            Course(sourced_id=sourced_id, title=row["title"] or "", code=row["courseCode"], org=row["orgSourcedId"])
        )

    def _classes(self, sourced_id: str, row: _Row) -> None:
        self.district.classes.append(
            Class(
                sourced_id=sourced_id,
                title=row["title"] or "",
                school=row["schoolSourcedId"] or "",
                course=row["courseSourcedId"],
                terms=row.listed("termSourcedIds"),
                code=row["classCode"],
                kind=row["classType"] or "",
                periods=row.listed("periods"),
            )
        )

    def _demographics(self, sourced_id: str, row: _Row) -> None:
        self.births[sourced_id] = date.fromisoformat(row["birthDate"] or "")

    def _enrollments(self, sourced_id: str, row: _Row) -> None:
        self.district.enrollments.append(
            Enrollment(
                sourced_id=sourced_id,
                user=row["userSourcedId"] or "",
                class_=row["classSourcedId"] or "",
                role=row["role"] or "",
                school=row["schoolSourcedId"],
                primary=row["primary"] == "true",
                begins_on=date.fromisoformat(row["beginDate"] or ""),
            )
        )


def _row(values: dict[str, str]) -> _Row:
    return _Row((key, value) for key, value in values.items() if value)


class _Row(dict[str, Any]):
    """The values of one row; an absent or empty one is None."""

    def __missing__(self, key: str) -> None:
        return None

    def listed(self, key: str) -> tuple[str, ...]:
        return tuple(part for part in (self[key] or "").split(",") if part)
