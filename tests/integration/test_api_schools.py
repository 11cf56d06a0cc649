"""A school as a whole: its rolls, its records and its roster, for its own office and for nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeroom.store import Transaction
from homeroom.store import models as m
from tests.services import world
from tests.services.served import Served, served

OTHERS = ("teacher_a", "ann", "guardian_ann", "admin_south", "nobody")


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=["accounts", "rotating_code"]) as running:
        yield running


async def told(api: Served, path: str, by: str = "admin_north") -> Any:
    answer = await api.get(path, by)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    return await answer.get_json()


@pytest.mark.parametrize("part", ["rolls", "attendance", "roster"])
@pytest.mark.parametrize("who", OTHERS)
async def test_a_school_is_read_by_its_own_office_alone(api: Served, who: str, part: str) -> None:
    assert (await api.get(f"~/schools/north/{part}", who)).status_code in (403, 404)


async def test_everybody_is_told_the_schools_they_work_at(api: Served) -> None:
    for who, names in {"admin_north": ["north"], "teacher_c": ["south"], "admin": ["north", "south"]}.items():
        found = (await told(api, "~/schools", who))["items"]
        assert [one["id"] for one in found] == names
        assert {(one["today"], one["in_session"]) for one in found} == {(world.TODAY.isoformat(), True)}
    assert (await api.get("~/schools", "guardian_ann")).status_code == 403


async def test_a_roll_is_taken_open_or_not_taken(api: Served) -> None:
    def unit(tx: Transaction) -> None:
        tx.insert(m.Class, id="choir", title="Choir", school_id="north", periods=["1", "2"], changed_at=tx.now)
        tx.insert(m.Class, id="empty", title="Empty", school_id="north", changed_at=tx.now)
        tx.insert(m.Class, id="old", title="Old", school_id="north", archived=True, changed_at=tx.now)
        for name in ("choir", "old"):
            seat = {"user_id": "ann", "class_id": name, "role": "student", "begins_on": None, "ends_on": None}
            tx.insert(m.Enrollment, changed_at=tx.now, **seat)
        tx.insert(
            m.ClassSession,
            id="choir_1",
            class_id="choir",
            school_id="north",
            school_day=world.TODAY,
            period="1",
            starts_at=tx.now,
            late_after_minutes=5,
        )

    await api.district.store.write(unit)
    assert (await api.post("~/sessions/choir_1/close", "admin_north")).status_code == 200
    found = await told(api, "~/schools/north/rolls")
    lines = [(one["title"], one["period"], one["state"], one["students"]) for one in found["items"]]
    assert lines == [
        ("Algebra", None, "taken", 1),  # open, but everybody is marked
        ("Biology", None, "open", 2),
        ("Choir", "1", "taken", 1),
        ("Choir", "2", "not_taken", 1),
    ]
    assert (found["taken"], found["open"], found["not_taken"], found["in_session"]) == (2, 1, 1, True)
    assert found["items"][0]["sessions"][0]["marked"] == 1  # Dan, who is marked too, has left the class
    assert found["items"][0]["teachers"] == [{"id": "teacher_a", "name": "Teacher A"}]
    before = await told(api, f"~/schools/north/rolls?day={world.YESTERDAY}")
    assert {one["state"] for one in before["items"]} == {"not_taken"}


async def test_a_class_whose_term_is_over_has_no_roll_to_take(api: Served) -> None:
    def unit(tx: Transaction) -> None:
        days = {"begins_on": world.YESTERDAY, "ends_on": world.TODAY}
        tx.insert(m.AcademicSession, id="t1", title="T1", kind="term", school_year=2026, changed_at=tx.now, **days)
        tx.insert(m.ClassTerm, class_id="biology", term_id="t1")

    await api.district.store.write(unit)
    assert [one["title"] for one in (await told(api, "~/schools/north/rolls"))["items"]] == ["Algebra"]


async def test_records_come_page_by_page_with_names_and_what_families_were_told(api: Served) -> None:
    marks = {"marks": [{"student_id": "dan", "status": "absent", "note": "Rang \u200fat 8"}]}
    answer = await api.call("PUT", "~/sessions/session_biology/attendance", by="teacher_b", json=marks)
    assert answer.status_code == 200
    pages, path = [], "~/schools/north/attendance?limit=1"
    cursor = ""
    while True:
        page = await told(api, path + cursor)
        pages.append(page["items"])
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert [[one["name"] for one in page] for page in pages] == [
        ["Ann Ann"],
        ["Bob Bob"],
        ["Dan Dan"],
        ["Dan Dan"],
    ]
    found = await told(api, "~/schools/north/attendance?status=absent,tardy")
    [dan] = found["items"]
    assert (dan["note"], dan["class_title"], dan["version"], dan["told"]) == ("Rang \u200fat 8", "Biology", 1, None)
    assert (await told(api, "~/schools/north/attendance?class_id=algebra&status=absent"))["items"] == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("class_id=chemistry", 404),
        ("status=here", 422),
        ("from=2026-02-31", 422),
        ("from=2026-02-03&to=2026-02-01", 422),
        ("from=2020-02-03&to=2026-02-01", 422),
        ("cursor=nonsense", 422),
        ("colour=red", 422),
    ],
)
async def test_what_cannot_be_asked_is_refused(api: Served, query: str, status: int) -> None:
    assert (await api.get(f"~/schools/north/attendance?{query}", "admin_north")).status_code == status


async def test_a_school_has_one_roster(api: Served) -> None:
    found = await told(api, "~/schools/north/roster?limit=2")
    rest = await told(api, f"~/schools/north/roster?limit=2&cursor={found['next']}")
    seats = [(one["class_title"], one["student_id"]) for one in (*found["items"], *rest["items"])]
    assert seats == [("Algebra", "ann"), ("Biology", "bob"), ("Biology", "dan")]
    assert rest["next"] is None
    tomorrow = await told(api, f"~/schools/north/roster?class_id=algebra&day={world.TOMORROW}")
    assert [one["student_id"] for one in tomorrow["items"]] == ["ann", "eve"]


async def test_a_students_classes_are_those_that_the_caller_may_know_of(api: Served) -> None:
    assert [one["id"] for one in (await told(api, "~/students/dan/classes"))["items"]] == ["biology"]
    assert [one["id"] for one in (await told(api, "~/students/dan/classes", "dan"))["items"]] == ["biology"]
    assert (await api.get("~/students/dan/classes", "teacher_a")).status_code == 403  # who taught him until today
    assert (await api.get("~/students/cy/classes", "admin_north")).status_code == 404


async def test_the_office_reaches_guardians_but_not_one_who_is_blocked(api: Served) -> None:
    def unit(tx: Transaction) -> None:
        for who, address in (("guardian_ann", "+15550100199"), ("teacher_parent", "+15550100200")):
            sealed = tx.seal_for(who, address)
            lookup = tx.cipher.lookup("sms", address)
            tx.insert(m.Contact, user_id=who, kind="sms", value=sealed, lookup=lookup)
        tx.run(m.Guardianship.update(blocked=True).where(m.Guardianship.guardian_id == "teacher_parent"))

    await api.district.store.write(unit)
    found = (await told(api, "~/students/ann/guardians/contacts"))["items"]
    assert [(one["user_id"], one["blocked"], one["contacts"]) for one in found] == [
        ("guardian_ann", False, [{"kind": "sms", "value": "+15550100199"}]),
        ("teacher_parent", True, []),
    ]
    for who in ("teacher_a", "guardian_ann", "ann", "admin_south"):
        assert (await api.get("~/students/ann/guardians/contacts", who)).status_code in (403, 404)


async def test_the_history_of_a_record_names_who_made_each_version(api: Served) -> None:
    change = {"status": "excused", "reason": "A note came"}
    answer = await api.call(
        "PATCH", "~/attendance/record_ann", by="admin_north", json=change, headers={"If-Match": '"1"'}
    )
    assert answer.status_code == 200
    found = (await told(api, "~/attendance/record_ann/history"))["items"]
    versions = [(one["status"], one["recorded_by_name"]) for one in found]
    assert versions == [("present", None), ("excused", "Admin North")]
