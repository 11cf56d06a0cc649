"""The log says what happened and where, never to whom; the figures are what the contract lists."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from homeroom.live.bus import Bus
from homeroom.live.tail import Tail
from homeroom.runs.metrics import sync_figures
from homeroom.settings import LogSettings, Settings
from homeroom.store import Store, Transaction, new_id
from homeroom.store import models as m
from homeroom.telemetry import Metrics, bind_request, configure_logging, redact
from tests.services.rows import put


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers = list(root.handlers)
    yield
    root.handlers = handlers
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def as_json() -> None:
    configure_logging(Settings(log=LogSettings(format="json")))


def test_production_logs_json_with_the_requests_id(capsys: pytest.CaptureFixture[str]) -> None:
    as_json()
    bind_request("request-1")
    structlog.get_logger("homeroom").info("session_opened", class_id="c1")
    (line,) = logged(capsys)
    assert line["event"] == "session_opened"
    assert (line["request_id"], line["class_id"], line["level"]) == ("request-1", "c1", "info")
    assert line["timestamp"].endswith("Z")


def test_development_logs_to_be_read_without_colours_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings())
    structlog.get_logger("homeroom").info("session_opened", class_id="c1")
    text = capsys.readouterr().err
    assert "session_opened" in text
    assert "class_id=c1" in text
    assert "\x1b" not in text


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log=LogSettings(level="warning", format="json")))
    structlog.get_logger("homeroom").info("small")
    structlog.get_logger("homeroom").warning("big")
    assert [line["event"] for line in logged(capsys)] == ["big"]


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "new_password",
        "access_token",
        "Authorization",
        "set_cookie",
        "client_secret",
        "email",
        "home_phone",
        "code",
        "ticket",
        "note",
        "to",
        "proof",
        "given_name",
    ],
)
def test_fields_that_are_nobodys_business_are_left_out_at_any_depth(key: str) -> None:
    entry = redact(None, "", {"event": "e", key: "hush", "inner": {key: "hush", "fine": {key: "hush"}}})
    assert "hush" not in json.dumps(entry)
    assert entry["event"] == "e"


@pytest.mark.parametrize("key", ["status_code", "exit_code", "error_code", "class_id", "plugin", "total"])
def test_fields_that_an_operator_needs_stay(key: str) -> None:
    assert redact(None, "", {key: "kept"})[key] == "kept"


def test_an_exception_is_told_by_type_and_place_and_not_by_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    as_json()
    log = structlog.get_logger("homeroom")
    try:
        int("ada@school.example")
    except ValueError as exc:
        log.exception("by_exception")
        log.error("by_value", exc_info=exc)
    log.error("without", exc_info=None)
    first, second, third = logged(capsys)
    for line in (first, second):
        assert line["error"] == "ValueError"
        assert "test_telemetry" in line["place"]
        assert "ada" not in json.dumps(line)
    assert "error" not in third


def test_libraries_are_heard_without_what_they_were_given(capsys: pytest.CaptureFixture[str]) -> None:
    as_json()
    as_json()  # twice configured is not twice logged
    logging.getLogger("library").warning("cannot reach %s", "https://ada@school.example/?token=x")
    logging.getLogger("library").info("chatter")
    (line,) = logged(capsys)
    assert (line["event"], line["logger"], line["message"]) == ("library", "library", "cannot reach %s")
    assert "ada" not in json.dumps(line)


def rendered(metrics: Metrics, **more: Any) -> str:
    district: Any = SimpleNamespace(
        boards=SimpleNamespace(sockets=3), store=SimpleNamespace(waiting=7), agreement=SimpleNamespace(disagreeing=0)
    )
    body, content_type = metrics.render(district, **more)
    assert content_type.startswith("text/plain")
    return body.decode()


def test_everything_that_the_contract_lists_is_measured() -> None:
    metrics = Metrics()
    metrics.request("POST", "/api/v1/attendance/checkin", 201, 0.004)
    metrics.request("POST", "/api/v1/attendance/checkin", 422, 0.004)
    metrics.check_in("recorded")
    metrics.hook("rotating_code", "verify_check_in", 0.0001, failed=False)
    metrics.hook("rotating_code", "verify_check_in", 1.5, failed=True)
    metrics.message("sms", "delivered")
    text = rendered(metrics)
    for line in (
        'homeroom_request_seconds_count{method="POST",route="/api/v1/attendance/checkin"} 2.0',
        'homeroom_request_seconds_bucket{le="0.005",method="POST",route="/api/v1/attendance/checkin"} 2.0',
        'homeroom_request_errors_total{method="POST",route="/api/v1/attendance/checkin",status="422"} 1.0',
        'homeroom_check_ins_total{result="recorded"} 1.0',
        'homeroom_hook_seconds_count{hook="verify_check_in",plugin="rotating_code"} 2.0',
        'homeroom_hook_failures_total{hook="verify_check_in",plugin="rotating_code"} 1.0',
        'homeroom_messages_total{channel="sms",result="delivered"} 1.0',
        "homeroom_sockets 3.0",
        'homeroom_queue_depth{queue="writes"} 7.0',
        "process_resident_memory_bytes",
    ):
        assert line in text, line


def test_two_apps_in_one_process_count_apart() -> None:
    one, two = Metrics(), Metrics()
    one.check_in("recorded")
    assert 'result="recorded"' in rendered(one)
    assert 'result="recorded"' not in rendered(two)


async def test_statements_and_attendance_are_measured_as_they_happen(store: Store) -> None:
    metrics = Metrics()
    tail = Tail(store, Bus(store))
    metrics.follow(store, tail)
    await tail.start()
    for n in range(3):
        await store.write(put(str(n)))

    def record(tx: Transaction) -> None:
        for kind, status in (
            ("attendance.recorded", "tardy"),
            ("attendance.corrected", "present"),
            ("user.changed", ""),
        ):
            tx.journal(kind, student_id="ada", data={"status": status, "school_id": "north"})

    await store.write(record)
    await tail.catch_up()
    await tail.stop()
    text = rendered(metrics)
    assert 'homeroom_attendance_total{school="north",status="tardy"} 1.0' in text
    assert 'homeroom_attendance_total{school="north",status="present"} 1.0' in text
    assert "ada" not in text
    counts = {
        line.split('"')[1]: float(line.split()[-1]) for line in text.splitlines() if "database_seconds_count" in line
    }
    assert counts["commit"] == 4
    assert counts["insert"] == 7  # three keys, and the journal four times
    assert counts["select"] >= 2
    infinite = [line for line in text.splitlines() if line.startswith('homeroom_database_seconds_bucket{le="+Inf"')]
    assert {float(line.split()[-1]) for line in infinite} == set(counts.values())


async def test_the_connectors_figures_come_from_their_runs(store: Store) -> None:
    def runs(tx: Transaction) -> None:
        for state, added, dry in (("done", 5, False), ("done", 2, False), ("failed", 1, False), ("done", 100, True)):
            tx.insert(
                m.SyncRun,
                id=new_id(),
                connector="oneroster",
                dry_run=dry,
                state=state,
                started_at=tx.now,
                finished_at=tx.now,
                added=added,
                dead_letters=1,
            )
        tx.insert(m.SyncRun, id=new_id(), connector="skyward", state="pulling", started_at=tx.now)

    assert await store.read(sync_figures) == []
    await store.write(runs)
    figures = await store.read(sync_figures)
    text = rendered(Metrics(), syncs=figures)
    assert 'homeroom_sync_rows_total{change="added",connector="oneroster"} 8.0' in text
    assert 'homeroom_sync_rows_total{change="dead",connector="oneroster"} 3.0' in text
    assert 'homeroom_sync_lag_seconds{connector="skyward"}' not in text
    (lag,) = [line for line in text.splitlines() if line.startswith('homeroom_sync_lag_seconds{connector="oneroster"}')]
    assert 0 <= float(lag.split()[-1]) < 60
    assert 'homeroom_sync_runs{connector="oneroster",status="done"} 2.0' in text
    assert 'homeroom_sync_runs{connector="skyward",status="pulling"} 1.0' in text
    assert 'homeroom_sync_last_success_timestamp_seconds{connector="oneroster"}' in text


async def test_what_waits_for_a_person_is_counted(store: Store) -> None:
    def waiting(tx: Transaction) -> None:
        tx.insert(m.SyncRun, id="run", connector="oneroster", state="done", started_at=tx.now, finished_at=tx.now)
        for replayed in (None, None, tx.now):
            values = {"connector": "oneroster", "run_id": "run", "noun": "user", "location": "line 7", "reason": "why"}
            tx.insert(m.DeadLetter, **values, replayed_at=replayed)
        about = {"connector": "oneroster", "noun": "org", "sourced_id": "s", "row_id": "r", "field": "name"}
        for state in ("open", "settled"):
            tx.insert(m.SyncConflict, **about, state=state, found_at=tx.now, changed_at=tx.now)
        tx.insert(m.OutgoingQueue, connector="oneroster", sent=7, confirmed=6, left_out=2)
        ids = {"student_id": "ann", "school_id": "north", "student_sourced_id": "1", "school_sourced_id": "2"}
        for state in ("waiting", "waiting", "sent", "differs"):
            times = {"recorded_at": tx.now, "waiting_since": tx.now, "school_day": tx.now.date()}
            tx.insert(m.OutgoingMark, id=new_id(), connector="oneroster", state=state, wish="absent", **ids, **times)

    await store.write(waiting)
    text = rendered(Metrics(), syncs=await store.read(sync_figures))
    assert 'homeroom_sync_dead_letters{connector="oneroster"} 2.0' in text
    assert 'homeroom_sync_conflicts{connector="oneroster"} 1.0' in text
    assert 'homeroom_attendance_out_marks{connector="oneroster",state="waiting"} 2.0' in text
    assert 'homeroom_attendance_out_marks{connector="oneroster",state="differs"} 1.0' in text
    assert 'homeroom_attendance_out_total{connector="oneroster",result="confirmed"} 6.0' in text
    assert 'homeroom_attendance_out_oldest_seconds{connector="oneroster"}' in text
