"""Infinite Campus into the real store: a whole district, the change of version, and attendance as files."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from homeroom import OutgoingMark, SisConnector, sync
from homeroom.store import Connection, Store
from homeroom.testing import FakeClock, SampleDistrict, sample_district, services
from homeroom_infinite_campus import InfiniteCampus, InfiniteCampusSettings
from homeroom_infinite_campus.simulator import InfiniteCampusSimulator
from tests.services.scripted_sis import everything

URL = "https://campus.example"


def _connector(simulator: InfiniteCampusSimulator, **more: Any) -> SisConnector:
    settings = InfiniteCampusSettings(**{**simulator.settings(URL), **more})
    given = services("infinite_campus", http=simulator.app, clock=FakeClock(datetime.now(UTC)))
    return InfiniteCampus(settings, given).sis_connector()


async def _load(store: Store, connector: SisConnector, **options: Any) -> sync.RunResult:
    return await sync.run(store, "infinite_campus", connector, **options)


def _people(connection: Connection) -> dict[str, str]:
    """Our id of everybody who has not ended, by the source's."""
    return dict(connection.sql("SELECT sourced_id, id FROM users WHERE NOT ended"))


def _count(district: SampleDistrict) -> int:
    places = len(district.orgs) + len(district.academic_sessions) + len(district.courses) + len(district.classes)
    return places + len(district.users) + len(district.enrollments)


async def test_a_district_comes_in_whole_and_a_second_run_changes_nothing(store: Store) -> None:
    district = sample_district(students=80)
    simulator = InfiniteCampusSimulator(district)

    first = await _load(store, _connector(simulator))
    before = await store.read(everything)
    second = await _load(store, _connector(simulator))

    assert (first.status, first.added, first.dead_letters) == ("done", _count(district), 0)
    assert (second.added, second.changed, second.ended) == (0, 0, 0)
    assert await store.read(everything) == before


async def test_hazard_10_a_change_of_version_without_the_bridge_is_held(sqlite_store: Store) -> None:
    district = sample_district(students=60)
    await _load(sqlite_store, _connector(InfiniteCampusSimulator(district, version="1.1")))
    before = await sqlite_store.read(_people)

    result = await _load(sqlite_store, _connector(InfiniteCampusSimulator(district, version="1.2")))

    assert result.status == "held"
    assert "rekeyed" in {finding.kind for finding in result.findings}
    assert await sqlite_store.read(_people) == before


async def test_hazard_10_with_the_bridge_everybody_keeps_their_row(sqlite_store: Store) -> None:
    district = sample_district(students=60)
    await _load(sqlite_store, _connector(InfiniteCampusSimulator(district, version="1.1")))
    before = await sqlite_store.read(_people)

    result = await _load(sqlite_store, _connector(InfiniteCampusSimulator(district, version="1.2"), ids="legacy"))

    assert (result.status, result.added, result.ended) == ("done", 0, 0)
    assert await sqlite_store.read(_people) == before


async def test_a_student_without_a_portal_account_is_listed_and_ends_nobody(sqlite_store: Store) -> None:
    district = sample_district(students=40)
    hidden = district.people("student")[3].sourced_id
    await _load(sqlite_store, _connector(InfiniteCampusSimulator(district, without_portal=[hidden])))

    letters = await sqlite_store.read(lambda c: sync.dead_letters(c, "infinite_campus"))

    assert {(letter.noun, letter.field, letter.reason) for letter in letters} == {
        ("enrollment", "user", "it names a person who is not known")
    }
    assert len(await sqlite_store.read(_people)) == len(district.users) - 1


async def test_changes_since_the_last_run_are_taken_by_the_servers_own_clock(sqlite_store: Store) -> None:
    simulator = InfiniteCampusSimulator(sample_district(students=40), misbehave={"clock-skew"})
    await _load(sqlite_store, _connector(simulator))
    student = simulator.district.people("student")[0]
    simulator.put(replace(student, grades=("12",)))

    result = await _load(sqlite_store, _connector(simulator), full=False)

    assert (result.status, result.added, result.changed, result.ended) == ("done", 0, 1, 0)


async def test_attendance_leaves_as_a_file_whose_ids_campus_knows(sqlite_store: Store, tmp_path: Path) -> None:
    district = sample_district(students=20)
    connector = _connector(InfiniteCampusSimulator(district), attendance_folder=tmp_path)
    await _load(sqlite_store, connector)
    seat = next(one for one in district.enrollments if one.role == "student")
    mark = OutgoingMark(
        key="infinite_campus:1:1",
        student=seat.user,
        school=seat.school or "",
        class_=seat.class_,
        school_day=date(2026, 9, 1),
        status="absent",
        recorded_at=datetime(2026, 9, 1, 14, tzinfo=UTC),
    )

    for _ in range(2):
        [pushed] = await connector.push([mark])
    rows = _rows(tmp_path)

    assert pushed.error is None
    assert [(row["student"], row["class"], row["status"]) for row in rows] == [(seat.user, seat.class_, "absent")]


def _rows(folder: Path) -> list[dict[str, str]]:
    [path] = folder.glob("infinite_campus-*.csv")
    with path.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))
