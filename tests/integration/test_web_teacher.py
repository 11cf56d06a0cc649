"""The teacher's pages by links and forms alone: notes, undo, flags, corrections, and a substitute's link."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeroom import ApiAnswer
from homeroom.store import models as m
from tests.services import world
from tests.services.browsing import PLUGINS, Browser, Page, browser
from tests.services.front import CHEAP
from tests.services.served import Served, served


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=PLUGINS, sections={"accounts": CHEAP}) as running:
        yield running


async def opened(teacher: Browser) -> str:
    page = await teacher.post("/classes/biology/open")
    return str(re.search(r'data-session="(\w+)"', page.text)[1])  # type: ignore[index]


def status_of(page: Page, student: str) -> str:
    return str(re.search(rf'id="student-{student}".*?data-status="(\w*)"', page.text, re.DOTALL)[1])  # type: ignore[index]


def note_of(page: Page, student: str) -> str:
    found = re.search(rf'id="student-{student}".*?class="note">(.*?)</bdi>', page.text, re.DOTALL)
    return html.unescape(found[1])  # type: ignore[index]


async def flagged(api: Served, record: str = "record_bob") -> None:
    """Let a record wait for somebody to look at it."""
    doubt = [{"method": "geofence", "verdict": "review", "reason": "300 m <away>"}]
    values = {"needs_review": True, "evidence": doubt}
    await api.district.store.write(
        lambda tx: tx.run(m.AttendanceRecord.update(**values).where(m.AttendanceRecord.id == record))
    )


async def test_the_classes_say_which_is_open_with_one_question(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    inside = api.district.api
    assert inside is not None
    asked: list[str] = []

    async def listening(method: str, path: str, **given: Any) -> ApiAnswer:
        asked.append(path)
        return await inside(method, path, **given)

    monkeypatch.setattr(api.district, "api", listening)
    page = await teacher.get("/classes")
    assert asked == ["/api/v1/classes/?limit=100&with=latest_session"]
    assert '<span class="state">open</span>' in page.text
    await teacher.post("/sessions/session_biology/close")
    assert '<span class="state">closed for today</span>' in (await teacher.get("/classes")).text


async def test_a_session_of_another_class_is_in_nobodys_list(api: Served) -> None:
    told = await (await api.get("~/classes/?with=latest_session", "bob")).get_json()
    assert [(one["id"], one["latest_session"]["id"]) for one in told["items"]] == [("biology", "session_biology")]
    plain = await (await api.get("~/classes/", "bob")).get_json()
    assert plain["items"][0]["latest_session"] is None
    assert (await api.get("~/classes/?with=everything", "bob")).status_code == 422


async def test_a_note_is_kept_with_a_mark_and_lost_by_no_other(api: Served) -> None:
    teacher, other = browser(api), browser(api)
    await teacher.signs_in("teacher_b")
    await other.signs_in("teacher_parent")
    session = await opened(teacher)
    page = await teacher.post(
        f"/sessions/{session}/marks", student="bob", status="tardy", note="Bus <late> & cold", note_was=""
    )
    assert (status_of(page, "bob"), note_of(page, "bob")) == ("tardy", "Bus <late> & cold")
    # Somebody whose page is older marks without touching the note.
    page = await other.post(f"/sessions/{session}/marks", student="bob", status="present", note="", note_was="")
    assert (status_of(page, "bob"), note_of(page, "bob")) == ("present", "Bus <late> & cold")
    page = await teacher.post(f"/sessions/{session}/marks", student="bob", status="present", note="", note_was="Bus")
    assert note_of(page, "bob") == ""


async def test_the_last_time_all_others_were_marked_is_taken_back(api: Served) -> None:
    teacher, other = browser(api), browser(api)
    await teacher.signs_in("teacher_b")
    await other.signs_in("teacher_parent")
    session = await opened(teacher)
    page = await teacher.post(f"/sessions/{session}/rest-present")
    assert (status_of(page, "bob"), status_of(page, "dan")) == ("present", "present")
    assert "Undo: take 2 marks back" in page.text
    assert "Undo" not in (await other.get("/classes/biology")).text  # it is for who did it
    await other.post(f"/sessions/{session}/undo")
    await other.post(f"/sessions/{session}/marks", student="dan", status="absent")

    page = await teacher.post(f"/sessions/{session}/undo")

    assert "Taken back: 1. Left as they are, because somebody has marked them since: 1." in page.text
    assert (status_of(page, "bob"), status_of(page, "dan")) == ("", "absent")
    assert "Undo" not in page.text
    page = await teacher.post(f"/sessions/{session}/undo")
    assert (page.status, status_of(page, "dan")) == (200, "absent")


async def test_after_the_roll_is_closed_nothing_is_taken_back(api: Served) -> None:
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    session = await opened(teacher)
    await teacher.post(f"/sessions/{session}/rest-present")
    await teacher.post(f"/sessions/{session}/close")
    page = await teacher.post(f"/sessions/{session}/undo")
    assert page.status == 409
    assert "This session is closed" in page.text
    assert status_of(await teacher.get("/classes/biology"), "bob") == "present"


async def test_a_flag_says_why_and_is_accepted(api: Served) -> None:
    await flagged(api)
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    page = await teacher.get("/classes/biology")
    assert "geofence: 300 m &lt;away&gt;" in page.text
    page = await teacher.post(
        "/attendance/record_bob/review", decision="accept", status="present", version="1", back="class"
    )
    assert page.path == "/classes/biology"
    assert "Please look at these" not in page.text
    assert "Looked at: the student is there." in (await teacher.get("/attendance/record_bob")).text


async def test_a_flag_is_disputed_by_marking_the_student_absent(api: Served) -> None:
    await flagged(api)
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    page = await teacher.post("/attendance/record_bob/review", decision="dispute", status="present", version="1")
    assert page.path == "/attendance/record_bob"
    assert "Looked at: the student is not there." in page.text
    assert status_of(await teacher.get("/classes/biology"), "bob") == "absent"


async def test_a_correction_has_its_reason_and_shows_every_version(api: Served) -> None:
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    page = await teacher.get("/attendance/record_bob")
    assert (page.heading, page.value("version")) == ("Bob Bob", "1")
    page = await teacher.post(
        "/attendance/record_bob", status="excused", note="Slip <seen>", reason="With the nurse", version="1"
    )
    assert (page.status, page.path) == (200, "/attendance/record_bob")
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", page.text, re.DOTALL)
    assert len(rows) == 2
    assert all(text in rows[0] for text in ("excused", "Teacher B", "With the nurse", "Slip &lt;seen&gt;"))
    assert all(text in rows[1] for text in ("present", "marked on the roll"))
    assert page.value("version") == "2"


async def test_a_correction_without_a_reason_is_asked_for_it_and_keeps_what_was_typed(api: Served) -> None:
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    page = await teacher.post("/attendance/record_bob", status="absent", note="A note", reason="  ", version="1")
    assert page.status == 422
    assert "Please say why" in page.text
    assert page.value("note") == "A note"
    assert re.search(r'value="absent" checked', page.text)


async def test_of_two_corrections_at_once_the_second_sees_the_first(api: Served) -> None:
    teacher, other = browser(api), browser(api)
    await teacher.signs_in("teacher_b")
    await other.signs_in("teacher_parent")
    await other.post("/attendance/record_bob", status="tardy", note="", reason="Came at ten past", version="1")
    page = await teacher.post("/attendance/record_bob", status="absent", note="", reason="Not seen", version="1")
    assert page.status == 412
    assert "Somebody has changed this record while you were looking." in page.text
    assert "Came at ten past" in page.text
    assert (page.value("version"), page.value("reason")) == ("2", "Not seen")
    page = await teacher.post("/attendance/record_bob", status="absent", note="", reason="Not seen", version="2")
    assert page.status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"status": "asleep", "reason": "x", "version": "1"}, 422),
        ({"status": "absent", "reason": "x", "version": "one"}, 412),
        ({"status": "absent", "reason": "x", "version": "\u0661"}, 412),
        ({"status": "absent", "reason": "x"}, 412),
        ({"status": "absent", "reason": "x" * 2001, "version": "1"}, 422),
    ],
)
async def test_a_correction_that_cannot_be_is_said(api: Served, sent: dict[str, str], status: int) -> None:
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    page = await teacher.post("/attendance/record_bob", **sent)
    assert page.status == status
    assert 'role="alert"' in page.text


@pytest.mark.parametrize("who", ["teacher_a", "admin_south", "dan", "guardian_cy"])
async def test_nobody_else_corrects_or_reads_a_history(api: Served, who: str) -> None:
    visitor = browser(api)
    await visitor.signs_in(who)
    assert (await visitor.get("/attendance/record_bob")).status in (403, 404)
    page = await visitor.post("/attendance/record_bob", status="absent", reason="x", version="1")
    assert page.status in (403, 404)
    assert (await visitor.get("/classes/biology/substitutes")).status in (403, 404)


async def test_the_projector_counts_down_and_says_how_many_are_in(api: Served) -> None:
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    session = await opened(teacher)
    page = await teacher.get(f"/sessions/{session}/screen")
    left = int(re.search(r"data-left>(\d+)<", page.text)[1])  # type: ignore[index]
    assert 0 <= left <= 60
    assert '<noscript><meta http-equiv="refresh"' in page.text
    assert "0 of 2 are in" in page.text


async def test_a_substitute_comes_in_by_the_link_and_takes_the_roll(api: Served) -> None:
    teacher, sub = browser(api), browser(api)
    await teacher.signs_in("teacher_b")
    page = await teacher.post("/classes/biology/substitutes", name="Ms <Rivera>", day=world.TODAY.isoformat())
    assert page.status == 200
    link = html.unescape(re.search(r'id="link" readonly value="([^"]+)"', page.text)[1])  # type: ignore[index]
    assert "Ms &lt;Rivera&gt; (substitute for Biology)" in page.text
    secret = link.partition("link=")[2]
    assert secret not in (await teacher.get("/classes/biology/substitutes")).text  # it was shown once

    asked = await sub.get(f"/stand-in?link={secret}")
    assert asked.heading == "Stand in for a teacher"
    assert (await sub.get("/classes")).path.startswith("/sign-in")  # nothing begins by looking
    page = await sub.post("/stand-in", link=secret)
    assert page.path == "/classes"
    assert re.findall(r'href="/classes/(\w+)"', page.text) == ["biology"]
    page = await sub.get("/classes/biology")
    assert "/attendance/" not in page.text
    assert "substitutes" not in page.text
    page = await sub.post("/sessions/session_biology/marks", student="dan", status="absent", note="", note_was="")
    assert status_of(page, "dan") == "absent"
    page = await sub.post("/sessions/session_biology/rest-present")
    assert (await sub.get("/classes/algebra")).status == 404
    assert (await sub.get("/attendance/record_bob")).status == 403

    made = re.search(
        r'action="(/classes/biology/substitutes/\w+/revoke)"', (await teacher.get("/classes/biology/substitutes")).text
    )
    page = await teacher.post(made[1])  # type: ignore[index]
    assert "ended" in page.text
    assert (await sub.get("/classes/biology")).path.startswith("/sign-in")
    page = await browser(api).post("/stand-in", link=secret)
    assert page.status == 403
    assert "This link is not valid" in page.text


@pytest.mark.parametrize(
    ("name", "day"),
    [("", world.TODAY.isoformat()), ("x" * 81, ""), ("Ms Rivera", "2026-02-31"), ("Ms R", "1999-01-01")],
)
async def test_a_link_that_cannot_be_is_said_and_keeps_what_was_typed(api: Served, name: str, day: str) -> None:
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    page = await teacher.post("/classes/biology/substitutes", name=name, day=day)
    assert page.status == 422
    assert 'role="alert"' in page.text
    assert (page.value("name"), page.value("day")) == (name, day)
    assert 'id="link"' not in page.text


async def test_a_mark_that_is_sent_when_the_session_has_ended_survives_signing_in(api: Served) -> None:
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    await teacher.post("/sign-out")
    page = await teacher.post("/attendance/record_bob", status="absent", note="", reason="Not seen", version="1")
    assert page.status == 401
    assert page.value("kept.reason") == "Not seen"
