from __future__ import annotations

import csv
import hashlib
import unicodedata
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest

from homeroom.testing.district import Version, write_bundle


def _digest(path: Path) -> str:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()


def _rows(path: Path, file: str) -> list[dict[str, str]]:
    with (path / f"{file}.csv").open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def _ids(rows: Iterable[dict[str, str]], column: str = "sourcedId") -> set[str]:
    return {row[column] for row in rows}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(
    tmp_path: Path, *, version: Version, zipped: bool
) -> None:
    digests = []
    for number, seed in enumerate((7, 7, 8)):
        path = tmp_path / str(number) / "bundle"
        path.parent.mkdir()
        write_bundle(path, students=60, seed=seed, version=version, zipped=zipped)
        digests.append(_digest(path))

    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("students", [0, 1, 13, 700, 2500])
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_every_reference_is_whole_every_id_unique_and_the_summary_true(
    tmp_path: Path, students: int, version: Version
) -> None:
    summary = write_bundle(tmp_path, students=students, version=version)

    users, classes, orgs = (_rows(tmp_path, file) for file in ("users", "classes", "orgs"))
    enrollments, courses = _rows(tmp_path, "enrollments"), _rows(tmp_path, "courses")
    sessions = _ids(_rows(tmp_path, "academicSessions"))
    for rows in (users, classes, orgs, enrollments, courses):
        assert len(_ids(rows)) == len(rows)
    assert _ids(enrollments, "userSourcedId") <= _ids(users)
    assert _ids(enrollments, "classSourcedId") <= _ids(classes)
    assert _ids(classes, "courseSourcedId") <= _ids(courses)
    assert _ids(classes, "schoolSourcedId") <= _ids(orgs)
    assert {term for row in classes for term in row["termSourcedIds"].split(",")} <= sessions
    assert {one for row in users for one in row["agentSourcedIds"].split(",") if one} <= _ids(users)
    assert len(users) == summary.users
    assert (len(classes), len(courses), len(enrollments)) == (summary.classes, summary.courses, summary.enrollments)
    assert summary.students == students
    assert len(orgs) == summary.schools + 1


def test_a_large_district_has_every_grade_sections_and_names_in_many_scripts(tmp_path: Path) -> None:
    write_bundle(tmp_path, students=2500)

    users = _rows(tmp_path, "users")
    text = "".join(row["givenName"] + row["familyName"] for row in users)
    scripts = {unicodedata.name(char).split()[0] for char in text if char.isalpha()}
    assert {"LATIN", "ARABIC", "CJK", "HEBREW", "CYRILLIC", "HANGUL", "DEVANAGARI"} <= scripts
    assert any("'" in row["familyName"] for row in users)
    assert any("-" in row["familyName"] for row in users)
    assert any(len(row["givenName"]) > 60 for row in users)
    assert any(not row["familyName"] for row in users)
    assert any(row["preferredGivenName"] for row in users)
    classes = _rows(tmp_path, "classes")
    assert len({row["grades"] for row in classes}) == 13
    assert {row["classType"] for row in classes} == {"homeroom", "scheduled"}
    assert {row["periods"][0] for row in classes if row["classType"] == "scheduled"} == {"A", "B"}


def test_nobody_in_it_can_be_reached(tmp_path: Path) -> None:
    write_bundle(tmp_path, students=300)

    for row in _rows(tmp_path, "users"):
        assert not row["email"] or row["email"].endswith("@example.org")
        assert not row["sms"] or row["sms"].startswith("+120255501")


def test_the_year_begins_when_it_is_told(tmp_path: Path) -> None:
    write_bundle(tmp_path, students=5, starts_on=date(2030, 1, 7))

    assert {row["startDate"] for row in _rows(tmp_path, "academicSessions")} == {"2030-01-07", "2030-06-06"}
    assert _ids(_rows(tmp_path, "enrollments"), "beginDate") <= {"2030-01-07", "2030-02-06"}
