"""Attendance out: from the journal into a queue for each SIS, and from there, at least once, into the SIS.

Nothing leaves unless the district names the connector in `[sync] attendance_out`. A queue holds one row for each
student and class meeting (or school day), always with the latest wish. Each write is kept before it is tried, so that
one whose answer was lost is sent again under the same key. What somebody else changed in the SIS is shown to a person
and never overwritten blindly.
"""

from homeroom.attendance_out.choices import Choice, choose, retry
from homeroom.attendance_out.reports import OutgoingStatus, Problem, problems, status
from homeroom.attendance_out.runner import AttendanceOut
from homeroom.attendance_out.words import words

__all__ = [
    "AttendanceOut",
    "Choice",
    "OutgoingStatus",
    "Problem",
    "choose",
    "problems",
    "retry",
    "status",
    "words",
]
