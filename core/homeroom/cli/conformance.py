"""Runs the conformance kits on an installed plugin, and tells of every rule whether it passes.

A plugin whose simulator is installed is tested against that, and never against the district's own SIS or messaging
account: the rules try wrong secrets, write attendance, and send messages.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import structlog

from homeroom.host import discovery

if TYPE_CHECKING:
    import pytest

    from homeroom.settings import Settings
    from homeroom.testing import Simulator

SIMULATORS = "homeroom.simulators"
_PLUGIN = "TestPlugin"
_FILE = """\
from homeroom.cli.conformance import chosen

globals().update(chosen())
"""
_chosen: dict[str, type[Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What came of one rule; `message` says what is wrong, or why it does not apply.

    `against` is the simulator against which the plugin was tested; None for the rules of every plugin.
    """

    against: str | None
    rule: str
    outcome: Literal["pass", "fail", "skip"]
    message: str = ""

    def as_json(self) -> dict[str, str | None]:
        """The shape of `plugins test --json`."""
        return asdict(self)


def chosen() -> dict[str, type[Any]]:
    """The test classes that are being run, by name: what the file that pytest collects asks for."""
    return dict(_chosen)


def run(settings: Settings, name: str, *, tell: Callable[[Rule], None]) -> list[Rule]:
    """What came of each rule; `tell` hears of each as soon as it is known.

    Raises ClickException when the plugin cannot be tried at all.
    """
    try:
        import pytest
    except ImportError:
        raise click.ClickException("This needs pytest; install homeroom-core[testing].") from None
    _choose(settings, name)
    rules = _Rules(tell)
    printed = io.StringIO()
    # Every level: what a rule overhears must not depend on what this command lets through to its terminal.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_: structlog.PrintLogger(printed),
    )
    with tempfile.TemporaryDirectory(prefix="homeroom-") as folder, contextlib.redirect_stdout(printed):
        file, ini = Path(folder) / "test_conformance.py", Path(folder) / "pytest.ini"
        file.write_text(_FILE)
        ini.write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
        # Its own configuration: the settings of the project in which the command is run are not the plugin's.
        options = ["-c", str(ini), "--rootdir", folder, "-p", "no:cacheprovider", "--tb=short", "-s"]
        code = pytest.main([str(file), *options], plugins=[rules])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        sys.stderr.write(printed.getvalue())
        raise click.ClickException(f"{name} could not be tested.")
    return rules.told


def _choose(settings: Settings, name: str) -> None:
    from homeroom.testing import plugin_tests, sample_district, services

    entry_point = settings.plugins.entry_point(name)
    try:
        plugin: Any = discovery.load(entry_point)
        simulators = _simulators(entry_point)
    except discovery.CannotLoad as exc:
        raise click.ClickException(f"{name}: {exc}") from None
    _chosen.clear()
    if not simulators:
        _chosen[_PLUGIN] = plugin_tests(plugin, settings.plugins.section(name))
        return
    server = next(iter(simulators.values()))(sample_district(students=30))
    _chosen[_PLUGIN] = plugin_tests(
        plugin,
        server.settings("https://vendor.example"),
        services=lambda: services(name, scopes=getattr(plugin, "scopes", ()), http=server.app),
    )
    for one, simulator in simulators.items():
        _chosen[f"Test_{one}"] = _tests(plugin, simulator)


def _tests(plugin: type[Any], simulator: type[Simulator]) -> type[Any]:
    """The rules for what the simulator stands for: a messaging vendor or a SIS."""
    from homeroom.testing import ChannelSimulator, channel_tests, connector_tests

    if issubclass(simulator, ChannelSimulator):
        return channel_tests(plugin, simulator=simulator)
    return connector_tests(plugin, simulator=simulator)


def _simulators(plugin: str) -> dict[str, type[Simulator]]:
    """The installed simulators of a plugin: the one of its name, or those whose names begin with it."""
    names = sorted(discovery.installed(SIMULATORS))
    found: dict[str, Any] = {
        name: discovery.load(name, SIMULATORS) for name in names if name == plugin or name.startswith(f"{plugin}_")
    }
    return {name: simulator for name, simulator in found.items() if simulator.name == plugin}


class _Rules:
    """Hears from pytest what came of each test."""

    def __init__(self, tell: Callable[[Rule], None]) -> None:
        self.told: list[Rule] = []
        self._tell = tell

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what came of a test: of its call, or of what kept it from being called."""
        if report.when != "call" and report.passed:
            return
        name = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        tests = report.nodeid.split("::")[1]
        against = None if tests == _PLUGIN else tests.removeprefix("Test_")
        if report.failed:
            rule = Rule(against=against, rule=name, outcome="fail", message=_message(report))
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            rule = Rule(against=against, rule=name, outcome="skip", message=reason.removeprefix("Skipped: "))
        else:
            rule = Rule(against=against, rule=name, outcome="pass")
        self.told.append(rule)
        self._tell(rule)


def _message(report: pytest.TestReport) -> str:
    """What the rule says; for an error that is no rule's own, also where it was raised."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return str(report.longrepr)
    text = str(crash.message)
    return text.removeprefix("Failed: ") if text.startswith("Failed: ") else f"{text}\n{report.longreprtext}"
