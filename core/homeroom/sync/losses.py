"""Whom a run would take out of classes: counted before anything is taken over.

An enrolment is current until its own last day and until the last of its class's terms is over; where a class has no
term, until the year that the source has begun is over. What is over already can end without anybody's losing anything
(a rollover, a closed term). A last day that is brought forward ends an enrolment too, when it lies more than a week
before the end that was known and no more than a week ahead: the office that closes the year some days early is no
exodus, a withdrawal stamped on everybody in October is one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import orjson

from homeroom.store import Connection
from homeroom.store.bulk import select_in
from homeroom.sync.job import Job

FEW = 3  # fewer students than these leave a class or school every day
WEEK = timedelta(days=7)
_PIECE = 2000
_AT_ONCE = 500

_CLASSES = """
    SELECT c.id, c.sourced_id, c.school_id, o.sourced_id, max(t.ends_on), count(sc.run_id) + count(so.run_id)
    FROM classes c JOIN orgs o ON o.id = c.school_id
    LEFT JOIN class_terms ct ON ct.class_id = c.id LEFT JOIN academic_sessions t ON t.id = ct.term_id
    LEFT JOIN staged_rows sc
        ON sc.run_id = ? AND sc.noun = 'class' AND sc.sourced_id = c.sourced_id AND sc.change = 'end'
    LEFT JOIN staged_rows so
        ON so.run_id = ? AND so.noun = 'org' AND so.sourced_id = o.sourced_id AND so.change = 'end'
        AND o.source = c.source
    WHERE c.source = ? AND NOT c.ended AND NOT c.archived
    GROUP BY c.id, c.sourced_id, c.school_id, o.sourced_id"""

_LIVE = """
    SELECT e.class_id, e.role, count(*), count(coalesce(se.run_id, su.run_id))
    FROM enrollments e JOIN users u ON u.id = e.user_id
    LEFT JOIN staged_rows se
        ON se.run_id = ? AND se.noun = 'enrollment' AND se.sourced_id = e.sourced_id AND se.change = 'end'
    LEFT JOIN staged_rows su
        ON su.run_id = ? AND su.noun = 'user' AND su.sourced_id = u.sourced_id AND su.change = 'end'
        AND u.source = e.source
    WHERE e.source = ? AND NOT e.ended AND NOT u.ended AND (e.ends_on IS NULL OR e.ends_on > ?) AND e.class_id IN ({})
    GROUP BY e.class_id, e.role"""

_CHANGED = f"""
    SELECT s.sourced_id, s.content, e.class_id, e.role, e.ends_on
    FROM staged_rows s JOIN enrollments e ON e.id = s.row_id
    WHERE s.run_id = ? AND s.noun = 'enrollment' AND s.change = 'change' AND s.sourced_id > ?
        AND NOT e.ended AND (e.ends_on IS NULL OR e.ends_on > ?)
    ORDER BY s.sourced_id LIMIT {_PIECE}"""  # noqa: S608 - a number of ours

_JOINING = f"""
    SELECT s.sourced_id, s.content FROM staged_rows s LEFT JOIN enrollments e ON e.id = s.row_id
    WHERE s.run_id = ? AND s.noun = 'enrollment' AND s.change IN ('add', 'change') AND s.sourced_id > ?
        AND (e.id IS NULL OR e.ended)
    ORDER BY s.sourced_id LIMIT {_PIECE}"""  # noqa: S608 - a number of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A class or school, by the source's id, and how many students it has now."""

    sourced_id: str
    students: int


@dataclass(slots=True, kw_only=True)
class Losses:
    """How many current enrolments there are and would end, and which classes and schools would have no student."""

    live: int = 0
    lost: int = 0
    classes: list[Group] = field(default_factory=list)
    schools: list[Group] = field(default_factory=list)
    classes_with_students: int = 0
    schools_with_students: int = 0


@dataclass(slots=True, kw_only=True)
class _Class:
    """One class as it stands; `until` is the day after its last one, `is_going` that it or its school would end."""

    sourced_id: str
    school: str
    until: date | None
    is_going: bool
    live: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    @property
    def is_emptied(self) -> bool:
        return 0 < self.live["student"] <= self.lost["student"]


def losses(connection: Connection, job: Job, today: date) -> Losses:
    """What the run would end of what is current on `today`."""
    classes = _classes(connection, job, today)
    ids = list(classes)
    for start in range(0, len(ids), _AT_ONCE):  # some at a time: what a database groups lies in memory
        before = [job.run_id, job.run_id, job.source, today.isoformat()]
        for class_id, role, live, lost in select_in(connection, _LIVE, before, ids[start : start + _AT_ONCE]):
            one = classes[class_id]
            one.live[role] = live
            one.lost[role] = live if one.is_going else lost
    for class_id, role in _brought_forward(connection, job, classes, today):
        classes[class_id].lost[role] += 1
    found = Losses(
        live=sum(one.live.total() for one in classes.values()),
        lost=sum(one.lost.total() for one in classes.values()),
        classes_with_students=sum(one.live["student"] > 0 for one in classes.values()),
    )
    schools: dict[str, list[_Class]] = defaultdict(list)
    for one in classes.values():
        schools[one.school].append(one)
    found.schools_with_students = sum(any(one.live["student"] for one in some) for some in schools.values())
    emptied = {class_id: one for class_id, one in classes.items() if one.is_emptied}
    if emptied:
        _tell_emptied(connection, job, found, emptied, schools)
    return found


def year_end(connection: Connection, job: Job, today: date) -> date | None:
    """The day after the last of the year that the source has begun; None where it tells of none."""
    began = "SELECT max(ends_on) FROM academic_sessions WHERE source = ? AND NOT ended AND begins_on <= ?"
    return _day(connection.sql(began, [job.source, today.isoformat()])[0][0])


def _classes(connection: Connection, job: Job, today: date) -> dict[str, _Class]:
    """Every class of the source that is not over yet."""
    year = year_end(connection, job, today)
    found = {}
    for class_id, sourced_id, _, school, last, going in connection.sql(_CLASSES, [job.run_id, job.run_id, job.source]):
        until = _day(last) or year
        if until is None or until > today:
            found[class_id] = _Class(sourced_id=sourced_id, school=school or "", until=until, is_going=bool(going))
    return found


def _brought_forward(
    connection: Connection, job: Job, classes: dict[str, _Class], today: date
) -> Iterator[tuple[str, str]]:
    """The (class, role) of each current enrolment that gets an early last day, but for those of a class that ends."""
    for _, content, class_id, role, ends_on in _pages(connection, _CHANGED, job, today.isoformat()):
        told = _day(orjson.loads(content).get("ends_on"))
        one = classes.get(class_id)
        if told is None or one is None or one.is_going or told > today + WEEK:
            continue
        known = min((day for day in (_day(ends_on), one.until) if day is not None), default=None)
        if known is None or known - told > WEEK:
            yield class_id, role


def _tell_emptied(
    connection: Connection, job: Job, found: Losses, emptied: dict[str, _Class], schools: dict[str, list[_Class]]
) -> None:
    """Note the classes and schools that nobody would be left in, where it is not that they move elsewhere."""
    leaving = _students_of(connection, job, list(emptied))
    joined: set[str] = set()
    moving: set[str] = set()
    everybody = {user for users in leaving.values() for user in users}
    for _, content in _pages(connection, _JOINING, job):
        facts = orjson.loads(content)
        if facts.get("role") == "student":
            joined.add(facts["class_"])
            if facts["user"] in everybody:
                moving.add(facts["user"])
    for class_id, one in sorted(emptied.items(), key=lambda item: item[1].sourced_id):
        if one.sourced_id not in joined and len(leaving[class_id] - moving) >= FEW:
            found.classes.append(Group(sourced_id=one.sourced_id, students=one.live["student"]))
    schools_joined = _schools_of(connection, job, joined)
    for school, some in sorted(schools.items()):
        students = sum(one.live["student"] for one in some)
        is_empty = all(one.is_emptied for one in some if one.live["student"])
        if students >= FEW and is_empty and school not in schools_joined:
            found.schools.append(Group(sourced_id=school, students=students))


def _students_of(connection: Connection, job: Job, class_ids: Sequence[str]) -> dict[str, set[str]]:
    """The sourced ids of the students in these classes."""
    found: dict[str, set[str]] = defaultdict(set)
    text = (
        "SELECT e.class_id, u.sourced_id FROM enrollments e JOIN users u ON u.id = e.user_id "
        "WHERE e.source = ? AND e.role = 'student' AND NOT e.ended AND NOT u.ended AND e.class_id IN ({})"
    )
    for class_id, user in select_in(connection, text, [job.source], class_ids):
        found[class_id].add(user)
    return found


def _schools_of(connection: Connection, job: Job, classes: set[str]) -> set[str]:
    """The sourced ids of the schools of these classes, known ones and ones that come with this run."""
    wanted = sorted(classes)
    known = (
        "SELECT o.sourced_id FROM classes c JOIN orgs o ON o.id = c.school_id "
        "WHERE c.source = ? AND c.sourced_id IN ({})"
    )
    staged = (
        "SELECT content FROM staged_rows "
        "WHERE run_id = ? AND noun = 'class' AND change IN ('add', 'change') AND sourced_id IN ({})"
    )
    found = {row[0] for row in select_in(connection, known, [job.source], wanted)}
    return found | {orjson.loads(row[0]).get("school") for row in select_in(connection, staged, [job.run_id], wanted)}


def _pages(connection: Connection, text: str, job: Job, *more: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of a query over staged rows, some at a time."""
    after = ""
    while rows := connection.sql(text, [job.run_id, after, *more]):
        yield from rows
        after = rows[-1][0]


def _day(value: date | str | None) -> date | None:
    """A date column, or a fact: SQLite gives text, PostgreSQL a date."""
    return date.fromisoformat(value) if isinstance(value, str) else value
