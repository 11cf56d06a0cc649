"""A student information system held in memory, for tests of the sync engine: what it holds and how it fails is set."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from homeroom.records import (
    NOUNS,
    AcademicSession,
    Class,
    Course,
    Enrollment,
    Noun,
    Org,
    OutgoingMark,
    Page,
    Pull,
    Pushed,
    Record,
    RowError,
    User,
)
from homeroom.store import Connection
from homeroom.store.models import Journal
from homeroom.types import Finding


@dataclass
class ScriptedSis:
    """`failures` are raised one by one, each before the page whose number it names.

    `attendance` is what it holds, by student, class (with `meetings`: period) and day, and `pushed` what it was asked
    to write; `before_push` and `after_push` are raised one by one before and after a push was carried out; `refused`
    has answers by student. After `gives_up` answers in a row that tell of another try it tries none of the others.
    """

    records: list[Record] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    page: int = 2
    delta: bool = False
    whole: bool = False
    totals: dict[Noun, int] = field(default_factory=dict)
    failures: dict[tuple[Noun, int], list[BaseException]] = field(default_factory=dict)
    with_cursors: bool = True
    pulls: list[Pull] = field(default_factory=list)
    nouns: tuple[Noun, ...] = NOUNS
    attendance_out: Literal["api", "file", "none"] = "none"
    attendance_level: Literal["class", "day"] = "class"
    attendance: dict[tuple[str, str | None, str], str] = field(default_factory=dict)
    pushed: list[list[OutgoingMark]] = field(default_factory=list)
    writes: int = 0
    read_back: bool = True
    meetings: bool = False
    before_push: list[BaseException] = field(default_factory=list)
    after_push: list[BaseException] = field(default_factory=list)
    refused: dict[str, Pushed | BaseException] = field(default_factory=dict)
    gives_up: int | None = None

    async def check(self) -> Sequence[Finding]:
        return []

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        self.pushed.append(list(marks))
        if self.before_push:
            raise self.before_push.pop(0)
        answers: list[Pushed] = []
        for mark in marks:
            last = answers[-self.gives_up :] if self.gives_up else []
            if len(last) == self.gives_up and all(one.retry for one in last):
                answers.append(replace(last[-1], key=mark.key, tried=False))
            else:
                answers.append(self._write(mark))
        if self.after_push:
            raise self.after_push.pop(0)
        return answers

    def _write(self, mark: OutgoingMark) -> Pushed:
        refused = self.refused.get(mark.student)
        if isinstance(refused, BaseException):
            raise refused
        if refused is not None:
            return replace(refused, key=mark.key)
        meeting = mark.periods[0] if self.meetings else mark.class_
        place = (mark.student, meeting, mark.school_day.isoformat())
        before, wanted = self.attendance.get(place), mark.code or mark.status
        if before not in (wanted, mark.held) and not mark.overwrite:
            return Pushed(key=mark.key, differs=True, held=before)
        if wanted is None:
            self.attendance.pop(place, None)
        else:
            self.attendance[place] = wanted
        self.writes += before != wanted
        return Pushed(key=mark.key, read_back=self.read_back, held=wanted, before=before)

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        self.pulls.append(pull)
        rows = [record for record in self.records if record.noun == pull.noun]
        errors = [error for error in self.errors if error.noun == pull.noun]
        start = int(pull.cursor or 0)
        for number, first in enumerate(range(0, max(len(rows), 1), self.page)):
            if first < start:
                continue
            failing = self.failures.get((pull.noun, number))
            if failing:
                raise failing.pop(0)
            yield Page(
                records=rows[first : first + self.page],
                errors=errors if first == 0 else (),
                cursor=str(first + self.page) if self.with_cursors else None,
                total=self.totals.get(pull.noun),
                delta=self.delta,
                whole=self.whole,
            )


SCHOOL = Org(sourced_id="s1", name="Cedar", kind="school", parent="d")
BIOLOGY = Class(sourced_id="bio", title="Biology", school="s1", course="c1", terms=("t1",))


def small_district(students: Sequence[str] = ("ana", "ben", "cem")) -> list[Record]:
    """One school, one class with a teacher, and `students`, in an order in which names come before what they name."""
    from datetime import date

    return [
        SCHOOL,
        Org(sourced_id="d", name="District", kind="district"),
        AcademicSession(
            sourced_id="t1", title="Fall", kind="term", begins_on=date(2026, 8, 1), ends_on=date(2027, 1, 1), parent="y"
        ),
        AcademicSession(
            sourced_id="y", title="Year", kind="schoolYear", begins_on=date(2026, 8, 1), ends_on=date(2027, 6, 1)
        ),
        Course(sourced_id="c1", title="Biology", code="BIO", org="s1"),
        BIOLOGY,
        person("tia", "teacher"),
        *(person(one, "student", agents=("gus",), email=f"{one}@example.org") for one in students),
        person("gus", "parent"),
        Enrollment(sourced_id="e-tia", user="tia", class_="bio", role="teacher", primary=True),
        *(Enrollment(sourced_id=f"e-{one}", user=one, class_="bio", role="student") for one in students),
    ]


def person(sourced_id: str, *roles: str, **more: Any) -> User:
    """Somebody with these roles at the school."""
    from homeroom.records import UserRole

    held = tuple(UserRole(role=role, org="s1") for role in roles)
    return User(
        **{
            "sourced_id": sourced_id,
            "given_name": sourced_id.title(),
            "family_name": "Ruiz",
            "roles": held,
            **more,
        }
    )


ROSTER = (
    "orgs",
    "academic_sessions",
    "courses",
    "classes",
    "class_terms",
    "users",
    "role_assignments",
    "contacts",
    "guardianships",
    "enrollments",
)


def everything(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the roster and of what is remembered of the source, to tell whether anything changed at all."""
    tables = (*ROSTER, "source_states", "person_keys", "journal")
    return {table: sorted(connection.sql(f"SELECT * FROM {table}"), key=str) for table in tables}  # noqa: S608


def journal(connection: Connection, after: int = 0) -> list[Journal]:
    """The entries after one, in order."""
    return connection.all(Journal.select().where(Journal.id > after).order_by(Journal.id))
