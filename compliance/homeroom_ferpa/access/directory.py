"""Directory information (§99.37): what a district may give without consent, once it has said so and waited."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from homeroom import Connection, Refused, Transaction
from homeroom_ferpa.access.records import changed, missing, text_of

Item = Literal[
    "name",
    "school",
    "grade_level",
    "email",
    "telephone",
    "address",
    "photograph",
    "birth_date",
    "birth_place",
    "major_field",
    "enrollment_status",
    "dates_of_attendance",
    "activities",
    "weight_and_height",
    "degrees_and_awards",
    "previous_school",
    "student_id",
]
"""Everything that a district may designate; a social security number is not among it, and never can be (§99.3)."""

ITEMS: tuple[str, ...] = get_args(Item)
HELD = ("name", "school", "grade_level", "email", "telephone", "birth_date", "student_id")
"""The items that lie in this system; the others are designated here and released elsewhere."""

_PAGE = """
SELECT u.id, u.given_name, u.family_name, u.preferred_given_name, u.grades, u.birth_date, u.identifier FROM users u
WHERE u.id > ? AND EXISTS (SELECT 1 FROM role_assignments r WHERE r.user_id = u.id AND r.role = 'student'{school})
  AND NOT EXISTS (SELECT 1 FROM ferpa_opt_outs o WHERE o.student_id = u.id AND o.withdrawn_at IS NULL)
ORDER BY u.id LIMIT ?
"""
_SCHOOLS = """
SELECT r.user_id, o.name FROM role_assignments r JOIN orgs o ON o.id = r.org_id
WHERE r.role = 'student' AND r.user_id IN ({marks}) ORDER BY o.name
"""
_CONTACTS = """
SELECT user_id, kind, value FROM contacts
WHERE ends_on IS NULL AND kind IN ('email', 'phone') AND user_id IN ({marks}) ORDER BY id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the district has designated. `parties` and `purposes` None: the policy is not limited (§99.37(d))."""

    version: int = 0
    items: tuple[str, ...] = ()
    parties: tuple[str, ...] | None = None
    purposes: tuple[str, ...] | None = None
    notice_on: date | None = None
    opt_out_until: date | None = None

    def refusal(self, party: str, purpose: str, today: date) -> str | None:
        """Why nothing may be released to this party for this purpose today; None when it may."""
        if not self.items:
            return "The district has designated no directory information."
        if self.notice_on is None or self.opt_out_until is None or self.notice_on > today:
            return "Public notice and the end of the opt-out period are not recorded, so nothing is released."
        if today <= self.opt_out_until:
            return f"The opt-out period ends on {self.opt_out_until.isoformat()}; nothing is released before."
        if self.parties is not None and party not in self.parties:
            return "The district's limited policy does not name this party."
        if self.purposes is not None and purpose not in self.purposes:
            return "The district's limited policy does not name this purpose."
        return None


def current(connection: Connection) -> Policy:
    """The policy in force; one that designates nothing, at version 0, before there is any."""
    rows = connection.sql(
        "SELECT version, items, parties, purposes, notice_on, opt_out_until FROM ferpa_directory "
        "ORDER BY version DESC LIMIT 1"
    )
    if not rows:
        return Policy()
    version, items, parties, purposes, notice_on, until = rows[0]
    return Policy(
        version=version,
        items=tuple(json.loads(items)),
        parties=_listed(parties),
        purposes=_listed(purposes),
        notice_on=date.fromisoformat(notice_on) if notice_on else None,
        opt_out_until=date.fromisoformat(until) if until else None,
    )


def decide(tx: Transaction, policy: Policy, *, expected: int, by: str) -> Policy:
    """Put a new policy in force in place of the version `expected`. Raises Refused 412."""
    if current(tx).version != expected:
        raise changed()
    version = expected + 1
    days = [day.isoformat() if day else None for day in (policy.notice_on, policy.opt_out_until)]
    limits = [json.dumps(limit) if limit is not None else None for limit in (policy.parties, policy.purposes)]
    tx.write_sql(
        "INSERT INTO ferpa_directory (version, items, parties, purposes, notice_on, opt_out_until, recorded_by, "
        "recorded_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (version, json.dumps(policy.items), *limits, *days, by, text_of(tx.now)),
    )
    tx.journal("compliance.directory_decided", data={"version": version, "items": list(policy.items)})
    return current(tx)


def opt_out(tx: Transaction, student_id: str, *, by: str) -> int:
    """Keep a student out of every directory output from now on, also after they leave; gives the entry's version."""
    rows = tx.sql("SELECT version, withdrawn_at FROM ferpa_opt_outs WHERE student_id = ?", (student_id,))
    if rows and rows[0][1] is None:
        return int(rows[0][0])
    version = int(rows[0][0]) + 1 if rows else 1
    tx.write_sql(
        "INSERT INTO ferpa_opt_outs (student_id, recorded_by, recorded_at, version) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (student_id) DO UPDATE SET recorded_by = excluded.recorded_by, "
        "recorded_at = excluded.recorded_at, withdrawn_by = NULL, withdrawn_at = NULL, version = excluded.version",
        (student_id, by, text_of(tx.now), version),
    )
    tx.journal("compliance.opted_out", student_id=student_id)
    return version


def withdraw(tx: Transaction, student_id: str, version: int, *, by: str) -> None:
    """Let a student be listed again. Raises Refused 404 or 412."""
    done = tx.write_sql(
        "UPDATE ferpa_opt_outs SET withdrawn_at = ?, withdrawn_by = ?, version = version + 1 "
        "WHERE student_id = ? AND version = ? AND withdrawn_at IS NULL RETURNING 1",
        (text_of(tx.now), by, student_id, version),
    )
    if not done:
        known = tx.sql("SELECT 1 FROM ferpa_opt_outs WHERE student_id = ?", (student_id,))
        raise changed() if known else missing()
    tx.journal("compliance.opt_out_withdrawn", student_id=student_id)


def opted_out(connection: Connection, student_ids: Collection[str]) -> frozenset[str]:
    """Those among the students who are out."""
    marks = ", ".join("?" * len(student_ids))
    rows = connection.sql(
        f"SELECT student_id FROM ferpa_opt_outs WHERE withdrawn_at IS NULL AND student_id IN ({marks or 'NULL'})",  # noqa: S608 - marks only
        tuple(student_ids),
    )
    return frozenset(row[0] for row in rows)


def opt_out_of(connection: Connection, student_id: str) -> tuple[bool, int]:
    """Whether the student is out, and the entry's version (0: there was never one)."""
    rows = connection.sql("SELECT withdrawn_at, version FROM ferpa_opt_outs WHERE student_id = ?", (student_id,))
    return (rows[0][0] is None, int(rows[0][1])) if rows else (False, 0)


def page(
    connection: Connection, policy: Policy, *, school_id: str | None, after: str, limit: int
) -> list[dict[str, Any]]:
    """The designated items of the next students in the order of their ids; whoever has opted out is not among them."""
    text = _PAGE.format(school=" AND r.org_id = ?" if school_id else "")
    rows = connection.sql(text, (after, *([school_id] if school_id else []), limit))
    ids = [row[0] for row in rows]
    schools = _schools(connection, ids) if "school" in policy.items else {}
    reached = _contacts(connection, ids) if {"email", "telephone"} & set(policy.items) else {}
    found = []
    for id_, given, family, preferred, grades, born, identifier in rows:
        all_of_it: dict[str, Any] = {
            "name": f"{preferred or given} {family}",
            "school": schools.get(id_, []),
            "grade_level": json.loads(grades) if isinstance(grades, str) else grades,
            "email": reached.get((id_, "email")),
            "telephone": reached.get((id_, "phone")),
            "birth_date": str(born)[:10] if born else None,
            "student_id": identifier,
        }
        found.append({"id": id_, **{item: all_of_it[item] for item in HELD if item in policy.items}})
    return found


def check_item(items: Collection[str], *, student_id_opens_nothing: bool) -> str | None:
    """What is wrong with designating these items; None when nothing is."""
    if "student_id" in items and not student_id_opens_nothing:
        return "A student id may be listed only where it cannot by itself open records: say so, if that is so."
    return None


def refused(reason: str) -> Refused:
    """The refusal of a release."""
    return Refused(403, "directory-closed", reason)


def _schools(connection: Connection, ids: list[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    if ids:
        for student, name in connection.sql(_SCHOOLS.format(marks=", ".join("?" * len(ids))), ids):
            found.setdefault(student, []).append(name)
    return found


def _contacts(connection: Connection, ids: list[str]) -> Mapping[tuple[str, str], str | None]:
    if not ids:
        return {}
    rows = connection.sql(_CONTACTS.format(marks=", ".join("?" * len(ids))), ids)
    opened = connection.unseal_many([(row[0], row[2]) for row in rows])
    found: dict[tuple[str, str], str | None] = {}
    for (student, kind, _), text in zip(rows, opened, strict=True):
        found.setdefault((student, kind), text)
    return found


def _listed(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))
