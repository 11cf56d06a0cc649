"""Marked data: everything personal of the small world's people holds a text that stands nowhere else.

Whoever finds one of these texts somewhere knows whose data it is and which field it came from.
"""

from __future__ import annotations

import re

from homeroom.roster import people
from homeroom.store import Transaction
from homeroom.store import models as m
from tests.services import world

STUDENTS = tuple(world.STUDENTS)
GUARDIANS = tuple(dict.fromkeys(guardian for guardian, _, _ in world.CHILDREN))
_MARK = re.compile(r"zq([a-z]+)zq([a-z]+(?:x[a-z]+)?)zq", re.IGNORECASE)
_NAMES = ("given_name", "family_name", "preferred_given_name", "preferred_family_name", "middle_name")


def canary(field: str, person: str) -> str:
    """The text that stands in one field of one person."""
    return f"Zq{field.replace('_', '')}zq{person.replace('_', 'x')}zq"


def found(text: str) -> set[tuple[str, str]]:
    """The fields, each with whose it is, whose texts stand in `text`."""
    return {(field.lower(), person.lower().replace("x", "_")) for field, person in _MARK.findall(text)}


def address(person: str) -> str:
    """The e-mail address of somebody."""
    return f"{canary('email', person)}@example.org"


def mark(tx: Transaction) -> None:
    """Put the texts into the small world, which must be there."""
    for person in (*STUDENTS, *GUARDIANS):
        names = {name: canary(name, person) for name in _NAMES}
        more = {"identifier": canary("identifier", person), "username": canary("username", person)}
        given = {**names, **(more if person in STUDENTS else {})}
        tx.run(m.User.update(sort_name=canary("sort", person), **given).where(m.User.id == person))
        people.add_contact(tx, person, "email", address(person), quiet=True)
    for record, (_, student) in world.RECORDS.items():
        texts = {name: tx.seal_for(student, canary(name, student)) for name in ("note", "reason")}
        tx.run(m.AttendanceRecord.update(**texts).where(m.AttendanceRecord.id == record))
    for report, student in world.REPORTS.items():
        reason = tx.seal_for(student, canary("why", student))
        tx.run(m.AbsenceReport.update(reason=reason).where(m.AbsenceReport.id == report))
