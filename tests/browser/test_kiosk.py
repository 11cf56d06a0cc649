"""The tablet at the door in a real browser: a scanner that types, the digits on the page, a network that goes away."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

import homeroom_accounts
import homeroom_kiosk
from homeroom.host import PluginsConfig
from homeroom.store import migrate
from tests.services import axe, world
from tests.services.doors import KIOSK
from tests.services.front import CHEAP
from tests.services.server import Server, serving, settings_for
from tests.services.visiting import heard, may_sign_in, signs_in, visits

Picture = Callable[[Page, str], Awaitable[None]]


@pytest.fixture
async def school(sqlite_url: str) -> AsyncIterator[Server]:
    """The small world on a real socket, with an office that can sign in."""
    packages: dict[str, Any] = {"accounts": homeroom_accounts, "kiosk": homeroom_kiosk}
    migrate.upgrade(sqlite_url, {name: Path(str(one.__file__)).parent / "migrations" for name, one in packages.items()})
    sections: dict[str, dict[str, Any]] = {"accounts": CHEAP, "kiosk": {"day_ends": "23:59:59"}}
    async with serving(settings_for(sqlite_url, plugins=PluginsConfig(enabled=KIOSK, sections=sections))) as server:
        await server.district.store.write(world.build)
        await server.district.store.write(
            lambda tx: tx.write_sql("UPDATE users SET identifier = '100234' WHERE id = 'ann'")
        )
        await may_sign_in(server, "admin_north")
        yield server


async def _office(school: Server, chromium: Browser, complaints: list[str]) -> Page:
    page = await visits(chromium, complaints)
    await signs_in(page, "admin_north", at=f"{school.url}/kiosks")
    return page


async def _tablet(school: Server, chromium: Browser, office: Page) -> tuple[BrowserContext, Page]:
    await office.goto(f"{school.url}/kiosks")
    await office.get_by_label("Where it stands").fill("Main entrance")
    await office.get_by_role("button", name="Make a code for it").click()
    code = await office.locator(".set-up-code").inner_text()
    context = await chromium.new_context(viewport={"width": 820, "height": 1180}, has_touch=True)
    page = await context.new_page()
    await page.goto(f"{school.url}/kiosk")
    await page.get_by_label("Code from the office").fill(code)
    await page.get_by_role("button", name="Set up").click()
    await expect(page.get_by_role("heading", name="Main entrance")).to_be_visible()
    return context, page


async def _gives(school: Server, office: Page, student: str, card: str) -> None:
    await office.goto(f"{school.url}/kiosks/students/{student}")
    await office.get_by_label("Scan or type a card").fill(card)
    await office.get_by_role("button", name="Give this card out").click()
    await expect(office.get_by_text("In use")).to_be_visible()


async def test_students_pass_the_tablet_one_after_the_other(
    school: Server, chromium: Browser, pictured: Picture
) -> None:
    complaints: list[str] = []
    office = await _office(school, chromium, complaints)
    for student in ("ann", "bob"):
        await _gives(school, office, student, f"card-of-{student}")
    _, door = await _tablet(school, chromium, office)
    heard(door, complaints)
    answer = door.locator(".answer")

    await door.keyboard.type("card-of-ann\n")  # as a scanner does, wherever the focus is
    await expect(answer).to_contain_text("Ann: You are in.")
    await expect(door.locator("#said")).to_have_text("Ann: You are in.")
    await pictured(door, "kiosk-in")
    await door.get_by_role("heading").click()
    await door.keyboard.type("card-of-bob\n")  # at once, without waiting for the start
    await expect(answer).to_contain_text("Bob: You are in.")
    await expect(answer).not_to_contain_text("Ann")
    await door.get_by_label("I am leaving").check()
    await door.get_by_label("Hold your card").focus()
    await door.keyboard.type("card-of-bob\n")
    await expect(answer).to_contain_text("the office is told the time")
    await expect(door.get_by_label("I am coming in")).to_be_checked()
    await expect(answer).to_have_count(0, timeout=15_000)  # by itself, after a few seconds
    assert "Bob" not in await door.content()
    await door.keyboard.type("card-of-nobody\n")
    await expect(answer).to_contain_text("That was not recognized.")
    await pictured(door, "kiosk-refused")
    await office.goto(f"{school.url}/kiosks")
    await expect(office.get_by_role("row", name=re.compile("Bob"))).to_be_visible()
    assert complaints == []


async def test_a_pin_is_typed_on_the_page_and_nothing_of_it_stays(
    school: Server, chromium: Browser, pictured: Picture
) -> None:
    complaints: list[str] = []
    office = await _office(school, chromium, complaints)
    await office.goto(f"{school.url}/kiosks/students/ann")
    await office.get_by_role("button", name="Make a new PIN").click()
    pin = await office.locator(".set-up-code").inner_text()
    _, door = await _tablet(school, chromium, office)
    heard(door, complaints)

    await door.get_by_role("link", name="No card?").click()
    pad = door.get_by_role("group", name="Digits")
    for digit in "1002349":
        await pad.get_by_role("button", name=digit, exact=True).click()
    await pad.get_by_role("button", name="Delete the last digit").press("Enter")
    await expect(door.get_by_label("Student number")).to_have_value("100234")
    await door.get_by_label("PIN", exact=True).focus()
    for digit in pin:
        await pad.get_by_role("button", name=digit, exact=True).press("Enter")
    await pictured(door, "kiosk-pin")
    await door.get_by_role("button", name="Go on").click()
    await expect(door.locator(".answer")).to_contain_text("Ann: You are in.")
    await door.get_by_role("link", name="Start again").click()
    await expect(door.locator(".answer")).to_have_count(0)
    assert door.url == f"{school.url}/kiosk"
    content = await door.content()
    assert pin not in content
    assert "Ann" not in content
    assert complaints == []


async def test_without_the_network_the_tablet_says_so_and_comes_back_by_itself(
    school: Server, chromium: Browser, pictured: Picture
) -> None:
    office = await _office(school, chromium, [])
    await _gives(school, office, "ann", "card-of-ann")
    context, door = await _tablet(school, chromium, office)
    await context.set_offline(True)
    await door.keyboard.type("card-of-ann\n")
    away = door.get_by_role("alert")
    await expect(away).to_contain_text("you may not be recorded")
    await expect(door.get_by_label("Hold your card")).to_have_value("")
    await expect(door.locator(".answer")).to_have_count(0)
    await pictured(door, "kiosk-away")
    await context.set_offline(False)
    await expect(away).to_be_hidden(timeout=15_000)
    await door.keyboard.type("card-of-ann\n")
    await expect(door.locator(".answer")).to_contain_text("Ann: You are in.")


async def test_the_pages_are_for_everybody(
    school: Server, chromium: Browser, axe_script: str, pictured: Picture
) -> None:
    complaints: list[str] = []
    wrong: dict[str, Any] = {}
    office = await _office(school, chromium, complaints)

    async def looks(page: Page, name: str) -> None:
        if found := await axe.violations(page, axe_script):
            wrong[name] = found
        await pictured(page, name)

    await _gives(school, office, "ann", "card-of-ann")
    await looks(office, "office-kiosk-student")
    _, door = await _tablet(school, chromium, office)
    heard(door, complaints)
    await looks(office, "office-kiosk-code")
    await looks(door, "kiosk")
    await door.keyboard.type("card-of-ann\n")
    await expect(door.locator(".answer.good")).to_be_visible()
    await looks(door, "kiosk-good")
    await door.keyboard.type("card-of-nobody\n")
    await expect(door.locator(".answer.bad")).to_be_visible()
    await looks(door, "kiosk-bad")
    await door.goto(f"{school.url}/kiosk/pin")
    await looks(door, "kiosk-pin")
    await door.context.clear_cookies()
    await door.goto(f"{school.url}/kiosk")
    await looks(door, "kiosk-set-up")
    await office.goto(f"{school.url}/kiosks")
    await office.get_by_label("Name or student number").fill("ann")
    await office.get_by_role("button", name="Search").click()
    await looks(office, "office-kiosk-search")
    assert complaints == []
    assert wrong == {}
