"""One's own children by REST, and what plugins ask in process for whoever is at a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest

from homeroom.services import ApiAnswer
from homeroom.store import Transaction
from homeroom.store import models as m
from tests.services.front import CHEAP
from tests.services.served import ELSEWHERE, HERE, Served, served


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=("accounts",), sections={"accounts": CHEAP}) as running:
        yield running


async def _children(api: Served, who: str) -> list[str]:
    answer = await api.get("~/students/children", who)
    assert answer.status_code == 200
    return [one["id"] for one in (await answer.get_json())["items"]]


@pytest.mark.parametrize(
    ("who", "children"),
    [
        ("guardian_ann", ["ann"]),
        ("guardian_cy", ["cy"]),
        ("guardian_lost", []),
        ("teacher_parent", ["ann"]),
        ("teacher_b", []),
        ("ann", []),
        ("admin", []),
    ],
)
async def test_a_guardian_has_a_list_of_the_own_children_and_nobody_elses(
    api: Served, who: str, children: list[str]
) -> None:
    assert await _children(api, who) == children


async def test_a_child_whose_guardian_is_blocked_is_not_in_the_list(api: Served) -> None:
    await api.district.store.write(
        lambda tx: tx.run(m.Guardianship.update(blocked=True).where(m.Guardianship.guardian_id == "guardian_ann"))
    )
    await api.district.tail.catch_up()
    assert await _children(api, "guardian_ann") == []


async def test_a_teacher_who_is_a_parent_sees_nothing_of_a_students_other_class_where_the_own_child_sits(
    api: Served,
) -> None:
    """Bob, of the biology that this parent of Ann teaches, also sits in Ann's algebra."""
    await api.district.store.write(_bob_joins_algebra)

    async def seen(who: str) -> tuple[list[str], int]:
        classes = await (await api.get("~/students/bob/classes", who)).get_json()
        figures = await (await api.get("~/attendance/stats?student_id=bob", who)).get_json()
        return [one["id"] for one in classes["items"]], figures["present"] + figures["absent"]

    assert await seen("teacher_parent") == await seen("teacher_b") == (["biology"], 1)
    assert await seen("teacher_a") == (["algebra"], 1)
    assert await seen("admin_north") == await seen("admin") == await seen("bob") == (["algebra", "biology"], 2)
    own = await (await api.get("~/students/ann/classes", "teacher_parent")).get_json()
    assert [one["id"] for one in own["items"]] == ["algebra"]


def _bob_joins_algebra(tx: Transaction) -> None:
    tx.insert(m.Enrollment, user_id="bob", class_id="algebra", role="student", changed_at=tx.now)
    record = tx.get(m.AttendanceRecord, "record_ann")
    assert record is not None
    other = {**record.__data__, "id": "record_bob_algebra", "student_id": "bob", "status": "absent"}
    tx.insert(m.AttendanceRecord, **other)


async def test_being_inside_gives_no_rights_of_the_machine(api: Served) -> None:
    """What a program on this machine may read without signing in, a plugin may not read for somebody here."""
    inside = api.district.api
    assert inside is not None
    assert (await api.get("/health/detailed", peer=HERE)).status_code == 200
    for client in (None, HERE, "::1"):
        assert (await inside("GET", "/health/detailed", client=client)).status == 401


async def test_wrong_passwords_through_pages_count_by_who_gives_them(api: Served) -> None:
    """Else one who guesses would keep everybody from signing in by the pages."""
    inside = api.district.api
    assert inside is not None

    async def guess(client: str) -> ApiAnswer:
        body = {"email": "ann@example.org", "password": "a guess"}
        return await inside("POST", "/api/v1/auth/login", json=body, client=client)

    for _ in range(20):
        last = await guess(ELSEWHERE)
    assert last.status == 429
    assert orjson.loads(last.body)["detail"]
    assert (await guess("198.51.100.7")).status == 401
