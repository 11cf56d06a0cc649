"""A breach is kept with whose records and since when it is known, and the clocks of its states are tasks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from homeroom.store import Transaction, now_utc
from homeroom.store import models as m
from homeroom.testing import FakeClock, services
from homeroom_ferpa.watch import Watch, WatchSettings, clocks
from tests.services import commands, world
from tests.services.commands import run
from tests.services.served import Served, served

TODAY = world.TODAY
INCIDENTS = "~/compliance/incidents"
CHOSEN = WatchSettings(states=("NY", "IL"), night_students=1000, bulk_students=3)
BOTH = {"ferpa": {"watch": CHOSEN.model_dump(mode="json")}}


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=["ferpa"], sections=BOTH) as running:
        yield running


@pytest.fixture
async def lite(sqlite_url: str) -> AsyncIterator[Served]:
    """The same on SQLite alone, for what does not differ."""
    async with served(sqlite_url, enabled=["ferpa"], sections=BOTH) as running:
        yield running


async def item(answer: Any, status: int = 200) -> dict[str, Any]:
    body = await answer.get_json()
    assert answer.status_code == status, body
    found: dict[str, Any] = body["item"]
    return found


async def items(place: Served, path: str, by: str = "admin") -> list[dict[str, Any]]:
    answer = await place.get(path, by)
    assert answer.status_code == 200, await answer.get_json()
    found: list[dict[str, Any]] = (await answer.get_json())["items"]
    return found


async def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, str((await answer.get_json())["type"]).rpartition("/")[2]


async def journal(place: Served, kind: str) -> list[m.Journal]:
    return await place.district.store.read(
        lambda c: c.all(m.Journal.select().where(m.Journal.kind == f"compliance.{kind}").order_by(m.Journal.id))
    )


async def incident(place: Served, days_ago: int = 0, **more: Any) -> dict[str, Any]:
    discovered = now_utc() - timedelta(days=days_ago)
    body = {
        "what": "A laptop with exports was stolen.",
        "student_ids": ["ann"],
        "discovered_at": discovered.isoformat(),
    }
    return await item(await place.post(INCIDENTS, "admin", {**body, **more}), 201)


async def end(place: Served, one: dict[str, Any], clock: str, by: str = "admin", **more: Any) -> Any:
    body = {"how": "Letter in file 26-7.", **more}
    return await place.post(f"{INCIDENTS}/{one['id']}/tasks/{clock}/end", by, body)


async def look(place: Served, today: date = TODAY) -> dict[str, int]:
    return await place.district.store.write(lambda tx: clocks.look(tx, today.isoformat()))


def due(one: dict[str, Any]) -> dict[str, str]:
    return {task["clock"]: task["due_on"] for task in one["tasks"]}


def in_days(days: int) -> str:
    return (TODAY + timedelta(days=days)).isoformat()


# The clocks


async def test_the_clocks_of_new_york_run_since_discovery(place: Served) -> None:
    """FERPA 50 §121.10: the contractor has 7 calendar days, the State's officer is told in 10, families in 60."""
    own = await incident(place, states=["NY"])
    assert due(own) == {"ny_officer": in_days(10), "ny_families": in_days(60)}
    vendors = await incident(place, days_ago=3, states=["NY"], at_vendor=True)
    assert due(vendors) == {"ny_contractor": in_days(4), "ny_officer": in_days(7), "ny_families": in_days(57)}
    assert vendors["discovered_on"] == in_days(-3)
    [opened, _] = await journal(place, "incident_opened")
    assert opened.data["clocks"] == due(own)
    assert (opened.actor_id, opened.data["students"]) == ("admin", 1)


async def test_the_clocks_of_illinois_run_since_discovery(place: Served) -> None:
    """FERPA 50 §SOPPA: the operator has 30 calendar days, parents are told in 30, the website where a tenth is hit."""
    everybody = await incident(place, states=["IL"], at_vendor=True, everybody=True)
    assert {"il_operator": in_days(30), "il_families": in_days(30)}.items() <= due(everybody).items()
    assert "il_website" in due(everybody)
    assert everybody["students"] == 5
    a_third = await incident(place, states=["IL"])  # Ann is one of three at North
    assert set(due(a_third)) == {"il_families", "il_website"}
    await place.district.store.write(lambda tx: more_students(tx, "then", ends_on=TODAY))
    still = await incident(place, states=["IL"])  # who has left counts no more
    assert set(due(still)) == {"il_families", "il_website"}
    await place.district.store.write(lambda tx: more_students(tx, "now"))
    few = await incident(place, states=["IL"])
    assert set(due(few)) == {"il_families"}
    more = {"student_ids": ["bob", "dan", "eve", "cy"]}
    widened = await item(await place.post(f"{INCIDENTS}/{few['id']}/more", "admin", more))
    assert set(due(widened)) == {"il_families", "il_website"}  # Cy is all of South


def more_students(tx: Transaction, name: str, **dates: date) -> None:
    """Forty more students of North."""
    for number in range(40):
        one = f"{name}{number}"
        tx.insert(m.User, id=one, given_name="Gia", family_name="Novak", sort_name=one, changed_at=tx.now)
        tx.insert(m.RoleAssignment, user_id=one, role="student", org_id="north")
        tx.insert(m.Enrollment, user_id=one, class_id="algebra", role="student", changed_at=tx.now, **dates)


@pytest.mark.parametrize(
    ("discovered", "last"),
    [("2026-10-02", "2026-10-16"), ("2026-10-03", "2026-10-16"), ("2026-10-05", "2026-10-19")],
)
def test_ten_business_days_leave_out_saturdays_and_sundays(discovered: str, last: str) -> None:
    """FERPA 50 §SOPPA: a Friday's, a Saturday's and a Monday's discovery."""
    assert clocks.BY_CODE["il_website"].due(date.fromisoformat(discovered)).isoformat() == last


async def test_each_clock_is_a_task_that_reminds_once_and_stays_overdue(place: Served) -> None:
    """FERPA 50 §121.10: what is nearly due and what is overdue is listed and entered, each once."""
    one = await incident(place, days_ago=0, states=["NY"])
    expected = {6: {}, 7: {"breach_clock_alert": 1}, 8: {}, 10: {}, 11: {"breach_clock_overdue": 1}, 12: {}}
    for day, entered in expected.items():
        assert await look(place, TODAY + timedelta(days=day)) == entered, day
    [late] = await journal(place, "breach_clock_overdue")
    assert (late.subject_id, late.data["clock"], late.data["section"]) == (one["id"], "ny_officer", "8 NYCRR 121.10(d)")
    [first, second] = await items(place, "~/compliance/tasks")
    assert [(task["kind"], task["clock"], task["level"]) for task in (first, second)] == [
        ("incident", "ny_officer", "overdue"),  # though the clock shows the first day again
        ("incident", "ny_families", "open"),
    ]
    assert second["due_on"] == in_days(60)
    assert await items(place, "~/compliance/tasks?school_id=north", "admin_north") == []


@pytest.mark.parametrize(("days_ago", "level"), [(6, "open"), (7, "soon"), (10, "soon"), (11, "overdue")])
async def test_the_list_says_how_urgent_a_clock_is(lite: Served, days_ago: int, level: str) -> None:
    """FERPA 50 §121.10: open, soon from three days before, overdue from the day after."""
    one = await incident(lite, days_ago=days_ago, states=["NY"])
    assert {task["clock"]: task["level"] for task in one["tasks"]}["ny_officer"] == level


async def test_a_task_is_done_by_whom_when_and_where_it_is_recorded(place: Served) -> None:
    """FERPA 50 §121.10: that somebody was told is kept with the day, who says so, and where it is recorded."""
    one = await incident(place, days_ago=12, states=["NY"])
    assert await problem(await end(place, one, "ny_officer", how=" ")) == (422, "incomplete")
    assert await problem(await end(place, one, "ny_officer", done_on=in_days(1))) == (422, "done-on")
    assert await problem(await end(place, one, "il_families")) == (404, "not-found")
    assert await problem(await end(place, one, "nonsense")) == (404, "not-found")
    told = await item(await end(place, one, "ny_officer", done_on=in_days(-1)))
    [officer, families] = told["tasks"]
    assert (officer["state"], officer["done_by"], officer["done_on"]) == ("done", "admin", in_days(-1))
    assert (officer["how"], officer["was_late"], families["state"]) == ("Letter in file 26-7.", True, "open")
    assert await problem(await end(place, one, "ny_officer")) == (409, "ended-already")
    [kept] = await journal(place, "incident_task_ended")
    assert kept.data == {"clock": "ny_officer", "state": "done", "done_on": in_days(-1), "due_on": in_days(-2)}
    stored = await place.district.store.read(
        lambda c: c.sql("SELECT * FROM ferpa_incident_tasks") + c.sql("SELECT * FROM ferpa_incidents")
    )
    assert "Letter" not in str(stored)
    assert "laptop" not in str(stored)


async def test_an_incident_is_closed_when_no_task_is_open_and_never_deleted(place: Served) -> None:
    """FERPA 50 §121.10: no task vanishes: it is done, or waived with the reason, before an incident is closed."""
    one = await incident(place, states=["NY"])
    path = f"{INCIDENTS}/{one['id']}"
    assert await problem(await place.post(f"{path}/close", "admin", {"closing": "Enough."})) == (409, "tasks-open")
    await item(await end(place, one, "ny_officer"))
    await item(await end(place, one, "ny_families", outcome="waived", how="It was encrypted; counsel agrees."))
    closed = await item(await place.post(f"{path}/close", "admin", {"closing": "The laptop was found."}))
    assert (closed["state"], closed["closed_by"], closed["closing"]) == ("closed", "admin", "The laptop was found.")
    assert [task["state"] for task in closed["tasks"]] == ["done", "waived"]
    for call in ("close", "more"):
        body = {"closing": "Again."} if call == "close" else {"student_ids": ["bob"]}
        assert await problem(await place.post(f"{path}/{call}", "admin", body)) == (409, "closed-already")
    assert (await place.call("DELETE", path, by="admin")).status_code == 405
    assert await items(place, f"{INCIDENTS}?state=open") == []
    assert [row["id"] for row in await items(place, INCIDENTS)] == [one["id"]]
    refusals = [row.data["problem"] for row in await journal(place, "refused")]
    assert refusals == ["tasks-open", "closed-already", "closed-already"]


# What an incident is made from


async def test_a_flag_becomes_an_incident_with_its_students_since_it_was_found(place: Served) -> None:
    """FERPA 50 §121.10: the clocks of an incident from a flag run since the flag was found, unless it is dated back."""
    store = place.district.store
    for student in ("ann", "bob", "dan"):
        assert (await place.get(f"~/students/{student}", "admin_north")).status_code == 200
    assert (await place.get("~/students/cy", "admin_south")).status_code == 200
    clock = FakeClock(now_utc() + timedelta(days=2))
    await Watch(CHOSEN, services("ferpa", store=store, clock=clock)).look()
    (flag,) = await items(place, "~/compliance/anomalies")
    assert (flag["who"], flag["students"]) == ("person:admin_north", 3)
    one = await incident(place, anomaly_ids=[flag["id"]], student_ids=[], discovered_at=None)
    assert (one["students"], one["anomalies"]) == (3, [flag["id"]])
    assert one["discovered_at"] == flag["found_at"]
    students = await items(place, f"{INCIDENTS}/{one['id']}/students")
    assert [row["student_id"] for row in students] == ["ann", "bob", "dan"]
    assert await items(place, f"{INCIDENTS}/{one['id']}/students?after=bob") == [{"student_id": "dan"}]
    (settled,) = await items(place, "~/compliance/anomalies?state=incident")
    assert (settled["incident_id"], settled["settled_by"]) == (one["id"], "admin")
    again = {"what": "Once more.", "anomaly_ids": [flag["id"]]}
    assert await problem(await place.post(INCIDENTS, "admin", again)) == (409, "settled-already")
    assert len(await items(place, INCIDENTS)) == 1  # a refused one leaves nothing behind
    reads = await store.read(
        lambda c: c.sql("SELECT student_ids FROM ferpa_audit WHERE action = 'compliance.manage' ORDER BY id")
    )
    assert ('["ann", "bob", "dan"]',) in [(row[0].replace(",", ", "),) for row in reads]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"what": " "}, (422, "incomplete")),
        ({"student_ids": ["ann", "who"]}, (422, "unknown-students")),
        ({"discovered_at": (now_utc() + timedelta(hours=2)).isoformat()}, (422, "discovered-at")),
        ({"discovered_at": "0001-01-01T00:00:00+14:00"}, (422, "discovered-at")),
        ({"discovered_at": "9999-12-31T23:59:59-12:00"}, (422, "discovered-at")),
        ({"discovered_at": "2026-10-01T10:00:00"}, (422, "invalid")),
        ({"states": ["TX"]}, (422, "invalid")),
        ({"anomaly_ids": ["none"]}, (404, "not-found")),
    ],
)
async def test_what_cannot_be_kept_is_refused_and_leaves_nothing(
    lite: Served, body: dict[str, Any], wanted: tuple[int, str]
) -> None:
    answer = await lite.post(INCIDENTS, "admin", {"what": "Something happened.", **body})
    assert answer.status_code == wanted[0]
    if wanted[1] != "invalid":
        assert await problem(answer) == wanted
    assert await items(lite, INCIDENTS) == []
    left = await lite.district.store.read(lambda c: c.sql("SELECT count(*) FROM ferpa_incident_students"))
    assert left == [(0,)]


async def test_incidents_are_for_the_districts_administrators(lite: Served) -> None:
    one = await incident(lite)
    for stranger in ("admin_north", "teacher_a", "guardian_ann", "ann"):
        for path in (INCIDENTS, f"{INCIDENTS}/{one['id']}", f"{INCIDENTS}/{one['id']}/students"):
            assert (await lite.get(path, stranger)).status_code == 403
        assert (await end(lite, one, "ny_officer", by=stranger)).status_code == 403
    assert (await lite.get(f"{INCIDENTS}/none", "admin")).status_code == 404


async def test_the_districts_date_begins_the_clock_and_settings_name_the_states(lite: Served) -> None:
    late = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)  # still the 1st in New York
    given = services("ferpa", store=lite.district.store, clock=FakeClock(late), time_zone="America/New_York")
    row = await Watch(WatchSettings(states=("NY",)), given).incident(what="A letter went astray.")
    assert (row["discovered_on"], due(row)) == ("2026-03-01", {"ny_officer": "2026-03-11", "ny_families": "2026-04-30"})
    watch = Watch(WatchSettings(), given)
    assert (await watch.incident(what="Nothing much."))["tasks"] == []
    assert await watch.findings() == []
    later = services("ferpa", store=lite.district.store, clock=FakeClock(late + timedelta(days=20)))
    (found,) = await Watch(WatchSettings(), later).findings()
    assert found.problem == "1 tasks of incidents are overdue."


async def test_a_clock_that_has_gone_back_keeps_no_flag_from_becoming_an_incident(lite: Served) -> None:
    store = lite.district.store
    for student in ("ann", "bob", "dan"):
        assert (await lite.get(f"~/students/{student}", "admin_north")).status_code == 200
    earlier = services("ferpa", store=store, clock=FakeClock(now_utc() - timedelta(hours=5)))
    watch = Watch(CHOSEN, earlier)
    await watch.look()
    (flag,) = await items(lite, "~/compliance/anomalies")
    row = await watch.incident(what="Seen before it was found.", anomaly_ids=[flag["id"]])
    assert row["discovered_at"] < flag["found_at"]
    assert {task["level"] for task in row["tasks"]} == {"open"}


# Commands


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    config = '[plugins]\nenabled = ["ferpa"]\n'
    with commands.installed(tmp_path, monkeypatch, config) as folder:
        assert run("db", "upgrade").exit_code == 0
        yield folder


def test_the_commands_open_do_and_close(installed: Path) -> None:
    del installed
    assert (run("compliance", "anomalies").exit_code, run("compliance", "incident", "list").exit_code) == (0, 0)
    words = ("--what", "A list was mailed to the wrong school.", "--state", "NY", "--everybody")
    opened = run("compliance", "incident", "open", *words, "--discovered-at", "2026-01-02T15:00:00Z", "--json")
    one = json.loads(opened.stdout)["incident"]
    assert due(one) == {"ny_officer": "2026-01-12", "ny_families": "2026-03-03"}
    assert run("compliance", "incident", "list").exit_code == 1  # overdue
    for clock in due(one):
        done = run("compliance", "incident", "done", one["id"], clock, "--how", "File 26-7", "--on", "2026-01-05")
        assert done.exit_code == 0, done.output
    refused = run("compliance", "incident", "done", one["id"], "ny_officer", "--how", "Again")
    assert (refused.exit_code, "has ended already" in refused.output) == (1, True)
    assert "is closed" in run("compliance", "incident", "close", one["id"], "--why", "Everybody was told.").stdout
    (listed,) = json.loads(run("compliance", "incident", "list", "--all", "--json").stdout)["incidents"]
    assert (listed["state"], [task["was_late"] for task in listed["tasks"]]) == ("closed", [False, False])
    assert run("compliance", "explain", "none", "--why", "x").exit_code == 1
