"""The tablet's page and the office's pages of tablets and cards, without any script."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.services.browsing import Browser, Page, browser
from tests.services.doors import KIOSK, card_of, numbered, pin_of, tablet
from tests.services.front import CHEAP
from tests.services.served import Served, served


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    sections: dict[str, dict[str, Any]] = {"accounts": CHEAP, "kiosk": {"day_ends": "23:59:59"}}
    async with served(sqlite_url, enabled=KIOSK, sections=sections) as running:
        yield running


def _code(page: Page) -> str:
    return str(re.search(r'class="set-up-code">([^<]+)<', page.text)[1])  # type: ignore[index]


async def _office(api: Served, user: str = "admin_north") -> Browser:
    office = browser(api)
    await office.signs_in(user)
    return office


async def _door(api: Served) -> Browser:
    """A browser that the office has made a tablet of."""
    office, door = await _office(api), browser(api)
    made = await office.post("/kiosks", school="north", place="Main entrance")
    started = await door.post("/kiosk/set-up", code=_code(made).lower())
    assert (started.path, started.heading) == ("/kiosk", "Main entrance")
    return door


async def _scans(door: Browser, card: str, direction: str = "in") -> Page:
    once = (await door.get("/kiosk")).value("once")
    return await door.post("/kiosk", direction=direction, once=once, card=card)


async def test_a_browser_becomes_a_tablet_and_lets_a_student_in(api: Served) -> None:
    door = await _door(api)
    await card_of(api, "ann", "card-ann")

    page = await _scans(door, "card-ann")

    assert page.status == 200
    assert re.search(r'class="says"><bdi>Ann</bdi>: You are in\.<', page.text)
    assert 'http-equiv="refresh"' in page.text
    again = await door.get("/kiosk")
    assert "Ann" not in again.words
    assert again.headers["Cache-Control"] == "no-store"


async def test_the_page_says_who_left_early_and_the_office_sees_it(api: Served) -> None:
    door = await _door(api)
    await card_of(api, "ann", "card-ann")
    assert "the office is told the time" in (await _scans(door, "card-ann", "out")).text
    office = await _office(api)
    overview = await office.get("/kiosks?school=north")
    assert re.search(r"<bdi>Ann Ann</bdi></th><td>\d?\d:\d\d\s[AP]M</td><td><bdi>Main entrance</bdi>", overview.text)


async def test_a_number_and_a_pin_are_typed_on_a_page_of_their_own(api: Served) -> None:
    door = await _door(api)
    pin = await pin_of(api, "ann", "100234")
    once = (await door.get("/kiosk/pin")).value("once")
    page = await door.post("/kiosk", direction="in", once=once, number="100234", pin=pin)
    assert "<bdi>Ann</bdi>: You are in." in page.text
    assert pin not in page.text
    assert "100234" not in page.text


@pytest.mark.parametrize(
    "sent",
    [
        {"direction": "in", "card": "card-nobody"},
        {"direction": "in", "card": "abc"},
        {"direction": "in"},
        {"direction": "sideways", "card": "card-ann"},
        {"direction": "in", "card": "card-ann", "pin": "1"},
        {"direction": "in", "number": "1"},
    ],
)
async def test_what_is_wrong_is_said_plainly_and_no_name_is_shown(api: Served, sent: dict[str, str]) -> None:
    door = await _door(api)
    await card_of(api, "ann", "card-ann")
    page = await door.post("/kiosk", once="x" * 20, **sent)
    assert "That was not recognized." in page.text
    assert "Ann" not in page.words
    assert "card-" not in page.text


async def test_an_answer_that_is_loaded_again_lets_nobody_in_and_names_nobody(api: Served) -> None:
    door = await _door(api)
    await card_of(api, "ann", "card-ann")
    sent = {"direction": "in", "once": (await door.get("/kiosk")).value("once"), "card": "card-ann"}
    assert "Ann" in (await door.post("/kiosk", **sent)).text
    again = await door.post("/kiosk", **sent)
    assert "This was sent before." in again.text
    assert "Ann" not in again.words


async def test_a_browser_that_is_no_tablet_is_asked_for_a_code(api: Served) -> None:
    stranger = browser(api)
    for page in (await stranger.get("/kiosk"), await stranger.get("/kiosk/pin")):
        assert page.heading == "Set up this tablet"
    sent = await stranger.post("/kiosk", direction="in", once="x" * 20, card="card-ann")
    assert sent.heading == "Set up this tablet"
    wrong = await stranger.post("/kiosk/set-up", code="AAAA-BBBB-<b>")
    assert wrong.status == 422
    assert "This code is wrong" in wrong.text
    assert wrong.value("code") == "AAAA-BBBB-<b>"
    assert (await stranger.post("/kiosk/set-up", code="")).status == 422


async def test_a_tablet_that_was_switched_off_says_so_and_forgets_that_it_was_one(api: Served) -> None:
    door, office = await _door(api), await _office(api)
    listed = await office.get("/kiosks")
    tablet_id = str(re.search(r"/kiosks/(\w+)/off", listed.text)[1])  # type: ignore[index]
    after = await office.post(f"/kiosks/{tablet_id}/off", school="north")
    assert "Switched off for good" in after.text
    assert "The office has switched this tablet off." in (await door.get("/kiosk")).text
    assert "The office has switched this tablet off." not in (await door.get("/kiosk")).text


async def test_whoever_sets_a_tablet_up_is_signed_out_there(api: Served) -> None:
    office = await _office(api)
    made = await office.post("/kiosks", school="north", place="Gate")
    assert (await office.post("/kiosk/set-up", code=_code(made))).heading == "Gate"
    assert (await office.get("/kiosks")).path.startswith("/sign-in")


async def test_the_tablets_cookie_is_for_its_own_page_and_for_no_script(api: Served) -> None:
    office, door = await _office(api), browser(api)
    code = _code(await office.post("/kiosks", school="north", place="Gate"))
    answer = await door._ask("POST", "/kiosk/set-up", data=f"code={code}", origin="http://localhost")
    cookie = next(one for one in answer.headers.getlist("Set-Cookie") if one.startswith("homeroom_kiosk="))
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/kiosk"))
    assert code not in answer.headers["Location"]


async def test_a_form_of_another_site_lets_nobody_in(api: Served) -> None:
    door = await _door(api)
    await card_of(api, "ann", "card-ann")
    sent = {"direction": "in", "once": "x" * 20, "card": "card-ann"}
    assert (await door.post("/kiosk", origin="https://evil.example", **sent)).status == 403


async def test_no_link_leads_out_of_the_tablet(api: Served) -> None:
    door = await _door(api)
    await card_of(api, "ann", "card-ann")
    for page in (await door.get("/kiosk"), await door.get("/kiosk/pin"), await _scans(door, "card-ann")):
        assert set(re.findall(r'<a [^>]*href="([^"]+)"', page.text)) <= {"/kiosk", "/kiosk/pin"}
        assert set(re.findall(r'action="([^"]+)"', page.text)) == {"/kiosk"}


async def test_a_tablet_speaks_spanish(api: Served) -> None:
    door = await _door(api)
    door.language = "es"
    await card_of(api, "ann", "card-ann")
    assert "<bdi>Ann</bdi>: Ha entrado." in (await _scans(door, "card-ann")).text


async def test_the_office_gives_a_card_and_a_pin_and_blocks_a_lost_card(api: Served) -> None:
    office, door = await _office(api), await _door(api)
    await numbered(api, "ann", "100234")
    found = await office.post("/kiosks/students", q="100234")
    path = str(re.search(r'href="(/kiosks/students/\w+)"', found.text)[1])  # type: ignore[index]
    assert found.path == "/kiosks/students"

    given = await office.post(f"{path}/give", card="card-ann")
    assert "In use" in given.text
    assert "card-ann" not in given.text
    assert "Ann" in (await _scans(door, "card-ann")).text

    pin = _code(await office.post(f"{path}/pin"))
    assert re.fullmatch(r"\d{6}", pin)
    assert pin not in (await office.get(path)).text
    once = (await door.get("/kiosk/pin")).value("once")
    assert "Ann" in (await door.post("/kiosk", direction="out", once=once, number="100234", pin=pin)).text

    card = given.value("id")
    blocked = await office.post(f"{path}/block", id=card)
    assert "Blocked" in blocked.text
    assert "not recognized" in (await _scans(door, "card-ann")).text
    assert "There is no PIN." in (await office.post(f"{path}/no-pin")).text


async def test_what_the_office_got_wrong_is_said_on_the_page(api: Served) -> None:
    office = await _office(api)
    await card_of(api, "bob", "card-bob")
    taken = await office.post("/kiosks/students/ann/give", card="card-bob")
    assert (taken.status, "Somebody else has this card." in taken.text) == (409, True)
    assert (await office.post("/kiosks/students/ann/give", card="abc")).status == 422
    assert (await office.post("/kiosks/students/ann/block", id="no-such")).status == 404
    long = await office.post("/kiosks", school="north", place="x" * 61)
    assert (long.status, long.value("place")) == (422, "x" * 61)
    assert "Nobody was found." in (await office.post("/kiosks/students", q="zz")).text
    assert (await office.post("/kiosks/students/ann/turn", id="x")).status == 404


async def test_a_locked_student_and_a_locked_tablet_are_released_on_the_page(api: Served) -> None:
    office, door = await _office(api), await tablet(api)
    await pin_of(api, "ann", "1")
    for number in range(30):
        await door.shows(number=str(number % 6), pin="x")
    assert "Locked after too many wrong tries" in (await office.get("/kiosks")).text
    after = await office.post(f"/kiosks/{door.id}/release", school="north")
    assert "Locked" not in after.text
    assert "Locked after too many wrong PINs." in (await office.get("/kiosks/students/ann")).text
    assert "Locked" not in (await office.post("/kiosks/students/ann/release")).text


@pytest.mark.parametrize(("user", "status"), [("ann", 403), ("guardian_ann", 403), ("teacher_a", 403)])
async def test_others_see_none_of_it(api: Served, user: str, status: int) -> None:
    other = browser(api)
    await other.signs_in(user)
    for path in ("/kiosks", "/kiosks/students/ann"):
        assert (await other.get(path)).status == status
    assert (await other.post("/kiosks", school="north", place="Gate")).status == status
    assert "Tablets and cards" not in (await other.get("/")).text


async def test_the_office_of_another_school_is_told_of_no_student_here(api: Served) -> None:
    office = await _office(api, "admin_south")
    assert (await office.get("/kiosks/students/ann")).status == 404
    assert (await office.post("/kiosks", school="north", place="Gate")).status == 404


async def test_without_the_plugin_the_pages_say_so(sqlite_url: str) -> None:
    async with served(sqlite_url, enabled=("accounts", "web"), sections={"accounts": CHEAP}) as api:
        office = await _office(api)
        page = await office.get("/kiosks")
        assert (page.status, "plugin kiosk is not switched on" in page.text) == (404, True)
        stranger = await office.post("/kiosk/set-up", code="AAAA-BBBB-CCCC")
        assert (stranger.status, "plugin kiosk is not switched on" in stranger.text) == (404, True)
