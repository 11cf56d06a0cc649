"""`homeroom` as a command, on a machine that has one installation and nothing else that would change it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from homeroom.cli import main


@contextlib.contextmanager
def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, config: str) -> Iterator[Path]:
    """The folder that commands are given in, with this homeroom.toml and a database that is not made yet."""
    for name in list(os.environ):
        if name.startswith("HOMEROOM__") or name in ("HOMEROOM_CONFIG", "REDIS_URL", "ENVIRONMENT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{folder / 'district.db'}")
    (folder / "homeroom.toml").write_text(config, encoding="utf-8")
    yield folder
    structlog.reset_defaults()


def run(*args: str) -> Result:
    """What a command says. What it raises but for its exit is a fault, and is raised."""
    result = CliRunner().invoke(main, list(args))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def facts(result: Result) -> dict[str, Any]:
    """The one JSON object on its standard output."""
    (line,) = result.stdout.splitlines()
    told: dict[str, Any] = json.loads(line)
    return told
