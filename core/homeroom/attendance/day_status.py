"""A student's status for a whole school day, from the marks of its periods, by the school's own rule.

The rule is data: `day_rule` in the settings of the school, else of the district above it.

    {"kind": "homeroom"}                 the homeroom's mark is the day's
    {"kind": "any_period"}               present when present in any period (the default)
    {"kind": "all_periods"}              present only when present in every period that was taken
    {"kind": "share", "at_least": 0.5}   present when present in at least that share of the periods taken
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Annotated, Any, Literal

from peewee import JOIN
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from homeroom.attendance.records import day_text
from homeroom.roster.calendar import WEEKDAYS, school_days
from homeroom.store import Connection
from homeroom.store import models as m
from homeroom.types import Status


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Homeroom(_Rule):
    """The homeroom's mark is the day's."""

    kind: Literal["homeroom"] = "homeroom"


class AnyPeriod(_Rule):
    """Present when present in any period."""

    kind: Literal["any_period"] = "any_period"


class AllPeriods(_Rule):
    """Present only when present in every period that was taken."""

    kind: Literal["all_periods"] = "all_periods"


class Share(_Rule):
    """Present when present in at least a share of the periods that were taken."""

    kind: Literal["share"] = "share"
    at_least: float = Field(default=0.5, gt=0, le=1)


DayRule = Annotated[Homeroom | AnyPeriod | AllPeriods | Share, Field(discriminator="kind")]
_RULES: TypeAdapter[DayRule] = TypeAdapter(DayRule)
DEFAULT = AnyPeriod()


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodMark:
    """One mark of one day, as far as a rule looks at it."""

    record_id: str
    school_id: str
    school_day: str
    starts_at: str
    status: Status
    homeroom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DayStatus:
    """A day's status and why: the rule as it stands in the settings, and the records that it looked at.

    `status` is None when no mark of the day counts for the rule.
    """

    school_id: str
    school_day: str
    status: Status | None
    rule: Mapping[str, Any]
    records: Sequence[str]


def parse_rule(data: Any) -> DayRule:
    """The rule that `data` says. Raises ValueError in plain words for one that there is not."""
    try:
        return _RULES.validate_python(data)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"this is no day rule: {where}: {first['msg']}") from None


def rule_of(connection: Connection, school_id: str) -> DayRule:
    """The school's rule, else the district's, else DEFAULT; one that cannot be read counts as not set."""
    seen: set[str] = set()
    org_id: str | None = school_id
    while org_id and org_id not in seen:
        seen.add(org_id)
        org = connection.get(m.Org, org_id)
        if org is None:
            break
        found = (org.settings or {}).get("day_rule")
        if found is not None:
            try:
                return parse_rule(found)
            except ValueError:
                break
        org_id = org.parent_id
    return DEFAULT


def day_status(rule: DayRule, marks: Sequence[PeriodMark]) -> Status | None:
    """The status of one day from its marks, in any order; None when none of them counts.

    Present and tardy both mean that the student came; the day is tardy when the first mark that counts is. A day missed
    is excused only when every period missed was.
    """
    counted = sorted(marks, key=lambda mark: (mark.starts_at, mark.record_id))
    if isinstance(rule, Homeroom):
        counted = [mark for mark in counted if mark.homeroom]
    if not counted:
        return None
    came = [mark for mark in counted if mark.status in ("present", "tardy")]
    if came_enough(rule, len(came), len(counted)):
        return "tardy" if counted[0].status == "tardy" else "present"
    missed = [mark for mark in counted if mark.status in ("absent", "excused")]
    return "excused" if all(mark.status == "excused" for mark in missed) else "absent"


def came_enough(rule: DayRule, came: int, counted: int) -> bool:
    """Whether somebody who came to so many of the periods that count was there that day."""
    match rule:
        case Share():
            return came >= rule.at_least * counted
        case AnyPeriod():
            return came > 0
        case _:
            return came == counted


def day_statuses(
    connection: Connection,
    student_id: str,
    since: date,
    until: date,
    *,
    within: Callable[[Any], Any] | None = None,
    weekdays: Collection[int] = WEEKDAYS,
) -> list[DayStatus]:
    """A student's days from `since` to `until`, both included, that were school days and have marks, per school.

    `within` narrows the marks to what the caller may see, as in `history.Wanted`.
    """
    marks = _marks(connection, student_id, since, until, within)
    found: list[DayStatus] = []
    for school_id, at_school in groupby(marks, key=lambda mark: mark.school_id):
        rule = rule_of(connection, school_id)
        held = school_days(connection, school_id, since, until + timedelta(days=1), weekdays=weekdays)
        days = {day.isoformat() for day in held}
        for day, group in groupby(at_school, key=lambda mark: mark.school_day):
            if day in days:
                of_day = list(group)
                found.append(
                    DayStatus(
                        school_id=school_id,
                        school_day=day,
                        status=day_status(rule, of_day),
                        rule=rule.model_dump(),
                        records=[mark.record_id for mark in of_day],
                    )
                )
    return found


def _marks(
    connection: Connection, student_id: str, since: date, until: date, within: Callable[[Any], Any] | None
) -> list[PeriodMark]:
    record, session, group = m.AttendanceRecord, m.ClassSession, m.Class
    query = (
        record.select(record.id, record.school_id, record.school_day, session.starts_at, record.status, group.kind)
        .join(session, on=(session.id == record.session_id))
        .join(group, JOIN.LEFT_OUTER, on=(group.id == record.class_id))
        .where(record.student_id == student_id, record.school_day >= since, record.school_day <= until)
    )
    allowed = within(record) if within is not None else None
    if allowed is not None:
        query = query.where(allowed)
    rows = connection.database.execute(query.order_by(record.school_id, record.school_day)).fetchall()
    return [
        PeriodMark(
            record_id=row[0],
            school_id=row[1],
            school_day=day_text(row[2]),
            starts_at=row[3],
            status=row[4],
            homeroom=row[5] == "homeroom",
        )
        for row in rows
    ]
