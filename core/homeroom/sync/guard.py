"""What stops a run before it does harm: many enrolments or roles that would go, emptied classes, new ids for all.

A finding says in one sentence what was found and in another what to look at. It names records by the source's ids and
holds no name of a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from homeroom.store import Connection
from homeroom.sync.job import Job
from homeroom.sync.losses import Group, Losses, losses
from homeroom.sync.rekeyed import rekeyed
from homeroom.sync.stripped import Taken, stripped

AlarmKind = Literal["exodus", "empty_school", "empty_class", "roles", "guardians", "rekeyed"]

_SHOWN = 20  # ids kept with a finding

# Counted in one pass without sorting: what is sorted lies in memory, however many rows there are.
_PENDING = """
    SELECT count(*) FILTER (WHERE change = 'end' OR noun = 'enrollment' AND change = 'change'),
        count(*) FILTER (WHERE noun = 'user' AND change = 'end'),
        count(*) FILTER (WHERE noun = 'user' AND change = 'add'),
        count(*) FILTER (WHERE noun = 'user' AND change = 'change')
    FROM staged_rows WHERE run_id = ?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """How much may happen in one run before a person is asked; shares are of 1.

    A run is held when it ends `floor` or more current enrolments and more than `share` of them, takes as many roles or
    guardianships from people who stay, or when `rekeyed_floor` or more people, and more than `rekeyed_share` of those
    known, come in as new under known names.
    """

    share: float = 0.2
    floor: int = 5
    rekeyed_share: float = 0.05
    rekeyed_floor: int = 10

    def allows(self, lost: int, of: int) -> bool:
        """Whether so many may go without a question."""
        return lost < self.floor or lost <= self.share * of


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One finding: `count` of `of`, some of them by the source's ids (`subjects`), and two sentences for a person."""

    kind: AlarmKind
    count: int
    of: int
    subjects: tuple[str, ...] = ()
    found: str
    look_at: str

    def as_json(self) -> dict[str, Any]:
        """The shape in which it is kept and sent."""
        return {**asdict(self), "subjects": list(self.subjects)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Alarm:
        """The finding that was kept."""
        return cls(**{**kept, "subjects": tuple(kept["subjects"])})


def judge(connection: Connection, job: Job, guard: Guard, today: date) -> list[Alarm]:
    """What a person should look at before the staged rows of this run are taken over; nothing is fine."""
    ends, leavers, new_people, changed_people = connection.sql(_PENDING, [job.run_id])[0]
    alarms: list[Alarm] = []
    if ends:
        found = losses(connection, job, today)
        alarms += [*_exodus(found, guard), *_emptied(found)]
        if not found.live:
            alarms += _leavers(connection, job, guard, leavers)
    if changed_people >= guard.floor:
        alarms += _stripped(connection, job, guard, today)
    if new_people >= guard.rekeyed_floor:
        alarms += _rekeyed(connection, job, guard)
    return alarms


def _exodus(found: Losses, guard: Guard) -> list[Alarm]:
    if guard.allows(found.lost, found.live):
        return []
    return [
        Alarm(
            kind="exodus",
            count=found.lost,
            of=found.live,
            found=f"{found.lost:,} of {found.live:,} current enrolments would end.",
            look_at="See whether the source gave its whole list, and whether it closed a term or year early.",
        )
    ]


def _leavers(connection: Connection, job: Job, guard: Guard, ending: int) -> list[Alarm]:
    """For a source that tells of nobody's classes (Skyward SMS 2.0): how many of its people would end."""
    known = _known_people(connection, job)
    if guard.allows(ending, known):
        return []
    return [
        Alarm(
            kind="exodus",
            count=ending,
            of=known,
            found=f"{ending:,} of {known:,} people would end.",
            look_at="See whether the source gave its whole list.",
        )
    ]


def _known_people(connection: Connection, job: Job) -> int:
    count = connection.sql("SELECT count(*) FROM users WHERE source = ? AND NOT ended", [job.source])
    return int(count[0][0])


def _emptied(found: Losses) -> list[Alarm]:
    alarms = []
    if found.schools:
        what = _counted(found.schools, "school that has students now would have none", "schools that have students now")
        look_at = "See whether the school was closed, or is no longer shared with Homeroom by the source."
        alarms.append(_of_groups("empty_school", found.schools, found.schools_with_students, what, look_at))
    if found.classes:
        what = _counted(found.classes, "class that has students now would have none", "classes that have students now")
        look_at = "See in the source whether these classes were closed, or their lists came empty."
        alarms.append(_of_groups("empty_class", found.classes, found.classes_with_students, what, look_at))
    return alarms


def _of_groups(kind: AlarmKind, groups: Sequence[Group], of: int, found: str, look_at: str) -> Alarm:
    subjects = tuple(group.sourced_id for group in groups[:_SHOWN])
    return Alarm(kind=kind, count=len(groups), of=of, subjects=subjects, found=found, look_at=look_at)


def _counted(groups: Sequence[Group], one: str, many: str) -> str:
    students = sum(group.students for group in groups)
    named = ", ".join(group.sourced_id for group in groups[:3])
    dots = ", …" if len(groups) > 3 else ""  # noqa: PLR2004 - as many as were named
    what = one if len(groups) == 1 else f"{many} would have none"
    return f"{len(groups):,} {what} ({students:,} students; {named}{dots})."


def _stripped(connection: Connection, job: Job, guard: Guard, today: date) -> list[Alarm]:
    found = stripped(connection, job, today)
    roles, guardians = found.roles, found.guardians
    alarms = []
    if not guard.allows(roles.lost, roles.of):
        what = f"{roles.lost:,} of {roles.of:,} current roles would be taken from people who stay."
        look_at = "See whether the source gave its whole list of roles (in OneRoster's CSV files: roles.csv)."
        alarms.append(_of_people("roles", roles, what, look_at))
    if not guard.allows(guardians.lost, guardians.of):
        what = f"{guardians.lost:,} of {guardians.of:,} current guardianships would end."
        look_at = "See whether the source still names the guardians of each student, and calls the students students."
        alarms.append(_of_people("guardians", guardians, what, look_at))
    return alarms


def _of_people(kind: AlarmKind, taken: Taken, found: str, look_at: str) -> Alarm:
    subjects = tuple(taken.subjects[:_SHOWN])
    return Alarm(kind=kind, count=taken.lost, of=taken.of, subjects=subjects, found=found, look_at=look_at)


def _rekeyed(connection: Connection, job: Job, guard: Guard) -> list[Alarm]:
    known = _known_people(connection, job)
    if not known:
        return []
    found = rekeyed(connection, job)
    if found.count < guard.rekeyed_floor or found.count <= guard.rekeyed_share * known:
        return []
    return [
        Alarm(
            kind="rekeyed",
            count=found.count,
            of=known,
            subjects=tuple(found.subjects[:_SHOWN]),
            found=f"{found.count:,} people would come in as new who seem to be known already under other ids.",
            look_at="Ask the vendor whether ids were changed, by an upgrade for instance: each of these people "
            "would begin anew, without attendance so far.",
        )
    ]
