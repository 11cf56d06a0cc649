"""Writes how each test of tests/compliance went, for `homeroom compliance report`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

VARIABLE = "HOMEROOM_COMPLIANCE_RESULTS"
_WORSE = ("passed", "skipped", "failed")


class Results:
    """A pytest plugin; the worst outcome of all parameters and phases of a test is the test's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.heard(report.nodeid, report.when or "", report.outcome)

    def pytest_sessionfinish(self) -> None:
        self.write()

    def heard(self, node: str, when: str, outcome: str) -> None:
        """Take over one phase of one test."""
        name = node.partition("[")[0]
        if not name.startswith("tests/compliance/") or (when != "call" and outcome == "passed"):
            return
        self.outcomes[name] = max(outcome, self.outcomes.get(name, "passed"), key=_WORSE.index)

    def write(self) -> None:
        """Write the file."""
        told = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "outcomes": self.outcomes}
        self.path.write_text(json.dumps(told, indent=1, sort_keys=True), encoding="utf-8")
