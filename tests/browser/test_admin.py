"""An administrator in a real browser: settings tried and saved, a run followed, a question settled."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

import homeroom_accounts
from homeroom.host import PluginsConfig
from homeroom.store import migrate
from homeroom.store import models as m
from homeroom.testing.district import write_bundle
from tests.services import axe, world
from tests.services.browsing import PLUGINS
from tests.services.front import CHEAP
from tests.services.server import Server, serving, settings_for
from tests.services.visiting import may_sign_in, signs_in, visits
from tests.services.waiting import until

Picture = Callable[[Page, str], Awaitable[None]]
SMTP = {"host": "127.0.0.1", "port": 9, "from_email": "school@example.org", "security": "none"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", students=10)
    return tmp_path / "bundle"


@pytest.fixture
async def district(sqlite_url: str, bundle: Path) -> AsyncIterator[Server]:
    """The small world on a real socket, with a connector and a mail server that is not there."""
    migrate.upgrade(sqlite_url, {"accounts": Path(str(homeroom_accounts.__file__)).parent / "migrations"})
    sections: dict[str, dict[str, Any]] = {
        "accounts": CHEAP,
        "smtp": SMTP,
        "oneroster": {"source": str(bundle)},
        "geofence": {},
    }
    plugins = PluginsConfig(enabled=(*PLUGINS, "smtp", "oneroster", "geofence"), sections=sections)
    async with serving(settings_for(sqlite_url, plugins=plugins)) as server:
        await server.district.store.write(world.build)
        await may_sign_in(server, "admin")
        yield server


def of(what: str, whose: str) -> re.Pattern[str]:
    """The name of a control that says to those who hear it whose it is."""
    return re.compile(rf"^{what}\s*: {whose}$")


async def _question(server: Server, bundle: Path, desk: Page) -> None:
    """Let a student have another name here than in the SIS, and read the SIS again."""
    held = m.RoleAssignment
    students = held.select(held.user_id).where(held.role == "student")
    chosen = m.User.select().where(m.User.source == "oneroster", m.User.id.in_(students)).order_by(m.User.sourced_id)
    student = await server.district.store.read(lambda c: c.one(chosen))
    assert student is not None
    url = f"{server.url}/api/v1/students/{student.id}"
    me = {"Authorization": f"Bearer {await server.token('admin')}"}
    tag = (await desk.request.get(url, headers=me)).headers["etag"]
    answer = await desk.request.patch(url, headers={**me, "If-Match": tag}, data={"family_name": "Ours"})
    assert answer.ok
    users = bundle / "users.csv"
    lines = users.read_text(encoding="utf-8").splitlines(keepends=True)
    changed = [
        line.replace(str(student.family_name), "Theirs") if line.startswith(f"{student.sourced_id},") else line
        for line in lines
    ]
    users.write_text("".join(changed), encoding="utf-8")
    await _run(desk, "Run")


async def _run(desk: Page, button: str) -> None:
    """Begin a run and follow it to its end."""
    await desk.get_by_role("link", name="Sync").first.click()
    await desk.get_by_label("Read everything anew").check()
    await desk.get_by_role("button", name=of(button, "oneroster")).click()
    await expect(desk.locator("#progress[data-under-way=no]")).to_be_visible(timeout=30_000)


async def test_settings_are_tried_without_leaving_the_form_and_then_saved(
    district: Server, chromium: Browser, pictured: Picture
) -> None:
    complaints: list[str] = []
    desk = await visits(chromium, complaints)
    await signs_in(desk, "admin", at=district.url + "/admin/plugins")
    await desk.get_by_role("button", name=of("Switch off", "smtp")).click()
    await expect(desk.get_by_role("button", name=of("Switch on", "smtp"))).to_be_visible()
    assert not district.district.host.is_on("smtp")
    await desk.get_by_role("button", name=of("Switch on", "smtp")).click()
    await expect(desk.get_by_role("button", name=of("Switch off", "smtp"))).to_be_visible()
    assert district.district.host.is_on("smtp")

    await desk.get_by_role("link", name=of("Settings", "smtp")).click()
    await desk.get_by_label("Port").fill("8")
    await desk.get_by_label("Username").fill("office")
    await desk.get_by_label("Password", exact=True).fill("typed once")
    await desk.get_by_role("button", name="Try it").click()
    await expect(desk.get_by_role("status")).to_contain_text("127.0.0.1:8 cannot be reached.")
    await expect(desk.get_by_label("Password", exact=True)).to_have_value("typed once")
    await pictured(desk, "settings-tried")
    assert district.district.host.masked_settings("smtp")["port"] == 9

    await desk.get_by_role("button", name="Save and restart").click()
    await expect(desk.get_by_text("Saved. The plugin has been restarted")).to_be_visible()
    await expect(desk.get_by_label("Password", exact=True)).to_have_value("")
    await expect(desk.get_by_text("There is one. Leave this empty to keep it.")).to_be_visible()
    assert district.district.host.masked_settings("smtp")["port"] == 8
    assert complaints == []


async def test_a_dry_run_is_followed_taken_over_and_a_question_settled(
    district: Server, chromium: Browser, bundle: Path, pictured: Picture
) -> None:
    complaints: list[str] = []
    desk = await visits(chromium, complaints)
    await signs_in(desk, "admin", at=district.url + "/admin/sync")
    await _run(desk, "Dry run")
    take_over = desk.get_by_role("button", name="Take over exactly this")
    await expect(take_over).to_be_visible()
    await pictured(desk, "dry-run")
    await take_over.click()
    await expect(desk.get_by_text("It takes over what this dry run has shown.")).to_be_visible()
    await expect(desk.locator("#progress[data-under-way=no]")).to_be_visible(timeout=30_000)
    await expect(desk.locator("#progress b").first).to_have_text("done")

    await _question(district, bundle, desk)
    await desk.get_by_role("link", name="Sync").first.click()
    await desk.get_by_role("link", name="Questions that wait for a person").click()
    await expect(desk.get_by_role("cell", name="Theirs")).to_be_visible()
    await pictured(desk, "conflict")
    await desk.get_by_label("what the SIS has").check()
    await desk.get_by_label("Why").fill("The office has seen the form.")
    await desk.get_by_role("button", name="Settle").click()
    await expect(desk.get_by_role("status")).to_have_text("Settled.")
    settled = await district.district.store.read(lambda c: c.one(m.User.select().where(m.User.family_name == "Theirs")))
    assert settled is not None
    assert complaints == []


async def test_without_scripts_the_same_is_done_by_forms(district: Server, chromium: Browser) -> None:
    desk = await visits(chromium, [], scripts=False)
    await signs_in(desk, "admin", at=district.url + "/admin/plugins/smtp/settings")
    await desk.get_by_label("Port").fill("8")
    await desk.get_by_role("button", name="Try it").click()
    await expect(desk.get_by_text("127.0.0.1:8 cannot be reached.").first).to_be_visible()
    await desk.get_by_role("button", name="Save and restart").click()
    await expect(desk.get_by_text("Saved. The plugin has been restarted")).to_be_visible()
    await desk.get_by_role("link", name="Sync").first.click()
    await desk.get_by_role("button", name=of("Run", "oneroster")).click()
    await until(lambda: not district.district.runs.under_way)
    await desk.goto(desk.url)
    await expect(desk.locator("#progress b").first).to_have_text("done")


async def test_no_page_shuts_anybody_out(
    district: Server, chromium: Browser, bundle: Path, axe_script: str, pictured: Picture
) -> None:
    complaints: list[str] = []
    wrong: dict[str, list[str]] = {}
    desk = await visits(chromium, complaints)
    await signs_in(desk, "admin", at=district.url + "/admin/sync")

    async def looks(name: str, path: str | None = None) -> None:
        if path is not None:
            await desk.goto(district.url + path)
        if found := await axe.violations(desk, axe_script):
            wrong[name] = found
        await pictured(desk, f"admin-{name}")

    await _run(desk, "Dry run")
    await looks("dry-run")
    await desk.get_by_role("button", name="Take over exactly this").click()
    await expect(desk.locator("#progress[data-under-way=no]")).to_be_visible(timeout=30_000)
    await looks("run")
    await _question(district, bundle, desk)
    enrollments = bundle / "enrollments.csv"
    lines = enrollments.read_text(encoding="utf-8").splitlines(keepends=True)
    enrollments.write_text("".join([lines[0], *(one for one in lines[1:] if ",student," not in one)]), encoding="utf-8")
    await _run(desk, "Run")
    await expect(desk.get_by_text("What the guard has seen")).to_be_visible()
    await looks("held")
    for _ in range(5):
        district.district.history.look(0.01)
    for name, path in (
        ("room", "/admin"),
        ("plugins", "/admin/plugins"),
        ("plugin", "/admin/plugins/smtp"),
        ("settings", "/admin/plugins/smtp/settings"),
        ("settings-json", "/admin/plugins/geofence/settings"),
        ("sync", "/admin/sync"),
        ("check", "/admin/sync/connectors/oneroster/check"),
        ("conflicts", "/admin/sync/conflicts"),
        ("dead-letters", "/admin/sync/connectors/oneroster/dead-letters"),
        ("corrections", "/admin/sync/connectors/oneroster/corrections"),
        ("attendance", "/admin/sync/connectors/oneroster/attendance"),
        ("health", "/admin/health"),
    ):
        await looks(name, path)
    await desk.goto(district.url + "/admin/plugins/smtp/settings")
    await desk.get_by_label("Username").fill("office")
    await desk.get_by_label("Host").fill("not a host")
    await desk.get_by_role("button", name="Save and restart").click()
    await looks("settings-wrong")
    assert wrong == {}
    assert complaints == ["Failed to load resource: the server responded with a status of 422 ()"]  # what was wrong
