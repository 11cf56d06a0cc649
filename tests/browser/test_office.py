"""The school office in real browsers: every page in light and dark, and the emergency roll on a desk and a phone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

import homeroom_accounts
from homeroom.host import PluginsConfig
from homeroom.store import Transaction, migrate
from homeroom.store import models as m
from tests.services import axe, world
from tests.services.browsing import PLUGINS
from tests.services.front import CHEAP
from tests.services.server import Server, serving, settings_for
from tests.services.visiting import may_sign_in, signs_in, visits

Picture = Callable[[Page, str], Awaitable[None]]
ODD = "\u05d3\u05e0\u05d4 <b>\u202e"


def _lived(tx: Transaction) -> None:
    """A day on which something has happened."""
    world.build(tx)
    tx.run(m.User.update(identifier="1017", preferred_given_name=ODD, grades=["10"]).where(m.User.id == "dan"))
    tx.run(m.AttendanceRecord.update(status="absent").where(m.AttendanceRecord.id == "record_ann"))
    tx.insert(m.Class, id="choir", title="Choir", school_id="north", periods=["1"], changed_at=tx.now)
    seat = {"user_id": "ann", "class_id": "choir", "role": "student"}
    tx.insert(m.Enrollment, changed_at=tx.now, **seat)
    value, lookup = tx.seal_for("guardian_ann", "+15550100199"), tx.cipher.lookup("sms", "+15550100199")
    tx.insert(m.Contact, user_id="guardian_ann", kind="sms", value=value, lookup=lookup)


@pytest.fixture
async def school(sqlite_url: str) -> AsyncIterator[Server]:
    migrate.upgrade(sqlite_url, {"accounts": Path(str(homeroom_accounts.__file__)).parent / "migrations"})
    plugins = PluginsConfig(enabled=PLUGINS, sections={"accounts": CHEAP})
    async with serving(settings_for(sqlite_url, plugins=plugins)) as server:
        await server.district.store.write(_lived)
        await may_sign_in(server, "teacher_a", "teacher_b", "dan", "admin_north", "admin")
        yield server


async def _at_the_rolls(school: Server, chromium: Browser, user: str, complaints: list[str], **more: bool) -> Page:
    """Somebody who has signed in and is at the list of emergency rolls."""
    page = await visits(chromium, complaints, **more)
    await signs_in(page, user, at=f"{school.url}/office/emergency")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Emergency roll")
    return page


async def test_two_people_and_a_check_in_meet_on_one_emergency_roll(
    school: Server, chromium: Browser, pictured: Picture
) -> None:
    complaints: list[str] = []
    desk = await _at_the_rolls(school, chromium, "admin_north", complaints)
    phone = await _at_the_rolls(school, chromium, "teacher_a", complaints, phone=True)
    await desk.get_by_role("button", name="Begin: emergency").click()
    await expect(desk.locator("#roll[data-live]")).to_be_visible()
    await expect(desk.locator("#counts .standing-not_accounted b")).to_have_text("3")
    await expect(desk.locator("#counts .standing-absent b")).to_have_text("1")

    await phone.reload()
    await phone.get_by_role("link", name="To the roll that is open now").tap()
    await phone.get_by_label("Students").select_option("not_accounted")
    await phone.get_by_role("button", name="Show").tap()
    await expect(phone.locator("#roll[data-live]")).to_be_visible()
    await phone.locator("#student-bob").get_by_role("button", name="left with guardian").tap()
    await expect(phone.locator("#student-bob")).to_have_count(0)  # this list holds those who are not accounted for
    await pictured(phone, "emergency-phone")
    await expect(desk.locator("#student-bob")).to_contain_text("left with guardian")
    await expect(desk.locator("#student-bob")).to_contain_text("Teacher A")
    await expect(desk.locator("#counts .standing-accounted b")).to_have_text("1")

    await expect(desk.locator("#student-dan")).to_contain_text("Algebra")
    teacher = {"Authorization": f"Bearer {await school.token('teacher_b')}"}
    api = f"{school.url}/api/v1"
    opened = await (await desk.request.post(f"{api}/classes/biology/sessions", headers=teacher, data={})).json()
    shown = await (await desk.request.get(f"{api}/sessions/{opened['id']}/challenge", headers=teacher)).json()
    done = await desk.request.post(
        f"{api}/attendance/checkin",
        headers={"Authorization": f"Bearer {await school.token('dan')}"},
        data={"session_id": opened["id"], "proof": {"code": shown["code"]}},
    )
    assert done.status == 201
    await expect(desk.locator("#student-dan")).to_contain_text("Biology")
    await expect(desk.locator("#student-dan")).to_contain_text("since it began")
    await expect(desk.locator("#counts .standing-not_accounted b")).to_have_text("2")
    await expect(phone.locator("#student-dan")).to_contain_text("since it began")

    desk_ann = desk.locator("#student-ann")
    await desk_ann.get_by_role("button", name="Was at school").click()
    await expect(desk_ann).to_contain_text("not accounted for")
    await expect(desk.locator("#student-ann button").first).to_be_visible()
    await expect(phone.locator("#student-ann")).to_be_visible()
    await desk.get_by_role("button", name="End this roll for everybody").click()
    await expect(desk.get_by_role("heading", level=1)).to_have_text("Report of the emergency roll")
    await expect(phone.locator("#roll button")).to_have_count(0)  # the phone has heard that it has ended
    assert complaints == []


async def test_a_lost_network_is_said_and_the_keyboard_keeps_its_place(school: Server, chromium: Browser) -> None:
    complaints: list[str] = []
    desk = await _at_the_rolls(school, chromium, "admin_north", complaints)
    await desk.get_by_role("button", name="Begin: drill").click()
    await expect(desk.locator("#roll[data-live]")).to_be_visible()
    first = desk.locator("#student-bob button[value=here]")
    await first.focus()
    await desk.keyboard.press("Enter")
    back = desk.locator("#student-bob").get_by_role("button", name="Take back")
    await expect(back).to_be_focused()
    await desk.context.set_offline(True)
    await expect(desk.locator("#lost")).to_be_visible(timeout=10_000)
    await desk.context.set_offline(False)
    await expect(desk.locator("#lost")).to_be_hidden(timeout=30_000)
    assert set(complaints) <= {"Failed to load resource: net::ERR_INTERNET_DISCONNECTED"}


async def test_who_ends_a_roll_comes_to_its_report_though_the_page_hears_of_the_end_first(
    school: Server, chromium: Browser
) -> None:
    complaints: list[str] = []
    desk = await _at_the_rolls(school, chromium, "admin_north", complaints)
    await desk.get_by_role("button", name="Begin: drill").click()
    await expect(desk.locator("#roll[data-live]")).to_be_visible()

    async def slowly(route: Route) -> None:
        answer = await route.fetch(max_redirects=0)
        async with desk.expect_response("**/news?*"):
            pass
        await route.fulfill(response=answer)

    await desk.route("**/end", slowly)
    await desk.get_by_role("button", name="End this roll for everybody").click()
    await expect(desk.get_by_role("heading", level=1)).to_have_text("Report of the emergency roll")
    assert complaints == []


async def test_the_emergency_roll_works_without_scripts(school: Server, chromium: Browser) -> None:
    complaints: list[str] = []
    desk = await _at_the_rolls(school, chromium, "admin_north", complaints, scripts=False)
    await desk.get_by_role("button", name="Begin: drill").click()
    await desk.locator("#student-bob").get_by_role("button", name="safe elsewhere").click()
    await expect(desk.locator("#student-bob")).to_contain_text("safe elsewhere")
    await expect(desk.locator("#counts .standing-accounted b")).to_have_text("1")
    assert complaints == []


async def test_no_page_of_the_office_shuts_anybody_out(
    school: Server, chromium: Browser, axe_script: str, pictured: Picture
) -> None:
    complaints: list[str] = []
    wrong: dict[str, list[str]] = {}

    async def looks(page: Page, name: str) -> None:
        if found := await axe.violations(page, axe_script):
            wrong[name] = found
        await pictured(page, f"office-{name}")

    desk = await _at_the_rolls(school, chromium, "admin", complaints)
    await looks(desk, "emergencies")
    for path, name in (
        ("/office", "room"),
        ("/office/completion", "completion"),
        ("/office/classes/biology/paper", "paper"),
        ("/office/today?status=all", "today"),
        ("/office/search", "search"),
        ("/office/students/ann", "student"),
        ("/attendance/record_ann", "record"),
        ("/office/files", "files"),
    ):
        await desk.goto(school.url + path)
        await looks(desk, name)
    await desk.goto(f"{school.url}/office/search")
    await desk.get_by_label("A part of the name").fill("dan")
    await desk.get_by_role("button", name="Search").click()
    await expect(desk.get_by_role("link", name="Dan")).to_be_visible()
    await looks(desk, "found")
    await desk.goto(f"{school.url}/office/files")
    lines = b"number,class,status,note\n1017,Biology,tardy,bus\n1017,Choir,absent,\n1017,Nothing,absent,\n"
    await desk.get_by_label("The file", exact=True).set_input_files(
        {"name": "marks.csv", "mimeType": "text/csv", "buffer": lines}
    )
    await desk.get_by_role("button", name="Show what would change").click()
    await expect(desk.get_by_role("heading", level=1)).to_have_text("What would change")
    await looks(desk, "preview")
    await desk.get_by_role("button", name="Write it as shown").click()
    await expect(desk.get_by_role("status")).to_have_text("1 marks written")
    await looks(desk, "written")
    await desk.goto(f"{school.url}/office/emergency?school=north")
    await desk.get_by_role("button", name="Begin: drill").click()
    await desk.locator("#student-bob button[value=here]").click()
    await expect(desk.locator("#student-bob")).to_contain_text("Take back")
    await looks(desk, "emergency")
    await desk.emulate_media(media="print")
    await expect(desk.locator("#student-bob button").first).to_be_hidden()
    await pictured(desk, "office-emergency-printed")
    await desk.emulate_media(media="screen")
    phone = await _at_the_rolls(school, chromium, "teacher_a", complaints, phone=True)
    await phone.get_by_role("link", name="To the roll that is open now").tap()
    await expect(phone.locator("#roll[data-live]")).to_be_visible()
    await looks(phone, "emergency-phone")
    width = await phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width == 0
    await desk.get_by_role("button", name="End this roll for everybody").click()
    await expect(desk.get_by_role("heading", level=1)).to_have_text("Report of the emergency roll")
    await looks(desk, "report")
    assert (complaints, wrong) == ([], {})
