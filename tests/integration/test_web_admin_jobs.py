"""The page of jobs, without any script."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from homeroom.store import Transaction
from homeroom.store import models as m
from tests.services.browsing import PLUGINS, browser
from tests.services.front import CHEAP
from tests.services.served import Served, served


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=(*PLUGINS, "ferpa"), sections={"accounts": CHEAP}) as running:
        await running.district.jobs.stop()
        yield running


async def test_jobs_are_shown_run_by_hand_and_helped_on(api: Served) -> None:
    def stands_still(tx: Transaction) -> None:
        tx.journal("sync.finished", subject_id="x", data={})
        tx.write_sql("DELETE FROM cursors WHERE consumer = 'consume:ferpa'")
        tx.insert(m.Cursor, consumer="consume:ferpa", position=0, failures=2, error="it <fails>")

    await api.district.store.write(stands_still)
    desk = browser(api)
    await desk.signs_in("admin")
    page = await desk.get("/admin/jobs")
    assert page.heading == "Jobs"
    assert "it &lt;fails&gt;" in page.text
    done = await desk.post("/admin/jobs/tidy/run")
    assert (done.status, "were deleted" in done.text) == (200, True)
    event = page.value("event_id")
    wrong = await desk.post("/admin/jobs/consume:ferpa/skip", event_id="many")
    assert wrong.status == 422
    assert (await desk.post("/admin/jobs/consume:ferpa/skip", event_id="9999999")).status == 409
    after = await desk.post("/admin/jobs/consume:ferpa/skip", event_id=event)
    assert "it &lt;fails&gt;" not in after.text
    refused = await desk.post("/admin/jobs/messages/run")
    assert (refused.status, 'role="alert"' in refused.text) == (409, True)
    assert (await desk.post("/admin/jobs/gossip/run")).status == 404
    assert (await desk.post("/admin/jobs/syncs/gossip")).status == 404


@pytest.mark.parametrize("user", ["teacher_a", "guardian_ann", "ann", "admin_north"])
async def test_jobs_are_the_districts_alone(api: Served, user: str) -> None:
    someone = browser(api)
    await someone.signs_in(user)
    assert (await someone.get("/admin/jobs")).status == 403
    assert (await someone.post("/admin/jobs/tidy/run")).status == 403
