"""What is on file about a guardian's children, or about a party that data would go to: one query each.

Nothing is remembered between two decisions. The query reads the committed state, so a court order, a revocation or a
birthday counts for the very next request in every process; a cache of even two seconds would not keep that promise, and
it would save one indexed read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from homeroom import Connection

Passed = Literal["age", "postsecondary"]

ADULT = 18
STANDING_KINDS = ("order", "dependent", "emergency", "postsecondary")

NOW = "{0}.begins_on <= ? AND ({0}.ends_on IS NULL OR {0}.ends_on > ?)"
"""The SQL condition on an entry that holds on a day, which is given twice."""

_CURRENT = (
    "NOT {0}.ended AND ({0}.begins_on IS NULL OR {0}.begins_on <= ?) AND ({0}.ends_on IS NULL OR {0}.ends_on > ?)"
)
_FAMILY = f"""
WITH kids (id) AS (SELECT student_id FROM guardianships WHERE guardian_id = ? UNION SELECT CAST(? AS TEXT))
SELECT 'child', k.id, CAST(u.birth_date AS TEXT), NULL, NULL FROM kids k JOIN users u ON u.id = k.id
UNION ALL
SELECT s.kind, s.student_id, s.id, NULL, NULL FROM ferpa_standings s JOIN kids k ON k.id = s.student_id
WHERE s.ended_at IS NULL AND {NOW.format("s")} AND s.party_id IN (?, '')
UNION ALL
SELECT 'consent', c.student_id, c.id, c.records, c.purpose FROM ferpa_consents c JOIN kids k ON k.id = c.student_id
WHERE c.party = ? AND c.signed_by = c.student_id AND c.revoked_at IS NULL AND (c.ends_on IS NULL OR c.ends_on > ?)
"""  # noqa: S608 - constants
_STAFF = f"""
UNION ALL
SELECT 'staff', e.user_id, NULL, NULL, NULL FROM enrollments e JOIN kids k ON k.id = e.user_id
JOIN enrollments t ON t.class_id = e.class_id
WHERE e.role = 'student' AND {_CURRENT.format("e")}
  AND t.role = 'teacher' AND t.user_id = ? AND {_CURRENT.format("t")}
UNION ALL
SELECT 'staff', r.user_id, NULL, NULL, NULL FROM role_assignments r JOIN kids k ON k.id = r.user_id
JOIN role_assignments a ON a.user_id = ? AND a.role = 'school_admin' LEFT JOIN orgs o ON o.id = r.org_id
WHERE r.role = 'student' AND (r.org_id = a.org_id OR o.parent_id = a.org_id)
"""  # noqa: S608 - constants
_PARTY = f"""
SELECT 'official', f.id, f.categories, NULL, NULL, 0, NULL FROM ferpa_officials f
WHERE f.recipient = ? AND f.ended_at IS NULL AND {NOW.format("f")}
UNION ALL
SELECT 'consent', c.id, c.records, c.purpose, c.student_id,
  CASE WHEN c.signed_by = c.student_id THEN 1 ELSE 0 END, CAST(u.birth_date AS TEXT)
FROM ferpa_consents c LEFT JOIN users u ON u.id = c.student_id
WHERE c.party = ? AND c.revoked_at IS NULL AND (c.ends_on IS NULL OR c.ends_on > ?)
  AND (c.signed_by = c.student_id OR NOT EXISTS (SELECT 1 FROM ferpa_standings s
    WHERE s.student_id = c.student_id AND s.kind = 'postsecondary' AND s.ended_at IS NULL AND {NOW.format("s")}))
"""  # noqa: S608 - constants
_LINKED = f"""
SELECT 1 FROM guardianships g
WHERE g.guardian_id = ? AND g.student_id = ? AND NOT g.blocked AND g.data_access AND {_CURRENT.format("g")}
  AND NOT EXISTS (SELECT 1 FROM ferpa_standings s WHERE s.student_id = g.student_id AND s.kind = 'order'
    AND s.party_id = g.guardian_id AND s.ended_at IS NULL AND {NOW.format("s")})
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A consent in force, as far as a decision needs it."""

    id: str
    student_id: str
    records: frozenset[str]
    purpose: str

    def covers(self, records: Collection[str], purpose: str) -> bool:
        """Whether it is for these kinds of record, and for this purpose."""
        return purpose == self.purpose and ("all" in self.records or set(records) <= self.records)


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What is on file of one student, seen from one guardian. `exceptions` holds (kind, id)."""

    id: str
    passed: Passed | None = None
    order: str | None = None
    exceptions: tuple[tuple[str, str], ...] = ()
    consents: tuple[Consent, ...] = ()
    as_staff: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """What is on file of a party that data would go to. `official` is the entry's id, `categories` what it may get."""

    official: str | None = None
    categories: frozenset[str] = frozenset()
    consents: tuple[Consent, ...] = ()


def children(
    connection: Connection,
    guardian_id: str,
    today: date,
    *,
    also: str | None = None,
    staff: bool = False,
    by_age: bool = True,
) -> Mapping[str, Child]:
    """The guardian's children, and the student `also`, by id. `staff` finds out whom the guardian reaches as staff.

    Of consents only the student's own count: while the rights are the parents', none is needed.
    """
    day = today.isoformat()
    text = _FAMILY
    params = [guardian_id, also, day, day, guardian_id, f"person:{guardian_id}", day]
    if staff:
        text += _STAFF
        params += [day, day, guardian_id, day, day, guardian_id]
    found: dict[str, Child] = {}
    for kind, student_id, first, second, third in sorted(
        connection.sql(text, params), key=lambda row: row[0] != "child"
    ):
        child = found.get(student_id)
        if kind == "child":
            found[student_id] = Child(id=student_id, passed="age" if by_age and is_adult(first, today) else None)
        elif child is not None:
            found[student_id] = _with(child, kind, first, second, third)
    return found


def party(connection: Connection, name: str, today: date, *, by_age: bool = True) -> Party:
    """What is on file of the party `name` ("plugin:…", "key:…", or another's code).

    A parent's consent holds for as long as the rights are the parent's: then the student's own is required (§99.5(a)).
    """
    day = today.isoformat()
    official, categories, consents = None, frozenset[str](), []
    params = (name, day, day, name, day, day, day)
    for kind, key, listed, purpose, student_id, own, born in connection.sql(_PARTY, params):
        if kind == "official":
            official, categories = key, frozenset(json.loads(listed))
        elif own or not (by_age and is_adult(born, today)):
            records = frozenset(json.loads(listed))
            consents.append(Consent(id=key, student_id=student_id, records=records, purpose=purpose))
    return Party(official=official, categories=categories, consents=tuple(consents))


def passed(connection: Connection, student_id: str, today: date, *, by_age: bool = True) -> Passed | None:
    """Why the rights of a student's parents have passed to the student; None while they have not."""
    day = today.isoformat()
    rows = connection.sql(
        "SELECT CAST(u.birth_date AS TEXT), (SELECT count(*) FROM ferpa_standings s WHERE s.student_id = u.id "  # noqa: S608 - constants
        f"AND s.kind = 'postsecondary' AND s.ended_at IS NULL AND {NOW.format('s')}) FROM users u WHERE u.id = ?",
        (day, day, student_id),
    )
    if not rows:
        return None
    if by_age and is_adult(rows[0][0], today):
        return "age"
    return "postsecondary" if rows[0][1] else None


def holds_rights(connection: Connection, person_id: str, student_id: str, today: date, *, by_age: bool = True) -> bool:
    """Whether this person may decide for the student: a parent whom no order keeps out, or the eligible student."""
    has_passed = passed(connection, student_id, today, by_age=by_age) is not None
    if person_id == student_id:
        return has_passed
    if has_passed:
        return False
    day = today.isoformat()
    linked = connection.sql(_LINKED, (person_id, student_id, day, day, day, day))
    return bool(linked)


def is_guardian(connection: Connection, person_id: str, student_id: str) -> bool:
    """Whether this person is, or was, entered as a guardian of the student."""
    query = "SELECT 1 FROM guardianships WHERE guardian_id = ? AND student_id = ?"
    return bool(connection.sql(query, (person_id, student_id)))


def is_adult(birth_date: str | None, today: date) -> bool:
    """Whether a student born on this day has had the 18th birthday; who was born on 29 February has it on 1 March."""
    if not birth_date:
        return False
    born = date.fromisoformat(birth_date[:10])
    return (today.year - born.year) - ((today.month, today.day) < (born.month, born.day)) >= ADULT


def _with(child: Child, kind: str, first: str, second: str, third: str) -> Child:
    match kind:
        case "order":
            return replace(child, order=first)
        case "postsecondary":
            return replace(child, passed=child.passed or "postsecondary")
        case "staff":
            return replace(child, as_staff=True)
        case "consent":
            consent = Consent(id=first, student_id=child.id, records=frozenset(json.loads(second)), purpose=third)
            return replace(child, consents=(*child.consents, consent))
        case _:
            return replace(child, exceptions=(*child.exceptions, (kind, first)))
