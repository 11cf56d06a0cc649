"""Every page and every form of the web plugin, as its url map names them: a new one that lacks a guard fails here."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from quart import Quart, Response

from tests.services import canaries
from tests.services.browsing import PASSWORD, Browser, browser
from tests.services.doors import KIOSK
from tests.services.front import CHEAP
from tests.services.served import Served, served

PLUGINS = (*KIOSK, "reports", "ferpa")
IDS = {
    "class_id": "algebra",
    "student_id": "ann",
    "session_id": "session_algebra",
    "record_id": "record_ann",
    "report_id": "report_ann",
    "school_id": "north",
    "name": "web",
    "day": "2026-01-05",
}
SAFE = {"GET", "HEAD"}
ELSEWHERE = ("https://evil.example", "null", "http://localhost.evil.example", "http://localhost:81", "file://", "")
POLICY = {
    "default-src": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "object-src": "'none'",
}


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=PLUGINS, sections={"accounts": CHEAP}) as running:
        await running.district.store.write(canaries.mark)
        yield running


def pages_of(api: Served) -> Quart:
    assert api.district.mounts is not None
    return next(app for app in api.district.mounts.apps() if app.name == "web")


def routes(api: Served, *, safe: bool) -> list[tuple[str, str]]:
    """The method and an address of each route of the pages."""
    return [
        (method, _address(rule.rule))
        for rule in pages_of(api).url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
        if (method in SAFE) == safe
    ]


def _address(rule: str) -> str:
    def value(match: re.Match[str]) -> str:
        converter, _, name = match[1].rpartition(":")
        if converter.startswith("any("):
            return converter.removeprefix("any(").partition(",")[0].strip(" ')")
        if converter == "path":
            return "web.css"
        return "1" if converter == "int" else IDS.get(name, "1")

    return re.sub(r"<([^>]+)>", value, rule)


async def _send(somebody: Browser, method: str, path: str, headers: dict[str, str], form: str = "a=b") -> Response:
    given: dict[str, Any] = {"data": form, "headers": {"Content-Type": "application/x-www-form-urlencoded", **headers}}
    answer = await somebody.client.open(path, method=method, **given)
    assert isinstance(answer, Response)
    return answer


async def _rows(api: Served) -> tuple[int, ...]:
    tables = (
        "journal",
        "attendance_records",
        "absence_reports",
        "sign_in_sessions",
        "role_assignments",
        "notification_rules",
    )

    def count(connection: object) -> tuple[int, ...]:
        return tuple(connection.sql(f"SELECT count(*) FROM {name}")[0][0] for name in tables)  # type: ignore[attr-defined]  # noqa: S608

    return await api.district.store.read(count)


async def test_no_form_of_another_site_does_anything(api: Served) -> None:
    admin = browser(api)
    await admin.signs_in("admin")
    forms = routes(api, safe=False)
    assert len(forms) > 50
    before = await _rows(api)
    for method, path in forms:
        for origin in ELSEWHERE:
            answer = await _send(admin, method, path, {"Origin": origin})
            assert answer.status_code == 403, (method, path, origin)
            assert "another site" in await answer.get_data(as_text=True), (method, path, origin)
        assert (await _send(admin, method, path, {})).status_code == 403, (method, path)
        assert (await _send(admin, method, path, {"Referer": "http://localhost/"})).status_code == 403, (method, path)
    assert await _rows(api) == before


async def test_every_form_is_taken_from_our_own_pages_so_that_the_test_above_can_fail(api: Served) -> None:
    nobody = browser(api)
    for method, path in routes(api, safe=False):
        answer = await _send(nobody, method, path, {"Origin": "http://localhost"})
        assert "another site" not in await answer.get_data(as_text=True), (method, path)


@pytest.mark.parametrize("path", ["/sign-in", "/static/web.css"])
async def test_a_look_without_the_content_is_a_look(api: Served, path: str) -> None:
    assert (await _send(browser(api), "HEAD", path, {})).status_code == 200


@pytest.mark.parametrize("user", ["admin", "bob", None])
async def test_every_page_has_the_safety_headers_changes_nothing_and_shows_nobody_else(
    api: Served, user: str | None
) -> None:
    """A link or a picture of another site can make a browser GET with its cookie, so looking must change nothing."""
    somebody = browser(api)
    if user is not None:
        await somebody.signs_in(user)
    pages = [path for _, path in routes(api, safe=True)]
    assert len(pages) > 60
    before = await _rows(api)
    seen: set[str] = set()
    for path in (*pages, "/no-such-page"):
        answer = await somebody.client.get(path)
        assert answer.status_code < 500, path
        _check_headers(answer, path)
        seen |= {person for _, person in canaries.found(await answer.get_data(as_text=True))}
    assert await _rows(api) == before
    assert (seen > {"ann", "bob"}) if user == "admin" else seen <= {user}


def _check_headers(answer: Response, path: str) -> None:
    headers = answer.headers
    rules = dict(one.split(maxsplit=1) for one in headers["Content-Security-Policy"].split("; "))
    assert {name: rules.get(name) for name in POLICY} == POLICY, path
    assert "unsafe" not in headers["Content-Security-Policy"], path
    assert headers["X-Content-Type-Options"] == "nosniff", path
    assert headers["Referrer-Policy"] == "same-origin", path
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin", path
    assert "Access-Control-Allow-Origin" not in headers, path
    assert "Server" not in headers, path
    assert "Strict-Transport-Security" not in headers, path  # by plain http it would mean nothing
    if "text/html" in headers["Content-Type"] and path != "/offline":
        assert headers["Cache-Control"] == "no-store", path


async def test_by_https_no_cookie_is_for_scripts_or_other_sites_and_browsers_stay_there(sqlite_url: str) -> None:
    secure = {"public_base_url": "https://homeroom.example"}
    async with served(sqlite_url, enabled=PLUGINS, sections={"accounts": CHEAP}, server=secure) as api:
        ann = browser(api)
        await ann.get("/sign-in")
        await ann.signs_in("ann")
        form = urlencode({"email": "ann@example.org", "password": PASSWORD})
        answer = await _send(ann, "POST", "/sign-in", {"Origin": "http://localhost"}, form)
        cookies = answer.headers.getlist("Set-Cookie")
        assert answer.status_code == 303
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
        for cookie in cookies:
            assert {"HttpOnly", "Secure", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
        assert len(cookies) == 2
