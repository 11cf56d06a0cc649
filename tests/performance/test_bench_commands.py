"""`homeroom bench` in short: each bench runs on a real server, counts rightly and prints the contract's object.

No test looks at a time: machines differ.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import click
import psutil
import pytest
from click.testing import CliRunner

from homeroom.bench import checkin, processes
from homeroom.bench.outcome import Outcome
from homeroom.bench.synthetic import installation
from homeroom.cli.bench import bench as command

KEYS = {"bench", "measured", "baseline", "ratio", "unit", "errors", "setup"}
HOMEROOM = processes.homeroom()


def bench(*arguments: str, folder: Path) -> dict[str, Any]:
    """What the command prints; the temporary folder is looked at, and its children, so that nothing is left behind."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(
        [*HOMEROOM, "bench", *arguments, "--json"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n") == 1
    assert list(folder.iterdir()) == []
    assert not [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("TMPDIR") == str(folder)]
    told: dict[str, Any] = json.loads(done.stdout)
    assert KEYS <= told.keys() <= KEYS | {"p50_ms", "p95_ms", "lost", "doubled"}
    assert told["bench"] == arguments[0]
    assert min(told["measured"], told["baseline"], told["ratio"]) > 0
    assert told["setup"]["python"]
    return told


SHORT = ("--students", "60", "--rounds", "2", "--connections", "8")


@pytest.mark.parametrize(
    "server",
    [pytest.param(name, marks=[] if name == "hypercorn" else pytest.mark.long) for name in processes.SERVERS],
)
def test_check_ins_are_all_answered_and_all_there_on_every_server(tmp_path: Path, server: str) -> None:
    found = bench("checkin", "--server", server, *SHORT, folder=tmp_path)
    assert (found["errors"], found["lost"], found["doubled"]) == (0, 0, 0)
    assert found["unit"] == "check-ins/s"
    assert found["setup"]["server"].startswith(server)
    assert found["p95_ms"] >= found["p50_ms"] > 0


@pytest.mark.long
def test_check_ins_are_measured_on_postgresql_and_its_database_is_dropped(tmp_path: Path, postgres_url: str) -> None:
    import psycopg

    def databases() -> set[str]:
        with psycopg.connect(postgres_url) as connection:
            return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}

    found = bench("checkin", "--database", postgres_url, *SHORT, folder=tmp_path)
    assert (found["errors"], found["lost"], found["doubled"]) == (0, 0, 0)
    assert found["setup"]["database"] == "PostgreSQL"
    assert not [name for name in databases() if name.startswith("homeroom_bench")]


def test_every_board_hears_every_check_in_once_and_the_memory_is_told(tmp_path: Path) -> None:
    found = bench("board", "--sockets", "20", "--checkins", "24", "--students", "90", folder=tmp_path)
    assert (found["errors"], found["lost"], found["doubled"]) == (0, 0, 0)
    assert found["setup"]["memory_mib"] > 10
    assert found["setup"]["message_bytes"] > 100


def test_a_years_statistics_stand_beside_one_row_and_one_month(tmp_path: Path) -> None:
    arguments = ("--classes", "2", "--days", "40", "--requests", "5", "--rounds", "1")
    found = bench("stats", *arguments, folder=tmp_path)
    assert found["errors"] == 0
    assert found["setup"]["rows"] == 2 * 30 * 40
    assert found["setup"]["ratio_to_month"] > 0


def test_every_read_that_is_audited_is_entered_once_and_what_is_sealed_verifies(tmp_path: Path) -> None:
    arguments = ("--reads", "60", "--checkins", "60", "--rounds", "2", "--connections", "8", "--rows", "700")
    found = bench("audit", *arguments, folder=tmp_path)
    assert (found["errors"], found["lost"], found["doubled"]) == (0, 0, 0)
    assert found["unit"] == "rosters/s"
    assert found["setup"]["sealed_rows"] == 700
    assert found["setup"]["proof_base64"] < 1024


def test_a_start_is_measured_until_it_answers(tmp_path: Path) -> None:
    found = bench("start", "--times", "1", "--students", "10", folder=tmp_path)
    assert found["unit"] == "s"
    assert found["errors"] == 0


def test_a_database_that_is_not_postgresql_is_refused_in_one_line() -> None:
    words = [*HOMEROOM, "bench", "checkin", "--database", "mysql://x"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "postgresql://" in done.stderr


def test_a_server_that_cannot_be_reached_is_told_in_one_line() -> None:
    words = [*HOMEROOM, "bench", "checkin", "--database", "postgresql://x@127.0.0.1:1/x"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "cannot be reached" in done.stderr


def found(lost: int) -> Outcome:
    """What a bench gives, without the bench."""
    return Outcome(
        bench="checkin",
        measured=900,
        baseline=1500,
        ratio=0.6,
        unit="check-ins/s",
        aim="ratio at least 0.5",
        errors=0,
        lost=lost,
        setup={"students": 7, "examples": ["one", "two"]},
    )


def test_an_unsound_run_ends_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkin, "run", lambda **_options: found(lost=1))
    result = CliRunner().invoke(command, ["checkin", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["lost"] == 1


def test_without_json_it_prints_a_small_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkin, "run", lambda **_options: found(lost=0))
    result = CliRunner(env={"COLUMNS": "100"}).invoke(command, ["checkin"])
    assert result.exit_code == 0
    for word in ("bench checkin", "measured", "900", "bare baseline", "1500", "0.6  (ratio at least 0.5)", "one; two"):
        assert word in result.stdout


def test_everybody_who_comes_at_the_bell_is_there_once_and_every_board_is_right(tmp_path: Path) -> None:
    found = bench("bell", "--students", "90", "--seconds", "2", "--boards", "10", folder=tmp_path)
    assert (found["errors"], found["lost"], found["doubled"]) == (0, 0, 0)
    setup = found["setup"]
    assert setup["p99_ms"] >= found["p95_ms"] >= found["p50_ms"] > 0
    assert setup["board_p99_ms"] >= setup["board_p50_ms"] > 0
    assert setup["p99_ms"] >= setup["mean_ms"] > 0
    assert 0 < setup["statements_within_100_ms"] <= 1
    assert min(setup["cpu_us"], setup["baseline_cpu_us"], setup["memory_mib"]) > 0


def test_more_workers_at_the_bell_need_postgresql_and_redis() -> None:
    done = CliRunner().invoke(command, ["bell", "--workers", "2"])
    assert done.exit_code == 1
    assert "More than one worker needs --database, --redis" in done.output


@pytest.mark.long
def test_two_workers_ring_on_postgresql_and_redis(tmp_path: Path, postgres_url: str, redis_url: str) -> None:
    services = ("--database", postgres_url, "--redis", redis_url)
    found = bench(
        "bell", *services, "--workers", "2", "--students", "90", "--seconds", "2", "--boards", "10", folder=tmp_path
    )
    assert (found["errors"], found["lost"], found["doubled"]) == (0, 0, 0)


def test_a_soak_tells_what_grows(tmp_path: Path) -> None:
    found = bench("soak", "--minutes", "0.3", "--students", "40", "--boards", "4", "--rate", "20", folder=tmp_path)
    assert (found["errors"], found["lost"], found["doubled"]) == (0, 0, 0)
    setup = found["setup"]
    assert setup["check_ins"] == 12 * round(20 * 0.3 * 60 / 12)
    for name in ("files", "connections", "tasks"):
        third, last = setup[name]
        assert 0 < last < third + 40, name  # forty students are a round: one that is kept of each would show
    assert len(setup["disk_bytes_per_check_in"]) == 2


def test_nobody_is_signed_out_in_the_course_of_the_longest_run(tmp_path: Path) -> None:
    longest = next(one.type for one in command.commands["soak"].params if one.name == "minutes")
    assert isinstance(longest, click.FloatRange)
    assert longest.max is not None
    with installation(tmp_path) as here:
        assert here.settings.auth.access_token_minutes > longest.max
