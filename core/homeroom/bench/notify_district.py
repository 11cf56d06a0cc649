"""The district of `homeroom bench notify`: who is marked how on its morning, and who must then be told.

Everything comes from numbers, so each process that takes part makes the same plan, and can count what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from homeroom.store import Connection
from homeroom.types import Status

CHANNELS = ("sms", "email")
_SEATS = 30
_ABSENT = 20  # of a class: a bad morning
_CLASSES = 20  # of a school
_LANGUAGES = (None, "es", "es", "zh", "vi", "ar", None, None, None, None)
_FIRST = "en"
_FOUND = "SELECT student_id, recipient_id, kind, state, channel, language, reason FROM notifications"

Told = tuple[str, str | None, str, str | None]
"""What there must be of a message: its kind, channel, language, and why it is withheld, if it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardian:
    """One guardian of one student. `silent` are the channels on which they want nothing, `wishes` those they prefer."""

    id: str
    number: int
    language: str | None
    wishes: tuple[str, ...]
    silent: tuple[str, ...]
    blocked: bool

    def addresses(self) -> Iterator[tuple[str, str]]:
        """One of each kind, as a SIS would write it."""
        yield "sms", f"(212) {self.number // 10_000:03}-{self.number % 10_000:04}"
        yield "email", f"{self.id}@families.example"

    @property
    def channel(self) -> str | None:
        """The first on which they may be told; None when they may not."""
        ways = [channel for channel in self.wishes or CHANNELS if channel not in self.silent]
        return ways[0] if ways and not self.blocked else None

    @property
    def refused(self) -> str | None:
        """Why they are not told."""
        if self.channel is not None:
            return None
        return "blocked" if self.blocked else "opted_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """A student, and how they are marked on this morning."""

    id: str
    status: Status
    guardians: list[Guardian]


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """A homeroom."""

    id: str
    school_id: str
    students: list[Student]


def classes(absences: int) -> list[Class]:
    """Classes of 30 with so many absent students in all; one more of each class is tardy."""
    found: list[Class] = []
    guardians = 0
    for number in range(-(-absences // _ABSENT)):
        left = min(_ABSENT, absences - number * _ABSENT)
        students: list[Student] = []
        for seat in range(_SEATS):
            student = number * _SEATS + seat
            status: Status = "tardy" if seat == _SEATS - 1 else "present"
            if left and seat % 3 != 2:  # noqa: PLR2004 - two of three
                status, left = "absent", left - 1
            mine = [_guardian(guardians + n) for n in range(2 if student % 3 == 0 else 1)]
            guardians += len(mine)
            students.append(Student(id=f"k{student:06d}", status=status, guardians=mine))
        found.append(Class(id=f"h{number:05d}", school_id=f"bs{number // _CLASSES:03d}", students=students))
    return found


@dataclass(slots=True, kw_only=True)
class Difference:
    """What is not as it must be: messages that are not there, are there once more, or are others than they must be."""

    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)


def compare(connection: Connection, some: Sequence[Class]) -> Difference:
    """The messages of the outbox beside those that there must be when these classes were marked."""
    expected = {
        (student.id, guardian.id): _told(student, guardian)
        for one in some
        for student in one.students
        if student.status != "present"
        for guardian in student.guardians
    }
    found = Difference()
    seen: set[tuple[str, str]] = set()
    for student_id, guardian_id, kind, state, channel, language, reason in connection.sql(_FOUND):
        key = (student_id, guardian_id)
        told = (kind, channel, language, reason if state == "withheld" else None)
        if key in seen:
            found.doubled += 1
        elif key not in expected:
            found.wrong.append(f"a message that must not be: {kind}, {state}")
        elif told != expected[key]:
            found.wrong.append(f"a message that is {told} in place of {expected[key]}")
        seen.add(key)
    found.lost = len(expected.keys() - seen)
    return found


def to_send(some: Sequence[Class]) -> int:
    """How many messages leave when these classes were marked."""
    return sum(
        guardian.channel is not None
        for one in some
        for student in one.students
        if student.status != "present"
        for guardian in student.guardians
    )


def _guardian(number: int) -> Guardian:
    silent: tuple[str, ...] = ("sms",) if number % 17 == 0 else ()
    return Guardian(
        id=f"g{number:06d}",
        number=number,
        language=_LANGUAGES[number % len(_LANGUAGES)],
        wishes=("email", "sms") if number % 4 == 0 else (),
        silent=CHANNELS if number % 31 == 0 else silent,
        blocked=number % 37 == 5,  # noqa: PLR2004 - any will do
    )


def _told(student: Student, guardian: Guardian) -> Told:
    kind = "absence" if student.status == "absent" else "tardy"
    return kind, guardian.channel, guardian.language or _FIRST, guardian.refused
