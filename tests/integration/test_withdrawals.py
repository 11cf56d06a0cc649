"""Marks that are taken back: the student has none again, nothing is forgotten, and nobody else's mark goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeroom.store import Connection
from homeroom.store import models as m
from tests.services.served import Served, served

SESSION = "session_biology"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url) as running:
        await running.district.store.write(lambda tx: tx.run(m.AttendanceRecord.delete()))
        yield running


async def marked(api: Served, *students: str, by: str = "teacher_b", to: str = "present", **more: Any) -> list[Any]:
    sent = {"marks": [{"student_id": one, "status": to} for one in students], **more}
    answer = await api.call("PUT", f"~/sessions/{SESSION}/attendance", by=by, json=sent)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    items: list[Any] = (await answer.get_json())["items"]
    return items


async def withdrawn(api: Served, records: list[Any], *, by: str = "teacher_b") -> Any:
    sent = {"records": [{"id": one["id"], "version": one["version"]} for one in records]}
    answer = await api.post(f"~/sessions/{SESSION}/attendance/withdrawals", by, sent)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    return await answer.get_json()


async def roll(api: Served) -> dict[str, str]:
    found = await (await api.get(f"~/sessions/{SESSION}/attendance", "teacher_b")).get_json()
    return {one["student_id"]: one["status"] for one in found["items"]}


async def figures(api: Served) -> tuple[int, int]:
    found = await (await api.get("~/attendance/stats?class_id=biology", "teacher_b")).get_json()
    return found["present"], found["absent"]


async def test_only_whoever_has_no_mark_is_marked_when_that_is_asked_for(api: Served) -> None:
    await marked(api, "dan", to="tardy")
    made = await marked(api, "bob", "dan", only_unmarked=True)
    assert [one["student_id"] for one in made] == ["bob"]
    assert await roll(api) == {"bob": "present", "dan": "tardy"}


async def test_what_is_taken_back_leaves_no_mark_and_is_not_forgotten(api: Served) -> None:
    before = await figures(api)
    made = await marked(api, "bob", "dan")
    known = made[0]["recorded_at"]
    told = await withdrawn(api, made)
    assert (set(told["withdrawn"]), told["kept"]) == ({one["id"] for one in made}, [])
    assert await roll(api) == {}
    assert await figures(api) == before
    then = await (await api.get(f"~/attendance/?class_id=biology&as_of={known}", "teacher_b")).get_json()
    assert {one["student_id"]: one["status"] for one in then["items"]} == {"bob": "present", "dan": "present"}

    def entered(connection: Connection) -> list[Any]:
        return connection.sql("SELECT actor_id FROM journal WHERE kind = 'attendance.withdrawn'", ())

    assert await api.district.store.read(entered) == [("teacher_b",)] * 2

    again = await withdrawn(api, made)  # the answer was lost, and the request is sent again
    assert (len(again["withdrawn"]), again["kept"]) == (2, [])


async def test_a_mark_made_anew_goes_on_from_the_one_that_was_taken_back(api: Served) -> None:
    await withdrawn(api, await marked(api, "bob"))
    [record] = await marked(api, "bob", to="absent")
    [record] = await marked(api, "bob", to="tardy")
    history = await (await api.get(f"~/attendance/{record['id']}/history", "teacher_b")).get_json()
    assert [(one["version"], one["status"]) for one in history["items"]] == [
        (1, "present"),
        (2, "absent"),
        (3, "tardy"),
    ]
    assert history["items"][-1]["recorded_by_name"] == "Teacher B"


async def test_what_somebody_has_touched_since_stays(api: Served) -> None:
    made = await marked(api, "bob", "dan")
    await marked(api, "dan", by="teacher_parent", to="absent")
    told = await withdrawn(api, made)
    assert [len(told["withdrawn"]), len(told["kept"])] == [1, 1]
    assert await roll(api) == {"dan": "absent"}


async def test_a_mark_that_replaced_another_is_not_taken_back(api: Served) -> None:
    await marked(api, "bob", to="absent")
    assert (await withdrawn(api, await marked(api, "bob")))["withdrawn"] == []
    assert await roll(api) == {"bob": "present"}


async def test_another_teachers_marks_are_not_taken_back(api: Served) -> None:
    told = await withdrawn(api, await marked(api, "bob"), by="teacher_parent")
    assert told["withdrawn"] == []
    assert await roll(api) == {"bob": "present"}


@pytest.mark.parametrize("who", ["teacher_a", "bob", "guardian_ann", "admin_south"])
async def test_nobody_else_takes_marks_back(api: Served, who: str) -> None:
    [record] = await marked(api, "bob")
    sent = {"records": [{"id": record["id"], "version": record["version"]}]}
    answer = await api.post(f"~/sessions/{SESSION}/attendance/withdrawals", who, sent)
    assert answer.status_code in (403, 404)
    assert await roll(api) == {"bob": "present"}


async def test_a_closed_roll_is_corrected_and_not_taken_back(api: Served) -> None:
    [record] = await marked(api, "bob")
    await api.post(f"~/sessions/{SESSION}/close", "teacher_b")
    sent = {"records": [{"id": record["id"], "version": record["version"]}]}
    answer = await api.post(f"~/sessions/{SESSION}/attendance/withdrawals", "teacher_b", sent)
    assert answer.status_code == 409


@pytest.mark.parametrize("records", [[], [{"id": "x"}], [{"id": "x", "version": 0}], [{"id": "", "version": 1}]])
async def test_a_request_without_sense_is_refused(api: Served, records: list[Any]) -> None:
    answer = await api.post(f"~/sessions/{SESSION}/attendance/withdrawals", "teacher_b", {"records": records})
    assert answer.status_code == 422
