"""`homeroom bench notify` in short: it runs, and what it counts is right. No test looks at a time."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest

from homeroom.bench import notify_bare, notify_morning, notify_vendor, processes
from homeroom.bench.notify_district import Class, Difference, Guardian, Student, classes, compare, to_send
from homeroom.store import Store
from homeroom.store import models as m

SHORT = ("--absences", "40", "--checkins", "40", "--json")


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def test_messages_stand_beside_the_bare_insertion_of_the_same_rows_and_none_is_lost_or_doubled(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    how = () if kind == "sqlite" else ("--database", request.getfixturevalue("postgres_url"))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    words = [*processes.homeroom(), "bench", "notify", *SHORT, *how]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
    left = [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("TMPDIR") == str(tmp_path)]
    assert left == []
    found: dict[str, Any] = json.loads(done.stdout)

    assert (found["bench"], found["unit"]) == ("notify", "absences/s")
    assert (found["errors"], found["lost"], found["doubled"]) == (0, 0, 0), found
    assert min(found["measured"], found["baseline"], found["ratio"]) > 0
    setup = found["setup"]
    assert (setup["absences"], setup["cases"], setup["students"]) == (40, 42, 60)
    assert setup["messages"] > setup["cases"]
    assert setup["sent"] == to_send(classes(3 * 20))
    assert min(setup["sent_to_vendors_bound"], setup["sent_per_second_to_instant_vendor"]) > 0
    assert min(setup["checkins_while_judging"], setup["checkins_while_sending"]) > 0
    assert setup["database"].startswith("SQLite" if kind == "sqlite" else "PostgreSQL")


@pytest.mark.parametrize("absences", [1, 19, 20, 21, 1000])
def test_a_morning_has_as_many_absences_as_it_is_asked_for(absences: int) -> None:
    some = classes(absences)
    statuses = Counter(student.status for one in some for student in one.students)
    assert statuses["absent"] == absences
    assert statuses["tardy"] == len(some)
    people = [student.id for one in some for student in one.students]
    people += [guardian.id for one in some for student in one.students for guardian in student.guardians]
    assert len(people) == len(set(people))


def test_some_families_are_told_in_their_language_some_otherwise_and_some_not_at_all() -> None:
    guardians = [g for one in classes(400) for student in one.students for g in student.guardians]
    assert {guardian.language for guardian in guardians} == {None, "es", "zh", "vi", "ar"}
    assert {guardian.channel for guardian in guardians} == {None, "sms", "email"}
    assert {guardian.refused for guardian in guardians} == {None, "blocked", "opted_out"}


@pytest.mark.parametrize("hour", range(24))
def test_it_is_ten_at_the_schools_whatever_the_hour_here(hour: int) -> None:
    now = datetime(2026, 9, 14, hour, 30, tzinfo=UTC)
    assert now.astimezone(ZoneInfo(notify_morning.zone_at_ten(now))).strftime("%H:%M") == "10:30"


@pytest.fixture
def told(store: Store) -> tuple[Store, list[Class]]:
    """A class in which two are absent, and an outbox that has what it must."""
    some = classes(2)
    meant = [(student, guardian) for student in some[0].students for guardian in student.guardians]
    for student, guardian in meant:
        if student.status != "present":
            put(store, student, guardian)
    return store, some


def put(store: Store, student: Student, guardian: Guardian, key: str = "") -> None:
    """Put a message into the outbox as the notifier does."""
    now = datetime(2026, 9, 14, 14, tzinfo=UTC)
    values = {
        "key": key or f"{student.id}:{guardian.id}",
        "rule_id": "r",
        "rule_version": 1,
        "kind": "tardy" if student.status == "tardy" else "absence",
        "purpose": "attendance",
        "school_id": "bs000",
        "student_id": student.id,
        "recipient_id": guardian.id,
        "audience": "guardian",
        "language": guardian.language or "en",
        "channel": guardian.channel,
        "state": "withheld" if guardian.refused else "waiting",
        "reason": guardian.refused,
        "due_at": now,
        "expires_at": now + timedelta(hours=6),
        "created_at": now,
        "changed_at": now,
    }
    store.write_now(lambda tx: tx.insert(m.Notification, **values))


def test_an_outbox_as_it_must_be_differs_in_nothing(told: tuple[Store, list[Class]]) -> None:
    store, some = told
    assert store.read_now(lambda c: compare(c, some)) == Difference()


def test_a_message_that_is_not_there_is_lost_and_one_more_is_doubled(told: tuple[Store, list[Class]]) -> None:
    store, some = told
    first, second = some[0].students[:2]
    table = m.Notification
    store.write_now(lambda tx: tx.run(table.delete().where(table.recipient_id == first.guardians[0].id)))
    put(store, second, second.guardians[0], key="another")

    found = store.read_now(lambda c: compare(c, some))

    assert (found.lost, found.doubled, found.wrong) == (1, 1, [])


def test_a_message_that_must_not_be_is_wrong(told: tuple[Store, list[Class]]) -> None:
    store, some = told
    present = next(student for student in some[0].students if student.status == "present")
    put(store, present, present.guardians[0])

    found = store.read_now(lambda c: compare(c, some))

    assert (found.lost, found.doubled, found.wrong) == (0, 0, ["a message that must not be: absence, waiting"])


def test_a_message_to_somebody_who_is_kept_out_is_wrong(told: tuple[Store, list[Class]]) -> None:
    store, some = told
    student = some[0].students[1]
    blocked = replace(student, guardians=[replace(student.guardians[0], blocked=True)])
    one = replace(some[0], students=[some[0].students[0], blocked, *some[0].students[2:]])

    found = store.read_now(lambda c: compare(c, [one]))

    assert (found.lost, found.doubled, len(found.wrong)) == (0, 0, 1)
    assert "blocked" in found.wrong[0]


def test_the_baseline_inserts_every_row_that_was_made(told: tuple[Store, list[Class]], tmp_path: Path) -> None:
    store, _ = told
    made = store.read_now(notify_bare.rows_of)
    day = datetime(2026, 9, 14, tzinfo=UTC).date().isoformat()
    students = dict.fromkeys(row[8] for row in made["notifications"])
    made["notification_cases"] = [(student, "bs000", day, "judged", 1, "", "", "") for student in students]

    assert notify_bare.insert(str(tmp_path / "bare.db"), made) > 0

    with contextlib.closing(sqlite3.connect(tmp_path / "bare.db")) as connection:
        cases = connection.execute("SELECT * FROM bare_notification_cases").fetchall()
        messages = connection.execute("SELECT * FROM bare_notifications").fetchall()
    assert sorted(cases) == sorted(made["notification_cases"])
    assert {row[0]: row for row in messages} == {row[0]: row for row in made["notifications"]}


def test_the_vendor_notes_each_message_as_often_as_it_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "taken.txt"
    assert notify_vendor.taken(file) == {}
    file.write_text("a\nb\na\n")
    assert notify_vendor.taken(file) == {"a": 2, "b": 1}
