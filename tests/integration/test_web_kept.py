"""A form that is sent when its session has ended: nothing of it is lost, and nothing of it is anybody else's."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlencode

import pytest
from quart import Response
from werkzeug.datastructures import FileStorage

from tests.services.browsing import PASSWORD, PLUGINS, Browser, browser
from tests.services.front import CHEAP
from tests.services.served import Served, served

DAY = "2031-03-03"


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=PLUGINS, sections={"accounts": CHEAP}) as running:
        yield running


async def _sends(visitor: Browser, path: str, form: Sequence[tuple[str, str]], files: Any = None) -> str:
    """What a browser is shown that sends a form with more than one value under a name, or with files."""
    headers, given = {"Origin": "http://localhost"}, dict[str, Any]()
    if files is None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        given["data"] = urlencode(form)
    else:
        given |= {"form": dict(form), "files": files}
    answer = await visitor.client.open(path, method="POST", headers=headers, **given)
    assert isinstance(answer, Response)
    return str(await answer.get_data(as_text=True))


def _hidden(text: str) -> list[tuple[str, str]]:
    return re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', text)


async def _signs_in_with(visitor: Browser, user: str, text: str) -> str:
    given = [*_hidden(text), ("email", f"{user}@example.org"), ("password", PASSWORD)]
    return await _sends(visitor, "/sign-in", given)


async def _ended(api: Served, user: str = "guardian_ann") -> Browser:
    """A browser whose session has ended while a form stood in it."""
    family = browser(api)
    await family.signs_in(user)
    await family.post("/sign-out")
    return family


async def test_every_value_under_one_name_goes_along(api: Served) -> None:
    family = await _ended(api)
    ticked = [("channels", "email"), ("channels", "sms"), ("reason", "Flu")]

    shown = await _sends(family, "/children/ann/absence", ticked)
    shown = await _signs_in_with(family, "guardian_ann", shown)

    assert "Send it now?" in shown
    assert _hidden(shown) == ticked
    assert re.findall(r"<li>.*<bdi>(.*)</bdi></li>", shown) == ["email", "sms", "Flu"]


async def test_a_chosen_file_is_asked_for_again_and_then_sent(api: Served) -> None:
    family = await _ended(api)
    told = [("first_day", DAY), ("last_day", ""), ("reason", "Flu")]
    note = {"document": FileStorage(io.BytesIO(b"%PDF-1.7 note"), filename="note of ann.pdf")}

    shown = await _signs_in_with(family, "guardian_ann", await _sends(family, "/children/ann/absence", told, note))

    assert "please choose them again" in shown
    assert "note of ann.pdf" in shown
    assert re.search(r'<form method="post" action="/children/ann/absence"[^>]* enctype="multipart/form-data">', shown)
    assert re.search(r'<input id="again-1" name="document" type="file">', shown)
    assert _hidden(shown) == told
    again = {"document": FileStorage(io.BytesIO(b"%PDF-1.7 note"), filename="note.pdf")}
    await _sends(family, "/children/ann/absence", _hidden(shown), again)
    reports = (await (await api.get("~/students/ann/absence-reports", "guardian_ann")).get_json())["items"]
    assert [len(one["documents"]) for one in reports if one["first_day"] == DAY] == [1]


@pytest.mark.parametrize("forget", [False, True])
async def test_nobody_else_is_offered_the_form(api: Served, *, forget: bool) -> None:
    family = await _ended(api)
    if forget:  # a browser without its cookies: nobody knows whose the form is
        family = browser(api)
    await browser(api).signs_in("guardian_cy")

    shown = await _sends(family, "/children/ann/absence", [("first_day", DAY), ("reason", "Flu")])
    shown = await _signs_in_with(family, "guardian_cy", shown)

    assert "That was somebody else" in shown
    assert "Flu" not in shown
    assert _hidden(shown) == []
    assert "guardian" not in str(family.client.cookie_jar)


@pytest.mark.parametrize("field", ["setting.api_key", "new_password", "token", "pin"])
async def test_a_form_that_may_hold_a_secret_is_written_into_no_page(api: Served, field: str) -> None:
    family = await _ended(api)
    shown = await _sends(family, "/children/ann/absence", [(field, "swordfish"), ("reason", "Flu")])
    assert "swordfish" not in shown
    assert "may hold secrets" in shown
    assert _hidden(shown) == [("next", "/")]
