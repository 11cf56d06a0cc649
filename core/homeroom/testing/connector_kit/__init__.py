"""The conformance kit for SIS connectors: what every one of them must do, rule by rule.

    TestAcme = connector_tests(Acme, simulator=AcmeSimulator)

Each rule is a test of the class that this makes; its message says what is wrong and how to mend it.
docs/writing-a-connector.md says why each rule is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from homeroom.records import SisConnector
from homeroom.testing.connector_kit.attendance import AttendanceRules
from homeroom.testing.connector_kit.check import CheckRules
from homeroom.testing.connector_kit.left_out import rules_left_out
from homeroom.testing.connector_kit.manners import MannersRules
from homeroom.testing.connector_kit.reading import ReadingRules
from homeroom.testing.connector_kit.removal import RemovalRules
from homeroom.testing.connector_kit.subject import Subject
from homeroom.testing.connector_kit.trouble import TroubleRules
from homeroom.testing.simulator import Simulator

__all__ = ["ConnectorTests", "connector_tests"]


class ConnectorTests(AttendanceRules, MannersRules, TroubleRules, RemovalRules, ReadingRules, CheckRules):
    """What every connector must pass; `connector_tests` makes a class of it for one connector."""


def connector_tests(
    connector: type[Any] | Callable[[Mapping[str, Any]], SisConnector],
    config: Mapping[str, Any] | None = None,
    *,
    simulator: type[Simulator] | None = None,
    settings: Mapping[str, Any] | None = None,
    students: int = 30,
    max_block_ms: float = 100.0,
    skip: Mapping[str, str] | None = None,
) -> type[ConnectorTests]:
    """A pytest class of what every connector must pass.

    `connector` is the plugin class, or a function that builds a connector from `config`. With a `simulator` its rules
    on misbehaving servers are tried too; `settings` are then added to the simulator's own and its `small_pages`.
    Without one, `config` holds what a district would set, for a recorded server of your own.
    `skip` maps the names of rules that cannot apply to the reason. The made-up district has some `students`; nothing
    may hold the event loop longer than `max_block_ms`.

    Raises TypeError where neither, or both, say what is read.
    """
    if (simulator is None) == (config is None):
        raise TypeError("give either a simulator or a config")
    if simulator is not None and not isinstance(connector, type):
        raise TypeError("a simulator needs the plugin class, not a function: the kit gives it the services")
    subject = Subject(
        connector=connector,
        config={**(config or {}), **(simulator.small_pages if simulator else {}), **(settings or {})},
        simulator=simulator,
        students=students,
        max_block_ms=max_block_ms,
    )
    rules = rules_left_out(ConnectorTests, skip or {})
    name = getattr(connector, "__name__", "connector")
    return type(f"Test{name}", (ConnectorTests,), {"subject": subject, **rules})
