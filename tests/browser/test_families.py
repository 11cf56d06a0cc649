"""Families' pages in a real browser: nothing shuts anybody out, also from right to left, and files come as files."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

import homeroom_accounts
import homeroom_ferpa
import homeroom_web
from homeroom.host import PluginsConfig
from homeroom.store import Transaction, migrate
from homeroom.store import models as m
from homeroom_web import words
from tests.services import axe, world
from tests.services.browsing import PLUGINS
from tests.services.front import CHEAP
from tests.services.server import Server, serving, settings_for
from tests.services.visiting import PHONE, may_sign_in, signs_in, visits

Picture = Callable[[Page, str], Awaitable[None]]
DESK: ViewportSize = {"width": 1280, "height": 720}
NASTY = "Ana <img src=x onerror=alert(1)>\u202eevil"
NOTE = Path(homeroom_web.__file__).parent / "static/icons/any-192.png"
PAGES = {
    "children": "/children",
    "child": "/children/ann",
    "messages": "/my-messages",
    "preferences": "/my-messages/preferences",
    "records": "/records",
    "record": "/records/ann",
    "entries": "/records/ann/entries",
    "entry": "/records/ann/entries/{record}",
    "inspections": "/records/ann/inspections",
    "amendments": "/records/ann/amendments",
    "privacy": "/records/ann/privacy",
}
_ARABIC = dict(zip("abcdefghijklmnopqrstuvwxyz", "ابتثجحخدذرزسشصضطظعغفقكلمنه", strict=True))
_WIDE = """() => [...document.querySelectorAll("body *")].filter((one) => {
    const box = one.getBoundingClientRect();
    return !one.closest(".away, .skip") && box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
  }).map((one) => one.outerHTML.slice(0, 80))"""


@pytest.fixture
def mirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A language that runs from right to left: every text in Arabic letters that mean nothing."""
    folder = tmp_path / "locale"
    folder.mkdir()
    shutil.copy(words.FOLDER / "es.po", folder)
    lines = []
    for text in words.languages()["es"]._texts:
        inside, told = False, ""
        for letter in text:
            inside = letter == "{" or (inside and letter != "}")
            told += letter if inside else _ARABIC.get(letter.lower(), letter)
        lines.append('msgid "{}"\nmsgstr "{}"\n'.format(*(one.replace('"', '\\"') for one in (text, told))))
    (folder / "ar.po").write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n' + "\n".join(lines)
    )
    monkeypatch.setattr(words, "FOLDER", folder)
    words.languages.cache_clear()
    yield
    words.languages.cache_clear()


@pytest.fixture
async def school(sqlite_url: str) -> AsyncIterator[Server]:
    """The small world on a real socket with the law on: a family that has asked, been told, and been answered."""
    packages = {"accounts": homeroom_accounts, "ferpa": homeroom_ferpa}
    folders = {name: Path(str(one.__file__)).parent / "migrations" for name, one in packages.items()}
    migrate.upgrade(sqlite_url, folders)
    plugins = PluginsConfig(enabled=(*PLUGINS, "ferpa"), sections={"accounts": CHEAP}, required=frozenset({"ferpa"}))
    async with serving(settings_for(sqlite_url, plugins=plugins)) as server:
        await server.district.store.write(world.build)
        await server.district.store.write(_told)
        await may_sign_in(server, "guardian_ann", "admin_north")
        yield server


def _told(tx: Transaction) -> None:
    """Two messages to Ann's guardian, where they went, and a name to stumble over."""
    tx.run(m.User.update(preferred_given_name=NASTY).where(m.User.id == "ann"))
    for kind, value in (("sms", "+12125550199"), ("email", "ana@example.org")):
        sealed = tx.seal_for("guardian_ann", value)
        tx.insert(m.Contact, id=kind, user_id="guardian_ann", kind=kind, value=sealed, lookup=kind, source="office")
    for key, channel, state in (("m1", "sms", "delivered"), ("m2", "email", "failed")):
        text = (
            '{"sms": "Ana was marked absent today.", "email": "Dear family,\\n\\nAna was absent.", "subject": "Absent"}'
        )
        row = {"rule_id": "r", "rule_version": 1, "kind": "absence", "purpose": "attendance", "school_id": "north"}
        row |= {"recipient_id": "guardian_ann", "audience": "guardian", "language": "en", "student_id": "ann"}
        row |= dict.fromkeys(("due_at", "expires_at", "created_at", "changed_at"), tx.now)
        content = tx.seal_for("ann", text)
        tx.insert(m.Notification, id=key, key=key, channel=channel, state=state, content=content, **row)


async def _asked(school: Server) -> str:
    """The id of an entry of Ann's; her guardian has asked for a change of it, was refused, and asked to inspect."""
    teacher, parent, admin = [await _client(school, user) for user in ("teacher_a", "guardian_ann", "admin")]
    session = (await teacher.post("/api/v1/classes/algebra/sessions", json={})).json()["id"]
    marks = {"marks": [{"student_id": "ann", "status": "tardy"}]}
    record = (await teacher.put(f"/api/v1/sessions/{session}/attendance", json=marks)).json()["items"][0]["id"]
    ann = "/api/v1/compliance/students/ann"
    why = {"record_id": record, "why": f"She was there. {NASTY}", "status": "present"}
    amendment = (await parent.post(f"{ann}/amendments", json=why)).json()["item"]["id"]
    no = {"accept": False, "decision": "The list says tardy."}
    assert (await admin.post(f"{ann}/amendments/{amendment}/decision", json=no)).status_code == 200
    assert (await parent.post(f"{ann}/amendments/{amendment}/hearing", json={})).status_code == 201
    inspection = (await parent.post(f"{ann}/inspections", json={"wish": NASTY})).json()["item"]["id"]
    assert (await admin.post(f"{ann}/inspections/{inspection}/end", json={"state": "fulfilled"})).status_code == 200
    for client in (teacher, parent, admin):
        await client.aclose()
    return str(record)


async def _client(school: Server, user: str) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {await school.token(user)}"}
    return httpx2.AsyncClient(base_url=school.url, headers=headers, timeout=30)


async def test_no_page_of_a_family_shuts_anybody_out(
    school: Server, chromium: Browser, axe_script: str, pictured: Picture
) -> None:
    complaints: list[str] = []
    wrong: dict[str, list[str]] = {}
    record = await _asked(school)
    page = await visits(chromium, complaints)
    await signs_in(page, "guardian_ann", at=school.url + "/children")
    for name, path in PAGES.items():
        await page.set_viewport_size(DESK)
        await page.goto(school.url + path.format(record=record))
        found = [*await axe.violations(page, axe_script), *await page.evaluate(_WIDE)]
        await page.set_viewport_size(PHONE)
        found += [f"on a phone: {one}" for one in await page.evaluate(_WIDE)]
        if found:
            wrong[name] = found
        await pictured(page, f"family-{name}")
    assert wrong == {}
    assert complaints == []


@pytest.mark.usefixtures("mirrored")
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
async def test_the_pages_run_from_right_to_left_where_the_language_does(
    school: Server, chromium: Browser, axe_script: str, pictured: Picture, *, phone: bool
) -> None:
    complaints: list[str] = []
    wrong: dict[str, list[str]] = {}
    record = await _asked(school)
    page = await visits(chromium, complaints, locale="ar", phone=phone)
    await signs_in(page, "guardian_ann", at=school.url + "/children")
    for name, path in PAGES.items():
        await page.goto(school.url + path.format(record=record))
        await expect(page.locator("html")).to_have_attribute("dir", "rtl")
        title, out = [await page.locator(f"header {one}").bounding_box() for one in (".title", "form")]
        assert title is not None
        assert out is not None
        found = [*await axe.violations(page, axe_script), *await page.evaluate(_WIDE)]
        if not phone and title["x"] < out["x"]:
            found.append("the header is not mirrored")
        if found:
            wrong[name] = found
        await pictured(page, f"family-{name}-rtl-{'phone' if phone else 'desk'}")
    assert wrong == {}
    assert complaints == []


async def test_a_note_goes_up_from_a_phone_and_comes_down_in_the_office(school: Server, chromium: Browser) -> None:
    complaints: list[str] = []
    phone = await visits(chromium, complaints, phone=True)
    await signs_in(phone, "guardian_ann", at=school.url + "/children/ann")
    await phone.get_by_label("What kind of absence").select_option("MED")
    await phone.get_by_label("A document, such as a doctor's note").set_input_files(NOTE)
    await phone.get_by_role("button", name="Tell the school").click()
    await expect(phone.get_by_role("link", name="PNG")).to_be_visible()

    desk = await visits(chromium, complaints)
    await signs_in(desk, "admin_north", at=school.url + "/absences")
    async with desk.expect_download() as coming:
        await desk.get_by_role("link", name="PNG").click()
    got = await coming.value
    assert got.suggested_filename.endswith(".png")
    assert filecmp.cmp(await got.path(), NOTE, shallow=False)
    assert complaints == []
