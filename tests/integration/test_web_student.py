"""A student's pages without any script: what was recorded and why, one's history, and what a device sends late."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from homeroom.store import iso, now_utc
from tests.services import world
from tests.services.browsing import PLUGINS, Browser, Page, browser
from tests.services.front import CHEAP
from tests.services.served import Served, served

GROUNDS = {"areas": {"*": {"kind": "circle", "lat": 40.0, "lon": -74.0, "radius_m": 100}}}


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    sections: dict[str, Any] = {"accounts": CHEAP, "geofence": GROUNDS}
    async with served(sqlite_url, enabled=(*PLUGINS, "geofence"), sections=sections) as running:
        yield running


async def _opened(api: Served, class_id: str = "biology", by: str = "teacher_b", **asked: Any) -> str:
    answer = await api.post(f"~/classes/{class_id}/sessions", by, asked)
    assert answer.status_code == 201
    return str((await answer.get_json())["id"])


async def _shown(api: Served, session: str, by: str = "teacher_b") -> Any:
    return await (await api.get(f"~/sessions/{session}/challenge", by)).get_json()


async def _records(api: Served, session: str, by: str = "teacher_b") -> dict[str, Any]:
    found = await (await api.get(f"~/sessions/{session}/attendance", by)).get_json()
    return {one["student_id"]: one for one in found["items"]}


async def _owner(student: Browser) -> str:
    """The key under which a device keeps this student's check-ins."""
    return str(re.search(r'data-person="(\w+)"', (await student.get("/check-in")).text)[1])  # type: ignore[index]


async def _sends_late(student: Browser, **fields: Any) -> Any:
    page = await student.post("/check-in/late", **{name: str(value) for name, value in fields.items()})
    assert page.status == 200, page.text
    return json.loads(page.text)


def _lines(page: Page) -> list[str]:
    return re.findall(r"<p>(.*?)</p>", page.text.partition('class="outcome')[2].partition("</div>")[0])


async def test_a_late_student_is_told_by_how_much_and_why(api: Served) -> None:
    began = now_utc() - timedelta(minutes=9)
    session = await _opened(api, starts_at=iso(began), late_after_minutes=5)
    bob = browser(api)
    await bob.signs_in("bob")
    page = await bob.post("/check-in", session=session, code=(await _shown(api, session))["code"])
    assert page.heading == "You are in, a little late"
    late, why, at, how = _lines(page)
    assert late == "Late by 9 min."
    assert re.fullmatch(r"The class began at \d+:\d\d\s[AP]M; up to 5 min. after that is in time.", why)
    assert at.startswith("Checked in at ")
    assert how == "Shown by: the code on the screen."


async def test_a_check_in_that_waits_says_what_for(api: Served) -> None:
    session = await _opened(api)
    await api.post("~/plugins/rotating_code/disable", "admin")
    bob = browser(api, language="es")
    await bob.signs_in("bob")
    page = await bob.post("/check-in", session=session, code="123456")
    assert page.heading == "Su llegada está guardada"
    assert _lines(page)[-1] == "Pendiente de revisión por su docente. No se pudo comprobar en ese momento."
    assert (await _records(api, session))["bob"]["needs_review"]


async def test_who_comes_twice_is_told_that_the_first_time_counts(api: Served) -> None:
    session = await _opened(api)
    bob = browser(api)
    await bob.signs_in("bob")
    code = (await _shown(api, session))["code"]
    first = await bob.post("/check-in", session=session, code=code, client_id="phone")
    again = await bob.post("/check-in", session=session, code=code, client_id="phone")
    other = await bob.post("/check-in", session=session, code="000000", client_id="tablet")
    assert _lines(again) == _lines(first)
    assert _lines(other)[1].startswith("You had checked in already, at ")


async def test_whom_the_teacher_has_marked_is_told_so(api: Served) -> None:
    session = await _opened(api)
    marks = {"marks": [{"student_id": "bob", "status": "excused"}]}
    await api.call("PUT", f"~/sessions/{session}/attendance", by="teacher_b", json=marks)
    bob = browser(api)
    await bob.signs_in("bob")
    page = await bob.post("/check-in", session=session, code=(await _shown(api, session))["code"])
    assert (page.heading, _lines(page)) == (
        "You are marked already",
        ["Your teacher has marked you already: excused."],
    )


async def test_what_was_typed_stays_when_it_is_refused(api: Served) -> None:
    session = await _opened(api)
    bob = browser(api)
    await bob.signs_in("bob")
    page = await bob.post("/check-in", session=session, code='12"><b>')
    assert page.status == 422
    assert page.value("code") == '12"><b>'


async def test_a_new_scan_counts_before_one_that_was_kept(api: Served) -> None:
    dan = browser(api)
    first = await _opened(api)
    asked = await dan.get((await _shown(api, first))["link"])
    await api.post(f"~/sessions/{first}/close", "teacher_b")
    second = await _opened(api)
    await dan.signs_in("dan", onward=asked.value("next"))
    page = await dan.get((await _shown(api, second))["link"])
    assert page.value("session") == second


async def test_a_form_that_somebody_else_began_records_nobody(api: Served) -> None:
    session = await _opened(api)
    bob, dan = browser(api), browser(api)
    await bob.signs_in("bob")
    await dan.signs_in("dan")
    code = (await _shown(api, session))["code"]
    page = await dan.post("/check-in", session=session, code=code, owner=await _owner(bob))
    assert page.status == 409
    assert "Somebody else began this check-in on this device." in page.text
    assert await _records(api, session) == {}


@pytest.mark.parametrize("hours", [0, 3])
async def test_a_late_sent_check_in_counts_from_its_time_and_waits(api: Served, hours: int) -> None:
    session = await _opened(api)
    bob = browser(api)
    await bob.signs_in("bob")
    made = {"owner": await _owner(bob), "session": session, "code": (await _shown(api, session))["code"]}
    then = now_utc()
    with time_machine.travel(then + timedelta(hours=hours, seconds=30), tick=True):
        age = (now_utc() - then).total_seconds()
        told = await _sends_late(bob, **made, client_id="phone", age=age)
        tablet = await _sends_late(bob, **made, client_id="tablet", age=age)
    assert (told["outcome"], told["good"], told["heading"]) == ("told", True, "Your check-in is kept")
    assert told["lines"][0] == "You are recorded as present."
    assert told["lines"][-1].endswith("It was made without a network and sent later.")
    assert tablet["lines"][1].startswith("You had checked in already")
    [record] = (await _records(api, session)).values()
    assert (record["student_id"], record["client_id"], record["needs_review"]) == ("bob", "phone", True)
    assert [one["method"] for one in record["evidence"]] == ["rotating_code", "late-sent"]


async def test_two_devices_that_send_at_once_give_one_record(api: Served) -> None:
    session = await _opened(api)
    bob = browser(api)
    await bob.signs_in("bob")
    made = {"owner": await _owner(bob), "session": session, "code": (await _shown(api, session))["code"], "age": 1}
    told = await asyncio.gather(*(_sends_late(bob, **made, client_id=f"device {n}") for n in range(6)))
    assert [one["good"] for one in told] == [True] * 6
    assert sum(one["lines"][1].startswith("Checked in at") for one in told) == 1
    assert len(await _records(api, session)) == 1


async def test_a_late_sent_check_in_is_sent_for_its_owner_only(api: Served) -> None:
    session = await _opened(api)
    bob, dan = browser(api), browser(api)
    await bob.signs_in("bob")
    await dan.signs_in("dan")
    made = {"session": session, "code": (await _shown(api, session))["code"], "client_id": "phone", "age": 5}
    owner = await _owner(bob)
    assert owner != await _owner(dan)
    for wrong in (owner, "", "é"):
        assert await _sends_late(dan, **made, owner=wrong) == {"outcome": "not-yours"}
    assert await _records(api, session) == {}
    await bob.post("/sign-out")
    assert (await bob.post("/check-in/late", **{**made, "age": "5"}, owner=owner)).status == 401
    assert (await bob.post("/check-in/late", origin="https://evil.example", owner=owner)).status == 403
    assert await _records(api, session) == {}


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (24 * 3600 + 60, "A check-in can be sent up to 24 hours late."),
        ("inf", "A check-in can be sent up to 24 hours late."),
        ("", "The device did not tell when"),
        ("-5", "The device did not tell when"),
        ("nan", "The device did not tell when"),
        ("soon", "The device did not tell when"),
        (3600, "That is not the code."),
    ],
)
async def test_what_cannot_be_taken_is_told_and_records_nothing(api: Served, age: Any, said: str) -> None:
    session = await _opened(api)
    bob = browser(api)
    await bob.signs_in("bob")
    code = (await _shown(api, session))["code"]
    told = await _sends_late(bob, owner=await _owner(bob), session=session, code=code, client_id="a", age=age)
    assert (told["outcome"], told["good"]) == ("told", False)
    assert told["lines"][0].startswith(said)
    assert await _records(api, session) == {}


async def test_a_code_without_a_class_finds_the_one_that_was_open_then(api: Served) -> None:
    bob = browser(api)
    await bob.signs_in("bob")
    settled, owner = await _opened(api), await _owner(bob)
    await bob.post("/check-in", session=settled, code=(await _shown(api, settled))["code"])
    await api.post(f"~/sessions/{settled}/close", "teacher_b")
    session = await _opened(api)
    shown = await _shown(api, session)
    told = await _sends_late(bob, owner=owner, code=shown["code"], client_id="a", age=1)
    assert told["good"], told
    assert (await _records(api, session))["bob"]["client_id"] == "a"
    again = await _sends_late(bob, owner=owner, code=shown["code"], client_id="b", age=1)
    assert again["lines"] == ["None of your classes was open for check-in then. Please tell your teacher."]


async def test_a_busy_server_leaves_a_check_in_on_its_device(api: Served) -> None:
    session = await _opened(api)
    bob = browser(api)
    await bob.signs_in("bob")
    made = {"owner": await _owner(bob), "session": session, "client_id": "a", "age": 1}
    told = [await _sends_late(bob, **made, code="000000") for _ in range(6)]
    assert [one["outcome"] for one in told] == ["told"] * 5 + ["later"]


async def test_ones_days_lead_to_what_was_recorded_and_to_earlier_weeks(api: Served) -> None:
    session = await _opened(api, starts_at=iso(now_utc() - timedelta(minutes=20)))
    dan = browser(api)
    await dan.signs_in("dan")
    await _sends_late(
        dan, owner=await _owner(dan), session=session, code=(await _shown(api, session))["code"], client_id="a", age=1
    )
    page = await dan.get("/days")
    assert f'href="/days/{world.TODAY}"' in page.text
    day = await dan.get(f"/days/{world.TODAY}")
    assert re.search(r"Biology</bdi>.*?>tardy</span> · Late by \d+ min\..*?made without a network", day.text, re.DOTALL)
    earlier = re.search(r'href="(/days\?until=[\d-]+)">Earlier', page.text)
    assert earlier
    back = await dan.get(earlier[1])
    assert f"/days/{world.TODAY}" not in back.text
    assert "Later weeks" in back.text
    assert (await dan.get("/days/2020-01-01")).text.count("Nothing is recorded on this day.") == 1
    for wrong in ("/days/2026-02-31", "/days/x", "/days?until=x"):
        assert (await dan.get(wrong)).status == 404


@pytest.mark.parametrize("who", ["teacher_b", "guardian_ann", "admin"])
async def test_only_students_check_in(api: Served, who: str) -> None:
    session = await _opened(api)
    other = browser(api)
    await other.signs_in(who)
    told = await _sends_late(
        other,
        owner=await _owner(other),
        session=session,
        code=(await _shown(api, session))["code"],
        client_id="a",
        age=1,
    )
    assert told["good"] is False
    assert await _records(api, session) == {}


async def test_the_page_for_offline_is_the_same_for_everybody(api: Served) -> None:
    bob = browser(api)
    before = await bob.get("/offline")
    await bob.signs_in("bob")
    after = await bob.get("/offline")
    assert before.text == after.text
    assert "Sign out" not in after.text
    assert "data-person" not in after.text


async def test_the_manifest_names_the_district(sqlite_url: str) -> None:
    sections: dict[str, Any] = {"accounts": CHEAP, "web": {"title": 'Böhm "Schools"'}}
    async with served(sqlite_url, enabled=PLUGINS, sections=sections) as api:
        answer = await api.get("/manifest.webmanifest")
        assert answer.content_type == "application/manifest+json"
        manifest = await answer.get_json(force=True)
        assert (manifest["name"], manifest["start_url"], manifest["display"]) == ('Böhm "Schools"', "/", "standalone")
        sizes = {(one["sizes"], one["purpose"]) for one in manifest["icons"]}
        assert sizes == {(size, purpose) for size in ("192x192", "512x512") for purpose in ("any", "maskable")}
        for icon in manifest["icons"]:
            picture = await (await api.get(icon["src"])).get_data(as_text=False)
            width, height = int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])
            assert (picture[:4], f"{width}x{height}") == (b"\x89PNG", icon["sizes"])


async def test_every_file_that_a_page_or_the_service_worker_names_is_there_under_its_version(api: Served) -> None:
    student = browser(api)
    await student.signs_in("bob")
    named: set[str] = set()
    for path in ("/sign-in", "/check-in", "/offline", "/service-worker.js"):
        named |= set(re.findall(r'"(/static/[^"]+)"', (await student.get(path)).text))
    assert len(named) >= 8
    for path in named:
        answer = await api.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable", path


async def test_a_file_is_asked_for_again_without_its_version_and_sent_again_only_when_it_changed(api: Served) -> None:
    for path in ("/static/web.css", "/static/web.css?v=old", "/service-worker.js"):
        answer = await api.get(path)
        assert answer.headers["Cache-Control"] == "public, no-cache"
        again = await api.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, await again.get_data()) == (304, b"")
        assert (await api.get(path, headers={"If-None-Match": '"old"'})).status_code == 200
    assert (await api.get("/static/../plugin.py")).status_code == 404
    assert (await api.get("/static/none.js")).status_code == 404


@pytest.mark.parametrize(
    ("accepted", "coding"), [("gzip, br", "gzip"), ("br", None), ("", None), ("gzip;q=0", None), ("*", "gzip")]
)
async def test_a_text_is_sent_compressed_to_who_can_read_that(api: Served, accepted: str, coding: str | None) -> None:
    plain = await (await api.get("/static/web.css")).get_data(as_text=False)
    answer = await api.get("/static/web.css", headers={"Accept-Encoding": accepted})
    content = await answer.get_data(as_text=False)
    assert (answer.headers.get("Content-Encoding"), answer.headers["Vary"]) == (coding, "Accept-Encoding")
    assert (gzip.decompress(content) if coding else content) == plain
    other = await api.get("/static/web.css", headers={"Accept-Encoding": "identity" if coding else "gzip"})
    assert other.headers["ETag"] != answer.headers["ETag"]
    picture = await api.get("/static/icons/any-192.png", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in picture.headers
