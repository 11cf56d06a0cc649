"""An administrator's pages without any script: plugins, their settings, the sync and the system's health."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from homeroom.store import models as m
from homeroom.testing.district import write_bundle
from tests.services.browsing import PLUGINS, Browser, Page, browser
from tests.services.front import CHEAP
from tests.services.served import Served, served
from tests.services.waiting import until

CANARY = "canary-of-the-mail-server"
SMTP = {"host": "127.0.0.1", "port": 9, "from_email": "school@example.org", "security": "none"}
SETTINGS = "/admin/plugins/smtp/settings"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", students=10)
    return tmp_path / "bundle"


@pytest.fixture
async def api(sqlite_url: str, bundle: Path) -> AsyncIterator[Served]:
    sections: dict[str, dict[str, Any]] = {"accounts": CHEAP, "smtp": SMTP, "oneroster": {"source": str(bundle)}}
    async with served(sqlite_url, enabled=[*PLUGINS, "smtp", "oneroster"], sections=sections) as running:
        yield running


@pytest.fixture
async def admin(api: Served) -> Browser:
    ann = browser(api)
    await ann.signs_in("admin")
    return ann


def fields(page: Page) -> dict[str, str]:
    """What a browser would send of the settings as they stand."""
    form = re.search(r'<form method="post"[^>]*data-trial>(.*?)</form>', page.text, re.DOTALL)
    assert form is not None, page.text
    found = {}
    for tag in re.findall(r"<input[^>]*>", form[1]):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r' value="([^"]*)"', tag)
        if name is None or " disabled" in tag or ('type="checkbox"' in tag and " checked" not in tag):
            continue
        found[name[1]] = html.unescape(value[1]) if value else ""
    for name, body in re.findall(r'<select[^>]* name="([^"]+)"[^>]*>(.*?)</select>', form[1], re.DOTALL):
        chosen = re.search(r"<option selected>(.*?)</option>", body)
        found[name] = html.unescape(chosen[1]) if chosen else ""
    for name, body in re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>\n(.*?)</textarea>', form[1], re.DOTALL):
        found[name] = html.unescape(body)
    return found


async def ended(api: Served, page: Page) -> str:
    """The id of the run that a page shows, once nobody is at it any more."""
    run_id = page.path.rpartition("/")[2]
    await until(lambda: run_id not in api.district.runs.under_way)
    return run_id


@pytest.mark.parametrize("user", ["teacher_a", "admin_north", "ann", "guardian_ann"])
async def test_only_who_runs_the_district_sees_these_pages(api: Served, user: str) -> None:
    other = browser(api)
    await other.signs_in(user)
    pages = ("/admin/plugins", SETTINGS, "/admin/sync", "/admin/sync/conflicts", "/admin/health")
    more = ("/admin/plugins/smtp", "/admin/sync/connectors/oneroster/dead-letters")
    for path in (*pages, *more, "/admin/sync/connectors/oneroster/attendance"):
        assert (await other.get(path)).status == 403, path
    for path in (SETTINGS, "/admin/sync/connectors/oneroster/runs", "/admin/plugins/smtp/disable"):
        assert (await other.post(path)).status == 403, path
    assert api.district.host.is_on("smtp")


async def test_the_plugins_are_listed_in_the_order_they_are_asked_and_switched(api: Served, admin: Browser) -> None:
    page = await admin.get("/admin/plugins")
    names = re.findall(r'<th scope="row"><a href="/admin/plugins/(\w+)">', page.text)
    assert names[:5] == [*PLUGINS, "smtp", "oneroster"]
    assert re.findall(r"<td>(\d+)</td>\n<th", page.text) == ["1", "2", "3", "4", "5"]
    await admin.post("/admin/plugins/smtp/disable")
    assert not api.district.host.is_on("smtp")
    await admin.post("/admin/plugins/smtp/enable")
    assert api.district.host.is_on("smtp")
    refused = await admin.post("/admin/plugins/twilio/enable")
    assert (refused.status, "homeroom plugins enable twilio" in refused.text) == (409, True)
    assert 'role="alert"' in refused.text


async def test_a_plugins_page_tells_how_each_hook_fares(admin: Browser) -> None:
    page = await admin.get("/admin/plugins/smtp")
    assert "127.0.0.1:9 cannot be reached." in page.text
    row = re.search(r'<th scope="row">health</th>(.*?)</tr>', page.text, re.DOTALL)
    assert row is not None
    assert "works" in row[1]
    assert (await admin.get("/admin/plugins/nothing")).status == 404


async def test_a_form_is_drawn_of_the_settings(admin: Browser) -> None:
    page = await admin.get(SETTINGS)
    assert re.search(r'<input id="setting-port"[^>]* type="number"[^>]* min="1" max="65535" value="9"', page.text)
    assert re.search(r"<option selected>none</option>", page.text)
    assert re.search(r'<input id="setting-password"[^>]* type="password"', page.text)
    assert fields(page)["setting.host"] == "127.0.0.1"
    assert 'aria-describedby="about-from_email"' in page.text


async def test_settings_are_tried_saved_and_shown_without_the_secret(api: Served, admin: Browser) -> None:
    sent = {**fields(await admin.get(SETTINGS)), "setting.username": "office", "setting.password": CANARY}
    tried = await admin.post(SETTINGS, **{**sent, "setting.port": "8", "action": "test"})
    assert (tried.status, "127.0.0.1:8 cannot be reached." in tried.text) == (200, True)
    assert (tried.value("setting.port"), CANARY in tried.text) == ("8", False)
    assert api.district.host.masked_settings("smtp")["port"] == 9

    saved = await admin.post(SETTINGS, **{**sent, "setting.port": "26", "action": "save"})
    assert "Saved. The plugin has been restarted" in saved.text
    assert (saved.value("setting.port"), CANARY in saved.text) == ("26", False)
    kept = await admin.post(SETTINGS, **{**fields(saved), "setting.timeout": "5", "action": "save"})
    assert kept.value("setting.timeout") == "5"
    told = await (await api.get("~/plugins/smtp/settings", "admin")).get_json()
    assert (told["values"]["password"], told["origins"]["host"]["source"]) == ("set", "file")

    back = {"remove.password": "on", "back.port": "on", "setting.username": ""}
    gone = await admin.post(SETTINGS, **{**fields(kept), **back, "action": "save"})
    assert gone.value("setting.port") == "9"
    assert "There is none yet." in gone.text


async def test_what_is_wrong_is_said_beside_the_field_and_the_rest_stays(api: Served, admin: Browser) -> None:
    sent = {**fields(await admin.get(SETTINGS)), "setting.port": "70000", "setting.from_name": "The office"}
    page = await admin.post(SETTINGS, **sent, action="save")
    assert (page.status, page.value("setting.port"), page.value("setting.from_name")) == (422, "70000", "The office")
    assert re.search(r'id="about-port" class="hint">\s*<p class="absent">.*65535', page.text)
    assert re.search(r'<input id="setting-port"[^>]* aria-invalid="true"', page.text)
    text = await admin.post(SETTINGS, **{**sent, "setting.port": "many"}, action="save")
    assert (text.status, "valid integer" in text.text) == (422, True)
    assert api.district.host.masked_settings("smtp")["port"] == 9


async def test_who_saves_over_somebody_elses_change_is_told(admin: Browser) -> None:
    old = fields(await admin.get(SETTINGS))
    await admin.post(SETTINGS, **{**old, "setting.timeout": "5"}, action="save")
    late = await admin.post(SETTINGS, **{**old, "setting.timeout": "6"}, action="save")
    assert (late.status, late.value("setting.timeout")) == (412, "6")
    assert "meanwhile" in late.text


async def test_the_pages_own_settings_can_be_changed_on_a_page(admin: Browser) -> None:
    path = "/admin/plugins/web/settings"
    sent = {**fields(await admin.get(path)), "setting.title": "Springfield <Schools>", "action": "save"}
    page = await admin.post(path, **sent)
    assert page.status == 200
    assert "Springfield &lt;Schools&gt;" in (await admin.get("/admin")).text


async def test_groups_lists_and_json_are_filled_in_and_read_back(sqlite_url: str) -> None:
    sections: dict[str, dict[str, Any]] = {
        "accounts": CHEAP,
        "oidc": {"client_id": "us", "client_secret": CANARY, "preset": "google"},
    }
    names = [*PLUGINS, "oidc", "geofence", "ferpa"]
    async with served(sqlite_url, enabled=names, sections=sections) as api:
        admin = browser(api)
        await admin.signs_in("admin")
        path = "/admin/plugins/oidc/settings"
        lines = {"setting.allowed_domains": "b.example\r\n\r\n a.example", "action": "save"}
        saved = await admin.post(path, **{**fields(await admin.get(path)), **lines})
        assert sorted(fields(saved)["setting.allowed_domains"].split("\n")) == ["a.example", "b.example"]

        path = "/admin/plugins/geofence/settings"
        form = fields(await admin.get(path))
        wrong = await admin.post(path, **{**form, "setting.areas": '{"north": ', "action": "save"})
        assert (wrong.status, "This is no valid JSON: see line 1" in wrong.text) == (422, True)
        assert fields(wrong)["setting.areas"] == '{"north": '
        area = '{"north": {"kind": "circle", "lat": 1, "lon": 2, "radius_m": 0}}'
        wrong = await admin.post(path, **{**form, "setting.areas": area, "action": "save"})
        assert (wrong.status, "areas.north" in wrong.text) == (422, True)
        saved = await admin.post(path, **{**form, "setting.areas": area.replace("0}", "50}"), "action": "save"})
        assert '"radius_m": 50' in fields(saved)["setting.areas"]

        path = "/admin/plugins/ferpa/settings"
        page = await admin.get(path)
        assert "<fieldset><legend>" in page.text
        form = fields(page)
        assert form["setting.reports.small_cell"] == "10"
        saved = await admin.post(path, **{**form, "setting.reports.small_cell": "12", "action": "save"})
        assert saved.value("setting.reports.small_cell") == "12"
        told = await (await api.get("~/plugins/ferpa/settings", "admin")).get_json()
        assert {key for key, one in told["origins"].items() if one["source"] == "saved"} == {"reports"}


async def test_a_dry_run_is_shown_field_by_field_and_taken_over(api: Served, admin: Browser) -> None:
    page = await admin.get("/admin/sync")
    assert "has never run" in page.text
    begun = await admin.post("/admin/sync/connectors/oneroster/runs", run="dry", full="on", key=page.value("key"))
    assert begun.path.startswith("/admin/sync/runs/")
    run_id = await ended(api, begun)
    progress = await admin.get(f"/admin/sync/runs/{run_id}/progress")
    assert 'data-under-way="no"' in progress.text
    shown = await admin.get(f"/admin/sync/runs/{run_id}")
    assert "<td>family_name</td>" in shown.text + (await _all_rows(admin, shown))
    assert "added" in shown.text
    approved = await admin.post(f"/admin/sync/runs/{run_id}/approve")
    assert approved.path != shown.path
    done = await admin.get(f"/admin/sync/runs/{await ended(api, approved)}")
    assert "It takes over what this dry run has shown." in done.text
    assert '<b class="present">done</b>' in done.text
    assert await api.district.store.read(lambda c: c.one(m.User.select().where(m.User.source == "oneroster")))
    again = await admin.post(f"/admin/sync/runs/{run_id}/release")
    assert (again.status, 'role="alert"' in again.text) == (409, True)


async def _all_rows(admin: Browser, page: Page) -> str:
    """The other pages of a diff."""
    found = ""
    while onward := re.search(r'href="([^"]+\?cursor=[^"]+)"', page.text):
        page = await admin.get(html.unescape(onward[1]))
        found += page.text
    return found


async def _runs(api: Served, admin: Browser) -> str:
    return await ended(api, await admin.post("/admin/sync/connectors/oneroster/runs", run="real", full="on"))


def edit(path: Path, change: str, **fresh: str) -> None:
    """Change the fields of the rows of a file whose `change` begins their id; with nothing fresh, take them out."""
    with path.open(newline="", encoding="utf-8") as source:
        reader = csv.DictReader(source)
        names, rows = list(reader.fieldnames or ()), list(reader)
    mine = [row for row in rows if row["sourcedId"].startswith(change)]
    kept = [{**row, **fresh} if row in mine else row for row in rows if fresh or row not in mine]
    with path.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, names)
        writer.writeheader()
        writer.writerows(kept)


async def test_a_held_run_says_why_and_is_let_go_on(api: Served, admin: Browser, bundle: Path) -> None:
    await _runs(api, admin)
    path = bundle / "enrollments.csv"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([rows[0], *(row for row in rows[1:] if ",student," not in row)]))
    run_id = await _runs(api, admin)
    held = await admin.get(f"/admin/sync/runs/{run_id}")
    assert "What the guard has seen" in held.text
    assert "Nothing has been written." in held.text
    assert "It waits for you." in (await admin.get("/admin/sync")).text
    await admin.post(f"/admin/sync/runs/{run_id}/discard")
    assert '<b class="absent">failed</b>' in (await admin.get(f"/admin/sync/runs/{run_id}")).text
    run_id = await _runs(api, admin)
    await admin.post(f"/admin/sync/runs/{run_id}/release")
    await until(lambda: run_id not in api.district.runs.under_way)
    assert '<b class="present">done</b>' in (await admin.get(f"/admin/sync/runs/{run_id}")).text


async def test_a_question_is_shown_side_by_side_and_settled(api: Served, admin: Browser, bundle: Path) -> None:
    await _runs(api, admin)
    student = await _renamed_on_both_sides(api, bundle)
    await _runs(api, admin)
    page = await admin.get("/admin/sync/conflicts")
    number = re.search(r'action="/admin/sync/conflicts/(\d+)"', page.text)
    assert number is not None
    assert re.search(r"<td><bdi>Ours</bdi></td><td><bdi>Theirs</bdi></td>", page.text)
    path = f"/admin/sync/conflicts/{number[1]}"
    empty = await admin.post(path, resolution="value", value="", why="seen")
    assert (empty.status, empty.value("why")) == (422, "seen")
    assert (await admin.post(path, resolution="both")).status == 422
    settled = await admin.post(path, resolution="value", value="Neither", why="the passport says so")
    assert "There are none." in settled.text
    kept = await admin.get("/admin/sync/conflicts?state=settled")
    assert "the passport says so" in kept.text
    read = await (await api.get(f"~/students/{student}", "admin")).get_json()
    assert read["family_name"] == "Neither"
    assert (await admin.post(path, resolution="ours")).status == 409
    assert "Neither" in (await admin.get("/admin/sync/connectors/oneroster/corrections")).text


async def _renamed_on_both_sides(api: Served, bundle: Path) -> str:
    """Give a student one family name here and another in the SIS; gives the id."""
    held = m.RoleAssignment
    students = held.select(held.user_id).where(held.role == "student")
    chosen = m.User.select().where(m.User.source == "oneroster", m.User.id.in_(students)).order_by(m.User.sourced_id)
    student = await api.district.store.read(lambda c: c.one(chosen))
    assert student is not None
    path = f"~/students/{student.id}"
    tag = {"If-Match": (await api.get(path, "admin")).headers["ETag"]}
    answer = await api.call("PATCH", path, by="admin", json={"family_name": "Ours"}, headers=tag)
    assert answer.status_code == 200
    edit(bundle / "users.csv", str(student.sourced_id), familyName="Theirs")
    return str(student.id)


async def test_rows_that_were_left_out_are_listed_and_taken_again(api: Served, admin: Browser, bundle: Path) -> None:
    whole = (bundle / "classes.csv").read_bytes()
    edit(bundle / "classes.csv", "school-1-kg-homeroom-a")
    await _runs(api, admin)
    path = "/admin/sync/connectors/oneroster/dead-letters"
    page = await admin.get(path)
    assert "<bdi>enrollments.csv:2</bdi>" in page.text
    still = await admin.post("/admin/sync/connectors/oneroster/replay", id=page.value("id"))
    assert "0 taken, 1 left out once more" in still.text
    assert (await admin.post("/admin/sync/connectors/oneroster/replay", id="987654")).status == 404
    (bundle / "classes.csv").write_bytes(whole)
    await _runs(api, admin)
    await admin.post("/admin/sync/connectors/oneroster/replay")
    assert "There are none." in (await admin.get(path)).text


async def test_a_connection_is_checked_and_a_run_that_fails_says_why(api: Served, admin: Browser, bundle: Path) -> None:
    assert "The connection works." in (await admin.get("/admin/sync/connectors/oneroster/check")).text
    bundle.rename(bundle.with_name("elsewhere"))  # noqa: ASYNC240 - a test's own folder
    assert "The connection does not work:" in (await admin.get("/admin/sync/connectors/oneroster/check")).text
    run_id = await _runs(api, admin)
    page = await admin.get(f"/admin/sync/runs/{run_id}")
    assert "Go on from where it stopped" in page.text
    assert re.search(r'<p class="problem"><bdi>\S', page.text)
    assert (await admin.post("/admin/sync/connectors/nothing/runs", run="dry")).status == 404
    assert (await admin.get("/admin/sync/runs/none")).status == 404


async def test_the_page_of_attendance_tells_that_none_leaves(admin: Browser) -> None:
    page = await admin.get("/admin/sync/connectors/oneroster/attendance")
    assert (page.status, "There are none." in page.text) == (200, True)


async def test_health_tells_of_every_part_and_draws_the_last_hour(api: Served, admin: Browser) -> None:
    page = await admin.get("/admin/health")
    assert "Something needs you" in page.text  # no mail server listens on port 9
    assert "SQLite" in page.text
    for _ in range(3):
        api.district.history.look(0.25)
    page = await admin.get("/admin/health")
    assert page.text.count('<path d="M') == 7
    assert re.search(r'<th scope="row">Memory, MB</th><td class="n">[\d.]+</td><td class="n">[\d.]+</td>', page.text)
    assert '<th scope="row">Delay of the event loop, ms</th><td class="n">250</td>' in page.text


async def test_the_pages_are_in_spanish_too(api: Served) -> None:
    admin = browser(api, language="es")
    await admin.signs_in("admin")
    assert (await admin.get("/admin/sync")).heading == "Sincronización"
    assert "Guardar y reiniciar" in (await admin.get(SETTINGS)).text
