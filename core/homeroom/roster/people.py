"""People of a district: names, roles, contacts and who is whose guardian, for districts with and without a SIS.

Contacts are sealed under the key of the person they belong to; a keyed hash finds an address without opening any.
Units take ids from outside, made before them with `new_id`, because a unit may run more than once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, cast, get_args

from peewee import ModelSelect

from homeroom.roster import edits
from homeroom.roster.classes import enter
from homeroom.roster.names import display_name, fold, sort_name
from homeroom.store import Connection, Refused, Transaction, not_found
from homeroom.store.models import Contact, Enrollment, Guardianship, Org, RoleAssignment, User
from homeroom.types import Role, RoleAt

ContactKind = Literal["email", "phone", "sms"]

SELF_ASSERTED = "self-asserted"
"""The `source` of an address that somebody gave for themselves and nobody has verified; no plugin has such a name."""

_NAMES = ("given_name", "family_name", "preferred_given_name", "preferred_family_name")
_PATCHABLE = (*_NAMES, "middle_name", "identifier", "username", "grades", "birth_date", "enabled")


_ROLES = """
SELECT r.role, r.org_id FROM role_assignments r JOIN users u ON u.id = r.user_id
WHERE r.user_id = ? AND NOT u.ended AND u.enabled
"""
_ON_DAY = " AND (r.begins_on IS NULL OR r.begins_on <= ?) AND (r.ends_on IS NULL OR r.ends_on > ?)"


def shut_out(day: date) -> str:
    """The SQL condition on guardianships, for which an order, the school or the end day leaves no access on `day`."""
    return f"(blocked OR NOT data_access OR (ends_on IS NOT NULL AND ends_on <= '{day.isoformat()}'))"


def names_of(connection: Connection, people: Collection[str]) -> dict[str, str]:
    """What these people want to be called, by id."""
    if not people:
        return {}
    columns = (User.id, User.given_name, User.family_name, User.preferred_given_name, User.preferred_family_name)
    return {row.id: display_name(row) for row in connection.all(User.select(*columns).where(User.id.in_(list(people))))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One way to reach a person, opened."""

    kind: ContactKind
    value: str = field(repr=False)
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative:
    """A guardian of a student, or a student of a guardian, with the rows that say so."""

    user: User
    relationship: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of people, and the sort key after which the next one begins (None: there is none)."""

    items: Sequence[User]
    after: tuple[str, str] | None = None


def create_person(
    tx: Transaction,
    *,
    person_id: str,
    roles: Sequence[RoleAt],
    given_name: str,
    family_name: str,
    contacts: Mapping[ContactKind, str] | None = None,
    **more: Any,
) -> User:
    """Somebody new, made here. `more` are further fields of a person (`preferred_given_name`, `grades`, …).

    Raises Refused 422 for an org that there is not, 409 when the identifier is somebody else's.
    """
    given = {key: value for key, value in more.items() if value is not None}
    _check_fields(given)
    _check_orgs(tx, [role.org_id for role in roles if role.org_id])
    _check_identifier(tx, person_id, given.get("identifier"))
    key = sort_name(given_name, family_name, given.get("preferred_given_name"), given.get("preferred_family_name"))
    tx.insert(
        User, id=person_id, given_name=given_name, family_name=family_name, sort_name=key, changed_at=tx.now, **given
    )
    for role in roles:
        tx.insert(RoleAssignment, user_id=person_id, role=role.role, org_id=role.org_id or "")
    for kind, value in (contacts or {}).items():
        add_contact(tx, person_id, kind, value, quiet=True)
    is_student = any(role.role == "student" for role in roles)
    tx.journal("user.created", subject_id=person_id, student_id=person_id if is_student else None)
    return _person(tx, person_id)


def create_student(
    tx: Transaction, *, student_id: str, school_id: str, given_name: str, family_name: str, **more: Any
) -> User:
    """A new student of one school, for districts without a SIS."""
    role = RoleAt(role="student", org_id=school_id)
    return create_person(tx, person_id=student_id, roles=[role], given_name=given_name, family_name=family_name, **more)


def patch_person(tx: Transaction, person_id: str, changes: Mapping[str, Any], *, version: int | None = None) -> User:
    """The person after `changes` to any of their own fields; nothing is written when none differs.

    `version` is the one that was read: Refused 412 when it is no longer the present one.
    """
    person = _person(tx, person_id)
    if version is not None and version != person.version:
        raise Refused(412, "changed-meanwhile", "Somebody has changed this person meanwhile; read it again.")
    _check_fields(changes)
    changed = {key: value for key, value in changes.items() if getattr(person, key) != value}
    if not changed:
        return person
    if "identifier" in changed:
        _check_identifier(tx, person_id, changed["identifier"])
    fields = sorted(changed)
    names = {key: changed.get(key, getattr(person, key)) for key in _NAMES}
    changed["sort_name"] = sort_name(
        names["given_name"], names["family_name"], names["preferred_given_name"], names["preferred_family_name"]
    )
    tx.run(User.update(version=User.version + 1, changed_at=tx.now, **changed).where(User.id == person_id))
    edits.note(tx, "user", person_id, person.source, fields)
    student_id = person_id if is_student(tx, person_id) else None
    tx.journal("user.changed", subject_id=person_id, student_id=student_id, data={"fields": fields})
    return _person(tx, person_id)


def roles_of(connection: Connection, person_id: str, on: date | None = None) -> tuple[RoleAt, ...]:
    """The roles a person holds, on one day when `on` is given; none for somebody who has left or is switched off."""
    # Plain SQL: it is asked at the first request of everybody who signs in, on the morning's busiest minute.
    text, params = _ROLES, [person_id]
    if on is not None:
        text, params = _ROLES + _ON_DAY, [person_id, on.isoformat(), on.isoformat()]
    return tuple(RoleAt(role=role, org_id=org_id or None) for role, org_id in sorted(connection.sql(text, params)))


def is_student(connection: Connection, person_id: str) -> bool:
    """Whether the person is a student anywhere."""
    query = RoleAssignment.select().where(RoleAssignment.user_id == person_id, RoleAssignment.role == "student")
    return connection.one(query) is not None


def grant_role(tx: Transaction, person_id: str, role: RoleAt) -> bool:
    """Give a person one more role; whether they did not have it yet."""
    if role.role not in get_args(Role):
        raise Refused(422, "invalid", "There is no such role.")
    _person(tx, person_id)
    _check_orgs(tx, [role.org_id] if role.org_id else [])
    if not tx.insert_new(RoleAssignment, user_id=person_id, role=role.role, org_id=role.org_id or ""):
        return False
    tx.journal("role.granted", subject_id=person_id, data={"role": role.role, "org_id": role.org_id})
    return True


def revoke_role(tx: Transaction, person_id: str, role: RoleAt) -> bool:
    """Take a role away; whether the person had it."""
    held = (
        RoleAssignment.user_id == person_id,
        RoleAssignment.role == role.role,
        RoleAssignment.org_id == (role.org_id or ""),
    )
    source = tx.value(RoleAssignment.select(RoleAssignment.source).where(*held))
    gone = tx.run(RoleAssignment.delete().where(*held))
    if gone:
        edits.note(tx, "user", person_id, source, ["roles"])
        tx.journal("role.revoked", subject_id=person_id, data={"role": role.role, "org_id": role.org_id})
    return bool(gone)


def add_contact(
    tx: Transaction,
    person_id: str,
    kind: ContactKind,
    value: str,
    *,
    source: str | None = None,
    quiet: bool = False,
) -> bool:
    """Keep one more address of a person, sealed; whether it was new. `quiet` leaves the journal to the caller."""
    value = value.strip()
    known = Contact.user_id == person_id, Contact.kind == kind, Contact.lookup.in_(tx.cipher.lookups(kind, value))
    if not value or tx.one(Contact.select().where(*known)) is not None:
        return False
    lookup = tx.cipher.lookup(kind, value)
    sealed = tx.seal_for(person_id, value)
    tx.insert(Contact, user_id=person_id, kind=kind, value=sealed, lookup=lookup, source=source)
    if not quiet:
        edits.note(tx, "user", person_id, _source(tx, person_id), [kind])
        tx.journal("user.changed", subject_id=person_id, data={"fields": [kind]})
    return True


def remove_contact(tx: Transaction, person_id: str, kind: ContactKind, value: str) -> bool:
    """Forget an address of a person; whether there was one."""
    lookups = tx.cipher.lookups(kind, value)
    gone = tx.run(
        Contact.delete().where(Contact.user_id == person_id, Contact.kind == kind, Contact.lookup.in_(lookups))
    )
    if gone:
        edits.note(tx, "user", person_id, _source(tx, person_id), [kind])
        tx.journal("user.changed", subject_id=person_id, data={"fields": [kind]})
    return bool(gone)


def contacts_of(connection: Connection, person_id: str) -> list[Address]:
    """Every address of a person, opened; none once the person is erased."""
    rows = connection.all(Contact.select().where(Contact.user_id == person_id).order_by(Contact.kind, Contact.id))
    opened = [(row, connection.unseal_for(person_id, row.value)) for row in rows]
    return [
        Address(kind=cast("ContactKind", row.kind), value=value, source=row.source)
        for row, value in opened
        if value is not None
    ]


def people_with(connection: Connection, kind: ContactKind, value: str, *, vouched_for: bool = False) -> list[str]:
    """Ids of the people who have this address and have not left (a family may share one).

    With `vouched_for`, only of those who did not give it for themselves.
    """
    query = (
        Contact.select(Contact.user_id)
        .join(User, on=(User.id == Contact.user_id))
        .where(Contact.kind == kind, Contact.lookup.in_(connection.cipher.lookups(kind, value)), ~User.ended)
        .order_by(Contact.user_id)
        .distinct()
    )
    if vouched_for:
        query = query.where(is_vouched_for())
    return connection.values(query)


def is_vouched_for() -> Any:
    """The condition on Contact for an address that a source or the office has given."""
    return Contact.source.is_null() | (Contact.source != SELF_ASSERTED)


def link_guardian(tx: Transaction, guardian_id: str, student_id: str, relationship: str = "guardian") -> bool:
    """Make somebody a guardian of a student, or so again; whether that is a change."""
    _person(tx, guardian_id)
    student = _person(tx, student_id)
    row = tx.one(Guardianship.select().where(*_link(guardian_id, student_id)))
    if row is not None and not row.ended and row.relationship == relationship:
        return False
    values = {"relationship": relationship, "ended": False, "changed_at": tx.now}
    if row is None:
        tx.insert(Guardianship, guardian_id=guardian_id, student_id=student_id, **values)
    else:
        tx.run(Guardianship.update(**values).where(*_link(guardian_id, student_id)))
    edits.note(tx, "user", student_id, student.source, ["agents"])
    tx.journal("guardianship.added", student_id=student_id, subject_id=guardian_id)
    return True


def grant_to_guardian(tx: Transaction, guardian_id: str, student_id: str, changes: Mapping[str, Any]) -> Guardianship:
    """Change what a guardian may: `blocked` (a court order), `data_access`, `notify`, `begins_on`, `ends_on`.

    Raises Refused 404 where there is no such guardianship.
    """
    row = tx.one(Guardianship.select().where(*_link(guardian_id, student_id), ~Guardianship.ended))
    if row is None:
        raise not_found("This person is not a guardian of this student.")
    changed = {key: value for key, value in changes.items() if getattr(row, key) != value}
    if not changed:
        return row
    tx.run(Guardianship.update(changed_at=tx.now, **changed).where(*_link(guardian_id, student_id)))
    tx.journal("guardianship.changed", student_id=student_id, subject_id=guardian_id, data={"fields": sorted(changed)})
    found = tx.one(Guardianship.select().where(*_link(guardian_id, student_id)))
    assert found is not None  # noqa: S101 - it was just there
    return found


def guardianships_of(connection: Connection, student_id: str) -> list[Guardianship]:
    """The present guardianships of a student, with what each guardian may."""
    query = Guardianship.select().where(Guardianship.student_id == student_id, ~Guardianship.ended)
    return connection.all(query.order_by(Guardianship.guardian_id))


def unlink_guardian(tx: Transaction, guardian_id: str, student_id: str) -> bool:
    """End a guardianship, and keep that a person decided it: no source brings it back. Whether there was one."""
    values = {"ended": True, "source": None, "changed_at": tx.now}
    gone = tx.run(Guardianship.update(**values).where(*_link(guardian_id, student_id), ~Guardianship.ended))
    if gone:
        edits.note(tx, "user", student_id, _source(tx, student_id), ["agents"])
        tx.journal("guardianship.ended", student_id=student_id, subject_id=guardian_id)
    return bool(gone)


def guardians_of(connection: Connection, student_id: str) -> list[Relative]:
    """The student's present guardians."""
    return _relatives(connection, Guardianship.student_id == student_id, Guardianship.guardian_id)


def children_of(connection: Connection, guardian_id: str) -> list[Relative]:
    """The students whose guardian this person is now, and whose records they may see."""
    mine = (Guardianship.guardian_id == guardian_id) & ~Guardianship.blocked & Guardianship.data_access
    return _relatives(connection, mine, Guardianship.student_id)


def search_students(
    connection: Connection,
    words: str | None,
    within: ModelSelect[Any] | None = None,
    *,
    limit: int = 50,
    after: Sequence[str] | None = None,
) -> Found:
    """Students whose name holds each of `words` (accents and case do not matter) or whose number they are; None: all.

    `within` selects the ids of the students that the caller may see (None: all); `after` is `Found.after`.
    """
    students = RoleAssignment.select(RoleAssignment.user_id).where(RoleAssignment.role == "student")
    query = User.select().where(~User.ended, User.id.in_(students))
    if within is not None:
        query = query.where(User.id.in_(within))
    if words is not None:
        by_name = [User.sort_name.contains(word) for word in fold(words).split()]
        matches = by_name[0] if by_name else User.id.is_null()
        for clause in by_name[1:]:
            matches &= clause
        query = query.where(matches | (User.identifier == words.strip()))
    if after is not None:
        name, person_id = after
        query = query.where((User.sort_name > name) | ((User.sort_name == name) & (User.id > person_id)))
    rows = connection.all(query.order_by(User.sort_name, User.id).limit(limit + 1))
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    return Found(items=rows[:limit], after=(last.sort_name, last.id) if last else None)


def schools_of(connection: Connection, person_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The schools at which each of these students is enrolled or has the role."""
    query = (
        RoleAssignment.select(RoleAssignment.user_id, RoleAssignment.org_id)
        .where(
            RoleAssignment.user_id.in_(list(person_ids)),
            RoleAssignment.role == "student",
            RoleAssignment.org_id != "",
        )
        .order_by(RoleAssignment.primary.desc(), RoleAssignment.org_id)
    )
    schools: dict[str, tuple[str, ...]] = {}
    for person_id, org_id in connection.tuples(query):
        schools[person_id] = (*schools.get(person_id, ()), org_id)
    return schools


def end_person(tx: Transaction, person_id: str) -> bool:
    """Let a person leave: they can no longer sign in, and their enrolments end. Nothing is deleted.

    A source that still holds the person does not bring them back; it is listed that it still does.
    """
    if not tx.run(User.update(ended=True, changed_at=tx.now).where(User.id == person_id, ~User.ended)):
        return False
    edits.note(tx, "user", person_id, _source(tx, person_id), ["ended"])
    rows = tx.all(Enrollment.select().where(Enrollment.user_id == person_id, ~Enrollment.ended))
    tx.run(Enrollment.update(ended=True, changed_at=tx.now).where(Enrollment.id.in_([row.id for row in rows])))
    for row in rows:
        edits.note(tx, "enrollment", row.id, row.source, ["ended"])
        enter(tx, "enrollment.ended", row)
    tx.journal("user.ended", subject_id=person_id, student_id=person_id if is_student(tx, person_id) else None)
    return True


def _relatives(connection: Connection, mine: Any, other: Any) -> list[Relative]:
    links = connection.tuples(Guardianship.select(other, Guardianship.relationship).where(mine, ~Guardianship.ended))
    relationship = dict(links)
    query = User.select().where(User.id.in_(list(relationship)), ~User.ended).order_by(User.sort_name, User.id)
    return [Relative(user=row, relationship=relationship[row.id]) for row in connection.all(query)]


def _link(guardian_id: str, student_id: str) -> tuple[Any, Any]:
    return Guardianship.guardian_id == guardian_id, Guardianship.student_id == student_id


def _source(connection: Connection, person_id: str) -> str | None:
    """The source that a person came from; None for one made here, or unknown."""
    source: str | None = connection.value(User.select(User.source).where(User.id == person_id))
    return source


def _person(connection: Connection, person_id: str) -> User:
    person = connection.get(User, person_id)
    if person is None:
        raise not_found()
    return person


def _check_fields(given: Mapping[str, Any]) -> None:
    unknown = sorted(set(given) - set(_PATCHABLE))
    if unknown:
        raise TypeError(f"a person has no field {unknown[0]}")


def _check_orgs(connection: Connection, org_ids: Collection[str]) -> None:
    known = set(connection.values(Org.select(Org.id).where(Org.id.in_(list(org_ids)), ~Org.ended)))
    if set(org_ids) - known:
        raise Refused(422, "invalid", "There is no such school.")


def _check_identifier(connection: Connection, person_id: str, identifier: str | None) -> None:
    taken = User.select().where(User.identifier == identifier, User.id != person_id, ~User.ended)
    if identifier and connection.one(taken) is not None:
        raise Refused(409, "identifier-taken", "Somebody else has this number.")
