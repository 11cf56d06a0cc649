"""The register of school officials, what the messages' page says without it, and an office without its role."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.services.browsing import PLUGINS, Browser, browser
from tests.services.front import CHEAP
from tests.services.lawful import ENTRY
from tests.services.served import Served, served

PATH = "/admin/compliance/officials"
SMTP: dict[str, Any] = {"host": "127.0.0.1", "port": 9, "from_email": "school@example.org", "security": "none"}
LACKING = "does not list them for messages"


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    sections = {"accounts": CHEAP, "smtp": SMTP}
    async with served(sqlite_url, enabled=(*PLUGINS, "smtp", "ferpa"), sections=sections) as running:
        yield running


async def signed_in(api: Served, user: str) -> Browser:
    someone = browser(api)
    await someone.signs_in(user)
    return someone


def entry(**changed: str) -> dict[str, str]:
    told = {name: str(value) for name, value in ENTRY.items() if name != "categories"}
    return {**told, "recipient": "plugin:smtp", "categories": "all", **changed}


async def test_a_channel_without_an_entry_is_named_until_it_has_one(api: Served) -> None:
    desk = await signed_in(api, "admin")
    messages = await desk.get("/admin/messages")
    assert (LACKING in messages.text, "<b>smtp</b>" in messages.text, PATH in messages.text) == (True, True, True)
    wrong = await desk.post(PATH, **entry(agreement="x"))
    assert (wrong.status, wrong.value("recipient"), wrong.value("agreement")) == (422, "plugin:smtp", "x")
    assert 'value="all" checked' in wrong.text
    entered = await desk.post(PATH, **entry())
    assert "<bdi>plugin:smtp</bdi>" in entered.text
    assert LACKING not in entered.text
    assert LACKING not in (await desk.get("/admin/messages")).text
    again = await desk.post(PATH, **entry())
    assert (again.status, "on file already" in again.text) == (409, True)

    [end] = re.findall(rf'action="({PATH}/[^"]+/end)"', entered.text)
    assert (await desk.post(end, version="99")).status == 412
    assert "ended" in (await desk.post(end, version=entered.value("version"))).words
    assert LACKING in (await desk.get("/admin/messages")).text


@pytest.mark.parametrize("lacks", [{"begins_on": "2199-01-01"}, {"categories": "attendance"}])
async def test_an_entry_that_has_not_begun_or_is_not_for_messages_does_not_count(
    api: Served, lacks: dict[str, str]
) -> None:
    desk = await signed_in(api, "admin")
    entered = await desk.post(PATH, **entry(**lacks))
    assert "<bdi>plugin:smtp</bdi>" in entered.text
    assert ("not begun" in entered.text) is ("begins_on" in lacks)
    assert LACKING in (await desk.get("/admin/messages")).text


async def test_a_school_reads_the_register_and_others_do_not(api: Served) -> None:
    office = await signed_in(api, "admin_north")
    page = await office.get(PATH)
    assert (page.status, "Enter one" in page.text) == (200, False)
    assert (await office.post(PATH, **entry())).status == 403
    assert LACKING not in (await office.get("/admin/messages")).text
    for user in ("teacher_a", "guardian_ann", "ann"):
        someone = await signed_in(api, user)
        assert (await someone.get(PATH)).status == 403, user
        assert (await someone.post(PATH, **entry())).status == 403, user


async def test_a_principal_without_the_role_is_told_who_gives_it(api: Served) -> None:
    someone = await signed_in(api, "ann")
    assert "need the role school_admin" in (await someone.get("/office")).text
    office = await signed_in(api, "admin_north")
    assert "need the role school_admin" not in (await office.get("/office")).text


async def test_a_closed_roll_has_no_column_for_marks(api: Served) -> None:
    desk = await signed_in(api, "teacher_b")
    assert "Mark as" in (await desk.get("/classes/biology")).text
    closed = (await desk.post("/sessions/session_biology/close")).text
    assert "The roll is closed" in closed
    assert "Mark as" not in closed
