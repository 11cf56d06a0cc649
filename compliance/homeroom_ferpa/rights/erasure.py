"""Erasing a person: refused while anything holds the record, then done by the core, for good."""

from __future__ import annotations

from collections.abc import Mapping

from homeroom import Connection, Refused, Services, Transaction
from homeroom_ferpa.rights.common import iso, put, refused
from homeroom_ferpa.rights.retention import why_not

_REASONS = {
    "legal-hold": "a legal hold is in force",
    "open-inspection": "somebody waits to see the record",
    "open-amendment": "a request to amend the record is open",
    "open-hearing": "a hearing is not decided",
    "still-in-sis": "the SIS still has this person, and would bring them back: end them there and sync first",
    "staff": "this person works for the district: take their roles away first",
    "not-written": "say why",
}
_TEXTS = {
    "explanations": ("question", "answer"),
    "inspections": ("wish",),
    "amendments": ("why", "decision"),
    "hearings": ("place", "officer", "evidence", "reasons", "decision"),
    "statements": ("text",),
    "letters": ("text",),
    "special_access": ("party", "purpose"),
    "study_lookups": ("reason",),
}
"""Sealed texts of the rights by table; emptied as well as made unreadable."""
_EMPTY = dict.fromkeys(("question", "why", "text", "party", "purpose", "reason"), "''")
_GONE = ("study_codes",)
"""Rows that would still say whose something is."""


async def erase(services: Services, person_id: str, *, why: str) -> Mapping[str, int]:
    """Take a person out for good; gives the rows of each table. Refused, with the reason kept, where it may not be."""

    def before(tx: Transaction) -> None:
        reason = "not-written" if not why.strip() else objection(tx, person_id)
        if reason is not None:
            raise Refused(409, reason, f"Nobody was erased: {_REASONS[reason]}.")
        for table, columns in _TEXTS.items():
            given = ", ".join(f"{name} = {_EMPTY.get(name, 'NULL')}" for name in columns)
            tx.write_sql(f"UPDATE ferpa_{table} SET {given} WHERE student_id = ?", (person_id,))  # noqa: S608 - constants
        for table in _GONE:
            tx.write_sql(f"DELETE FROM ferpa_{table} WHERE student_id = ?", (person_id,))  # noqa: S608 - constants
        row = {
            "person_id": person_id,
            "at": iso(tx.now),
            "by": tx.origin.actor_id,
            "why": tx.cipher.seal(why, f"ferpa_erasures.{person_id}"),
        }
        put(tx, "erasures", row)

    try:
        return await services.custody.erase(person_id, before)
    except Refused as refusal:
        await refused(services, refusal, student_id=person_id, subject_id=person_id)
        raise


def objection(connection: Connection, person_id: str) -> str | None:
    """Why this person may not be erased now, or None. Raises Refused 404 for nobody."""
    rows = connection.sql("SELECT source, ended FROM users WHERE id = ?", (person_id,))
    if not rows:
        raise Refused(404, "not-found", "There is no such person.")
    source, ended = rows[0]
    if (reason := why_not(connection, person_id)) is not None:
        return reason
    staff = "SELECT 1 FROM role_assignments WHERE user_id = ? AND role NOT IN ('student', 'guardian') LIMIT 1"
    if connection.sql(staff, (person_id,)) and not ended:
        return "staff"
    return "still-in-sis" if source is not None and not ended else None


def guardians_left(connection: Connection, student_id: str) -> list[str]:
    """The guardians who are here for this student alone: they may be erased after it."""
    text = """
        SELECT g.guardian_id FROM guardianships g WHERE g.student_id = ?
        AND NOT EXISTS (SELECT 1 FROM guardianships o JOIN users u ON u.id = o.student_id
          WHERE o.guardian_id = g.guardian_id AND o.student_id <> g.student_id AND NOT u.ended)
        AND NOT EXISTS (SELECT 1 FROM role_assignments r
          WHERE r.user_id = g.guardian_id AND r.role NOT IN ('student', 'guardian'))
        ORDER BY g.guardian_id"""
    return [row[0] for row in connection.sql(text, (student_id,))]
