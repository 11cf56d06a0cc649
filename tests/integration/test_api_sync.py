"""The sync over REST: begin a run, follow it, look at what it would change, let it go on, and answer its questions."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from homeroom.app import create_app
from homeroom.roster import edits
from homeroom.store import Transaction, now_utc
from homeroom.store import models as m
from homeroom.sync import lease
from homeroom.testing.district import write_bundle
from tests.hostile_plugin.install import pretend_installed
from tests.services.served import Served, served
from tests.services.waiting import until

Row = dict[str, str]
RUNS = "~/sync/oneroster/runs"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", students=20)
    return tmp_path / "bundle"


def edit(bundle: Path, file: str, change: Callable[[list[Row]], list[Row]]) -> None:
    """Change the rows of one file of the bundle, as the SIS would."""
    path = bundle / file
    with path.open(newline="", encoding="utf-8") as source:
        reader = csv.DictReader(source)
        names, rows = list(reader.fieldnames or ()), list(reader)
    with path.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, names)
        writer.writeheader()
        writer.writerows(change(rows))


def without_half_the_seats(rows: list[Row]) -> list[Row]:
    seats = [row for row in rows if row["role"] == "student"]
    return [row for row in rows if row not in seats[::2]]


def renamed(user: str, name: str) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [{**row, "familyName": name} if row["sourcedId"] == user else row for row in rows]


@pytest.fixture
async def api(sqlite_url: str, bundle: Path) -> AsyncIterator[Served]:
    schedules = {"oneroster": "daily 02:30"}
    sections = {"oneroster": {"source": str(bundle)}}
    async with served(sqlite_url, enabled=["oneroster"], sections=sections, sync={"schedules": schedules}) as running:
        yield running


async def facts(answer: Any, status: int = 200) -> Any:
    body = await answer.get_json()
    assert answer.status_code == status, body
    return body


async def ended(api: Served, run_id: str) -> Any:
    """The run, once nobody is at it any more."""
    await until(lambda: run_id not in api.district.runs.under_way)
    return await facts(await api.get(f"~/sync/runs/{run_id}", "admin"))


async def ran(api: Served, **wish: bool) -> Any:
    """A run that was begun as wished and has ended."""
    begun = await facts(await api.post(RUNS, "admin", wish), 202)
    return await ended(api, begun["run_id"])


async def a_student(api: Served) -> m.User:
    """Somebody whom the SIS knows as a student."""
    held = m.RoleAssignment
    students = held.select(held.user_id).where(held.role == "student")
    chosen = m.User.select().where(m.User.source == "oneroster", m.User.id.in_(students)).order_by(m.User.sourced_id)
    found = await api.district.store.read(lambda c: c.one(chosen))
    assert found is not None
    return found


async def renamed_here(api: Served, user_id: str, name: str) -> None:
    """Correct a student's family name here, as the office does."""
    read = await api.get(f"~/students/{user_id}", "admin")
    tag = {"If-Match": read.headers["ETag"]}
    body = {"family_name": name}
    await facts(await api.call("PATCH", f"~/students/{user_id}", by="admin", json=body, headers=tag))


async def test_a_run_goes_on_behind_the_request_and_tells_what_it_did(api: Served) -> None:
    run = await ran(api, full=True)
    assert (run["status"], run["connector"], run["started_by"]) == ("done", "oneroster", "admin")
    assert run["added"] > 200
    assert run["rows_per_second"] > 0
    again = await ran(api)
    assert (again["added"], again["changed"], again["unchanged"]) == (0, 0, run["added"])
    listed = await facts(await api.get("~/sync/runs?limit=1", "admin"))
    assert [one["run_id"] for one in listed["items"]] == [again["run_id"]]
    rest = await facts(await api.get(f"~/sync/runs?cursor={listed['next']}", "admin"))
    assert ([one["run_id"] for one in rest["items"]], rest["next"]) == ([run["run_id"]], None)


async def test_each_connector_tells_how_it_stands(api: Served) -> None:
    (one,) = (await facts(await api.get("~/sync/connectors", "admin")))["items"]
    assert (one["name"], one["running"], one["last_success"], one["last_run"]) == ("oneroster", False, None, None)
    assert "user" in one["nouns"]
    assert one["schedule"] == "daily at 02:30 (UTC)"
    assert one["next_run"]
    assert one["attendance_out"] == "none"
    assert "takes no attendance" in one["attendance_out_words"]
    await ran(api)
    (one,) = (await facts(await api.get("~/sync/connectors", "admin")))["items"]
    assert one["last_run"]["status"] == "done"
    assert one["last_success"]
    assert 0 <= one["lag_seconds"] < 60
    assert (one["dead_letters"], one["conflicts_open"], one["outgoing"]["waiting"]) == (0, 0, 0)


async def test_a_second_run_of_one_connector_waits_for_the_first(api: Served) -> None:
    await api.district.store.write(lambda tx: lease.take(tx, "sync.oneroster", "another process"))
    answer = await api.post(RUNS, "admin")
    body = await facts(answer, 409)
    assert body["type"].endswith("/sync-running")
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_run_that_is_asked_for_twice_under_one_key_begins_once(api: Served) -> None:
    key = {"Idempotency-Key": "nightly-2026-11-23"}
    first = await facts(await api.post(RUNS, "admin", {"full": True}, headers=key), 202)
    await ended(api, first["run_id"])
    assert await facts(await api.post(RUNS, "admin", {"full": True}, headers=key), 202) == first
    assert len((await facts(await api.get("~/sync/runs", "admin")))["items"]) == 1


async def test_a_run_outlives_the_server_that_began_it(sqlite_url: str, bundle: Path) -> None:
    sections = {"oneroster": {"source": str(bundle)}}
    async with served(sqlite_url, enabled=["oneroster"], sections=sections) as first:
        begun = await facts(await first.post(RUNS, "admin", {"full": True}), 202)
        settings = first.district.settings
    app = create_app(settings)
    async with app.test_app():
        second = Served(app=app, district=app.extensions["homeroom"], client=app.test_client())
        path = f"~/sync/runs/{begun['run_id']}"
        async with asyncio.timeout(10):
            while (run := await facts(await second.get(path, "admin")))["status"] != "done":  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.02)
    assert run["added"] > 200


async def test_a_check_names_what_is_missing_and_the_fix(api: Served, bundle: Path) -> None:
    assert await facts(await api.get("~/sync/oneroster/check", "admin")) == {"ok": True, "findings": []}
    bundle.rename(bundle.with_name("elsewhere"))  # noqa: ASYNC240 - a test's own folder
    found = await facts(await api.get("~/sync/oneroster/check", "admin"))
    assert not found["ok"]
    assert all(one["problem"] and one["fix"] for one in found["findings"])


async def test_a_dry_run_shows_its_rows_page_by_page_and_changes_nothing(api: Served) -> None:
    run = await ran(api, dry_run=True, full=True)
    path, rows = f"~/sync/runs/{run['run_id']}/diff", []
    query = "?limit=70"
    while True:
        page = await facts(await api.get(path + query, "admin"))
        rows += page["items"]
        if page["next"] is None:
            break
        query = f"?limit=70&cursor={page['next']}"
    assert len(rows) == run["added"] == len({(row["noun"], row["sourced_id"]) for row in rows})
    assert await api.district.store.read(lambda c: c.one(m.User.select().where(m.User.source == "oneroster"))) is None


async def test_a_dry_run_is_done_only_when_all_its_rows_can_be_read(api: Served) -> None:
    begun = await facts(await api.post(RUNS, "admin", {"dry_run": True, "full": True}), 202)
    path = f"~/sync/runs/{begun['run_id']}"
    run = {"status": "pulling"}
    async with asyncio.timeout(10):
        while run["status"] != "done":
            run = await facts(await api.get(path, "admin"))
    rows = (await facts(await api.get(f"{path}/diff?limit=500", "admin")))["items"]
    assert len(rows) == min(run["added"], 500)


async def test_what_a_dry_run_shows_of_people_lies_sealed_in_the_database(api: Served) -> None:
    run = await ran(api, dry_run=True, full=True)
    kept = await api.district.store.read(lambda c: c.values(m.SyncDiff.select(m.SyncDiff.content)))
    shown = (await facts(await api.get(f"~/sync/runs/{run['run_id']}/diff?limit=500", "admin")))["items"]
    names = {row["fields"]["family_name"][1] for row in shown if row["noun"] == "user"}
    assert len(names) > 5
    assert not any(name in content for name in names for content in kept if len(name) > 3)


async def test_only_a_dry_run_has_rows_and_for_a_day(api: Served) -> None:
    run = await ran(api, full=True)
    assert (await api.get(f"~/sync/runs/{run['run_id']}/diff", "admin")).status_code == 409
    assert (await api.get("~/sync/runs/none/diff", "admin")).status_code == 404
    dry = await ran(api, dry_run=True, full=True)
    assert (await facts(await api.get(f"~/sync/runs/{dry['run_id']}/diff", "admin")))["items"] == []


async def test_an_approved_dry_run_is_taken_over_as_shown(api: Served) -> None:
    dry = await ran(api, dry_run=True, full=True)
    begun = await facts(await api.post(f"~/sync/runs/{dry['run_id']}/approve", "admin"), 202)
    run = await ended(api, begun["run_id"])
    assert (run["status"], run["added"], run["approves"]) == ("done", dry["added"], dry["run_id"])


async def test_an_approved_dry_run_fails_when_the_source_has_changed(api: Served, bundle: Path) -> None:
    dry = await ran(api, dry_run=True, full=True)
    edit(bundle, "users.csv", renamed("principal-1", "Elsewhere"))
    begun = await facts(await api.post(f"~/sync/runs/{dry['run_id']}/approve", "admin"), 202)
    run = await ended(api, begun["run_id"])
    assert (run["status"], run["added"]) == ("failed", 0)
    assert run["reason"]


async def held(api: Served, bundle: Path) -> Any:
    await ran(api, full=True)
    edit(bundle, "enrollments.csv", without_half_the_seats)
    run = await ran(api, full=True)
    assert run["status"] == "held"
    return run


async def test_a_held_run_says_why_and_goes_on_when_an_admin_releases_it(api: Served, bundle: Path) -> None:
    run = await held(api, bundle)
    assert run["findings"]
    assert all(one["found"] and one["look_at"] for one in run["findings"])
    await facts(await api.post(f"~/sync/runs/{run['run_id']}/release", "admin"), 202)
    gone_on = await ended(api, run["run_id"])
    assert (gone_on["status"], gone_on["released_by"]) == ("done", "admin")
    assert gone_on["ended"] > 0
    assert (await api.post(f"~/sync/runs/{run['run_id']}/release", "admin")).status_code == 409


async def test_a_held_run_that_is_discarded_changes_nothing(api: Served, bundle: Path) -> None:
    run = await held(api, bundle)
    discarded = await facts(await api.post(f"~/sync/runs/{run['run_id']}/discard", "admin"))
    assert discarded["status"] == "failed"
    assert (await api.post(f"~/sync/runs/{run['run_id']}/discard", "admin")).status_code == 409
    assert (await api.post(f"~/sync/runs/{run['run_id']}/release", "admin")).status_code == 409


async def test_a_run_that_failed_goes_on_and_one_that_is_done_does_not(api: Served, bundle: Path) -> None:
    (bundle / "classes.csv").rename(bundle / "classes.away")
    run = await ran(api, full=True)
    assert (run["status"], run["added"]) == ("failed", 0)
    (bundle / "classes.away").rename(bundle / "classes.csv")
    await facts(await api.post(f"~/sync/runs/{run['run_id']}/resume", "admin"), 202)
    assert (await ended(api, run["run_id"]))["status"] == "done"
    answer = await facts(await api.post(f"~/sync/runs/{run['run_id']}/resume", "admin"), 409)
    assert answer["type"].endswith("/sync-done")


async def test_a_row_that_was_left_out_is_listed_and_taken_when_its_fault_is_gone(api: Served, bundle: Path) -> None:
    def lost(rows: list[Row]) -> list[Row]:
        return [row for row in rows if row["sourcedId"] != "school-1-kg-homeroom-a"]

    classes = (bundle / "classes.csv").read_bytes()
    edit(bundle, "classes.csv", lost)
    run = await ran(api, full=True)
    letters = (await facts(await api.get("~/sync/oneroster/dead-letters", "admin")))["items"]
    assert len(letters) == run["dead_letters"] > 0
    assert {one["noun"] for one in letters} == {"enrollment"}
    page = await facts(await api.get("~/sync/oneroster/dead-letters?limit=1", "admin"))
    assert page["items"] == letters[:1]
    still = await facts(await api.post("~/sync/oneroster/replay", "admin", {"ids": [letters[0]["id"]]}))
    assert (still["replayed"], still["still_dead"]) == (0, 1)

    (bundle / "classes.csv").write_bytes(classes)
    await ran(api)
    await facts(await api.post("~/sync/oneroster/replay", "admin"))
    assert (await facts(await api.get("~/sync/oneroster/dead-letters", "admin")))["items"] == []
    assert (await api.post("~/sync/oneroster/replay", "admin", {"ids": [987_654]})).status_code == 404


async def test_a_question_is_shown_and_settled_with_who_and_why(api: Served, bundle: Path) -> None:
    await ran(api, full=True)
    student = await a_student(api)
    await renamed_here(api, student.id, "Ours")
    edit(bundle, "users.csv", renamed(str(student.sourced_id), "Theirs"))
    await ran(api, full=True)
    (one,) = (await facts(await api.get("~/sync/conflicts", "admin")))["items"]
    assert (one["field"], one["ours"], one["theirs"], one["row_id"]) == ("family_name", "Ours", "Theirs", student.id)
    wish = {"resolution": "theirs", "why": "the passport says so"}
    settled = await facts(await api.post(f"~/sync/conflicts/{one['id']}", "admin", wish))
    assert (settled["state"], settled["chosen"], settled["who"]) == ("settled", "theirs", "admin")
    assert (await facts(await api.get(f"~/students/{student.id}", "admin")))["family_name"] == "Theirs"
    assert (await facts(await api.get("~/sync/conflicts", "admin")))["items"] == []
    (kept,) = (await facts(await api.get("~/sync/conflicts?state=settled", "admin")))["items"]
    assert kept["why"] == "the passport says so"
    assert (await api.post(f"~/sync/conflicts/{one['id']}", "admin", wish)).status_code == 409
    for unknown in ("987654", "x", "9" * 30, f"{'0' * 20}{'9' * 30}"):
        assert (await api.post(f"~/sync/conflicts/{unknown}", "admin", wish)).status_code == 404
    assert (await api.post(f"~/sync/conflicts/{one['id']}", "admin", {"resolution": "both"})).status_code == 422


async def test_what_was_corrected_here_is_on_the_registrars_list(api: Served) -> None:
    await ran(api, full=True)
    student = await a_student(api)
    await renamed_here(api, student.id, "Corrected")
    (one,) = (await facts(await api.get("~/sync/oneroster/corrections", "admin")))["items"]
    assert (one["field"], one["ours"], one["theirs"], one["who"]) == (
        "family_name",
        "Corrected",
        student.family_name,
        "admin",
    )


def outgoing(tx: Transaction) -> None:
    """A mark of Ann's that somebody has changed in the SIS."""
    tx.insert(
        m.OutgoingMark,
        id="mark_ann",
        connector="oneroster",
        student_id="ann",
        school_id="north",
        class_id="algebra",
        school_day=now_utc().date(),
        student_sourced_id="1",
        school_sourced_id="2",
        class_sourced_id="3",
        status="absent",
        recorded_at=tx.now,
        wish="absent",
        state="differs",
        theirs="present",
        waiting_since=tx.now - timedelta(hours=1),
    )


async def test_a_mark_that_differs_in_the_sis_waits_for_a_decision(api: Served) -> None:
    await api.district.store.write(outgoing)
    (one,) = (await facts(await api.get("~/sync/oneroster/attendance", "admin")))["items"]
    assert (one["state"], one["student_id"], one["status"], one["theirs"]) == ("differs", "ann", "absent", "present")
    path = f"~/sync/oneroster/attendance/{one['id']}"
    stale = {"choice": "keep", "why": "they know", "version": one["version"] + 1}
    assert (await api.post(path, "admin", stale)).status_code == 412
    decided = await facts(await api.post(path, "admin", {"choice": "keep", "why": "they know", "version": 1}))
    assert decided == {"id": "mark_ann", "choice": "keep"}
    assert (await facts(await api.get("~/sync/oneroster/attendance", "admin")))["items"] == []
    assert (await api.post(path, "admin", {"choice": "overwrite", "why": "no"})).status_code == 409
    assert (await api.post("~/sync/oneroster/attendance/none", "admin", stale)).status_code == 404


async def test_health_tells_of_each_connector_and_is_degraded_by_a_held_run(api: Served, bundle: Path) -> None:
    await ran(api, full=True)
    health = await facts(await api.get("/health/detailed", "admin"))
    (one,) = health["connectors"]
    assert (health["status"], one["ok"], one["last_state"], one["running"]) == ("ok", True, "done", False)
    assert one["last_success"]
    edit(bundle, "enrollments.csv", without_half_the_seats)
    await ran(api, full=True)
    health = await facts(await api.get("/health/detailed", "admin"))
    (one,) = health["connectors"]
    assert (health["status"], one["ok"], one["last_state"]) == ("degraded", False, "held")
    assert "held" in one["detail"]
    metrics = await (await api.get("/metrics", "admin")).get_data(as_text=True)
    assert 'homeroom_sync_runs{connector="oneroster",status="held"} 1.0' in metrics


async def test_what_is_shown_of_people_is_audited_before_it_is_shown(
    sqlite_url: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in pretend_installed(tmp_path / "installed"):
        monkeypatch.syspath_prepend(str(folder))
    sections = {"oneroster": {"source": str(bundle)}, "hostile": {"hook": "audit", "behaviour": "raise"}}
    async with served(sqlite_url, enabled=["oneroster", "hostile"], sections=sections, required=["hostile"]) as api:
        await ran(api, full=True)
        await api.district.store.write(outgoing)
        student = await a_student(api)

        def corrected(tx: Transaction) -> None:
            tx.run(m.User.update(family_name="Ours").where(m.User.id == student.id))
            edits.note(tx, "user", student.id, "oneroster", ["family_name"])

        await api.district.store.write(corrected)
        assert (await api.get("~/sync/oneroster/corrections", "admin")).status_code == 503
        edit(bundle, "users.csv", renamed(str(student.sourced_id), "Theirs"))
        await ran(api, full=True)
        edit(bundle, "users.csv", renamed("principal-1", "Elsewhere"))
        dry = await ran(api, full=True, dry_run=True)
        for path in ("~/sync/conflicts", "~/sync/oneroster/attendance", f"~/sync/runs/{dry['run_id']}/diff"):
            assert (await api.get(path, "admin")).status_code == 503, path
        assert (await api.get("~/sync/connectors", "admin")).status_code == 200


async def test_it_is_alike_on_postgresql(postgres_url: str, bundle: Path) -> None:
    sections = {"oneroster": {"source": str(bundle)}}
    async with served(postgres_url, enabled=["oneroster"], sections=sections) as api:
        await test_a_run_goes_on_behind_the_request_and_tells_what_it_did(api)
        dry = await ran(api, dry_run=True)
        assert (await facts(await api.get(f"~/sync/runs/{dry['run_id']}/diff", "admin")))["items"] == []
        await test_a_question_is_shown_and_settled_with_who_and_why(api, bundle)
        await test_what_was_corrected_here_is_on_the_registrars_list(api)
        await test_a_mark_that_differs_in_the_sis_waits_for_a_decision(api)
        await test_a_held_run_says_why_and_goes_on_when_an_admin_releases_it(api, bundle)
        (one,) = (await facts(await api.get("~/sync/connectors", "admin")))["items"]
        assert one["last_run"]["status"] == "done"


PATHS = (
    ("GET", "~/sync/connectors"),
    ("GET", "~/sync/oneroster/check"),
    ("POST", RUNS),
    ("GET", "~/sync/runs"),
    ("GET", "~/sync/runs/none"),
    ("GET", "~/sync/runs/none/diff"),
    ("POST", "~/sync/runs/none/release"),
    ("POST", "~/sync/runs/none/approve"),
    ("POST", "~/sync/runs/none/discard"),
    ("POST", "~/sync/runs/none/resume"),
    ("GET", "~/sync/oneroster/dead-letters"),
    ("POST", "~/sync/oneroster/replay"),
    ("GET", "~/sync/conflicts"),
    ("POST", "~/sync/conflicts/1"),
    ("GET", "~/sync/oneroster/corrections"),
    ("GET", "~/sync/oneroster/attendance"),
    ("POST", "~/sync/oneroster/attendance/none"),
)


@pytest.mark.parametrize("who", ["admin_north", "teacher_a", "ann", "guardian_ann", None])
async def test_the_sync_is_for_the_districts_administrators_alone(api: Served, who: str | None) -> None:
    bodies = {"~/sync/conflicts/1": {"resolution": "ours"}, "~/sync/oneroster/attendance/none": {"choice": "keep"}}
    for method, path in PATHS:
        json = bodies.get(path, {}) if method == "POST" else None
        answer = await api.call(method, path, by=who, json=json)
        assert answer.status_code == (403 if who else 401), path


async def test_what_there_is_not_is_404_and_a_cursor_of_another_list_422(api: Served) -> None:
    for method, path in PATHS:
        if "/none" in path and method == "POST" and "attendance" not in path:
            assert (await api.post(path, "admin")).status_code == 404, path
    assert (await api.get("~/sync/runs/none", "admin")).status_code == 404
    answer = await facts(await api.post("~/sync/nobody/runs", "admin"), 404)
    assert "There are: oneroster" in answer["detail"]
    for path in ("~/sync/oneroster/dead-letters", "~/sync/conflicts", "~/sync/oneroster/corrections"):
        assert (await api.get(f"{path}?cursor=WyJ4Il0=", "admin")).status_code == 422, path
