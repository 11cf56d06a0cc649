"""A document that goes with an absence report: what is taken, how it is kept, and who gets it back."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from homeroom.custody import StoredCustody
from homeroom.store import Transaction
from homeroom.store import models as m
from homeroom.store.erasure import erase
from tests.services import world
from tests.services.served import Served, served

PDF = b"%PDF-1.7\n% a doctor's note, canary-7731\n%%EOF\n"
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
HERE = "~/absence-reports/report_ann/documents"


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, server={"max_document_bytes": 2_000_000}) as running:
        yield running


def sent(data: bytes) -> dict[str, str]:
    return {"content": base64.b64encode(data).decode()}


async def added(api: Served, data: bytes = PDF, by: str = "guardian_ann") -> dict[str, Any]:
    answer = await api.post(HERE, by, sent(data))
    told: dict[str, Any] = await answer.get_json()
    assert answer.status_code == 201, told
    return told


@pytest.mark.parametrize(("data", "kind", "name"), [(PDF, "pdf", "pdf"), (JPEG, "jpeg", "jpg"), (PNG, "png", "png")])
async def test_a_document_comes_back_as_it_was_sent_and_only_as_a_file(
    api: Served, data: bytes, kind: str, name: str
) -> None:
    told = await added(api, data)
    assert (told["kind"], told["size"], told["sent_by"]) == (kind, len(data), "guardian_ann")
    answer = await api.get(f"{HERE}/{told['id']}", "guardian_ann")
    assert await answer.get_data(as_text=False) == data
    assert answer.headers["Content-Disposition"] == f'attachment; filename="absence-{world.TODAY}.{name}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.content_type == "application/octet-stream"
    [report] = (await (await api.get("~/students/ann/absence-reports", "guardian_ann")).get_json())["items"]
    assert report["documents"] == [told]


@pytest.mark.parametrize("data", [b"<html><script>", b"GIF89a", b"MZ\x90", b" %PDF-1.7", b"%pdf-1.7"])
async def test_what_a_document_is_its_bytes_say(api: Served, data: bytes) -> None:
    answer = await api.post(HERE, "guardian_ann", sent(data))
    assert (answer.status_code, (await answer.get_json())["type"].rpartition("/")[2]) == (415, "unknown-document")


async def test_a_document_may_be_larger_than_other_bodies_but_not_too_large(api: Served) -> None:
    await added(api, PDF + b"x" * 1_900_000)
    for much in (2_000_000, 4_000_000):
        answer = await api.post(HERE, "guardian_ann", sent(PDF + b"x" * much))
        assert answer.status_code == 413, much
        assert (await answer.get_json())["detail"]
    assert (await api.post("~/classes", "admin", {"title": "x" * 1_900_000})).status_code == 413


@pytest.mark.parametrize("content", ["", "%%%", "abc"])
async def test_what_is_no_base64_is_refused_with_its_field(api: Served, content: str) -> None:
    answer = await api.post(HERE, "guardian_ann", {"content": content})
    assert answer.status_code == 422
    assert [one["field"] for one in (await answer.get_json())["errors"]] == ["content"]


@pytest.mark.parametrize(
    ("who", "may_read", "may_send"),
    [
        ("guardian_ann", 200, 201),
        ("teacher_parent", 200, 201),
        ("ann", 200, 403),
        ("teacher_a", 200, 403),
        ("admin_north", 200, 201),
        ("admin", 200, 201),
        ("guardian_cy", 404, 404),
        ("guardian_lost", 403, 403),
        ("bob", 404, 403),
        ("teacher_b", 404, 403),
        ("admin_south", 404, 404),
        ("nobody", 403, 403),
    ],
)
async def test_a_document_is_for_the_family_and_for_who_decides(
    api: Served, who: str, may_read: int, may_send: int
) -> None:
    told = await added(api)
    assert (await api.get(f"{HERE}/{told['id']}", who)).status_code == may_read
    assert (await api.post(HERE, who, sent(PNG))).status_code == may_send


async def test_a_document_of_one_report_is_not_found_under_another(api: Served) -> None:
    told = await added(api)
    assert (await api.get(f"~/absence-reports/report_bob/documents/{told['id']}", "admin")).status_code == 404
    assert (await api.get(f"{HERE}/none", "admin")).status_code == 404


async def test_an_answered_report_and_a_full_one_take_no_more(api: Served) -> None:
    for _ in range(5):
        await added(api)
    assert (await api.post(HERE, "guardian_ann", sent(PDF))).status_code == 409
    decided = await api.post("~/absence-reports/report_bob/decision", "admin", {"decision": "approve", "code": "E"})
    assert decided.status_code == 200
    answer = await api.post("~/absence-reports/report_bob/documents", "admin", sent(PDF))
    assert (answer.status_code, (await answer.get_json())["type"].rpartition("/")[2]) == (409, "decided-already")


async def test_nothing_of_a_document_lies_in_clear(api: Served) -> None:
    await added(api)
    rows = await api.district.store.read(
        lambda c: repr(c.sql("SELECT * FROM absence_documents") + c.sql("SELECT * FROM journal"))
    )
    assert "absence.document_added" in rows
    for hidden in (PDF.decode(), "canary-7731", base64.b64encode(PDF).decode()[:20]):
        assert hidden not in rows


async def test_a_document_goes_with_the_student(api: Served) -> None:
    told = await added(api)

    def gone(tx: Transaction) -> None:
        erase(tx, "ann")

    await api.district.store.write(gone)
    assert (await api.get(f"{HERE}/{told['id']}", "admin")).status_code == 404
    kept = await api.district.store.read(lambda c: c.all(m.AbsenceDocument.select()))
    assert [one.content for one in kept] == [None]


async def test_what_is_let_go_takes_its_documents_along(api: Served) -> None:
    await added(api)
    custody = StoredCustody(api.district.store, None)
    done = await api.district.store.write(lambda tx: custody.let_go(tx, "ann"))
    assert done["absence_documents"] == 1
    assert await api.district.store.read(lambda c: c.all(m.AbsenceDocument.select())) == []


async def test_families_report_only_under_codes_that_are_theirs(api: Served) -> None:
    day = (world.TODAY + timedelta(days=3)).isoformat()
    code = {"code": "SUS", "title": "Suspended", "status": "excused", "edfi_category": "Excused Absence"}
    note = {**code, "code": "DOC", "title": "Doctor", "needs_document": True}
    saved = await api.call(
        "PUT", "~/attendance-codes", by="admin", json={"codes": [{**code, "for_families": False}, note]}
    )
    assert saved.status_code == 200
    for by, named, status in (
        ("guardian_ann", "SUS", 422),
        ("guardian_ann", "P", 422),
        ("admin", "SUS", 201),
        ("guardian_ann", "DOC", 201),
        ("guardian_ann", None, 201),
    ):
        body = {"first_day": day} | ({"code": named} if named else {})
        answer = await api.post("~/students/ann/absence-reports", by, body)
        told = await answer.get_json()
        assert answer.status_code == status, (by, named, told)
        if status == 201:
            assert told["needs_document"] is (named == "DOC")
