"""The emergency roll: who is expected, who is accounted for by whom, and what a check-in tells meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeroom.store import Connection
from homeroom.store import models as m
from tests.services import world
from tests.services.served import Served, served

NORTH = "~/schools/north/emergencies"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=["accounts", "rotating_code"]) as running:
        yield running


async def begun(api: Served, kind: str = "drill") -> str:
    answer = await api.post(NORTH, "admin_north", {"kind": kind})
    assert answer.status_code == 201, await answer.get_data(as_text=True)
    return str((await answer.get_json())["id"])


async def roll(api: Served, key: str, by: str = "admin_north") -> Any:
    answer = await api.get(f"{NORTH}/{key}", by)
    assert answer.status_code == 200
    return await answer.get_json()


async def says(api: Served, key: str, by: str, state: str, *students: str) -> int:
    answer = await api.post(f"{NORTH}/{key}/words", by, {"student_ids": list(students), "state": state})
    return answer.status_code


def standing(found: Any) -> dict[str, str]:
    return {one["student_id"]: one["standing"] for one in found["students"]}


async def test_everybody_who_is_expected_is_on_the_roll_and_where_they_were_seen(api: Served) -> None:
    found = await roll(api, await begun(api))
    assert standing(found) == dict.fromkeys(("ann", "bob", "dan", "eve"), "not_accounted")
    assert found["counts"] == {"expected": 4, "accounted": 0, "not_accounted": 4, "absent": 0}
    seen = {one["student_id"]: one["seen"] and one["seen"]["class_title"] for one in found["students"]}
    assert seen == {"ann": "Algebra", "bob": "Biology", "dan": "Algebra", "eve": None}
    assert (found["begun_by_name"], found["ended_at"], found["school_day"]) == (
        "Admin North",
        None,
        world.TODAY.isoformat(),
    )


@pytest.mark.parametrize("who", ["teacher_c", "admin_south", "ann", "guardian_ann", "nobody"])
async def test_who_does_not_work_there_neither_sees_nor_says_anything(api: Served, who: str) -> None:
    key = await begun(api)
    for path in (NORTH, f"{NORTH}/{key}", f"{NORTH}/{key}/news?after=0", f"{NORTH}/{key}/words"):
        assert (await api.get(path, who)).status_code in (403, 404)
    assert await says(api, key, who, "here", "ann") in (403, 404)
    assert (await api.post(NORTH, who, {"kind": "drill"})).status_code in (403, 404)
    assert (await api.post(f"{NORTH}/{key}/end", who)).status_code in (403, 404)
    assert (await roll(api, key))["counts"]["accounted"] == 0


async def test_a_teacher_accounts_for_students_of_others_but_begins_and_ends_nothing(api: Served) -> None:
    assert (await api.post(NORTH, "teacher_a", {"kind": "drill"})).status_code == 403
    key = await begun(api)
    assert await says(api, key, "teacher_a", "here", "bob", "ann") == 200
    assert (await api.post(f"{NORTH}/{key}/end", "teacher_a")).status_code == 403
    found = await roll(api, key, "teacher_b")
    assert standing(found) == {"ann": "accounted", "bob": "accounted", "dan": "not_accounted", "eve": "not_accounted"}
    [ann] = [one["word"] for one in found["students"] if one["student_id"] == "ann"]
    assert (ann["state"], ann["by_name"]) == ("here", "Teacher A")


async def test_two_people_at_once_lose_nothing_and_the_first_word_stays(api: Served) -> None:
    key = await begun(api)
    said = await asyncio.gather(
        *(says(api, key, who, "here", "ann", "bob", "dan") for who in ("teacher_a", "teacher_b", "admin_north"))
    )
    assert said == [200, 200, 200]
    words = (await (await api.get(f"{NORTH}/{key}/words", "admin_north")).get_json())["items"]
    assert [(one["number"], one["student_id"]) for one in words] == [(1, "ann"), (2, "bob"), (3, "dan")]
    assert len({one["by"] for one in words}) == 1

    assert await says(api, key, "teacher_b", "with_guardian", "ann") == 200
    assert await says(api, key, "teacher_a", "not_accounted", "bob") == 200
    words = (await (await api.get(f"{NORTH}/{key}/words", "admin_north")).get_json())["items"]
    assert [(one["student_id"], one["state"], one["by"]) for one in words[3:]] == [
        ("ann", "with_guardian", "teacher_b"),
        ("bob", "not_accounted", "teacher_a"),
    ]
    assert standing(await roll(api, key))["bob"] == "not_accounted"


async def test_a_check_in_meanwhile_is_news_and_accounts_for_nobody(api: Served) -> None:
    session = (await (await api.post("~/classes/biology/sessions", "teacher_b")).get_json())["id"]
    key = await begun(api)
    before = await roll(api, key)

    async def news(after: int) -> Any:
        return await (await api.get(f"{NORTH}/{key}/news?after={after}", "teacher_a")).get_json()

    assert await news(before["cursor"]) == {"changed": False, "cursor": before["cursor"], "ended": False}
    shown = await (await api.get(f"~/sessions/{session}/challenge", "teacher_b")).get_json()
    proof = {"session_id": session, "proof": {"code": shown["code"]}}
    assert (await api.post("~/attendance/checkin", "dan", proof)).status_code == 201

    told = await news(before["cursor"])
    assert told["changed"]
    assert told["cursor"] > before["cursor"]
    found = await roll(api, key)
    [dan] = [one for one in found["students"] if one["student_id"] == "dan"]
    assert (dan["standing"], dan["seen"]["class_title"], dan["seen"]["origin"]) == (
        "not_accounted",
        "Biology",
        "check_in",
    )
    # Another school's news are none of this one's.
    marks = {"marks": [{"student_id": "cy", "status": "absent"}]}
    assert (
        await api.call("PUT", "~/sessions/session_chemistry/attendance", by="teacher_c", json=marks)
    ).status_code == 200
    assert not (await news(found["cursor"]))["changed"]


async def test_who_was_absent_all_day_stands_apart_until_somebody_says_otherwise(api: Served) -> None:
    def unit(tx: Any) -> None:
        tx.run(m.AttendanceRecord.update(status="absent").where(m.AttendanceRecord.id == "record_ann"))
        tx.run(m.AbsenceReport.update(state="approved"))  # Bob's, too: but he was seen

    await api.district.store.write(unit)
    key = await begun(api, "emergency")
    found = await roll(api, key)
    assert (standing(found)["ann"], standing(found)["bob"]) == ("absent", "not_accounted")
    assert found["counts"] == {"expected": 4, "accounted": 0, "not_accounted": 3, "absent": 1}
    assert await says(api, key, "teacher_a", "not_accounted", "ann") == 200
    assert standing(await roll(api, key))["ann"] == "not_accounted"


async def test_one_at_a_time_and_after_its_end_nothing_is_entered(api: Served) -> None:
    key = await begun(api)
    assert (await api.post(NORTH, "admin_north", {"kind": "emergency"})).status_code == 409
    assert (await api.post("~/schools/south/emergencies", "admin_south", {"kind": "drill"})).status_code == 201
    assert (await api.post(f"{NORTH}/{key}/end", "admin_north")).status_code == 200
    assert await says(api, key, "teacher_a", "here", "ann") == 409
    again = await (await api.post(f"{NORTH}/{key}/end", "admin_north")).get_json()
    assert again["ended_by_name"] == "Admin North"
    second = await begun(api, "emergency")
    listed = (await (await api.get(NORTH, "teacher_a")).get_json())["items"]
    assert [one["id"] for one in listed] == [second, key]
    assert (await api.get(f"~/schools/south/emergencies/{key}", "admin_south")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"student_ids": ["cy"], "state": "here"},
        {"student_ids": ["ann", "no-such"], "state": "here"},
        {"student_ids": [], "state": "here"},
        {"student_ids": ["ann"], "state": "lost"},
        {"student_ids": ["ann"]},
    ],
)
async def test_a_word_that_cannot_be_taken_leaves_nothing_behind(api: Served, body: Any) -> None:
    key = await begun(api)
    assert (await api.post(f"{NORTH}/{key}/words", "teacher_a", body)).status_code == 422
    assert (await (await api.get(f"{NORTH}/{key}/words", "teacher_a")).get_json())["items"] == []


async def test_every_step_is_in_the_journal(api: Served) -> None:
    key = await begun(api)
    await says(api, key, "teacher_a", "safe", "ann")
    await api.post(f"{NORTH}/{key}/end", "admin_north")

    def entered(connection: Connection) -> list[Any]:
        text = "SELECT kind, actor_id, student_id FROM journal WHERE subject_id = ? ORDER BY id"
        return connection.sql(text, (key,))

    assert await api.district.store.read(entered) == [
        ("emergency.begun", "admin_north", None),
        ("emergency.accounted", "teacher_a", "ann"),
        ("emergency.ended", "admin_north", None),
    ]
