"""A morning in real browsers: the teacher's screen and board, and a student's phone that scans before it signs in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

import homeroom_accounts
from homeroom.host import PluginsConfig
from homeroom.store import migrate
from tests.services import axe, world
from tests.services.browsing import PLUGINS
from tests.services.front import CHEAP
from tests.services.server import Server, serving, settings_for
from tests.services.visiting import may_sign_in, signs_in, visits

Picture = Callable[[Page, str], Awaitable[None]]


@pytest.fixture
async def school(sqlite_url: str) -> AsyncIterator[Server]:
    """The small world on a real socket, in which everybody can sign in."""
    migrate.upgrade(sqlite_url, {"accounts": Path(str(homeroom_accounts.__file__)).parent / "migrations"})
    plugins = PluginsConfig(enabled=PLUGINS, sections={"accounts": CHEAP})
    async with serving(settings_for(sqlite_url, plugins=plugins)) as server:
        await server.district.store.write(world.build)
        await may_sign_in(server, "teacher_b", "dan", "guardian_ann", "admin_north", "admin")
        yield server


async def _opens_anew(desk: Page) -> None:
    await desk.get_by_role("button", name="Close the roll").click()
    await desk.get_by_role("button", name="Open check-in").click()


async def test_a_scan_on_a_phone_reaches_the_teachers_board(
    school: Server, chromium: Browser, pictured: Picture
) -> None:
    complaints: list[str] = []
    desk = await visits(chromium, complaints)
    phone = await visits(chromium, complaints, phone=True)

    await desk.goto(f"{school.url}/classes")
    await pictured(desk, "sign-in")
    await signs_in(desk, "teacher_b")
    await desk.get_by_role("link", name="Biology").click()
    await _opens_anew(desk)
    await desk.get_by_role("link", name="Show the code").click()
    digits = desk.locator(".digits")
    first = await digits.inner_text()
    assert re.fullmatch(r"\d{6}", first)
    await pictured(desk, "screen")
    session = (desk.url.split("/sessions/")[1]).split("/")[0]
    await desk.get_by_role("link", name="Back to the roll").click()
    await expect(desk.locator("table.board[data-live]")).to_be_visible()
    row = desk.locator("#student-dan [data-status]")
    await expect(row).to_have_attribute("data-status", "")

    shown = await desk.request.get(
        f"{school.url}/api/v1/sessions/{session}/challenge",
        headers={"Authorization": f"Bearer {await school.token('teacher_b')}"},
    )
    await phone.goto(school.url + (await shown.json())["link"])
    await signs_in(phone, "dan")
    await expect(phone.get_by_role("heading", level=1)).to_have_text("You are in")
    await pictured(phone, "checked-in")

    await expect(row).to_have_text("present")
    await expect(desk.locator('[data-count="present"]')).to_have_text("1")
    await pictured(desk, "board")
    assert complaints == []


async def test_the_screen_shows_the_next_code_by_itself(school: Server, chromium: Browser) -> None:
    complaints: list[str] = []
    desk = await visits(chromium, complaints)
    await desk.goto(f"{school.url}/classes/biology")
    await signs_in(desk, "teacher_b")
    await _opens_anew(desk)
    await desk.get_by_role("link", name="Show the code").click()
    digits = desk.locator(".digits")
    first = await digits.inner_text()
    await expect(digits).not_to_have_text(first, timeout=20_000)
    assert complaints == []


async def test_no_page_shuts_anybody_out(school: Server, chromium: Browser, axe_script: str, pictured: Picture) -> None:
    complaints: list[str] = []
    wrong: dict[str, list[str]] = {}
    desk, phone = [await visits(chromium, complaints, phone=phone) for phone in (False, True)]

    async def looks(page: Page, name: str) -> None:
        if found := await axe.violations(page, axe_script):
            wrong[name] = found
        await pictured(page, name)

    await desk.goto(f"{school.url}/classes")
    await looks(desk, "sign-in")
    await signs_in(desk, "teacher_b")
    await looks(desk, "classes")
    await desk.goto(f"{school.url}/classes/biology")
    await looks(desk, "board")
    await _opens_anew(desk)
    await desk.get_by_role("link", name="Show the code").click()
    await looks(desk, "screen")
    await phone.goto(f"{school.url}/check-in")
    await signs_in(phone, "dan")
    await looks(phone, "check-in")
    await phone.get_by_label("The code on the screen").fill("12")
    await phone.get_by_role("button", name="I am here").click()
    await looks(phone, "refused")
    await phone.goto(f"{school.url}/days")
    await looks(phone, "days")
    for user, path, name in (
        ("guardian_ann", "/children", "children"),
        ("guardian_ann", "/children/ann", "child"),
        ("admin_north", "/absences", "absences"),
        ("admin", "/admin/plugins", "plugins"),
        ("admin", "/admin/plugins/rotating_code", "plugin"),
    ):
        await desk.get_by_role("button", name="Sign out").click()
        await signs_in(desk, user)
        await desk.goto(school.url + path)
        await looks(desk, name)
    assert complaints == ["Failed to load resource: the server responded with a status of 422 ()"]  # the wrong code
    assert wrong == {}
