"""The reports over HTTP: their figures, who is given them, and what is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from homeroom.store import models as m
from tests.services import world
from tests.services.lawful import new_key
from tests.services.served import Served, served
from tests.services.weeks import DAYS, HOLIDAY, attended

REPORTS = ("daily", "chronic-absence", "ada-adm", "rolls-not-taken", "check-in-patterns")
OF_CLASSES = ("daily", "rolls-not-taken", "check-in-patterns")
RANGE = f"from={DAYS[0]}&to={DAYS[-1]}"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=["reports"]) as running:
        await running.district.store.write(attended)
        yield running


async def told(api: Served, path: str, by: str = "admin", **more: Any) -> Any:
    answer = await api.get(f"~/reports/{path}", by, **more)
    body = await answer.get_json()
    assert answer.status_code == 200, body
    return body


async def table(api: Served, path: str, by: str = "admin", **more: Any) -> list[dict[str, str]]:
    answer = await api.get(f"~/reports/{path}", by, **more)
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="')
    return list(csv.DictReader(io.StringIO(await answer.get_data(as_text=True), newline="")))


async def status_of(api: Served, path: str, by: str | None) -> int:
    return (await api.get(f"~/reports/{path}", by)).status_code


async def test_attendance_by_day_counts_students_on_school_days_alone(api: Served) -> None:
    found = await told(api, f"daily?{RANGE}")
    by_school = {one["school_id"]: one for one in found["schools"]}
    north, south = by_school["north"], by_school["south"]
    assert [north[name] for name in ("present", "tardy", "absent", "excused")] == [15, 1, 3, 0]
    assert [south[name] for name in ("present", "tardy", "absent", "excused")] == [18, 1, 0, 1]
    assert north["rate"] == round(16 / 19, 4)
    assert found["totals"] == {"present": 33, "tardy": 2, "absent": 3, "excused": 1, "rate": round(35 / 39, 4)}
    assert found["left_out"] == 1  # Ann on the day the school was closed
    assert [one["day"] for one in found["days"]] == [day.isoformat() for day in DAYS]
    first, last = found["days"][0], found["days"][-1]
    assert (first["absent"], first["excused"], first["in_session"], first["with_marks"]) == (1, 1, 2, 2)
    assert (last["present"], last["in_session"], last["with_marks"]) == (1, 1, 1)


async def test_a_correction_and_a_closure_change_the_figures_at_once(api: Served) -> None:
    before = await told(api, f"daily?school_id=north&{RANGE}")
    record = await api.get(f"~/attendance/then_algebra_{DAYS[0]}_ann", "admin_north")
    sent = {"status": "excused", "reason": "A note came."}
    headers = {"If-Match": record.headers["ETag"]}
    answer = await api.call(
        "PATCH", f"~/attendance/then_algebra_{DAYS[0]}_ann", by="admin_north", json=sent, headers=headers
    )
    assert answer.status_code == 200
    after = await told(api, f"daily?school_id=north&{RANGE}")
    assert (before["totals"]["absent"], after["totals"]["absent"], after["totals"]["excused"]) == (3, 2, 1)
    assert before["totals"]["rate"] == after["totals"]["rate"]
    missed = (await told(api, f"chronic-absence?school_id=north&{RANGE}"))["items"][0]
    assert (missed["days_missed"], missed["days_excused"]) == (3, 1)
    await api.district.store.write(
        lambda tx: tx.insert(m.CalendarDay, school_id="north", day=DAYS[1], in_session=False)
    )
    closed = await told(api, f"daily?school_id=north&{RANGE}")
    assert (closed["totals"]["absent"], closed["left_out"]) == (1, 2)


async def test_chronic_absence_names_who_missed_a_tenth_of_the_enrolled_days(api: Served) -> None:
    found = await told(api, f"chronic-absence?{RANGE}")
    assert (found["chronic_at"], found["minimum_days"]) == (0.1, 10)
    (ann,) = found["items"]
    assert (ann["student_id"], ann["name"], ann["days_enrolled"], ann["days_missed"]) == ("ann", "Ann Ann", 19, 3)
    assert ann["share"] == round(3 / 19, 4)
    north = next(one for one in found["schools"] if one["school_id"] == "north")
    # Ann and Dan were enrolled long enough; Bob has two days, of which one is over.
    assert (north["students"], north["chronically_absent"], north["days_in_session"]) == (2, 1, 19)
    assert north["day_rule"] == {"kind": "any_period"}
    assert found["totals"]["students"] == 3
    assert "10%" in found["explanation"]["rule"]
    assert [one["name"] for one in found["explanation"]["sources"]][1] == "Attendance Works"


async def test_the_threshold_and_the_minimum_are_the_districts(database_url: str) -> None:
    sections = {"reports": {"chronic_at": 0.05, "minimum_days": 20}}
    async with served(database_url, enabled=["reports"], sections=sections) as running:
        await running.district.store.write(attended)
        found = await told(running, f"chronic-absence?{RANGE}")
        # Cy missed exactly a twentieth; Ann's school was open for 19 days only.
        assert [one["student_id"] for one in found["items"]] == ["cy"]
        assert found["explanation"]["rule"].startswith("Days missed for any reason, excused ones included, are 5%")


async def test_who_was_enrolled_late_is_judged_by_their_own_days(api: Served) -> None:
    late = DAYS[8]
    await api.district.store.write(
        lambda tx: tx.run(m.Enrollment.update(begins_on=late).where(m.Enrollment.user_id == "ann"))
    )
    found = await told(api, f"chronic-absence?school_id=north&{RANGE}")
    assert found["items"] == []
    (north,) = (await told(api, f"ada-adm?school_id=north&{RANGE}"))["schools"]
    assert north["attendance_days"] == 11
    assert north["outside_days"] == 8


async def test_ada_and_adm_are_averages_over_the_days_in_session(api: Served) -> None:
    found = await told(api, f"ada-adm?{RANGE}")
    by_school = {one["school_id"]: one for one in found["schools"]}
    south = by_school["south"]
    assert (south["days_in_session"], south["days_without_marks"]) == (20, 0)
    assert (south["membership_days"], south["attendance_days"], south["absence_days"]) == (20, 19, 1)
    assert (south["ada"], south["adm"], south["rate"]) == (0.95, 1.0, 0.95)
    north = by_school["north"]
    # Ann and Dan on 19 days; Bob's only day that is over is the one on which the school was closed.
    assert (north["membership_days"], north["attendance_days"], north["unknown_days"]) == (38, 16, 19)
    assert (north["ada"], north["adm"]) == (round(16 / 19, 2), 2.0)
    assert found["totals"]["ada"] == round(16 / 19 + 0.95, 2)
    assert found["totals"]["adm"] == 3.0


async def test_todays_marks_wait_until_the_day_is_over(api: Served) -> None:
    found = await told(api, f"ada-adm?from={DAYS[0]}&to={world.TODAY}")
    assert {one["school_id"]: one["days_in_session"] for one in found["schools"]} == {"north": 19, "south": 20}
    today = await told(api, f"daily?from={world.TODAY}&to={world.TODAY}")
    assert today["totals"]["present"] == 4
    nothing = await told(api, f"chronic-absence?from={world.TODAY}&to={world.TOMORROW}")
    assert nothing["totals"] == {"students": 0, "chronically_absent": 0, "share": None, "too_short": 0}


async def test_rolls_that_were_not_taken_are_told_by_day_and_class(api: Served) -> None:
    found = await told(api, f"rolls-not-taken?{RANGE}")
    biology = [one for one in found["items"] if one["class_id"] == "biology"]
    assert [one["day"] for one in biology] == []  # Bob came yesterday, when the school was closed
    await api.district.store.write(lambda tx: tx.run(m.CalendarDay.delete().where(m.CalendarDay.day == HOLIDAY)))
    found = await told(api, f"rolls-not-taken?school_id=north&{RANGE}")
    assert [(one["day"], one["class_id"], one["state"]) for one in found["items"]] == [
        (HOLIDAY.isoformat(), "biology", "none")
    ]
    assert found["days"][0] == {
        "day": HOLIDAY.isoformat(),
        "expected": 2,
        "taken": 1,
        "under_way": 0,
        "left_open": 0,
        "none": 1,
    }


async def test_check_ins_are_told_by_hour_school_and_method(api: Served) -> None:
    found = await told(api, f"check-in-patterns?{RANGE}")
    assert (found["total"], found["hours"]) == (10, [{"hour": 8, "check_ins": 10}])
    assert found["methods"] == [{"methods": ["rotating_code"], "check_ins": 10}]
    (row,) = found["schools"]
    assert (row["school_id"], row["hour"], row["methods"], row["check_ins"]) == ("north", 8, ["rotating_code"], 10)


async def test_the_overview_says_which_reports_there_are_for_whom(api: Served) -> None:
    async def seen(by: str) -> tuple[list[str], list[str]]:
        found = await told(api, "", by)
        return found["reports"], [one["school_id"] for one in found["schools"]]

    assert await seen("admin") == (list(REPORTS), ["north", "south"])
    assert await seen("admin_south") == (list(REPORTS), ["south"])
    assert await seen("teacher_c") == (list(OF_CLASSES), ["south"])
    assert await status_of(api, "", "ann") == 403


@pytest.mark.parametrize("report", REPORTS)
async def test_every_report_explains_itself_and_says_when_it_was_counted(api: Served, report: str) -> None:
    found = await told(api, f"{report}?{RANGE}")
    assert (found["report"], found["since"], found["until"]) == (report, str(DAYS[0]), str(DAYS[-1]))
    explained = found["explanation"]
    assert explained["counts"].endswith(".")
    assert explained["rule"].endswith(".")
    assert explained["sources"]
    assert explained["notes"]
    assert found["as_of"].endswith("Z")
    unnamed = await told(api, report)
    assert unnamed["since"] <= unnamed["until"]


async def test_a_list_of_students_is_read_page_by_page(api: Served) -> None:
    await api.district.store.write(
        lambda tx: tx.run(m.AttendanceRecord.update(status="absent").where(m.AttendanceRecord.school_id == "south"))
    )
    first = await told(api, f"chronic-absence?{RANGE}&limit=1")
    assert [one["student_id"] for one in first["items"]] == ["cy"]
    second = await told(api, f"chronic-absence?{RANGE}&limit=1&cursor={first['next']}")
    assert ([one["student_id"] for one in second["items"]], second["next"]) == (["ann"], None)
    assert second["totals"] == first["totals"]


async def test_each_report_is_a_table_too(api: Served) -> None:
    rows = await table(api, f"daily?format=csv&{RANGE}")
    assert list(rows[0]) == ["day", "school_id", "school", "present", "tardy", "absent", "excused", "rate"]
    assert len(rows) == 39
    assert sum(int(one["present"]) for one in rows) == 33
    (ann,) = await table(api, f"chronic-absence?{RANGE}", headers={"Accept": "text/csv"})
    assert (ann["student_id"], ann["days_missed"], ann["share"]) == ("ann", "3", "0.1579")
    averages = await table(api, f"ada-adm?format=csv&{RANGE}")
    assert {one["school_id"]: one["adm"] for one in averages} == {"north": "2.0", "south": "1.0"}
    assert await table(api, f"rolls-not-taken?format=csv&{RANGE}") == []
    (hour,) = await table(api, f"check-in-patterns?format=csv&{RANGE}")
    assert (hour["hour"], hour["methods"], hour["check_ins"]) == ("8", "rotating_code", "10")
    json = await api.get(f"~/reports/daily?format=json&{RANGE}", "admin", headers={"Accept": "text/csv"})
    assert json.content_type == "application/json"


async def test_a_name_that_a_spreadsheet_would_run_is_kept_from_it(api: Served) -> None:
    await api.district.store.write(
        lambda tx: tx.run(m.User.update(given_name='=HYPERLINK("https://evil.example")').where(m.User.id == "ann"))
    )
    (ann,) = await table(api, f"chronic-absence?format=csv&{RANGE}")
    assert ann["name"].startswith("'=HYPERLINK")


async def test_a_school_is_given_its_own_and_no_other(api: Served) -> None:
    for report in REPORTS:
        assert await status_of(api, f"{report}?{RANGE}&school_id=south", "admin_north") == 404
        mine = await told(api, f"{report}?{RANGE}", "admin_north")
        assert {one["school_id"] for one in mine.get("schools", mine.get("items"))} <= {"north"}
        assert (await told(api, f"{report}?{RANGE}&school_id=north", "admin_north"))["school_id"] == "north"
    found = await told(api, f"daily?{RANGE}", "admin_north")
    assert found["totals"]["absent"] == 3
    assert found["totals"]["excused"] == 0


async def test_a_teacher_is_given_the_own_classes_where_that_makes_sense(api: Served) -> None:
    found = await told(api, f"daily?{RANGE}", "teacher_c")
    assert (found["totals"]["present"], found["totals"]["absent"]) == (18, 0)
    assert await told(api, f"daily?{RANGE}&class_id=chemistry", "teacher_c") | {"as_of": 0, "class_id": 0} == found | {
        "as_of": 0,
        "class_id": 0,
    }
    assert (await told(api, f"daily?{RANGE}", "teacher_b"))["totals"]["rate"] is None
    assert (await told(api, f"check-in-patterns?{RANGE}", "teacher_a"))["total"] == 10
    assert (await told(api, f"check-in-patterns?{RANGE}", "teacher_b"))["total"] == 0
    for report in OF_CLASSES:
        assert await status_of(api, f"{report}?{RANGE}&class_id=algebra", "teacher_b") == 404
        assert await status_of(api, f"{report}?{RANGE}&school_id=north", "teacher_b") == 404
        assert await status_of(api, f"{report}?{RANGE}&class_id=algebra", "teacher_gone") == 403
    for report in set(REPORTS) - set(OF_CLASSES):
        assert await status_of(api, f"{report}?{RANGE}", "teacher_a") == 403


@pytest.mark.parametrize("who", ["ann", "guardian_ann", "nobody"])
async def test_families_are_given_no_report(api: Served, who: str) -> None:
    for report in REPORTS:
        assert await status_of(api, f"{report}?{RANGE}", who) == 403
    assert await status_of(api, "daily", None) == 401


async def test_a_key_with_the_scope_reads_them_all(api: Served) -> None:
    headers = {"Authorization": f"Bearer {await new_key(api)}"}
    for report in REPORTS:
        answer = await api.get(f"~/reports/{report}?{RANGE}", headers=headers)
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        f"from={DAYS[-1]}&to={DAYS[0]}",
        "from=soon",
        "from=2020-01-01&to=2026-01-01",
        "format=xml",
        "school_id=",
        "unknown=1",
        f"from={DAYS[0]}&from={DAYS[0]}",
    ],
)
async def test_what_cannot_be_asked_is_refused_with_the_reason(api: Served, query: str) -> None:
    for report in REPORTS:
        answer = await api.get(f"~/reports/{report}?{query}", "admin")
        assert answer.status_code == 422, report
        assert (await answer.get_json())["errors"]


async def test_longer_than_can_be_answered_in_time_is_refused(api: Served) -> None:
    long = world.TODAY - timedelta(days=60)
    assert await status_of(api, f"rolls-not-taken?from={long}", "admin") == 422
    assert await status_of(api, f"check-in-patterns?from={long - timedelta(days=60)}", "admin") == 422
    assert await status_of(api, "chronic-absence?cursor=x", "admin") == 422
    for school_id in ("district", "no-such"):
        assert await status_of(api, f"daily?school_id={school_id}", "admin") == 404


async def test_whoever_is_named_is_entered_in_the_audit_log(sqlite_url: str) -> None:
    async with served(sqlite_url, enabled=["ferpa", "reports"], required=["ferpa"]) as running:
        await running.district.store.write(attended)
        await told(running, f"daily?{RANGE}", "admin_north")
        found = await told(running, f"chronic-absence?{RANGE}", "admin_north")
        assert [one["student_id"] for one in found["items"]] == ["ann"]
        text = "SELECT action, student_ids FROM ferpa_audit WHERE action LIKE 'reports.%'"
        assert await running.district.store.read(lambda c: c.sql(text)) == [("reports.school", '["ann"]')]
        text = "SELECT student_ids FROM ferpa_audit WHERE kind = 'hand_out' AND recipient = 'reports'"
        assert await running.district.store.read(lambda c: c.sql(text)) == [('["ann"]',)] * 2  # days, and names
        await told(running, f"ada-adm?{RANGE}", "admin_north")
        assert len(await running.district.store.read(lambda c: c.sql(text))) == 2  # counts are of nobody


async def test_a_plugin_without_a_ground_is_handed_no_students_days(sqlite_url: str) -> None:
    outside = {"ferpa": {"access": {"inside": ["ferpa", "accounts"]}}}
    async with served(sqlite_url, enabled=["ferpa", "reports"], required=["ferpa"], sections=outside) as running:
        await running.district.store.write(attended)
        assert await status_of(running, f"chronic-absence?{RANGE}", "admin_north") == 403
        assert await status_of(running, f"ada-adm?{RANGE}", "admin_north") == 200
