"""The log in a running district: every answer about a student is entered before it leaves, and can be proven later."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from quart import Response

from homeroom_ferpa.log import table, verifier
from homeroom_ferpa.log.verify import verify
from tests.services.served import Served, served


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=("ferpa",), required=("ferpa",)) as running:
        yield running


@pytest.fixture
async def small_api(sqlite_url: str) -> AsyncIterator[Served]:
    """For what does not differ between databases."""
    async with served(sqlite_url, enabled=("ferpa",), required=("ferpa",)) as running:
        yield running


async def given(answer: Response, status: int = 200) -> Any:
    text = await answer.get_data(as_text=True)
    assert answer.status_code == status, text
    return json.loads(text)


async def entries(api: Served) -> list[tuple[Any, ...]]:
    text = "SELECT actor, kind, action, student_ids, reason FROM ferpa_audit ORDER BY id"
    found: list[tuple[Any, ...]] = await api.district.store.read(lambda c: c.sql(text))
    return found


async def marked(api: Served, status: str = "tardy") -> Any:
    """Ann's record of a session of her own, as her teacher marks it."""
    session = await given(await api.post("~/classes/algebra/sessions", "teacher_a", {}), 201)
    body = {"marks": [{"student_id": "ann", "status": status}]}
    path = f"~/sessions/{session['id']}/attendance"
    (record,) = (await given(await api.call("PUT", path, by="teacher_a", json=body)))["items"]
    return record


async def test_an_answer_about_students_is_entered_and_a_denial_as_well(api: Served) -> None:
    await given(await api.get("~/classes/algebra/roster", "teacher_a"))
    assert (await api.get("~/students/bob", "teacher_a")).status_code in (403, 404)
    read, denied = (await entries(api))[-2:]
    assert read == ("teacher_a", "read", "class.roster", '["ann"]', None)
    assert denied[:4] == ("teacher_a", "denied", "student.read", '["bob"]')
    assert denied[4]


async def test_what_cannot_be_entered_is_not_shown(api: Served) -> None:
    await given(await api.get("~/students/ann", "teacher_a"))
    await api.district.store.write(lambda tx: tx.write_sql("ALTER TABLE ferpa_audit RENAME TO ferpa_away"))
    try:
        answer = await api.get("~/students/ann", "teacher_a")
        assert answer.status_code == 503
        assert "ann" not in (await answer.get_data(as_text=True)).lower()
    finally:
        await api.district.store.write(lambda tx: tx.write_sql("ALTER TABLE ferpa_away RENAME TO ferpa_audit"))


async def test_a_family_has_a_receipt_that_the_verifier_takes(api: Served) -> None:
    record = await marked(api)
    patch = {"status": "present", "reason": "the bus was late"}
    corrected = await api.call(
        "PATCH", f"~/attendance/{record['id']}", by="teacher_a", json=patch, headers={"If-Match": '"1"'}
    )
    await given(corrected)
    for who in ("ann", "guardian_ann"):
        receipt = await given(await api.get(f"~/compliance/receipts/{record['id']}", who))
        keys = (await given(await api.get("~/compliance/log/keys", who)))["keys"]
        _, told = verifier.check_file(json.dumps(receipt), [verifier.parse_key(key) for key in keys])
        assert "recorded as tardy" in told[1]
        assert "corrected as present (before: tardy)" in told[2]
    for who in ("bob", "guardian_cy", "teacher_b"):
        assert (await api.get(f"~/compliance/receipts/{record['id']}", who)).status_code in (403, 404)
    assert (await api.get("~/compliance/receipts/nothing", "ann")).status_code == 404


async def test_a_receipt_is_a_read_like_others(small_api: Served) -> None:
    record = await marked(small_api)
    await given(await small_api.get(f"~/compliance/receipts/{record['id']}", "guardian_ann"))
    assert (await entries(small_api))[-1][:4] == ("guardian_ann", "read", "attendance.history", '["ann"]')


async def test_a_record_that_the_log_never_saw_has_no_receipt(small_api: Served) -> None:
    assert (await small_api.get("~/compliance/receipts/record_ann", "ann")).status_code == 404


async def test_anybody_who_is_signed_in_can_see_that_the_log_was_only_added_to(small_api: Served) -> None:
    assert (await small_api.get("~/compliance/log/checkpoint")).status_code == 401
    record = await marked(small_api)
    await given(await small_api.get(f"~/compliance/receipts/{record['id']}", "ann"))
    old = await (await small_api.get("~/compliance/log/checkpoint", "ann")).get_data(as_text=True)
    record = await marked(small_api, "absent")
    await given(await small_api.get(f"~/compliance/receipts/{record['id']}", "ann"))
    size = verifier.parse_note(old).size
    proof = await given(await small_api.get(f"~/compliance/log/consistency?from={size}", "teacher_a"))
    keys = (await given(await small_api.get("~/compliance/log/keys", "ann")))["keys"]
    chain, _ = verifier.check_file(json.dumps(proof), [verifier.parse_key(key) for key in keys])
    assert chain[0].size == size < chain[-1].size
    assert (await small_api.get("~/compliance/log/consistency?from=999999", "ann")).status_code == 404
    program = await small_api.get("~/compliance/log/verifier", "ann")
    assert (await program.get_data(as_text=True)).startswith('"""Checks what a school')


async def test_everything_a_running_district_did_verifies(api: Served) -> None:
    await marked(api)
    await given(await api.get("~/students/ann/attendance", "guardian_ann"))
    async with api.app.app_context():
        host = api.district.host
        answer = await host.ask("ferpa", "health")
    assert answer is not None
    assert answer.value.ok
    events = await api.district.store.read(lambda c: c.sql("SELECT max(id) FROM journal"))
    from homeroom.live.tail import events_after

    found = await api.district.store.read(partial(events_after, position=0, limit=500))
    await host.ask("ferpa", "consume", events=found)
    report = await verify(api.district.store.read)
    assert report.problems == []
    assert (await api.district.store.read(table.newest)).last_journal >= events[0][0]


async def test_switched_off_the_log_misses_reads_says_so_and_catches_up_with_changes(sqlite_url: str) -> None:
    from homeroom_ferpa.log.part import off_intervals

    async with served(sqlite_url, enabled=("ferpa",)) as api:
        admin = {"by": "admin"}
        await given(await api.post("~/plugins/ferpa/disable", **admin))
        await given(await api.get("~/students/ann", "teacher_a"))
        assert await entries(api) == []
        await marked(api)
        await given(await api.post("~/plugins/ferpa/enable", **admin))
        ((since, until),) = await api.district.store.read(off_intervals)
        assert since < until
        await given(await api.get("~/students/ann", "teacher_a"))
        assert len(await entries(api)) > 0
        found = await api.district.store.read(lambda c: c.sql("SELECT max(id) FROM journal"))
        from homeroom.live.tail import events_after

        events = await api.district.store.read(partial(events_after, position=found[0][0] - 1, limit=5))
        await api.district.host.ask("ferpa", "consume", events=events)
        assert (await verify(api.district.store.read)).problems == []
