"""The office's reports in a real browser: readable for everybody, in light, in dark and from right to left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from babel.dates import format_date
from playwright.async_api import Browser, Page, expect

import homeroom_accounts
from homeroom.host import PluginsConfig
from homeroom.store import migrate
from tests.services import axe, world
from tests.services.browsing import PLUGINS
from tests.services.front import CHEAP
from tests.services.server import Server, serving, settings_for
from tests.services.visiting import may_sign_in, signs_in, visits
from tests.services.weeks import DAYS, attended

Picture = Callable[[Page, str], Awaitable[None]]
REPORTS = ("daily", "chronic-absence", "ada-adm", "rolls-not-taken", "check-in-patterns")
RANGE = f"from={DAYS[0]}&to={DAYS[-1]}"


@pytest.fixture
async def school(sqlite_url: str) -> AsyncIterator[Server]:
    """The small world with three weeks of attendance, in which the district's administrator can sign in."""
    migrate.upgrade(sqlite_url, {"accounts": Path(str(homeroom_accounts.__file__)).parent / "migrations"})
    plugins = PluginsConfig(enabled=(*PLUGINS, "reports"), sections={"accounts": CHEAP})
    async with serving(settings_for(sqlite_url, plugins=plugins)) as server:
        await server.district.store.write(world.build)
        await server.district.store.write(attended)
        await may_sign_in(server, "admin")
        yield server


async def test_no_report_shuts_anybody_out(
    school: Server, chromium: Browser, axe_script: str, pictured: Picture
) -> None:
    complaints: list[str] = []
    page = await visits(chromium, complaints)
    await signs_in(page, "admin", at=f"{school.url}/office/reports")
    wrong: dict[str, list[str]] = {}
    for name in ("", *(f"/{report}?{RANGE}" for report in REPORTS)):
        await page.goto(f"{school.url}/office/reports{name}")
        if found := await axe.violations(page, axe_script):
            wrong[name] = found
        await pictured(page, f"reports-{name.strip('/').partition('?')[0] or 'all'}")
    assert wrong == {}
    assert complaints == []


async def test_a_school_and_days_are_chosen_and_the_figure_follows(school: Server, chromium: Browser) -> None:
    complaints: list[str] = []
    page = await visits(chromium, complaints)
    await signs_in(page, "admin", at=f"{school.url}/office/reports")
    await page.get_by_role("link", name="Daily attendance").click()
    await page.get_by_label("School", exact=True).select_option("South")
    await page.get_by_label("First day").fill(str(DAYS[0]))
    await page.get_by_label("Last day").fill(str(DAYS[4]))
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_label("School", exact=True)).to_have_value("south")
    await expect(page.get_by_role("img", name="Share of students who came")).to_be_visible()
    assert await page.locator("svg circle").count() == 5
    await expect(page.get_by_role("row", name=format_date(DAYS[0], locale="en"))).to_contain_text("0.0 %")
    async with page.expect_download() as saving:
        await page.get_by_role("link", name="The same numbers as a CSV file").click()
    saved = await saving.value
    assert saved.suggested_filename == "daily.csv"
    assert len((await saved.path()).read_text(encoding="utf-8").splitlines()) == 6
    assert complaints == []


async def test_bars_have_the_colours_of_their_legend_and_texts_stay_in_the_figure(
    school: Server, chromium: Browser
) -> None:
    complaints: list[str] = []
    page = await visits(chromium, complaints)
    await signs_in(page, "admin", at=f"{school.url}/office/reports")
    await page.goto(f"{school.url}/office/reports/ada-adm?{RANGE}")
    for kind in ("present", "rest"):
        bar = page.locator(f"svg rect.{kind}").first
        key = page.locator(f".key.{kind}").first
        shown = await bar.evaluate("one => getComputedStyle(one).fill")
        assert shown == await key.evaluate("one => getComputedStyle(one).backgroundColor")
        assert shown != "rgb(0, 0, 0)"
    inside = """svg => { const all = svg.getBoundingClientRect();
      return [...svg.querySelectorAll('text')].every(one => { const box = one.getBoundingClientRect();
        return box.left >= all.left - 1 && box.right <= all.right + 1 && box.bottom <= all.bottom + 4; }); }"""
    for report in REPORTS:
        await page.goto(f"{school.url}/office/reports/{report}?{RANGE}")
        for svg in await page.locator("main svg").all():
            assert await svg.evaluate(inside), report
    assert complaints == []
