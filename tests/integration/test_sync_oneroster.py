from __future__ import annotations

import csv
import gc
import random
import shutil
import sqlite3
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom import sync
from homeroom.roster import calendar, people
from homeroom.store import Store
from homeroom.store import models as m
from homeroom.store.cipher import Cipher
from homeroom.store.database import sqlite_path
from homeroom.sync import DiffRow, RunResult, apply, staging
from homeroom.testing.district import DistrictSummary, write_bundle
from homeroom_oneroster import Connector, connector, users
from tests.services.scripted_sis import everything

Edit = Callable[[dict[str, str]], dict[str, str] | None]


async def _load(store: Store, source: Path, **options: Any) -> RunResult:
    return await sync.run(store, "oneroster", Connector(source), **options)


def _counts(result: RunResult) -> tuple[int, int, int, int, int]:
    return result.added, result.changed, result.ended, result.unchanged, result.dead_letters


def _rewrite(bundle: Path, file: str, edit: Edit) -> None:
    """Pass every row of a file through `edit`; None drops it."""
    path = bundle / f"{file}.csv"
    with path.open(newline="", encoding="utf-8") as opened:
        reader = csv.DictReader(opened)
        names = list(reader.fieldnames or ())
        rows = [new for row in reader if (new := edit(row)) is not None]
    with path.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, names)
        writer.writeheader()
        writer.writerows(rows)


def _delta(bundle: Path, target: Path, **edits: Edit) -> Path:
    """A delta bundle that holds the rows of `bundle` which the edits give; every other file is absent."""
    shutil.copytree(bundle, target)
    with (target / "manifest.csv").open(newline="") as opened:
        manifest = dict(csv.reader(opened))
    for key in manifest:
        if key.startswith("file."):
            manifest[key] = "delta" if key.removeprefix("file.") in edits else "absent"
    with (target / "manifest.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows(manifest.items())
    for file, edit in edits.items():
        _rewrite(target, file, edit)
    return target


def _total(summary: DistrictSummary) -> int:
    """All records of a bundle: with the district, the year and two terms."""
    return summary.users + summary.courses + summary.classes + summary.enrollments + summary.schools + 4


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_a_bulk_bundle_loads_whole_and_a_second_time_changes_nothing(
    store: Store, tmp_path: Path, *, version: Any, zipped: bool
) -> None:
    summary = write_bundle(tmp_path / "b", students=80, version=version, zipped=zipped)

    first = await _load(store, tmp_path / "b")
    before = await store.read(everything)
    second = await _load(store, tmp_path / "b")

    assert _counts(first) == (_total(summary), 0, 0, 0, 0)
    assert _counts(second) == (0, 0, 0, _total(summary), 0)
    assert await store.read(everything) == before
    [[students]] = await store.read(
        lambda c: c.sql("SELECT count(DISTINCT user_id) FROM role_assignments WHERE role = 'student'")
    )
    assert students == summary.students


async def test_both_versions_of_one_district_give_the_same_people_and_places(
    sqlite_store: Store, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "old", students=60, version="1.1")
    write_bundle(tmp_path / "new", students=60, version="1.2")
    await _load(sqlite_store, tmp_path / "old")
    query = 'SELECT user_id, role, org_id, "primary" FROM role_assignments'
    before = sorted(await sqlite_store.read(lambda c: c.sql(query)))

    result = await _load(sqlite_store, tmp_path / "new")

    # 1.2 also tells preferred names, and calls a school's principal so
    assert (result.added, result.ended) == (0, 0)
    assert sorted(await sqlite_store.read(lambda c: c.sql(query))) == before


async def test_a_folder_and_its_zip_are_the_same_bundle(sqlite_store: Store, tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", students=30)
    write_bundle(tmp_path / "b.zip", students=30, zipped=True)
    await _load(sqlite_store, tmp_path / "b")

    assert _counts(await _load(sqlite_store, tmp_path / "b.zip"))[:3] == (0, 0, 0)


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_a_delta_changes_what_it_names_and_nothing_else(
    store: Store, tmp_path: Path, *, version: Any, zipped: bool
) -> None:
    summary = write_bundle(tmp_path / "b", students=40, version=version)
    await _load(store, tmp_path / "b")
    student, other = "school-1-s00001", "school-1-s00002"

    def user(row: dict[str, str]) -> dict[str, str] | None:
        if row["sourcedId"] == student:
            return {**row, "status": "active", "grades": "05"}
        return {**row, "status": "tobedeleted"} if row["sourcedId"] == other else None

    def enrollment(row: dict[str, str]) -> dict[str, str] | None:
        return {**row, "status": "tobedeleted"} if row["userSourcedId"] == other else None

    source = _delta(tmp_path / "b", tmp_path / "d", users=user, enrollments=enrollment)
    if zipped:
        shutil.make_archive(str(tmp_path / "d"), "zip", source)
        source = tmp_path / "d.zip"
    result = await _load(store, source)

    [[places]] = await store.read(lambda c: c.sql("SELECT count(*) FROM enrollments WHERE ended"))
    assert (result.status, result.added, result.changed, result.ended) == ("done", 0, 1, 1 + places)
    assert places == 6
    changed = await store.read(lambda c: c.one(m.User.select().where(m.User.sourced_id == student)))
    assert changed is not None
    assert changed.grades == ["05"]
    assert [role.role for role in await store.read(lambda c: people.roles_of(c, changed.id))] == ["student"]
    assert len(await store.read(lambda c: people.guardians_of(c, changed.id))) >= 1
    [[live]] = await store.read(lambda c: c.sql("SELECT count(*) FROM users WHERE NOT ended"))
    assert live == summary.users - 1
    assert _counts(await _load(store, source))[:3] == (0, 0, 0)


async def test_a_transfer_in_a_delta_of_roles_alone_moves_the_student(store: Store, tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", students=60)
    await _load(store, tmp_path / "b")
    moved: list[dict[str, str]] = []

    def role(row: dict[str, str]) -> dict[str, str] | None:
        if row["userSourcedId"] != "school-1-s00001":
            return None
        moved.append(row)
        return {**row, "status": "active", "orgSourcedId": "school-2"}

    source = _delta(tmp_path / "b", tmp_path / "d", roles=role)
    with (source / "roles.csv").open("a", newline="") as opened:
        csv.writer(opened).writerow({**moved[0], "status": "tobedeleted"}.values())

    result = await _load(store, source)

    assert _counts(result) == (0, 1, 0, 0, 0)
    student = await store.read(lambda c: c.one(m.User.select().where(m.User.sourced_id == "school-1-s00001")))
    school = await store.read(lambda c: c.one(m.Org.select().where(m.Org.sourced_id == "school-2")))
    assert student is not None
    assert school is not None
    assert [role.org_id for role in await store.read(lambda c: people.roles_of(c, student.id))] == [school.id]


async def test_a_student_who_leaves_and_returns_keeps_id_and_history(store: Store, tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", students=30)
    shutil.copytree(tmp_path / "b", tmp_path / "without")
    gone = "school-1-s00003"
    for file, column in (
        ("users", "sourcedId"),
        ("roles", "userSourcedId"),
        ("demographics", "sourcedId"),
        ("enrollments", "userSourcedId"),
    ):
        _rewrite(tmp_path / "without", file, lambda row, c=column: None if row[c] == gone else row)  # type: ignore[misc]
    await _load(store, tmp_path / "b")
    before = await store.read(lambda c: c.one(m.User.select().where(m.User.sourced_id == gone)))

    left = await _load(store, tmp_path / "without")
    returned = await _load(store, tmp_path / "b")

    after = await store.read(lambda c: c.one(m.User.select().where(m.User.sourced_id == gone)))
    assert before is not None
    assert after is not None
    assert (left.ended, returned.changed, returned.added) == (7, 7, 0)
    assert (after.id, after.ended) == (before.id, False)


async def test_a_dry_run_of_a_bundle_prints_each_difference_and_writes_none(store: Store, tmp_path: Path) -> None:
    summary = write_bundle(tmp_path / "b", students=20)
    rows: list[DiffRow] = []

    result = await _load(store, tmp_path / "b", dry_run=True, on_diff=rows.append)

    assert (result.added, len(rows)) == (_total(summary), _total(summary))
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM users")) == [(0,)]
    kept = await store.read(lambda c: c.sql("SELECT DISTINCT run_id FROM staged_rows"))
    assert kept == [(result.run_id,)]  # to be approved


async def test_a_wrong_header_fails_the_run_with_one_clear_reason_and_changes_nothing(
    store: Store, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "b", students=10)
    await _load(store, tmp_path / "b")
    before = await store.read(everything)
    text = (tmp_path / "b" / "users.csv").read_text().replace("familyName", "lastName", 1)
    (tmp_path / "b" / "users.csv").write_text(text)

    result = await _load(store, tmp_path / "b")

    assert result.status == "failed"
    assert result.reason == (
        "users.csv has a wrong header: familyName missing in its first line. "
        "See what to put right with: homeroom sync check oneroster"
    )
    assert await store.read(everything) == before


async def test_a_torn_zip_fails_the_run_and_nothing_that_it_lacks_is_ended(store: Store, tmp_path: Path) -> None:
    write_bundle(tmp_path / "b.zip", students=30, zipped=True)
    await _load(store, tmp_path / "b.zip")
    before = await store.read(everything)
    whole = (tmp_path / "b.zip").read_bytes()
    (tmp_path / "torn.zip").write_bytes(whole[: len(whole) // 2])

    result = await _load(store, tmp_path / "torn.zip")

    assert result.status == "failed"
    assert (result.reason or "").startswith("torn.zip is damaged or was cut off; send it again. ")
    assert await store.read(everything) == before


async def test_a_zip_whose_content_is_damaged_fails_in_the_middle_and_changes_nothing(
    store: Store, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "b", students=60)
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_STORED) as archive:
        for file in sorted((tmp_path / "b").iterdir()):
            archive.write(file, file.name)
    whole = bytearray((tmp_path / "b.zip").read_bytes())
    position = whole.index(b"school-2-s00001@example.org")
    whole[position] ^= 1
    (tmp_path / "b.zip").write_bytes(whole)

    result = await _load(store, tmp_path / "b.zip")

    assert result.status == "failed"
    assert (result.reason or "").startswith("users.csv is damaged or was cut off; send it again. ")
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM users")) == [(0,)]


async def test_bad_rows_are_listed_by_file_and_line_without_their_values(store: Store, tmp_path: Path) -> None:
    summary = write_bundle(tmp_path / "b", students=20)
    with (tmp_path / "b" / "enrollments.csv").open("a", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["bad-1", "", "", "no-class", "school-1", "school-1-s00001", "student", "", "", ""])
        writer.writerow(["bad-2", "", "", "no-class", "school-1", "Ruiz, Ana", "wizard", "", "", ""])
    lines = summary.enrollments + 1

    result = await _load(store, tmp_path / "b")

    assert (result.added, result.dead_letters) == (_total(summary), 2)
    letters = await store.read(lambda c: sync.dead_letters(c, "oneroster"))
    assert [(one.location, one.field, one.reason) for one in letters] == [
        (f"enrollments.csv:{lines + 2}", "role", "this is no role of OneRoster"),
        (f"enrollments.csv:{lines + 1}", "class_", "it names a class that is not known"),
    ]


async def test_a_run_cut_off_in_the_middle_of_a_file_is_resumed(sqlite_store: Store, tmp_path: Path) -> None:
    summary = write_bundle(tmp_path / "b", students=400)

    class _Killed(BaseException):
        pass

    def die(progress: sync.Progress) -> None:
        if progress.noun == "enrollment" and progress.done >= 1000:
            raise _Killed

    with pytest.raises(_Killed):
        await _load(sqlite_store, tmp_path / "b", progress=die)
    [run] = await sqlite_store.read(sync.runs)
    told: list[tuple[str, str, int]] = []

    result = await sync.resume(
        sqlite_store,
        run.run_id,
        Connector(tmp_path / "b"),
        progress=lambda p: told.append((p.phase, p.noun, p.done)),
    )

    assert (result.status, result.added) == ("done", _total(summary))
    assert told[0] == ("pulling", "enrollment", 2000)


async def test_the_loaded_terms_make_school_days(sqlite_store: Store, tmp_path: Path) -> None:
    from datetime import date

    write_bundle(tmp_path / "b", students=10, starts_on=date(2026, 8, 17))
    await _load(sqlite_store, tmp_path / "b")
    school = await sqlite_store.read(lambda c: c.value(m.Org.select(m.Org.id).where(m.Org.kind == "school")))

    days = await sqlite_store.read(lambda c: calendar.school_days(c, str(school), date(2026, 8, 10), date(2026, 8, 24)))

    assert days == [date(2026, 8, day) for day in range(17, 22)]


async def test_co_teachers_guests_of_two_schools_and_patchwork_families_arrive(
    sqlite_store: Store, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "b", students=1200)
    await _load(sqlite_store, tmp_path / "b")

    def count(text: str) -> int:
        return sqlite_store.read_now(lambda c: len(c.sql(text)))

    teachers = "SELECT class_id FROM enrollments WHERE role = 'teacher' GROUP BY class_id HAVING count(*) = 2"
    guests = "SELECT user_id FROM role_assignments WHERE role = 'student' GROUP BY user_id HAVING count(*) = 2"
    patchwork = """SELECT g.guardian_id FROM guardianships g JOIN guardianships h ON h.guardian_id = g.guardian_id
        AND h.student_id > g.student_id
        WHERE EXISTS (SELECT 1 FROM guardianships o WHERE o.student_id = g.student_id AND o.guardian_id NOT IN
            (SELECT guardian_id FROM guardianships WHERE student_id = h.student_id))"""
    assert count(teachers) > 5
    assert count(guests) > 2
    assert count(patchwork) > 5


def _shapes(source: Path) -> dict[str, list[dict[str, str]]]:
    found = {}
    for path in source.glob("*.csv"):
        with path.open(newline="") as opened:
            found[path.stem] = list(csv.DictReader(opened))
    return found


@pytest.fixture(scope="module")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    write_bundle(folder, students=12)
    return folder


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.integers(0, 2**32))
async def test_from_any_state_a_full_run_ends_in_what_the_bundle_says(
    sqlite_store: Store, small_bundle: Path, first: int, second: int
) -> None:
    """Two random mutilations one after the other, then the whole bundle: the roster is as if loaded at once."""
    import tempfile

    for seed in (first, second, None):
        with tempfile.TemporaryDirectory() as folder:
            source = shutil.copytree(small_bundle, Path(folder) / "b")
            if seed is not None:
                _mutilate(source, random.Random(seed))
            result = await _load(sqlite_store, source)
            if result.status == "held":
                result = await sync.release(sqlite_store, result.run_id, Connector(source), by="admin")
            assert result.status == "done"

    wanted = _shapes(small_bundle)
    live = await sqlite_store.read(
        lambda c: c.sql(
            "SELECT e.sourced_id, u.sourced_id, k.sourced_id, e.role FROM enrollments e "
            "JOIN users u ON u.id = e.user_id JOIN classes k ON k.id = e.class_id "
            "WHERE NOT e.ended AND NOT u.ended AND NOT k.ended"
        )
    )
    assert sorted(live) == sorted(
        (row["sourcedId"], row["userSourcedId"], row["classSourcedId"], row["role"]) for row in wanted["enrollments"]
    )
    names = await sqlite_store.read(
        lambda c: c.sql("SELECT sourced_id, given_name, family_name FROM users WHERE NOT ended")
    )
    assert sorted(names) == sorted((row["sourcedId"], row["givenName"], row["familyName"]) for row in wanted["users"])
    links = await sqlite_store.read(
        lambda c: c.sql(
            "SELECT s.sourced_id, g.sourced_id FROM guardianships l JOIN users s ON s.id = l.student_id "
            "JOIN users g ON g.id = l.guardian_id WHERE NOT l.ended"
        )
    )
    assert sorted(links) == sorted(
        (row["sourcedId"], agent) for row in wanted["users"] for agent in row["agentSourcedIds"].split(",") if agent
    )
    again = await _load(sqlite_store, small_bundle)
    assert (again.added, again.changed, again.ended) == (0, 0, 0)


def _mutilate(source: Path, chance: random.Random) -> None:
    """Drop and change rows at random, as a careless export might."""

    def edit(row: dict[str, str]) -> dict[str, str] | None:
        what = chance.random()
        if what < 0.15:
            return None
        if what < 0.3:
            column = chance.choice(sorted(set(row) - {"sourcedId", "status"}))
            return {**row, column: chance.choice(["", "x", "2026-01-01", "true", "student", "school-1"])}
        return row

    for file in ("classes", "users", "roles", "enrollments", "courses"):
        if chance.random() < 0.7:
            _rewrite(source, file, edit)


@pytest.mark.parametrize("bad", [20_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_very_many_bad_rows_neither_stop_the_run_nor_fill_memory(
    sqlite_store: Store, tmp_path: Path, bad: int
) -> None:
    summary = write_bundle(tmp_path / "b", students=10)
    with (tmp_path / "b" / "users.csv").open("a") as opened:
        for number in range(bad):
            opened.write(f"bad-{number},too,short\n")
    gc.collect()
    tracemalloc.start()

    result = await _load(sqlite_store, tmp_path / "b")

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (result.status, result.added, result.dead_letters) == ("done", _total(summary), bad)
    assert peak < 6 * 1024**2  # the rows alone would take twice that
    assert len(await sqlite_store.read(lambda c: sync.dead_letters(c, "oneroster", limit=50))) == 50


async def _peak(url: str, cipher: Cipher, source: Path) -> int:
    with Store(url, cipher=cipher) as store:
        gc.collect()
        tracemalloc.start()
        result = await _load(store, source)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert result.status == "done"
    return peak


async def test_memory_does_not_grow_with_the_file(
    sqlite_url: str, tmp_path: Path, cipher: Cipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight times the rows, not half as much again at the peak: the first size is above every page, unit and share.

    The peaks of one size differ by a third, by what is read, planned and written at the same moment.
    """
    monkeypatch.setattr(users, "SHARE", 4 * 1024)
    monkeypatch.setattr(connector, "PAGE", 25)
    for module in (apply, staging):
        monkeypatch.setattr(module, "UNIT", 25)
    peaks = []
    for students in (100, 800):
        source = tmp_path / f"b{students}"
        write_bundle(source, students=students)
        url = f"sqlite:///{tmp_path / f'{students}.db'}"
        shutil.copyfile(sqlite_path(sqlite_url), tmp_path / f"{students}.db")
        peaks.append(await _peak(url, cipher, source))

    assert peaks[1] < peaks[0] * 1.5, peaks


async def _loads_twice(store: Store, url: str, bundle: Path, students: int) -> None:
    summary = write_bundle(bundle, students=students)

    first = await _load(store, bundle)
    second = await _load(store, bundle)

    assert _counts(first) == (_total(summary), 0, 0, 0, 0)
    assert _counts(second) == (0, 0, 0, _total(summary), 0)
    with sqlite3.connect(sqlite_path(url)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


async def test_a_district_loads_and_a_second_load_changes_nothing(
    sqlite_store: Store, sqlite_url: str, tmp_path: Path
) -> None:
    await _loads_twice(sqlite_store, sqlite_url, tmp_path / "b", 2000)


@pytest.mark.long
async def test_a_district_of_fifty_thousand_loads_and_a_second_load_changes_nothing(
    sqlite_store: Store, sqlite_url: str, tmp_path: Path
) -> None:
    await _loads_twice(sqlite_store, sqlite_url, tmp_path / "b", 50_000)
