"""Marked people and secrets through a morning of right and wrong requests: nothing of them stands where it must not."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from quart import Response
from quart.testing.connections import WebsocketDisconnectError

from homeroom.settings import LogSettings
from homeroom.store import Connection, Unavailable
from homeroom.telemetry import configure_logging
from tests.security.test_openapi_matrix import PLUGINS, SECTIONS, everything
from tests.security.test_pages import routes
from tests.services import canaries
from tests.services.browsing import PASSWORD, browser
from tests.services.served import Served, served

LEAK = canaries.canary("sent", "visitor")
WITH_PAGES = (*PLUGINS, "web")


@pytest.fixture
def log() -> io.StringIO:
    """What is logged while a test runs."""
    return io.StringIO()


@pytest.fixture
async def api(sqlite_url: str, log: io.StringIO) -> AsyncIterator[Served]:
    """Everything that there is, logging as much as it can, with marked people."""
    limits = {"requests_per_minute": 1_000_000}
    async with served(sqlite_url, enabled=WITH_PAGES, sections=SECTIONS, server=limits) as running:
        loud = running.district.settings.model_copy(update={"log": LogSettings(level="debug", format="json")})
        configure_logging(loud)
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(log))
        await running.district.store.write(canaries.mark)
        yield running
    configure_logging(running.district.settings)


async def _text(answer: Response) -> str:
    return await answer.get_data(as_text=True)


async def _told_outside(api: Served) -> str:
    """What the figures, the health and the diagnostics say."""
    paths = ["/metrics", "/health", "/health/detailed", "~/jobs/"]
    paths += [f"~/plugins/{name}/diagnostics" for name in WITH_PAGES]
    return "\n".join([await _text(await api.get(path, "admin")) for path in paths])


def _bodies() -> list[dict[str, Any]]:
    """Bodies that are wrong in every way, each with something that nobody may read again."""
    bad = [
        json.dumps({"unknown": LEAK}),
        json.dumps([LEAK]),
        json.dumps(LEAK),
        f'{{"note": "{LEAK}"',
        f'{{"title": 7, "reason": {{"deep": ["{LEAK}"]}}, "student_id": "{LEAK}", "email": "{LEAK}"}}',
    ]
    typed = [{"data": text, "headers": {"Content-Type": "application/json"}} for text in bad]
    return [*typed, {"data": LEAK, "headers": {"Content-Type": "text/plain"}}]


async def test_no_answer_that_refuses_and_no_line_of_the_log_repeats_what_was_sent(
    api: Served, log: io.StringIO
) -> None:
    bodies = _bodies()
    refused = 0
    for number, one in enumerate(await everything(api)):
        path = re.sub(r"\b(ann|cy|1)\b", LEAK, one.path)
        path += ("&" if "?" in path else "?") + f"limit={LEAK}&zq={LEAK}"
        given = bodies[number % len(bodies)] if one.body is not None else {}
        for by in ("admin", "ann"):
            answer = await api.call(one.method, path, by=by, **given)
            if answer.status_code >= 400:
                refused += 1
                assert canaries.found(await _text(answer)) == set(), (one.name, answer.status_code)
    assert refused > 400
    assert canaries.found(log.getvalue()) == set()
    assert canaries.found(await _told_outside(api)) == set()


async def test_a_morning_of_looking_leaves_nobody_in_the_log_the_figures_or_the_health(
    api: Served, log: io.StringIO
) -> None:
    shown: set[tuple[str, str]] = set()
    for one in await everything(api):
        if one.method == "GET":
            for by in ("admin", "teacher_a"):
                shown |= canaries.found(await _text(await api.get(one.path, by)))
    assert {person for _, person in shown} >= {"ann", "bob", "cy", "dan", "eve"}
    assert canaries.found(log.getvalue()) == set()
    assert canaries.found(await _told_outside(api)) == set()


async def test_no_fault_of_ours_or_of_the_database_tells_of_anybody(api: Served, log: io.StringIO) -> None:
    real = api.district.store.read
    for fault in (RuntimeError(LEAK), ValueError(LEAK), KeyError(LEAK), Unavailable("the database cannot be reached")):

        def broken(_connection: Connection, fault: Exception = fault) -> Any:
            raise fault from LookupError(LEAK)

        api.district.store.read = lambda _query, broken=broken: real(broken)  # type: ignore[method-assign,misc]
        for path in ("~/classes", "~/students/ann", "~/students/search?q=ann", "/classes", "/health/detailed"):
            answer = await api.get(path, "admin")
            assert canaries.found(await _text(answer)) == set(), (path, fault)
    api.district.store.read = real  # type: ignore[method-assign]
    logged = log.getvalue()
    assert "unexpected_error" in logged
    assert canaries.found(logged) == set()


async def test_no_address_of_a_page_names_anybody_and_no_page_holds_a_secret(api: Served, log: io.StringIO) -> None:
    admin = browser(api)
    await admin.signs_in("admin")
    settings = api.district.settings
    secrets = [
        settings.auth.secret_key.get_secret_value(),
        settings.security.encryption_key.get_secret_value(),
        PASSWORD,
        api.token("admin"),
    ]
    seen: set[tuple[str, str]] = set()
    for _, path in routes(api, safe=True):
        answer = await admin.client.get(path)
        text = await _text(answer)
        seen |= canaries.found(text)
        addresses = re.findall(r'(?:href|action|src|formaction|data-[\w-]+)="([^"]*)"', text)
        addresses.append(answer.headers.get("Location", ""))
        sent = [address for address in addresses if not address.startswith(("mailto:", "tel:"))]  # to no server
        assert canaries.found("\n".join(sent)) == set(), path
        assert [secret for secret in secrets if secret in text] == [], path
    assert len(seen) > 5
    said = log.getvalue() + await _told_outside(api)
    assert [secret for secret in secrets if secret in said] == []
    assert canaries.found(said) == set()


@pytest.mark.parametrize("user", [None, "nobody", "guardian_cy", "guardian_lost", "teacher_gone", "admin_south", "cy"])
async def test_a_board_tells_nothing_to_somebody_without_the_right(api: Served, user: str | None) -> None:
    headers = {"Authorization": f"Bearer {api.token(user)}"} if user else {}
    async with asyncio.timeout(10), api.client.websocket("/ws/class/algebra", headers=headers) as board:
        with pytest.raises(WebsocketDisconnectError):
            await board.receive()  # the first word would be who sits in the class


async def test_a_board_tells_names_to_its_teacher_so_that_the_test_above_can_fail(api: Served) -> None:
    headers = {"Authorization": f"Bearer {api.token('teacher_a')}"}
    async with asyncio.timeout(10), api.client.websocket("/ws/class/algebra", headers=headers) as board:
        assert ("preferredgivenname", "ann") in canaries.found(str(await board.receive()))
