"""The office's reports as pages without any script."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from xml.etree import ElementTree as ET

import pytest
from babel.dates import format_skeleton

from homeroom.store import models as m
from tests.services.browsing import PLUGINS, Browser, Page, browser
from tests.services.front import CHEAP
from tests.services.served import Served, served
from tests.services.weeks import DAYS, attended

REPORTS = {
    "daily": "Daily attendance",
    "chronic-absence": "Chronic absence",
    "ada-adm": "Average attendance and membership",
    "rolls-not-taken": "Rolls not taken",
    "check-in-patterns": "Check-ins by hour",
}
RANGE = f"from={DAYS[0]}&to={DAYS[-1]}"


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=(*PLUGINS, "reports"), sections={"accounts": CHEAP}) as running:
        await running.district.store.write(attended)
        yield running


async def signed_in(api: Served, user: str, *, language: str = "en") -> Browser:
    here = browser(api, language=language)
    await here.signs_in(user)
    return here


def figures(page: Page) -> list[ET.Element]:
    """The page's figures, each well-formed and named."""
    found = [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page.text, re.DOTALL)]  # noqa: S314 - ours
    for one in found:
        assert one.attrib["role"] == "img"
        named = one.attrib["aria-labelledby"].split()
        assert [child.attrib["id"] for child in one if child.tag in ("title", "desc")] == named
        assert all(child.text for child in one if child.tag in ("title", "desc"))
    return found


async def test_the_office_finds_every_report_and_what_it_is_for(api: Served) -> None:
    office = await signed_in(api, "admin_north")
    listed = await office.get("/office")
    assert 'href="/office/reports"' in listed.text
    page = await office.get("/office/reports")
    assert page.heading == "Reports"
    assert re.findall(r'href="/office/reports/([\w-]+)"', page.text) == list(REPORTS)


@pytest.mark.parametrize("name", REPORTS)
async def test_a_report_has_its_figure_its_explanation_and_the_same_numbers(api: Served, name: str) -> None:
    office = await signed_in(api, "admin")
    page = await office.get(f"/office/reports/{name}?{RANGE}")
    assert (page.status, page.heading) == (200, REPORTS[name])
    if name == "rolls-not-taken":
        assert "Every class with students is to take a roll" in page.text
    assert "How this was counted" in page.text
    assert "Where the rule comes from:" in page.text
    assert "<table>" in page.text
    assert figures(page)
    assert (page.value("from"), page.value("to")) == (str(DAYS[0]), str(DAYS[-1]))
    assert f'href="/office/reports/{name}.csv?from={DAYS[0]}&amp;to={DAYS[-1]}"' in page.text
    assert not re.search(r"\sstyle=|<script(?! src)|\son[a-z]+=", page.text)


async def test_the_numbers_are_those_of_the_route(api: Served) -> None:
    office = await signed_in(api, "admin_north")
    page = await office.get(f"/office/reports/chronic-absence?{RANGE}")
    assert "<bdi>Ann Ann</bdi>" in page.text
    row = re.search(r"<tr><th scope=\"row\"><bdi>Ann Ann.*?</tr>", page.text, re.DOTALL)
    assert row is not None
    assert re.findall(r'class="n">([^<]+)<', row[0]) == ["19", "3", "0", "0", "15.8 %"]
    assert "10.0 % or more of the days" in page.text
    assert "attendanceworks.org" in page.text
    daily = await office.get(f"/office/reports/daily?{RANGE}")
    rate, away = figures(daily)
    assert len(rate.findall("circle")) == 19
    told = [box.findtext("title") for box in away.findall("rect")]
    assert f"{format_skeleton('MMMd', DAYS[0], locale='en')}: 1 absent" in told


async def test_a_file_has_the_same_numbers(api: Served) -> None:
    office = await signed_in(api, "admin_north")
    page = await office.get(f"/office/reports/daily.csv?{RANGE}")
    assert page.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert page.headers["Content-Disposition"] == 'attachment; filename="daily.csv"'
    lines = page.text.splitlines()
    assert (lines[0], len(lines)) == ("day,school_id,school,present,tardy,absent,excused,rate", 20)
    assert (await office.get("/office/reports/no-such.csv")).status == 404


async def test_one_school_is_chosen_by_the_form(api: Served) -> None:
    office = await signed_in(api, "admin")
    page = await office.get(f"/office/reports/ada-adm?school_id=south&{RANGE}")
    assert '<option value="south" selected>South</option>' in page.text
    assert "<bdi>South</bdi>" in page.text
    assert "<bdi>North</bdi>" not in page.text
    empty = await office.get("/office/reports/ada-adm?school_id=&from=&to=")
    assert empty.status == 200
    assert "<bdi>North</bdi>" in empty.text


@pytest.mark.parametrize("days", [f"from={DAYS[-1]}&to={DAYS[0]}", "from=soon&to=", "from=2001-01-01&to=2026-01-01"])
async def test_wrong_days_are_told_and_stay_in_the_form(api: Served, days: str) -> None:
    office = await signed_in(api, "admin_north")
    for name in REPORTS:
        page = await office.get(f"/office/reports/{name}?{days}&school_id=north")
        assert page.status == 422
        assert re.search(r'role="alert">from: [^<]+\.</p>', page.text)
        assert page.value("from") == re.search(r"from=([^&]+)", days)[1]  # type: ignore[index]
        assert '<option value="north" selected>' in page.text


async def test_where_there_is_nothing_that_is_said(api: Served) -> None:
    office = await signed_in(api, "admin_north")
    for name in REPORTS:
        page = await office.get(f"/office/reports/{name}?from=2020-01-06&to=2020-01-10")
        assert page.status == 200
        if name != "ada-adm":
            assert "There is nothing to show for these days." in page.text
            assert figures(page) == []


async def test_who_may_not_see_a_report_is_told_so(api: Served) -> None:
    north = await signed_in(api, "admin_north")
    assert (await north.get("/office/reports/daily?school_id=south")).status == 404
    assert (await north.get("/office/reports/no-such")).status == 404
    for user in ("ann", "guardian_ann"):
        family = await signed_in(api, user)
        for path in ("/office/reports", "/office/reports/daily", "/office/reports/chronic-absence.csv"):
            page = await family.get(path)
            assert page.status == 403
            assert "Ann Ann" not in page.text.replace("<bdi>Ann Ann</bdi> <button", "")
    teacher = await signed_in(api, "teacher_c")
    assert re.findall(r'href="/office/reports/([\w-]+)"', (await teacher.get("/office/reports")).text) == [
        "daily",
        "rolls-not-taken",
        "check-in-patterns",
    ]
    assert (await teacher.get("/office/reports/chronic-absence")).status == 404
    assert (await teacher.get(f"/office/reports/daily?{RANGE}")).status == 200
    assert (await browser(api).get("/office/reports/daily")).path.startswith("/sign-in")


async def test_names_cannot_bring_markup_into_a_figure(api: Served) -> None:
    evil = '"><script>alert(1)</script>&'
    await api.district.store.write(lambda tx: tx.run(m.Org.update(name=evil).where(m.Org.id == "north")))
    office = await signed_in(api, "admin_north")
    page = await office.get(f"/office/reports/ada-adm?{RANGE}")
    assert "<script>alert" not in page.text
    (chart,) = figures(page)
    assert evil in [text.text for text in chart.findall("text")]


async def test_without_the_plugin_the_page_says_so_kindly(sqlite_url: str) -> None:
    async with served(sqlite_url, enabled=PLUGINS, sections={"accounts": CHEAP}) as running:
        office = await signed_in(running, "admin_north")
        for path in ("/office/reports", "/office/reports/daily"):
            page = await office.get(path)
            assert page.status == 404
            assert "Reports are not switched on here." in page.text


async def test_a_report_speaks_spanish(api: Served) -> None:
    office = await signed_in(api, "admin", language="es")
    page = await office.get(f"/office/reports/chronic-absence?{RANGE}")
    assert page.heading == "Ausentismo crónico"
    assert "Cómo se contó esto" in page.text
    assert "15,8 %" in html.unescape(page.text).replace("\xa0", " ")
