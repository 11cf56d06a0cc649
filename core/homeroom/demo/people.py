"""Who can sign in to the demo: people of its roster in one class, and its two administrators."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import click

from homeroom.auth import accounts
from homeroom.auth.sign_in import set_password
from homeroom.roster import calendar, people
from homeroom.roster.classes import roster_of
from homeroom.roster.names import display_name
from homeroom.store import Connection, Transaction, new_id
from homeroom.store import models as m
from homeroom.types import Role, RoleAt

if TYPE_CHECKING:
    from homeroom.district import District
    from homeroom.settings import Settings

STUDENTS_WITH_ACCOUNTS = 4
_WORDS = ("amber", "birch", "cedar", "clover", "coral", "daisy", "delta", "ember", "fern", "flint", "harbor", "hazel",
          "heron", "indigo", "ivory", "juniper", "lark", "lilac", "linden", "maple", "meadow", "moss", "nutmeg",
          "olive", "opal", "orchid", "otter", "pebble", "pine", "plum", "poppy", "quartz", "raven", "river", "robin",
          "saffron", "sage", "sparrow", "spruce", "thistle", "tulip", "velvet", "willow")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One printed sign-in. `user_id` is not shown."""

    role: Role
    name: str
    email: str
    password: str = field(repr=False)
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoClass:
    """The class whose board fills: its teacher and its students, those with a printed sign-in first."""

    id: str
    title: str
    school_id: str
    school: str
    teacher_id: str
    student_ids: Sequence[str]

    @property
    def with_accounts(self) -> Sequence[str]:
        """The students whom a person may play."""
        return self.student_ids[:STUDENTS_WITH_ACCOUNTS]

    @property
    def simulated(self) -> Sequence[str]:
        """The students who check in by themselves."""
        return self.student_ids[STUDENTS_WITH_ACCOUNTS:]


def choose_class(connection: Connection, today: date) -> DemoClass:
    """A class with a teacher and about as many students as a class has. Raises ClickException when there is none."""
    counted = connection.sql(
        "SELECT c.id FROM classes c JOIN enrollments e ON e.class_id = c.id AND e.role = 'student' AND NOT e.ended "
        "WHERE NOT c.ended AND NOT c.archived GROUP BY c.id ORDER BY abs(count(*) - 26), c.id LIMIT 20"
    )
    for (class_id,) in counted:
        roster = roster_of(connection, class_id, today)
        group = connection.get(m.Class, class_id)
        if group is None or not roster.teachers or len(roster.students) <= STUDENTS_WITH_ACCOUNTS:
            continue
        school = connection.get(m.Org, group.school_id)
        students = [member.user_id for member in roster.students]
        # Somebody with a guardian comes first, so that the family's side can be seen too.
        students.sort(key=lambda student: not people.guardians_of(connection, student))
        return DemoClass(
            id=class_id,
            title=group.title,
            school_id=group.school_id,
            school=school.name if school else "",
            teacher_id=roster.teachers[0].user_id,
            student_ids=students,
        )
    raise click.ClickException("There are too few students for a class; start the demo with more --students.")


def hold_school(tx: Transaction, settings: Settings, school_id: str) -> None:
    """Make today a school day of the class's school, so that the demo works on a Sunday and in the holidays."""
    today = calendar.school_day(tx.now, calendar.zone_of(tx, school_id, settings.attendance.time_zone))
    if not calendar.is_school_day(tx, school_id, today, weekdays=settings.attendance.school_days):
        calendar.set_calendar_day(tx, school_id, today, in_session=True, title="Demo day")


async def add_accounts(district: District, group: DemoClass) -> list[Account]:
    """A sign-in for every role: the class's teacher, some of its students, a guardian, and both kinds of admin."""
    wanted: list[tuple[Role, str]] = [("teacher", group.teacher_id)]
    wanted += [("student", student) for student in group.with_accounts]
    guardians = await district.store.read(lambda c: people.guardians_of(c, group.student_ids[0]))
    wanted += [("guardian", relative.user.id) for relative in guardians[:1]]
    made = [
        *await _administrators(district, group),
        *[await _of_roster(district, role, user_id) for role, user_id in wanted],
    ]
    for account in made:
        answer = await set_password(district.host, account.user_id, password=account.password, email=account.email)
        if answer.refused is not None:
            raise click.ClickException(f"The {account.role}'s password was refused: {answer.refused}")
    return made


async def _administrators(district: District, group: DemoClass) -> list[Account]:
    roles: list[tuple[Role, str, str | None]] = [
        ("district_admin", "Dana Okafor", None),
        ("school_admin", "Sol Marchetti", group.school_id),
    ]
    found = []
    for role, name, school in roles:
        account = Account(
            role=role, name=name, email=f"{role}@demo.example", password=fresh_password(), user_id=new_id()
        )
        held = [RoleAt(role=role, org_id=school)]
        await district.store.write(
            lambda tx, account=account, held=held: accounts.add_user(  # type: ignore[misc] # bound on purpose
                tx, user_id=account.user_id, name=account.name, email=account.email, roles=held
            )
        )
        found.append(account)
    return found


async def _of_roster(district: District, role: Role, user_id: str) -> Account:
    """A sign-in of somebody who is in the roster, by the e-mail address that the roster has, else by a new one."""
    email = f"{role}-{user_id[-6:]}@demo.example"

    def unit(tx: Transaction) -> tuple[str, str]:
        known = [address.value for address in people.contacts_of(tx, user_id) if address.kind == "email"]
        if not known:
            people.add_contact(tx, user_id, "email", email)
        person = tx.get(m.User, user_id)
        assert person is not None  # noqa: S101 - it was just read from the roster
        return display_name(person), known[0] if known else email

    name, address = await district.store.write(unit)
    return Account(role=role, name=name, email=address, password=fresh_password(), user_id=user_id)


def fresh_password() -> str:
    """Four random words and a number: 15 characters or more, and easy to type."""
    words = "-".join(secrets.choice(_WORDS) for _ in range(4))
    return f"{words}-{secrets.randbelow(900) + 100}"
