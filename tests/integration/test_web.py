"""The pages without any script: everything works by links and forms."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from homeroom import ApiAnswer
from homeroom.store import models as m
from homeroom.store import now_utc
from tests.services import world
from tests.services.browsing import PASSWORD, PLUGINS, Browser, browser
from tests.services.front import CHEAP
from tests.services.served import Served, served


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=PLUGINS, sections={"accounts": CHEAP}) as running:
        yield running


async def _opened(teacher: Browser, class_id: str = "biology") -> str:
    """The id of the session that the teacher has just opened."""
    page = await teacher.post(f"/classes/{class_id}/open")
    assert page.path == f"/classes/{class_id}"
    return str(re.search(r'data-session="(\w+)"', page.text)[1])  # type: ignore[index]


async def _link(teacher: Browser, session: str) -> str:
    """What the picture on the screen leads to."""
    shown = await teacher.api.get(f"~/sessions/{session}/challenge", "teacher_b")
    link: str = (await shown.get_json())["link"]
    return link


async def _code(teacher: Browser, session: str) -> str:
    page = await teacher.get(f"/sessions/{session}/screen")
    assert "<svg" in page.text
    return str(re.search(r'class="digits"[^>]*>(\d+)<', page.text)[1])  # type: ignore[index]


async def test_who_is_not_signed_in_signs_in_first_and_then_comes_to_the_page(api: Served) -> None:
    ann = browser(api)
    asked = await ann.get("/days")
    assert asked.path == "/sign-in?next=%2Fdays"
    assert asked.value("next") == "/days"
    there = await ann.signs_in("ann", onward="/days")
    assert (there.path, there.heading) == ("/days", "My days")
    assert (await ann.get("/")).path == "/check-in"
    left = await ann.post("/sign-out")
    assert left.path == "/sign-in"
    assert (await ann.get("/days")).path.startswith("/sign-in")


async def test_a_wrong_password_is_said_and_the_address_stays(api: Served) -> None:
    ann = browser(api)
    await ann.signs_in("ann")
    await ann.post("/sign-out")
    page = await ann.post("/sign-in", email="ann@example.org", password="wrong", next="/days")
    assert page.status == 401
    assert 'role="alert"' in page.text
    assert (page.value("email"), page.value("next")) == ("ann@example.org", "/days")


_ELSEWHERE = [
    *("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"),
    *("/\t\\evil.example", "/\n/evil.example", "/\r\\evil.example", "/x\\..\\evil.example"),
]


@pytest.mark.parametrize("onward", _ELSEWHERE)
async def test_signing_in_leads_to_no_other_site(api: Served, onward: str) -> None:
    page = await browser(api).signs_in("ann", onward=onward)
    assert page.path == "/check-in"


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://localhost.evil.example"])
async def test_a_form_of_another_site_does_nothing(api: Served, origin: str | None) -> None:
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    before = await (await api.get("~/classes/biology/sessions", "teacher_b")).get_json()
    page = await teacher.post("/classes/biology/open", origin=origin)
    assert page.status == 403
    assert await (await api.get("~/classes/biology/sessions", "teacher_b")).get_json() == before


async def test_a_student_types_the_code_and_sees_what_was_recorded(api: Served) -> None:
    teacher, bob = browser(api), browser(api)
    assert (await teacher.signs_in("teacher_b")).path == "/classes"
    session = await _opened(teacher)
    form = await bob.signs_in("bob")
    assert form.value("session") == session
    wrong = await bob.post("/check-in", session=session, code="12")
    assert wrong.status == 422
    assert 'role="alert"' in wrong.text

    page = await bob.post("/check-in", session=session, code=await _code(teacher, session))

    assert (page.status, page.heading) == (200, "You are in")
    assert "You are recorded as present." in page.text
    board = await teacher.get("/classes/biology")
    assert re.search(r'id="student-bob".*?data-status="present"', board.text, re.DOTALL)
    assert '<b data-count="present">1</b>' in board.text
    assert "present" in (await bob.get("/days")).text
    assert "1 of 2 are in" in (await teacher.get(f"/sessions/{session}/screen")).text


async def test_a_scan_before_signing_in_is_not_lost(api: Served) -> None:
    teacher, dan = browser(api), browser(api)
    await teacher.signs_in("teacher_b")
    session = await _opened(teacher)
    asked = await dan.get(await _link(teacher, session))
    assert asked.path.startswith("/sign-in")

    form = await dan.signs_in("dan", onward=asked.value("next"))

    assert form.value("session") == session
    assert form.value("scan").startswith("r.")
    page = await dan.post("/check-in", session=session, scan=form.value("scan"))
    assert page.heading == "You are in"
    assert 'name="scan"' not in (await dan.get("/check-in")).text


async def test_a_picture_that_has_changed_is_said_to_have(api: Served) -> None:
    bob, teacher = browser(api), browser(api)
    await teacher.signs_in("teacher_b")
    session = await _opened(teacher)
    await bob.signs_in("bob")
    page = await bob.get(f"/check-in?session={session}&scan=AAAAAAAA")
    assert page.status == 422
    assert "That picture has changed already." in page.text


async def test_a_teacher_marks_one_then_all_others_and_closes(api: Served) -> None:
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    session = await _opened(teacher)
    page = await teacher.post(f"/sessions/{session}/marks", student="bob", status="tardy")
    assert re.search(r'id="student-bob".*?data-status="tardy"', page.text, re.DOTALL)
    page = await teacher.post(f"/sessions/{session}/rest-present")
    assert re.search(r'id="student-dan".*?data-status="present"', page.text, re.DOTALL)
    assert re.search(r'id="student-bob".*?data-status="tardy"', page.text, re.DOTALL)
    page = await teacher.post(f"/sessions/{session}/close")
    assert "/screen" not in page.text
    assert "This session is closed" in (await teacher.get(f"/sessions/{session}/screen")).text


async def test_nobody_has_more_rights_here_than_by_the_interface_for_programs(api: Served) -> None:
    bob, teacher = browser(api), browser(api)
    await bob.signs_in("bob")
    await teacher.signs_in("teacher_a")
    assert (await teacher.get("/classes/biology")).status == 404
    assert (await teacher.post("/classes/biology/open")).status == 404
    assert (await bob.post("/classes/biology/open")).status in (403, 404)
    page = await bob.get("/classes/biology")
    assert "dan" not in page.words.casefold()


async def test_names_are_text_whatever_is_in_them(api: Served) -> None:
    nasty = "<script>alert(1)</script>\u202eevil"
    await api.district.store.write(
        lambda tx: tx.run(m.User.update(preferred_given_name=nasty, given_name=nasty).where(m.User.id == "bob"))
    )
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    page = await teacher.get("/classes/biology")
    assert "<script>alert" not in page.text
    assert "<bdi>&lt;script&gt;" in page.text


async def test_a_session_that_has_run_out_is_renewed_once_for_many_requests(api: Served) -> None:
    """A refresh token works once: used twice, it would end the session."""
    bob = browser(api)
    await bob.signs_in("bob")
    with time_machine.travel(now_utc() + timedelta(hours=2), tick=True):
        pages = await asyncio.gather(*(bob.get("/days") for _ in range(5)))
        assert {page.path for page in pages} == {"/days"}
        assert (await bob.get("/days")).path == "/days"


async def test_a_slow_request_beside_another_that_renewed_meanwhile_ends_no_session(
    api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it knew of the tokens when it began has been used up by the other."""
    bob = browser(api)
    await bob.signs_in("bob")
    inside = api.district.api
    assert inside is not None
    refused, go_on = asyncio.Event(), asyncio.Event()

    async def slow(method: str, path: str, **given: Any) -> ApiAnswer:
        answer = await inside(method, path, **given)
        if answer.status == 401 and not refused.is_set():
            refused.set()
            await go_on.wait()
        return answer

    with time_machine.travel(now_utc() + timedelta(hours=2), tick=True) as clock:
        monkeypatch.setattr(api.district, "api", slow)
        first = asyncio.create_task(bob.get("/days"))
        await refused.wait()
        assert (await bob.get("/days")).path == "/days"
        clock.shift(timedelta(seconds=15))  # longer than one that renews may take
        monkeypatch.setattr(api.district.limiter, "_clock", lambda: time.monotonic() + 15)
        go_on.set()
        assert (await first).path == "/days"
        assert (await bob.get("/days")).path == "/days"


async def test_a_session_that_was_ended_elsewhere_is_ended_here(api: Served) -> None:
    bob = browser(api)
    await bob.signs_in("bob")
    sign_ins = (await (await api.get("~/auth/sessions", "bob")).get_json())["items"]
    for one in sorted(sign_ins, key=lambda one: bool(one["current"])):  # one's own last
        assert (await api.call("DELETE", f"~/auth/sessions/{one['id']}", by="bob")).status_code in (200, 204)
    await api.district.tail.catch_up()
    assert (await bob.get("/days")).path.startswith("/sign-in")


@pytest.mark.parametrize(("language", "heading"), [("es-MX,es;q=0.9", "Iniciar sesión"), ("fr,en", "Sign in")])
async def test_a_page_speaks_the_browsers_language(api: Served, language: str, heading: str) -> None:
    page = await browser(api, language=language).get("/sign-in")
    assert page.heading == heading
    assert f'lang="{language[:2] if heading != "Sign in" else "en"}"' in page.text


async def test_pages_are_kept_nowhere_and_run_no_script_of_others(api: Served) -> None:
    page = await browser(api).get("/sign-in")
    assert page.headers["Cache-Control"] == "no-store"
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?! src=\"/static/)|\son\w+=|style=", page.text)
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    ticket = await teacher.post("/ticket")
    assert (ticket.status, ticket.headers["Cache-Control"]) == (200, "no-store")
    style = await browser(api).get("/static/web.css")
    assert style.headers["Cache-Control"].startswith("public")


async def test_a_guardian_reports_an_absence_and_the_office_approves_it(api: Served) -> None:
    family, office = browser(api), browser(api)
    page = await family.signs_in("guardian_ann")
    assert page.path == "/children"
    assert re.findall(r'href="/children/(\w+)"', page.text) == ["ann"]
    day = (world.TODAY + timedelta(days=7)).isoformat()
    page = await family.post("/children/ann/absence", first_day=day, last_day="", reason="A visit <b>abroad</b>")
    assert (page.status, page.path) == (200, "/children/ann")
    assert "reported" in page.text
    assert "&lt;b&gt;abroad" in page.text

    queue = await office.signs_in("admin_north", onward="/absences")
    told = (await (await api.get("~/students/ann/absence-reports", "admin_north")).get_json())["items"]
    [report] = [one for one in told if one["first_day"] == day]
    assert f'action="/absences/{report["id"]}"' in queue.text
    page = await office.post(f"/absences/{report['id']}", decision="approve")
    assert page.path == "/absences", page.text
    assert f'action="/absences/{report["id"]}"' not in page.text
    assert "approved" in (await family.get("/children/ann")).text


async def test_what_a_guardian_has_typed_stays_when_it_is_refused(api: Served) -> None:
    family = browser(api)
    await family.signs_in("guardian_ann")
    page = await family.post("/children/ann/absence", first_day="2026-02-31", last_day="", reason="Flu")
    assert page.status == 422
    assert 'role="alert"' in page.text
    assert (page.value("first_day"), page.value("reason")) == ("2026-02-31", "Flu")


@pytest.mark.parametrize("who", ["guardian_lost", "guardian_cy", "bob"])
async def test_nobody_sees_another_familys_child(api: Served, who: str) -> None:
    visitor = browser(api)
    await visitor.signs_in(who)
    assert (await visitor.get("/children/ann")).status in (403, 404)
    assert 'href="/children/ann"' not in (await visitor.get("/children")).text


async def test_an_administrator_switches_a_plugin_off_and_on(api: Served) -> None:
    admin = browser(api)
    assert (await admin.signs_in("admin", onward="/admin/plugins")).path == "/admin/plugins"
    page = await admin.post("/admin/plugins/rotating_code/disable")
    assert page.path == "/admin/plugins"
    assert 'action="/admin/plugins/rotating_code/enable"' in page.text
    assert not api.district.is_on("rotating_code")
    page = await admin.post("/admin/plugins/rotating_code/enable")
    assert api.district.is_on("rotating_code")
    assert "verify_check_in" in (await admin.get("/admin/plugins/rotating_code")).text


async def test_only_an_administrator_sees_the_plugins(api: Served) -> None:
    teacher = browser(api)
    await teacher.signs_in("teacher_b")
    assert (await teacher.get("/admin/plugins")).status == 403
    assert (await teacher.post("/admin/plugins/rotating_code/disable")).status == 403
    assert api.district.is_on("rotating_code")


async def test_an_address_without_a_page_is_said_to_be_one(api: Served) -> None:
    page = await browser(api).get("/no-such-page")
    assert (page.status, page.heading) == (404, "That was not possible")
    assert "There is no page at this address." in page.text
    answer = await api.get("/api/v1/no-such-route")
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


async def test_signing_out_after_the_tokens_ran_out_ends_the_session_behind_the_routes_too(api: Served) -> None:
    bob = browser(api)
    await bob.signs_in("bob")

    async def living() -> int:
        return len((await (await api.get("~/auth/sessions", "bob")).get_json())["items"])

    assert await living() == 2
    with time_machine.travel(now_utc() + timedelta(hours=2), tick=True):
        assert (await bob.post("/sign-out")).path == "/sign-in"
        assert await living() == 1


async def test_a_server_that_is_busy_signs_nobody_out(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = browser(api)
    await bob.signs_in("bob")
    inside = api.district.api
    assert inside is not None

    async def busy(method: str, path: str, **given: Any) -> ApiAnswer:
        if path.endswith("/auth/refresh"):
            return ApiAnswer(status=503, body=b'{"detail": "Please try again."}')
        return await inside(method, path, **given)

    with time_machine.travel(now_utc() + timedelta(hours=2), tick=True):
        monkeypatch.setattr(api.district, "api", busy)
        page = await bob.get("/days")
        assert page.status == 503
        assert "Please try again." in page.text
        monkeypatch.undo()
        assert (await bob.get("/days")).path == "/days"


async def test_a_form_that_is_sent_when_the_session_has_ended_survives_signing_in(api: Served) -> None:
    family = browser(api)
    await family.signs_in("guardian_ann")
    await family.post("/sign-out")
    day = (world.TODAY + timedelta(days=9)).isoformat()
    page = await family.post("/children/ann/absence", first_day=day, last_day="", reason='Flu "A" & <b>')
    assert (page.status, page.heading) == (401, "Sign in")
    assert page.value("kept.reason") == 'Flu "A" & <b>'
    names = ("next", "kept_path", "kept_owner", "kept.first_day", "kept.last_day", "kept.reason")
    hidden = {name: page.value(name) for name in names}
    wrong = await family.post("/sign-in", email="guardian_ann@example.org", password="wrong", **hidden)
    assert wrong.value("kept.reason") == 'Flu "A" & <b>'

    page = await family.post("/sign-in", email="guardian_ann@example.org", password=PASSWORD, **hidden)

    assert page.heading == "Send it now?"
    assert 'action="/children/ann/absence"' in page.text
    assert re.search(rf"First day:\s+{day}", page.words)
    assert re.search(r'Reason:\s+Flu "A" & <b>', page.words)
    again = {name: page.value(name) for name in ("first_day", "last_day", "reason")}
    assert (await family.post("/children/ann/absence", **again)).path == "/children/ann"
    told = (await (await api.get("~/students/ann/absence-reports", "admin_north")).get_json())["items"]
    assert [one["reason"] for one in told if one["first_day"] == day] == ['Flu "A" & <b>']


@pytest.mark.parametrize("path", _ELSEWHERE)
async def test_no_kept_form_goes_to_another_site(api: Served, path: str) -> None:
    visitor = browser(api)
    await visitor.signs_in("bob")
    given = {"email": "bob@example.org", "password": PASSWORD, "next": "/", "kept_path": path, "kept.reason": "x"}
    assert (await visitor.post("/sign-in", **given)).path == "/check-in"


async def test_whoever_is_signed_out_already_is_asked_for_nothing_when_signing_out(api: Served) -> None:
    bob = browser(api)
    await bob.signs_in("bob")
    for _ in range(2):
        page = await bob.post("/sign-out")
        assert (page.status, page.path, page.heading) == (200, "/sign-in", "Sign in")
