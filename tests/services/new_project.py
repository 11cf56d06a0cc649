"""A project that `homeroom plugins new` has written, and commands given in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from homeroom.host.scaffold import Kind, new_plugin

_ENTRY_POINTS = """\
[homeroom.plugins]
acme = homeroom_acme:Acme

[homeroom.simulators]
acme = homeroom_acme.simulator:AcmeSimulator
"""


def new_project(kind: Kind, folder: Path) -> Path:
    """The project of a plugin `acme` with a simulator, which looks installed to whoever has it on the path."""
    project = new_plugin("acme", kind, folder).folder
    info = project / "homeroom_acme-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.3\nName: homeroom-acme\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    return project


def environment(project: Path) -> dict[str, str]:
    """The environment of a machine that has the project on its path, and no settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "HOMEROOM"))}
    return {**kept, "PYTHONPATH": str(project), "PYTHONUNBUFFERED": "1"}


def homeroom(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """What a command says there."""
    return subprocess.run(
        [sys.executable, "-m", "homeroom", *args],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
