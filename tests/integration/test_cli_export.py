"""The way out: what is exported can be taken in again, by any OneRoster consumer and by ours."""

from __future__ import annotations

import csv
import io
import stat
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from homeroom.export import export
from homeroom.roster.people import grant_to_guardian
from homeroom.store import Store, StoreError, Transaction, new_id
from homeroom.store import models as m
from homeroom.store.cipher import Cipher
from homeroom.store.migrate import upgrade
from homeroom.sync import run
from homeroom.testing.district import write_bundle
from homeroom_oneroster.connector import Connector

STUDENTS = 30


async def load(store: Store, source: Path) -> Any:
    return await run(store, "oneroster", Connector(source), full=True)


@pytest.fixture
async def filled(store: Store, tmp_path: Path) -> Store:
    """A district from a bundle, with some attendance."""
    write_bundle(tmp_path / "bundle", students=STUDENTS)
    assert (await load(store, tmp_path / "bundle")).status == "done"
    await store.write(attendance)
    return store


def attendance(tx: Transaction) -> None:
    seat = tx.one(m.Enrollment.select().where(m.Enrollment.role == "student").order_by(m.Enrollment.id))
    assert seat is not None
    group = tx.get(m.Class, seat.class_id)
    assert group is not None
    day = date(2026, 11, 23)
    where = {"session_id": "session", "class_id": group.id, "school_day": day}
    tx.insert(
        m.ClassSession, id="session", class_id=group.id, school_id=group.school_id, school_day=day,
        starts_at=tx.now, late_after_minutes=5,
    )  # fmt: skip
    note = tx.seal_for(seat.user_id, 'came with a note, "signed"')
    tx.insert(
        m.AttendanceRecord, id="record", **where, school_id=group.school_id, student_id=seat.user_id, status="excused",
        origin="teacher", recorded_at=tx.now, valid_from=tx.now, version=2, note=note,
    )  # fmt: skip
    tx.insert(
        m.AttendanceVersion, record_id="record", version=1, **where, student_id=seat.user_id, status="absent",
        origin="close", valid_from=tx.now, valid_to=tx.now,
    )  # fmt: skip
    tx.insert(
        m.AttendanceCode, org_id=group.school_id, code="DR", title="Doctor", status="excused",
        edfi_category="Excused Absence",
    )  # fmt: skip
    tx.insert(
        m.AbsenceReport, id=new_id(), student_id=seat.user_id, first_day=day, last_day=day, code="DR",
        reason=tx.seal_for(seat.user_id, "dentist"), reported_by=seat.user_id, reported_at=tx.now,
    )  # fmt: skip


def read(folder: Path) -> dict[str, list[dict[str, str]]]:
    texts = {path.name: path.read_bytes().decode() for path in folder.iterdir()}
    return {name: list(csv.DictReader(io.StringIO(text, newline=""))) for name, text in texts.items()}


def people(tables: dict[str, list[dict[str, str]]]) -> dict[str, list[tuple[str, ...]]]:
    """The roster part, in an order that does not depend on our ids."""
    names = ("orgs", "academicSessions", "courses", "classes", "users", "roles", "demographics", "enrollments")
    return {name: sorted(tuple(row.values()) for row in tables[f"{name}.csv"]) for name in names}


async def test_an_export_that_is_loaded_and_exported_again_is_the_same(
    filled: Store, tmp_path: Path, cipher: Cipher
) -> None:
    rows = export(filled.url, cipher, tmp_path / "first")
    assert rows["users.csv"] > STUDENTS
    assert rows["enrollments.csv"] > STUDENTS
    other_url = f"sqlite:///{tmp_path / 'other.db'}"
    upgrade(other_url)
    with Store(other_url, cipher=cipher) as other:
        result = await load(other, tmp_path / "first")
        assert (result.status, result.dead_letters) == ("done", 0)
        export(other.url, cipher, tmp_path / "second")
    first, second = people(read(tmp_path / "first")), people(read(tmp_path / "second"))
    for name, lines in first.items():
        assert second[name] == lines, name


async def test_an_export_loaded_into_its_own_district_changes_nothing(
    filled: Store, tmp_path: Path, cipher: Cipher
) -> None:
    export(filled.url, cipher, tmp_path / "out.zip")
    result = await load(filled, tmp_path / "out.zip")
    assert (result.status, result.added, result.changed, result.ended) == ("done", 0, 0, 0)


KEPT_OUT: tuple[dict[str, Any], ...] = ({"blocked": True}, {"data_access": False}, {"ends_on": date(2026, 1, 1)})


@pytest.mark.parametrize("kept_out", KEPT_OUT, ids=lambda one: next(iter(one)))
async def test_a_guardian_who_may_not_see_a_students_records_is_not_named_and_stays_kept_out(
    filled: Store, tmp_path: Path, cipher: Cipher, kept_out: dict[str, Any]
) -> None:
    link = await filled.read(lambda c: c.one(m.Guardianship.select()))
    assert link is not None
    names = await filled.read(
        lambda c: [c.get(m.User, one).sourced_id for one in (link.student_id, link.guardian_id)]  # type: ignore[union-attr]
    )

    def agents(folder: Path) -> list[str]:
        (line,) = [row for row in read(folder)["users.csv"] if row["sourcedId"] == names[0]]
        return line["agentSourcedIds"].split(",")

    export(filled.url, cipher, tmp_path / "before")
    assert names[1] in agents(tmp_path / "before")
    await filled.write(lambda tx: grant_to_guardian(tx, link.guardian_id, link.student_id, kept_out))
    export(filled.url, cipher, tmp_path / "after")
    assert names[1] not in agents(tmp_path / "after")

    result = await load(filled, tmp_path / "after")
    assert (result.status, result.added, result.changed, result.ended) == ("done", 0, 0, 0)
    mine = (m.Guardianship.student_id == link.student_id) & (m.Guardianship.guardian_id == link.guardian_id)
    kept = await filled.read(lambda c: c.one(m.Guardianship.select().where(mine)))
    assert kept is not None
    assert (kept.ended, {key: getattr(kept, key) for key in kept_out}) == (False, kept_out)


async def test_attendance_leaves_with_its_history_notes_and_codes(
    filled: Store, tmp_path: Path, cipher: Cipher
) -> None:
    export(filled.url, cipher, tmp_path / "out")
    tables = read(tmp_path / "out")
    (mark,) = tables["attendance.csv"]
    assert (mark["status"], mark["version"], mark["schoolDay"]) == ("excused", "2", "2026-11-23")
    assert mark["note"] == 'came with a note, "signed"'
    assert mark["studentSourcedId"] in {row["sourcedId"] for row in tables["users.csv"]}
    assert mark["classSourcedId"] in {row["sourcedId"] for row in tables["classes.csv"]}
    (earlier,) = tables["attendanceVersions.csv"]
    assert (earlier["status"], earlier["version"]) == ("absent", "1")
    (code,) = tables["attendanceCodes.csv"]
    assert (code["code"], code["edfiCategory"], code["retired"]) == ("DR", "Excused Absence", "false")
    (report,) = tables["absenceReports.csv"]
    assert report["reason"] == "dentist"


async def test_who_has_left_is_kept_and_marked(filled: Store, tmp_path: Path, cipher: Cipher) -> None:
    from homeroom.roster.people import end_person

    seat = await filled.read(lambda c: c.one(m.Enrollment.select().where(m.Enrollment.role == "student")))
    assert seat is not None
    await filled.write(lambda tx: end_person(tx, seat.user_id))
    export(filled.url, cipher, tmp_path / "out")
    tables = read(tmp_path / "out")
    person = await filled.read(lambda c: c.get(m.User, seat.user_id))
    assert person is not None
    (line,) = [row for row in tables["users.csv"] if row["sourcedId"] == person.sourced_id]
    assert line["enabledUser"] == "false"
    assert all(row["endDate"] for row in tables["enrollments.csv"] if row["userSourcedId"] == person.sourced_id)


async def test_an_export_overwrites_nothing_and_is_for_its_owner_alone(
    filled: Store, tmp_path: Path, cipher: Cipher
) -> None:
    seen: list[str] = []
    export(filled.url, cipher, tmp_path / "out.zip", progress=lambda name, _done, _total: seen.append(name))
    assert stat.S_IMODE((tmp_path / "out.zip").stat().st_mode) == 0o600
    with pytest.raises(StoreError, match="exists already"):
        export(filled.url, cipher, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        manifest = dict(csv.reader(io.StringIO(archive.read("manifest.csv").decode())))
    assert manifest["oneroster.version"] == "1.2"
    assert manifest["file.users"] == "bulk"
    assert manifest["file.lineItems"] == "absent"
    export(filled.url, cipher, tmp_path / "folder")
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "folder").iterdir()} == {0o600}


async def test_two_sources_with_the_same_id_stay_two_people(store: Store, tmp_path: Path, cipher: Cipher) -> None:
    def unit(tx: Transaction) -> None:
        for source in ("north", "south"):
            tx.insert(
                m.User, id=new_id(), source=source, sourced_id="1", given_name=source, family_name="X",
                sort_name="x", changed_at=tx.now,
            )  # fmt: skip

    await store.write(unit)
    export(store.url, cipher, tmp_path / "out")
    assert len({row["sourcedId"] for row in read(tmp_path / "out")["users.csv"]}) == 2


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    import structlog

    yield
    structlog.reset_defaults()
