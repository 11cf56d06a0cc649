"""Records that look like one child twice: flagged for a person, never merged.

A student who was re-enrolled under a new id brings the same student number, or the same name and birth date.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from homeroom.records import Conflict
from homeroom.store import Transaction
from homeroom.store.bulk import select_given, select_in
from homeroom.sync.changes import Change
from homeroom.sync.conflicts import keep_one
from homeroom.sync.job import Job
from homeroom.sync.policy import Clash
from homeroom.sync.remembered import DUPLICATE

_FEW = 5  # what more people than these have for a number stands for none, such as "0"
_SHARED = "SELECT identifier FROM users WHERE identifier IN ({}) GROUP BY identifier HAVING count(*) BETWEEN 2 AND ?"
_TELLING = frozenset({"identifier", "given_name", "family_name", "birth_date"})


def flag_duplicates(tx: Transaction, job: Job, written: Sequence[Change]) -> None:
    """Ask a person about every student among these who looks like another one; two queries for all of them."""
    students = {
        change.staged.row_id: (change, change.values or {})
        for change in written
        if any(role[0] == "student" for role in change.taken.get("roles", ()))
        and (change.outcome == "added" or change.fields.keys() & _TELLING)
        and DUPLICATE not in change.known.held
    }
    pairs: dict[str, str] = {}
    for row_id, other in _alike(tx, {row_id: values for row_id, (_, values) in students.items()}):
        if other not in pairs:  # of two new ones the later is asked about
            pairs.setdefault(row_id, other)
    if not pairs:
        return
    others = select_in(
        tx,
        "SELECT DISTINCT u.id, u.sourced_id FROM users u JOIN role_assignments r ON r.user_id = u.id "
        "WHERE r.role = 'student' AND u.id IN ({})",
        (),
        list(pairs.values()),
    )
    names = {row_id: sourced_id or row_id for row_id, sourced_id in others}
    for row_id, other in pairs.items():
        if other in names:
            _ask(tx, job, students[row_id][0], names[other])


def _alike(tx: Transaction, students: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Pairs of (row id of one of these, row id of somebody with the same number, or name and birth date)."""
    numbers: dict[str, list[str]] = {}
    births: dict[tuple[str, str], list[str]] = {}
    for row_id, values in students.items():
        if values["identifier"]:
            numbers.setdefault(values["identifier"], []).append(row_id)
        if values["birth_date"]:
            births.setdefault((values["sort_name"], values["birth_date"]), []).append(row_id)
    shared = [row[0] for row in select_in(tx, _SHARED, (), list(numbers), [_FEW])]
    query = "SELECT id, identifier FROM users WHERE identifier IN ({}) ORDER BY id"
    for other, number in select_in(tx, query, (), shared):
        yield from ((row_id, other) for row_id in numbers[number] if row_id != other)
    query = "SELECT u.id, u.sort_name, u.birth_date FROM {} JOIN users u ON (u.sort_name, u.birth_date) = (name, birth)"
    for other, name, birth in sorted(select_given(tx, query, {"name": "text", "birth": "date"}, list(births))):
        yield from ((row_id, other) for row_id in births[name, str(birth)] if row_id != other)


def _ask(tx: Transaction, job: Job, change: Change, other: str) -> None:
    sourced_id = change.staged.sourced_id
    told = Conflict(noun="user", sourced_id=sourced_id, field=DUPLICATE, base=None, ours=other, theirs=sourced_id)
    clash = Clash(field=DUPLICATE, base=None, ours=other, theirs=sourced_id, told=told, value=other)
    keep_one(tx, job, "user", change.staged, clash)
