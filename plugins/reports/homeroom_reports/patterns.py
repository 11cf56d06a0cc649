"""When, where and how students check in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

from homeroom import Connection, Services
from homeroom_reports.answers import Hour, Method, Pattern
from homeroom_reports.asked import Whose

COLUMNS = ("school_id", "school", "hour", "methods", "check_ins")


def count(services: Services, connection: Connection, wanted: Whose, since: date, until: date) -> list[Pattern]:
    """Each school's check-ins by hour and method."""
    return [
        Pattern(school_id=school.id, school=school.name, hour=one.hour, methods=list(one.methods), check_ins=one.count)
        for school in wanted.schools
        for one in services.figures.check_ins(connection, school, since, until, class_ids=wanted.class_ids)
    ]


def by_hour(patterns: Sequence[Pattern]) -> list[Hour]:
    """Every hour from the first to the last with any, the empty ones between them too."""
    counts: Counter[int] = Counter()
    for one in patterns:
        counts[one.hour] += one.check_ins
    hours = range(min(counts), max(counts) + 1) if counts else ()
    return [Hour(hour=hour, check_ins=counts[hour]) for hour in hours]


def by_method(patterns: Sequence[Pattern]) -> list[Method]:
    """What accepted them, the most used first."""
    counts: Counter[tuple[str, ...]] = Counter()
    for one in patterns:
        counts[tuple(one.methods)] += one.check_ins
    return [Method(methods=list(methods), check_ins=count) for methods, count in counts.most_common()]
