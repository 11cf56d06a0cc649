"""Jobs and limits over REST: how they stand, a run by hand, an entry passed by, and who may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from homeroom.store import models as m
from homeroom.store import now_utc
from tests.services import world
from tests.services.served import Served, served


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=("ferpa",)) as running:
        await running.district.jobs.stop()  # no job moves while a test looks
        yield running


async def listed(api: Served, by: str = "admin") -> dict[str, dict[str, Any]]:
    answer = await api.get("~/jobs/", by)
    assert answer.status_code == 200
    return {one["name"]: one for one in (await answer.get_json())["items"]}


async def stands_still(api: Served, at: int = 0) -> None:
    later = now_utc() + timedelta(hours=1)

    def unit(tx: Any) -> None:
        tx.write_sql("DELETE FROM cursors WHERE consumer = 'consume:ferpa'")
        tx.insert(m.Cursor, consumer="consume:ferpa", position=at, failures=3, error="it is broken", retry_at=later)

    await api.district.store.write(unit)


async def test_every_job_says_how_it_stands(api: Served) -> None:
    await api.post("~/absence-reports/report_ann/decision", "admin", {"decision": "approve"})
    await stands_still(api)
    found = await listed(api)
    assert set(found) == {"tidy", "messages", "schedules", "consume:ferpa"}
    ferpa = found["consume:ferpa"]
    assert (ferpa["state"], ferpa["failures"], ferpa["error"], ferpa["can_run"]) == ("failing", 3, "it is broken", True)
    assert ferpa["behind"] >= 1
    assert ferpa["next_event"] >= 1
    assert found["messages"]["state"] == "stopped"


async def test_tidying_by_hand_deletes_what_has_expired(api: Served) -> None:
    def old(tx: Any) -> None:
        tx.insert(m.KeyValue, plugin="x", key="k", value="v", expires_at=tx.now.replace(year=2020))

    await api.district.store.write(old)
    answer = await api.post("~/jobs/tidy/run", "admin")
    assert (await answer.get_json())["rows"] >= 1
    assert (await listed(api))["tidy"]["last_run"] is not None


async def test_a_plugin_that_stands_still_is_tried_again_or_passes_an_entry_by(api: Served) -> None:
    await api.post("~/absence-reports/report_ann/decision", "admin", {"decision": "approve"})
    await stands_still(api)
    assert (await api.post("~/jobs/consume:ferpa/run", "admin")).status_code == 200
    job = (await listed(api))["consume:ferpa"]
    assert job["next_run"] is None
    wrong = await api.post("~/jobs/consume:ferpa/skip", "admin", {"event_id": job["next_event"] + 1})
    assert wrong.status_code == 409
    assert (await api.post("~/jobs/consume:ferpa/skip", "admin", {"event_id": job["next_event"]})).status_code == 200
    after = (await listed(api))["consume:ferpa"]
    assert after["error"] is None
    assert after["next_event"] != job["next_event"]
    rows = await api.district.store.read(
        lambda c: c.sql("SELECT actor_id FROM journal WHERE kind = 'consumer.skipped'")
    )
    assert rows == [("admin",)]


@pytest.mark.parametrize(
    ("path", "status"), [("messages/run", 409), ("gossip/run", 404), ("consume:web/run", 404), ("consume:/run", 404)]
)
async def test_what_is_no_job_or_runs_by_itself_is_not_begun(api: Served, path: str, status: int) -> None:
    assert (await api.post(f"~/jobs/{path}", "admin")).status_code == status


@pytest.mark.parametrize("by", ["teacher_a", "guardian_ann", "ann", "admin_north"])
async def test_jobs_are_the_districts_alone(api: Served, by: str) -> None:
    assert (await api.get("~/jobs/", by)).status_code == 403
    assert (await api.post("~/jobs/tidy/run", by)).status_code == 403
    assert (await api.post("~/jobs/consume:ferpa/skip", by, {"event_id": 1})).status_code == 403


async def test_limits_show_what_has_gone_what_waits_and_that_the_brake_is_on(api: Served) -> None:
    def used(tx: Any) -> None:
        day = world.TODAY.isoformat()
        tx.write_sql(
            "INSERT INTO notification_counts (school_id, day, channel, sent, segments, cost, extra, alarmed_at) "
            "VALUES ('north', ?, 'sms', 5, 7, 0.05, 0, ?)",
            (day, "2026-09-14T15:00:00.000000Z"),
        )

    await api.district.store.write(used)
    found = (await (await api.get("~/notifications/limits", "admin")).get_json())["items"]
    assert [(one["school_id"], one["school"]) for one in found] == [("north", "North"), ("south", "South")]
    sms = next(one for one in found[0]["channels"] if one["channel"] == "sms")
    assert (sms["sent"], sms["segments"], sms["limit"], sms["reached_at"] is None) == (5, 7, 5000, False)
    more = {"school_id": "north", "channel": "sms", "messages": 10}
    assert (await api.post("~/notifications/limits", "admin_north", more)).status_code == 200
    mine = (await (await api.get("~/notifications/limits", "admin_north")).get_json())["items"]
    assert [one["school_id"] for one in mine] == ["north"]
    sms = next(one for one in mine[0]["channels"] if one["channel"] == "sms")
    assert (sms["limit"], sms["let_through"], sms["reached_at"]) == (5010, 10, None)
    for by in ("teacher_a", "guardian_ann", "ann"):
        assert (await api.get("~/notifications/limits", by)).status_code == 403
