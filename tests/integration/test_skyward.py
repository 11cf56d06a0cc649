"""Skyward's two systems into the real store, by each of their ways."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from homeroom import SisConnector, sync
from homeroom.store import Connection, Store
from homeroom.testing import SampleDistrict, Simulator, hurried, sample_district, services
from homeroom_skyward import Skyward, SkywardSettings
from homeroom_skyward.simulator import SkywardQmlativSimulator, SkywardSmsSimulator
from tests.services.scripted_sis import everything

Way = Literal["sms", "sms-oneroster", "qmlativ", "qmlativ-oneroster"]
WAYS: tuple[Way, ...] = ("sms", "sms-oneroster", "qmlativ", "qmlativ-oneroster")


def _simulator(way: Way, district: SampleDistrict, *misbehave: str) -> Simulator:
    roster: Any = "oneroster" if way.endswith("oneroster") else "api"
    made = SkywardSmsSimulator if way.startswith("sms") else SkywardQmlativSimulator
    return made(district, misbehave=misbehave, roster=roster)


def _connector(simulator: Simulator, **more: Any) -> SisConnector:
    settings = SkywardSettings(**{**simulator.settings("https://skyward.example"), "page_size": 25, **more})
    return Skyward(settings, services("skyward", http=simulator.app)).sis_connector()


async def _load(store: Store, simulator: Simulator, **options: Any) -> sync.RunResult:
    return await sync.run(store, "skyward", _connector(simulator), **options)


def _students(connection: Connection) -> int:
    """How many people are students, counted once for each school."""
    return int(connection.sql("SELECT count(*) FROM role_assignments WHERE role = 'student'")[0][0])


def _classes(connection: Connection) -> dict[str, int]:
    """How many students and teachers there are in classes."""
    return dict(connection.sql("SELECT role, count(*) FROM enrollments WHERE NOT ended GROUP BY role"))


@pytest.mark.parametrize("way", WAYS)
async def test_a_district_comes_in_and_a_second_run_changes_nothing(store: Store, way: Way) -> None:
    district = sample_district(students=80)
    simulator = _simulator(way, district)

    first = await _load(store, simulator)
    before = await store.read(everything)
    second = await _load(store, simulator)

    assert (first.status, first.dead_letters) == ("done", 0)
    assert (second.status, second.added, second.changed, second.ended) == ("done", 0, 0, 0)
    assert await store.read(everything) == before
    assert await store.read(_students) == sum(len(user.roles) for user in district.people("student"))
    seats = await store.read(_classes)
    wanted = [sum(one.role == role for one in district.enrollments) for role in ("student", "teacher")]
    assert [seats.get("student", 0), seats.get("teacher", 0)] == ([0, 0] if way == "sms" else wanted)


@pytest.mark.parametrize("kind", ["half", "empty", "repeat-page", "moving-rows", "outage", "truncated"])
@pytest.mark.parametrize("way", WAYS)
def test_hazard_12_a_server_that_gives_less_than_it_has_loses_nobody(sqlite_store: Store, way: Way, kind: str) -> None:
    simulator = _simulator(way, sample_district(students=60))

    async def runs() -> None:
        assert (await _load(sqlite_store, simulator)).status == "done"
        before = await sqlite_store.read(_live)
        simulator.misbehave = {kind}
        result = await _load(sqlite_store, simulator)
        assert await sqlite_store.read(_live) == before
        if (way, kind) == ("sms", "half"):  # nothing in its answers tells: only how many people would end
            assert [finding.found for finding in result.findings] == ["30 of 60 people would end."]
        if kind == "outage":
            assert (result.status, "down for maintenance" in (result.reason or "")) == ("failed", True)

    hurried(runs())


def _live(connection: Connection) -> dict[str, list[str]]:
    tables = ("orgs", "classes", "users", "enrollments")
    return {
        table: sorted(row[0] for row in connection.sql(f"SELECT sourced_id FROM {table} WHERE NOT ended"))  # noqa: S608
        for table in tables
    }


async def test_a_student_who_left_ends_and_one_who_changed_is_changed(sqlite_store: Store) -> None:
    district = sample_district(students=60)
    simulator = _simulator("qmlativ", district)
    await _load(sqlite_store, simulator)
    gone, other = district.people("student")[:2]
    seats = sum(seat.user == gone.sourced_id for seat in district.enrollments)
    district.users.remove(gone)
    district.enrollments[:] = [seat for seat in district.enrollments if seat.user != gone.sourced_id]
    district.users[district.users.index(other)] = replace(other, grades=("12",))

    result = await _load(sqlite_store, simulator)

    assert (result.status, result.added, result.changed) == ("done", 0, 1)
    assert result.ended == 1 + seats


async def test_a_short_run_takes_the_new_enrollments_and_ends_nobody(sqlite_store: Store) -> None:
    district = sample_district(students=60)
    simulator = _simulator("qmlativ", district)
    await _load(sqlite_store, simulator)
    seat = next(one for one in district.enrollments if one.role == "student")
    other = next(one for one in district.classes if one.sourced_id != seat.class_)
    district.enrollments.append(replace(seat, sourced_id="new", class_=other.sourced_id, modified=datetime.now(UTC)))

    result = await _load(sqlite_store, simulator, full=False)

    assert (result.status, result.added, result.changed, result.ended) == ("done", 1, 0, 0)
