"""Rosters by command, and the conformance kit by command."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from homeroom.cli import main
from homeroom.testing.district import write_bundle


@pytest.fixture(autouse=True)
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in list(os.environ):
        if name.startswith("HOMEROOM__") or name in ("HOMEROOM_CONFIG", "REDIS_URL", "ENVIRONMENT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'district.db'}")
    (tmp_path / "homeroom.toml").write_text('[plugins]\nenabled = ["oneroster", "rotating_code"]\n')
    yield tmp_path
    structlog.reset_defaults()


def run(*args: str) -> Result:
    result = CliRunner().invoke(main, list(args))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def facts(result: Result) -> dict[str, Any]:
    (line,) = result.stdout.splitlines()
    told: dict[str, Any] = json.loads(line)
    return told


def test_a_dry_run_prints_the_rows_and_changes_nothing_and_a_second_run_neither(installation: Path) -> None:
    summary = write_bundle(installation / "bundle", students=20)
    run("db", "upgrade")
    dry = facts(run("sync", "run", "oneroster", "--source", "bundle", "--dry-run", "--json"))
    assert {"run_id", "connector", "status", "dry_run", "added", "changed", "ended", "unchanged", "dead_letters",
            "seconds", "diff"} <= set(dry)  # fmt: skip
    assert (dry["status"], dry["dry_run"]) == ("done", True)
    assert len(dry["diff"]) == dry["added"] > summary.users

    words = run("sync", "run", "oneroster", "--source", "bundle", "--dry-run").stdout
    assert sum(line.startswith("added ") for line in words.splitlines()) == dry["added"]

    first = facts(run("sync", "run", "oneroster", "--source", "bundle", "--full", "--json"))
    assert "diff" not in first
    assert first["added"] == dry["added"]
    second = run("sync", "run", "oneroster", "--source", "bundle")
    assert second.exit_code == 0
    assert f"0 added, 0 changed, 0 ended, {dry['added']} unchanged" in second.stdout


def test_status_tells_where_each_connector_stands(installation: Path) -> None:
    run("db", "upgrade")
    assert "No connector has run yet" in run("sync", "status").stdout
    write_bundle(installation / "bundle", students=20)
    run("sync", "run", "oneroster", "--source", "bundle")
    (one,) = facts(run("sync", "status", "--json"))["connectors"]
    assert (one["name"], one["running"], one["last"]["status"]) == ("oneroster", False, "done")
    assert one["last_success"]
    assert "oneroster" in run("sync", "status").stdout


def test_a_bundle_that_cannot_be_read_fails_with_exit_1_and_its_reason(installation: Path) -> None:
    run("db", "upgrade")
    (installation / "torn.zip").write_bytes(b"PK\x03\x04 torn")
    result = run("sync", "run", "oneroster", "--source", "torn.zip")
    assert result.exit_code == 1
    assert "failed" in result.stdout
    assert "Traceback" not in result.output
    assert run("sync", "status").exit_code == 1


def test_what_is_no_connector_is_wrong_usage() -> None:
    run("db", "upgrade")
    result = run("sync", "run", "rotating_code")
    assert result.exit_code == 2
    assert "There are: oneroster" in result.stderr
    assert "no such plugin" in run("sync", "run", "nothing").stderr
    assert run("sync", "run", "oneroster", "--source", "gone").exit_code == 2


def test_a_new_plugin_is_written_where_it_was_asked_for(installation: Path) -> None:
    told = facts(run("plugins", "new", "beacon", "--kind", "checkin", "--json"))
    assert (installation / told["path"] / "pyproject.toml").is_file()
    again = run("plugins", "new", "beacon", "--kind", "checkin")
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    shutil.rmtree(installation / told["path"])
    assert "uv run pytest" in run("plugins", "new", "beacon", "--kind", "auth", "--dir", str(installation)).stdout


def test_the_conformance_kit_runs_on_an_installed_plugin() -> None:
    import subprocess
    import sys

    # A process of its own: pytest inside pytest would share its plugins and its warnings.
    told = subprocess.run(
        [sys.executable, "-m", "homeroom", "plugins", "test", "rotating_code"],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert " passed" in told.stdout
    missing = run("plugins", "test", "no_such_plugin")
    assert missing.exit_code == 1
    assert "no installed distribution" in missing.stderr
