"""What a SIS connector reads and writes: OneRoster 1.2's nouns, to which every other vendor is mapped.

`sourced_id` is the vendor's own id, unique per connector and noun. Begin dates are inclusive, end dates exclusive, as
in OneRoster 1.2 (rostering service, enrollment and academicSession). A record with `status` "tobedeleted" ends what it
names; it never deletes history.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from typing import ClassVar, Literal, Protocol, TypeAlias

from homeroom.types import Finding, Status

Noun = Literal["org", "academicSession", "course", "class", "user", "enrollment"]
"""In the order in which they refer to each other."""

NOUNS: tuple[Noun, ...] = ("org", "academicSession", "course", "class", "user", "enrollment")

RecordStatus = Literal["active", "tobedeleted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Org:
    """A district, school or part of one (`kind`: "district", "school", "department", …)."""

    noun: ClassVar[Noun] = "org"
    sourced_id: str
    name: str
    kind: str
    identifier: str | None = None
    parent: str | None = None
    time_zone: str | None = None  # IANA name; OneRoster has none: then the district's setting holds
    status: RecordStatus = "active"
    modified: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcademicSession:
    """A school year, term, semester or grading period; `ends_on` is the day after the last one."""

    noun: ClassVar[Noun] = "academicSession"
    sourced_id: str
    title: str
    kind: str
    begins_on: date
    ends_on: date
    school_year: int | None = None
    parent: str | None = None
    status: RecordStatus = "active"
    modified: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is taught; a class is one group that takes it."""

    noun: ClassVar[Noun] = "course"
    sourced_id: str
    title: str
    code: str | None = None
    org: str | None = None
    status: RecordStatus = "active"
    modified: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """One group of students taught together (`kind`: "homeroom" or "scheduled")."""

    noun: ClassVar[Noun] = "class"
    sourced_id: str
    title: str
    school: str
    course: str | None = None
    terms: tuple[str, ...] = ()
    code: str | None = None
    kind: str = "scheduled"
    periods: tuple[str, ...] = ()
    status: RecordStatus = "active"
    modified: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRole:
    """One role at one org (OneRoster's names: student, teacher, guardian, parent, administrator, aide, …)."""

    role: str
    org: str
    primary: bool = True
    begins_on: date | None = None
    ends_on: date | None = None
    status: RecordStatus = "active"

    def nearness(self, day: date) -> tuple[int, int]:
        """Greater for the role that says more of `day`: one that holds then, else the next to come, else the last."""
        begins = self.begins_on or date.min
        if begins > day:
            return 1, -begins.toordinal()
        has_ended = self.ends_on is not None and self.ends_on <= day
        return 0 if has_ended else 2, begins.toordinal()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person. Legal and preferred names are kept apart; `agents` are the sourced ids of a student's guardians.

    `only` names the fields that the source tells, None for all: the others stay as they were. Without `roles_complete`
    the `roles` are changes to the known ones: one that is "tobedeleted" ends.
    """

    noun: ClassVar[Noun] = "user"
    sourced_id: str
    given_name: str
    family_name: str
    middle_name: str | None = None
    preferred_given_name: str | None = None
    preferred_family_name: str | None = None
    roles: tuple[UserRole, ...] = ()
    agents: tuple[str, ...] = ()
    grades: tuple[str, ...] = ()
    identifier: str | None = None  # the local student or staff number
    username: str | None = None
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    sms: str | None = field(default=None, repr=False)
    birth_date: date | None = field(default=None, repr=False)
    enabled: bool = True
    only: tuple[str, ...] | None = None
    roles_complete: bool = True
    status: RecordStatus = "active"
    modified: datetime | None = None

    def silent_on(self, name: str) -> User:
        """The same person, of whom the source tells nothing of one field: the known value stays."""
        told = facts_of(User) if self.only is None else self.only
        return replace(self, only=tuple(one for one in told if one != name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """One person in one class, as "student" or "teacher" (or OneRoster's other roles), from a day to before a day."""

    noun: ClassVar[Noun] = "enrollment"
    sourced_id: str
    user: str
    class_: str
    role: str
    school: str | None = None
    primary: bool = False
    begins_on: date | None = None
    ends_on: date | None = None
    status: RecordStatus = "active"
    modified: datetime | None = None


Record: TypeAlias = Org | AcademicSession | Course | Class | User | Enrollment

_ABOUT_THE_RECORD = frozenset({"sourced_id", "status", "modified", "only", "roles_complete"})


def facts_of(record: type[Record]) -> tuple[str, ...]:
    """The names of what a record of this noun tells, without what is said of the record itself."""
    return tuple(one.name for one in fields(record) if one.name not in _ABOUT_THE_RECORD)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """A row that could not be read: kept in the dead-letter list with `where` it stood and why, while the rest loads.

    `where` is a file and line, or a page and position; `field` the column at fault. `reason` holds no personal value.
    Without a `sourced_id` nobody knows whose row it was, and a full run takes nothing for gone; `part` says that only a
    part of a record was left out, and no record hides behind it.
    """

    noun: Noun
    where: str
    reason: str
    field: str | None = None
    sourced_id: str | None = None
    part: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """What the engine asks for: one noun, from `cursor` (a Page's, or None for the start).

    `since` asks only for what changed after that moment, where the vendor can tell; None asks for everything.
    """

    noun: Noun
    cursor: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records, and the `cursor` from which reading goes on after them.

    `total` is the vendor's own count of the whole collection, where it gives one: a full run removes only when the
    counts agree. `delta` says that the source holds changes only, so that what it does not name is not gone; `whole`
    says that it holds everything although only changes were asked for.
    `places` says where each record stands (file and line), for the dead-letter list.
    """

    records: Sequence[Record]
    cursor: str | None = None
    errors: Sequence[RowError] = ()
    total: int | None = None
    delta: bool = False
    whole: bool = False
    places: Sequence[str] = ()


class SourceError(Exception):
    """The source cannot be read; the text is shown to an administrator and holds no personal value.

    `retry` says that it may work later (after `retry_after` seconds where the source named them); `fix` is a sentence
    that tells the administrator what to do.
    """

    def __init__(
        self, reason: str, *, retry: bool = False, retry_after: float | None = None, fix: str | None = None
    ) -> None:
        super().__init__(reason)
        self.fix = fix
        self.retry = retry or retry_after is not None
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMark:
    """One student's attendance as the SIS should hold it; sourced ids are the connector's own.

    `key` is the idempotency key: the same key twice means the same change. `status` None withdraws what was sent.
    `class_` None means the whole school day (see SisConnector.attendance_level); `enrollment` is the student's in the
    class, `student_number` what the school calls the student (`User.identifier`). `held` is what the SIS was last known
    to hold after our own writing, in the connector's words (Pushed.held); None before the first. When the SIS holds
    something else by now, nothing is written, unless a person chose `overwrite`. `category` is the Ed-Fi
    AttendanceEventCategory that the district's code stands for. `school_day` is the day in the
    school's own time zone.
    """

    key: str
    student: str
    school: str
    class_: str | None
    school_day: date
    status: Status | None
    code: str | None = None
    category: str | None = None
    minutes_late: int | None = None
    enrollment: str | None = None
    student_number: str | None = field(default=None, repr=False)
    periods: tuple[str, ...] = ()
    starts_at: datetime | None = None
    held: str | None = None
    overwrite: bool = False
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What became of one OutgoingMark: `error` None means the SIS has it (`read_back`: and was seen to have it).

    `held` is what the SIS holds now, in the connector's words; with `differs` somebody else had changed it there, and
    nothing was written. `before` is what it held before this writing, where the connector looked. `retry` says that the
    same mark may succeed later. A SIS that holds already what the mark says is a success: the mark may come twice.
    Without `tried` the mark was not even sent, because others before it failed: it comes again at once, ahead of them.
    """

    key: str
    error: str | None = None
    retry: bool = False
    read_back: bool = False
    held: str | None = None
    before: str | None = None
    differs: bool = False
    tried: bool = True


class SisConnector(Protocol):
    """A driver for one student information system; the sync engine owns paging, retry, staging, the diff and apply."""

    @property
    def nouns(self) -> tuple[Noun, ...]:
        """What it can read, in the order of NOUNS."""
        ...

    @property
    def attendance_out(self) -> Literal["api", "file", "none"]:
        """How attendance goes back; the admin page says it in plain words."""
        ...

    @property
    def attendance_level(self) -> Literal["class", "day"]:
        """Whether the SIS takes a mark per class meeting or one per school day."""
        ...

    async def check(self) -> Sequence[Finding]:
        """Try the settings against the real system: every missing permission or field, each with its fix."""
        ...

    def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """Read one noun page by page; reading again from a page's cursor gives the pages after it.

        A page is asked for while the one before it is kept.
        """
        ...

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        """Write attendance; one answer for each mark, in any order."""
        ...


_NOT_SHOWN = ("email", "phone", "sms", "ended", "duplicate")
"""Fields of a person of which a conflict tells that there is something, and not what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One field that was changed both here and in the SIS since they last agreed (`base`).

    Values are texts: lists have commas, flags are "true" or "false", days are ISO 8601, other records go by the
    source's id. An address is never shown: only that there is one, and that it is another. `row_id` is the id here.
    Of a person it reaches only plugins whose scopes name the field (`student.FIELD`; both names where it is asked
    whether an id is somebody else's by now).
    """

    noun: Noun
    sourced_id: str
    field: str
    base: str | None = dataclasses.field(repr=False)
    ours: str | None = dataclasses.field(repr=False)
    theirs: str | None = dataclasses.field(repr=False)
    row_id: str | None = None

    @property
    def personal(self) -> tuple[str, ...]:
        """The names of the personal fields whose values it shows."""
        if self.noun != "user" or self.field in _NOT_SHOWN:
            return ()
        return ("given_name", "family_name") if self.field == "person" else (self.field,)

    def for_scopes(self, scopes: frozenset[str]) -> Conflict | None:
        """This conflict, or None for a plugin that may not see its values."""
        return self if all(f"student.{name}" in scopes for name in self.personal) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Which value holds, and why. Values are texts as in the Conflict: lists have commas, flags are true or false."""

    value: str | None = field(repr=False)
    reason: str = field(repr=False)
