"""`deploy/`'s alerts and dashboard ask only for what `/metrics` gives, and say what to do about it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from homeroom.attendance_out import OutgoingStatus
from homeroom.cli import COMMANDS
from homeroom.runs.metrics import SyncFigures
from homeroom.telemetry import Metrics
from tests.services import promtool
from tests.services.run import NotHere

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus-rules.yaml"
ADDED_BY_PROMETHEUS = {"up": {"job", "instance"}}
_SERIES = re.compile(r"\b((?:homeroom|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"([^\"]*)\"")
_BY = re.compile(r"\bby\s*\(([^)]*)\)")


def exported() -> dict[str, dict[str, set[str]]]:
    """Every series that a process gives once each of its figures has been counted, with the values of its labels."""
    metrics = Metrics()
    metrics.request("GET", "/api/v1/classes/", 500, 0.01)
    metrics.check_in("recorded")
    metrics.hook("rotating_code", "verify_check_in", 0.1, failed=True)
    metrics.message("sms", "failed")
    for word in ("SELECT 1", "COMMIT"):
        metrics._queries.observe(word, 0.1)
    metrics._marks.labels("present", "north").inc()
    outgoing = OutgoingStatus()
    figures = SyncFigures(
        connector="powerschool", rows={"added": 1}, runs={"held": 1}, lag=1.0, last_success=1.0, outgoing=outgoing
    )
    district: Any = SimpleNamespace(
        boards=SimpleNamespace(sockets=1), store=SimpleNamespace(waiting=0), agreement=SimpleNamespace(disagreeing=0)
    )
    outbox = dict.fromkeys(("waiting", "held", "sending", "unknown"), 0)
    text, _ = metrics.render(district, [figures], outbox)
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def rules() -> list[dict[str, Any]]:
    whole = yaml.safe_load(RULES.read_text())
    return [rule for group in whole["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def wrong_with(expression: str, series: dict[str, dict[str, set[str]]]) -> list[str]:
    """What an expression asks for that nobody exports."""
    wrong, labels = [], {"job", "instance"}
    for name, matchers in _SERIES.findall(expression):
        if name not in series and name not in ADDED_BY_PROMETHEUS:
            wrong.append(name)
            continue
        known = series.get(name, {})
        labels |= set(known)
        for label, value in _LABEL.findall(matchers):
            if label not in {"job", "instance", *known}:
                wrong.append(f"{name}{{{label}}}")
            elif label == "queue" and not any(re.fullmatch(value, one) for one in known[label]):
                wrong.append(f"{name}{{{label}={value}}}")
    used = {label.strip() for group in _BY.findall(expression) for label in group.split(",")}
    return wrong + sorted(used - labels)


def test_everything_asked_for_is_exported() -> None:
    series, asked = exported(), list(expressions())
    assert len(asked) > 30
    assert [(title, wrong) for title, text in asked if (wrong := wrong_with(text, series))] == []


@pytest.mark.parametrize(
    "expression",
    [
        "rate(homeroom_check_in_total[5m])",
        'homeroom_queue_depth{kind="writes"}',
        'homeroom_queue_depth{queue="messages_lost"}',
        "sum by (person) (homeroom_sockets)",
    ],
)
def test_a_name_or_label_that_there_is_not_is_noticed(expression: str) -> None:
    assert wrong_with(expression, exported())


def test_every_alert_says_what_to_do_with_commands_that_there_are() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) > 10
    for rule in rules():
        told = rule["annotations"]
        assert set(told) == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert "for" in rule
        for command in re.findall(r"\bhomeroom ([a-z]+)\b", told["description"]):
            assert command in COMMANDS or command == "homeroom", (rule["alert"], command)


def test_every_panel_has_a_place_a_title_and_the_chosen_source() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    (source,) = dashboard()["templating"]["list"]
    assert {panel["datasource"]["uid"] for panel in panels} == {f"${{{source['name']}}}"}
    assert all(panel["description"] for panel in panels)


def test_prometheus_takes_the_rules_and_the_dashboards_questions(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    try:
        program = promtool.program()
    except NotHere as exc:
        request.node.user_properties.append(("missing", str(exc)))
        pytest.skip(str(exc))
    asked = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__(rate_interval|range)", "5m", text)}
        for number, (_, text) in enumerate(expressions())
    ]
    questions = tmp_path / "questions.yaml"
    questions.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": asked}]}))
    for path in (RULES, questions):
        done = subprocess.run([program, "check", "rules", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout
