"""Every bundled connector keeps every rule of the conformance kit (PowerSchool's are in test_powerschool_kit)."""

from __future__ import annotations

import pytest

from homeroom.testing import connector_tests
from homeroom_edfi import EdFi
from homeroom_edfi.simulator import EdFiSimulator
from homeroom_infinite_campus import InfiniteCampus
from homeroom_infinite_campus.simulator import InfiniteCampusSimulator
from homeroom_oneroster import OneRoster
from homeroom_oneroster.simulator import OneRosterSimulator
from homeroom_skyward import Skyward
from homeroom_skyward.simulator import SkywardQmlativSimulator, SkywardSmsSimulator

TestOneRoster = connector_tests(OneRoster, simulator=OneRosterSimulator)
TestEdFi = connector_tests(EdFi, simulator=EdFiSimulator, settings={"page_size": 25})
TestInfiniteCampus = connector_tests(InfiniteCampus, simulator=InfiniteCampusSimulator)
TestInfiniteCampusLegacyIds = pytest.mark.long(
    connector_tests(InfiniteCampus, simulator=InfiniteCampusSimulator, settings={"ids": "legacy"})
)
TestSkywardSms = connector_tests(Skyward, simulator=SkywardSmsSimulator)
TestSkywardQmlativ = connector_tests(Skyward, simulator=SkywardQmlativSimulator)
