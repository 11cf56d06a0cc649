"""What every command has in common, and those that need no running server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import structlog
from click.testing import CliRunner, Result

from homeroom.cli import COMMANDS, main
from homeroom.cli.toml_file import add_enabled
from homeroom.store import Store
from homeroom.store import models as m
from homeroom.store.backup import back_up

PASSWORD = "a quite long passphrase 17"


@pytest.fixture(autouse=True)
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with a fresh SQLite database to be, and nothing set but that."""
    for name in list(os.environ):
        if name.startswith("HOMEROOM__") or name in ("HOMEROOM_CONFIG", "REDIS_URL", "ENVIRONMENT", "JWT_SECRET_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'district.db'}")
    yield tmp_path
    structlog.reset_defaults()


def run(*args: str | Path, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception  # a traceback is never an answer
    return result


def facts(result: Result) -> dict[str, Any]:
    (line,) = result.stdout.splitlines()
    told: dict[str, Any] = json.loads(line)
    return told


def every_command(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield (*path, name), command


def test_every_command_has_help_with_an_example() -> None:
    for path, command in every_command(main):
        told = run(*path, "--help").stdout
        assert "Example:" in told, path
        assert f"homeroom {' '.join(path)}" in told, path
        assert command.help, path


def test_every_command_that_prints_facts_can_print_json() -> None:
    without = {("init",), ("serve",), ("worker",)}
    for path, command in every_command(main):
        if path not in without:
            assert any("--json" in parameter.opts for parameter in command.params), path


def test_the_list_of_commands_loads_nothing_heavy() -> None:
    code = (
        "import sys; from homeroom.cli import main; main(['--help'], standalone_mode=False); "
        "print([name for name in ('quart', 'peewee', 'rich', 'pydantic', 'hypercorn') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "[]"
    for name in COMMANDS:
        assert name in told


def test_an_unknown_command_is_wrong_usage() -> None:
    result = run("frobnicate")
    assert result.exit_code == 2
    assert "No such command" in result.stderr


def test_where_plugins_commands_cannot_be_looked_up_it_is_said_why(installation: Path) -> None:
    (installation / "homeroom.toml").write_text("[servr]\nport = 1\n")
    result = run("audit", "verify")
    assert result.exit_code == 2
    assert "homeroom plugins list" in result.stderr
    assert "servr: unknown setting" in result.stderr


def test_wrong_settings_are_told_all_at_once_without_a_traceback(installation: Path) -> None:
    (installation / "homeroom.toml").write_text('[server]\nmax_boddy_bytes = 1\n[auth]\nalgorithm = "none"\n')
    result = run("db", "upgrade")
    assert result.exit_code == 2
    assert "max_boddy_bytes" in result.stderr
    assert "auth.algorithm" in result.stderr
    assert "Traceback" not in result.output


def test_a_config_that_is_not_there_is_named() -> None:
    result = run("db", "status", "--config", "elsewhere.toml")
    assert result.exit_code == 2
    assert "elsewhere.toml" in result.stderr


def test_serve_refuses_production_without_real_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    result = run("serve")
    assert result.exit_code == 2
    told = result.stderr.removeprefix("Error: ").strip().splitlines()
    assert len(told) == 2
    assert "JWT_SECRET_KEY" in told[0]
    assert "ENCRYPTION_KEY" in told[1]


def test_more_workers_need_postgresql_and_redis() -> None:
    result = run("serve", "--workers", "2")
    assert result.exit_code == 2
    assert "PostgreSQL" in result.stderr
    assert "Redis" in result.stderr


def test_tls_needs_both_files(installation: Path) -> None:
    (installation / "cert.pem").write_text("")
    result = run("serve", "--certfile", "cert.pem")
    assert result.exit_code == 2
    assert "--keyfile" in result.stderr


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = run("serve", "--port", str(port))
    assert result.exit_code == 1
    assert f"Port {port}" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_address_that_is_not_ours_is_one_clear_line() -> None:
    assert "Cannot listen" in run("serve", "--host", "192.0.2.1").stderr
    assert "not an address" in run("serve", "--host", "no such host").stderr


def test_serve_without_upgrade_refuses_a_database_that_waits() -> None:
    result = run("serve", "--no-upgrade", "--port", "0")
    assert result.exit_code == 1
    assert "homeroom db upgrade" in result.stderr


def test_a_worker_is_not_needed_without_redis() -> None:
    result = run("worker")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert "not needed" in result.stdout or "no worker is needed" in result.stdout


def test_db_status_says_what_to_do_and_creates_nothing(installation: Path) -> None:
    result = run("db", "status")
    assert result.exit_code == 1
    assert "homeroom db upgrade" in result.stdout
    assert not (installation / "district.db").exists()


def test_db_upgrade_makes_the_database_and_status_agrees() -> None:
    assert facts(run("db", "upgrade", "--json"))["applied"][0] == "core/0001_initial"
    result = run("db", "status", "--json")
    assert result.exit_code == 0
    told = facts(result)
    assert told["database"] == "sqlite"
    assert told["pending"] == 0
    assert told["up_to_date"] is True
    assert {"owner": "core", "name": "0001_initial", "applied": True} in told["migrations"]
    assert "0 migrations applied now" in run("db", "upgrade").stdout


def test_db_upgrade_makes_the_tables_of_plugins(installation: Path) -> None:
    (installation / "homeroom.toml").write_text('[plugins]\nenabled = ["accounts"]\n')
    applied = facts(run("db", "upgrade", "--json"))["applied"]
    assert any(name.startswith("accounts/") for name in applied)
    assert "applied  accounts/" in run("db", "status").stdout


def test_a_database_newer_than_the_code_is_one_clear_line() -> None:
    from homeroom.store.database import connect

    run("db", "upgrade")
    database = connect(os.environ["DATABASE_URL"])
    database.connect()
    database.execute_sql("INSERT INTO migrations_core (name, applied) VALUES ('0999_future', '2030-01-01')")
    database.close()
    result = run("db", "upgrade")
    assert result.exit_code == 1
    assert "newer than this code" in result.stderr


def test_backup_and_restore_by_command(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (installation / "homeroom.toml").write_text('[plugins]\nenabled = ["accounts"]\n')
    run("db", "upgrade")
    run("users", "add", "--email", "ana@d.example", "--name", "Ana Ruiz", "--role", "district_admin",
        "--password-stdin", stdin=f"{PASSWORD}\n")  # fmt: skip
    made = facts(run("db", "backup", "backup.zip", "--json"))
    assert made["rows"] > 3

    again = run("db", "backup", "backup.zip")
    assert again.exit_code == 1
    assert "exists already" in again.stderr

    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{installation / 'other.db'}")
    restored = facts(run("db", "restore", "backup.zip", "--json"))
    assert restored["rows"] == made["rows"]
    assert run("db", "status").exit_code == 0
    assert run("db", "restore", "backup.zip").exit_code == 1


@pytest.mark.parametrize("served", [False, True], ids=["never served", "served"])
def test_a_backup_is_not_restored_with_another_key_than_its_own(
    installation: Path, monkeypatch: pytest.MonkeyPatch, *, served: bool
) -> None:
    monkeypatch.setenv("ENCRYPTION_KEY", "the key that the backup was sealed with, and no other")
    run("db", "upgrade")
    with _store() as store:
        store.write_now(lambda tx: tx.seal_for("ana", "ana@d.example"))
    if served:
        asyncio.run(_serve())
    run("db", "backup", "backup.zip")

    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{installation / 'other.db'}")
    monkeypatch.setenv("ENCRYPTION_KEY", "another key, of another installation's settings")
    refused = run("db", "restore", "backup.zip")
    assert refused.exit_code == 1
    assert "ENCRYPTION_KEY is not the one that this backup was sealed with, and nothing was restored" in refused.stderr
    assert "previous_encryption_keys" in refused.stderr
    monkeypatch.setenv("ENCRYPTION_KEY", "the key that the backup was sealed with, and no other")
    assert run("db", "restore", "backup.zip").exit_code == 0


def test_a_damaged_backup_is_one_clear_line(installation: Path) -> None:
    (installation / "torn.zip").write_bytes(b"PK\x03\x04 torn")
    result = run("db", "restore", "torn.zip")
    assert result.exit_code == 1
    assert "damaged" in result.stderr
    assert not (installation / "district.db").exists()


def test_backup_before_there_is_a_database_says_what_to_do() -> None:
    result = run("db", "backup", "backup.zip")
    assert result.exit_code == 1
    assert "homeroom db upgrade" in result.stderr


def test_a_first_administrator_is_added_with_a_password_that_is_not_shown(installation: Path) -> None:
    (installation / "homeroom.toml").write_text('[plugins]\nenabled = ["accounts"]\n')
    run("db", "upgrade")
    result = run("users", "add", "--email", "ana@d.example", "--name", "Ana Ruiz", "--role", "district_admin",
                 "--password-stdin", "--json", stdin=f"{PASSWORD}\n")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    user_id = facts(result)["user_id"]
    assert PASSWORD not in result.output
    with _store() as store:
        role = store.read_now(lambda c: c.one(m.RoleAssignment.select().where(m.RoleAssignment.user_id == user_id)))
    assert role is not None
    assert (role.role, role.org_id) == ("district_admin", "")


def test_a_weak_password_adds_nobody(installation: Path) -> None:
    (installation / "homeroom.toml").write_text('[plugins]\nenabled = ["accounts"]\n')
    run("db", "upgrade")
    result = run("users", "add", "--email", "ana@d.example", "--name", "Ana Ruiz", "--role", "district_admin",
                 "--password-stdin", stdin="short\n")  # fmt: skip
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    with _store() as store:
        assert store.read_now(lambda c: c.all(m.User.select())) == []


def test_without_a_plugin_for_passwords_the_fix_is_told() -> None:
    run("db", "upgrade")
    result = run("users", "add", "--email", "a@d.example", "--name", "A B", "--role", "district_admin",
                 "--password-stdin", stdin=f"{PASSWORD}\n")  # fmt: skip
    assert result.exit_code == 1
    assert "homeroom plugins enable accounts" in result.stderr


def test_a_teacher_belongs_to_a_school_that_is_named_when_there_are_several() -> None:
    run("db", "upgrade")
    invite = ("users", "invite", "--email", "sam@d.example", "--name", "Sam Lee", "--role", "teacher")
    assert "--school" in run(*invite).stderr
    with _store() as store:
        store.write_now(lambda tx: tx.insert(m.Org, id="o1", name="North", kind="school", changed_at=tx.now))
        store.write_now(lambda tx: tx.insert(m.Org, id="o2", name="South", kind="school", changed_at=tx.now))
    assert run(*invite).exit_code == 2
    assert "no school is" in run(*invite, "--school", "East").stderr
    invited = run(*invite, "--school", "South", "--json")
    assert invited.exit_code == 0, invited.stderr
    told = facts(invited)
    assert set(told) == {"user_id", "invitation", "expires_at"}
    with _store() as store:
        roles = store.read_now(lambda c: c.all(m.RoleAssignment.select()))
        kept = store.read_now(lambda c: c.all(m.Invitation.select()))
    assert [(role.role, role.org_id) for role in roles] == [("teacher", "o2")]
    assert told["invitation"] not in repr([vars(row) for row in kept])


def test_somebody_of_the_roster_is_invited_by_the_address_alone() -> None:
    run("db", "upgrade")
    assert run("users", "invite", "--email", "eve@d.example").exit_code == 2
    run("users", "invite", "--email", "eve@d.example", "--name", "Eve Ng", "--role", "district_admin")
    again = run("users", "invite", "--email", "EVE@d.example")
    assert again.exit_code == 0
    assert "works once" in again.stdout


def test_plugins_list_has_the_shape_of_the_contract(installation: Path) -> None:
    (installation / "homeroom.toml").write_text('[plugins]\nenabled = ["rotating_code", "no_such_plugin"]\n')
    run("db", "upgrade")
    result = run("plugins", "list", "--json")
    assert result.exit_code == 1  # one is out
    found = {plugin["name"]: plugin for plugin in facts(result)["plugins"]}
    assert found["rotating_code"]["state"] == "loaded"
    assert "verify_check_in" in found["rotating_code"]["hooks"]
    assert found["no_such_plugin"]["state"] == "left_out"
    assert "no installed distribution" in found["no_such_plugin"]["reason"]
    assert found["accounts"]["state"] == "off"
    assert "no installed distribution" in run("plugins", "list").stdout


def test_a_plugin_is_switched_off_and_on_and_it_is_remembered(installation: Path) -> None:
    (installation / "homeroom.toml").write_text('[plugins]\nenabled = ["rotating_code"]\n')
    run("db", "upgrade")
    assert facts(run("plugins", "disable", "rotating_code", "--json"))["enabled"] is False
    assert _state("rotating_code") == "off"
    assert "switched on" in run("plugins", "enable", "rotating_code").stdout
    assert _state("rotating_code") == "loaded"


def test_enabling_a_plugin_that_the_file_does_not_name_edits_the_file(installation: Path) -> None:
    (installation / "homeroom.toml").write_text("# ours\n[plugins]\nenabled = []\n")
    run("db", "upgrade")
    told = facts(run("plugins", "enable", "rotating_code", "--json"))
    assert told == {"name": "rotating_code", "enabled": True, "restart_needed": True}
    assert (installation / "homeroom.toml").read_text() == '# ours\n[plugins]\nenabled = ["rotating_code"]\n'
    assert run("plugins", "enable", "no_such_plugin").exit_code == 1


def test_an_export_names_its_files(installation: Path) -> None:
    run("db", "upgrade")
    files = facts(run("db", "export", "out", "--json"))["files"]
    assert files["users.csv"] == 0
    told = run("db", "export", "out.zip")
    assert told.exit_code == 0
    assert "enrollments.csv" in told.stdout
    assert (installation / "out" / "manifest.csv").is_file()
    assert run("db", "export", "out").exit_code == 1


def test_backup_and_restore_say_what_they_did(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("db", "upgrade")
    assert "verified" in run("db", "backup", "backup.zip").stdout
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{installation / 'other.db'}")
    assert "Restored 0 rows" in run("db", "restore", "backup.zip").stdout


def test_a_password_can_be_typed_twice(installation: Path) -> None:
    (installation / "homeroom.toml").write_text('[plugins]\nenabled = ["accounts"]\n')
    run("db", "upgrade")
    add = ("users", "add", "--email", "ana@d.example", "--name", "Ana Ruiz", "--role", "district_admin")
    result = run(*add, stdin=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0, result.stderr
    assert PASSWORD not in result.output
    assert "sign in now as district admin" in result.stdout
    again = run(*add, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert again.exit_code == 1
    assert "cannot be used" in again.stderr


def test_switching_a_plugin_that_there_is_not_says_so() -> None:
    run("db", "upgrade")
    result = run("plugins", "disable", "no_such_plugin")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_plugins_check_looks_at_the_enabled_ones(installation: Path) -> None:
    (installation / "homeroom.toml").write_text('[plugins]\nenabled = ["rotating_code"]\n')
    result = run("plugins", "check", "--json")
    told = facts(result)
    assert told["checked"] == ["rotating_code"]
    assert told["ok"] is (result.exit_code == 0)
    missing = run("plugins", "check", "no_such_plugin")
    assert missing.exit_code == 1
    assert "no_such_plugin" in missing.stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[plugins]\nenabled = ["x"]\n'),
        ("[server]\n", '[server]\n\n[plugins]\nenabled = ["x"]\n'),
        ("[plugins]\n[plugins.a]\nb = 1\n", '[plugins]\nenabled = ["x"]\n[plugins.a]\nb = 1\n'),
        ('[plugins]\nenabled = ["a", "b"] # order\n', '[plugins]\nenabled = ["a", "b", "x"] # order\n'),
        (
            '[plugins]\nenabled = [\n  "a", # first\n  "b",\n]\n',
            '[plugins]\nenabled = [\n  "a", # first\n  "b", "x",\n]\n',
        ),
        ('[plugins]\nenabled = [\n  "a",\n  "b",\n]\n', '[plugins]\nenabled = [\n  "a",\n  "b", "x",\n]\n'),
    ],
)
def test_a_plugin_is_added_to_the_file_and_all_else_stays(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "edited.toml"
    path.write_text(before)
    add_enabled(path, "x")
    assert path.read_text() == after


def test_a_file_that_cannot_be_edited_safely_is_left_to_a_person(tmp_path: Path) -> None:
    path = tmp_path / "edited.toml"
    text = 'plugins = { enabled = ["a"] }\n'
    path.write_text(text)
    with pytest.raises(click.ClickException, match="yourself"):
        add_enabled(path, "x")
    assert path.read_text() == text


def test_the_progress_bar_is_drawn_only_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from homeroom.cli.output import progress

    with progress("x") as show:
        show("step", 1, 2)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress("x") as show:
        show("step", 1, 2)
    with progress("x", quiet=True) as show:
        show("step", 1, 2)


def test_commands_of_plugins_join_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from homeroom.cli import installation as module

    @click.command()
    def audit() -> None:
        click.echo("verified")

    monkeypatch.setattr(module, "plugin_commands", lambda _ctx: {"audit": audit})
    assert run("audit").stdout == "verified\n"


def _state(name: str) -> str:
    plugins = facts(run("plugins", "list", "--json"))["plugins"]
    return next(str(plugin["state"]) for plugin in plugins if plugin["name"] == name)


async def _serve() -> None:
    """Start on the database, and end."""
    from homeroom.district import District
    from homeroom.settings import load_settings

    district = District(load_settings())
    await district.start()
    await district.stop()


def _store() -> Store:
    from homeroom.settings import load_settings

    settings = load_settings()
    return Store(settings.database.url, cipher=settings.cipher())


def test_errors_that_are_bugs_are_not_dressed_up() -> None:
    from homeroom.cli.output import as_click_error
    from homeroom.store.errors import not_found

    assert as_click_error(KeyError("bug")) is None
    refused = as_click_error(not_found("There is no such plugin."))
    assert refused is not None
    assert refused.message == "There is no such plugin."
    missing = as_click_error(FileNotFoundError(2, "No such file", "x"))
    assert missing is not None
    assert missing.message == "x: No such file"


def test_backups_are_verified_right_after_they_were_written(
    installation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("db", "upgrade")

    def torn(url: str, path: Path, **more: Any) -> Any:
        made = back_up(url, path, **more)
        path.write_bytes(path.read_bytes()[:-30])
        return made

    monkeypatch.setattr("homeroom.store.backup.back_up", torn)
    result = run("db", "backup", "backup.zip")
    assert result.exit_code == 1
    assert (installation / "backup.zip").exists()


def test_ending_the_loop_leaves_no_task_behind() -> None:
    run("db", "upgrade")
    run("plugins", "list")
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_every_command_of_the_administrators_page_exists() -> None:
    page = (Path(__file__).parents[2] / "docs" / "admin.md").read_text(encoding="utf-8")
    told = {tuple(words.split()) for words in re.findall(r"homeroom ([a-z]+(?: [a-z][a-z-]*){0,2})", page)}
    known = {path for path, _ in every_command(main)}
    for path in known:
        assert path[0] == "bench" or any(words[: len(path)] == path for words in told), path
    for words in told - {("bench",)}:
        assert any(path == words[: len(path)] for path in known), words
