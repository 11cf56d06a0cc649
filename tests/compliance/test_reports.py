"""FERPA's sentences on figures that tell of nobody, over HTTP with the real plugin; and the compliance report."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from homeroom.store import Transaction
from homeroom.store import models as m
from tests.services import commands, world
from tests.services.commands import run
from tests.services.served import Served, served

SCHOOLS = ("north", "south")
LAST_MONTH = world.TODAY - timedelta(days=30)
PUBLISH = {"reports": {"review": "Review 26-03, in the records office", "minimum_days": 1}}
CLASS = {"north": "algebra", "south": "chemistry"}
SIZES = {("north", "9"): (4, 2), ("north", "10"): (40, 20), ("south", "9"): (50, 1), ("south", "10"): (60, 30)}


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=["ferpa"], sections={"ferpa": PUBLISH}) as running:
        await running.district.store.write(attended)
        yield running


def attended(tx: Transaction) -> None:
    """Students of two grades at two schools, some of whom missed every class of one day last month."""
    tx.run(m.Enrollment.update(begins_on=world.TODAY))
    for (school, grade), (students, missing) in SIZES.items():
        for number in range(students):
            student = enrolled(tx, f"{school}_{grade}_{number}", school, grade)
            marked(tx, student, school, LAST_MONTH, "absent" if number < missing else "present")


def enrolled(tx: Transaction, student: str, school: str, grade: str, *, since: date | None = None) -> str:
    named = {"given_name": "Gia", "family_name": "Novak", "sort_name": student, "grades": [grade]}
    tx.insert(m.User, id=student, changed_at=tx.now, **named)
    seat = {"class_id": CLASS[school], "role": "student", "begins_on": since}
    tx.insert(m.Enrollment, user_id=student, changed_at=tx.now, **seat)
    return student


def marked(tx: Transaction, student: str, school: str, day: date, status: str, *, period: int = 0) -> None:
    tx.insert(
        m.AttendanceRecord,
        id=f"r_{student}_{day}_{period}",
        session_id=f"then_{school}_{day}_{period}",
        class_id=CLASS[school],
        school_id=school,
        student_id=student,
        school_day=day,
        status=status,
        origin="teacher",
        recorded_at=tx.now,
        valid_from=tx.now,
    )


def periods(tx: Transaction) -> None:
    """Fifteen days of school before today, at North in six periods, of forty students at each school.

    Half of North's missed all periods of one day, half of South's two days; the others of North missed a period every
    day. Forty more came to North nine days ago, and missed the first.
    """
    tx.run(m.Enrollment.update(begins_on=world.TODAY))
    days = [world.TODAY - timedelta(days=number) for number in range(15, 0, -1)]
    for number in range(40):
        half = number < 20
        north = enrolled(tx, f"north_{number}", "north", "10")
        south = enrolled(tx, f"south_{number}", "south", "5")
        for place, day in enumerate(days):
            marked(tx, south, "south", day, "excused" if half and place < 2 else "present")
            for period in range(6 if place == 0 or not half else 1):
                missed = place == 0 if half else period == 5
                marked(tx, north, "north", day, "absent" if missed else "present", period=period)
        new = enrolled(tx, f"new_{number}", "north", "10", since=days[6])
        marked(tx, new, "north", days[6], "absent")


def days(since: Any = LAST_MONTH, until: Any = LAST_MONTH) -> str:
    return f"~/compliance/figures?since={since}&until={until}"


async def table(place: Served, path: str) -> dict[str, Any]:
    answer = await place.get(path, "admin")
    body = await answer.get_json()
    assert answer.status_code == 200, body
    found: dict[str, Any] = body["table"]
    return found


def cells(published: dict[str, Any]) -> dict[tuple[str, str], tuple[Any, Any]]:
    return {(one["school"], one["grade"]): (one["students"], one["chronically_absent"]) for one in published["cells"]}


async def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, str((await answer.get_json())["type"]).rpartition("/")[2]


async def test_published_figures_have_no_small_cell_and_name_their_review(place: Served) -> None:
    """FERPA 34 §99.31(b)(1): figures go out with small cells hidden, and with the re-identification review stated."""
    published = await table(place, days())
    found = cells(published)
    assert published["review"] == "Review 26-03, in the records office"
    assert found["North", "9"] == (None, None)
    assert found["North", "10"] == (None, None)  # else the total gives it away
    assert found["all", "all"] == (154, 53)
    numbers = [value for one in found.values() for value in one if isinstance(value, int)]
    assert not [number for number in numbers if 0 < number < 10]
    text = json.dumps(published)
    assert "north_9" not in text
    assert "Novak" not in text


async def test_chronic_absence_is_of_days_and_not_of_marks(database_url: str) -> None:
    """FERPA 34 §99.31(b)(1): a day missed in six periods is one day; a tenth of the days enrolled on is chronic."""
    reports = {"review": "26-03", "small_cell": 3}
    async with served(database_url, enabled=["ferpa"], sections={"ferpa": {"reports": reports}}) as running:
        await running.district.store.write(periods)
        found = cells(await table(running, days(world.TODAY - timedelta(days=15), world.TODAY - timedelta(days=1))))
    assert found["North", "10"] == (40, "<5 %")
    assert found["all", "all"] == (80, 20)  # South's, who missed two whole days; the new ones are in nothing


async def test_without_a_review_nothing_is_published(database_url: str) -> None:
    """FERPA 34 §99.31(b)(1): without a review of re-identification on file no figures are published."""
    async with served(database_url, enabled=["ferpa"]) as running:
        await running.district.store.write(attended)
        assert await problem(await running.get(days(), "admin")) == (409, "no-review")


async def test_a_published_table_is_kept_and_none_over_the_same_days_can_be_subtracted(place: Served) -> None:
    """FERPA 34 §99.31(b)(1): a table stays as it was published; another one over some of its days is refused."""
    first = await table(place, days())

    def corrected(tx: Transaction) -> None:
        tx.run(m.AttendanceRecord.update(status="absent").where(m.AttendanceRecord.id == f"r_north_9_3_{LAST_MONTH}_0"))

    await place.district.store.write(corrected)
    assert await table(place, days()) == first
    wider = days(LAST_MONTH - timedelta(days=1))
    assert await problem(await place.get(wider, "admin")) == (409, "overlaps")
    stored = await place.district.store.read(lambda c: c.sql("SELECT * FROM ferpa_figures"))
    assert len(stored) == 1
    assert "north_9" not in str(stored)


async def test_figures_are_of_days_that_are_over_and_for_the_district(place: Served) -> None:
    """FERPA 34 §99.31(b)(1): only a district administrator publishes, and only what will not change by itself."""
    assert (await place.get(days(), "admin_north")).status_code == 403
    assert await problem(await place.get(days(until=world.TODAY), "admin")) == (422, "days")


async def test_the_limit_is_the_districts_and_shares_near_none_are_told_roughly(database_url: str) -> None:
    """FERPA 51 §99.31(b)(1): the district sets n, at least 3; a share below 5 % or above 95 % says no more."""
    sections = {"ferpa": {"reports": {"small_cell": 3, "review": "26-03", "minimum_days": 1}}}
    async with served(database_url, enabled=["ferpa"], sections=sections) as running:
        await running.district.store.write(attended)
        found = cells(await table(running, days()))
    assert found["South", "9"] == (50, "<5 %")
    assert found["North", "9"] == (4, None)
    from homeroom_ferpa.reports import ReportsSettings

    assert ReportsSettings().small_cell == 10
    with pytest.raises(ValueError, match="greater than or equal to 3"):
        ReportsSettings(small_cell=2)


async def test_the_report_has_every_sentence_for_machines_and_to_read(place: Served) -> None:
    answer = await (await place.get("~/compliance/report", "admin")).get_json()
    assert [one["number"] for one in answer["sentences"]] == list(range(1, 52))
    page = await (await place.get("~/compliance/report/page", "admin")).get_data(as_text=True)
    assert "§99.10(b)" in page
    assert (await place.get("~/compliance/report", "guardian_ann")).status_code in (403, 404)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    config = '[plugins]\nenabled = ["ferpa"]\n[plugins.ferpa.reports]\nreview = "26-03"\n'
    with commands.installed(tmp_path, monkeypatch, config) as folder:
        assert run("db", "upgrade").exit_code == 0
        yield folder


def test_the_commands_report_with_last_results_and_refuse_what_cannot_be_published(installed: Path) -> None:
    told = json.loads(run("compliance", "report", "--json").stdout)["sentences"]
    assert len(told) == 51
    proven = next(one for one in told if one["number"] == 13)
    assert (proven["how"], proven["result"]) == ("enforced", "not run here")
    results = installed / "results.json"
    results.write_text(json.dumps({"outcomes": dict.fromkeys(proven["tests"], "passed")}), encoding="utf-8")
    text = run("compliance", "report", "--results", str(results)).stdout
    line = next(one for one in text.splitlines() if one.startswith("13 "))
    assert "passed" in line
    refused = run("compliance", "figures", "--since", "2020-01-01", "--until", "2020-02-01")
    assert (refused.exit_code, "Nothing of these days" in refused.output) == (1, True)
