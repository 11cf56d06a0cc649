"""A guardian's pages without any script: messages, preferences, absences with documents; and their edges."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.datastructures import FileStorage

from homeroom.store import Transaction, new_id
from homeroom.store import models as m
from tests.services import world
from tests.services.browsing import PLUGINS, Browser, Page, browser
from tests.services.front import CHEAP
from tests.services.served import Served, served

PDF = b"%PDF-1.7\n% a note\n%%EOF\n"
NASTY = "<script>alert(1)</script>\u202eevil"
DAY = (world.TODAY + timedelta(days=7)).isoformat()


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=PLUGINS, sections={"accounts": CHEAP}) as running:
        yield running


async def sends(family: Browser, path: str, data: bytes | None, **fields: str) -> Page:
    """What follows when a form with a file is sent."""
    given: dict[str, Any] = {"form": fields}
    if data is not None:
        given["files"] = {"document": FileStorage(io.BytesIO(data), filename="../../note of ann <b>.pdf")}
    answer = await family.client.open(path, method="POST", headers={"Origin": "http://localhost"}, **given)
    if answer.status_code == 303:
        return await family.get(answer.headers["Location"])
    return Page(answer.status_code, path, await answer.get_data(as_text=True), answer.headers)


async def told(api: Served, *, text: str = "Ann was marked absent.", **values: Any) -> str:
    """A message that guardian_ann was sent about Ann."""
    message_id = new_id()

    def unit(tx: Transaction) -> None:
        row = {"rule_id": "r", "rule_version": 1, "kind": "absence", "purpose": "attendance", "school_id": "north"}
        row |= {"school_day": world.TODAY, "recipient_id": "guardian_ann", "audience": "guardian", "language": "en"}
        row |= {"channel": "sms", "state": "delivered", "student_id": "ann", "due_at": tx.now, "expires_at": tx.now}
        row |= {"created_at": tx.now, "changed_at": tx.now, **values}
        said = {"sms": text, "email": f"Mail: {text}", "subject": "A word"}
        content = tx.seal_for("ann", json.dumps(said))
        tx.insert(m.Notification, id=message_id, key=message_id, content=content, **row)

    await api.district.store.write(unit)
    return message_id


async def signed_in(api: Served, who: str = "guardian_ann", **given: Any) -> Browser:
    found = browser(api, **given)
    await found.signs_in(who)
    return found


# Messages


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("delivered", "It arrived."),
        ("accepted", "It was sent; whether it arrived is not known."),
        ("failed", "It did not arrive."),
        ("unknown", "Whether it arrived is not known yet."),
    ],
)
async def test_a_message_says_what_when_how_and_what_became_of_it(api: Served, state: str, says: str) -> None:
    await told(api, state=state)
    page = await (await signed_in(api)).get("/my-messages")
    assert page.heading == "My messages"
    for words in ("Ann was marked absent.", "Text message", says, str(world.TODAY.year), "<bdi>Ann Ann</bdi>"):
        assert words in page.text, words


async def test_a_mail_is_shown_with_its_subject_and_others_messages_are_not(api: Served) -> None:
    await told(api, channel="email")
    await told(api, text="For somebody else", recipient_id="guardian_cy")
    await told(api, text="Never sent", state="withheld")
    page = await (await signed_in(api)).get("/my-messages")
    assert "<strong>A word</strong>" in page.text
    assert "Mail: Ann was marked absent." in page.text
    assert "For somebody else" not in page.text
    assert "Never sent" not in page.text
    assert (
        "Nothing has been sent to you yet." in (await (await signed_in(api, "guardian_lost")).get("/my-messages")).text
    )


async def test_many_messages_come_page_by_page(api: Served) -> None:
    for number in range(23):
        await told(api, text=f"message {number:02};")
    family = await signed_in(api)
    page = await family.get("/my-messages")
    assert len(re.findall(r"<article", page.text)) == 20
    further = re.search(r'href="(/my-messages\?cursor=[^"]+)"', page.text)
    assert further is not None
    rest = await family.get(further[1])
    assert len(re.findall(r"<article", rest.text)) == 3
    assert "cursor" not in rest.text
    assert (await family.get("/my-messages?cursor=nonsense")).status == 422


async def test_a_guardian_chooses_language_channels_and_where_messages_go(api: Served) -> None:
    def contact(tx: Transaction) -> None:
        value = tx.seal_for("guardian_ann", "+12125550199")
        tx.insert(m.Contact, id="c1", user_id="guardian_ann", kind="sms", value=value, lookup="x", source="office")

    await api.district.store.write(contact)
    family = await signed_in(api)
    page = await family.get("/my-messages/preferences")
    assert "…0199" in page.text
    assert "+12125550199" not in page.text
    assert "español" in page.text
    answer = await family.client.post(
        "/my-messages/preferences",
        form={"language": "es", "channels": "email"},
        headers={"Origin": "http://localhost"},
    )
    assert answer.status_code == 303
    kept = await (await api.get("~/notifications/preferences", "guardian_ann")).get_json()
    assert (kept["language"], kept["channels"]) == ("es", ["email"])
    assert "It is kept" in (await family.get(answer.headers["Location"])).text
    page = await family.post("/my-messages/consent", contact_id="c1", channel="sms", state="withdrawn")
    assert "<p>No messages here</p>" in page.text
    page = await family.post("/my-messages/consent", contact_id="c1", channel="sms", state="given")
    assert "<p>You agree to messages here</p>" in page.text


async def test_a_wish_that_is_not_offered_is_refused_on_the_page(api: Served) -> None:
    family = await signed_in(api)
    page = await family.post("/my-messages/preferences", language="xx")
    assert (page.status, 'role="alert"' in page.text) == (422, True)
    page = await family.post("/my-messages/consent", contact_id="of_another", channel="sms", state="given")
    assert page.status == 404


# Absences and their documents


async def test_a_guardian_reports_under_a_code_with_a_document_and_the_office_opens_it(api: Served) -> None:
    code = {"code": "DOC", "title": "Doctor & <dentist>", "status": "excused", "edfi_category": "Excused Absence"}
    hidden = {**code, "code": "SUS", "title": "Suspended", "for_families": False}
    body = {"codes": [{**code, "needs_document": True}, hidden]}
    assert (await api.call("PUT", "~/attendance-codes", by="admin", json=body)).status_code == 200
    family = await signed_in(api)
    page = await family.get("/children/ann")
    assert "Doctor &amp; &lt;dentist&gt; (please add a document)" in page.text
    assert "Medical" in page.text
    assert not re.search(r"Suspended|Present<|Tardy<", page.text)

    page = await sends(family, "/children/ann/absence", PDF, first_day=DAY, last_day="", code="DOC", reason="Teeth")

    assert (page.status, page.path) == (200, "/children/ann")
    link = re.search(r'href="(/documents/\w+/\w+)">PDF', page.text)
    assert link is not None
    office = await signed_in(api, "admin_north")
    assert link[1] in (await office.get("/absences")).text
    for reader in (family, office):
        answer = await reader.client.get(link[1])
        assert await answer.get_data(as_text=False) == PDF
        assert answer.headers["Content-Disposition"] == f'attachment; filename="absence-{DAY}.pdf"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for who in ("guardian_cy", "guardian_lost", "bob", "admin_south"):
        assert (await (await signed_in(api, who)).get(link[1])).status in (403, 404), who


async def test_a_report_without_its_document_asks_for_it_and_takes_it_later(api: Served) -> None:
    code = {"code": "DOC", "title": "Doctor", "status": "excused", "edfi_category": "Excused Absence"}
    body = {"codes": [{**code, "needs_document": True}]}
    await api.call("PUT", "~/attendance-codes", by="admin", json=body)
    family = await signed_in(api)
    page = await sends(family, "/children/ann/absence", None, first_day=DAY, last_day="", code="DOC", reason="")
    assert "The school asks for a document." in page.text
    form = re.search(r'action="(/children/ann/absences/(?!report_ann)\w+/documents)"', page.text)
    assert form is not None
    empty = await sends(family, form[1], None)
    assert (empty.status, "Please choose a file first." in empty.text) == (422, True)
    page = await sends(family, form[1], PDF)
    assert page.status == 200
    assert "The school asks for a document." not in page.text


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [(b"<html>", 415, "this file is something else"), (PDF + b"x" * 5_242_880, 413, "too large")],
)
async def test_a_file_that_is_not_taken_leaves_the_report_and_says_so(
    api: Served, data: bytes, status: int, says: str
) -> None:
    family = await signed_in(api)
    page = await sends(family, "/children/ann/absence", data, first_day=DAY, last_day="", code="", reason="Flu")
    assert page.status == status
    assert "Your report is with the school, but the file was not taken." in page.text
    assert says in page.text
    reports = (await (await api.get("~/students/ann/absence-reports", "guardian_ann")).get_json())["items"]
    assert {one["first_day"]: one["documents"] for one in reports}[DAY] == []


async def test_a_form_larger_than_any_is_refused_in_words(api: Served) -> None:
    family = await signed_in(api)
    page = await sends(family, "/children/ann/absence", PDF + b"x" * 8_000_000, first_day=DAY, reason="Flu")
    assert (page.status, page.heading) == (413, "<bdi>Ann Ann</bdi>")
    assert "This file is too large, so nothing was sent." in page.text
    reports = (await (await api.get("~/students/ann/absence-reports", "guardian_ann")).get_json())["items"]
    assert [one["first_day"] for one in reports] == [world.TODAY.isoformat()]


async def test_what_was_chosen_stays_when_a_report_is_refused(api: Served) -> None:
    family = await signed_in(api)
    page = await sends(family, "/children/ann/absence", None, first_day="2026-02-31", code="MED", reason="Flu")
    assert page.status == 422
    assert '<option dir="auto" value="MED" selected>' in page.text
    assert page.value("reason") == "Flu"
    page = await sends(family, "/children/ann/absence", None, first_day=DAY, code="P", reason="")
    assert (page.status, "please choose another" in page.text) == (422, True)


# The law is not switched on


@pytest.mark.parametrize(
    "path",
    [
        "/records",
        "/records/ann",
        "/records/ann/entries",
        "/records/ann/entries/record_ann",
        "/records/ann/entries/record_ann/receipt",
        "/records/verifier.py",
        "/records/ann/inspections",
        "/records/ann/amendments",
        "/records/ann/privacy",
    ],
)
async def test_where_the_law_is_not_switched_on_the_pages_say_so_kindly(api: Served, path: str) -> None:
    family = await signed_in(api)
    page = await family.get(path)
    assert (page.status, page.heading) == (404, "Not here yet")
    assert "you have these rights all the same" in page.text
    assert 'href="/records' not in (await family.get("/children/ann")).text


async def test_names_and_texts_are_text_whatever_is_in_them(api: Served) -> None:
    def named(tx: Transaction) -> None:
        tx.run(m.User.update(preferred_given_name=NASTY, given_name=NASTY).where(m.User.id == "ann"))

    await api.district.store.write(named)
    await told(api, text="<img src=x onerror=alert(1)>\u202e")
    family = await signed_in(api)
    await sends(family, "/children/ann/absence", PDF, first_day=DAY, last_day="", code="", reason=NASTY)
    for path in ("/children", "/children/ann", "/my-messages"):
        text = (await family.get(path)).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\u202eevil" in text, path
        assert not re.search(r"<script>|<img", text), path
        for found in re.finditer("\u202e", text):  # always inside something that isolates its direction
            before = text[: found.start()]
            isolated = max(before.rfind(tag) for tag in ("<bdi>", "<title>", 'dir="auto"', 'value="', "<h1>"))
            assert isolated > before.rfind("</"), (path, before[-80:])
