"""The sample district as PowerSchool would number it: every DCID a function of what it names, every ID another's DCID.

Each list is kept in the order of its DCIDs, so that a page is found by bisection. What a test changes (who has left,
who was dropped, which codes a school has) are plain dicts and lists.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

from homeroom import AcademicSession, Class, Course, Enrollment, Org, User
from homeroom.testing import SampleDistrict

FIRST_YEAR = 1990
OFFICE = 0
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRow:
    """One attendance code of one school and year."""

    id: int
    school: int
    year: int
    letters: str
    title: str
    presence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Somebody's place with one student: `person` is a sample id."""

    person: str
    begins: date | None = None
    ends: date | None = None
    custodial: bool = True
    data_access: bool = True
    lives_with: bool = True
    pickup: bool = True

    def token(self, number: int) -> str:
        """As the plugin's queries join it."""
        days = (day.isoformat() if day else "" for day in (self.begins, self.ends))
        flags = (self.custodial, self.data_access, self.lives_with, self.pickup)
        return ":".join((str(number), *days, *(str(int(flag)) for flag in flags)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TermRow:
    """One term of one school; `last_day` is in it."""

    dcid: int
    id: int
    school: Org
    year: int
    name: str
    begins: date
    last_day: date
    portion: int


class Numbered:
    """Records in the order of their DCIDs. `ids[i]` is the ID of record i: the DCID of the one after it."""

    def __init__(self, kind: str, names: Iterable[str]) -> None:
        taken: dict[int, str] = {}
        for name in names:
            dcid = _dcid(kind, name)
            while dcid in taken:
                dcid += 1
            taken[dcid] = name
        self.dcids = sorted(taken)
        self.names = [taken[dcid] for dcid in self.dcids]
        self.ids = [*self.dcids[1:], *self.dcids[:1]] if len(self.dcids) > 1 else [dcid + 1 for dcid in self.dcids]

    def __len__(self) -> int:
        return len(self.dcids)

    @cached_property
    def place(self) -> dict[str, int]:
        """Where each record stands, by its sample id."""
        return {name: position for position, name in enumerate(self.names)}

    def dcid(self, name: str) -> int:
        """The DCID of a record by its sample id."""
        return self.dcids[self.place[name]]

    def id(self, name: str) -> int:
        """The ID of a record by its sample id."""
        return self.ids[self.place[name]]

    def at(self, dcid: int) -> int | None:
        """Where the record with this DCID stands, None where there is none."""
        position = bisect_left(self.dcids, dcid)
        return position if position < len(self.dcids) and self.dcids[position] == dcid else None

    @cached_property
    def by_id(self) -> dict[int, int]:
        """Where each record stands, by its ID."""
        return {number: position for position, number in enumerate(self.ids)}


@dataclass
class World:
    """Everything the routes serve. What has a default, and `codes`, may be changed by a test; contacts by `relate`."""

    district: SampleDistrict
    status: dict[str, int] = field(default_factory=dict)  # ENROLL_STATUS by student, where it is not 0
    dropped: set[str] = field(default_factory=set)  # enrolments with a negative section
    left: dict[str, date] = field(default_factory=dict)  # DATELEFT by enrolment, where it is not the year's end
    holidays: set[date] = field(default_factory=set)
    meets: dict[str, str] = field(default_factory=dict)  # cycle days by class, where they are not A and B

    def __post_init__(self) -> None:
        district = self.district
        self.org = next(org for org in district.orgs if org.kind == "district")
        self.users: dict[str, User] = {user.sourced_id: user for user in district.users}
        self.courses_by_name: dict[str, Course] = {one.sourced_id: one for one in district.courses}
        self.classes_by_name: dict[str, Class] = {one.sourced_id: one for one in district.classes}
        self.schools = Numbered("school", (org.sourced_id for org in district.schools))
        self.school_by_name: dict[str, Org] = {org.sourced_id: org for org in district.schools}
        self.courses = Numbered("course", (one.sourced_id for one in district.courses))
        self.sections = Numbered("section", (one.sourced_id for one in district.classes))
        kinds: dict[str, list[str]] = defaultdict(list)
        for user in district.users:
            kinds[_kind(user)].append(user.sourced_id)
        self.students = Numbered("student", kinds["student"])
        self.staff = Numbered("staff", kinds["staff"])
        self.contacts = Numbered("contact", kinds["guardian"])
        self.places = Numbered("place", (f"{one}@{org}" for one in kinds["staff"] for org in self.orgs_of(one)))
        self.enrolled: dict[str, Enrollment] = {}
        self.teaching: dict[str, Enrollment] = {}
        for one in district.enrollments:
            (self.enrolled if one.role == "student" else self.teaching)[one.sourced_id] = one
        self.cc = Numbered("cc", self.enrolled)
        self.teachers = Numbered("teaching", self.teaching)
        self.terms = _terms(district, self.schools)
        self.year = max(term.year for term in self.terms)
        self.first_day = min(term.begins for term in self.terms if term.year == self.year)
        self.last_day = max(term.last_day for term in self.terms if term.year == self.year)
        self.codes = {code.id: code for name in self.schools.names for code in self._codes(name)}
        self.relations: dict[str, list[Relation]] = {
            name: [Relation(person=agent) for agent in self.users[name].agents] for name in kinds["student"]
        }

    def number(self, school: str) -> int:
        """SCHOOL_NUMBER of a school by its sample id, 0 for the district office."""
        org = self.school_by_name.get(school)
        return int(org.identifier or 0) if org else OFFICE

    def school_numbered(self, number: int) -> str | None:
        """The sample id of the school with this number."""
        return next((name for name in self.schools.names if self.number(name) == number), None)

    def orgs_of(self, person: str) -> list[str]:
        """Where somebody has a role, the first one first."""
        return [role.org for role in self.users[person].roles]

    @cached_property
    def cc_of_student(self) -> dict[str, list[int]]:
        """Where the enrolments of each student stand."""
        return _grouped(self.cc.names, lambda name: self.enrolled[name].user)

    @cached_property
    def cc_of_class(self) -> dict[str, list[int]]:
        """Where the enrolments of each class stand."""
        return _grouped(self.cc.names, lambda name: self.enrolled[name].class_)

    @cached_property
    def students_of_school(self) -> dict[str, list[int]]:
        """Where the students of each school stand."""
        return _grouped(self.students.names, lambda name: self.orgs_of(name)[0])

    @cached_property
    def sections_of_school(self) -> dict[str, list[int]]:
        """Where the sections of each school stand."""
        return _grouped(self.sections.names, lambda name: self.classes_by_name[name].school)

    @cached_property
    def places_of_school(self) -> dict[str, list[int]]:
        """Where the staff's places at each school stand."""
        return _grouped(self.places.names, lambda name: name.partition("@")[2])

    @cached_property
    def courses_of_school(self) -> dict[str, list[int]]:
        """Where the courses of each school stand."""
        return _grouped(self.courses.names, lambda name: self.courses_by_name[name].org or "")

    @cached_property
    def lead_of(self) -> dict[str, str]:
        """The lead teacher of each class."""
        return {one.class_: one.user for one in self.teaching.values() if one.primary}

    def relate(self, student: str, relation: Relation) -> None:
        """Give a student one more contact."""
        self.relations[student].append(relation)
        self.__dict__.pop("students_of_contact", None)

    @cached_property
    def students_of_contact(self) -> dict[str, list[tuple[str, Relation]]]:
        """Whose contact somebody is."""
        found: dict[str, list[tuple[str, Relation]]] = defaultdict(list)
        for student, relations in self.relations.items():
            for relation in relations:
                found[relation.person].append((student, relation))
        return found

    def listed(self) -> Sequence[int]:
        """Where the students stand who are active or pre-registered."""
        if not self.status:
            return range(len(self.students))
        return [i for i, name in enumerate(self.students.names) if self.status.get(name, 0) in (0, -1)]

    def listed_cc(self) -> Sequence[int]:
        """Where the enrolments of those students stand."""
        if not self.status:
            return range(len(self.cc))
        return [i for i, name in enumerate(self.cc.names) if self.status.get(self.enrolled[name].user, 0) in (0, -1)]

    @cached_property
    def terms_of_school(self) -> dict[str, list[int]]:
        """Where the terms of each school stand."""
        return _grouped([str(i) for i in range(len(self.terms))], lambda i: self.terms[int(i)].school.sourced_id)

    @cached_property
    def year_terms(self) -> dict[str, TermRow]:
        """The current school year of each school."""
        return {one.school.sourced_id: one for one in self.terms if one.portion == 1 and one.year == self.year}

    def year_term(self, school: str) -> TermRow:
        """The current school year of a school."""
        return self.year_terms[school]

    def exit_date(self, enrollment: str) -> date:
        """DATELEFT: the day after the last one."""
        return self.left.get(enrollment, self.last_day + _DAY)

    def calendar_day(self, school: int, day: date) -> int | None:
        """CALENDAR_DAY.ID; None outside the school year."""
        if not self.first_day <= day <= self.last_day:
            return None
        return school * 1000 + (day - self.first_day).days + 1

    def day_of(self, calendar_day: int) -> tuple[int, date]:
        """The school number and day of a CALENDAR_DAY.ID."""
        school, days = divmod(calendar_day, 1000)
        return school, self.first_day + timedelta(days=days - 1)

    def cycle_letter(self, day: date) -> str:
        """A or B, in turn."""
        return "AB"[(day - self.first_day).days % 2]

    def in_session(self, day: date) -> bool:
        """Whether there is school. Weekends count: the demo runs on any day."""
        return day not in self.holidays

    def period_id(self, school: int, number: int) -> int:
        """PERIOD.ID of a period number."""
        return school * 100 + number + 50

    def period_of(self, class_: str) -> tuple[int, str]:
        """The period number and cycle days of a class: "B3" of the sample is period 3, and homeroom is 0."""
        named = next(iter(self.classes_by_name[class_].periods), "HR")
        digits = "".join(letter for letter in named if letter.isdecimal())
        return int(digits or 0), self.meets.get(class_, "AB")

    def expression(self, class_: str) -> str:
        """A section's expression: "3(A-B)"."""
        number, days = self.period_of(class_)
        return f"{number or 'HR'}({'-'.join(days)})"

    def times(self, number: int) -> tuple[int, int]:
        """When a period begins and ends, in seconds since midnight."""
        start = 8 * 3600 + number * 3600
        return start, start + 50 * 60

    def code(self, code_id: int) -> CodeRow | None:
        """An attendance code by its ID."""
        return self.codes.get(code_id)

    def _codes(self, school: str) -> list[CodeRow]:
        number = self.number(school)
        kinds = (
            ("", "Present", "Present"),
            ("A", "Absent", "Absent"),
            ("T", "Tardy", "Present"),
            ("E", "Excused", "Absent"),
            ("S", "School activity", "Present"),
        )
        return [
            CodeRow(
                id=number * 100 + (year - self.year + 1) * 20 + position,
                school=number,
                year=year,
                letters=letters,
                title=title,
                presence=presence,
            )
            for year in (self.year - 1, self.year)
            for position, (letters, title, presence) in enumerate(kinds)
        ]


def _dcid(kind: str, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{kind} {name}".encode(), digest_size=5).digest()) + 1


def _kind(user: User) -> str:
    roles = {role.role for role in user.roles}
    return "student" if "student" in roles else "guardian" if "guardian" in roles else "staff"


def _grouped(names: Sequence[str], key: Callable[[str], str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for position, name in enumerate(names):
        found[key(name)].append(position)
    return found


def _terms(district: SampleDistrict, schools: Numbered) -> list[TermRow]:
    """The sample's sessions at every school, and the school year before."""
    orgs = {org.sourced_id: org for org in district.schools}
    [year] = [one for one in district.academic_sessions if one.kind == "schoolYear"]
    number = year.begins_on.year - FIRST_YEAR
    rows = []
    for name in schools.names:
        for position, session in enumerate(district.academic_sessions):
            rows.append(_term(orgs[name], session, number, position, 1 if session is year else 2))
        rows.append(
            TermRow(
                dcid=_dcid("term", f"before {name}"),
                id=(number - 1) * 100,
                school=orgs[name],
                year=number - 1,
                name="The year before",
                begins=year.begins_on.replace(year=year.begins_on.year - 1),
                last_day=year.begins_on - timedelta(days=60),
                portion=1,
            )
        )
    return rows


def _term(school: Org, session: AcademicSession, year: int, position: int, portion: int) -> TermRow:
    return TermRow(
        dcid=_dcid("term", f"{session.sourced_id} {school.sourced_id}"),
        id=year * 100 + position,
        school=school,
        year=year,
        name=session.title,
        begins=session.begins_on,
        last_day=session.ends_on - _DAY,
        portion=portion,
    )
