"""People from three files: users.csv, with roles.csv and demographics.csv of OneRoster 1.2 laid beside it.

The files need not be in one order and may be larger than memory. So they are read in rounds: each takes the share of
the people whose id falls to it, keeps what the side files say of those, and then goes through users.csv.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date

from homeroom import RowError, User, UserRole
from homeroom_oneroster.bundle import Bundle
from homeroom_oneroster.facts import BadField
from homeroom_oneroster.rows import USER_FIELDS, own_roles, user, user_role
from homeroom_oneroster.table import BadRow, Row

SHARE = 4 * 1024**2
"""Bytes of the side files that are kept at a time."""

Placed = tuple[User, str]


@dataclass(slots=True)
class _Beside:
    """What the side files say of one round's people.

    `doubtful` people have a role that could not be read, `unborn` ones a birth date. With `no_roles`, a list of all
    roles holds none: somebody forgot to write it, and it says nothing of anybody.
    """

    roles: dict[str, list[tuple[UserRole, str]]] = field(default_factory=dict)
    births: dict[str, tuple[date | None, str]] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    all_doubtful: bool = False
    no_roles: bool = False
    unborn: set[str] = field(default_factory=set)


class People:
    """The people of one bundle."""

    def __init__(self, bundle: Bundle, later: int) -> None:
        self._bundle = bundle
        self._later = later
        beside = sum(bundle.sizes.get(name, 0) for name in ("roles", "demographics"))
        self.rounds = 1 + beside // SHARE
        self.delta = bundle.is_delta("users") or "delta" in (bundle.modes["roles"], bundle.modes["demographics"])

    def of_round(self, number: int) -> Iterator[Placed | RowError]:
        """Every person of one round with the place in the file, and every row that could not be read."""
        beside = _Beside()
        yield from self._read_roles(beside, number)
        yield from self._read_births(beside, number)
        if self._bundle.modes["users"] != "absent":
            yield from self._read_users(beside, number)
        yield from self._left_over(beside)

    def _is_mine(self, sourced_id: str, number: int) -> bool:
        return self.rounds == 1 or zlib.crc32(sourced_id.encode()) % self.rounds == number

    def _read_users(self, beside: _Beside, number: int) -> Iterator[Placed | RowError]:
        with self._bundle.table("users") as table:
            for row in table:
                sourced_id = row.sourced_id if isinstance(row, BadRow) else row.text("sourcedId")
                if not self._is_mine(sourced_id or "", number):
                    continue
                roles = beside.roles.pop(sourced_id or "", None)
                birth = beside.births.pop(sourced_id or "", None)
                if isinstance(row, BadRow):
                    yield RowError(noun="user", where=row.where, reason=row.reason, sourced_id=row.sourced_id)
                    continue
                try:
                    person = self._person(row, beside, roles, birth)
                except BadField as exc:
                    yield RowError(
                        noun="user", where=row.where, reason=str(exc), field=exc.column, sourced_id=sourced_id
                    )
                else:
                    yield person, row.where

    def _person(
        self,
        row: Row,
        beside: _Beside,
        roles: list[tuple[UserRole, str]] | None,
        birth: tuple[date | None, str] | None,
    ) -> User:
        person = user(row)
        if person.status != "active":
            return person
        modes = self._bundle.modes
        told = set(USER_FIELDS)
        complete = True
        if self._bundle.version == "1.1":
            held = own_roles(row)
        else:
            held = tuple(role for role, _ in roles or ())
            doubtful = beside.all_doubtful or beside.no_roles or person.sourced_id in beside.doubtful
            complete = modes["roles"] == "bulk" and not doubtful
            if modes["roles"] == "absent" or (not complete and not held):
                told.discard("roles")
            if beside.no_roles:
                told.discard("agents")  # nobody can tell a student's guardians from a guardian's children
        if birth is None and (modes["demographics"] != "bulk" or person.sourced_id in beside.unborn):
            told.discard("birth_date")
        is_student = any(role.role == "student" and role.status == "active" for role in held)
        if "roles" in told and complete and not is_student:
            person = replace(person, agents=())  # a guardian's own row may name the children: the students' rows count
        return replace(
            person,
            roles=held,
            birth_date=birth[0] if birth else None,
            only=None if len(told) == len(USER_FIELDS) else tuple(name for name in USER_FIELDS if name in told),
            roles_complete=complete,
        )

    def _read_roles(self, beside: _Beside, number: int) -> Iterator[RowError]:
        if self._bundle.modes["roles"] == "absent":
            return
        beside.no_roles = self._bundle.modes["roles"] == "bulk"
        with self._bundle.table("roles") as table:
            for row in table:
                beside.no_roles = False
                user_id = None if isinstance(row, BadRow) else row.text("userSourcedId")
                if user_id is None or isinstance(row, BadRow):
                    beside.all_doubtful = True
                    if number == 0:
                        reason = row.reason if isinstance(row, BadRow) else "this is empty"
                        yield RowError(noun="user", where=row.where, reason=reason, field="userSourcedId", part=True)
                    continue
                if not self._is_mine(user_id, number):
                    continue
                try:
                    role = user_role(row, self._later)
                except BadField as exc:
                    beside.doubtful.add(user_id)
                    yield RowError(noun="user", where=row.where, reason=str(exc), field=exc.column, part=True)
                else:
                    beside.roles.setdefault(user_id, []).append((role, row.where))
        if beside.no_roles and number == 0:
            yield RowError(
                noun="user", where="roles.csv", reason="it holds no role, so all stay as they are", part=True
            )

    def _read_births(self, beside: _Beside, number: int) -> Iterator[RowError]:
        if self._bundle.modes["demographics"] == "absent":
            return
        with self._bundle.table("demographics") as table:
            for row in table:
                user_id = row.sourced_id if isinstance(row, BadRow) else row.text("sourcedId")
                if not self._is_mine(user_id or "", number):
                    continue
                if isinstance(row, BadRow):
                    yield RowError(noun="user", where=row.where, reason=row.reason, part=True)
                    continue
                try:
                    if row.status() == "active":
                        beside.births[row.needed("sourcedId")] = (row.day("birthDate"), row.where)
                except BadField as exc:
                    beside.unborn.add(user_id or "")
                    yield RowError(noun="user", where=row.where, reason=str(exc), field=exc.column, part=True)

    def _left_over(self, beside: _Beside) -> Iterator[Placed | RowError]:
        """What the side files say of people whom users.csv does not name: changes, or in a bulk file a mistake."""
        is_bulk = self._bundle.modes["users"] == "bulk"
        for user_id in list(dict.fromkeys([*beside.roles, *beside.births])):
            roles, birth = beside.roles.get(user_id), beside.births.get(user_id)
            where = roles[0][1] if roles else birth[1] if birth else ""
            if is_bulk:
                column = "userSourcedId" if roles else "sourcedId"
                reason = "it is about a person whom users.csv does not hold"
                yield RowError(noun="user", where=where, reason=reason, field=column, part=True)
                continue
            told = (*(("roles",) if roles else ()), *(("birth_date",) if birth else ()))
            yield (
                User(
                    sourced_id=user_id,
                    given_name="",
                    family_name="",
                    roles=tuple(role for role, _ in roles or ()),
                    birth_date=birth[0] if birth else None,
                    only=told,
                    roles_complete=False,
                ),
                where,
            )
