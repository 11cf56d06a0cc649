"""What a request asks for: whose figures, within what the caller reaches, and of which days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar

from homeroom import Call, Connection, FieldError, Invalid, Refused, School, Services
from homeroom_reports.answers import Days, Page

T = TypeVar("T")
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """The schools whose figures are asked for, and the classes, where only these are."""

    schools: Sequence[School]
    class_ids: frozenset[str] | None = None


def whose(call: Call, services: Services, connection: Connection, now: datetime) -> Whose:
    """Whose figures: those of the class or school that was named, else of all that the caller reaches.

    What was named is judged already. Raises Refused 404 for a school that is none.
    """
    figures, place = services.figures, call.place
    if place.class_id is not None:
        school_id = figures.school_of(connection, place.class_id)
        return Whose(
            schools=figures.schools(connection, {school_id} if school_id else (), now=now),
            class_ids=frozenset({place.class_id}),
        )
    if place.school_id is not None:
        schools = figures.schools(connection, {place.school_id}, now=now)
        if not schools:
            raise Refused(404, "not-found", "There is no such school.")
        return Whose(schools=schools)
    within = call.schools(connection)
    if within is None or within:
        return Whose(schools=figures.schools(connection, within, now=now))
    class_ids = call.classes(connection) or frozenset()
    ids = {figures.school_of(connection, class_id) for class_id in class_ids}
    return Whose(schools=figures.schools(connection, {one for one in ids if one}, now=now), class_ids=class_ids)


def days_of(query: Days, until: date, *, back: int, most: int) -> tuple[date, date]:
    """The first and the last day; `until` and `back` days before it where none are named.

    Raises Invalid for days in the wrong order, and for more than `most` of them.
    """
    last = query.until or until
    first = query.since or last - timedelta(days=back)
    if not timedelta(0) <= last - first < timedelta(days=most):
        raise Invalid([FieldError(field="from", message=f"must not be after `to`, nor {most} days or more before it")])
    return first, last


def page_of(query: Page, items: Sequence[T]) -> tuple[Sequence[T], str | None]:
    """The items of the page that is asked for, and the cursor of the next one."""
    start = int(query.cursor or 0)
    end = start + query.limit
    return items[start:end], str(end) if end < len(items) else None


def share(part: int, whole: int) -> float | None:
    """A share, to four places; None of nothing."""
    return round(part / whole, 4) if whole else None


def mean(amount: int, days: int) -> float | None:
    """An average by day, to two places; None without days."""
    return round(amount / days, 2) if days else None


def over(days: Iterable[date], school: School) -> list[date]:
    """The days that are over at the school."""
    return [day for day in days if day < school.today]
