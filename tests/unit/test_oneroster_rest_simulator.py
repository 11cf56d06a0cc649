"""The simulated OneRoster server: its paths, filters, fields, pages and errors, as the standard has them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import httpx2
import pytest

from homeroom import AcademicSession
from homeroom.testing import sample_district
from homeroom_oneroster.simulator import OneRosterSimulator

BASE = "https://sis.example/ims/oneroster/rostering/v1p2"


@pytest.fixture
def simulator() -> OneRosterSimulator:
    return OneRosterSimulator(sample_district(students=60), auth="bearer")


@pytest.fixture
async def client(simulator: OneRosterSimulator) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=simulator.app)  # type: ignore[arg-type] # Quart's ASGI types are its own
    headers = {"Authorization": f"Bearer {simulator.gate.fixed_token}"}
    async with httpx2.AsyncClient(transport=transport, headers=headers) as opened:
        yield opened


async def rows(client: httpx2.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    response = await client.get(f"{BASE}{path}", params={"limit": 10_000, **params})
    assert response.status_code == 200, response.text
    [found] = response.json().values()
    assert isinstance(found, list)
    return found


async def ids(client: httpx2.AsyncClient, path: str, **params: Any) -> set[str]:
    return {row["sourcedId"] for row in await rows(client, path, **params)}


async def minor(client: httpx2.AsyncClient, path: str, **params: Any) -> tuple[int, str]:
    response = await client.get(f"{BASE}{path}", params=params)
    [field] = response.json()["imsx_CodeMinor"]["imsx_codeMinorField"]
    return response.status_code, field["imsx_codeMinorFieldValue"]


async def test_each_collection_holds_its_kind(simulator: OneRosterSimulator, client: httpx2.AsyncClient) -> None:
    district = simulator.district

    assert len(await ids(client, "/users")) == len(district.users)
    assert len(await ids(client, "/students")) == len(district.people("student")) == 60
    assert len(await ids(client, "/teachers")) == len(district.people("teacher"))
    assert await ids(client, "/schools") == {org.sourced_id for org in district.schools}
    assert await ids(client, "/terms") == {"term-1", "term-2"}
    assert len(await ids(client, "/demographics")) == 60
    assert await ids(client, "/gradingPeriods") == set()


async def test_nested_collections_are_those_of_what_they_are_nested_in(
    simulator: OneRosterSimulator, client: httpx2.AsyncClient
) -> None:
    district = simulator.district
    one = district.classes[0]
    teacher = next(item.user for item in district.enrollments if item.class_ == one.sourced_id)
    members = {item.user for item in district.enrollments if item.class_ == one.sourced_id and item.role == "student"}

    assert await ids(client, f"/classes/{one.sourced_id}/students") == members
    assert await ids(client, f"/schools/{one.school}/classes/{one.sourced_id}/students") == members
    assert teacher in await ids(client, f"/classes/{one.sourced_id}/teachers")
    assert one.sourced_id in await ids(client, f"/teachers/{teacher}/classes")
    assert one.sourced_id in await ids(client, f"/schools/{one.school}/classes")
    assert one.sourced_id in await ids(client, f"/courses/{one.course}/classes")
    assert one.sourced_id in await ids(client, "/terms/term-1/classes")
    assert one.course in await ids(client, f"/schools/{one.school}/courses")
    assert await ids(client, f"/schools/{one.school}/terms") == {"term-1", "term-2"}
    assert members <= await ids(client, f"/schools/{one.school}/students")
    assert teacher in await ids(client, f"/schools/{one.school}/teachers")
    per_class = await ids(client, f"/schools/{one.school}/classes/{one.sourced_id}/enrollments")
    assert per_class < await ids(client, f"/schools/{one.school}/enrollments")


async def test_grading_periods_are_those_of_their_term(
    simulator: OneRosterSimulator, client: httpx2.AsyncClient
) -> None:
    simulator.put(
        AcademicSession(
            sourced_id="g1",
            title="Quarter 1",
            kind="gradingPeriod",
            begins_on=date(2026, 8, 17),
            ends_on=date(2026, 10, 17),
            parent="term-1",
        )
    )

    assert await ids(client, "/terms/term-1/gradingPeriods") == {"g1"}
    assert await ids(client, "/terms/term-2/gradingPeriods") == set()


async def test_a_single_record_is_wrapped_in_the_singular(client: httpx2.AsyncClient) -> None:
    response = await client.get(f"{BASE}/schools/school-1")

    assert response.json()["org"]["sourcedId"] == "school-1"
    assert response.json()["org"]["parent"]["href"] == f"{BASE}/orgs/district"


@pytest.mark.parametrize(
    "path", ["/nothing", "/orgs/none", "/classes/none/students", "/schools/district/classes/none/students", "/orgs/a/b"]
)
async def test_what_does_not_exist_is_an_unknown_object(client: httpx2.AsyncClient, path: str) -> None:
    assert await minor(client, path) == (404, "unknownobject")


async def test_1_1_has_one_role_and_its_orgs(client: httpx2.AsyncClient) -> None:
    base = "https://sis.example/ims/oneroster/v1p1"
    [row] = (await client.get(f"{base}/users/school-1-s00001")).json().values()

    assert (row["role"], [org["sourcedId"] for org in row["orgs"]]) == ("student", ["school-1"])
    assert "roles" not in row


async def test_filters_compare_and_join(simulator: OneRosterSimulator, client: httpx2.AsyncClient) -> None:
    grade = simulator.district.people("student")[0].grades[0]

    assert await ids(client, "/users", filter="email='school-1-s00001@example.org'") == {"school-1-s00001"}
    assert len(await ids(client, "/students", filter="sourcedId~'s0000'")) == 18
    assert await ids(client, "/orgs", filter="type='school' AND identifier>='1001'") == {"school-2"}
    assert await ids(client, "/orgs", filter="type='district' OR sourcedId='school-1'") == {"district", "school-1"}
    assert await ids(client, "/orgs", filter="type!='school'") == {"district"}
    assert "school-1-s00001" in await ids(client, "/students", filter=f"grades='{grade}'")
    assert len(await ids(client, "/students", filter="roles.org.sourcedId='school-2'")) >= 30
    assert await minor(client, "/orgs", filter="type is school") == (400, "invalid_filter_field")


async def test_changes_after_a_moment_are_those_that_were_made_since(
    simulator: OneRosterSimulator, client: httpx2.AsyncClient
) -> None:
    changed = simulator.district.users[3]
    before = simulator.now() - timedelta(seconds=5)
    simulator.put(replace(changed, given_name="New"))
    simulator.remove("enrollment", simulator.district.enrollments[0].sourced_id)
    simulator.remove("course", simulator.district.courses[0].sourced_id, announce=False)
    since = f"dateLastModified>'{before:%Y-%m-%dT%H:%M:%S}.000Z'"

    assert await ids(client, "/users", filter=since) == {changed.sourced_id}
    [gone] = await rows(client, "/enrollments", filter=since)
    assert gone["status"] == "tobedeleted"
    assert await ids(client, "/courses", filter=since) == set()
    assert simulator.district.courses[0].sourced_id in await ids(client, "/courses")


async def test_fields_are_chosen_and_unknown_ones_refused(client: httpx2.AsyncClient) -> None:
    assert (await rows(client, "/orgs", fields="sourcedId,name"))[0].keys() == {"sourcedId", "name"}
    assert await minor(client, "/orgs", fields="colour") == (400, "invalid_selection_field")


async def test_pages_are_linked_counted_and_sorted(client: httpx2.AsyncClient) -> None:
    first = await client.get(f"{BASE}/students", params={"limit": 25, "sort": "sourcedId", "orderBy": "desc"})
    second = await client.get(first.links["next"]["url"])
    last = await client.get(first.links["last"]["url"])

    assert first.headers["X-Total-Count"] == "60"
    shown = [row["sourcedId"] for page in (first, second, last) for row in page.json()["users"]]
    assert shown == sorted(shown, reverse=True)
    assert len(set(shown)) == 60
    assert "prev" in second.links
    assert "next" not in last.links


async def test_a_limit_is_clamped_without_a_word_and_a_wrong_one_refused(
    simulator: OneRosterSimulator, client: httpx2.AsyncClient
) -> None:
    simulator.max_limit = 7

    assert len(await rows(client, "/students")) == 7
    assert await minor(client, "/students", limit="many") == (422, "invaliddata")
    assert await minor(client, "/students", limit="0") == (422, "invaliddata")


async def test_nothing_can_be_written(client: httpx2.AsyncClient) -> None:
    assert (await client.post(f"{BASE}/students", json={})).status_code == 405
