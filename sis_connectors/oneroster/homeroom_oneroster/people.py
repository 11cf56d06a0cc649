"""One person from a user of the REST binding: 1.2 with `roles`, 1.1 with one `role` and its `orgs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from homeroom import User, UserRole
from homeroom_oneroster.facts import BadField, JsonRow
from homeroom_oneroster.rows import USER_FIELDS, own_roles, user, user_role


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What is known of a birth date: `told` is False where the source says nothing that can be taken."""

    day: date | None = None
    told: bool = True


@dataclass(slots=True, kw_only=True)
class _Roles:
    held: list[UserRole] = field(default_factory=list)
    problems: list[BadField] = field(default_factory=list)


def person(row: JsonRow, birth: Birth, later: int) -> tuple[User, Sequence[BadField]]:
    """The person, and what of the roles could not be read. Raises BadField where nothing can be taken.

    A person of whom a role could not be read keeps the known ones.
    """
    if row.status() != "active":
        return user(row), ()
    roles = _roles(row, later)
    is_complete = not roles.problems
    silent = {"birth_date"} if not birth.told else set()
    if not roles.held and not (is_complete and row.has("roles")):
        silent.add("roles")
    is_student = any(role.role == "student" for role in roles.held)
    one = user(
        row,
        # a guardian's own row may name the children: the students' rows count
        with_agents=is_student or "roles" in silent or not is_complete,
        roles=tuple(roles.held),
        birth_date=birth.day,
        only=tuple(name for name in USER_FIELDS if name not in silent) if silent else None,
        roles_complete=is_complete,
    )
    return one, roles.problems


def _roles(row: JsonRow, later: int) -> _Roles:
    found = _Roles()
    if not row.has("roles"):
        if row.has("role"):
            found.held += own_roles(row)
        return found
    for role in row.objects("roles"):
        try:
            found.held.append(user_role(role, later))
        except BadField as exc:
            found.problems.append(exc)
    return found
