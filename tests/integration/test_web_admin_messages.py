"""The pages of messages, rules and texts, without any script; and whom they refuse."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.services import world
from tests.services.browsing import PLUGINS, Browser, browser
from tests.services.front import CHEAP
from tests.services.office import RULE, a_message, addresses
from tests.services.served import Served, served


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=PLUGINS, sections={"accounts": CHEAP}) as running:
        await running.district.jobs.stop()  # nothing is judged or sent but what a test asks for
        await running.district.store.write(addresses)
        yield running


async def signed_in(api: Served, user: str) -> Browser:
    someone = browser(api)
    await someone.signs_in(user)
    return someone


async def state_of(api: Served, message_id: str) -> str:
    return str((await (await api.get(f"~/notifications/messages/{message_id}", "admin")).get_json())["state"])


async def test_messages_are_listed_filtered_and_paged(api: Served) -> None:
    store = api.district.store
    failed = await a_message(store, state="failed", reason="no_plugin")
    await a_message(store, state="delivered", channel="email", school_id="south")
    desk = await signed_in(api, "admin")
    page = await desk.get("/admin/messages")
    assert page.heading == "Messages"
    assert page.text.count('<th scope="row">') == 2
    assert f"/admin/messages/{failed}" in page.text
    assert "<bdi>Ann Ann</bdi>" in page.text
    only = await desk.get("/admin/messages?state=failed&channel=sms&school_id=north&kind=absence")
    assert only.text.count('<th scope="row">') == 1
    assert "no plugin that is switched on serves its channel" in only.text
    assert "There are none." in (await desk.get("/admin/messages?channel=sms&state=delivered")).text
    for _ in range(50):
        await a_message(store)
    first = await desk.get("/admin/messages")
    older = re.search(r'href="(/admin/messages\?cursor=[^"]+)">Older ones', first.text)
    assert older
    assert (await desk.get(older[1])).text.count('<th scope="row">') == 2


@pytest.mark.parametrize("query", ["state=gossip", "from=yesterday", "cursor=nothing"])
async def test_a_filter_that_cannot_be_is_said_and_kept(api: Served, query: str) -> None:
    desk = await signed_in(api, "admin")
    page = await desk.get(f"/admin/messages?{query}&to=2026-09-14")
    assert page.status == 422
    assert 'role="alert"' in page.text
    assert page.value("to") == "2026-09-14"


async def test_a_message_says_what_it_says_and_is_taken_back_or_sent_again(api: Served) -> None:
    waiting = await a_message(api.district.store, state="waiting")
    desk = await signed_in(api, "admin_north")
    page = await desk.get(f"/admin/messages/{waiting}")
    assert "Ann was marked absent." in page.text
    assert "It has not been tried yet." in page.text
    back = await desk.post(f"/admin/messages/{waiting}/cancel")
    assert (back.status, back.path) == (200, f"/admin/messages/{waiting}")
    assert await state_of(api, waiting) == "cancelled"
    again = await desk.post(f"/admin/messages/{waiting}/cancel")
    assert again.status == 409
    assert 'role="alert"' in again.text
    unknown = await a_message(api.district.store, state="unknown")
    assert "it may arrive twice" in (await desk.get(f"/admin/messages/{unknown}")).text
    await desk.post(f"/admin/messages/{unknown}/resend")
    assert await state_of(api, unknown) == "waiting"


async def test_a_schools_day_and_its_limits(api: Served) -> None:
    held = await a_message(api.district.store, state="held", reason="limit")
    await a_message(api.district.store, state="delivered")
    desk = await signed_in(api, "admin_north")
    page = await desk.get("/admin/messages/day")
    assert (page.status, "<b>1</b> delivered" in page.text, f"/admin/messages/{held}" in page.text) == (200, True, True)
    limits = await desk.get("/admin/messages/limits")
    assert "North" in limits.text
    assert "South" not in limits.text
    wrong = await desk.post("/admin/messages/limits", school_id="north", channel="sms", messages="many")
    assert wrong.status == 422
    assert wrong.value("messages") == "many"
    done = await desk.post("/admin/messages/limits", school_id="north", channel="sms", messages="5")
    assert "go now: 1" in done.text
    assert await state_of(api, held) != "held"
    elsewhere = await desk.post("/admin/messages/limits", school_id="south", channel="sms", messages="5")
    assert elsewhere.status in (403, 404)


async def test_a_rule_is_previewed_made_changed_and_shows_its_versions(api: Served) -> None:
    desk = await signed_in(api, "admin_north")
    assert "Came late" in (await desk.get("/admin/rules/new")).text
    form = await desk.get("/admin/rules/new?kind=absence")
    assert 'name="delay_minutes"' in form.text
    filled = {"kind": "absence", "title": "Absent today", "school_id": "north", "delay_minutes": "20", "until": "18:00"}
    filled |= {"audience.guardian": "on", "statuses.absent": "on", "conditions.grades": "9, 10"}
    shown = await desk.post("/admin/rules/new", do="preview", **{**filled, "conditions.grades": ""})
    assert shown.status == 200
    assert "nothing has been saved or sent" in shown.text
    assert "<bdi>Guardian Ann</bdi>" in shown.text
    assert "Maya Torres" in shown.text  # the made-up student of the texts
    assert 'lang="es"' in shown.text
    assert shown.value("title") == "Absent today"
    assert (await rules(api)) == []

    made = await desk.post("/admin/rules/new", do="save", **filled)

    (rule,) = await rules(api)
    assert (made.path, rule["enabled"]) == (f"/admin/rules/{rule['id']}", False)
    said = rule["settings"]
    assert (said["delay_minutes"], said["until"], said["conditions"]["grades"]) == (20, "18:00:00", ["9", "10"])
    assert made.value("delay_minutes") == "20"
    version = made.value("version")
    changed = {**filled, "enabled": "on", "delay_minutes": "5", "version": version}
    assert (await desk.post(made.path, do="save", **changed)).status == 200
    (rule,) = await rules(api)
    assert (rule["enabled"], rule["settings"]["delay_minutes"]) == (True, 5)
    lost = await desk.post(made.path, do="save", **{**changed, "delay_minutes": "7"})
    assert lost.status == 412
    assert lost.value("delay_minutes") == "7"
    assert (await rules(api))[0]["settings"]["delay_minutes"] == 5
    old = await desk.get(f"{made.path}/versions/{version}")
    assert "<td><bdi>20</bdi></td>" in old.text
    listed = await desk.get("/admin/rules?school_id=north")
    assert "Absent today" in listed.text


async def rules(api: Served) -> list[dict[str, Any]]:
    return list((await (await api.get("~/notifications/rules", "admin")).get_json())["items"])


async def test_a_rule_that_cannot_be_is_refused_field_by_field_with_what_was_filled_in(api: Served) -> None:
    desk = await signed_in(api, "admin_north")
    wrong = {"kind": "total", "title": "<b>Days</b>", "school_id": "north", "days": "three, 5", "within": "term"}
    page = await desk.post("/admin/rules/new", do="save", **wrong)
    assert page.status == 422
    assert "<b>settings.days.0</b>" in page.text
    assert page.value("days") == "three, 5"
    assert "<b>Days</b>" not in page.text
    everywhere = await desk.post("/admin/rules/new", do="save", **{**wrong, "days": "3", "school_id": ""})
    assert everywhere.status == 403
    assert await rules(api) == []


async def test_texts_are_shown_with_a_sample_and_replaced(api: Served) -> None:
    desk = await signed_in(api, "admin")
    page = await desk.get("/admin/texts?kind=absence")
    assert "Maya Torres" in page.text
    assert "{{ minutes }}" in page.text
    told = {"kind": "absence", "language": "en", "part": "sms", "school_id": ""}
    bad = await desk.post("/admin/texts", text="Hello {{ password }}", **told)
    assert bad.status == 422
    assert "Hello {{ password }}" in bad.text
    good = await desk.post("/admin/texts", text="{{ student }} is away.", **told)
    assert "Maya Torres is away." in good.text
    assert "a text of your own" in good.text


@pytest.mark.parametrize("user", ["teacher_a", "guardian_ann", "ann"])
async def test_others_are_refused(api: Served, user: str) -> None:
    message = await a_message(api.district.store)
    someone = await signed_in(api, user)
    for path in ("messages", f"messages/{message}", "messages/day", "messages/limits", "rules", "texts"):
        assert (await someone.get(f"/admin/{path}")).status == 403, path
    assert (await someone.post(f"/admin/messages/{message}/cancel")).status == 403
    assert (
        await someone.post("/admin/rules/new", do="save", kind="absence", title="x", school_id="north")
    ).status == 403
    assert (await someone.post("/admin/texts", kind="absence", language="en", part="sms", text="x")).status == 403


async def test_a_school_reaches_its_own_messages_and_rules_only(api: Served) -> None:
    message = await a_message(api.district.store)
    made = await (await api.post("~/notifications/rules", "admin", RULE)).get_json()
    someone = await signed_in(api, "admin_south")
    assert (await someone.get(f"/admin/messages/{message}")).status == 404
    assert (await someone.get(f"/admin/rules/{made['id']}")).status == 404
    assert (await someone.get(f"/admin/messages/day?school_id=north&day={world.TODAY}")).status in (403, 404)
    assert message not in (await someone.get("/admin/messages")).text
