"""A synthetic district as a OneRoster CSV bundle of any size: the same arguments always give the same bytes.

    summary = write_bundle(Path("bundle.zip"), students=500, zipped=True)

Schools with grades and A/B sections, homerooms and subjects, co-teachers, students of two schools, siblings, guardians
of two families, and names in many scripts. Nobody in it is real: addresses end in example.org, numbers in 555-01xx.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Literal, Protocol

from homeroom.testing.names import PREFERRED, name

Version = Literal["1.1", "1.2"]

SCHOOL = 600  # students of a school, about
SECTION = 25  # students of a section
_UNDER_WAY = timedelta(days=290)  # a school year has 300
DISTRICT = "district"
YEAR = "year"
TERMS = ("term-1", "term-2")
SUBJECTS = ("Mathematics", "Language Arts", "Science", "Social Studies", "Art and Music")

_BANDS = (
    ("Elementary School", ("KG", "01", "02", "03", "04", "05")),
    ("Middle School", ("06", "07", "08")),
    ("High School", ("09", "10", "11", "12")),
)
_PLACES = ("Cedar", "Maple", "Riverside", "Lincoln", "Sunnyvale", "Oak Hill", "Harbor", "Prairie", "Douglass", "Chávez")
_BASE = ("sourcedId", "status", "dateLastModified")
_COLUMNS: dict[str, tuple[str, ...]] = {
    "orgs": (*_BASE, "name", "type", "identifier", "parentSourcedId"),
    "academicSessions": (*_BASE, "title", "type", "startDate", "endDate", "parentSourcedId", "schoolYear"),
    "courses": (
        *_BASE,
        *("schoolYearSourcedId", "title", "courseCode", "grades", "orgSourcedId", "subjects", "subjectCodes"),
    ),
    "classes": (
        *_BASE,
        *("title", "grades", "courseSourcedId", "classCode", "classType", "location", "schoolSourcedId"),
        *("termSourcedIds", "subjects", "subjectCodes", "periods"),
    ),
    "demographics": (*_BASE, "birthDate", "sex"),
    "enrollments": (
        *_BASE,
        *("classSourcedId", "schoolSourcedId", "userSourcedId", "role", "primary", "beginDate", "endDate"),
    ),
    "roles": (
        *_BASE,
        *("userSourcedId", "roleType", "role", "beginDate", "endDate", "orgSourcedId", "userProfileSourcedId"),
    ),
}
_USERS: dict[Version, tuple[str, ...]] = {
    "1.1": (
        *_BASE,
        *("enabledUser", "orgSourcedIds", "role", "username", "userIds", "givenName", "familyName", "middleName"),
        *("identifier", "email", "sms", "phone", "agentSourcedIds", "grades", "password"),
    ),
    "1.2": (
        *_BASE,
        *("enabledUser", "username", "userIds", "givenName", "familyName", "middleName", "identifier", "email", "sms"),
        *("phone", "agentSourcedIds", "grades", "password", "userMasterIdentifier", "resourceSourcedIds"),
        *("preferredGivenName", "preferredMiddleName", "preferredFamilyName", "primaryOrgSourcedId", "pronouns"),
    ),
}
_ALL_FILES = (
    *("academicSessions", "categories", "classes", "classResources", "courses", "courseResources", "demographics"),
    *("enrollments", "lineItems", "orgs", "resources", "results", "roles", "users"),
)


def first_school_day(today: date) -> date:
    """A `starts_on` of a school year that is under way on `today`, wherever on earth that day is meant."""
    august = date(today.year, 8, 17)
    if today <= august:
        august = date(today.year - 1, 8, 17)
    return august if today < august + _UNDER_WAY else date(today.year, 5, 1)


@dataclass(slots=True, kw_only=True)
class DistrictSummary:
    """How much of what the bundle holds, for tests to compare with."""

    schools: int = 0
    students: int = 0
    teachers: int = 0
    guardians: int = 0
    administrators: int = 0
    courses: int = 0
    classes: int = 0
    enrollments: int = 0

    @property
    def users(self) -> int:
        """Everybody."""
        return self.students + self.teachers + self.guardians + self.administrators


def write_bundle(
    path: Path,
    *,
    students: int,
    seed: int = 1,
    version: Version = "1.2",
    zipped: bool = False,
    starts_on: date = date(2026, 8, 17),
) -> DistrictSummary:
    """Write the bundle to the folder (or zip file) `path` and tell what is in it.

    The school year lasts 300 days from `starts_on`. Only one school at a time is held in memory.
    """
    if not zipped:
        path.mkdir(parents=True, exist_ok=True)
        return _write_folder(path, students, seed, version, starts_on)
    with tempfile.TemporaryDirectory() as folder:
        summary = _write_folder(Path(folder), students, seed, version, starts_on)
        _zip(Path(folder), path)
    return summary


class Rows(Protocol):
    """Takes the rows of a district as they are made."""

    def row(self, file: str, sourced_id: str, **values: str) -> None:
        """One row of `file` (a OneRoster CSV's name), by its columns' names."""
        ...

    def user(self, sourced_id: str, role: str, orgs: Sequence[str], **values: str) -> None:
        """One person with one role at `orgs`."""
        ...


def write_rows(rows: Rows, random: Random, starts_on: date, students: int) -> DistrictSummary:
    """Make the district row by row and tell what was in it."""
    return _District(rows, random, starts_on).write(students)


class _Writer(Protocol):
    def writerow(self, row: Sequence[str]) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """The CSV files that are being written."""

    version: Version
    writers: dict[str, _Writer]
    columns: dict[str, tuple[str, ...]]

    def row(self, file: str, sourced_id: str, **values: str) -> None:
        """Write one row; columns without a value stay empty."""
        values["sourcedId"] = sourced_id
        self.writers[file].writerow([values.get(column, "") for column in self.columns[file]])

    def user(self, sourced_id: str, role: str, orgs: Sequence[str], **values: str) -> None:
        """Write one person, with the roles where this version of OneRoster has them."""
        values |= {"enabledUser": "true", "username": sourced_id}
        if self.version == "1.1":
            role = "administrator" if role == "principal" else role
            self.row("users", sourced_id, role=role, orgSourcedIds=",".join(orgs), **values)
            return
        self.row("users", sourced_id, primaryOrgSourcedId=orgs[0], **values)
        for position, org in enumerate(orgs):
            self.row(
                "roles",
                f"{sourced_id}-r{position}",
                userSourcedId=sourced_id,
                roleType="secondary" if position else "primary",
                role=role,
                orgSourcedId=org,
            )


@dataclass(slots=True, kw_only=True)
class _School:
    """One school while it is written. `guest_class` is where students of the next school also go."""

    id: str
    grades: tuple[str, ...]
    size: int
    guest_class: str | None = None
    family: tuple[str, ...] = ()
    older_guardians: list[str] = field(default_factory=list)


def _write_folder(path: Path, students: int, seed: int, version: Version, starts_on: date) -> DistrictSummary:
    columns = {**_COLUMNS, "users": _USERS[version]}
    if version == "1.1":
        del columns["roles"]
    with ExitStack() as stack:
        writers = {}
        for file, header in columns.items():
            opened = stack.enter_context((path / f"{file}.csv").open("w", encoding="utf-8", newline=""))
            writers[file] = csv.writer(opened)
            writers[file].writerow(header)
        _manifest(path, version, columns)
        files = _Files(version=version, writers=dict(writers), columns=columns)
        return write_rows(files, Random(seed), starts_on, students)  # noqa: S311 - repeatable on purpose


class _District:
    """Writes one school after the other."""

    def __init__(self, files: Rows, random: Random, starts_on: date) -> None:
        self.files = files
        self.random = random
        self.starts_on = starts_on
        self.summary = DistrictSummary()

    def write(self, students: int) -> DistrictSummary:
        """Write everything."""
        self._frame()
        before: _School | None = None
        left = students
        count = max(1 if students < 2 * SECTION else 2, round(students / SCHOOL))
        for number in range(count):
            kind, grades = _BANDS[number % len(_BANDS)]
            school = _School(id=f"school-{number + 1}", grades=grades, size=left // (count - number))
            left -= school.size
            title = f"{_PLACES[number % len(_PLACES)]} {kind}" + (f" {number // 30 + 1}" if number >= 30 else "")  # noqa: PLR2004 - 10 places, 3 kinds
            self.files.row(
                "orgs", school.id, name=title, type="school", identifier=f"{1000 + number}", parentSourcedId=DISTRICT
            )
            self._staff(f"principal-{number + 1}", "principal", school.id)
            self._write_school(school, before)
            self.summary.schools += 1
            before = school
        return self.summary

    def _frame(self) -> None:
        """The district, its school year and two terms."""
        ends_on = self.starts_on + timedelta(days=300)
        middle = self.starts_on + timedelta(days=150)
        year = str(ends_on.year)
        self.files.row("orgs", DISTRICT, name="Sample Valley Unified", type="district", identifier="0001")
        sessions = (
            (YEAR, f"School year {year}", "schoolYear", self.starts_on, ends_on, ""),
            (TERMS[0], "Fall", "term", self.starts_on, middle, YEAR),
            (TERMS[1], "Spring", "term", middle, ends_on, YEAR),
        )
        for sourced_id, title, kind, begin, end, parent in sessions:
            self.files.row(
                "academicSessions",
                sourced_id,
                title=title,
                type=kind,
                startDate=begin.isoformat(),
                endDate=end.isoformat(),
                parentSourcedId=parent,
                schoolYear=year,
            )
        self._staff("superintendent", "administrator", DISTRICT)

    def _staff(self, sourced_id: str, role: str, org: str) -> None:
        given, family = name(self.random)
        self.files.user(sourced_id, role, [org], givenName=given, familyName=family, email=f"{sourced_id}@example.org")
        if role == "teacher":
            self.summary.teachers += 1
        else:
            self.summary.administrators += 1

    def _write_school(self, school: _School, before: _School | None) -> None:
        number = 0
        for position, grade in enumerate(school.grades):
            in_grade = school.size // len(school.grades) + (position < school.size % len(school.grades))
            sections = max(1, -(-in_grade // SECTION)) if in_grade else 0
            for subject in ("Homeroom", *SUBJECTS) if sections else ():
                self._course(school, grade, subject)
            for section in range(sections):
                letter = _letters(section)
                classes = self._classes(school, grade, letter)
                size = in_grade // sections + (section < in_grade % sections)
                for _ in range(size):
                    number += 1
                    self._student(school, grade, number, classes, before)

    def _course(self, school: _School, grade: str, subject: str) -> None:
        sourced_id = f"{school.id}-{grade}-{subject}".replace(" ", "-").lower()
        self.files.row(
            "courses",
            sourced_id,
            schoolYearSourcedId=YEAR,
            title=f"{subject} {grade}",
            courseCode=f"{subject[:3].upper()}{grade}",
            grades=grade,
            orgSourcedId=school.id,
        )
        self.summary.courses += 1

    def _classes(self, school: _School, grade: str, letter: str) -> list[str]:
        """The homeroom and the subjects of one section, with their teachers; subjects meet on A or B days."""
        made = []
        for position, subject in enumerate(("Homeroom", *SUBJECTS)):
            course = f"{school.id}-{grade}-{subject}".replace(" ", "-").lower()
            sourced_id = f"{course}-{letter}".lower()
            self.files.row(
                "classes",
                sourced_id,
                title=f"{subject} {grade}, section {letter}",
                grades=grade,
                courseSourcedId=course,
                classCode=f"{grade}{letter}-{position}",
                classType="homeroom" if position == 0 else "scheduled",
                schoolSourcedId=school.id,
                termSourcedIds=",".join(TERMS),
                subjects="" if position == 0 else subject,
                periods="HR" if position == 0 else f"{'AB'[position % 2]}{position}",
            )
            self.summary.classes += 1
            made.append(sourced_id)
        teacher = f"{school.id}-t-{grade}{letter}".lower()
        self._staff(teacher, "teacher", school.id)
        for sourced_id in made:
            self._enroll(sourced_id, school.id, teacher, "teacher", primary=True)
        if self.random.random() < 0.2:  # noqa: PLR2004 - one section in five has a co-teacher
            self._staff(f"{teacher}-co", "teacher", school.id)
            self._enroll(made[0], school.id, f"{teacher}-co", "teacher", primary=False)
        if school.guest_class is None:
            school.guest_class = made[-1]
        return made

    def _student(
        self, school: _School, grade: str, number: int, classes: Sequence[str], before: _School | None
    ) -> None:
        sourced_id = f"{school.id}-s{number:05d}"
        given, family = name(self.random)
        is_guest = before is not None and before.guest_class is not None and self.random.random() < 0.01  # noqa: PLR2004 - one in a hundred
        orgs = [school.id, before.id] if is_guest and before is not None else [school.id]
        preferred = self.random.choice(PREFERRED) if self.random.random() < 0.1 else ""  # noqa: PLR2004 - one in ten
        self.files.user(
            sourced_id,
            "student",
            orgs,
            givenName=given,
            familyName=family,
            preferredGivenName=preferred,
            identifier=f"{school.id.removeprefix('school-')}{number:05d}",
            email=f"{sourced_id}@example.org",
            agentSourcedIds=",".join(self._guardians(school, sourced_id)),
            grades=grade,
        )
        age = 5 + ("KG", *(f"{n:02d}" for n in range(1, 13))).index(grade)
        born = date(self.starts_on.year - age, 1, 1) + timedelta(days=self.random.randrange(365))
        self.files.row("demographics", sourced_id, birthDate=born.isoformat())
        begins_on = self.starts_on + timedelta(days=30 if self.random.random() < 0.02 else 0)  # noqa: PLR2004 - some come later
        for class_id in classes:
            self._enroll(class_id, school.id, sourced_id, "student", begins_on=begins_on)
        if is_guest and before is not None and before.guest_class is not None:
            self._enroll(before.guest_class, before.id, sourced_id, "student", begins_on=begins_on)
        self.summary.students += 1

    def _guardians(self, school: _School, student: str) -> tuple[str, ...]:
        """The student's guardians: those of the student before (siblings), or new ones; some have two families."""
        if school.family and self.random.random() < 0.25:  # noqa: PLR2004 - one in four has a sibling at the school
            return school.family
        made = []
        for position in range(self.random.choice((1, 2, 2))):
            sourced_id = f"{student}-g{position + 1}"
            given, family = name(self.random)
            self.files.user(
                sourced_id,
                "guardian",
                [school.id],
                givenName=given,
                familyName=family,
                email=f"{sourced_id}@example.org",
                sms=f"+1202555{100 + self.random.randrange(100):04d}",
            )
            self.summary.guardians += 1
            made.append(sourced_id)
        if school.older_guardians and self.random.random() < 0.05:  # noqa: PLR2004 - one in twenty: two families
            made.append(self.random.choice(school.older_guardians))
        school.older_guardians = [*school.older_guardians[-20:], made[0]]
        school.family = tuple(made)
        return school.family

    def _enroll(
        self,
        class_id: str,
        school_id: str,
        user_id: str,
        role: str,
        *,
        primary: bool = False,
        begins_on: date | None = None,
    ) -> None:
        self.files.row(
            "enrollments",
            f"{class_id}:{user_id}",
            classSourcedId=class_id,
            schoolSourcedId=school_id,
            userSourcedId=user_id,
            role=role,
            primary=str(primary).lower() if role == "teacher" else "",
            beginDate=(begins_on or self.starts_on).isoformat(),
        )
        self.summary.enrollments += 1


def _letters(number: int) -> str:
    """The name of a section: A to Z, then AA, AB and so on."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def _manifest(path: Path, version: Version, columns: dict[str, tuple[str, ...]]) -> None:
    def properties() -> Iterator[tuple[str, str]]:
        yield "propertyName", "value"
        yield "manifest.version", "1.0"
        yield "oneroster.version", version
        for file in _ALL_FILES:
            if file != "roles" or version != "1.1":
                yield f"file.{file}", "bulk" if file in columns else "absent"
        yield "source.systemName", "Homeroom synthetic district"

    with (path / "manifest.csv").open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows(properties())


def _zip(folder: Path, target: Path) -> None:
    """Pack with a fixed time stamp, so that the same content gives the same archive."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(path.name, (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as packed:
                shutil.copyfileobj(source, packed)
