"""One school day in real browsers, from the roster's arrival to the audit log, everybody at a device of their own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Response, ViewportSize, expect

import homeroom_accounts
import homeroom_ferpa
from homeroom import Credentials, PasswordSet
from homeroom.host import PluginsConfig
from homeroom.settings import AttendanceSettings, SyncSettings
from homeroom.store import Transaction, migrate
from homeroom.store import models as m
from homeroom.testing.district import first_school_day, write_bundle
from tests.services import axe, camera
from tests.services.browsing import PASSWORD, PLUGINS
from tests.services.front import CHEAP
from tests.services.post_office import PostOffice, post_office
from tests.services.server import Server, serving, settings_for
from tests.services.visiting import signs_in

Picture = Callable[[Page, str], Awaitable[None]]
Launch = Callable[..., Awaitable[Browser]]
SCHOOL, SECTION = "school-2", "06a"
CLASS = f"{SCHOOL}-06-homeroom-a"
TEACHER, OFFICE = f"{SCHOOL}-t-{SECTION}", "principal-2"
DESK: ViewportSize = {"width": 1280, "height": 800}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
_MAY_CARRY = {
    "recipient": "plugin:smtp",
    "service": "Carries our messages to families, on our own mail server",
    "direct_control": "Run by our own people, on our instructions",
    "redisclosure_limit": "Gives nothing on, keeps no copy",
    "agreement": "Resolution 7 of the board",
    "categories": ["messages"],
}
"""What the law wants entered before a plugin may carry what is said of students."""
_PACKAGES = {"accounts": homeroom_accounts, "ferpa": homeroom_ferpa}
_WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_IN_CHARGE = """() => new Promise((ready) => navigator.serviceWorker.controller
  ? ready() : navigator.serviceWorker.addEventListener("controllerchange", () => ready(), { once: true }))"""


def _where_it_is_morning() -> str:
    """A zone in which it is about ten o'clock now, so that families may be told at whatever hour the test runs."""
    ahead = max(10 - datetime.now(UTC).hour, -12)
    return f"Etc/GMT{-ahead:+d}" if ahead else "UTC"


@dataclass(slots=True, kw_only=True)
class Day:
    """The district, its mail server, and what was wrong with any page."""

    server: Server
    office: PostOffice
    axe_script: str
    pictured: Picture
    wrong: list[str] = field(default_factory=list)
    seen: int = 0
    ids: dict[str, str] = field(default_factory=dict)

    async def arrives(self, name: str, browser: Browser, **device: Any) -> Someone:
        """Somebody at a device of their own."""
        context = await browser.new_context(**device)
        return Someone(self, name, await context.new_page())

    async def looks(self, page: Page, name: str) -> None:
        """Have a page judged, and a picture taken of it."""
        self.wrong += [f"{name}: {one}" for one in await axe.violations(page, self.axe_script)]
        if wider := await page.evaluate(_WIDER):
            self.wrong.append(f"{name}: {wider} pixels wider than the window")
        self.seen += 1
        await self.pictured(page, f"day-{self.seen:02}-{name}")

    async def finds(self, sourced_id: str) -> m.User:
        """Somebody whom the SIS has named."""
        user = m.User.select().where(m.User.sourced_id == sourced_id)
        found = await self.server.district.store.read(lambda connection: connection.one(user))
        assert found is not None
        return found

    async def may_sign_in(self, user_id: str, name: str) -> None:
        """Give somebody a password."""
        given = Credentials(kind="password", fields={"email": f"{name}@example.org", "password": PASSWORD})
        answer = await self.server.district.host.ask("accounts", "set_password", user_id=user_id, credentials=given)
        assert answer is not None
        assert answer.value == PasswordSet()

    async def asks(self, user_id: str, method: str, path: str, **more: Any) -> Any:
        """What a route answers to somebody whose browser is not part of the story."""
        headers = {"Authorization": f"Bearer {await self.server.token(user_id)}"}
        async with httpx2.AsyncClient(base_url=f"{self.server.url}/api/v1", headers=headers, timeout=30) as client:
            answer = await client.request(method, path, **more)
        answer.raise_for_status()
        return answer.json()


class Someone:
    """A person and their browser; every page that they come to is watched."""

    def __init__(self, day: Day, name: str, page: Page) -> None:
        self.day = day
        self.name = name
        self.page = page
        self._watch(page)

    def _watch(self, page: Page) -> None:
        wrong = self.day.wrong

        def heard(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and "ERR_INTERNET_DISCONNECTED" not in message.text:
                wrong.append(f"{self.name}'s console: {message.text}")

        def came(answer: Response) -> None:
            policy = answer.headers.get("content-security-policy", "")
            if answer.request.resource_type == "document" and not 300 <= answer.status < 400:
                safe = "default-src" in policy and "unsafe-" not in policy
                wrong.extend([] if safe else [f"{answer.url}: {policy!r} is no safe Content-Security-Policy"])

        page.on("console", heard)
        page.on("pageerror", lambda error: wrong.append(f"{self.name}'s page: {error}"))
        page.on("response", came)

    async def second_tab(self) -> Someone:
        """The same person with another page of the same browser."""
        return Someone(self.day, self.name, await self.page.context.new_page())

    async def signs_in(self, path: str) -> None:
        """Come to a page through the form."""
        await signs_in(self.page, self.name, at=self.day.server.url + path)
        await expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    async def goes_to(self, path: str) -> None:
        """Type an address."""
        await self.page.goto(self.day.server.url + path)

    async def presses(self, name: str | re.Pattern[str]) -> None:
        """Press a button."""
        await self.page.get_by_role("button", name=name).click()

    async def follows(self, name: str) -> None:
        """Follow a link."""
        await self.page.get_by_role("link", name=name).first.click()

    async def sees(self, heading: str) -> None:
        """Wait for a page by its heading."""
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)

    async def looks(self, name: str) -> None:
        """Have the page judged, and a picture taken of it."""
        await self.day.looks(self.page, name)


def of(what: str, whose: str) -> re.Pattern[str]:
    """The name of a control that says to those who hear it whose it is."""
    return re.compile(rf"^{what}\s*: {whose}$")


@pytest.fixture
async def day(sqlite_url: str, tmp_path: Path, axe_script: str, pictured: Picture) -> AsyncIterator[Day]:
    """A district on its first morning: nobody in it but its administrator, and reports not switched on."""
    write_bundle(tmp_path / "bundle", students=100, starts_on=first_school_day(datetime.now(UTC).date()))
    migrate.upgrade(
        sqlite_url, {name: Path(str(one.__file__)).parent / "migrations" for name, one in _PACKAGES.items()}
    )
    office = PostOffice()
    async with post_office(office) as port:
        mail = {"host": "127.0.0.1", "port": port, "from_email": "school@example.org", "security": "none"}
        sections: dict[str, dict[str, Any]] = {
            "accounts": CHEAP,
            "smtp": mail,
            "oneroster": {"source": str(tmp_path / "bundle")},
        }
        sections["rotating_code"] = {"step_seconds": 30}
        plugins = PluginsConfig(
            enabled=(*PLUGINS, "ferpa", "reports", "smtp", "oneroster"),
            sections=sections,
            required=frozenset({"ferpa"}),
        )
        attendance = AttendanceSettings(time_zone=_where_it_is_morning(), school_days=list(range(7)))
        settings = settings_for(sqlite_url, plugins=plugins, sync=SyncSettings(administrators=True)).model_copy(
            update={"attendance": attendance}
        )
        async with serving(settings) as server:
            day = Day(server=server, office=office, axe_script=axe_script, pictured=pictured)
            await server.district.store.write(_an_administrator)
            await server.district.host.disable("reports")
            await day.may_sign_in("admin", "admin")
            yield day


def _an_administrator(tx: Transaction) -> None:
    names = {"given_name": "Robin", "family_name": "Okafor", "sort_name": "okafor robin"}
    tx.insert(m.User, id="admin", changed_at=tx.now, **names)
    tx.insert(m.RoleAssignment, user_id="admin", role="district_admin", org_id="")


async def test_a_school_day(day: Day, chromium: Browser, launch: Launch, tmp_path: Path) -> None:
    admin = await day.arrives("admin", chromium)
    await _the_administrator_switches_a_plugin_on(admin)
    await _the_roster_is_looked_at_and_then_taken_over(admin)
    await _a_rule_says_who_is_told(admin)
    scanning, offline, late, missing, *others = await _everybody_gets_a_password(day)

    teacher = await day.arrives(TEACHER, chromium, viewport=DESK)
    await _the_class_is_opened(teacher)
    screen = await _the_code_is_on_the_wall(teacher)
    film = tmp_path / "seen.y4m"
    with_camera = await launch(*camera.flags(film))
    scanner = await day.arrives(str(scanning.sourced_id), with_camera, **PHONE, permissions=["camera"])
    await _a_student_scans(scanner, teacher, film)
    await expect(_now(teacher, scanning)).to_have_text("present")

    away = await day.arrives(str(offline.sourced_id), chromium, **PHONE)
    await _a_student_has_no_network(away, screen)
    await expect(_now(teacher, offline)).to_have_attribute("data-status", "")
    await _the_others_come(teacher, others[:8], already=1)
    await _one_is_marked(teacher, late)
    await _the_board_is_looked_at(teacher)
    await _the_others_come(teacher, others[8:], already=9)
    await _the_network_is_back(away)
    await expect(_now(teacher, offline)).to_have_text("present")

    await _one_is_corrected(screen, late)
    await expect(_now(teacher, late)).to_have_text("excused")
    assert await teacher.page.evaluate("window.same"), "the board was loaded anew"
    await _the_flag_is_accepted(teacher, offline)
    await _the_roll_is_closed(teacher, missing)

    await _the_family_is_told(day, missing)
    guardian = await day.arrives(f"{missing.sourced_id}-g1", chromium, **PHONE)
    await _the_guardian_answers(guardian, missing)
    office = await day.arrives(OFFICE, chromium)
    await _the_office_approves(office, missing)
    await teacher.page.reload()
    await expect(_now(teacher, missing)).to_have_text("excused")
    await _a_student_looks_back(scanner)
    await _the_log_has_it_all(admin, missing, guardian)
    assert day.wrong == []


async def _the_administrator_switches_a_plugin_on(admin: Someone) -> None:
    await admin.goes_to("/admin/plugins")
    await admin.looks("sign-in")
    await admin.signs_in("/admin/plugins")
    await admin.presses(of("Switch on", "reports"))
    await expect(admin.page.get_by_role("button", name=of("Switch off", "reports"))).to_be_visible()
    await admin.looks("plugins")
    assert admin.day.server.district.host.is_on("reports")


async def _the_roster_is_looked_at_and_then_taken_over(admin: Someone) -> None:
    ended = admin.page.locator("#progress[data-under-way=no]")
    await admin.follows("Sync")
    await admin.looks("sync")
    await admin.presses(of("Dry run", "oneroster"))
    await expect(ended).to_be_visible(timeout=60_000)
    await expect(admin.page.get_by_role("table", name="What it would change")).to_contain_text("Cedar Elementary")
    await admin.looks("dry-run")
    assert await _people(admin.day) == 1
    await admin.presses("Take over exactly this")
    await expect(admin.page.get_by_text("It takes over what this dry run has shown.")).to_be_visible()
    await expect(ended).to_be_visible(timeout=60_000)
    await expect(admin.page.locator("#progress b").first).to_have_text("done")
    await admin.looks("run")
    assert await _people(admin.day) > 200


async def _people(day: Day) -> int:
    return len(await day.server.district.store.read(lambda connection: connection.all(m.User.select())))


async def _a_rule_says_who_is_told(admin: Someone) -> None:
    await admin.goes_to("/admin/rules/new?kind=absence")
    await admin.page.get_by_label("Name of the rule").fill("Absent today")
    await admin.page.get_by_label("guardians").check()
    await admin.page.get_by_label("Minutes to wait, in which a late arrival counts").fill("0")
    await admin.page.get_by_label("The rule is on").check()
    await admin.looks("rule")
    await admin.day.asks("admin", "POST", "/compliance/officials", json=_MAY_CARRY)
    await admin.presses("Save the rule")
    await admin.sees("Absent today")


async def _everybody_gets_a_password(day: Day) -> list[m.User]:
    """The class, in the order of the SIS."""
    homeroom = m.Class.select().where(m.Class.sourced_id == CLASS)
    found = await day.server.district.store.read(lambda connection: connection.one(homeroom))
    assert found is not None
    day.ids = {"class": found.id, "teacher": (await day.finds(TEACHER)).id}
    roster = await day.asks(day.ids["teacher"], "GET", f"/classes/{found.id}/roster")
    wanted = {one["id"] for one in roster["students"]}
    rows = await day.server.district.store.read(
        lambda connection: connection.all(m.User.select().where(m.User.id.in_(wanted)).order_by(m.User.sourced_id))
    )
    for name in (TEACHER, OFFICE, *(str(one.sourced_id) for one in rows[:2]), f"{rows[3].sourced_id}-g1"):
        await day.may_sign_in((await day.finds(name)).id, name)
    return list(rows)


async def _the_class_is_opened(teacher: Someone) -> None:
    await teacher.signs_in("/classes")
    await teacher.looks("classes")
    await teacher.follows("Homeroom 06, section A")
    await teacher.presses("Open check-in")
    await expect(teacher.page.locator("table.board[data-live]")).to_be_visible()
    await teacher.page.evaluate("window.same = true")
    await teacher.looks("board-empty")


async def _the_code_is_on_the_wall(teacher: Someone) -> Someone:
    address = await teacher.page.get_by_role("link", name="Show the code").get_attribute("href")
    assert address is not None
    teacher.day.ids["session"] = address.split("/")[2]
    screen = await teacher.second_tab()
    await screen.goes_to(address)
    await expect(screen.page.locator(".digits")).to_have_text(re.compile(r"^\d{6}$"))
    await screen.looks("screen")
    return screen


async def _a_student_scans(phone: Someone, teacher: Someone, film: Path) -> None:
    await phone.signs_in("/check-in")
    await phone.looks("check-in")
    shown = await _challenge(teacher.day)
    camera.film_of(teacher.day.server.url + shown["link"], film)
    await phone.presses("Scan with the camera")
    await phone.sees("You are in")
    await expect(phone.page.locator(".outcome")).to_contain_text("the picture on the screen, scanned")
    await phone.looks("checked-in")


async def _challenge(day: Day) -> Any:
    return await day.asks(day.ids["teacher"], "GET", f"/sessions/{day.ids['session']}/challenge")


async def _a_student_has_no_network(phone: Someone, screen: Someone) -> None:
    await phone.signs_in("/check-in")
    async with asyncio.timeout(20):
        await phone.page.evaluate(_IN_CHARGE)
    await phone.page.context.set_offline(offline=True)
    await phone.page.get_by_label("The code on the screen").fill(await screen.page.locator(".digits").inner_text())
    await phone.presses("I am here")
    await phone.sees("No network just now")
    await expect(phone.page.locator("#waiting")).to_contain_text("is kept on this device")
    await phone.looks("offline")


async def _the_network_is_back(phone: Someone) -> None:
    await phone.page.context.set_offline(offline=False)
    await expect(phone.page.locator("#waiting")).to_contain_text("Waiting for review by your teacher.")
    await phone.sees("The network is back")
    await phone.looks("late-sent")


async def _the_others_come(board: Someone, others: list[m.User], *, already: int) -> None:
    """More of the class, whose phones would show nothing that we have not seen; the board counts them by itself."""
    day = board.day
    for one in others:
        proof = {"code": (await _challenge(day))["code"]}
        body = {"session_id": day.ids["session"], "proof": proof}
        assert (await day.asks(one.id, "POST", "/attendance/checkin", json=body))["status"] == "present"
    await expect(board.page.locator('[data-count="present"]')).to_have_text(str(already + len(others)))


def _row(board: Someone, student: m.User) -> Locator:
    return board.page.locator(f"#student-{student.id}")


def _now(board: Someone, student: m.User) -> Locator:
    return _row(board, student).locator("[data-status]")


async def _one_is_marked(teacher: Someone, student: m.User) -> None:
    await _row(teacher, student).get_by_role("button", name=re.compile("^tardy")).click()
    await expect(_now(teacher, student)).to_have_text("tardy")


async def _the_board_is_looked_at(teacher: Someone) -> None:
    """At the desk, and then on a phone in the hand."""
    await teacher.looks("board-fills")
    await teacher.page.set_viewport_size(PHONE["viewport"])
    await teacher.looks("board-phone")
    await teacher.page.set_viewport_size(DESK)


async def _one_is_corrected(tab: Someone, student: m.User) -> None:
    await tab.follows("Back to the roll")
    await _row(tab, student).get_by_role("link", name="History").click()
    await tab.page.get_by_label("excused", exact=True).check()
    await tab.page.get_by_label("Why").fill("Was with the nurse, and has a note of hers")
    await tab.presses("Correct")
    await expect(tab.page.get_by_role("table")).to_contain_text("Was with the nurse")
    await tab.looks("corrected")


async def _the_flag_is_accepted(teacher: Someone, student: m.User) -> None:
    flags = teacher.page.locator("#flags")
    await expect(flags.get_by_role("listitem")).to_have_count(1)
    await expect(flags).to_contain_text(str(student.family_name))
    await teacher.looks("board-flag")
    await flags.get_by_role("button", name=re.compile("^Accept")).click()
    await expect(flags.get_by_role("listitem")).to_have_count(0)
    await expect(_row(teacher, student).locator("[data-flag]")).to_be_hidden()


async def _the_roll_is_closed(teacher: Someone, missing: m.User) -> None:
    await expect(_now(teacher, missing)).to_have_attribute("data-status", "")
    await teacher.presses("Close the roll")
    await expect(teacher.page.get_by_role("button", name="Open check-in")).to_be_visible()
    await expect(_now(teacher, missing)).to_have_text("absent")
    await teacher.looks("board-closed")


async def _the_family_is_told(day: Day, missing: m.User) -> None:
    async with asyncio.timeout(60):
        await day.office.came.wait()
    told = {str(message["To"]): message for message in day.office.messages}
    message = told[f"{missing.sourced_id}-g1@example.org"]
    text = message.get_body(("plain",))
    assert text is not None
    assert str(missing.preferred_given_name or missing.given_name) in text.get_content()
    assert "absent" in text.get_content()


async def _the_guardian_answers(guardian: Someone, child: m.User) -> None:
    await guardian.signs_in("/my-messages")
    await expect(guardian.page.locator("article.message")).to_contain_text("absent")
    await guardian.looks("message")
    await guardian.follows("My children")
    await guardian.looks("children")
    await guardian.page.locator(f'a[href="/children/{child.id}"]').click()
    await guardian.page.get_by_label("Reason").fill("She has a fever, and sees a doctor at noon")
    await guardian.presses("Tell the school")
    await expect(guardian.page.locator("article.message")).to_contain_text("She has a fever")
    await guardian.looks("reported")
    await guardian.goes_to("/records")
    await guardian.looks("records")


async def _the_office_approves(office: Someone, child: m.User) -> None:
    await office.signs_in("/office")
    await office.looks("office")
    await office.follows("Reported absences")
    row = office.page.get_by_role("row").filter(has_text=str(child.family_name))
    await expect(row).to_contain_text("She has a fever")
    await office.looks("absences")
    await row.get_by_role("button", name=re.compile("^Approve")).click()
    await expect(office.page.get_by_text("Nothing waits for an answer.")).to_be_visible()
    for path, name in (
        ("/office/completion", "rolls"),
        ("/office/today?status=all", "today"),
        (f"/office/students/{child.id}", "student"),
        ("/office/reports", "reports"),
        ("/office/reports/daily", "daily"),
    ):
        await office.goes_to(path)
        await office.looks(name)


async def _a_student_looks_back(phone: Someone) -> None:
    await phone.follows("My days")
    await expect(phone.page.get_by_role("table")).to_contain_text("present")
    await phone.looks("days")


def _called(person: m.User) -> str:
    return f"{person.preferred_given_name or person.given_name} {person.family_name}"


async def _the_log_has_it_all(admin: Someone, child: m.User, guardian: Someone) -> None:
    parent = await admin.day.finds(guardian.name)
    teacher, principal = await admin.day.finds(TEACHER), await admin.day.finds(OFFICE)
    await admin.goes_to("/admin/messages")
    await expect(admin.page.get_by_role("table")).to_contain_text(str(child.family_name))
    await admin.looks("messages")
    await admin.goes_to("/admin/health")
    await admin.looks("health")
    await admin.goes_to("/admin/audit")
    await admin.page.get_by_label("Whose record (name or id)").fill(child.id)
    await admin.presses("Search")
    entries = admin.page.get_by_role("table", name="Entries, the newest first")
    for reader in (parent, teacher, principal):
        await expect(entries.get_by_text(_called(reader), exact=True).first).to_be_visible()
    await admin.looks("audit")
    theirs = entries.get_by_role("row").filter(has=admin.page.get_by_text(_called(parent), exact=True))
    await theirs.first.get_by_role("link").click()
    await admin.sees("Entry of the audit log")
    await expect(admin.page.get_by_role("definition").nth(1)).to_contain_text(_called(parent))
    await expect(admin.page.get_by_text("It is in the log as it was made")).to_be_visible()
    await admin.looks("audit-entry")
