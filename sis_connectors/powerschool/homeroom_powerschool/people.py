"""From rows to people: students, staff, and the contacts that a district trusts as guardians."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from homeroom import User, UserRole, facts_of
from homeroom_powerschool import ids, quirks
from homeroom_powerschool.quirks import Row, Unreadable, as_number, as_text
from homeroom_powerschool.settings import Flag, PowerSchoolSettings

ACTIVE, PRE_REGISTERED = 0, -1
_ENABLED = 1
_TEACHER = 1
_FLAGS: tuple[Flag, ...] = ("custodial", "data_access", "lives_with", "school_pickup")


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Makes people of rows, for one day: a contact counts only from its first day to its last."""

    settings: PowerSchoolSettings
    today: date

    def student(self, row: Row) -> User:
        """A student who is active or pre-registered; anybody else has left. Raises Unreadable.

        A row without `contacts` was read where they cannot be asked for, and says nothing of guardians.
        """
        dcid = ids.StudentDcid(as_number(row, "dcid"))
        status = as_number(row, "enroll_status")
        if status not in (ACTIVE, PRE_REGISTERED):
            return _gone(ids.student(dcid))
        entry = quirks.as_day(row, "entry_date") if status == PRE_REGISTERED else None
        home = ids.SchoolDcid(as_number(row, "school_dcid"))
        others = [ids.SchoolDcid(int(one)) for one in _tokens(row.get("other_schools")) if one.isdecimal()]
        schools = dict.fromkeys((home, *others))
        has_contacts = "contacts" in row and bool(self.settings.guardians)
        user = User(
            sourced_id=ids.student(dcid),
            given_name=as_text(row.get("first_name")) or "",
            family_name=as_text(row.get("last_name")) or "",
            middle_name=as_text(row.get("middle_name")),
            roles=tuple(
                UserRole(role="student", org=ids.school(school), primary=school == home, begins_on=entry)
                for school in schools
            ),
            agents=tuple(self._guardians(row)) if has_contacts else (),
            grades=_grades(row),
            identifier=self.number(row),
            username=as_text(row.get("username")),
            email=as_text(row.get("email")),
            birth_date=quirks.as_day(row, "birth_date"),
            only=None if "contacts" in row or not self.settings.guardians else _WITHOUT_AGENTS,
        )
        return _named(user)

    def number(self, row: Row) -> ids.StudentNumber | None:
        """The student number, with the zeros in front that JSON has lost."""
        text = as_text(row.get("student_number"), digits=self.settings.student_number_digits)
        return ids.StudentNumber(text) if text else None

    def staff(self, row: Row) -> User:
        """Somebody on the staff, with a role at each school where their place is enabled. Raises Unreadable.

        A row without any place says nothing of roles: only people who have one are listed.
        """
        dcid = ids.UserDcid(as_number(row, "dcid"))
        title = (as_text(row.get("title")) or "").casefold()
        is_principal = title in {one.casefold() for one in self.settings.principal_titles}
        roles: list[UserRole] = []
        places = _tokens(row.get("affiliations"))
        for token in places:
            school, status, kind = (int(part) if part.lstrip("-").isdecimal() else 0 for part in _parts(token, 3))
            if status == _ENABLED:
                org = ids.school(ids.SchoolDcid(school))
                role = "principal" if is_principal else "teacher" if kind == _TEACHER else "ext:staff"
                roles.append(UserRole(role=role, org=org, primary=not roles))
        if places and not roles:
            return _gone(ids.staff(dcid))
        return _named(
            User(
                sourced_id=ids.staff(dcid),
                given_name=as_text(row.get("first_name")) or "",
                family_name=as_text(row.get("last_name")) or "",
                middle_name=as_text(row.get("middle_name")),
                roles=tuple({(role.role, role.org): role for role in reversed(roles)}.values())[::-1],
                identifier=as_text(row.get("staff_number")),
                username=as_text(row.get("username")),
                email=as_text(row.get("email")),
                only=None if places else _WITHOUT_ROLES,
            )
        )

    def contact(self, row: Row) -> User:
        """A guardian; a contact whom the district does not trust as one is ended here and nothing of it is kept."""
        person = ids.PersonId(as_number(row, "id"))
        if not any(self._trusted(token) for token in _tokens(row.get("relations"))):
            return _gone(ids.contact(person))
        return _named(
            User(
                sourced_id=ids.contact(person),
                given_name=as_text(row.get("first_name")) or "",
                family_name=as_text(row.get("last_name")) or "",
                middle_name=as_text(row.get("middle_name")),
                roles=(UserRole(role="guardian", org=ids.DISTRICT),),
                email=as_text(row.get("email")),
                phone=as_text(row.get("phone")),
                sms=as_text(row.get("sms")),
            )
        )

    def _guardians(self, row: Row) -> Iterator[str]:
        seen: set[str] = set()
        for token in _tokens(row.get("contacts")):
            person = token.partition(":")[0]
            if person.isdecimal() and person not in seen and self._trusted(token):
                seen.add(person)
                yield ids.contact(ids.PersonId(int(person)))

    def _trusted(self, token: str) -> bool:
        """Whether `person:from:until:custodial:access:lives:pickup` is a guardian today; both days are included."""
        _, begins, ends, *held = _parts(token, 3 + len(_FLAGS))
        try:
            if begins and date.fromisoformat(begins) > self.today:
                return False
            if ends and date.fromisoformat(ends) < self.today:
                return False
        except ValueError:
            return False
        flags: list[Literal["custodial", "data_access", "lives_with", "school_pickup"]] = [
            flag for flag, value in zip(_FLAGS, held, strict=True) if value not in ("", "0")
        ]
        return any(flag in self.settings.guardians for flag in flags)


_WITHOUT_AGENTS = tuple(name for name in facts_of(User) if name != "agents")
_WITHOUT_ROLES = tuple(name for name in facts_of(User) if name != "roles")


def _gone(sourced_id: str) -> User:
    return User(sourced_id=sourced_id, given_name="", family_name="", status="tobedeleted")


def _named(user: User) -> User:
    if not user.given_name and not user.family_name:
        raise Unreadable("last_name", "there is no name")
    return user


def _grades(row: Row) -> tuple[str, ...]:
    """The grade in OneRoster's words: 0 is kindergarten, below it preschool."""
    if as_text(row.get("grade_level")) is None:
        return ()
    level = as_number(row, "grade_level")
    return ("PK" if level < 0 else "KG" if level == 0 else f"{level:02d}",)


def _tokens(value: object) -> list[str]:
    return [token for token in (as_text(value) or "").split(",") if token]


def _parts(token: str, count: int) -> list[str]:
    parts = token.split(":")
    return [*parts, *[""] * count][:count]
