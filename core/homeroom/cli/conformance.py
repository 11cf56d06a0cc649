"""Runs the conformance kit on an installed plugin, with the settings that this district gives it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.host import discovery

if TYPE_CHECKING:
    from homeroom.settings import Settings

_FILE = """\
from homeroom.cli.conformance import chosen

TestConformance = chosen()
"""
_chosen: list[type[Any]] = []


def chosen() -> type[Any]:
    """The test class that is being run: what the file that pytest collects asks for."""
    return _chosen[-1]


def run(settings: Settings, name: str) -> bool:
    """Whether the plugin passes; pytest prints what it finds. Raises ClickException when it cannot be tried at all."""
    try:
        import pytest
    except ImportError:
        raise click.ClickException("This needs pytest; install homeroom-core[testing].") from None
    from homeroom.testing import plugin_tests

    try:
        found: Any = discovery.load(settings.plugins.entry_point(name))
    except discovery.CannotLoad as exc:
        raise click.ClickException(f"{name}: {exc}") from None
    _chosen.append(plugin_tests(found, settings.plugins.section(name)))
    with tempfile.TemporaryDirectory(prefix="homeroom-") as folder:
        file, ini = Path(folder) / "test_conformance.py", Path(folder) / "pytest.ini"
        file.write_text(_FILE)
        ini.write_text("[pytest]\n")
        # Its own configuration: the settings of the project in which the command is run are not the plugin's.
        code = pytest.main([str(file), "-c", str(ini), "--rootdir", folder, "-p", "no:cacheprovider", "-q"])
    return code == pytest.ExitCode.OK
