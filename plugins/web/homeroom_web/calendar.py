"""A student's days, week by week."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from homeroom_web.visitors import Visitor

_WEEKS = 5


async def weeks_of(visitor: Visitor, student_id: str, today: date) -> list[list[dict[str, Any]]]:
    """The last weeks, each from Monday on, with what is known of every day."""
    first = today - timedelta(days=today.weekday() + 7 * (_WEEKS - 1))
    found = await visitor.get(f"/students/{student_id}/attendance/days?from={first}&to={today}")
    by_day = {one["school_day"]: one["status"] for one in found["items"]}
    days = [first + timedelta(days=number) for number in range(7 * _WEEKS)]
    told = [{"day": day, "status": by_day.get(day.isoformat())} for day in days]
    return [told[start : start + 7] for start in range(0, len(told), 7)]
