"""What a page costs beside the REST requests that it makes; times are printed and not judged, for machines differ."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from homeroom_web import visitors
from tests.services.browsing import PLUGINS, browser
from tests.services.front import CHEAP
from tests.services.served import Served, served

TIMES = 20
PAGES = (
    ("teacher_b", "/classes"),
    ("teacher_b", "/classes/biology"),
    ("admin_north", "/absences"),
    ("admin_north", "/office/completion"),
    ("admin_north", "/office/today?status=all"),
    ("guardian_ann", "/children"),
    ("admin", "/admin/plugins"),
)


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=PLUGINS, sections={"accounts": CHEAP}) as running:
        yield running


@pytest.mark.parametrize("user", dict.fromkeys(user for user, _ in PAGES))
async def test_what_a_page_costs_beside_its_requests(
    api: Served, user: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    asked: list[tuple[str, str]] = []
    call = visitors.call

    async def listening(services: Any, method: str, path: str, **more: Any) -> Any:
        asked.append((method, path))
        return await call(services, method, path, **more)

    someone = browser(api)
    await someone.signs_in(user)
    for path in [path for who, path in PAGES if who == user]:
        asked.clear()
        with monkeypatch.context() as patched:
            patched.setattr(visitors, "call", listening)
            assert (await someone.get(path)).status == 200, path
        twins = list(asked)
        assert twins, path
        assert {method for method, _ in twins} == {"GET"}, path
        whole, parts = [], []
        for _ in range(TIMES):  # by turns, so that both have the same of whatever else the machine does
            began = time.perf_counter()
            page = await someone.get(path)
            whole.append(time.perf_counter() - began)
            assert page.status == 200, path
            began = time.perf_counter()
            answers = [await api.get(twin, user) for _, twin in twins]
            parts.append(time.perf_counter() - began)
            assert {answer.status_code for answer in answers} == {200}, path
        page_ms, twin_ms = (statistics.median(times) * 1000 for times in (whole, parts))
        told = f"{page_ms:.1f} ms, its {len(twins)} REST requests {twin_ms:.1f} ms: {page_ms / twin_ms:.2f}x"
        record_property("figure", f"page {path} (median of {TIMES}): {told}")
