"""Attendance over HTTP, with the real plugins: sessions, check-ins, marks, corrections, figures, absences, codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from quart import Response

from homeroom.attendance.statistics import recount
from homeroom.store import iso, now_utc
from homeroom.store import models as m
from tests.services.served import Served, served
from tests.services.world import TODAY

WRONG = "000000"


GROUNDS = {"areas": {"*": {"kind": "circle", "lat": 40.0, "lon": -74.0, "radius_m": 100}}}
PLUGINS = ("rotating_code", "geofence")


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=PLUGINS, sections={"geofence": GROUNDS}) as running:
        yield running


@pytest.fixture
async def small_api(sqlite_url: str) -> AsyncIterator[Served]:
    """For what does not differ between databases."""
    async with served(sqlite_url, enabled=PLUGINS, sections={"geofence": GROUNDS}) as running:
        yield running


async def given(answer: Response, status: int = 200) -> Any:
    text = await answer.get_data(as_text=True)
    assert answer.status_code == status, text
    return json.loads(text)


async def refused(answer: Response, status: int, problem: str) -> Any:
    assert answer.content_type == "application/problem+json"
    found = await given(answer, status)
    assert found["type"].endswith(f"/{problem}"), found
    return found


async def opened(api: Served, class_id: str = "algebra", by: str = "teacher_a", **asked: Any) -> Any:
    return await given(await api.post(f"~/classes/{class_id}/sessions", by, asked), 201)


async def code_of(api: Served, session: Any, by: str = "teacher_a") -> str:
    shown = await given(await api.get(f"~/sessions/{session['id']}/challenge", by))
    return str(shown["code"])


async def comes(api: Served, session: Any, by: str = "ann", code: str | None = None, **more: Any) -> Response:
    proof = more.pop("proof", {"code": code} if code is not None else {})
    return await api.post("~/attendance/checkin", by, {"session_id": session["id"], "proof": proof, **more})


async def patched(api: Served, record: Any, by: str = "teacher_a", tag: str | None = '"1"', **body: Any) -> Response:
    headers = {"If-Match": tag} if tag else {}
    return await api.call("PATCH", f"~/attendance/{record['id']}", by=by, json=body, headers=headers)


async def test_a_session_from_the_first_code_to_the_last_absence(api: Served) -> None:
    session = await opened(api)
    assert (session["state"], session["methods"], session["require"]) == ("open", ["rotating_code"], "any")
    shown = await given(await api.get(f"~/sessions/{session['id']}/challenge", "teacher_a"))
    assert shown["kind"] == "rotating_code"
    assert shown["qr"].startswith("<svg")
    assert [one["kind"] for one in shown["all"]] == ["rotating_code"]
    record = await given(await comes(api, session, code=shown["code"], client_id="p1"), 201)
    assert (record["student_id"], record["status"], record["needs_review"]) == ("ann", "present", False)
    assert record["evidence"][0]["method"] == "rotating_code"
    assert "note" not in record
    again = await given(await comes(api, session, code=WRONG), 200)
    assert again == record
    closed = await given(await api.post(f"~/sessions/{session['id']}/close", "teacher_a"))
    assert closed["state"] == "closed"
    assert await given(await api.post(f"~/sessions/{session['id']}/close", "teacher_a")) == closed
    await refused(await api.get(f"~/sessions/{session['id']}/challenge", "teacher_a"), 409, "session-closed")
    assert await given(await api.get(f"~/sessions/{session['id']}", "ann")) == closed
    listed = await given(await api.get("~/classes/algebra/sessions?limit=1", "teacher_a"))
    assert [one["id"] for one in listed["items"]] == [session["id"]]
    rest = await given(await api.get(f"~/classes/algebra/sessions?cursor={listed['next']}", "teacher_a"))
    assert [one["id"] for one in rest["items"]] == ["session_algebra"]
    roll = await given(await api.get(f"~/sessions/{session['id']}/attendance", "teacher_a"))
    assert [(one["student_id"], one["status"]) for one in roll["items"]] == [("ann", "present")]


async def test_wrong_missing_and_old_codes_record_nothing(small_api: Served) -> None:
    session = await opened(small_api)
    await refused(await comes(small_api, session, code=WRONG), 422, "code-wrong")
    await refused(await comes(small_api, session), 422, "proof-missing")
    sent = {"session_id": session["id"]}
    await refused(await small_api.post("~/attendance/checkin", "ann", sent), 422, "proof-missing")
    roll = await given(await small_api.get(f"~/sessions/{session['id']}/attendance", "teacher_a"))
    assert roll["items"] == []


async def test_guessing_is_stopped_with_the_time_to_wait(small_api: Served) -> None:
    session = await opened(small_api)
    for _ in range(5):
        await refused(await comes(small_api, session, code=WRONG), 422, "code-wrong")
    answer = await comes(small_api, session, code=await code_of(small_api, session))
    await refused(answer, 429, "too-many-attempts")
    assert 0 < int(answer.headers["Retry-After"]) <= 60


async def test_two_verifiers_can_be_required_together(small_api: Served) -> None:
    session = await opened(small_api, methods=["rotating_code", "geofence"], require="all")
    code = await code_of(small_api, session)
    here = {"lat": 40.0, "lon": -74.0, "accuracy_m": 5}
    await refused(await comes(small_api, session, code=code), 422, "proof-missing")
    away = {"code": code, "location": {**here, "lat": 41.0}}
    await refused(await comes(small_api, session, proof=away), 422, "outside-area")
    both = {"code": await code_of(small_api, session), "location": here}
    record = await given(await comes(small_api, session, proof=both), 201)
    assert [entry["verdict"] for entry in record["evidence"]] == ["accept", "accept"]
    assert "40" not in json.dumps(record["evidence"])
    journal = await small_api.district.store.read(lambda c: repr(c.sql("SELECT data FROM journal")))
    assert "40.0" not in journal


async def test_a_verifier_switched_off_in_mid_lesson_lets_students_through_for_review(small_api: Served) -> None:
    session = await opened(small_api)
    await given(await small_api.post("~/plugins/rotating_code/disable", "admin"))
    record = await given(await comes(small_api, session, code=WRONG), 201)
    assert record["needs_review"]


async def test_a_scanned_code_survives_the_trip_through_sign_in(small_api: Served) -> None:
    session = await opened(small_api)
    shown = await given(await small_api.get(f"~/sessions/{session['id']}/challenge", "teacher_a"))
    token = shown["link"].partition("&scan=")[2]
    body = {"session_id": session["id"], "token": token}
    scan = await given(await small_api.post("/plugins/rotating_code/scans", None, body), 201)
    record = await given(await comes(small_api, session, proof={"scan": scan["scan"]}), 201)
    assert record["status"] == "present"


async def test_the_same_check_in_many_times_at_once_is_one_record(api: Served) -> None:
    session = await opened(api)
    code = await code_of(api, session)
    answers = await asyncio.gather(*(comes(api, session, code=code) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({await answer.get_data() for answer in answers}) == 1


async def test_only_students_of_the_class_check_in_and_only_its_teachers_see_the_code(small_api: Served) -> None:
    session = await opened(small_api)
    for other in ("bob", "cy", "dan", "eve"):
        await refused(await comes(small_api, session, by=other, code=WRONG), 404, "not-found")
    await refused(await comes(small_api, session, by="teacher_a", code=WRONG), 403, "not-allowed")
    await refused(await comes(small_api, {"id": "none"}, code=WRONG), 404, "not-found")
    challenge = f"~/sessions/{session['id']}/challenge"
    assert (await small_api.get(challenge, "teacher_b")).status_code == 404
    assert (await small_api.get(challenge, "ann")).status_code == 403
    assert (await small_api.get(challenge)).status_code == 401
    assert (await small_api.post("~/classes/algebra/sessions", "teacher_b")).status_code == 404
    assert (await small_api.post(f"~/sessions/{session['id']}/close", "ann")).status_code == 403


async def test_a_sign_in_that_ended_is_told_before_anything_else_is_looked_at(api: Served) -> None:
    session = await opened(api)
    code = await code_of(api, session)
    assert (await api.post("~/auth/logout", "ann")).status_code == 204
    proven = {"session_id": session["id"], "proof": {"code": code}}
    for body in (proven, {**proven, "proof": {"code": WRONG}}, {"session_id": 7}):
        await refused(await api.post("~/attendance/checkin", "ann", body), 401, "not-signed-in")


async def test_a_check_in_made_without_a_network_is_kept_for_review(api: Served) -> None:
    began = now_utc() - timedelta(hours=2)
    session = await opened(api, starts_at=iso(began), late_after_minutes=10)
    await refused(
        await comes(api, session, code=WRONG, occurred_at=iso(now_utc() + timedelta(minutes=10))),
        422,
        "occurred-in-future",
    )
    await refused(
        await comes(api, session, code=WRONG, occurred_at=iso(began - timedelta(days=2))), 422, "occurred-too-long-ago"
    )
    await refused(await comes(api, session, code=WRONG, occurred_at=iso(began)), 422, "code-wrong")


@pytest.mark.parametrize("hours", [0, 3, 23])
async def test_a_late_sent_check_in_is_judged_by_the_code_of_its_time_and_two_devices_give_one_record(
    api: Served, hours: int
) -> None:
    session = await opened(api)
    code, then = await code_of(api, session), now_utc()
    sent = {"code": code, "occurred_at": iso(then)}
    with time_machine.travel(then + timedelta(hours=hours, seconds=25), tick=True):
        await refused(await comes(api, session, code=code), 422, "code-expired" if hours == 0 else "code-wrong")
        phone, tablet = await asyncio.gather(
            comes(api, session, client_id="phone", **sent), comes(api, session, client_id="tablet", **sent)
        )
        assert sorted((phone.status_code, tablet.status_code)) == [200, 201]
        record = await phone.get_json()
        assert await tablet.get_json() == record
    assert (record["status"], record["needs_review"]) == ("present", True)
    assert [entry["method"] for entry in record["evidence"]] == ["rotating_code", "late-sent"]
    roll = await given(await api.get(f"~/sessions/{session['id']}/attendance", "teacher_a"))
    assert [one["id"] for one in roll["items"]] == [record["id"]]


async def test_a_body_of_the_wrong_shape_is_told_field_by_field(small_api: Served) -> None:
    here = {"lat": 40, "lon": 0, "accuracy_m": 1}
    bodies: tuple[Any, ...] = (
        {"proof": {}},
        {"session_id": 7},
        {"session_id": "x", "surprise": 1},
        {"session_id": "x", "proof": {"code": 402917}},
        {"session_id": "x", "proof": {"location": {**here, "lat": 400}}},
        {"session_id": "x", "proof": {"location": {**here, "x": 1}}},
        {"session_id": "x", "proof": {"badge": "x" * 5000}},
        {"session_id": "x", "occurred_at": "2026-11-23T10:00:00"},
        {"session_id": "x", "client_id": ""},
        [],
    )
    for body in bodies:
        answer = await small_api.post("~/attendance/checkin", "ann", body)
        assert (await refused(answer, 422, "invalid"))["errors"], body


async def test_a_session_without_a_code_to_show_says_so(small_api: Served) -> None:
    by_place = await opened(small_api, methods=["geofence"])
    path = f"~/sessions/{by_place['id']}/challenge"
    await refused(await small_api.get(path, "teacher_a"), 409, "no-challenge")


async def test_a_session_is_opened_once_under_one_key(api: Served) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await given(await api.post("~/classes/algebra/sessions", "teacher_a", {}, headers=headers), 201)
    assert await given(await api.post("~/classes/algebra/sessions", "teacher_a", {}, headers=headers), 201) == first
    await refused(
        await api.post("~/classes/algebra/sessions", "teacher_a", {"methods": ["crystal"]}), 422, "method-not-served"
    )


async def test_the_teacher_marks_all_or_nothing(api: Served) -> None:
    session = await opened(api)
    path = f"~/sessions/{session['id']}/attendance"
    both = {
        "marks": [{"student_id": "ann", "status": "tardy", "note": "Bus"}, {"student_id": "bob", "status": "absent"}]
    }
    found = await refused(await api.call("PUT", path, by="teacher_a", json=both), 422, "invalid")
    assert [error["field"] for error in found["errors"]] == ["marks.1.student_id"]
    marked = await given(await api.call("PUT", path, by="teacher_a", json={"marks": both["marks"][:1]}))
    [record] = marked["items"]
    assert (record["status"], record["origin"], record["note"]) == ("tardy", "teacher", "Bus")
    by_office = await given(
        await api.call("PUT", path, by="admin_north", json={"marks": [{"student_id": "ann", "code": "MED"}]})
    )
    assert (by_office["items"][0]["origin"], by_office["items"][0]["status"]) == ("office", "excused")
    assert (await api.call("PUT", path, by="ann", json=both)).status_code == 403
    await given(await api.post(f"~/sessions/{session['id']}/close", "teacher_a"))
    await refused(await api.call("PUT", path, by="teacher_a", json={"marks": both["marks"][:1]}), 409, "session-closed")


async def test_a_correction_needs_the_version_and_the_reason_and_keeps_the_history(api: Served) -> None:
    record = {"id": "record_ann"}
    read = await api.get("~/attendance/record_ann", "guardian_ann")
    assert (await given(read))["status"] == "present"
    assert read.headers["ETag"] == '"1"'
    await refused(await patched(api, record, tag=None, status="absent", reason="r"), 428, "precondition-required")
    await refused(await patched(api, record, tag='"7"', status="absent", reason="r"), 412, "changed-meanwhile")
    await refused(await patched(api, record, status="absent"), 422, "invalid")
    await refused(await patched(api, record, status="gone", reason="r"), 422, "invalid")
    await refused(await patched(api, record, code="nope", reason="r"), 422, "unknown-code")
    assert (await patched(api, record, by="ann", status="absent", reason="r")).status_code == 403
    assert (await patched(api, record, by="teacher_b", status="absent", reason="r")).status_code == 404
    done = await patched(api, record, status="excused", code="MED", reason="Slip seen")
    now = await given(done)
    assert (now["status"], now["code"], now["version"], done.headers["ETag"]) == ("excused", "MED", 2, '"2"')
    await refused(await patched(api, record, status="absent", reason="r"), 412, "changed-meanwhile")
    history = (await given(await api.get("~/attendance/record_ann/history", "ann")))["items"]
    assert [(one["version"], one["status"], one["reason"]) for one in history] == [
        (1, "present", None),
        (2, "excused", "Slip seen"),
    ]
    assert history[1]["recorded_by"] == "teacher_a"


async def test_lists_hold_what_the_caller_may_see_then_and_now(api: Served) -> None:
    before = iso(now_utc())
    await given(await patched(api, {"id": "record_ann"}, status="absent", reason="r"))

    async def seen(by: str, query: str = "") -> dict[str, str]:
        items = (await given(await api.get(f"~/attendance/?limit=50{query}", by)))["items"]
        return {one["id"]: one["status"] for one in items}

    everything = {"record_ann", "record_bob", "record_cy", "record_dan_then"}
    assert set(await seen("admin")) == everything
    assert set(await seen("admin_north")) == everything - {"record_cy"}
    assert set(await seen("teacher_a")) == {"record_ann", "record_dan_then"}
    assert await seen("ann") == await seen("guardian_ann") == {"record_ann": "absent"}
    assert await seen("admin", f"&as_of={before}&student_id=ann") == {"record_ann": "present"}
    assert await seen("admin", "&status=absent") == {"record_ann": "absent"}
    assert await seen("admin", f"&from={TODAY}&to={TODAY}&class_id=biology") == {"record_bob": "present"}
    assert await seen("teacher_parent") == {"record_ann": "absent", "record_bob": "present"}
    assert (await api.get("~/attendance/?class_id=biology", "teacher_a")).status_code == 404
    assert (await api.get("~/attendance/?student_id=bob", "ann")).status_code == 404
    of_ann = await given(await api.get("~/students/ann/attendance", "guardian_ann"))
    assert [one["id"] for one in of_ann["items"]] == ["record_ann"]
    assert (await api.get("~/students/ann/attendance", "guardian_lost")).status_code in (403, 404)
    page = await given(await api.get("~/attendance?limit=3", "admin"))
    rest = await given(await api.get(f"~/attendance?limit=3&cursor={page['next']}", "admin"))
    assert len(page["items"]) + len(rest["items"]) == 4
    assert rest["next"] is None
    assert (await api.get("~/attendance?cursor=zzz", "admin")).status_code == 422


async def test_figures_are_for_those_whom_they_concern(api: Served) -> None:
    await api.district.store.write(_count_the_world)
    whole = {"present": 2, "tardy": 0, "absent": 0, "excused": 0, "rate": 1.0}

    async def figures(by: str, query: str) -> Any:
        found = await given(await api.get(f"~/attendance/stats?{query}", by))
        return {name: found[name] for name in whole}, found["by_day"]

    days = [{"day": str(TODAY), "present": 2, "tardy": 0, "absent": 0, "excused": 0}]
    assert await figures("teacher_a", f"class_id=algebra&from={TODAY}&to={TODAY}") == (whole, days)
    assert (await figures("admin_north", "school_id=north"))[0]["present"] == 3
    assert (await figures("guardian_ann", "student_id=ann"))[0]["present"] == 1
    assert (await figures("ann", ""))[0]["present"] == 1
    assert (await figures("teacher_a", "student_id=ann&class_id=algebra"))[0]["present"] == 1
    for who, query in (
        ("teacher_a", "class_id=biology"),
        ("teacher_a", "student_id=bob"),
        ("ann", "student_id=bob"),
        ("admin_north", "school_id=south"),
        ("guardian_ann", "class_id=algebra"),
        ("ann", "class_id=algebra"),
        ("ann", "school_id=north"),
    ):
        answer = await api.get(f"~/attendance/stats?{query}", who)
        if answer.status_code == 200:  # then of nobody but oneself
            assert (await given(answer))["present"] <= 1
        else:
            assert answer.status_code in (403, 404)
    await refused(await api.get("~/attendance/stats", "admin"), 422, "invalid")
    assert (await api.get("~/attendance/stats?class_id=algebra&from=soon", "teacher_a")).status_code == 422


def _count_the_world(tx: Any) -> None:
    from homeroom.attendance.statistics import rebuild

    rebuild(tx)


async def test_a_days_status_comes_with_the_rule_that_gave_it(api: Served) -> None:
    found = await given(await api.get("~/students/ann/attendance/days", "guardian_ann"))
    assert found["items"] == [
        {
            "school_id": "north",
            "school_day": str(TODAY),
            "status": "present",
            "rule": {"kind": "any_period"},
            "records": ["record_ann"],
        }
    ]
    assert (await api.get("~/students/ann/attendance/days?from=2026-12-01&to=2026-11-01", "ann")).status_code == 422


async def test_a_guardian_reports_staff_approve_and_the_mark_follows(api: Served) -> None:
    session = await opened(api)
    await given(await api.post(f"~/sessions/{session['id']}/close", "teacher_a"))
    body = {"first_day": str(TODAY), "reason": "Fever"}
    path, headers = "~/students/ann/absence-reports", {"Idempotency-Key": "k"}
    report = await given(await api.post(path, "guardian_ann", body, headers=headers), 201)
    assert await given(await api.post(path, "guardian_ann", body, headers=headers), 201) == report
    assert (report["state"], report["last_day"], report["code"]) == ("reported", str(TODAY), "E")
    for stranger in ("guardian_cy", "guardian_lost", "ann", "teacher_a"):
        assert (await api.post(path, stranger, body)).status_code in (403, 404)
    waiting = await given(await api.get("~/absence-reports?state=reported", "admin_north"))
    assert report["id"] in [one["id"] for one in waiting["items"]]
    assert "report_cy" not in [one["id"] for one in waiting["items"]]
    decision = f"~/absence-reports/{report['id']}/decision"
    assert (await api.post(decision, "guardian_ann", {"decision": "approve"})).status_code == 403
    decided = await given(await api.post(decision, "admin_north", {"decision": "approve"}))
    assert (decided["state"], decided["decided_by"]) == ("approved", "admin_north")
    roll = await given(await api.get(f"~/sessions/{session['id']}/attendance", "guardian_ann"))
    assert [(one["status"], one["code"], one["origin"]) for one in roll["items"]] == [
        ("excused", "E", "absence_report")
    ]
    mine = await given(await api.get("~/students/ann/absence-reports", "guardian_ann"))
    assert {one["id"] for one in mine["items"]} == {report["id"], "report_ann"}
    refused_now = await given(await api.post(decision, "admin_north", {"decision": "refused"}))
    assert refused_now["state"] == "refused"


async def test_codes_are_the_districts_and_each_schools(small_api: Served) -> None:
    zoo = {"code": "Z", "title": "Zoo", "status": "present", "edfi_category": "In Attendance"}
    path = "~/attendance-codes"
    saved = await given(
        await small_api.call("PUT", path, by="admin_north", json={"school_id": "north", "codes": [zoo]})
    )
    assert "Z" in [code["code"] for code in saved["items"]]
    assert "Z" not in [code["code"] for code in (await given(await small_api.get(path, "ann")))["items"]]
    of_north = await given(await small_api.get(f"{path}?school_id=north", "teacher_a"))
    assert "Z" in [code["code"] for code in of_north["items"]]
    assert (await small_api.call("PUT", path, by="admin_north", json={"codes": [zoo]})).status_code == 403
    assert (
        await small_api.call("PUT", path, by="admin_south", json={"school_id": "north", "codes": [zoo]})
    ).status_code == 404
    assert (
        await small_api.call("PUT", path, by="teacher_a", json={"school_id": "north", "codes": [zoo]})
    ).status_code == 403
    assert (await small_api.call("PUT", path, by="admin", json={"codes": [zoo]})).status_code == 200
    wrong = {**zoo, "edfi_category": "Nap"}
    assert (await small_api.call("PUT", path, by="admin", json={"codes": [wrong]})).status_code == 422


async def test_what_was_done_over_http_leaves_the_counters_right(api: Served) -> None:
    await api.district.store.write(_count_the_world)
    session = await opened(api)
    await given(await comes(api, session, code=await code_of(api, session)), 201)
    await given(await api.post(f"~/sessions/{session['id']}/close", "teacher_a"))
    await given(await patched(api, {"id": "record_ann"}, status="absent", reason="r"))
    assert await api.district.store.read(recount) == []
    kinds = await api.district.store.read(lambda c: c.values(m.Journal.select(m.Journal.kind)))
    assert {"session.opened", "attendance.recorded", "session.closed", "attendance.corrected"} <= set(kinds)
