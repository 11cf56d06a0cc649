"""From Ed-Fi's resources to records; a row that cannot be read raises KeyError, TypeError or ValueError."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from homeroom import AcademicSession, Class, Course, Enrollment, Org, User, UserRole, facts_of
from homeroom_edfi import keys

Row = Mapping[str, Any]

GRADES = {
    "Kindergarten": "KG",
    "Preschool/Prekindergarten": "PK",
    **{
        f"{name} grade": f"{number:02d}"
        for number, name in enumerate(
            (
                *("First", "Second", "Third", "Fourth", "Fifth", "Sixth"),
                *("Seventh", "Eighth", "Ninth", "Tenth", "Eleventh", "Twelfth"),
            ),
            start=1,
        )
    },
}
"""The code values of Ed-Fi's own GradeLevelDescriptor as OneRoster (CEDS) writes grades."""


def agency(row: Row) -> Org:
    """A local education agency: the district."""
    number = str(row["localEducationAgencyId"])
    return Org(sourced_id=number, name=row["nameOfInstitution"], kind="district", identifier=number)


def school(row: Row) -> Org:
    """A school."""
    number = str(row["schoolId"])
    parent = row.get("localEducationAgencyReference") or {}
    return Org(
        sourced_id=number,
        name=row["nameOfInstitution"],
        kind="school",
        identifier=number,
        parent=str(parent["localEducationAgencyId"]) if parent else None,
    )


def session(row: Row) -> AcademicSession:
    """A session of one school; its `endDate` is the last day."""
    year = int(row["schoolYearTypeReference"]["schoolYear"])
    flat = {"schoolId": row["schoolReference"]["schoolId"], "schoolYear": year, "sessionName": row["sessionName"]}
    return AcademicSession(
        sourced_id=keys.session(flat),
        title=row["sessionName"],
        kind="term",
        begins_on=day(row["beginDate"]),
        ends_on=day(row["endDate"]) + timedelta(days=1),
        school_year=year,
    )


def course(row: Row) -> Course:
    """A course, of a school or of the district."""
    owner = row["educationOrganizationReference"]["educationOrganizationId"]
    return Course(
        sourced_id=keys.joined(owner, row["courseCode"]),
        title=row["courseTitle"],
        code=row["courseCode"],
        org=str(owner),
    )


def section(row: Row, offerings: Mapping[str, Row]) -> Class:
    """A section, named after its course offering where it has no name of its own."""
    reference = row["courseOfferingReference"]
    identifier = row["sectionIdentifier"]
    offered = offerings.get(keys.offering(reference), {})
    title = row.get("sectionName") or offered.get("title") or reference["localCourseCode"]
    return Class(
        sourced_id=keys.section({**reference, "sectionIdentifier": identifier}),
        title=title if row.get("sectionName") else f"{title}, section {identifier}",
        school=str(reference["schoolId"]),
        course=offered.get("course"),
        terms=(keys.session(reference),),
        code=identifier,
        periods=tuple(one["classPeriodReference"]["classPeriodName"] for one in row.get("classPeriods") or ()),
    )


def offering(row: Row) -> dict[str, Any]:
    """What a section needs to know of its course offering."""
    return {"title": row.get("localCourseTitle"), "course": keys.course(row["courseReference"])}


def student_seat(row: Row, later: int) -> Enrollment:
    """A student's time in a section."""
    return _seat("student", "student", row, later)


def staff_seat(row: Row, later: int) -> Enrollment:
    """A teacher's time in a section."""
    seat = _seat("staff", "teacher", row, later)
    is_main = keys.code_value(row.get("classroomPositionDescriptor", "")).casefold() == "teacher of record"
    return replace(seat, primary=is_main)


def _seat(kind: keys.Kind, role: str, row: Row, later: int) -> Enrollment:
    reference = row["sectionReference"]
    person = row[f"{kind}Reference"][f"{kind}UniqueId"]
    ends = row.get("endDate")
    return Enrollment(
        sourced_id=keys.seat(kind, {**reference, f"{kind}UniqueId": person, "beginDate": row["beginDate"]}),
        user=keys.person(kind, person),
        class_=keys.section(reference),
        role=role,
        school=str(reference["schoolId"]),
        begins_on=day(row["beginDate"]),
        ends_on=day(ends) + timedelta(days=later) if ends else None,
    )


def deleted_seat(kind: keys.Kind, key: Row) -> Enrollment:
    """The end of an association that was deleted or whose key changed; `key` holds the values of the old key."""
    return Enrollment(
        sourced_id=keys.seat(kind, key),
        user=keys.person(kind, key[f"{kind}UniqueId"]),
        class_=keys.section(key),
        role="student" if kind == "student" else "teacher",
        begins_on=day(key["beginDate"]),
        status="tobedeleted",
    )


@dataclass(slots=True, kw_only=True)
class People:
    """What hangs on people in resources of its own, gathered before they are read; `today` is the district's day."""

    today: date
    roles: dict[str, list[UserRole]] = field(default_factory=dict)
    grades: dict[str, str] = field(default_factory=dict)
    agents: dict[str, list[str]] = field(default_factory=dict)
    emails: dict[str, str] = field(default_factory=dict)

    def at_school(self, row: Row, later: int) -> None:
        """Take a student's time at a school."""
        person = keys.person("student", row["studentReference"]["studentUniqueId"])
        ends = row.get("exitWithdrawDate")
        role = UserRole(
            role="student",
            org=str(row["schoolReference"]["schoolId"]),
            primary=row.get("primarySchool") is not False,
            begins_on=day(row["entryDate"]),
            ends_on=day(ends) + timedelta(days=later) if ends else None,
        )
        is_kept = self._role(person, role)
        grade = keys.code_value(row.get("entryGradeLevelDescriptor", ""))
        if grade and is_kept and (role.ends_on is None or role.ends_on > self.today):
            self.grades[person] = GRADES.get(grade, grade)

    def works_at(self, row: Row) -> None:
        """Take a teacher's school."""
        person = keys.person("staff", row["staffReference"]["staffUniqueId"])
        self._role(person, UserRole(role="teacher", org=str(row["schoolReference"]["schoolId"])))

    def teaches(self, row: Row, later: int) -> None:
        """Take the school of a class that somebody teaches now or will: not every ODS keeps where its staff work."""
        seat = staff_seat(row, later)
        if seat.school and (seat.ends_on is None or seat.ends_on > self.today):
            self._role(seat.user, UserRole(role="teacher", org=seat.school))

    def cares_for(self, row: Row) -> None:
        """Take a student's contact, where the contact is a legal guardian or lives with the student."""
        if row.get("legalGuardian") is False and not row.get("livesWith"):
            return
        student = keys.person("student", row["studentReference"]["studentUniqueId"])
        reference = row["contactReference" if "contactReference" in row else "parentReference"]
        contact = keys.person("contact", _unique_id("contact", reference))
        self.agents.setdefault(student, []).append(contact)
        for role in self.roles.get(student, ()):
            self._role(contact, UserRole(role="guardian", org=role.org, primary=role.primary))

    def is_reached_at(self, row: Row) -> None:
        """Take a student's e-mail address."""
        address = _first(row.get("electronicMails"), "electronicMailAddress")
        if address:
            self.emails[keys.person("student", row["studentReference"]["studentUniqueId"])] = address

    def _role(self, person: str, role: UserRole) -> bool:
        """Keep one role per school: the one that holds today, else the next to come, else the last. Says if it is."""
        held = self.roles.setdefault(person, [])
        same = next((one for one in held if (one.role, one.org) == (role.role, role.org)), None)
        if same is None:
            held.append(role)
            return True
        if role.nearness(self.today) <= same.nearness(self.today):
            return False
        held[held.index(same)] = role
        return True

    def user(self, kind: keys.Kind, row: Row) -> User:
        """A person with all that is known of them."""
        unique_id = _unique_id(kind, row)
        sourced_id = keys.person(kind, unique_id)
        born = row.get("birthDate") if kind == "student" and is_day(row.get("birthDate")) else None
        is_silent = kind == "student" and not born  # a profile may keep birth dates from us
        grade = self.grades.get(sourced_id)
        return User(
            sourced_id=sourced_id,
            given_name=row["firstName"],
            family_name=row["lastSurname"],
            middle_name=row.get("middleName"),
            preferred_given_name=row.get("preferredFirstName"),
            preferred_family_name=row.get("preferredLastSurname"),
            roles=tuple(self.roles.get(sourced_id, ())),
            agents=tuple(self.agents.get(sourced_id, ())),
            grades=(grade,) if grade else (),
            identifier=str(unique_id) if kind != "contact" else None,
            email=self.emails.get(sourced_id) or _first(row.get("electronicMails"), "electronicMailAddress"),
            sms=_first([one for one in row.get("telephones") or () if one.get("textMessageCapabilityIndicator")]),
            phone=_first(row.get("telephones")),
            birth_date=day(born) if born else None,
            only=_BUT_BIRTHS if is_silent else None,
        )


_YEARS = range(1900, 2150)
_BUT_BIRTHS = tuple(name for name in facts_of(User) if name != "birth_date")


def _unique_id(kind: keys.Kind, row: Row) -> Any:
    """A person's unique id; contacts were called parents up to data standard 4."""
    is_parent = kind == "contact" and "contactUniqueId" not in row
    return row["parentUniqueId" if is_parent else f"{kind}UniqueId"]


def day(text: str) -> date:
    """A date of Ed-Fi's: ISO, in some servers with a time behind it."""
    return date.fromisoformat(text[:10])


def is_day(text: str | None) -> bool:
    """Whether a date, where there is one, can be read and lies in a possible year."""
    try:
        return not text or day(text).year in _YEARS
    except (TypeError, ValueError):
        return False


def _first(rows: Iterable[Row] | None, name: str = "telephoneNumber") -> str | None:
    return next((str(row[name]) for row in rows or () if row.get(name)), None)
