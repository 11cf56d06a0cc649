"""An administrator's pages of messages, rules, compliance, the audit log and jobs, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

import homeroom_accounts
import homeroom_ferpa
from homeroom.host import PluginsConfig
from homeroom.store import migrate
from tests.services import axe, world
from tests.services.browsing import PLUGINS
from tests.services.front import CHEAP
from tests.services.office import a_message, addresses
from tests.services.server import Server, serving, settings_for
from tests.services.visiting import may_sign_in, signs_in, visits

Picture = Callable[[Page, str], Awaitable[None]]
_MIGRATIONS = {"accounts": homeroom_accounts, "ferpa": homeroom_ferpa}


@pytest.fixture
async def district(sqlite_url: str) -> AsyncIterator[Server]:
    """The small world on a real socket, with a message, a request and a flag to look at."""
    migrate.upgrade(
        sqlite_url, {name: Path(str(one.__file__)).parent / "migrations" for name, one in _MIGRATIONS.items()}
    )
    plugins = PluginsConfig(enabled=(*PLUGINS, "ferpa"), sections={"accounts": CHEAP})
    async with serving(settings_for(sqlite_url, plugins=plugins)) as server:
        await server.district.jobs.stop()
        await server.district.store.write(world.build)
        await server.district.store.write(addresses)
        await may_sign_in(server, "admin")
        yield server


async def test_no_page_shuts_anybody_out(
    district: Server, chromium: Browser, axe_script: str, pictured: Picture
) -> None:
    message = await a_message(district.district.store, state="failed", reason="no_plugin")
    complaints: list[str] = []
    wrong: dict[str, list[str]] = {}
    desk = await visits(chromium, complaints)
    await signs_in(desk, "admin", at=f"{district.url}/sign-in")
    token = {"Authorization": f"Bearer {await district.token('admin')}"}
    api = f"{district.url}/api/v1"
    seen = await desk.request.post(f"{api}/compliance/students/ann/inspections", headers=token, data={"wish": "All"})
    assert seen.status == 201
    change = {"record_id": "record_ann", "why": "She was there."}
    asked = await desk.request.post(f"{api}/compliance/students/ann/amendments", headers=token, data=change)
    assert asked.status == 201
    gone = await desk.request.post(
        f"{api}/compliance/incidents", headers=token, data={"what": "Lost", "states": ["NY"]}
    )
    incident = (await gone.json())["item"]["id"]
    made = {"kind": "absence", "title": "Absence", "school_id": "north"}
    rule = await (await desk.request.post(f"{api}/notifications/rules", headers=token, data=made)).json()
    for path in (
        *("messages", f"messages/{message}", "messages/day", "messages/limits", "rules", "rules/new"),
        *("rules/new?kind=total", f"rules/{rule['id']}", f"rules/{rule['id']}/versions/1", "texts", "compliance"),
        *("compliance/students/ann", "compliance/anomalies", "compliance/incidents"),
        *(
            f"compliance/incidents/{incident}",
            "compliance/keeping",
            "compliance/officials",
            "compliance/notice?year=2026-27",
        ),
        *("compliance/officials", "compliance/studies", "compliance/report", "audit", "jobs"),
    ):
        answer = await desk.goto(f"{district.url}/admin/{path}")
        assert answer is not None
        assert answer.status == 200, path
        name = path.split("?")[0].replace("/", "-").replace(message, "one").replace(rule["id"], "one")
        if found := await axe.violations(desk, axe_script):
            wrong[path] = found
        await pictured(desk, f"admin-{name.replace(incident, 'one')}")
    assert wrong == {}
    assert complaints == []


async def test_a_rule_is_previewed_and_then_saved(
    district: Server, chromium: Browser, axe_script: str, pictured: Picture
) -> None:
    complaints: list[str] = []
    desk = await visits(chromium, complaints)
    await signs_in(desk, "admin", at=f"{district.url}/sign-in")
    await desk.goto(f"{district.url}/admin/rules")
    await desk.get_by_role("link", name="A new rule").click()
    await desk.get_by_role("link", name="Absence", exact=True).click()
    await desk.get_by_label("Name of the rule").fill("Absent today")
    await desk.get_by_label("guardians").check()
    await desk.get_by_role("button", name="Show who would be told what").click()
    await expect(desk.get_by_role("heading", name="Preview: nothing has been saved or sent")).to_be_visible()
    await expect(desk.get_by_role("rowheader", name="Guardian Ann")).to_be_visible()
    await expect(desk.get_by_label("guardians")).to_be_checked()
    await pictured(desk, "admin-rule-preview")
    assert await axe.violations(desk, axe_script) == []
    await desk.get_by_role("button", name="Save the rule").click()
    await expect(desk.get_by_role("heading", level=1)).to_have_text("Absent today")
    assert complaints == []


async def test_the_log_is_searched_and_an_entry_proven(
    district: Server, chromium: Browser, axe_script: str, pictured: Picture
) -> None:
    complaints: list[str] = []
    desk = await visits(chromium, complaints)
    await signs_in(desk, "admin", at=f"{district.url}/sign-in")
    await desk.goto(f"{district.url}/admin/audit")
    await desk.get_by_label("Whose record (name or id)").fill("Ann Ann")
    await desk.get_by_role("button", name="Search").click()
    await expect(desk.get_by_role("columnheader", name="When")).to_be_visible()
    assert "Ann" not in desk.url
    await pictured(desk, "admin-audit-found")
    assert await axe.violations(desk, axe_script) == []
    await desk.get_by_role("rowheader").last.get_by_role("link").click()
    await expect(desk.get_by_role("heading", level=1)).to_have_text("Entry of the audit log")
    await pictured(desk, "admin-audit-entry")
    assert await axe.violations(desk, axe_script) == []
    assert complaints == []
