"""A student's phone in real Chromium: the scanner in the page, and checking in without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, expect

import homeroom_accounts
from homeroom.host import PluginsConfig
from homeroom.store import migrate
from tests.services import axe, camera, world
from tests.services.browsing import PLUGINS
from tests.services.front import CHEAP
from tests.services.server import Server, serving, settings_for
from tests.services.visiting import may_sign_in, signs_in

Picture = Callable[[Page, str], Awaitable[None]]
NAMES = {"dan": "Dan Dan", "bob": "Bob Bob"}
Launch = Callable[..., Awaitable[Browser]]
_IN_CHARGE = """() => new Promise((ready) => navigator.serviceWorker.controller
  ? ready() : navigator.serviceWorker.addEventListener("controllerchange", () => ready(), { once: true }))"""
SLOW_CODES = {"step_seconds": 300}
"""One code for the whole of a test, so that no test ends in the middle of one."""


@pytest.fixture
async def school(sqlite_url: str) -> AsyncIterator[Server]:
    """The small world on a real socket, in which everybody can sign in and biology is open."""
    migrate.upgrade(sqlite_url, {"accounts": Path(str(homeroom_accounts.__file__)).parent / "migrations"})
    plugins = PluginsConfig(enabled=PLUGINS, sections={"accounts": CHEAP, "rotating_code": SLOW_CODES})
    async with serving(settings_for(sqlite_url, plugins=plugins)) as server:
        await server.district.store.write(world.build)
        await may_sign_in(server, "dan", "bob")
        yield server


class Teacher:
    """The teacher of biology, by REST."""

    def __init__(self, school: Server, context: BrowserContext) -> None:
        self._school = school
        self._request = context.request
        self.session = ""

    async def _call(self, method: str, path: str, data: Any = None) -> Any:
        token = await self._school.token("teacher_b")
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self._school.url}/api/v1{path}"
        answer = await self._request.fetch(url, method=method, headers=headers, data=data)
        assert answer.ok, await answer.text()
        return await answer.json()

    async def opens(self) -> str:
        """A fresh session's id."""
        self.session = (await self._call("POST", "/classes/biology/sessions", {}))["id"]
        return self.session

    async def shows(self) -> Any:
        """The challenge of this moment."""
        return await self._call("GET", f"/sessions/{self.session}/challenge")

    async def has(self) -> dict[str, Any]:
        """Every student's record."""
        found = await self._call("GET", f"/sessions/{self.session}/attendance")
        return {one["student_id"]: one for one in found["items"]}


class Phone:
    """A student's phone; `complaints` is what its console said."""

    def __init__(self, page: Page, school: Server) -> None:
        self.page = page
        self.url = school.url
        self.complaints: list[str] = []

        def heard(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and "ERR_INTERNET_DISCONNECTED" not in message.text:
                self.complaints.append(message.text)

        page.on("console", heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def signs_in(self, user: str, path: str = "/check-in") -> None:
        """Sign in by the form and wait until the service worker keeps the page."""
        await signs_in(self.page, user, at=self.url + path)
        await expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    async def is_ready(self) -> None:
        """The service worker is in charge, and whatever the page does at first is done."""
        async with asyncio.timeout(20):
            await self.page.evaluate(_IN_CHARGE)

    async def types(self, code: str) -> None:
        """Type a code and send it."""
        await self.page.get_by_label("The code on the screen").fill(code)
        await self.page.get_by_role("button", name="I am here").click()

    async def keeps(self) -> list[dict[str, Any]]:
        """What waits on it."""
        found: list[dict[str, Any]] = await self.page.evaluate("checkIns.all()")
        return found

    async def shows(self, text: str) -> None:
        """Wait until the page tells `text` of what waits."""
        await expect(self.page.locator("#waiting")).to_contain_text(text)


async def _phone(browser: Browser, school: Server, **given: Any) -> Phone:
    context = await browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, **given)
    return Phone(await context.new_page(), school)


async def _in_class(browser: Browser, school: Server, **given: Any) -> tuple[Teacher, Phone]:
    phone = await _phone(browser, school, **given)
    teacher = Teacher(school, phone.page.context)
    await teacher.opens()
    return teacher, phone


@pytest.fixture
async def phone(school: Server, chromium: Browser) -> Phone:
    """One whose console must stay silent."""
    return await _phone(chromium, school)


@pytest.fixture
async def teacher(school: Server, chromium: Browser) -> Teacher:
    """Who has just opened biology."""
    teacher = Teacher(school, await chromium.new_context())
    await teacher.opens()
    return teacher


async def test_the_scanner_reads_the_picture_on_the_screen(
    school: Server, teacher: Teacher, launch: Launch, tmp_path: Path, pictured: Picture
) -> None:
    film = camera.film_of(school.url + (await teacher.shows())["link"], tmp_path / "seen.y4m")
    phone = await _phone(await launch(*camera.flags(film)), school, permissions=["camera"])
    asked: list[str] = []
    phone.page.on("request", lambda request: asked.append(request.url.partition("?")[0].rpartition("/")[2]))
    await phone.signs_in("dan")
    await phone.is_ready()
    before = list(asked)
    await phone.page.get_by_role("button", name="Scan with the camera").click()
    await expect(phone.page.get_by_role("heading", level=1)).to_have_text("You are in")
    await expect(phone.page.locator(".outcome")).to_contain_text("Shown by: the picture on the screen, scanned.")
    await pictured(phone.page, "student-scanned")
    assert "qr-0.7.0.min.js" not in before
    assert "qr-0.7.0.min.js" in asked
    assert phone.complaints == []
    assert (await teacher.has())["dan"]["status"] == "present"


@pytest.mark.parametrize("link", ["https://evil.example/check-in?session=a&scan=x", "/sign-out?session=a&scan=x"])
async def test_a_picture_that_leads_elsewhere_is_not_followed(
    school: Server, launch: Launch, tmp_path: Path, pictured: Picture, link: str
) -> None:
    film = camera.film_of(link, tmp_path / "seen.y4m")
    phone = await _phone(await launch(*camera.flags(film)), school, permissions=["camera"])
    await phone.signs_in("dan")
    await phone.page.get_by_role("button", name="Scan with the camera").click()
    told = phone.page.locator("#scanner [role=status]")
    await expect(told).to_have_text("That picture is not one for checking in here.")
    await pictured(phone.page, "student-scanner")
    await phone.page.get_by_role("button", name="Stop the camera").click()
    await expect(phone.page.locator("#scanner video")).to_be_hidden()
    await expect(told).to_be_empty()
    assert phone.page.url == f"{school.url}/check-in"


_CAMERAS = {
    "refused": (["--use-fake-device-for-media-stream"], "The camera may not be used here. You can type the code"),
    "none": ([], "No camera was found. Please type the code."),
}


@pytest.mark.parametrize("which", list(_CAMERAS))
async def test_a_camera_that_cannot_be_used_is_said_kindly_and_the_code_is_still_there(
    school: Server, teacher: Teacher, launch: Launch, pictured: Picture, which: str
) -> None:
    flags, said = _CAMERAS[which]
    phone = await _phone(await launch(*flags), school)
    await phone.signs_in("dan")
    await phone.page.get_by_role("button", name="Scan with the camera").click()
    await expect(phone.page.locator("#scanner [role=status]")).to_contain_text(said)
    await pictured(phone.page, f"student-camera-{which}")
    await phone.types((await teacher.shows())["code"])
    await expect(phone.page.locator(".outcome")).to_contain_text("Shown by: the code on the screen.")
    assert phone.complaints == []


async def test_a_code_typed_without_a_network_is_sent_when_it_is_back(
    teacher: Teacher, phone: Phone, pictured: Picture
) -> None:
    await phone.signs_in("dan")
    await phone.is_ready()
    code = (await teacher.shows())["code"]
    await phone.page.context.set_offline(offline=True)
    await phone.types(code)
    await expect(phone.page.get_by_role("heading", level=1)).to_have_text("No network just now")
    await phone.shows("is kept on this device")
    await pictured(phone.page, "student-offline")
    [kept] = await phone.keeps()
    assert (kept["code"], kept["session"]) == (code, teacher.session)
    assert await teacher.has() == {}

    await phone.page.context.set_offline(offline=False)

    await phone.shows("Waiting for review by your teacher. It was made without a network and sent later.")
    await expect(phone.page.get_by_role("heading", level=1)).to_have_text("The network is back")
    back = phone.page.locator("#back[role=status]")
    await expect(back).to_contain_text("Sent just now: 1. Still on this device: 0.")
    await expect(back.get_by_role("link")).to_have_attribute("href", "/check-in")
    await expect(phone.page.locator("[data-away]").first).to_be_hidden()
    await pictured(phone.page, "student-sent")
    record = (await teacher.has())["dan"]
    assert (record["status"], record["needs_review"]) == ("present", True)
    assert [one["method"] for one in record["evidence"]] == ["rotating_code", "late-sent"]
    assert record["client_id"] == kept["client_id"]
    assert await phone.keeps() == []
    assert phone.complaints == []


async def test_a_picture_scanned_without_a_network_is_kept_once_and_sent(
    school: Server, teacher: Teacher, phone: Phone
) -> None:
    await phone.signs_in("dan")
    await phone.is_ready()
    link = school.url + (await teacher.shows())["link"]
    await phone.page.context.set_offline(offline=True)
    for _ in range(2):  # the phone's own camera opens the link, and its owner taps it once more
        await phone.page.goto(link)
        await phone.shows("is kept on this device")
    assert phone.page.url == f"{school.url}/check-in"  # a picture stays in no history
    assert [one["session"] for one in await phone.keeps()] == [teacher.session]
    await phone.page.context.set_offline(offline=False)
    await phone.shows("Waiting for review by your teacher.")
    assert (await teacher.has())["dan"]["needs_review"]
    assert phone.complaints == []


async def test_a_code_typed_on_a_phone_that_knows_no_class_finds_its_own(teacher: Teacher, phone: Phone) -> None:
    await phone.signs_in("dan")
    await phone.is_ready()
    code = (await teacher.shows())["code"]
    await phone.page.context.set_offline(offline=True)
    await phone.page.goto(phone.url)
    await phone.types(code)
    await phone.shows("is kept on this device")
    assert [one["session"] for one in await phone.keeps()] == [""]
    await phone.page.context.set_offline(offline=False)
    await phone.shows("You are recorded as present.")
    assert (await teacher.has())["dan"]["status"] == "present"


async def test_a_wrong_code_typed_without_a_network_is_told_afterwards(teacher: Teacher, phone: Phone) -> None:
    await phone.signs_in("dan")
    await phone.is_ready()
    await phone.page.context.set_offline(offline=True)
    await phone.types("000000")
    await phone.shows("is kept on this device")
    await phone.page.context.set_offline(offline=False)
    await phone.shows("Your check-in was not recorded")
    await phone.shows("That is not the code.")
    assert await teacher.has() == {}
    assert await phone.keeps() == []


async def test_what_one_student_made_is_never_sent_for_another(teacher: Teacher, phone: Phone) -> None:
    await phone.signs_in("dan")
    await phone.is_ready()
    code = (await teacher.shows())["code"]
    await phone.page.context.set_offline(offline=True)
    await phone.types(code)
    await phone.shows("is kept on this device")
    await phone.page.context.clear_cookies()  # Dan's session ends meanwhile

    await phone.page.context.set_offline(offline=False)
    await phone.shows("Please sign in, then the check-in is sent.")
    await phone.page.get_by_role("link", name="Please sign in").click()
    await phone.signs_in("bob")
    assert await phone.page.evaluate("checkIns.send()") == ""
    assert await phone.page.locator("#waiting").inner_text() == ""
    assert await teacher.has() == {}
    assert len(await phone.keeps()) == 1

    await phone.page.get_by_role("button", name="Sign out").click()
    await phone.signs_in("dan")
    await phone.shows("Waiting for review by your teacher.")
    assert set(await teacher.has()) == {"dan"}


async def test_what_was_made_while_nobody_was_signed_in_is_asked_about(
    teacher: Teacher, phone: Phone, pictured: Picture
) -> None:
    await phone.signs_in("dan")
    await phone.is_ready()
    await phone.page.get_by_role("button", name="Sign out").click()
    await expect(phone.page.get_by_role("button", name="Sign in")).to_be_visible()
    code = (await teacher.shows())["code"]
    await phone.page.context.set_offline(offline=True)
    await phone.page.goto(phone.url)
    await phone.types(code)
    await phone.shows("is kept on this device")
    await phone.page.context.set_offline(offline=False)
    await phone.signs_in("bob")
    await phone.shows("Is it yours?")
    await pictured(phone.page, "student-whose")
    assert await teacher.has() == {}
    await phone.page.get_by_role("button", name="Yes, send it").click()
    await phone.shows("Waiting for review by your teacher.")
    assert set(await teacher.has()) == {"bob"}


_PUT_YESTERDAY = """async ([code, session]) => checkIns.put({
  client_id: "old", owner: await checkIns.person(), session, code, scan: "",
  occurred_at: new Date(Date.now() - 24 * 3600e3 - 1000).toISOString(),
})"""


async def test_what_is_a_day_old_is_told_and_removed(teacher: Teacher, phone: Phone) -> None:
    await phone.signs_in("dan")
    code = (await teacher.shows())["code"]
    await phone.page.evaluate(_PUT_YESTERDAY, [code, teacher.session])
    await phone.page.reload()
    await phone.shows("could not be sent within 24 hours")
    assert await phone.keeps() == []
    assert await teacher.has() == {}


_FILL = """async () => {
  let problem = "";
  for (let size = 1 << 20, number = 0; size > 50 && number < 200; number += 1) {
    const filler = Array.from(crypto.getRandomValues(new Uint8Array(Math.min(size, 65536))), String).join("");
    try {
      const told = filler.repeat(size / filler.length + 1);
      await checkIns.put({ client_id: `filler ${number}`, owner: "another", told });
    } catch (caught) {
      problem = caught.name;
      size >>= 1;
    }
  }
  return problem;
}"""


async def test_a_full_device_sends_its_owner_to_the_teacher(teacher: Teacher, phone: Phone, pictured: Picture) -> None:
    devtools = await phone.page.context.new_cdp_session(phone.page)
    await devtools.send("Storage.overrideQuotaForOrigin", {"origin": phone.url, "quotaSize": 2_000_000})
    await phone.signs_in("dan")
    await phone.is_ready()
    assert await phone.page.evaluate(_FILL) == "QuotaExceededError"
    code = (await teacher.shows())["code"]
    await phone.page.context.set_offline(offline=True)
    await phone.types(code)
    await phone.shows("This device has no room left")
    await pictured(phone.page, "student-full")


async def test_nothing_of_anybody_stays_in_the_caches(teacher: Teacher, phone: Phone) -> None:
    await phone.signs_in("dan")
    await phone.is_ready()
    await phone.types((await teacher.shows())["code"])
    await expect(phone.page.get_by_role("heading", level=1)).to_have_text("You are in")
    await phone.page.goto(f"{phone.url}/days")
    await phone.page.get_by_role("button", name="Sign out").click()
    await expect(phone.page.get_by_role("button", name="Sign in")).to_be_visible()
    kept: list[list[str]] = await phone.page.evaluate(_CACHED)
    assert {path.partition("?")[0] for path, _ in kept} >= {"/offline", "/static/web.css", "/static/student/queue.js"}
    assert {path.split("/")[1].partition("?")[0] for path, _ in kept} == {"offline", "static"}
    assert not [path for path, text in kept if "Dan" in text or "present</" in text]
    assert await phone.page.evaluate("checkIns.person()") == ""


_CACHED = """async () => {
  const found = [];
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys()) {
      found.push([request.url.slice(location.origin.length), await (await cache.match(request)).text()]);
    }
  }
  return found;
}"""


async def test_the_pages_can_be_installed(phone: Phone) -> None:
    await phone.signs_in("dan")
    await phone.is_ready()
    devtools = await phone.page.context.new_cdp_session(phone.page)
    told = await devtools.send("Page.getAppManifest")
    assert told["errors"] == []
    assert '"name":"Homeroom"' in told["data"]
    found = await devtools.send("Page.getInstallabilityErrors")
    assert [one for one in found["installabilityErrors"] if one["errorId"] != "in-incognito"] == []


async def test_none_of_a_students_pages_shuts_anybody_out(
    school: Server, chromium: Browser, axe_script: str, pictured: Picture
) -> None:
    phone = await _phone(chromium, school)
    teacher = Teacher(school, phone.page.context)
    await teacher.opens()
    wrong: dict[str, list[str]] = {}

    async def looks(name: str) -> None:
        if found := await axe.violations(phone.page, axe_script):
            wrong[name] = found
        await pictured(phone.page, f"student-{name}")

    await phone.signs_in("dan")
    await phone.is_ready()
    await phone.page.get_by_role("button", name="Scan with the camera").click()
    await expect(phone.page.locator("#scanner [role=status]")).not_to_be_empty()
    await looks("check-in")
    await phone.page.context.set_offline(offline=True)
    await phone.types((await teacher.shows())["code"])
    await phone.shows("is kept on this device")
    await looks("offline")
    await phone.page.context.set_offline(offline=False)
    await phone.shows("Waiting for review by your teacher.")
    await looks("sent")
    await phone.page.goto(f"{school.url}/check-in")
    await phone.types("000000")
    await expect(phone.page.locator(".outcome")).to_contain_text("You had checked in already")
    await looks("already")
    await phone.page.goto(f"{school.url}/days")
    await looks("days")
    await phone.page.locator(f'a[href="/days/{world.TODAY}"]').click()
    await expect(phone.page.get_by_role("table")).to_contain_text("Biology")
    await looks("day")
    assert phone.complaints == []
    assert wrong == {}
