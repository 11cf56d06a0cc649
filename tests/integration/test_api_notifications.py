"""Rules, previews, texts, messages and everybody's own wishes, over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from homeroom.roster import people
from homeroom.store import models as m
from tests.services import world
from tests.services.office import RULE, a_message, addresses
from tests.services.served import Served, served

ANY = {"If-Match": "*"}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url) as running:
        await running.district.jobs.stop()  # nothing is judged or sent but what a test asks for
        await running.district.store.write(addresses)
        yield running


async def test_a_rule_is_made_read_changed_and_keeps_every_version(api: Served) -> None:
    made = await api.post("~/notifications/rules", "admin_north", RULE)
    assert made.status_code == 201
    rule = await made.get_json()
    assert (rule["enabled"], rule["version"] >= 1, rule["settings"]["until"]) == (False, True, "20:00:00")
    read = await api.get(f"~/notifications/rules/{rule['id']}", "admin_north")
    tag = {"If-Match": read.headers["ETag"]}
    path = f"~/notifications/rules/{rule['id']}"
    body = {"enabled": True, "settings": {"delay_minutes": 5}}
    changed = await api.call("PUT", path, by="admin_north", json=body, headers=tag)
    now = await changed.get_json()
    assert (now["enabled"], now["settings"]["delay_minutes"]) == (True, 5)
    stale = await api.call("PUT", path, by="admin_north", json={"title": "Another"}, headers=tag)
    assert stale.status_code == 412
    old = await (await api.get(f"{path}/versions/{rule['version']}", "admin_north")).get_json()
    assert (old["enabled"], old["settings"]["delay_minutes"]) == (False, 0)
    assert (await api.get(f"{path}/versions/99", "admin_north")).status_code == 404


async def test_a_rule_that_cannot_be_is_refused_with_the_field_and_the_reason(api: Served) -> None:
    wrong = {**RULE, "settings": {"delay_minutes": -1, "colour": "red"}}
    refused = await api.post("~/notifications/rules", "admin_north", wrong)
    assert refused.status_code == 422
    fields = {error["field"] for error in (await refused.get_json())["errors"]}
    assert fields == {"settings.delay_minutes", "settings.colour"}
    assert (await api.post("~/notifications/rules", "admin", {**RULE, "kind": "gossip"})).status_code == 422


async def test_a_school_makes_its_own_rules_and_only_the_district_those_for_all(api: Served) -> None:
    everywhere = {key: value for key, value in RULE.items() if key != "school_id"}
    assert (await api.post("~/notifications/rules", "admin_north", everywhere)).status_code == 403
    assert (await api.post("~/notifications/rules", "admin_south", RULE)).status_code == 404
    made = await (await api.post("~/notifications/rules", "admin", everywhere)).get_json()
    seen = await (await api.get("~/notifications/rules", "admin_north")).get_json()
    assert [rule["id"] for rule in seen["items"]] == [made["id"]]
    path = f"~/notifications/rules/{made['id']}"
    assert (await api.call("PUT", path, by="admin_north", json={"enabled": True}, headers=ANY)).status_code == 403
    own = await (await api.post("~/notifications/rules", "admin_north", RULE)).get_json()
    assert (await api.get(f"~/notifications/rules/{own['id']}", "admin_south")).status_code == 404
    for user in ("teacher_a", "guardian_ann", "ann"):
        assert (await api.get("~/notifications/rules", user)).status_code == 403


async def test_a_preview_says_who_is_told_what_and_who_not_and_why(api: Served) -> None:
    wish = {"school_id": "north", "kind": "absence", "day": world.TODAY.isoformat()}
    shown = await (await api.post("~/notifications/preview", "admin_north", wish)).get_json()
    (told,) = shown["items"]
    assert (told["recipient_id"], told["channels"]) == ("guardian_ann", ["sms", "email"])
    assert "Ann" in told["texts"]["sms"]
    assert told["length"]["segments"] == 1
    (other,) = shown["not_told"]
    assert (other["recipient_id"], other["refused"]) == ("teacher_parent", "no_address")
    assert other["refused_words"]
    assert api.district.store.read_now(lambda c: c.all(m.Notification.select())) == []
    assert (await api.post("~/notifications/preview", "admin_south", wish)).status_code == 404


async def test_a_guardian_who_is_blocked_is_told_nothing_and_sees_nothing(api: Served) -> None:
    path = "~/students/ann/guardians/guardian_ann"
    listed = await (await api.get("~/students/ann/guardians", "admin_north")).get_json()
    assert {one["user_id"] for one in listed["items"]} == {"guardian_ann", "teacher_parent"}
    assert (await api.get("~/students/ann", "guardian_ann")).status_code == 200
    blocked = await api.call("PATCH", path, by="admin_north", json={"blocked": True})
    assert (await blocked.get_json())["blocked"] is True
    assert (await api.get("~/students/ann", "guardian_ann")).status_code == 403
    wish = {"school_id": "north", "kind": "absence"}
    shown = await (await api.post("~/notifications/preview", "admin_north", wish)).get_json()
    assert shown["items"] == []
    assert {one["refused"] for one in shown["not_told"]} == {"blocked", "no_address"}
    assert (await api.call("PATCH", path, by="admin_south", json={"blocked": False})).status_code == 404
    assert (await api.call("PATCH", path, by="teacher_a", json={"blocked": False})).status_code == 403
    assert (await api.call("PATCH", "~/students/ann/guardians/bob", by="admin", json={})).status_code == 404


async def test_a_text_of_ones_own_is_tried_before_it_is_kept(api: Served) -> None:
    text = {"kind": "absence", "language": "en", "part": "sms", "school_id": "north"}
    bad = await api.call("PUT", "~/notifications/texts", by="admin_north", json={**text, "text": "{{ secret }}"})
    assert bad.status_code == 422
    assert "secret" in (await bad.get_json())["detail"]
    good = await api.call(
        "PUT", "~/notifications/texts", by="admin_north", json={**text, "text": "{{ student }} “away”"}
    )
    kept = await good.get_json()
    assert (kept["version"], kept["sample"], kept["length"]["encoding"]) == (1, "Maya Torres “away”", "UCS-2")
    query = "~/notifications/texts?kind=absence&language=en"
    at_north = await (await api.get(f"{query}&school_id=north", "admin_north")).get_json()
    assert [one["version"] for one in at_north["items"] if one["part"] == "sms"] == [1]
    elsewhere = await (await api.get(query, "admin")).get_json()
    assert [one["version"] for one in elsewhere["items"] if one["part"] == "sms"] == [0]
    back = await api.call("PUT", "~/notifications/texts", by="admin_north", json={**text, "text": ""})
    assert (await back.get_json())["version"] == 0


async def test_messages_are_listed_page_by_page_for_their_school(api: Served) -> None:
    ids = [await a_message(api.district.store, state=state) for state in ("delivered", "unknown", "waiting")]
    first = await (await api.get("~/notifications/messages?limit=2", "admin_north")).get_json()
    rest = await (await api.get(f"~/notifications/messages?cursor={first['next']}", "admin_north")).get_json()
    assert [one["id"] for one in (*first["items"], *rest["items"])] == ids[::-1]
    assert rest["next"] is None
    assert (await (await api.get("~/notifications/messages", "admin_south")).get_json())["items"] == []
    look = await (await api.get("~/notifications/messages?state=problem&student_id=ann", "admin_north")).get_json()
    assert [one["id"] for one in look["items"]] == [ids[1]]
    assert (await api.get("~/notifications/messages?state=lost", "admin_north")).status_code == 422


async def test_a_message_says_what_it_said_and_why(api: Served) -> None:
    message_id = await a_message(api.district.store, state="failed", reason="opted_out")
    whole = await (await api.get(f"~/notifications/messages/{message_id}", "admin_north")).get_json()
    assert whole["texts"] == {"sms": "Ann was marked absent."}
    assert whole["why"]["records"] == ["record_ann"]
    assert whole["reason_words"] == "nothing more is wanted at this address"
    assert (whole["student"], whole["attempts"]) == ("Ann Ann", [])
    assert (await api.get(f"~/notifications/messages/{message_id}", "admin_south")).status_code == 404


async def test_what_failed_is_sent_again_and_what_waits_is_taken_back(api: Served) -> None:
    failed, waiting = (
        await a_message(api.district.store, state="failed"),
        await a_message(api.district.store, state="waiting"),
    )
    path = "~/notifications/messages"
    again = await api.post(f"{path}/{failed}/resend", "admin_north")
    assert (await again.get_json())["state"] == "waiting"
    gone = await api.post(f"{path}/{waiting}/cancel", "admin_north")
    assert (await gone.get_json())["state"] == "cancelled"
    assert (await api.post(f"{path}/{waiting}/resend", "admin_north")).status_code == 409
    assert (await api.post(f"{path}/{failed}/cancel", "admin_south")).status_code == 404


async def test_a_school_s_day_is_told_in_figures_with_what_to_look_at(api: Served) -> None:
    unknown = await a_message(api.district.store, state="unknown")
    await a_message(api.district.store, state="delivered")
    digest = await (await api.get("~/notifications/digest?school_id=north", "admin_north")).get_json()
    assert (digest["counts"]["unknown"], digest["counts"]["delivered"], digest["counts"]["failed"]) == (1, 1, 0)
    assert [one["id"] for one in digest["problems"]] == [unknown]
    assert (await api.get("~/notifications/digest?school_id=north", "admin_south")).status_code == 404


async def test_a_school_s_day_long_ago_is_told_without_the_days_after_it(api: Served) -> None:
    zone = ZoneInfo("America/Chicago")
    table = m.Org
    await api.district.store.write(lambda tx: tx.run(table.update(time_zone=zone.key).where(table.id == "north")))
    long_ago = date(2024, 3, 11)
    own = [
        await a_message(api.district.store, state="unknown", school_day=long_ago, created_at=made.astimezone(UTC))
        for made in (datetime(2024, 3, 11, 0, 0, tzinfo=zone), datetime(2024, 3, 11, 23, 59, tzinfo=zone))
    ]
    for made in (datetime(2024, 3, 10, 23, 59, tzinfo=zone), datetime(2024, 3, 12, 0, 0, tzinfo=zone)):
        day, at = made.date(), made.astimezone(UTC)
        await a_message(api.district.store, state="unknown", school_day=day, created_at=at)
    await a_message(api.district.store, state="unknown")

    path = f"~/notifications/digest?school_id=north&day={long_ago}"
    digest = await (await api.get(path, "admin_north")).get_json()

    assert (digest["day"], digest["counts"]["unknown"]) == ("2024-03-11", 2)
    assert {one["id"] for one in digest["problems"]} == set(own)
    last = await api.get("~/notifications/digest?school_id=north&day=9999-12-31", "admin_north")
    assert last.status_code == 200


async def test_what_was_held_for_the_limit_goes_when_somebody_lets_it(api: Served) -> None:
    held = await a_message(api.district.store, state="held", reason="limit")
    body = {"school_id": "north", "channel": "sms", "messages": 10}
    answer = await api.post("~/notifications/limits", "admin_north", body)
    assert await answer.get_json() == {"released": 1}
    whole = await (await api.get(f"~/notifications/messages/{held}", "admin")).get_json()
    assert whole["state"] == "waiting"
    assert (await api.post("~/notifications/limits", "admin_south", body)).status_code == 404


async def test_everybody_reads_their_own_messages_and_no_other(api: Served) -> None:
    mine = await a_message(api.district.store, state="delivered")
    await a_message(api.district.store, state="delivered", recipient_id="guardian_cy", student_id="cy")
    listed = await (await api.get("~/notifications/mine", "guardian_ann")).get_json()
    assert [one["id"] for one in listed["items"]] == [mine]


@pytest.mark.parametrize("change", [{"blocked": True}, {"data_access": False}, {"ends_on": world.TODAY.isoformat()}])
async def test_what_was_said_of_a_child_is_hidden_once_the_guardian_may_not_know_of_it(
    api: Served, change: dict[str, object]
) -> None:
    await a_message(api.district.store, state="delivered")
    assert await own(api) == 1
    changed = await api.call("PATCH", "~/students/ann/guardians/guardian_ann", by="admin_north", json=change)
    assert changed.status_code == 200
    assert await own(api) == 0


async def test_an_ended_guardianship_hides_what_was_said_of_the_child_and_nothing_else(api: Served) -> None:
    await a_message(api.district.store, state="delivered")
    await a_message(api.district.store, state="delivered", audience="office")
    assert await own(api) == 2
    await api.district.store.write(lambda tx: people.unlink_guardian(tx, "guardian_ann", "ann"))
    assert await own(api) == 1


async def own(api: Served, by: str = "guardian_ann") -> int:
    """How many messages somebody finds among their own."""
    return len((await (await api.get("~/notifications/mine", by)).get_json())["items"])


async def test_hazard_19_a_person_chooses_a_language_and_refuses_one_address(api: Served) -> None:
    shown = await (await api.get("~/notifications/preferences", "guardian_ann")).get_json()
    hints = {one["channel"]: one["hint"] for one in shown["addresses"]}
    assert hints == {"sms": "…0142", "email": "a…@example.org"}
    body = {"language": "es", "channels": ["email"]}
    saved = await api.call("PUT", "~/notifications/preferences", by="guardian_ann", json=body)
    assert (await saved.get_json())["language"] == "es"
    wrong = {"language": "tlh", "channels": []}
    assert (await api.call("PUT", "~/notifications/preferences", by="guardian_ann", json=wrong)).status_code == 422
    sms = next(one for one in shown["addresses"] if one["channel"] == "sms")
    refusal = {"contact_id": sms["contact_id"], "channel": "sms", "state": "withdrawn"}
    told = await api.call("PUT", "~/notifications/consent", by="guardian_ann", json=refusal)
    said = {one["channel"]: one["said"] for one in (await told.get_json())["addresses"]}
    assert said == {"sms": {"": "withdrawn"}, "email": {}}
    assert (await api.call("PUT", "~/notifications/consent", by="guardian_cy", json=refusal)).status_code == 404


async def test_the_office_keeps_what_a_family_has_told_it(api: Served) -> None:
    path = "~/notifications/people/guardian_ann"
    shown = await (await api.get(f"{path}/preferences", "admin_north")).get_json()
    email = next(one for one in shown["addresses"] if one["channel"] == "email")
    refusal = {"contact_id": email["contact_id"], "channel": "email", "state": "withdrawn", "purpose": "attendance"}
    told = await api.call("PUT", f"{path}/consent", by="admin_north", json=refusal)
    said = {one["channel"]: one["said"] for one in (await told.get_json())["addresses"]}
    assert said["email"] == {"attendance": "withdrawn"}
    body = {"language": "vi", "channels": []}
    assert (await api.call("PUT", f"{path}/preferences", by="admin_north", json=body)).status_code == 200
    for path_ in (f"{path}/preferences", "~/notifications/people/nobody-at-all/preferences"):
        assert (await api.get(path_, "admin_south")).status_code == 404
