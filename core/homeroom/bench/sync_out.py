"""Attendance out, for `homeroom bench sync`: marks of a whole school day, from the journal into a simulated SIS.

Reads a Plan from standard input: takes the SIS's roster in, marks students in their homerooms as teachers do, then
times how long the queue takes to be followed and emptied.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from functools import partial
from pathlib import Path

from homeroom.attendance.marks import NewMark, mark
from homeroom.attendance.sessions import Opening, open_session
from homeroom.attendance_out import status
from homeroom.attendance_out.drain import drain
from homeroom.attendance_out.queue import begin, follow
from homeroom.bench.exchange import CannotMeasure, client, say
from homeroom.cli.installation import loaded, quiet_logs
from homeroom.runs.connectors import connector
from homeroom.runs.under_way import options
from homeroom.settings import load_settings
from homeroom.store import Store, Transaction, new_id
from homeroom.sync import run as sync_run
from homeroom.types import Status

_STATUSES: tuple[Status, ...] = ("present", "absent", "tardy", "excused")
_FRIDAY = 4
_HOMEROOM = "Homeroom%"  # how the sample district calls them
_SEATED = """
SELECT e.class_id, e.user_id FROM enrollments e JOIN classes c ON c.id = e.class_id
WHERE c.source = ? AND c.title LIKE ? AND e.role = 'student' AND e.begins_on <= ?
ORDER BY e.class_id, e.user_id LIMIT ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """So many `changes` to send to the connector `name`."""

    config: str
    environment: Mapping[str, str]
    name: str
    changes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds of following and draining, how many marks there were, and how the queue says they fared."""

    seconds: float
    marks: int
    confirmed: int
    left: int


async def run(plan: Plan) -> Took:
    """Do it. Raises CannotMeasure when the roster cannot be taken in."""
    quiet_logs()
    settings = load_settings(Path(plan.config), plan.environment)
    async with loaded(settings) as district:
        store = district.store
        sis = await connector(district.host, plan.name)
        how = options(district)
        how["progress"] = lambda step: say({"phase": f"roster: {step.phase} {step.noun}", "done": step.done})
        result = await sync_run(store, plan.name, sis, **how)
        if result.status != "done":
            raise CannotMeasure(f"the run is {result.status}: {result.reason or 'its guard stopped it'}")
        await store.write(partial(begin, connector=plan.name))
        marks = await _mark_all(store, plan)
        say({"phase": "sending", "done": 0, "total": marks})
        weekdays = settings.attendance.school_days

        async def between() -> bool:
            sent = await store.read(lambda c: status(c, plan.name).sent)
            say({"phase": "sending", "done": sent, "total": marks})
            return True

        started = time.perf_counter()
        await follow(store, plan.name, sis.attendance_level, weekdays=weekdays)
        await drain(store, plan.name, sis, between=between)
        seconds = time.perf_counter() - started
        told = await store.read(lambda c: status(c, plan.name))
    left = told.waiting + told.failed + told.differs + told.left_out
    return Took(seconds=seconds, marks=marks, confirmed=told.confirmed, left=left)


async def _mark_all(store: Store, plan: Plan) -> int:
    """Mark students in their homerooms on the last school day; gives how many."""
    day = _last_school_day(datetime.now(UTC).date())
    rows = await store.read(lambda c: c.sql(_SEATED, [plan.name, _HOMEROOM, day.isoformat(), plan.changes]))
    seats: dict[str, list[str]] = {}
    for class_id, student_id in rows:
        seats.setdefault(class_id, []).append(student_id)
    for number, (class_id, students) in enumerate(seats.items()):
        await store.write(partial(_mark_class, session_id=new_id(), class_id=class_id, students=students, day=day))
        if number % 20 == 0:
            say({"phase": "marking", "done": number, "total": len(seats)})
    return len(rows)


def _mark_class(tx: Transaction, session_id: str, class_id: str, students: Sequence[str], day: date) -> None:
    starts_at = datetime.combine(day, clock(12), UTC)
    session = open_session(tx, Opening(id=session_id, class_id=class_id, starts_at=starts_at))
    marks = [
        NewMark(student_id=student, status=_STATUSES[number % len(_STATUSES)])
        for number, student in enumerate(students)
    ]
    mark(tx, session.id, marks)


def _last_school_day(today: date) -> date:
    day = today - timedelta(days=1)
    return day - timedelta(days=max(0, day.weekday() - _FRIDAY))


if __name__ == "__main__":
    client(Plan, run)
