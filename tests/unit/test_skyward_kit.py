"""The conformance kit for the Generic API and attendance into it (test_connectors_conform has the other ways)."""

from __future__ import annotations

from homeroom.testing import connector_tests
from homeroom_skyward import Skyward
from homeroom_skyward.simulator import SkywardQmlativSimulator

TestSkywardGeneric = connector_tests(
    Skyward,
    simulator=SkywardQmlativSimulator,
    settings={
        "roster": "api",
        "version": None,
        "attendance": "api",
        "codes": {"absent": "A", "excused": "A/EX", "tardy": "T"},
    },
)
