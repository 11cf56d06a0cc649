from __future__ import annotations

from homeroom.testing import connector_tests
from homeroom.testing.connector_kit.attendance import AttendanceRules
from homeroom_powerschool import PowerSchool
from homeroom_powerschool.simulator import PowerSchoolSimulator

TestPowerSchool = connector_tests(
    PowerSchool, simulator=PowerSchoolSimulator, settings={"page_size": 20, "query_page_size": 20}
)


class TestPowerSchoolByDay(AttendanceRules):
    """The rules on attendance, where the schools take it once a day."""

    subject = connector_tests(
        PowerSchool, simulator=PowerSchoolSimulator, settings={"attendance_mode": "daily"}
    ).subject
