"""A student's whole record as one file: a page to read, with the same as JSON inside it for machines.

Attendance with what its codes mean, every correction, notes, absence reports, the messages that went out, the record
of disclosures, statements and requests. Names of other students are taken out of what people have written: the words
that name somebody who shared a class. No fee is charged, so the file knows none.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from homeroom import Connection, Services
from homeroom_ferpa.access import ledger
from homeroom_ferpa.rights import amendments, hearings, inspections
from homeroom_ferpa.rights.common import Row

OTHER = "[another student]"
_SHORTEST = 3
_RECORD = (
    *("id", "session_id", "class_id", "school_id", "school_day", "status", "code", "minutes_late", "origin"),
    *("occurred_at", "recorded_at", "recorded_by", "note", "reason", "version", "valid_from"),
)
_VERSION = (
    *("record_id", "version", "status", "code", "minutes_late", "origin", "recorded_by", "note", "reason"),
    *("valid_from", "valid_to"),
)
_REPORT = ("id", "first_day", "last_day", "code", "reason", "state", "reported_at", "decided_at")
_DOCUMENT = ("id", "report_id", "kind", "size", "sent_at", "content")
_MESSAGE = (
    *("id", "kind", "school_day", "audience", "recipient_id", "channel", "language", "state", "created_at", "content"),
)
_SENT = ("sending", "unknown", "accepted", "delivered", "failed")
_NAMES = ("given_name", "family_name", "preferred_given_name", "preferred_family_name")
_CLASSMATES = f"""
SELECT DISTINCT {", ".join(f"u.{name}" for name in _NAMES)} FROM users u JOIN enrollments e ON e.user_id = u.id
JOIN enrollments mine ON mine.class_id = e.class_id
WHERE mine.user_id = ? AND e.user_id <> ? AND e.role = 'student'
"""  # noqa: S608 - constants
_FAMILY = f"""
SELECT {", ".join(_NAMES)} FROM users WHERE id = ?
UNION SELECT {", ".join(f"u.{name}" for name in _NAMES)} FROM users u
JOIN guardianships g ON g.guardian_id = u.id WHERE g.student_id = ?
"""  # noqa: S608 - constants
FIELDS = ("name", "identifier", "contacts", "status", "code", "note", "history", "absence", "messages", "disclosures")
"""The kinds of personal data in it, for the audit log."""


def gather(connection: Connection, services: Services, student_id: str, *, disclosures: bool = True) -> dict[str, Any]:
    """Everything that is kept of one student, and of nobody else, as of one moment.

    The record of disclosures is only there with `disclosures`: who may not inspect it, may not do so here (§99.32(c)).
    """
    with connection.snapshot():
        hide = _hiding(connection, student_id)
        schools = dict(connection.sql("SELECT id, name FROM orgs"))
        found = _attendance(connection, services, student_id, hide)
        return {
            "what": "the education record that Homeroom keeps of one student (34 CFR 99.10)",
            "made_at": services.clock.now().isoformat(timespec="seconds"),
            "student": _student(connection, student_id, schools),
            "classes": _classes(connection, student_id, schools),
            "codes": _codes(connection, services, {row["school_id"]: row["school"] for row in found}),
            "attendance": found,
            "absence_reports": _rows(connection, "absence_reports", _REPORT, student_id, sealed=("reason",), hide=hide),
            "absence_documents": _rows(
                connection, "absence_documents", _DOCUMENT, student_id, sealed=("content",), hide=lambda value: value
            ),
            "messages": _messages(connection, student_id, hide),
            **({"disclosures": _ledger(connection, student_id)} if disclosures else {}),
            "special_education_access": _special(connection, student_id),
            "inspections": [_open(row) for row in inspections.of_student(connection, student_id)],
            "amendments": [_open(row) for row in amendments.of_student(connection, student_id)],
            "hearings": [_open(row) for row in hearings.of_student(connection, student_id)],
        }


def _student(connection: Connection, student_id: str, schools: Mapping[str, str]) -> Row:
    columns = (*_NAMES, "middle_name", "identifier", "username", "grades", "birth_date", "enabled", "ended")
    row = connection.sql(f"SELECT {', '.join(columns)} FROM users WHERE id = ?", (student_id,))[0]  # noqa: S608 - constants
    student = dict(zip(columns, row, strict=True)) | {"id": student_id}
    student |= {name: bool(student[name]) for name in ("enabled", "ended")}
    student["grades"] = _json(student["grades"])
    contacts = connection.sql("SELECT kind, value FROM contacts WHERE user_id = ? ORDER BY kind, id", (student_id,))
    student["contacts"] = [{"kind": kind, "value": connection.unseal_for(student_id, v)} for kind, v in contacts]
    roles = connection.sql(
        "SELECT org_id, begins_on, ends_on FROM role_assignments WHERE user_id = ? AND role = 'student' ORDER BY "
        "org_id",
        (student_id,),
    )
    student["schools"] = [
        {"school": schools.get(org_id), "begins_on": begins, "ends_on": ends} for org_id, begins, ends in roles
    ]
    return student


def _classes(connection: Connection, student_id: str, schools: Mapping[str, str]) -> list[Row]:
    text = (
        "SELECT c.title, c.school_id, e.begins_on, e.ends_on, e.ended FROM enrollments e "
        "JOIN classes c ON c.id = e.class_id WHERE e.user_id = ? AND e.role = 'student' ORDER BY c.title, e.id"
    )
    return [
        {"class": title, "school": schools.get(school), "begins_on": begins, "ends_on": ends, "ended": bool(ended)}
        for title, school, begins, ends, ended in connection.sql(text, (student_id,))
    ]


def _codes(connection: Connection, services: Services, schools: Mapping[str, str]) -> list[Row]:
    return [
        {"school": name, "code": code, "means": title, "status": status}
        for school_id, name in sorted(schools.items())
        for code, (title, status) in services.custody.codes(connection, school_id).items()
    ]


def _attendance(connection: Connection, services: Services, student_id: str, hide: Callable[[Any], Any]) -> list[Row]:
    """Every record with its class, what its code means, its earlier versions and the statements on it."""
    classes = dict(connection.sql("SELECT id, title FROM classes"))
    schools = dict(connection.sql("SELECT id, name FROM orgs"))
    versions: dict[str, list[Row]] = {}
    for row in _rows(connection, "attendance_versions", _VERSION, student_id, sealed=("note", "reason"), hide=hide):
        versions.setdefault(row["record_id"], []).append(row)
    found = _rows(connection, "attendance_records", _RECORD, student_id, sealed=("note", "reason"), hide=hide)
    statements = hearings.statements_for(connection, [row["id"] for row in found])
    meanings = {one: services.custody.codes(connection, one) for one in {row["school_id"] for row in found}}
    who = _people(
        connection, {row["recorded_by"] for row in (*found, *itertools.chain(*versions.values()))}, student_id
    )
    for row in found:
        known = meanings[row["school_id"]]
        for version in (row, *versions.get(row["id"], ())):
            version["code_means"] = known.get(version["code"], (None,))[0] if version["code"] else None
            version["recorded_by"] = who.get(version["recorded_by"], version["recorded_by"] and "staff")
        row["class"], row["school"] = classes.get(row.pop("class_id")), schools.get(row["school_id"])
        row["corrections"] = sorted(versions.get(row["id"], ()), key=lambda version: version["version"])
        row["statements"] = [{"text": one["text"], "made_at": one["made_at"]} for one in statements.get(row["id"], ())]
    return found


def _people(connection: Connection, ids: Collection[str | None], student_id: str) -> dict[str, str]:
    """Who recorded something: staff by name, the student as such, any other person only as what they are."""
    named: dict[str, str] = {student_id: "the student"}
    wanted = sorted(filter(None, set(ids) - {student_id}))
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        marks = ", ".join("?" * len(some))
        text = (
            "SELECT DISTINCT u.id, u.given_name, u.family_name FROM users u "  # noqa: S608 - marks only
            "JOIN role_assignments r ON r.user_id = u.id "
            f"WHERE u.id IN ({marks}) AND r.role IN ('teacher', 'school_admin', 'district_admin')"
        )
        named |= {user_id: f"{given} {family}" for user_id, given, family in connection.sql(text, some)}
    return named


def _messages(connection: Connection, student_id: str, hide: Callable[[Any], Any]) -> list[Row]:
    found = _rows(connection, "notifications", _MESSAGE, student_id, sealed=("content",), hide=lambda value: value)
    sent = [row for row in found if row["state"] in _SENT]
    for row in sent:
        texts = _json(row.pop("content")) or {}
        row["text"] = {part: hide(text) for part, text in texts.items()}
    return sent


def _ledger(connection: Connection, student_id: str) -> list[Row]:
    """The record of requests and disclosures (34 CFR 99.32), with what each was about and to whom it was passed on."""
    return [asdict(entry) for entry in ledger.of_student(connection, student_id, everything=True)]


def _special(connection: Connection, student_id: str) -> list[Row]:
    text = "SELECT party, accessed_on, purpose FROM ferpa_special_access WHERE student_id = ? ORDER BY accessed_on, id"
    return [
        {
            "party": connection.unseal_for(student_id, party),
            "accessed_on": day,
            "purpose": connection.unseal_for(student_id, purpose),
        }
        for party, day, purpose in connection.sql(text, (student_id,))
    ]


def _rows(
    connection: Connection,
    table: str,
    columns: Collection[str],
    student_id: str,
    *,
    sealed: Collection[str],
    hide: Callable[[Any], Any],
) -> list[Row]:
    """A student's rows of one of the core's tables, what is sealed in clear and without others' names."""
    order = {"attendance_records": "school_day, id", "attendance_versions": "record_id, version"}.get(table, "id")
    text = f"SELECT {', '.join(columns)} FROM {table} WHERE student_id = ? ORDER BY {order}"  # noqa: S608 - constants
    found = [dict(zip(columns, row, strict=True)) for row in connection.sql(text, (student_id,))]
    for name in sealed:
        opened = connection.unseal_many([(student_id, row[name]) for row in found])
        for row, value in zip(found, opened, strict=True):
            row[name] = hide(value)
    return found


def _hiding(connection: Connection, student_id: str) -> Callable[[Any], Any]:
    """Takes the names of those who shared a class out of a text; words that name the family itself stay."""
    own = {word for row in connection.sql(_FAMILY, (student_id, student_id)) for word in row if word}
    whole: set[str] = set()
    for given, family, preferred, other_family in connection.sql(_CLASSMATES, (student_id, student_id)):
        for first in filter(None, (given, preferred)):
            for last in filter(None, (family, other_family)):
                whole |= {f"{first} {last}", f"{last}, {first}"}
        whole |= {word for word in (given, family, preferred, other_family) if word and word not in own}
    words = sorted((word for word in whole if len(word) >= _SHORTEST), key=len, reverse=True)
    if not words:
        return lambda value: value
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b")
    return lambda value: pattern.sub(OTHER, value) if isinstance(value, str) else value


def _open(row: Row) -> Row:
    """A request as its family is shown it."""
    return {
        name: value for name, value in row.items() if name not in ("act", "officer_id", "alerted_at", "violated_at")
    }


def _json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value
