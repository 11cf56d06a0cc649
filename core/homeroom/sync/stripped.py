"""Roles and guardianships that a run would take from people who stay, counted before anything is taken over.

It is what an empty or cut-off list of roles looks like: everybody is still there, and nobody may do anything any more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson

from homeroom.store import Connection
from homeroom.store.bulk import select_in
from homeroom.sync.job import Job
from homeroom.sync.losses import WEEK, year_end
from homeroom.sync.mapping import ADMINISTRATORS, ROLES

_PIECE = 500
_EVER = "9999-12-31"

_CHANGED = f"""
    SELECT sourced_id, row_id, content FROM staged_rows
    WHERE run_id = ? AND noun = 'user' AND change = 'change' AND sourced_id > ?
    ORDER BY sourced_id LIMIT {_PIECE}"""  # noqa: S608 - a number of ours

_ROLES = """
    FROM role_assignments r JOIN users u ON u.id = r.user_id
    WHERE r.source = ? AND NOT u.ended
      AND (r.ends_on IS NULL OR r.ends_on > ?) AND (r.begins_on IS NULL OR r.begins_on <= ?)"""

_GUARDIANS = """
    FROM guardianships g JOIN users u ON u.id = g.guardian_id
    WHERE g.source = ? AND NOT g.ended AND NOT u.ended AND NOT g.blocked AND g.data_access
      AND (g.ends_on IS NULL OR g.ends_on > ?) AND (g.begins_on IS NULL OR g.begins_on <= ?)"""


@dataclass(slots=True, kw_only=True)
class Taken:
    """How many would be taken away `of` the current ones, which are counted only where any would, and from whom."""

    lost: int = 0
    of: int = 0
    subjects: list[str] = field(default_factory=list)

    def note(self, sourced_id: str, lost: int) -> None:
        """Count what one person would lose."""
        if lost:
            self.lost += lost
            self.subjects.append(sourced_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripped:
    """What the people who stay would lose."""

    roles: Taken = field(default_factory=Taken)
    guardians: Taken = field(default_factory=Taken)


def stripped(connection: Connection, job: Job, today: date) -> Stripped:
    """What changed people would lose of what the source gave them and is current on `today`.

    Somebody who has a role at another school instead has lost none; nor has, in the last week of the year and after it,
    whose role the source now gives an end.
    """
    found = Stripped()
    own = [job.source, today.isoformat(), today.isoformat()]
    until = year_end(connection, job, today)
    day = today.isoformat() if until is None or until > today + WEEK else None
    for people in _changed(connection, job):
        row_ids = [row_id for _, row_id, _ in people]
        roles, guardians = defaultdict(list), defaultdict(list)
        for row_id, role in select_in(
            connection, f"SELECT r.user_id, r.role {_ROLES} AND r.user_id IN ({{}})", own, row_ids
        ):
            roles[row_id].append(role)
        for row_id, guardian in select_in(
            connection, f"SELECT g.student_id, u.sourced_id {_GUARDIANS} AND g.student_id IN ({{}})", own, row_ids
        ):
            guardians[row_id].append(guardian)
        for sourced_id, row_id, content in people:
            facts = orjson.loads(content)
            fewer = Counter(roles[row_id]) - Counter(_roles_told(facts, job, day))
            found.roles.note(sourced_id, fewer.total())
            found.guardians.note(sourced_id, len(set(guardians[row_id]) - set(facts.get("agents", ()))))
    for taken, current in ((found.roles, _ROLES), (found.guardians, _GUARDIANS)):
        if taken.lost:
            taken.of = connection.sql(f"SELECT count(*) {current}", own)[0][0]
    return found


def _changed(connection: Connection, job: Job) -> Iterator[list[tuple[Any, ...]]]:
    """The (sourced id, row id, content) of the people whom the run would change, some at a time."""
    after = ""
    while rows := connection.sql(_CHANGED, [job.run_id, after]):
        yield rows
        after = rows[-1][0]


def _roles_told(facts: Mapping[str, Any], job: Job, day: str | None) -> list[str]:
    """The roles that the source gives somebody on a day (None: on any), as they are called here: one for each place.

    Of two at one place the time from the earlier beginning to the later end counts, as when they are taken over.
    """
    told: dict[tuple[str | None, str | None], tuple[str, str]] = {}
    for name, org, _, begins_on, ends_on in facts.get("roles", ()):
        place = _called(name, job), org
        known = told.get(place, (begins_on, ends_on or _EVER))
        told[place] = min(known[0], begins_on), max(known[1], ends_on or _EVER)
    return [
        role
        for (role, _), (begins_on, ends_on) in told.items()
        if role is not None and (day is None or begins_on <= day < ends_on)
    ]


def _called(name: str, job: Job) -> str | None:
    return "school_admin" if job.administrators and name in ADMINISTRATORS else ROLES.get(name)
