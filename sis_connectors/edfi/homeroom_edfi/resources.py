"""A synthetic district as Ed-Fi's resources, with their natural keys."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from homeroom import Enrollment, User
from homeroom.testing.sample import SampleDistrict
from homeroom_edfi.reading import GRADES
from homeroom_edfi.settings import CATEGORIES

Row = dict[str, Any]

_LEA = 255901
_SESSION = "Full Year"
_NAMESPACE = "uri://ed-fi.org"

_GRADE_NAMES = {grade: name for name, grade in GRADES.items()}


def _descriptor(kind: str, value: str) -> str:
    return f"{_NAMESPACE}/{kind}Descriptor#{value}"


def _category(value: str) -> list[Row]:
    return [{"educationOrganizationCategoryDescriptor": _descriptor("EducationOrganizationCategory", value)}]


def _mail(address: str, kind: str) -> list[Row]:
    return [{"electronicMailAddress": address, "electronicMailTypeDescriptor": _descriptor("ElectronicMailType", kind)}]


class Resources:
    """The sample's records as Ed-Fi's resources."""

    def __init__(self, district: SampleDistrict) -> None:
        self.schools = {school.sourced_id: _LEA * 1000 + n for n, school in enumerate(district.schools, start=1)}
        self.unique = {user.sourced_id: user.identifier or user.sourced_id for user in district.users}
        self.samples = {unique.casefold(): sample for sample, unique in self.unique.items()}
        self.year = max(one.school_year or 0 for one in district.academic_sessions)
        self.sections = {
            one.sourced_id: self._section_key(one.sourced_id, one.school, one.course) for one in district.classes
        }
        self.section_keys = {tuple(map(str, key.values())) for key in self.sections.values()}
        self.rows: dict[str, list[Row]] = {
            "localEducationAgencies": [
                self._row(
                    {
                        "localEducationAgencyId": _LEA,
                        "nameOfInstitution": org.name,
                        "localEducationAgencyCategoryDescriptor": _descriptor(
                            "LocalEducationAgencyCategory", "Independent"
                        ),
                        "categories": _category("Local Education Agency"),
                    }
                )
                for org in district.orgs
                if org.kind == "district"
            ],
            "schools": [
                self._row(
                    {
                        "schoolId": self.schools[org.sourced_id],
                        "nameOfInstitution": org.name,
                        "localEducationAgencyReference": {"localEducationAgencyId": _LEA},
                        "educationOrganizationCategories": _category("School"),
                        "gradeLevels": [{"gradeLevelDescriptor": _descriptor("GradeLevel", "Kindergarten")}],
                    }
                )
                for org in district.schools
            ],
            "sessions": self._sessions(district),
            "courses": [
                self._row(
                    {
                        "courseCode": one.sourced_id,
                        "courseTitle": one.title,
                        "numberOfParts": 1,
                        "identificationCodes": [
                            {
                                "courseIdentificationSystemDescriptor": _descriptor(
                                    "CourseIdentificationSystem", "LEA course code"
                                ),
                                "identificationCode": one.code or one.sourced_id,
                            }
                        ],
                        "educationOrganizationReference": {"educationOrganizationId": self.schools[one.org or ""]},
                    }
                )
                for one in district.courses
            ],
            "courseOfferings": [self._offering(one.sourced_id, one.org or "", one.title) for one in district.courses],
            "sections": [self._section(one.sourced_id, one.periods, one.school) for one in district.classes],
            "attendanceEventCategoryDescriptors": [
                self._row({"namespace": f"{_NAMESPACE}/AttendanceEventCategoryDescriptor", "codeValue": name})
                for name in CATEGORIES.values()
            ],
        }
        self._people(district)
        self._seats(district)

    def _row(self, values: Row) -> Row:
        return {"id": uuid.uuid4().hex, **values}

    def _sessions(self, district: SampleDistrict) -> list[Row]:
        year = next(one for one in district.academic_sessions if one.kind == "schoolYear")
        return [
            self._row(
                {
                    "sessionName": _SESSION,
                    "schoolReference": {"schoolId": school},
                    "schoolYearTypeReference": {"schoolYear": self.year},
                    "beginDate": year.begins_on.isoformat(),
                    "endDate": (year.ends_on - timedelta(days=1)).isoformat(),
                    "termDescriptor": _descriptor("Term", "Year Round"),
                    "totalInstructionalDays": 180,
                }
            )
            for school in self.schools.values()
        ]

    def _section_key(self, sourced_id: str, school: str, course: str | None) -> Row:
        return {
            "schoolId": self.schools[school],
            "schoolYear": self.year,
            "sessionName": _SESSION,
            "localCourseCode": course or "",
            "sectionIdentifier": sourced_id,
        }

    def _offering(self, code: str, school: str, title: str) -> Row:
        number = self.schools[school]
        return self._row(
            {
                "localCourseCode": code,
                "localCourseTitle": title,
                "schoolReference": {"schoolId": number},
                "sessionReference": {"schoolId": number, "schoolYear": self.year, "sessionName": _SESSION},
                "courseReference": {"courseCode": code, "educationOrganizationId": number},
            }
        )

    def _section(self, sourced_id: str, periods: Sequence[str], school: str) -> Row:
        key = self.sections[sourced_id]
        offering = {name: value for name, value in key.items() if name != "sectionIdentifier"}
        number = self.schools[school]
        return self._row(
            {
                "sectionIdentifier": sourced_id,
                "courseOfferingReference": offering,
                "classPeriods": [
                    {"classPeriodReference": {"schoolId": number, "classPeriodName": one}} for one in periods
                ],
            }
        )

    def _people(self, district: SampleDistrict) -> None:
        for name in ("students", "staffs", "contacts", "studentSchoolAssociations", "staffSchoolAssociations"):
            self.rows[name] = []
        self.rows["studentContactAssociations"] = []
        self.rows["studentEducationOrganizationAssociations"] = []
        for user in district.users:
            role = user.roles[0].role
            if role == "student":
                self._student(user)
            elif role == "guardian":
                self.rows["contacts"].append(self._named("contactUniqueId", user, contact=True))
            else:
                self.rows["staffs"].append(self._named("staffUniqueId", user, contact=True))
                if role == "teacher":
                    self.rows["staffSchoolAssociations"] += [
                        self._row(
                            {
                                "schoolReference": {"schoolId": self.schools[held.org]},
                                "staffReference": {"staffUniqueId": self.unique[user.sourced_id]},
                                "programAssignmentDescriptor": _descriptor("ProgramAssignment", "Regular Education"),
                            }
                        )
                        for held in user.roles
                    ]

    def _named(self, key: str, user: User, *, contact: bool) -> Row:
        row = {key: self.unique[user.sourced_id], "firstName": user.given_name, "lastSurname": user.family_name}
        extra: Row = {"preferredFirstName": user.preferred_given_name} if user.preferred_given_name else {}
        if contact and user.email:
            extra["electronicMails"] = _mail(user.email, "Home/Personal")
        if contact and user.sms:
            extra["telephones"] = [
                {
                    "telephoneNumber": user.sms,
                    "telephoneNumberTypeDescriptor": _descriptor("TelephoneNumberType", "Mobile"),
                    "textMessageCapabilityIndicator": True,
                }
            ]
        return self._row({**row, **extra})

    def _student(self, user: User) -> None:
        unique = {"studentUniqueId": self.unique[user.sourced_id]}
        grade = _descriptor("GradeLevel", _GRADE_NAMES[user.grades[0]])
        born = {"birthDate": user.birth_date.isoformat() if user.birth_date else "2012-01-01"}
        self.rows["students"].append({**self._named("studentUniqueId", user, contact=False), **born})
        for held in user.roles:
            self.rows["studentSchoolAssociations"].append(
                self._row(
                    {
                        "entryDate": f"{self.year - 1}-08-17",
                        "entryGradeLevelDescriptor": grade,
                        "schoolReference": {"schoolId": self.schools[held.org]},
                        "studentReference": unique,
                        "primarySchool": held.primary,
                    }
                )
            )
        self.rows["studentContactAssociations"] += [
            self._row({"contactReference": {"contactUniqueId": self.unique[agent]}, "studentReference": unique})
            for agent in user.agents
        ]
        if user.email:
            self.rows["studentEducationOrganizationAssociations"].append(
                self._row(
                    {
                        "educationOrganizationReference": {"educationOrganizationId": _LEA},
                        "studentReference": unique,
                        "electronicMails": _mail(user.email, "Home/Personal"),
                    }
                )
            )

    def _seats(self, district: SampleDistrict) -> None:
        self.rows["studentSectionAssociations"] = []
        self.rows["staffSectionAssociations"] = []
        for one in district.enrollments:
            kind = "student" if one.role == "student" else "staff"
            self.rows[f"{kind}SectionAssociations"].append(self._seat(kind, one))

    def _seat(self, kind: str, one: Enrollment) -> Row:
        row: Row = {
            "beginDate": one.begins_on.isoformat() if one.begins_on else f"{self.year - 1}-08-17",
            "sectionReference": self.sections[one.class_],
            f"{kind}Reference": {f"{kind}UniqueId": self.unique[one.user]},
        }
        if kind == "staff":
            position = "Teacher of Record" if one.primary else "Assistant Teacher"
            row["classroomPositionDescriptor"] = _descriptor("ClassroomPosition", position)
        return self._row(row)
