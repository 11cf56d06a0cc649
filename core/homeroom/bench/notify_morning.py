"""Bringing the district of `homeroom bench notify` into the database, and taking the rolls of its morning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from homeroom.attendance.marks import NewMark, mark
from homeroom.attendance.sessions import Opening, open_session
from homeroom.bench.notify_district import Class, Guardian
from homeroom.notify import consent
from homeroom.notify.addresses import normal
from homeroom.notify.rules import add_rule, draft
from homeroom.store import Store, Transaction, iso, new_id
from homeroom.store import models as m
from homeroom.store.bulk import upsert

_IN_ONE_UNIT = 20  # classes
_TEN = 10  # o'clock at the schools, whatever the hour here: no quiet hours, and nothing expires
_WEEK = [0, 1, 2, 3, 4, 5, 6]
_BEFORE = timedelta(hours=1)


def write(store: Store, some: Sequence[Class], progress: Callable[[int], None]) -> None:
    """Bring these classes, everybody in them and two rules into the database."""
    store.write_now(partial(_write_schools, schools=sorted({one.school_id for one in some})))
    for start in range(0, len(some), _IN_ONE_UNIT):
        store.write_now(partial(_write_classes, some=some[start : start + _IN_ONE_UNIT]))
        progress(start)
    for kind in ("absence", "tardy"):
        rule = draft(kind, {"delay_minutes": 0}, title=kind)
        store.write_now(partial(add_rule, rule_id=new_id(), rule=rule))


def mark_all(store: Store, some: Sequence[Class], progress: Callable[[int], None]) -> None:
    """Take the roll of each of these classes, as their teachers do it."""
    for number, one in enumerate(some):
        store.write_now(partial(_take_roll, session_id=new_id(), one=one))
        if number % _IN_ONE_UNIT == 0:
            progress(number)


def zone_at_ten(now: datetime) -> str:
    """The name of a zone in which it is ten o'clock, and some minutes."""
    offset = _TEN - now.astimezone(UTC).hour
    if offset < -12:  # noqa: PLR2004 - the zones end there; on the other side it is the day after
        offset += 24
    return f"Etc/GMT{-offset:+d}"  # whose signs are the other way round


def _write_schools(tx: Transaction, schools: Sequence[str]) -> None:
    about = {"time_zone": zone_at_ten(tx.now), "settings": {"school_days": _WEEK}, "changed_at": tx.now}
    tx.insert_new(m.Org, id="district", name="Measured district", kind="district", **about)
    for number, school in enumerate(schools):
        settings = {"school_days": _WEEK, "phone": f"+1 212 555 {number:04}"}
        more = {**about, "settings": settings, "parent_id": "district"}
        tx.insert(m.Org, id=school, name=f"Measured School {number}", kind="school", **more)


def _write_classes(tx: Transaction, some: Sequence[Class]) -> None:
    now = iso(tx.now)
    students = [(one, student) for one in some for student in one.students]
    guardians = [(student, guardian) for _, student in students for guardian in student.guardians]
    people = [student.id for _, student in students] + [guardian.id for _, guardian in guardians]
    upsert(
        tx,
        "users",
        ("id", "given_name", "family_name", "sort_name", "grades", "enabled", "ended", "version", "changed_at"),
        [(who, "Sam", who.title(), f"{who} sam", '["07"]', True, False, 1, now) for who in people],
    )
    upsert(
        tx,
        "classes",
        (
            *("id", "title", "school_id", "kind", "periods", "methods", "require"),
            *("archived", "ended", "version", "changed_at"),
        ),
        [
            (one.id, f"Homeroom {one.id}", one.school_id, "homeroom", "[]", "[]", "any", False, False, 1, now)
            for one in some
        ],
    )
    upsert(
        tx,
        "enrollments",
        ("id", "user_id", "class_id", "role", "primary", "ended", "changed_at"),
        [(new_id(), student.id, one.id, "student", True, False, now) for one, student in students],
    )
    upsert(
        tx,
        "guardianships",
        ("guardian_id", "student_id", "relationship", "blocked", "data_access", "notify", "ended", "changed_at"),
        [(g.id, student.id, "guardian", g.blocked, True, True, False, now) for student, g in guardians],
    )
    _write_addresses(tx, [guardian for _, guardian in guardians], now)


def _write_addresses(tx: Transaction, guardians: Sequence[Guardian], now: str) -> None:
    """Sealed contacts, wishes, and what was said of addresses."""
    contacts = [(one, kind, value) for one in guardians for kind, value in one.addresses()]
    sealed = tx.seal_many([(one.id, value) for one, _, value in contacts])
    upsert(
        tx,
        "contacts",
        ("id", "user_id", "kind", "value", "lookup"),
        [
            (new_id(), one.id, kind, text, tx.cipher.lookup(kind, value))
            for (one, kind, value), text in zip(contacts, sealed, strict=True)
        ],
    )
    upsert(
        tx,
        "notification_preferences",
        ("user_id", "language", "channels", "changed_at"),
        [
            (one.id, one.language, '["email", "sms"]' if one.wishes else "[]", now)
            for one in guardians
            if one.language or one.wishes
        ],
    )
    for one in guardians:
        for kind, value in one.addresses():
            if kind in one.silent:
                consent.say(tx, kind, normal(kind, value) or "", "withdrawn", source="vendor")


def _take_roll(tx: Transaction, session_id: str, one: Class) -> None:
    starts_at = tx.now - _BEFORE
    session = open_session(tx, Opening(id=session_id, class_id=one.id, starts_at=starts_at))
    marks = [
        NewMark(student_id=student.id, status=student.status, minutes_late=12 if student.status == "tardy" else None)
        for student in one.students
    ]
    mark(tx, session.id, marks)
