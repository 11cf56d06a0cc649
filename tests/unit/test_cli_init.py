"""`homeroom init`: from an empty folder to an installation that starts in production."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from homeroom.cli import main
from homeroom.settings import load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("HOMEROOM") or name in ("DATABASE_URL", "REDIS_URL", "ENVIRONMENT", "JWT_SECRET_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_what_it_writes_starts_in_production_and_nobody_else_reads_it(folder: Path) -> None:
    assert run("init", "--time-zone", "America/Chicago", "--public-base-url", "https://here.example").exit_code == 0
    for name in ("homeroom.toml", ".env"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    settings = load_settings()
    assert (settings.production, settings.attendance.time_zone) == (True, "America/Chicago")
    assert settings.server.public_base_url == "https://here.example"
    assert {"accounts", "rotating_code", "web"} <= set(settings.plugins.enabled)
    assert run("db", "upgrade").exit_code == 0


def test_two_installations_have_no_secret_in_common(folder: Path) -> None:
    run("init", "--folder", "one")
    run("init", "--folder", "two")
    secrets = [set((folder / name / ".env").read_text().splitlines()) for name in ("one", "two")]
    assert not {line for line in secrets[0] & secrets[1] if "KEY=" in line}


def test_settings_that_are_there_are_never_touched(folder: Path) -> None:
    run("init")
    before = [(folder / name).read_bytes() for name in ("homeroom.toml", ".env")]
    again = run("init")
    assert (again.exit_code, "nothing was changed" in again.output) == (1, True)
    assert run("init", "--if-missing").exit_code == 0
    (folder / ".env").unlink()
    assert run("init", "--if-missing").exit_code == 1  # half an installation is nobody's wish
    assert (folder / "homeroom.toml").read_bytes() == before[0]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--time-zone", "Mars/Olympus"),
        ("--time-zone", "America"),
        ("--database-url", "mysql://x"),
        ("--public-base-url", "attendance.example"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_left_behind(folder: Path, wrong: tuple[str, str]) -> None:
    done = run("init", *wrong)
    assert done.exit_code == 2
    assert "Traceback" not in done.output
    assert list(folder.iterdir()) == []
