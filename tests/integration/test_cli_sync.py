"""Rosters by command, and the conformance kit by command."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homeroom.testing.district import write_bundle
from tests.services.commands import facts, installed, run


@pytest.fixture(autouse=True)
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with installed(tmp_path, monkeypatch, '[plugins]\nenabled = ["oneroster", "rotating_code"]\n') as folder:
        yield folder


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
    assert "homeroom sync check oneroster --source torn.zip" in result.stdout
    checked = run("sync", "check", "oneroster", "--source", "torn.zip")
    assert (checked.exit_code, "Export the bundle again" in checked.stdout) == (1, True)
    assert run("sync", "status").exit_code == 1


def test_what_is_no_connector_is_wrong_usage() -> None:
    run("db", "upgrade")
    result = run("sync", "run", "rotating_code")
    assert result.exit_code == 2
    assert "There are: oneroster" in result.stderr
    assert "no such plugin" in run("sync", "run", "nothing").stderr
    assert run("sync", "run", "oneroster", "--source", "gone").exit_code == 2


def edit(path: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    """Change the rows of one file of a bundle, as the SIS would."""
    with path.open(newline="", encoding="utf-8") as source:
        reader = csv.DictReader(source)
        names, rows = list(reader.fieldnames or ()), list(reader)
    with path.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, names)
        writer.writeheader()
        writer.writerows(change(rows))


@pytest.fixture
def synced(installation: Path) -> Path:
    """An installation whose roster came from a bundle that its settings name."""
    write_bundle(installation / "bundle", students=20)
    file = installation / "homeroom.toml"
    schedule = '[sync.schedules]\noneroster = "daily 02:30"\n'
    file.write_text(f'{file.read_text()}[plugins.oneroster]\nsource = "{installation / "bundle"}"\n{schedule}')
    run("db", "upgrade")
    assert run("sync", "run", "oneroster", "--full").exit_code == 0
    return installation


def lose_half_the_seats(installation: Path) -> None:
    def without(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        gone = [row for row in rows if row["role"] == "student"][::2]
        return [row for row in rows if row not in gone]

    edit(installation / "bundle" / "enrollments.csv", without)


def test_a_held_run_says_what_to_look_at_and_goes_on_when_it_is_released(synced: Path) -> None:
    lose_half_the_seats(synced)
    result = run("sync", "run", "oneroster", "--full")
    assert result.exit_code == 1
    assert "oneroster held" in result.stdout
    told = run("sync", "status")
    assert told.exit_code == 1
    (line,) = [line for line in told.stdout.splitlines() if "sync release" in line]
    run_id = line.split()[-1]
    assert run_id in result.stdout
    released = run("sync", "release", run_id)
    assert released.exit_code == 0, released.output
    assert "oneroster done" in released.stdout
    assert run("sync", "status").exit_code == 0
    assert run("sync", "release", run_id).exit_code == 1


def test_a_held_run_can_be_discarded(synced: Path) -> None:
    lose_half_the_seats(synced)
    held = facts(run("sync", "run", "oneroster", "--full", "--json"))
    assert (held["status"], bool(held["findings"])) == ("held", True)
    assert "nothing was taken over" in run("sync", "discard", held["run_id"]).stdout
    assert run("sync", "resume", "no-such-run").exit_code == 1


def test_a_dry_run_is_approved_as_it_was_shown(synced: Path) -> None:
    edit(
        synced / "bundle" / "users.csv",
        lambda rows: [{**row, "familyName": f"{row['familyName']}son"} for row in rows],
    )
    dry = facts(run("sync", "run", "oneroster", "--full", "--dry-run", "--json"))
    assert dry["changed"] > 0
    approved = facts(run("sync", "approve", dry["run_id"], "--json"))
    assert (approved["status"], approved["changed"]) == ("done", dry["changed"])


def test_a_run_that_failed_is_resumed(synced: Path) -> None:
    (synced / "bundle" / "classes.csv").rename(synced / "away.csv")
    failed = facts(run("sync", "run", "oneroster", "--full", "--json"))
    assert failed["status"] == "failed"
    (synced / "away.csv").rename(synced / "bundle" / "classes.csv")
    assert facts(run("sync", "resume", failed["run_id"], "--json"))["status"] == "done"


def test_status_is_a_table_with_what_comes_next_and_what_waits(synced: Path) -> None:
    head, row = run("sync", "status").stdout.splitlines()
    assert head.split()[:2] == ["connector", "last"]
    assert row.split()[:2] == ["oneroster", "done"]
    (one,) = facts(run("sync", "status", "--json"))["connectors"]
    assert one["schedule"] == "daily at 02:30 (America/New_York)"
    assert one["lag_seconds"] >= 0
    assert "takes no attendance" in one["attendance_out_words"]
    (synced / "homeroom.toml").write_text('[plugins]\nenabled = ["rotating_code"]\n')
    (off,) = facts(run("sync", "status", "--json"))["connectors"]
    assert "switched off" in off["attendance_out_words"]


def test_check_says_that_all_is_well_or_what_is_missing(synced: Path) -> None:
    assert "in order" in run("sync", "check", "oneroster").stdout
    (synced / "bundle").rename(synced / "elsewhere")
    result = run("sync", "check", "oneroster", "--json")
    assert result.exit_code == 1
    told = facts(result)
    assert (told["ok"], bool(told["findings"])) == (False, True)
    assert run("sync", "check", "nothing").exit_code == 2


def test_rows_that_were_left_out_are_listed_and_replayed(synced: Path) -> None:
    assert "No row was left out" in run("sync", "dead-letters", "oneroster").stdout
    classes = synced / "bundle" / "classes.csv"
    before = classes.read_bytes()
    enrollments = synced / "bundle" / "enrollments.csv"

    def stray(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [*rows, {**rows[-1], "sourcedId": "stray", "classSourcedId": "later"}]

    edit(enrollments, stray)
    run("sync", "run", "oneroster", "--full")
    (letter,) = facts(run("sync", "dead-letters", "oneroster", "--json"))["dead_letters"]
    again = run("sync", "replay", "oneroster", "--id", str(letter["id"]))
    assert again.exit_code == 1
    assert "0 taken, 1 still left out" in again.stdout
    classes.write_bytes(before)
    edit(classes, lambda rows: [*rows, {**rows[-1], "sourcedId": "later"}])
    edit(enrollments, lambda rows: rows[:-1])
    run("sync", "run", "oneroster")
    assert facts(run("sync", "replay", "oneroster", "--json"))["still_dead"] == 0


def test_rows_that_could_not_even_be_read_are_not_called_replayable(synced: Path) -> None:
    users = synced / "bundle" / "users.csv"
    before = users.read_bytes()
    edit(users, lambda rows: [*rows, {**rows[-1], "sourcedId": ""}])
    run("sync", "run", "oneroster", "--full")
    (letter,) = facts(run("sync", "dead-letters", "oneroster", "--json"))["dead_letters"]
    assert not letter["replayable"]
    listed = run("sync", "dead-letters", "oneroster").stdout
    assert "sync replay" not in listed
    assert "1 could not even be read; when the cause is gone: homeroom sync run oneroster --full" in listed
    again = run("sync", "replay", "oneroster")
    assert again.exit_code == 1
    assert "0 taken, 1 still left out." in again.stdout
    assert "homeroom sync run oneroster --full" in again.stdout
    users.write_bytes(before)
    run("sync", "run", "oneroster", "--full")
    assert "No row was left out" in run("sync", "dead-letters", "oneroster").stdout
    assert run("sync", "replay", "oneroster").exit_code == 0


def corrected_here(installation: Path) -> str:
    """The source's id of a student whose family name was corrected here to "Ours"."""
    from homeroom.roster import edits
    from homeroom.settings import load_settings
    from homeroom.store import Store, Transaction
    from homeroom.store import models as m

    def unit(tx: Transaction) -> str:
        students = m.RoleAssignment.select(m.RoleAssignment.user_id).where(m.RoleAssignment.role == "student")
        student = tx.one(m.User.select().where(m.User.id.in_(students)).order_by(m.User.sourced_id))
        assert student is not None
        tx.run(m.User.update(family_name="Ours").where(m.User.id == student.id))
        edits.note(tx, "user", student.id, "oneroster", ["family_name"])
        return str(student.sourced_id)

    settings = load_settings(installation / "homeroom.toml")
    with Store(settings.database.url, cipher=settings.cipher()) as store:
        return store.write_now(unit)


def test_a_correction_is_on_the_list_until_the_sis_differs_in_another_way_and_a_person_settles_it(synced: Path) -> None:
    assert "every correction" in run("sync", "corrections", "oneroster").stdout
    assert "No question is open" in run("sync", "conflicts").stdout
    student = corrected_here(synced)
    (one,) = facts(run("sync", "corrections", "oneroster", "--json"))["corrections"]
    assert (one["sourced_id"], one["field"], one["ours"]) == (student, "family_name", "Ours")
    assert "'Ours'" in run("sync", "corrections", "oneroster").stdout

    def theirs(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [{**row, "familyName": "Theirs"} if row["sourcedId"] == student else row for row in rows]

    edit(synced / "bundle" / "users.csv", theirs)
    run("sync", "run", "oneroster", "--full")
    (asked,) = facts(run("sync", "conflicts", "--json"))["conflicts"]
    assert "here 'Ours', there 'Theirs'" in run("sync", "conflicts").stdout
    number = str(asked["id"])
    assert run("sync", "conflicts", "settle", number, "--why", "x").exit_code == 2
    assert run("sync", "conflicts", "settle", number, "--ours").exit_code == 2
    settled = facts(run("sync", "conflicts", "settle", number, "--theirs", "--why", "seen on paper", "--json"))
    assert (settled["state"], settled["chosen"], settled["why"]) == ("settled", "theirs", "seen on paper")
    assert "seen on paper" in run("sync", "conflicts", "--state", "settled").stdout


@pytest.mark.usefixtures("synced")
def test_attendance_tells_what_goes_out() -> None:
    assert "0 waiting, 0 sent" in run("sync", "attendance", "oneroster").stdout
    told = facts(run("sync", "attendance", "oneroster", "--retry", "--json"))
    assert (told["retried"], told["waiting"], told["problems"]) == (0, 0, [])


def test_every_command_shows_how_it_is_used() -> None:
    names = ("run", "status", "check", "resume", "release", "discard", "approve", "conflicts", "replay", "corrections")
    for name in (*names, "dead-letters", "attendance"):
        told = run("sync", name, "--help").stdout
        assert "Example:" in told, name
        assert f"homeroom sync {name}" in told, name
        assert "--json" in told, name


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
