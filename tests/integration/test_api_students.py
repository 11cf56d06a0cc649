from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.services.served import Served, served

NEW = {"given_name": "Zoë", "family_name": "Ångström", "school_id": "north", "identifier": "n-77"}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url) as running:
        yield running


async def test_a_student_is_made_found_and_read(api: Served) -> None:
    made = await api.post("~/students", "admin", {**NEW, "preferred_given_name": "Zo", "grades": ["09"]})
    assert made.status_code == 201
    zoe = await made.get_json()
    assert zoe["name"] == "Zo Ångström"
    assert zoe["given_name"] == "Zoë"
    for words in ("angstrom", "zo ang", "n-77"):
        found = await (await api.get(f"~/students/search?q={words}", "admin_north")).get_json()
        assert [item["id"] for item in found["items"]] == [zoe["id"]]
    assert (await (await api.get("~/students/search?q=angstrom", "admin_south")).get_json())["items"] == []


async def test_a_number_belongs_to_one_student(api: Served) -> None:
    assert (await api.post("~/students", "admin", NEW)).status_code == 201
    assert (await api.post("~/students", "admin", {**NEW, "given_name": "Other"})).status_code == 409


async def test_legal_names_are_for_the_office_and_the_family(api: Served) -> None:
    for user, sees in (("teacher_a", False), ("admin_north", True), ("ann", True), ("guardian_ann", True)):
        ann = await (await api.get("~/students/ann", user)).get_json()
        assert ann["name"], user
        assert (ann["family_name"] is not None) is sees, user


async def test_a_teacher_who_is_a_parent_elsewhere_sees_no_legal_names_in_class(api: Served) -> None:
    bob = await (await api.get("~/students/bob", "teacher_parent")).get_json()
    assert bob["given_name"] is None
    own = await (await api.get("~/students/ann", "teacher_parent")).get_json()
    assert own["given_name"] is not None


async def test_a_student_is_changed_only_as_it_was_read(api: Served) -> None:
    read = await api.get("~/students/ann", "admin")
    tag = {"If-Match": read.headers["ETag"]}
    changed = await api.call("PATCH", "~/students/ann", by="admin", json={"preferred_given_name": "Annie"}, headers=tag)
    assert (await changed.get_json())["name"].startswith("Annie")
    assert (
        await api.call("PATCH", "~/students/ann", by="admin", json={"grades": ["10"]}, headers=tag)
    ).status_code == 412
    assert (await api.call("PATCH", "~/students/ann", by="admin", json={"grades": ["10"]})).status_code == 428


async def test_null_empties_what_may_be_empty_and_nothing_else(api: Served) -> None:
    tag = {"If-Match": "*"}
    body = {"preferred_given_name": "Annie", "family_name": None}
    await api.call("PATCH", "~/students/ann", by="admin", json=body, headers=tag)
    emptied = await api.call("PATCH", "~/students/ann", by="admin", json={"preferred_given_name": None}, headers=tag)
    ann = await emptied.get_json()
    assert ann["family_name"]
    assert ann["name"] == f"{ann['given_name']} {ann['family_name']}"


async def test_a_teacher_is_no_student(api: Served) -> None:
    assert (await api.get("~/students/teacher_a", "admin")).status_code == 404
    headers = {"If-Match": "*"}
    assert (await api.call("PATCH", "~/students/teacher_a", by="admin", json={}, headers=headers)).status_code == 404
