"""Documents that go with absence reports: sent by the family, and given back as files to whoever may read them."""

from __future__ import annotations

import base64
import re

from quart import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from homeroom import ApiAnswer
from homeroom_web.pages import Pages, language
from homeroom_web.visitors import Failed, Visitor

UPLOADS = ("/children/<student_id>/absence", "/children/<student_id>/absences/<report_id>/documents")
"""The pages that take a document."""
TYPES = ".pdf,.jpg,.jpeg,.png,application/pdf,image/jpeg,image/png"

_SAFE = re.compile(r'attachment; filename="[A-Za-z0-9.-]+"')


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/documents/REPORT/DOCUMENT`, for the family and for the office."""

    @blueprint.get("/documents/<report_id>/<document_id>")
    @pages.for_visitors
    async def absence_document(visitor: Visitor, report_id: str, document_id: str) -> Response:
        return as_file(await visitor.file(f"/absence-reports/{report_id}/documents/{document_id}"))


async def sent_document() -> bytes | None:
    """The document that came with the form, if there is one. Raises Failed 413 when the form is too large."""
    try:
        files = await request.files
    except RequestEntityTooLarge:
        text = language().say("This file is too large, so nothing was sent. Please send a smaller one.")
        raise Failed(413, text) from None
    found = files.get("document")
    data = found.read() if found is not None else b""
    return data or None


async def send_document(visitor: Visitor, report_id: str, data: bytes) -> None:
    """Add a document to a report. Raises Failed."""
    content = base64.b64encode(data).decode()
    await visitor.send("POST", f"/absence-reports/{report_id}/documents", {"content": content})


def as_file(answer: ApiAnswer, *, name: str | None = None) -> Response:
    """What a route gave, as a file to be kept: no browser shows it in place."""
    given = answer.headers.get("content-disposition", "")
    kept = f'attachment; filename="{name}"' if name else given if _SAFE.fullmatch(given) else "attachment"
    headers = {"Content-Disposition": kept, "X-Content-Type-Options": "nosniff"}
    kind = answer.headers.get("content-type", "application/octet-stream")
    return Response(answer.body, 200, headers=headers, content_type=kind)
