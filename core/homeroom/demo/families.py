"""Families who are told: an earlier roll with three absences, rules that tell of them, and the messages as they go out.

Both vendors are simulators on this machine; nobody real is texted or mailed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from homeroom.attendance.marks import NewMark, mark
from homeroom.attendance.sessions import Opening, close_session, open_session
from homeroom.demo import vendors
from homeroom.notify import choices, reading
from homeroom.notify.rules import add_rule, draft
from homeroom.roster import people
from homeroom.roster.calendar import bounds, school_day, zone_of
from homeroom.roster.classes import roster_of
from homeroom.store import Connection, Transaction, new_id, now_utc
from homeroom.store import models as m

if TYPE_CHECKING:
    from homeroom.demo.people import DemoClass
    from homeroom.district import District
    from homeroom.notify.reading import Shown

CHANNELS = ("twilio", "sendgrid")
SAID = "Its families are texted and mailed through simulators of Twilio and SendGrid on this machine; nobody real is."

_WISHES = (choices.Wishes(channels=["email"]), choices.Wishes(language="es"), choices.Wishes())
_ABSENT = len(_WISHES)
_PHONE = "+1 202 555 0100"  # of the numbers that belong to nobody
_LOOK_SECONDS = 1.0
_SOME_CLASSES = 40
_SHOWN = 200
_OUT = ("accepted", "delivered", "failed", "unknown")
_TITLES = {"twilio": "Twilio", "sendgrid": "SendGrid"}
_RULES: Sequence[tuple[str, str, Mapping[str, Any]]] = (
    ("absence", "Absence from a class", {"of": "class", "delay_minutes": 0, "latest": "00:00", "until": "23:59"}),
    ("tardy", "Late for a class", {"of": "class", "delay_minutes": 0, "until": "23:59"}),
)


def installed() -> list[str]:
    """The messaging plugins whose simulators are part of this installation."""
    return [name for name in CHANNELS if vendors.is_installed(name)]


async def begin(district: District, group: DemoClass, *, with_roll: bool) -> None:
    """Switch the rules on, and take a roll of an hour ago in which some are absent whose families can be told."""
    ids, session_id = [new_id() for _ in _RULES], new_id()

    def rules(tx: Transaction) -> None:
        for rule_id, (kind, title, settings) in zip(ids, _RULES, strict=True):
            if tx.get(m.NotificationRule, rule_id) is None:
                add_rule(tx, rule_id, draft(kind, settings, title=title))

    await district.store.write(rules)
    if not with_roll:
        return
    earlier = await district.store.read(lambda c: _earlier(c, district, group))
    if earlier is not None:
        await district.store.write(lambda tx: _choose(tx, district, group.school_id, earlier.absent))
        await district.store.write(lambda tx: _take_roll(tx, district, earlier, session_id))


async def watch(district: District, tell: Callable[[str], None]) -> None:
    """Tell of each message as it goes out, with its reason, until cancelled."""
    told: dict[str, str] = {}

    def news(connection: Connection) -> list[str]:
        lines: list[str] = []
        found, _ = reading.messages(connection, reading.Wanted(limit=_SHOWN, states=_OUT))
        for shown in reversed(found):
            if told.get(shown.id) != shown.state:
                whole = reading.message(connection, shown.id)
                lines.append(line(whole, _class_of(connection, whole), first=shown.id not in told))
                told[shown.id] = shown.state
        return lines

    while True:
        for text in await district.store.read(news):
            tell(text)
        await asyncio.sleep(_LOOK_SECONDS)


def line(shown: Shown, title: str, *, first: bool) -> str:
    """One message in words: to whom, by whom, what it says, and why; later only what became of it."""
    vendor = _TITLES.get(shown.plugin or "", shown.plugin or "nobody")
    whom = f"{shown.recipient} ({shown.audience} of {shown.student})"
    if not first:
        return f"{vendor}: the message to {whom} is {shown.state}"
    text = shown.texts.get("sms") if shown.channel == "sms" else shown.texts.get("subject")
    rule = f'rule "{shown.why.get("rule")}", version {shown.rule_version}'
    where = f", a mark in {title}" if title else ""
    return f"{vendor} {shown.state} for {whom}: {text}  [why: {rule}{where}]"


def _class_of(connection: Connection, shown: Shown) -> str:
    records = shown.why.get("records") or [""]
    rows = connection.sql(
        "SELECT c.title FROM attendance_records r JOIN classes c ON c.id = r.class_id WHERE r.id = ?", (records[0],)
    )
    return str(rows[0][0]) if rows else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Earlier:
    """A class that met before the demo began: who of it was there, and who was not."""

    class_id: str
    present: Sequence[str]
    absent: Sequence[str]
    starts_at: datetime


def _earlier(connection: Connection, district: District, group: DemoClass) -> _Earlier | None:
    """Another class of the same school, with three students of whose absence somebody can be told."""
    zone = zone_of(connection, group.school_id, district.settings.attendance.time_zone)
    now = now_utc()
    today = school_day(now, zone)
    starts_at = max(now - timedelta(hours=1), bounds(today, zone)[0])
    table = m.Class
    query = table.select(table.id).where(table.school_id == group.school_id, table.id != group.id, ~table.ended)
    for class_id in connection.values(query.order_by(table.id).limit(_SOME_CLASSES)):
        students = [member.user_id for member in roster_of(connection, class_id, today).students]
        others = [student for student in students if student not in group.student_ids]
        absent = [student for student in others if people.guardians_of(connection, student)][:_ABSENT]
        if len(absent) == _ABSENT:
            present = [student for student in students if student not in absent]
            return _Earlier(class_id=class_id, present=present, absent=absent, starts_at=starts_at)
    return None


def _choose(tx: Transaction, district: District, school_id: str, students: Sequence[str]) -> None:
    """Let the families want different things: one an e-mail, one Spanish; and give the school a telephone."""
    for student, wishes in zip(students, _WISHES, strict=True):
        for relative in people.guardians_of(tx, student):
            choices.wish(tx, relative.user.id, wishes, district.settings.notify)
    school = tx.get(m.Org, school_id)
    assert school is not None  # noqa: S101 - the demo's class is at it
    settings = {**(school.settings or {}), "phone": _PHONE}
    tx.run(m.Org.update(settings=settings, changed_at=tx.now).where(m.Org.id == school_id))


def _take_roll(tx: Transaction, district: District, earlier: _Earlier, session_id: str) -> None:
    zone = district.settings.attendance.time_zone
    opening = Opening(id=session_id, class_id=earlier.class_id, starts_at=earlier.starts_at, zone_default=zone)
    session = open_session(tx, opening)
    marks = [
        *(NewMark(student_id=student, status="present") for student in earlier.present),
        *(NewMark(student_id=student, status="absent") for student in earlier.absent),
    ]
    mark(tx, session.id, marks)
    close_session(tx, session.id, weekdays=district.settings.attendance.school_days)
