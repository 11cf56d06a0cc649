"""Attendance as files: one per batch, complete when it appears, private, and each change in it once."""

from __future__ import annotations

import csv
import re
import stat
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom import AttendanceFile, Finding, OutgoingMark, SourceError, WithAttendanceFile, handoff
from homeroom.testing import FakeClock
from tests.services.scripted_sis import ScriptedSis


def _mark(key: str = "k:1", **more: Any) -> OutgoingMark:
    told: dict[str, Any] = {
        "key": key,
        "student": "s-17",
        "student_number": "100017",
        "school": "north",
        "class_": "bio-2",
        "periods": ("3",),
        "starts_at": datetime(2026, 9, 1, 7, 59, tzinfo=timezone(timedelta(hours=-6))),
        "school_day": date(2026, 9, 1),
        "status": "tardy",
        "code": "TX",
        "minutes_late": 4,
        "recorded_at": datetime(2026, 9, 1, 8, 3, tzinfo=timezone(timedelta(hours=-6))),
    }
    return OutgoingMark(**{**told, **more})


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.csv"))


def _all(folder: Path) -> dict[str, int]:
    """The rights on every file, by the beginning of its name."""
    return {path.name[:12]: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def _rows(folder: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for path in _files(folder):
        with path.open(newline="", encoding="utf-8") as opened:
            found += csv.DictReader(opened)
    return found


def _file(folder: Path) -> AttendanceFile:
    return AttendanceFile(folder, "campus", clock=FakeClock())


async def test_a_mark_becomes_a_row_with_every_documented_column(tmp_path: Path) -> None:
    [pushed] = await _file(tmp_path).push([_mark()])

    assert (pushed.key, pushed.error, pushed.held, pushed.read_back) == ("k:1", None, "tardy TX", False)
    assert _rows(tmp_path) == [
        {
            "key": "k:1",
            "change": "new",
            "student": "s-17",
            "student_number": "100017",
            "school": "north",
            "class": "bio-2",
            "period": "3",
            "school_day": "2026-09-01",
            "starts_at": "2026-09-01T13:59:00Z",
            "status": "tardy",
            "code": "TX",
            "minutes_late": "4",
            "recorded_at": "2026-09-01T14:03:00Z",
        }
    ]
    assert tuple(_rows(tmp_path)[0]) == handoff.COLUMNS


def test_the_page_names_every_column() -> None:
    page = Path("docs/infinite-campus.md").read_text("utf-8")
    table = page.partition("| column |")[2].partition("\n\n")[0]
    named = re.findall(r"`([a-z_]+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:]))

    assert sorted(named) == sorted(handoff.COLUMNS)


async def test_corrections_returns_and_withdrawals_say_that_they_are(tmp_path: Path) -> None:
    file = _file(tmp_path)
    held = None
    for number, status in enumerate(("absent", "present", None, "excused")):
        mark = _mark(f"k:{number}", status=status, code=None, minutes_late=None, held=held)
        [pushed] = await file.push([mark])
        held = pushed.held

    rows = sorted(_rows(tmp_path), key=lambda row: row["key"])
    assert [(row["change"], row["status"]) for row in rows] == [
        ("new", "absent"),
        ("changed", "present"),
        ("withdrawn", ""),
        ("new", "excused"),
    ]


async def test_a_whole_day_has_no_class(tmp_path: Path) -> None:
    await _file(tmp_path).push([_mark(class_=None, periods=(), starts_at=None)])

    [row] = _rows(tmp_path)
    assert (row["class"], row["period"], row["starts_at"]) == ("", "", "")


async def test_each_batch_is_a_file_of_its_own_named_by_its_moment(tmp_path: Path) -> None:
    file = _file(tmp_path)
    await file.push([_mark("a"), _mark("b")])
    first = _files(tmp_path)
    before = first[0].read_bytes()

    await file.push([_mark("c")])

    assert len(_files(tmp_path)) == 2
    assert first[0].name.startswith("campus-20260901T140000000000Z-")
    assert first[0].read_bytes() == before


async def test_the_same_batch_again_writes_no_second_row(tmp_path: Path) -> None:
    batch = [_mark("a"), _mark("b")]
    await _file(tmp_path).push(batch)

    again = await _file(tmp_path).push(batch)
    more = await _file(tmp_path).push([*batch, _mark("c"), _mark("c")])

    assert [one.error for one in (*again, *more)] == [None] * 6
    assert sorted(row["key"] for row in _rows(tmp_path)) == ["a", "b", "c"]


async def test_a_file_that_the_receiver_took_away_is_not_written_again(tmp_path: Path) -> None:
    file = _file(tmp_path)
    await file.push([_mark("a")])
    for path in _files(tmp_path):
        path.unlink()

    await file.push([_mark("a")])

    assert _files(tmp_path) == []


async def test_a_crash_before_the_keys_were_noted_writes_no_second_file(tmp_path: Path) -> None:
    file = _file(tmp_path)
    await file.push([_mark("a"), _mark("b")])
    (tmp_path / ".campus.keys").unlink()
    later = AttendanceFile(tmp_path, "campus", clock=FakeClock(datetime(2026, 9, 2, tzinfo=UTC)))

    await later.push([_mark("b"), _mark("a")])

    assert len(_files(tmp_path)) == 1


async def test_a_key_that_was_noted_half_is_not_taken_for_another(tmp_path: Path) -> None:
    file = _file(tmp_path)
    await file.push([_mark("a"), _mark("b")])
    noted = tmp_path / ".campus.keys"
    noted.write_bytes(noted.read_bytes()[:-5])
    for path in _files(tmp_path):
        path.unlink()

    await file.push([_mark("a"), _mark("b")])
    await file.push([_mark("a"), _mark("b")])

    assert [row["key"] for row in _rows(tmp_path)] == ["b"]


async def test_only_the_newest_keys_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handoff, "REMEMBERED", 10)
    file = _file(tmp_path)
    for number in range(60):
        await file.push([_mark(f"k{number}")])

    lines = (tmp_path / ".campus.keys").read_text().split()
    assert 10 <= len(lines) <= 22
    await file.push([_mark("k59")])
    assert len(_files(tmp_path)) == 60


async def test_nobody_else_on_the_machine_can_read_a_file(tmp_path: Path) -> None:
    await _file(tmp_path).push([_mark()])

    assert set(_all(tmp_path).values()) == {0o600}


async def test_nothing_but_whole_files_has_a_name_that_ends_in_csv(tmp_path: Path) -> None:
    (tmp_path / ".campus.part").write_bytes(b"what a power cut has left, longer than any file could ever be" * 100)

    await _file(tmp_path).push([_mark()])

    assert sorted(_all(tmp_path)) == [".campus.keys", "campus-20260"]
    assert len(_rows(tmp_path)) == 1


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
async def test_no_value_is_a_formula_to_a_spreadsheet(tmp_path: Path, text: str) -> None:
    await _file(tmp_path).push([_mark(text, code=text, student=text, class_=text)])

    [row] = _rows(tmp_path)
    assert [row[column] for column in ("key", "code", "student", "class")] == [f"'{text}"] * 4


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
async def test_whatever_an_id_holds_it_stays_one_cell(tmp_path: Path, text: str) -> None:
    folder = tmp_path / handoff._digest(text)
    folder.mkdir(exist_ok=True)
    await _file(folder).push([_mark("k", student=text), _mark("l")])

    rows = _rows(folder)
    assert [row["student"].removeprefix("'") for row in rows] == [text.removeprefix("'"), "s-17"]


async def test_a_missing_folder_is_told_and_may_be_mended(tmp_path: Path) -> None:
    file = AttendanceFile(tmp_path / "none", "campus", clock=FakeClock())

    with pytest.raises(SourceError, match=r"^the folder for attendance files cannot be written \(No such") as told:
        await file.push([_mark()])
    [finding] = await file.check()

    assert told.value.retry
    assert finding.problem == "The folder for attendance files is not there."
    assert str(tmp_path / "none") in finding.fix


async def test_a_folder_that_everybody_can_open_is_told(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)

    assert await _file(tmp_path).check() == []
    [finding] = await _file(tmp_path / "open").check()

    assert finding == Finding(
        problem="Everybody on this machine can open the folder for attendance files.",
        fix=f"Take the rights of others away: chmod o= {tmp_path / 'open'}",
    )


async def test_a_connector_without_a_folder_says_that_it_takes_no_attendance(tmp_path: Path) -> None:
    without = WithAttendanceFile(ScriptedSis(), None)
    with_file = WithAttendanceFile(ScriptedSis(), _file(tmp_path), level="day")

    assert (without.attendance_out, with_file.attendance_out) == ("none", "file")
    assert (without.attendance_level, with_file.attendance_level) == ("class", "day")
    assert [pushed.error for pushed in await without.push([_mark()])] == ["no folder for attendance files is set"]
