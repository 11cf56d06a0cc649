from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from homeroom.store import models as m
from tests.services.served import Served, served
from tests.services.world import TODAY


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url) as running:
        yield running


async def test_an_admin_makes_a_class_and_everybody_concerned_can_read_it(api: Served) -> None:
    made = await api.post("~/classes", "admin", {"title": "Latin", "school_id": "north", "teacher_ids": ["teacher_a"]})
    assert made.status_code == 201
    latin = await made.get_json()
    assert latin["teacher_ids"] == ["teacher_a"]
    assert latin["archived"] is False
    read = await api.get(f"~/classes/{latin['id']}", "teacher_a")
    assert await read.get_json() == latin
    assert (await api.get(f"~/classes/{latin['id']}", "ann")).status_code == 404


async def test_a_class_may_name_its_school_only_where_there_are_several(api: Served) -> None:
    answer = await api.post("~/classes", "admin", {"title": "Latin"})
    assert answer.status_code == 422
    assert "school" in (await answer.get_json())["detail"]


async def test_a_school_administrator_makes_classes_only_at_home(api: Served) -> None:
    body = {"title": "Latin", "school_id": "south"}
    assert (await api.post("~/classes", "admin_north", body)).status_code == 404
    assert (await api.post("~/classes", "admin_south", body)).status_code == 201


async def test_the_same_post_under_one_key_makes_one_class(api: Served) -> None:
    body, headers = {"title": "Latin", "school_id": "north"}, {"Idempotency-Key": "k-1"}
    first = await api.post("~/classes", "admin", body, headers=headers)
    again = await api.post("~/classes", "admin", body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert await first.get_data() == await again.get_data()
    made = m.Class.select().where(m.Class.title == "Latin")
    assert len(await api.district.store.read(lambda c: c.all(made))) == 1
    other = await api.post("~/classes", "admin", {**body, "title": "Greek"}, headers=headers)
    assert other.status_code == 422
    assert (await other.get_json())["type"].endswith("idempotency-key-reused")


async def test_what_is_kept_for_a_repetition_is_kept_sealed(api: Served) -> None:
    body, headers = {"first_day": TODAY.isoformat(), "reason": "canary reason"}, {"Idempotency-Key": "k-1"}
    told = await api.post("~/students/ann/absence-reports", "guardian_ann", body, headers=headers)
    assert (await told.get_json())["reason"] == "canary reason"
    (kept,) = await api.district.store.read(lambda c: c.all(m.IdempotencyKey.select()))
    assert "canary" not in kept.answer
    again = await api.post("~/students/ann/absence-reports", "guardian_ann", body, headers=headers)
    assert await again.get_data() == await told.get_data()


async def test_two_people_may_use_the_same_key(api: Served) -> None:
    body, headers = {"title": "Latin", "school_id": "north"}, {"Idempotency-Key": "k-1"}
    first = await (await api.post("~/classes", "admin", body, headers=headers)).get_json()
    second = await (await api.post("~/classes", "admin_north", body, headers=headers)).get_json()
    assert first["id"] != second["id"]


async def test_a_lost_update_is_refused(api: Served) -> None:
    tag = (await api.get("~/classes/algebra", "admin")).headers["ETag"]
    body = {"title": "Algebra I"}
    done = await api.call("PUT", "~/classes/algebra", by="admin", json=body, headers={"If-Match": tag})
    assert done.status_code == 200
    assert done.headers["ETag"] != tag
    lost = await api.call("PUT", "~/classes/algebra", by="admin", json=body | {"title": "X"}, headers={"If-Match": tag})
    assert lost.status_code == 412
    assert (await api.call("PUT", "~/classes/algebra", by="admin", json=body)).status_code == 428


async def test_if_match_takes_a_star_and_refuses_what_is_no_tag(api: Served) -> None:
    body = {"title": "Algebra I"}
    anyway = await api.call("PUT", "~/classes/algebra", by="admin", json=body, headers={"If-Match": "*"})
    assert anyway.status_code == 200
    odd = await api.call("PUT", "~/classes/algebra", by="admin", json=body, headers={"If-Match": '"yesterday"'})
    assert odd.status_code == 412


async def test_deleting_archives_and_keeps_the_attendance(api: Served) -> None:
    gone = await api.call("DELETE", "~/classes/algebra", by="admin")
    assert (gone.status_code, await gone.get_data()) == (204, b"")
    assert (await (await api.get("~/classes/algebra", "admin")).get_json())["archived"] is True
    listed = (await (await api.get("~/classes", "admin")).get_json())["items"]
    assert "algebra" not in {item["id"] for item in listed}
    archived = (await (await api.get("~/classes?archived=true", "admin")).get_json())["items"]
    assert [item["id"] for item in archived] == ["algebra"]
    assert (await api.get("~/attendance/record_ann", "teacher_a")).status_code == 200


async def test_a_list_is_read_page_by_page_without_gap_or_repetition(api: Served) -> None:
    seen: list[str] = []
    path = "~/classes?limit=1"
    while True:
        page = await (await api.get(path, "admin")).get_json()
        seen += [item["title"] for item in page["items"]]
        if page["next"] is None:
            break
        path = f"~/classes?limit=1&cursor={page['next']}"
    assert seen == ["Algebra", "Biology", "Chemistry"]


@pytest.mark.parametrize(
    "query", ["cursor=%7B", "cursor=bm9uZQ==", "limit=0", "limit=x", "colour=red", "limit=1&limit=2"]
)
async def test_a_query_that_makes_no_sense_is_422(api: Served, query: str) -> None:
    answer = await api.get(f"~/classes?{query}", "admin")
    assert answer.status_code == 422
    assert (await answer.get_json())["errors"]


async def test_everybody_lists_only_the_classes_that_concern_them(api: Served) -> None:
    async def titles(user: str, query: str = "") -> list[str]:
        items = (await (await api.get(f"~/classes{query}", user)).get_json())["items"]
        return [item["title"] for item in items]

    assert await titles("teacher_a") == ["Algebra"]
    assert await titles("ann") == ["Algebra"]
    assert await titles("guardian_cy") == ["Chemistry"]
    assert await titles("admin_north") == ["Algebra", "Biology"]
    assert await titles("admin", "?school_id=south") == ["Chemistry"]


async def test_the_roster_holds_who_is_enrolled_on_the_day(api: Served) -> None:
    today = await (await api.get("~/classes/algebra/roster", "teacher_a")).get_json()
    assert [student["id"] for student in today["students"]] == ["ann"]
    assert [teacher["id"] for teacher in today["teachers"]] == ["teacher_a"]
    assert today["day"] == TODAY.isoformat()
    before = await (await api.get("~/classes/algebra/roster?day=2020-01-01", "teacher_a")).get_json()
    assert [student["id"] for student in before["students"]] == ["ann", "dan"]
    assert (await api.get("~/classes/algebra/roster", "ann")).status_code == 403


async def test_a_student_is_enrolled_and_taken_out_again(api: Served) -> None:
    put = await api.call("PUT", "~/classes/chemistry/enrollments/cy", by="admin", json={})
    assert put.status_code == 200
    assert (await put.get_json())["role"] == "student"
    joined = await api.call("PUT", "~/classes/biology/enrollments/ann", by="admin_north", json={})
    assert joined.status_code == 200
    left = await api.call("DELETE", "~/classes/biology/enrollments/ann", by="admin_north")
    assert left.status_code == 204
    again = await api.call("DELETE", "~/classes/biology/enrollments/ann", by="admin_north")
    assert again.status_code == 404
    roster = await (await api.get("~/classes/biology/roster", "teacher_b")).get_json()
    assert "ann" not in {student["id"] for student in roster["students"]}


async def test_nobody_is_drawn_in_from_another_school(api: Served) -> None:
    stolen = await api.call("PUT", "~/classes/algebra/enrollments/cy", by="admin_north", json={})
    assert stolen.status_code == 404


async def test_a_check_in_method_that_nobody_serves_is_refused(api: Served) -> None:
    answer = await api.post("~/classes", "admin", {"title": "Latin", "school_id": "north", "methods": ["palmistry"]})
    assert answer.status_code == 422
    assert "palmistry" in (await answer.get_json())["detail"]
