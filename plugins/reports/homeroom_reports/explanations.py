"""What each figure says of itself."""

from __future__ import annotations

from homeroom_reports.answers import Explanation, Source
from homeroom_reports.settings import ReportsSettings

_OWN = Source(name="Homeroom: docs/reports.md and docs/attendance.md")
_EDFACTS = Source(name="US Department of Education, EDFacts file specification 195 (chronic absenteeism)")
_WORKS = Source(name="Attendance Works", url="https://www.attendanceworks.org/chronic-absence/the-problem/")
_ESEA = Source(name="ESEA section 8101(1), 20 U.S.C. 7801(1)", url="https://www.law.cornell.edu/uscode/text/20/7801")
_NCES = Source(name="National Center for Education Statistics: average daily membership")
_DAYS = "Days are the school's own, in its time zone; only days on which its calendar holds school are counted."
_NOW = "Counted from the records as they are now: a correction changes the figures of its day."


def daily(*, of_classes: bool) -> Explanation:
    """Of attendance by day."""
    rule = "The school's day rule makes one status of a student's marks of a day."
    if of_classes:
        rule = (
            "Only marks in these classes count; a student with several on one day counts as present with one of them."
        )
    return Explanation(
        counts="Students with marks on each day, each once, by the status of their day.",
        rule=f"{rule} The rate is (present + tardy) / (present + tardy + absent + excused).",
        sources=[_OWN],
        notes=[
            _DAYS,
            "Students without a mark are in none of the four, so a roll that was not taken is not seen.",
            _NOW,
        ],
    )


def chronic_absence(settings: ReportsSettings) -> Explanation:
    """Of chronic absence."""
    return Explanation(
        counts="Students at each school who missed so many of the days on which they were enrolled there.",
        rule=(
            f"Days missed for any reason, excused ones included, are {settings.chronic_at:.0%} or more of the days "
            f"enrolled, after at least {settings.minimum_days} such days."
        ),
        sources=[_EDFACTS, _WORKS],
        notes=[
            _DAYS,
            "A day is missed when the school's day rule says so. The Department's is half a day or more.",
            'The rule {"kind": "share", "at_least": 0.5} comes close to that, going by periods.',
            "A day without a mark counts as enrolled and not as missed.",
            "A student who was at two schools counts at each. Today is not counted.",
            _NOW,
        ],
    )


def membership() -> Explanation:
    """Of ADA and ADM."""
    return Explanation(
        counts="The average number of students who attended (ADA) and who were enrolled (ADM) on a day in session.",
        rule=(
            "ADA = days attended by all students / days in session. ADM = days enrolled of all students / days in "
            "session. A day is attended when the school's day rule makes it present or tardy."
        ),
        sources=[_ESEA, _NCES],
        notes=[
            _DAYS,
            "Enrolled is who has a place in a class of the school that day.",
            "A place that the source took away without a last day counts until that became known.",
            "A day without a mark is a day of membership and not of attendance; see `unknown_days`.",
            "Today is not counted. States pay by definitions of their own; compare before you report.",
            _NOW,
        ],
    )


def rolls(settings: ReportsSettings) -> Explanation:
    """Of rolls not taken."""
    which = "Every homeroom" if settings.rolls_of_homerooms else "Every class"
    return Explanation(
        counts="Classes by day that had no session, or one that was left open.",
        rule=(
            f"{which} with students is to take a roll on every day of its terms on which the school is in session. A "
            f"session is left open when its day is over, or {settings.left_open_hours:g} hours after its beginning."
        ),
        sources=[_OWN],
        notes=[
            _DAYS,
            "Nothing is expected before the school's first session, nor of a class that has none yet today.",
            "A class that does not meet every day shows up on its free days.",
            _NOW,
        ],
    )


def check_ins() -> Explanation:
    """Of check-ins."""
    return Explanation(
        counts="Check-ins that students made, by the hour at the school and by what accepted them.",
        rule="A check-in counts in the hour in which it was made, also where it was sent later or was corrected since.",
        sources=[_OWN],
        notes=[
            "Marks that teachers made are not among them. A check-in without a method waited for a person to look.",
            "Hours are those of the school's own clock, summer time included.",
        ],
    )
