"""`homeroom bench sync` in short: it runs, and what it counts is right. No test looks at a time."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from homeroom.bench import processes
from homeroom.bench.sync_bare import OneRoster
from homeroom.bench.sync_out import Took
from homeroom.bench.sync_sent import Sent

SHORT = ("--students", "60", "--checkins", "40", "--changes", "12", "--json")


def bench(folder: Path, *arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "TMPDIR": str(folder)}
    words = [*processes.homeroom(), "bench", "sync", *SHORT, *arguments]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(folder.iterdir()) == []
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize(
    "kind", ["sqlite", *(pytest.param(k, marks=pytest.mark.long) for k in ("memory", "postgresql"))]
)
def test_a_sync_stands_beside_the_bare_insertion_of_the_same_rows(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    how = {"sqlite": (), "memory": ("--memory",)}.get(kind)
    found = bench(tmp_path, *(("--database", request.getfixturevalue("postgres_url")) if how is None else how))

    assert (found["bench"], found["errors"], found["lost"], found["doubled"]) == ("sync", 0, 0, 0)
    assert min(found["measured"], found["baseline"], found["ratio"]) > 0
    setup = found["setup"]
    assert (setup["tables_changed_by_second"], setup["wasted"], setup["changes_out"]) == (0, 0, 12)
    assert setup["enrollments"] > setup["users"] > setup["classes"] > 0
    assert setup["memory_mib"] > 10
    assert ("memory_growth" in setup) == (kind == "memory")
    assert setup["checkins_during_sync"] > 0


def _sent(*asked: tuple[str, str, int, int], marks: int = 2) -> Sent:
    took = Took(seconds=1.0, marks=2, confirmed=2, left=0)
    return Sent(took=took, changes=2, asked=[list(one) for one in asked], marks=marks)


def test_a_write_that_was_refused_or_sent_again_is_wasted() -> None:
    first = ("POST", "/ws/attendance/meeting_interval?", 200, 1)
    other = ("POST", "/ws/attendance/meeting_interval?", 200, 2)
    busy = ("POST", "/ws/attendance/meeting_interval?", 429, 3)
    look = ("POST", "/ws/schema/query/detail?", 200, 4)

    assert _sent(first, other, look, look).wasted == 0
    assert _sent(first, first, other).wasted == 1
    assert _sent(first, other, busy).wasted == 1


def test_marks_that_did_not_arrive_are_told() -> None:
    assert _sent().wrong == []
    assert "1 are there" in _sent(marks=1).wrong[0]


def test_the_baseline_makes_as_many_rows_of_a_person_as_homeroom_keeps() -> None:
    read = OneRoster()
    ref = {"href": "x", "sourcedId": "s1", "type": "org"}
    read({"demographics": [{"sourcedId": "u1", "birthDate": "2015-03-04"}]})
    person = {
        "sourcedId": "u1",
        "status": "active",
        "dateLastModified": "2026-08-01T00:00:00.000Z",
        "givenName": "Ada",
        "familyName": "Ruiz",
        "enabledUser": "true",
        "email": "a@example.org",
        "sms": "+1",
        "roles": [{"role": "student", "roleType": "primary", "org": ref}, {"role": "aide", "org": ref}],
        "agents": [{"sourcedId": "g1"}, {"sourcedId": "g2"}],
    }

    rows = read({"users": [person]})

    counts = {table: len(some) for table, some in rows.items()}
    assert counts == {"users": 1, "role_assignments": 1, "contacts": 2, "guardianships": 2}
    assert "2015-03-04" in rows["users"][0]
