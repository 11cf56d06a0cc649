"""The pages on the rights to a record, without any script, with the plugin that keeps the law switched on."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from homeroom.store import Transaction
from homeroom.store import models as m
from homeroom_ferpa.access import ledger
from tests.services import lawful, world
from tests.services.browsing import PLUGINS, Browser, browser
from tests.services.front import CHEAP
from tests.services.served import Served, served

ANN = "~/compliance/students/ann"
WORDS = "The bus was late, she was there. <script>alert(1)</script>\u202e"
SAFE = "The bus was late, she was there. &lt;script&gt;alert(1)&lt;/script&gt;\u202e"


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    sections = {"accounts": CHEAP}
    async with served(sqlite_url, enabled=[*PLUGINS, "ferpa"], required=["ferpa"], sections=sections) as running:
        yield running


async def signed_in(api: Served, who: str = "guardian_ann") -> Browser:
    found = browser(api)
    await found.signs_in(who)
    return found


async def marked(api: Served) -> str:
    """The id of an entry of Ann's that her teacher has made and corrected."""
    session = await (await api.post("~/classes/algebra/sessions", "teacher_a", {})).get_json()
    path = f"~/sessions/{session['id']}/attendance"
    for status in ("absent", "tardy"):
        answer = await api.call("PUT", path, by="teacher_a", json={"marks": [{"student_id": "ann", "status": status}]})
        assert answer.status_code == 200
    return str((await answer.get_json())["items"][0]["id"])


async def taken(family: Browser, path: str) -> tuple[bytes, str]:
    """A file that a page gives, and how."""
    answer = await family.client.get(path)
    assert answer.status_code == 200, path
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return await answer.get_data(as_text=False), answer.headers["Content-Disposition"]


async def test_a_guardian_comes_from_the_first_page_to_every_right(api: Served) -> None:
    family = await signed_in(api)
    page = await family.get("/children/ann")
    assert 'href="/records"' in page.text
    assert 'href="/records/ann"' in page.text
    page = await family.get("/records")
    assert "inspect and review" in page.text  # the annual notice
    page = await family.get("/records/ann")
    for part in ("entries", "inspections", "amendments", "privacy"):
        assert f'href="/records/ann/{part}"' in page.text
        assert (await family.get(f"/records/ann/{part}")).status == 200


@pytest.mark.parametrize("who", ["guardian_cy", "guardian_lost", "bob", "teacher_b"])
async def test_nobody_sees_another_familys_record(api: Served, who: str) -> None:
    record = await marked(api)
    visitor = await signed_in(api, who)
    for part in ("", "/entries", f"/entries/{record}", f"/entries/{record}/receipt", "/inspections", "/amendments"):
        assert (await visitor.get(f"/records/ann{part}")).status in (403, 404), part
    assert (await visitor.get("/records/ann/privacy")).status in (403, 404)
    for path, fields in (
        ("/records/ann/inspections", {}),
        (f"/records/ann/entries/{record}", {"why": "Because."}),
        ("/records/ann/directory", {"listed": "no"}),
    ):
        assert (await visitor.post(path, **fields)).status in (403, 404), path
    assert await api.district.store.read(lambda c: c.sql("SELECT count(*) FROM ferpa_inspections")) == [(0,)]


# The receipt


async def test_the_receipt_and_the_program_that_the_pages_give_prove_the_entry(api: Served, tmp_path: Path) -> None:
    record = await marked(api)
    family = await signed_in(api)
    page = await family.get("/records/ann/entries")
    assert f'href="/records/ann/entries/{record}"' in page.text
    page = await family.get(f"/records/ann/entries/{record}")
    assert "Recorded" in page.text
    assert "Corrected" in page.text
    for name, path in (
        ("receipt.json", f"/records/ann/entries/{record}/receipt"),
        ("verifier.py", "/records/verifier.py"),
    ):
        assert f'href="{path}"' in page.text
        content, given = await taken(family, path)
        assert given == f'attachment; filename="{name}"'
        (tmp_path / name).write_bytes(content)
    command = re.search(r'python (verifier\.py receipt\.json --key) "([^"]+)"', html.unescape(page.text))
    assert command is not None

    def run() -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-I", *command[1].split(), command[2]]
        return subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)

    good = run()
    assert (good.returncode, good.stderr) == (0, "")
    assert "recorded as absent" in good.stdout
    assert "corrected as tardy (before: absent)" in good.stdout
    assert "All of it holds." in good.stdout

    receipt = tmp_path / "receipt.json"
    receipt.write_text(receipt.read_text().replace("tardy", "late!"))
    changed = run()
    assert changed.returncode == 1
    assert "NOT ALL OF IT HOLDS" in changed.stdout


async def test_an_entry_that_the_log_does_not_know_is_said_not_to_be_there(api: Served) -> None:
    page = await (await signed_in(api)).get("/records/ann/entries/no-such")
    assert (page.status, page.heading) == (404, "That was not possible")


# Inspection


async def test_a_family_asks_to_inspect_and_gets_its_copy_when_it_is_ready(api: Served) -> None:
    family = await signed_in(api)
    page = await family.post("/records/ann/inspections", wish=WORDS)
    assert (page.status, page.path) == (200, "/records/ann/inspections")
    assert SAFE in page.text
    assert "The school is preparing it." in page.text
    assert "/copy" not in page.text
    [asked] = (await (await api.get(f"{ANN}/inspections", "admin")).get_json())["items"]
    copy = f"/records/ann/inspections/{asked['id']}/copy"
    assert (await family.get(copy)).status == 409
    ended = await api.post(f"{ANN}/inspections/{asked['id']}/end", "admin", {"state": "fulfilled"})
    assert ended.status_code == 200
    page = await family.get("/records/ann/inspections")
    assert f'href="{copy}"' in page.text
    content, given = await taken(family, copy)
    assert given == 'attachment; filename="education-record.html"'
    assert b"Education record of Ann" in content

    page = await family.post(f"/records/ann/inspections/{asked['id']}/question", question="What is MED?")
    assert "What is MED?" in page.text
    assert "The school has not answered yet." in page.text
    assert "are ready" in (await family.get("/records/ann")).text  # the letter


async def test_a_question_without_words_is_refused_on_the_page(api: Served) -> None:
    family = await signed_in(api)
    await family.post("/records/ann/inspections", wish="")
    [asked] = (await (await api.get(f"{ANN}/inspections", "admin")).get_json())["items"]
    page = await family.post(f"/records/ann/inspections/{asked['id']}/question", question="  ")
    assert (page.status, 'role="alert"' in page.text) == (422, True)


async def test_a_document_that_a_family_has_sent_is_part_of_the_record(api: Served) -> None:
    document = await api.post("~/absence-reports/report_ann/documents", "guardian_ann", {"content": "JVBERi0xLjcK"})
    assert document.status_code == 201
    asked = (await (await api.post(f"{ANN}/inspections", "guardian_ann", {})).get_json())["item"]
    await api.post(f"{ANN}/inspections/{asked['id']}/end", "admin", {"state": "fulfilled"})
    content, _ = await taken(await signed_in(api), f"/records/ann/inspections/{asked['id']}/copy")
    inside = re.search(r'id="record">(.*?)</script>', content.decode(), re.DOTALL)
    assert inside is not None
    [one] = json.loads(inside[1])["absence_documents"]
    assert (one["kind"], one["content"]) == ("pdf", "JVBERi0xLjcK")


# Amendment, hearing, statement


async def test_a_family_follows_a_request_through_refusal_hearing_and_statement(api: Served) -> None:
    record, family = await marked(api), await signed_in(api)
    empty = await family.post(f"/records/ann/entries/{record}", why=" ", status="present")
    assert (empty.status, 'role="alert"' in empty.text) == (422, True)
    assert '<option value="present" selected>' in empty.text
    page = await family.post(f"/records/ann/entries/{record}", why=WORDS, status="present")
    assert page.path == "/records/ann/amendments"
    assert SAFE in page.text
    assert "The school is looking into it." in page.text
    again = await family.post(f"/records/ann/entries/{record}", why="Again, the bus.", status="present")
    assert (again.status, "Again, the bus." in again.text) == (409, True)

    [asked] = (await (await api.get(f"{ANN}/amendments", "admin")).get_json())["items"]
    early = await family.post(f"/records/ann/amendments/{asked['id']}/hearing")
    assert (early.status, 'role="alert"' in early.text) == (409, True)
    decided = await api.post(
        f"{ANN}/amendments/{asked['id']}/decision", "admin", {"accept": False, "decision": "The list says tardy."}
    )
    assert decided.status_code == 200
    page = await family.get("/records/ann/amendments")
    assert "You may ask for a hearing." in page.text
    assert "The list says tardy." in page.text

    page = await family.post(f"/records/ann/amendments/{asked['id']}/hearing")
    assert "A hearing was asked for" in page.text
    [hearing] = (await (await api.get(f"{ANN}/hearings", "admin")).get_json())["items"]
    day = world.TODAY.isoformat()
    protocol = {"held_on": day, "place": "Room 4", "notice_on": day, "officer": "Dr. Okafor", "disinterested": True}
    protocol |= {"evidence": "The bus's log.", "reasons": "It was on time.", "decision": "It stays.", "outcome": "keep"}
    assert (await api.post(f"{ANN}/hearings/{hearing['id']}/decision", "admin", protocol)).status_code == 200
    page = await family.get("/records/ann/amendments")
    for words in ("Room 4", "It stays.", "The bus&#39;s log.", "It was on time.", "You may add a statement"):
        assert words in page.text, words

    blank = await family.post(f"/records/ann/hearings/{hearing['id']}/statement", text=" ")
    assert (blank.status, 'role="alert"' in blank.text) == (422, True)
    page = await family.post(f"/records/ann/hearings/{hearing['id']}/statement", text=WORDS)
    assert page.path == "/records/ann/amendments"
    assert page.text.count(SAFE) == 2
    twice = await family.post(f"/records/ann/hearings/{hearing['id']}/statement", text="Another")
    assert twice.status == 409


async def test_an_accepted_request_shows_in_the_receipt(api: Served) -> None:
    record, family = await marked(api), await signed_in(api)
    await family.post(f"/records/ann/entries/{record}", why="She was there.", status="present")
    [asked] = (await (await api.get(f"{ANN}/amendments", "admin")).get_json())["items"]
    await api.post(f"{ANN}/amendments/{asked['id']}/decision", "admin", {"accept": True, "decision": "So it was."})
    page = await family.get("/records/ann/amendments")
    assert "The entry was changed; what it said before is kept." in page.text
    page = await family.get(f"/records/ann/entries/{record}")
    assert page.text.count("Corrected") == 2


# Directory and consents


async def test_a_family_keeps_a_child_out_of_the_directory_and_lets_it_in_again(api: Served) -> None:
    family = await signed_in(api)
    page = await family.get("/records/ann/privacy")
    assert "This student may be listed in the directory." in page.text
    page = await family.post("/records/ann/directory", listed="no", version="0")
    assert "This student is kept out of the directory." in page.text
    stale = await family.post("/records/ann/directory", listed="yes", version="99")
    assert (stale.status, 'role="alert"' in stale.text) == (412, True)
    assert "This student is kept out of the directory." in stale.text
    page = await family.post("/records/ann/directory", listed="yes", version=page.value("version"))
    assert "This student may be listed in the directory." in page.text


async def test_a_long_record_of_disclosures_is_leafed_through(api: Served) -> None:
    def unit(tx: Transaction) -> None:
        for number in range(101):
            at = f"2026-01-01T00:{number // 60:02}:{number % 60:02}.000000Z"
            entry = ledger.Entry(id=f"e-{number}", at=at, party=f"key:k-{number}", interest="all", basis="99.31")
            ledger.enter(tx, replace(entry, students=("ann",)))

    await api.district.store.write(unit)
    family = await signed_in(api)
    page = await family.get("/records/ann/privacy")
    assert ("key:k-100<" in page.text, "key:k-0<" in page.text) == (True, False)
    older = re.search(r'href="(/records/ann/privacy\?cursor=[^"#]+)#ledger">Older ones', page.text)
    assert older is not None
    page = await family.get(html.unescape(older[1]))
    assert ("key:k-100<" in page.text, "key:k-0<" in page.text) == (False, True)
    assert "Older ones" not in page.text


CONSENT = {
    "party": "Lakeside Sports Club",
    "purpose": "activities",
    "records": "attendance",
    "text": "The club may see when she was at school. <b>",
    "ends_on": "",
}


async def test_a_family_signs_a_consent_and_revokes_it(api: Served) -> None:
    family = await signed_in(api)
    page = await family.post("/records/ann/consents", **CONSENT)
    assert page.path == "/records/ann/privacy"
    assert "<bdi>Lakeside-Sports-Club</bdi>" in page.text
    assert "when she was at school. &lt;b&gt;" in page.text
    [kept] = (await (await api.get("~/compliance/consents?student_id=ann", "admin")).get_json())["items"]
    assert (kept["signed_by"], kept["records"], kept["purpose"]) == ("guardian_ann", ["attendance"], "activities")
    assert kept["authenticated"].startswith("session:")
    page = await family.post(f"/records/ann/consents/{kept['id']}/revoke", version=str(kept["version"]))
    assert "Revoked:" in page.text
    twice = await family.post(f"/records/ann/consents/{kept['id']}/revoke", version=str(kept["version"]))
    assert (twice.status, 'role="alert"' in twice.text) == (412, True)


@pytest.mark.parametrize(
    "wrong", [{"text": "Short."}, {"party": "ملعب"}, {"records": ""}, {"ends_on": "2001-01-01"}, {"purpose": "?!"}]
)
async def test_a_consent_that_lacks_anything_is_refused_with_what_was_filled_in(
    api: Served, wrong: dict[str, str]
) -> None:
    family = await signed_in(api)
    given = {**CONSENT, **wrong}
    page = await family.post("/records/ann/consents", **given)
    assert (page.status, 'role="alert"' in page.text) == (422, True)
    assert (page.value("party"), page.value("ends_on")) == (given["party"], given["ends_on"])
    assert await api.district.store.read(lambda c: c.sql("SELECT count(*) FROM ferpa_consents")) == [(0,)]


# Who holds the rights


async def test_an_eligible_student_has_the_pages_and_the_parent_has_them_no_more(api: Served) -> None:
    await lawful.born(api, "ann", lawful.years_ago(18))
    ann = await signed_in(api, "ann")
    assert 'href="/records"' in (await ann.get("/days")).text
    assert 'href="/records/ann"' in (await ann.get("/records")).text
    for part in ("", "/entries", "/inspections", "/amendments", "/privacy"):
        assert (await ann.get(f"/records/ann{part}")).status == 200, part
    page = await ann.post("/records/ann/directory", listed="no", version="0")
    assert "This student is kept out of the directory." in page.text
    page = await ann.post("/records/ann/consents", **CONSENT)
    assert page.status == 200
    parent = await signed_in(api)
    page = await parent.get("/records/ann/privacy")
    assert (page.status, "These rights have passed to the student" in page.text) == (403, True)


async def test_a_younger_student_is_shown_no_link_and_may_decide_nothing(api: Served) -> None:
    await lawful.born(api, "ann", lawful.years_ago(17))
    ann = await signed_in(api, "ann")
    assert 'href="/records"' not in (await ann.get("/days")).text
    assert (await ann.get("/records/ann/privacy")).status == 403
    assert (await ann.post("/records/ann/directory", listed="no", version="0")).status == 403


async def test_an_order_of_a_court_shuts_the_pages_and_hides_what_was_sent(api: Served) -> None:
    await lawful.order(api)

    def told(tx: Transaction) -> None:
        row: dict[str, Any] = {"rule_id": "r", "rule_version": 1, "kind": "absence", "purpose": "attendance"}
        row |= {"school_id": "north", "audience": "guardian", "language": "en", "channel": "sms", "state": "delivered"}
        row |= {"due_at": tx.now, "expires_at": tx.now, "created_at": tx.now, "changed_at": tx.now}
        for key, student in (("about-ann", "ann"), ("about-nobody", None)):
            content = tx.seal_for("ann", '{"sms": "Ann was absent."}') if student else None
            tx.insert(
                m.Notification,
                id=key,
                key=key,
                recipient_id="guardian_ann",
                student_id=student,
                content=content,
                **row,
            )

    await api.district.store.write(told)
    family = await signed_in(api)
    assert (await family.get("/records/ann/privacy")).status == 403
    page = await family.get("/my-messages")
    assert page.status == 200
    assert "message-about-nobody" in page.text
    assert "Ann was absent." not in page.text
