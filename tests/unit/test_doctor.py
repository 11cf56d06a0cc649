"""The doctor finds each thing that can be wrong, and says what to do about it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog
import time_machine
from click.testing import CliRunner, Result
from pydantic import SecretStr

from homeroom import doctor
from homeroom.cli import main
from homeroom.host.config import PluginsConfig
from homeroom.settings import (
    AuthSettings,
    DatabaseSettings,
    RedisSettings,
    SecuritySettings,
    Settings,
)
from homeroom.store import Store, Unavailable
from homeroom.store import models as m

SECRET = SecretStr("a secret for the doctor's tests, long enough")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("HOMEROOM__") or name in ("HOMEROOM_CONFIG", "REDIS_URL", "ENVIRONMENT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET.get_secret_value())
    monkeypatch.setenv("ENCRYPTION_KEY", SECRET.get_secret_value())
    yield
    structlog.reset_defaults()


def settings(url: str = "sqlite:///none.db", **more: Any) -> Settings:
    given = {
        "auth": AuthSettings(secret_key=SECRET),
        "security": SecuritySettings(encryption_key=SECRET),
        "database": DatabaseSettings(url=url, readers=1),
    }
    return Settings(**{**given, **more})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_private(url: str) -> None:
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).chmod(0o600)


async def everything(given: Settings) -> dict[str, doctor.Check]:
    return {check.name: check async for check in doctor.examine(given, port=free_port())}


def ask(*args: str) -> Result:
    result = CliRunner().invoke(main, ["doctor", "--port", str(free_port()), *args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


async def test_a_healthy_installation_has_nothing_wrong(database_url: str) -> None:
    make_private(database_url)
    found = await everything(settings(database_url, plugins=PluginsConfig(enabled=("rotating_code", "oneroster"))))
    assert [check for check in found.values() if not check.ok] == []
    assert found["database"].detail.endswith("answers")
    assert {"secrets", "port", "migrations", "redis", "writing", "clock", "counters"} <= set(found)
    assert {"plugin rotating_code", "plugin oneroster"} <= set(found)


def test_the_command_says_so_in_words_and_in_json(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_private(sqlite_url)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    told = ask()
    assert told.exit_code == 0, told.output
    assert told.stdout.rstrip().endswith("Nothing is wrong.")
    facts = json.loads(ask("--json").stdout)
    assert facts["ok"] is True
    assert all(set(check) == {"name", "ok", "detail", "problems"} for check in facts["checks"])


def test_what_is_wrong_comes_with_its_fix_and_exit_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'new.db'}")
    monkeypatch.delenv("JWT_SECRET_KEY")
    told = ask()
    assert told.exit_code == 1
    assert "WRONG  secrets: JWT_SECRET_KEY is the development secret" in told.stdout
    assert "WRONG  database: there is no database" in told.stdout
    assert "Fix: Run: homeroom db upgrade" in told.stdout
    assert not (tmp_path / "new.db").exists()
    facts = json.loads(ask("--json").stdout)
    assert facts["ok"] is False
    assert {"problem", "fix"} == set(next(check for check in facts["checks"] if not check["ok"])["problems"][0])


def test_wrong_settings_are_a_finding_each(tmp_path: Path) -> None:
    (tmp_path / "homeroom.toml").write_text('[server]\nmax_boddy_bytes = 1\n[auth]\nalgorithm = "none"\n')
    told = ask("--json")
    assert told.exit_code == 1
    (check,) = json.loads(told.stdout)["checks"]
    assert len(check["problems"]) == 2


async def test_a_database_that_is_away_is_told_without_its_password() -> None:
    found = await everything(settings("postgresql://homeroom:hunter2@127.0.0.1:1/district"))
    assert "no PostgreSQL answers at 127.0.0.1:1" in found["database"].findings[0].problem
    assert "hunter2" not in repr(found)
    assert "migrations" not in found


def test_a_url_of_another_kind_is_told() -> None:
    check = doctor.database(settings("mysql://x/y"))
    assert "must begin with sqlite:/// or postgresql://" in check.findings[0].problem


def test_pending_and_newer_migrations_are_told(empty_url: str, tmp_path: Path) -> None:
    given = settings(empty_url)
    check = doctor.migrations(given)
    assert check.findings[0].fix == "Run: homeroom db upgrade"
    path = tmp_path / "newer.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE migrations_core (id INTEGER PRIMARY KEY, name TEXT, applied TEXT)")
        raw.execute("INSERT INTO migrations_core (name, applied) VALUES ('0999_future', '2030-01-01')")
    raw.close()
    newer = doctor.migrations(settings(f"sqlite:///{path}"))
    assert "newer than this code" in newer.findings[0].problem


async def test_a_database_that_waits_for_migrations_ends_the_examination(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch(mode=0o600)
    found = await everything(settings(f"sqlite:///{tmp_path / 'empty.db'}"))
    assert not found["migrations"].ok
    assert "writing" not in found


def test_a_file_that_others_may_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "district.db"
    path.touch()
    path.chmod(0o644)
    assert "chmod 600" in doctor.file_rights(path).findings[0].fix
    path.chmod(0o600)
    assert doctor.file_rights(path).ok


def test_a_disk_that_is_nearly_full_is_told(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        total: int
        used: int
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(100, 99, 10 * 1024**2))
    space = next(doctor._disk(settings(sqlite_url)))
    assert "only 10 MiB" in space.findings[0].problem


async def test_a_database_that_cannot_be_written_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await doctor.writable(store)).ok
    assert store.read_now(lambda c: c.all(m.KeyValue.select())) == []

    async def refuse(_unit: object) -> None:
        raise Unavailable("the database's disk is full")

    monkeypatch.setattr(store, "write", refuse)
    assert "disk is full" in (await doctor.writable(store)).findings[0].problem


async def test_a_clock_that_is_off_is_told(postgres_store: Store) -> None:
    assert (await doctor.clock(postgres_store)).ok
    with time_machine.travel("2030-01-01T00:00:00Z", tick=True):
        assert "NTP" in (await doctor.clock(postgres_store)).findings[0].fix


async def test_counters_that_differ_from_a_recount_are_told(store: Store) -> None:
    assert (await doctor.counters(store)).ok
    store.write_now(
        lambda tx: tx.insert(m.AttendanceCount, class_id="c", school_day="2026-11-23", school_id="s", present=1)
    )
    assert "1 class days" in (await doctor.counters(store)).findings[0].problem


def test_development_secrets_are_told_each() -> None:
    check = doctor.secrets(Settings())
    assert [finding.problem.split()[0] for finding in check.findings] == ["JWT_SECRET_KEY", "ENCRYPTION_KEY"]


def test_redis_that_is_away_or_useless_is_told(redis_url: str) -> None:
    postgres = "postgresql://localhost/x"
    away = RedisSettings(url=SecretStr("redis://:hunter2@127.0.0.1:1/0"))
    check = doctor.redis(settings(postgres, redis=away))
    assert "does not answer" in check.findings[0].problem
    assert "hunter2" not in repr(check)
    there = RedisSettings(url=SecretStr(redis_url))
    assert doctor.redis(settings(postgres, redis=there)).detail == "answers"
    assert "brings nothing" in doctor.redis(settings("sqlite:///x", redis=there)).findings[0].problem


def test_a_port_in_use_is_told_unless_homeroom_is_on_it(serve_json: Callable[[bytes], int]) -> None:
    port = serve_json(b'{"status":"ok"}')
    assert doctor.listening("127.0.0.1", port).detail == f"Homeroom serves on {port}"
    other = serve_json(b"hello")
    assert "cannot be used" in doctor.listening("127.0.0.1", other).findings[0].problem
    assert doctor.listening("127.0.0.1", free_port()).ok


async def test_plugins_that_are_out_or_red_are_told(sqlite_url: str, tmp_path: Path) -> None:
    config = PluginsConfig(
        enabled=("no_such_plugin", "oneroster"),
        sections={"oneroster": {"source": str(tmp_path / "gone")}},
        source="homeroom.toml",
    )
    given = settings(sqlite_url, plugins=config)
    found = {check.name: check async for check in doctor.plugins(given)}
    out = found["plugin no_such_plugin"].findings[0]
    assert "no installed distribution" in out.problem
    assert "homeroom plugins disable no_such_plugin" in out.fix
    assert "not there" in found["plugin oneroster"].findings[0].problem
    assert "no_such_plugin is enabled but not installed" in doctor.plugins_left_out(given).findings[0].problem


@pytest.fixture
def serve_json() -> Iterator[Callable[[bytes], int]]:
    """Answers every request with one body, on a port of its own."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    servers: list[tuple[HTTPServer, threading.Thread]] = []

    def start(body: bytes) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        servers.append((server, thread))
        return int(server.server_port)

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()
