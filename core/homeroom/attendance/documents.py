"""Documents that go with absence reports, such as a doctor's note: taken, sealed, and given to those who may read them.

What a document is, its own bytes say, whatever its sender calls it.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from homeroom.store import Connection, Refused, Transaction, conflict, not_found
from homeroom.store import models as m
from homeroom.store.bulk import select_in

Kind = Literal["pdf", "jpeg", "png"]
MOST = 5
"""How many documents one report takes."""

_BEGINNINGS: Mapping[bytes, Kind] = {b"%PDF-": "pdf", b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n\x1a\n": "png"}
_COLUMNS = ("id", "report_id", "kind", "size", "sent_by", "sent_at")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM absence_documents WHERE report_id IN ({{}}) ORDER BY id"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What is known of a document without its content; `size` is in bytes."""

    id: str
    report_id: str
    kind: Kind
    size: int
    sent_by: str
    sent_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A document with its bytes; `first_day` is that of its report."""

    kind: Kind
    first_day: str
    data: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """A file's name that says nothing of anybody."""
        return f"absence-{self.first_day}.{'jpg' if self.kind == 'jpeg' else self.kind}"


def kind_of(data: bytes) -> Kind:
    """What `data` is by its first bytes. Raises Refused 415 for anything but PDF, JPEG and PNG."""
    for beginning, kind in _BEGINNINGS.items():
        if data.startswith(beginning):
            return kind
    raise Refused(415, "unknown-document", "Send a PDF, or a photo as JPEG or PNG; this file is something else.")


def check_size(data: bytes, most: int) -> None:
    """Raise Refused 413 when there are more bytes than `most`."""
    if len(data) > most:
        text = f"This file is too large; a document may have {most // 1_048_576 or 1} MB at most."
        raise Refused(413, "too-large", text)


def attach(tx: Transaction, *, document_id: str, report_id: str, data: bytes) -> Document:
    """Keep a document with a report that waits for its decision. Raises Refused 404, 409 (decided, or full) or 415."""
    kind = kind_of(data)
    rows = tx.sql("SELECT student_id, state FROM absence_reports WHERE id = ?", (report_id,))
    if not rows:
        raise not_found()
    student_id, state = rows[0]
    there = documents_of(tx, [report_id]).get(report_id, [])
    if not any(one.id == document_id for one in there):  # else the same unit is run again
        if state != "reported":
            raise conflict("decided-already", "The school has answered this report already; please call the office.")
        if len(there) >= MOST:
            raise conflict("enough-documents", f"A report takes {MOST} documents at most.")
        tx.insert(
            m.AbsenceDocument,
            id=document_id,
            report_id=report_id,
            student_id=student_id,
            kind=kind,
            size=len(data),
            content=tx.seal_for(student_id, base64.b64encode(data).decode()),
            sent_by=tx.origin.actor_id or "",
            sent_at=tx.now,
        )
        data_of = {"document": document_id, "kind": kind, "size": len(data)}
        tx.journal("absence.document_added", student_id=student_id, subject_id=report_id, data=data_of)
    return next(one for one in documents_of(tx, [report_id])[report_id] if one.id == document_id)


def documents_of(connection: Connection, report_ids: Collection[str]) -> dict[str, list[Document]]:
    """The documents of each report that has any, the oldest first."""
    found: dict[str, list[Document]] = {}
    for row in select_in(connection, _SELECT, [], sorted(report_ids)):
        one = Document(**dict(zip(_COLUMNS, row, strict=True)))
        found.setdefault(one.report_id, []).append(one)
    return found


def content_of(connection: Connection, report_id: str, document_id: str) -> Content:
    """One document of a report in clear. Raises Refused 404, also once its student was erased."""
    rows = connection.sql(
        "SELECT d.kind, d.student_id, d.content, CAST(r.first_day AS TEXT) FROM absence_documents d "
        "JOIN absence_reports r ON r.id = d.report_id WHERE d.id = ? AND d.report_id = ?",
        (document_id, report_id),
    )
    if not rows:
        raise not_found()
    kind, student_id, sealed, first_day = rows[0]
    content = connection.unseal_for(student_id, sealed)
    if content is None:
        raise not_found()
    return Content(kind=kind, first_day=first_day[:10], data=base64.b64decode(content))
