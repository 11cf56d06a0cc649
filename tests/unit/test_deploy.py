"""What `deploy/` holds: no engine of containers runs here, so its files are read, and its commands run as they are."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml  # type: ignore[import-untyped]

from homeroom.cli import main
from homeroom.settings import load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def is_a_command_of_ours(words: list[str]) -> None:
    """Raises click's own error where there is no such command or option."""
    assert words[0].rpartition("/")[2] == "homeroom"
    with click.Context(main) as context:
        command = main.get_command(context, words[1])
        assert command is not None, words
        command.make_parser(context).parse_args(words[2:])


def test_every_service_runs_a_command_that_there_is() -> None:
    services = compose()["services"]
    for name in ("web", "worker"):
        is_a_command_of_ours(services[name]["command"])
    for unit in DEPLOY.glob("*.service"):
        started = re.search(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
        assert started is not None
        is_a_command_of_ours(started[1].split())


def test_nothing_of_the_image_is_missing_or_run_by_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (?!--from)(\S+) ", text, re.MULTILINE):
        assert (ROOT / source).exists(), source
    last = text.rpartition("FROM ")[2]
    assert re.search(r"^USER homeroom$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last


def test_every_volume_and_every_service_that_is_waited_for_exists() -> None:
    whole = compose()
    for name, service in whole["services"].items():
        assert set(service.get("depends_on", {})) <= set(whole["services"]), name
        used = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        assert used <= set(whole["volumes"]), name
        assert not [port for port in service.get("ports", ()) if not port.startswith("127.0.0.1:")], name


def test_the_first_start_makes_secrets_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, passwords = tmp_path / "settings", tmp_path / "passwords"
    passwords.mkdir()
    script = (DEPLOY / "first-start.sh").read_text().replace("chown -R homeroom", "true")  # there is no such user here
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOMEROOM")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**kept, "PATH": path, "SETTINGS": str(settings), "PASSWORDS": str(passwords)}

    def starts() -> list[bytes]:
        subprocess.run(["sh", "-c", script], env=environment, check=True, capture_output=True)
        return [(settings / ".env").read_bytes(), (passwords / "postgres").read_bytes()]

    first = starts()
    assert starts() == first
    assert stat.S_IMODE((settings / ".env").stat().st_mode) == 0o600
    for name in ("DATABASE_URL", "REDIS_URL", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(settings)
    loaded = load_settings()
    assert loaded.production
    assert f":{first[1].decode()}@database/" in loaded.database.url
    assert loaded.redis.url is not None
