"""A district small enough to reason about, where everybody stands in a different relation to everybody else.

Two schools; `algebra` and `biology` at the first, `chemistry` at the second, `drama` at the first has ended. Ann is in
algebra, Bob in biology, Cy in chemistry; Dan left algebra for biology, Eve joins algebra tomorrow.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from homeroom.auth.access import today_in
from homeroom.store import Store, Transaction
from homeroom.store import models as m
from homeroom.types import Identity, Role, RoleAt

TODAY = today_in("UTC")
YESTERDAY = TODAY - timedelta(days=1)
TOMORROW = TODAY + timedelta(days=1)

CLASSES = {"algebra": "north", "biology": "north", "chemistry": "south", "drama": "north"}
STUDENTS = {"ann": "north", "bob": "north", "cy": "south", "dan": "north", "eve": "north"}
SEATS: tuple[tuple[str, str, date | None, date | None], ...] = (
    ("ann", "algebra", None, None),
    ("bob", "biology", YESTERDAY, TOMORROW),
    ("cy", "chemistry", None, None),
    ("dan", "algebra", None, TODAY),
    ("dan", "biology", TODAY, None),
    ("eve", "algebra", TOMORROW, None),
)
TEACHING: tuple[tuple[str, str, date | None], ...] = (
    ("teacher_a", "algebra", None),
    ("teacher_a", "drama", None),
    ("teacher_b", "biology", None),
    ("teacher_c", "chemistry", None),
    ("teacher_gone", "algebra", TODAY),
    ("teacher_parent", "biology", None),
)
CHILDREN = (
    ("guardian_ann", "ann", False),
    ("guardian_cy", "cy", False),
    ("guardian_lost", "ann", True),
    ("teacher_parent", "ann", False),
)
SESSIONS = {f"session_{name}": name for name in CLASSES}
RECORDS = {
    "record_ann": ("algebra", "ann"),
    "record_bob": ("biology", "bob"),
    "record_cy": ("chemistry", "cy"),
    "record_dan_then": ("algebra", "dan"),
}
REPORTS = {"report_ann": "ann", "report_bob": "bob", "report_cy": "cy"}

_ROLES: tuple[tuple[str, Role, str | None], ...] = (
    *((student, "student", school) for student, school in STUDENTS.items()),
    ("teacher_a", "teacher", "north"),
    ("teacher_b", "teacher", "north"),
    ("teacher_c", "teacher", "south"),
    ("teacher_gone", "teacher", "north"),
    ("teacher_parent", "teacher", "north"),
    ("teacher_parent", "guardian", None),
    ("guardian_ann", "guardian", None),
    ("guardian_cy", "guardian", None),
    ("guardian_lost", "guardian", None),
    ("admin_north", "school_admin", "north"),
    ("admin_south", "school_admin", "south"),
    ("admin", "district_admin", None),
)
PEOPLE = tuple(dict.fromkeys(user for user, _, _ in (*_ROLES, ("nobody", None, None))))


def identity(user: str, session_id: str | None = None) -> Identity:
    """This person with the roles held today."""
    roles = tuple(RoleAt(role=role, org_id=org) for name, role, org in _ROLES if name == user)
    return Identity(subject=user, roles=roles, session_id=session_id)


def build(tx: Transaction) -> None:
    """Write the whole district."""
    for org, parent in (("district", None), ("north", "district"), ("south", "district")):
        kind = "school" if parent else "district"
        tx.insert(m.Org, id=org, name=org.title(), kind=kind, parent_id=parent, time_zone="UTC", changed_at=tx.now)
    for name, at in CLASSES.items():
        ended = name == "drama"
        tx.insert(m.Class, id=name, title=name.title(), school_id=at, ended=ended, changed_at=tx.now)
    for user in PEOPLE:
        words = user.split("_")
        named: dict[str, Any] = {"given_name": words[0].title(), "family_name": words[-1].title()}
        tx.insert(m.User, id=user, sort_name=user, changed_at=tx.now, **named)
    for user, held, school in _ROLES:
        tx.insert(m.RoleAssignment, user_id=user, role=held, org_id=school or "")
    seats = [(user, name, "student", begins, ends) for user, name, begins, ends in SEATS]
    teaching = [(user, name, "teacher", None, ends) for user, name, ends in TEACHING]
    for user, name, role, begins, ends in (*seats, *teaching):
        values = {"user_id": user, "class_id": name, "role": role, "begins_on": begins, "ends_on": ends}
        tx.insert(m.Enrollment, changed_at=tx.now, **values)
    for guardian, student, ended in CHILDREN:
        tx.insert(m.Guardianship, guardian_id=guardian, student_id=student, ended=ended, changed_at=tx.now)
    _attendance(tx)


def _attendance(tx: Transaction) -> None:
    for session, name in SESSIONS.items():
        tx.insert(
            m.ClassSession,
            id=session,
            class_id=name,
            school_id=CLASSES[name],
            school_day=TODAY,
            starts_at=tx.now,
            late_after_minutes=5,
        )
    for record, (name, student) in RECORDS.items():
        tx.insert(
            m.AttendanceRecord,
            id=record,
            session_id=f"session_{name}",
            class_id=name,
            school_id=CLASSES[name],
            student_id=student,
            school_day=TODAY,
            status="present",
            origin="teacher",
            recorded_at=tx.now,
            valid_from=tx.now,
        )
    for report, student in REPORTS.items():
        days = {"first_day": TODAY, "last_day": TODAY}
        tx.insert(
            m.AbsenceReport,
            id=report,
            student_id=student,
            code="excused",
            reported_by="admin",
            reported_at=tx.now,
            **days,
        )


def build_in(store: Store) -> None:
    """Write the whole district into `store`."""
    store.write_now(build)


def gain_a_child(tx: Transaction) -> None:
    """Ann's guardian becomes the guardian of cy, who joins algebra."""
    tx.insert(m.Enrollment, user_id="cy", class_id="algebra", role="student", changed_at=tx.now)
    tx.insert(m.Guardianship, guardian_id="guardian_ann", student_id="cy", changed_at=tx.now)
    tx.journal("guardianship.added", student_id="cy", subject_id="guardian_ann")
