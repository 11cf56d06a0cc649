"""Classes and who is in them. Begin days are inclusive, end days exclusive, None is open."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from peewee import ModelSelect

from homeroom.roster import edits
from homeroom.roster.names import display_name
from homeroom.store import Connection, Refused, Transaction, conflict, not_found
from homeroom.store.models import AcademicSession, Class, ClassTerm, Course, Enrollment, Org, User

_FACTS = {"school_id": "school", "course_id": "course", "term_ids": "terms"}
"""What a source calls a field whose column has another name here."""

_OURS = frozenset({"methods", "require", "late_after_minutes"})  # no source tells these
_EDITABLE = ("title", "school_id", "course_id", "code", "kind", "periods", "methods", "require", "late_after_minutes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One person in a class, with the name they want to be called."""

    user_id: str
    name: str
    grades: tuple[str, ...]
    primary: bool
    begins_on: date | None
    ends_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Who is in a class on one day, sorted by name."""

    class_id: str
    day: date
    students: Sequence[Member]
    teachers: Sequence[Member]


def current_on(day: date) -> tuple[Any, ...]:
    """The conditions under which an enrolment holds on `day`, for queries that use Enrollment."""
    return (
        ~Enrollment.ended,
        Enrollment.begins_on.is_null() | (Enrollment.begins_on <= day),
        Enrollment.ends_on.is_null() | (Enrollment.ends_on > day),
    )


def roster_of(connection: Connection, class_id: str, day: date) -> Roster:
    """The students and teachers of a class on `day`; somebody enrolled twice is named once."""
    seats = connection.all(
        Enrollment.select()
        .where(Enrollment.class_id == class_id, Enrollment.role.in_(("student", "teacher")), *current_on(day))
        .order_by(Enrollment.primary.desc(), Enrollment.id)
    )
    people = User.select().where(User.id.in_({seat.user_id for seat in seats}), ~User.ended)
    by_role: dict[str, dict[str, Enrollment]] = {"student": {}, "teacher": {}}
    for seat in seats:
        by_role[seat.role].setdefault(seat.user_id, seat)
    found: dict[str, list[Member]] = {"student": [], "teacher": []}
    for person in connection.all(people.order_by(User.sort_name, User.id)):
        for role, place in by_role.items():
            if person.id in place:
                found[role].append(_member(person, place[person.id]))
    return Roster(
        class_id=class_id,
        day=day,
        students=tuple(found["student"]),
        teachers=tuple(found["teacher"]),
    )


def is_enrolled(connection: Connection, class_id: str, user_id: str, role: str, day: date) -> bool:
    """Whether the person is in the class in that role on `day`."""
    query = Enrollment.select(Enrollment.id).where(
        Enrollment.class_id == class_id, Enrollment.user_id == user_id, Enrollment.role == role, *current_on(day)
    )
    return connection.value(query) is not None


def classes_taught(connection: Connection, user_id: str, day: date) -> list[Class]:
    """The classes that the person teaches on `day`, by title."""
    return connection.all(_classes_with(user_id, "teacher", day))


def classes_attended(connection: Connection, user_id: str, day: date) -> list[Class]:
    """The classes that the student is in on `day`, by title."""
    return connection.all(_classes_with(user_id, "student", day))


def seats_of(
    connection: Connection, user_id: str, day: date, within: ModelSelect[Class] | None = None
) -> list[tuple[Class, Enrollment]]:
    """The classes in which a student sits on `day`, by title, each once, with the seat; `within` selects class ids."""
    query = Enrollment.select().where(Enrollment.user_id == user_id, Enrollment.role == "student", *current_on(day))
    seats = {seat.class_id: seat for seat in connection.all(query.order_by(Enrollment.primary, Enrollment.id.desc()))}
    groups = Class.select().where(Class.id.in_(list(seats)), ~Class.ended, ~Class.archived)
    if within is not None:
        groups = groups.where(Class.id.in_(within))
    return [(group, seats[group.id]) for group in connection.all(groups.order_by(Class.title, Class.id))]


def terms_of(connection: Connection, class_ids: Collection[str]) -> dict[str, list[str]]:
    """The ids of the terms in which each class meets."""
    query = ClassTerm.select(ClassTerm.class_id, ClassTerm.term_id).where(ClassTerm.class_id.in_(list(class_ids)))
    terms: dict[str, list[str]] = {class_id: [] for class_id in class_ids}
    for class_id, term_id in connection.tuples(query.order_by(ClassTerm.class_id, ClassTerm.term_id)):
        terms[class_id].append(term_id)
    return terms


def teachers_of(connection: Connection, class_ids: Collection[str], day: date) -> dict[str, list[str]]:
    """The ids of each class's teachers on `day`, the main teacher first."""
    query = (
        Enrollment.select(Enrollment.class_id, Enrollment.user_id)
        .where(Enrollment.class_id.in_(list(class_ids)), Enrollment.role == "teacher", *current_on(day))
        .order_by(Enrollment.primary.desc(), Enrollment.user_id)
    )
    teachers: dict[str, list[str]] = {class_id: [] for class_id in class_ids}
    for class_id, user_id in connection.tuples(query):
        if user_id not in teachers[class_id]:
            teachers[class_id].append(user_id)
    return teachers


def create_class(
    tx: Transaction,
    *,
    class_id: str,
    title: str,
    school_id: str | None = None,
    term_ids: Sequence[str] = (),
    teacher_ids: Sequence[str] = (),
    **more: Any,
) -> Class:
    """A new class. Without `school_id` it belongs to the district's only school.

    `more` are further fields (`course_id`, `code`, `kind`, `periods`, `methods`, `require`, `late_after_minutes`).
    Raises Refused 422 for a school, course, term or teacher that there is not.
    """
    school = school_id or _only_school(tx)
    _check(tx, {"school_id": school, **more}, term_ids, teacher_ids)
    tx.insert(Class, id=class_id, title=title, school_id=school, changed_at=tx.now, **more)
    _set_terms(tx, class_id, term_ids)
    tx.journal("class.created", class_id=class_id, subject_id=class_id, data={"school_id": school})
    for position, user_id in enumerate(dict.fromkeys(teacher_ids)):
        enroll(tx, class_id, user_id, role="teacher", enrollment_id=f"{class_id}-t{position}", primary=position == 0)
    return _class(tx, class_id)


def edit_class(
    tx: Transaction,
    class_id: str,
    changes: Mapping[str, Any],
    *,
    version: int | None = None,
    term_ids: Sequence[str] | None = None,
) -> Class:
    """The class after `changes`; nothing is written when none differs. `version` as for `people.patch_person`."""
    row = _class(tx, class_id)
    if version is not None and version != row.version:
        raise Refused(412, "changed-meanwhile", "Somebody has changed this class meanwhile; read it again.")
    _check(tx, changes, term_ids or (), ())
    changed = {key: value for key, value in changes.items() if getattr(row, key) != value}
    fields = sorted(changed)
    if term_ids is not None and sorted(set(term_ids)) != terms_of(tx, [class_id])[class_id]:
        _set_terms(tx, class_id, term_ids)
        fields.append("term_ids")
    if not fields:
        return row
    tx.run(Class.update(version=Class.version + 1, changed_at=tx.now, **changed).where(Class.id == class_id))
    edits.note(tx, "class", class_id, row.source, [name for name in _facts(fields) if name not in _OURS])
    tx.journal("class.changed", class_id=class_id, subject_id=class_id, data={"fields": fields})
    return _class(tx, class_id)


def archive_class(tx: Transaction, class_id: str, *, archived: bool = True) -> bool:
    """Put a class away (or back); its attendance stays. Whether that is a change."""
    _class(tx, class_id)
    changed = tx.run(
        Class.update(archived=archived, version=Class.version + 1, changed_at=tx.now).where(
            Class.id == class_id, Class.archived != archived
        )
    )
    if changed:
        tx.journal("class.archived" if archived else "class.reopened", class_id=class_id, subject_id=class_id)
    return bool(changed)


def enroll(
    tx: Transaction,
    class_id: str,
    user_id: str,
    *,
    enrollment_id: str,
    role: str = "student",
    primary: bool = False,
    begins_on: date | None = None,
    ends_on: date | None = None,
) -> Enrollment:
    """The person's place in the class; one that shares a day with these is kept and takes these dates.

    Raises Refused 404 for a class that there is not, 409 for an archived one, 422 for a person that there is not or
    an end that is not after the beginning.
    """
    row = _class(tx, class_id)
    if row.archived or row.ended:
        raise conflict("class-archived", "This class is archived; open it again first.")
    _check_people(tx, [user_id])
    if begins_on and ends_on and ends_on <= begins_on:
        raise Refused(422, "invalid", "The end day must be after the first day.")
    dates = {"begins_on": begins_on, "ends_on": ends_on}
    places = tx.all(_places(class_id, user_id, role).where(*_overlapping(begins_on, ends_on)).order_by(Enrollment.id))
    if not places:
        values = {"user_id": user_id, "class_id": class_id, "role": role, "primary": primary, **dates}
        tx.insert(Enrollment, id=enrollment_id, changed_at=tx.now, **values)
        edits.note(tx, "enrollment", enrollment_id, row.source, ["added"])
        enter(tx, "enrollment.added", _place(tx, enrollment_id))
        return _place(tx, enrollment_id)
    place = places[0]
    values = {"primary": primary, **dates}
    changed = [name for name, value in values.items() if getattr(place, name) != value]
    if changed:
        tx.run(Enrollment.update(changed_at=tx.now, **values).where(Enrollment.id == place.id))
        edits.note(tx, "enrollment", place.id, place.source, changed)
        enter(tx, "enrollment.changed", place)
    for other in places[1:]:
        tx.run(Enrollment.update(ended=True, changed_at=tx.now).where(Enrollment.id == other.id))
        edits.note(tx, "enrollment", other.id, other.source, ["ended"])
        enter(tx, "enrollment.ended", other)
    return _place(tx, place.id)


def end_enrollment(tx: Transaction, class_id: str, user_id: str, *, day: date, role: str = "student") -> int:
    """End the person's place in the class: `day` is the first day they are out. How many places that ended."""
    still = Enrollment.ends_on.is_null() | (Enrollment.ends_on > day)
    places = tx.all(_places(class_id, user_id, role).where(still))
    for place in places:
        never = place.begins_on is not None and place.begins_on >= day
        values: dict[str, Any] = {"ended": True} if never else {"ends_on": day}
        tx.run(Enrollment.update(changed_at=tx.now, **values).where(Enrollment.id == place.id))
        edits.note(tx, "enrollment", place.id, place.source, values)
        enter(tx, "enrollment.ended", place)
    return len(places)


def enter(tx: Transaction, kind: str, place: Enrollment) -> None:
    """Enter in the journal what happened to one person's place in a class."""
    student_id = place.user_id if place.role == "student" else None
    data = {"enrollment_id": place.id, "role": place.role}
    tx.journal(kind, class_id=place.class_id, student_id=student_id, subject_id=place.user_id, data=data)


def _facts(fields: Collection[str]) -> list[str]:
    return [_FACTS.get(name, name) for name in fields]


def _member(person: User, seat: Enrollment) -> Member:
    return Member(
        user_id=person.id,
        name=display_name(person),
        grades=tuple(person.grades or ()),
        primary=seat.primary,
        begins_on=seat.begins_on,
        ends_on=seat.ends_on,
    )


def _places(class_id: str, user_id: str, role: str) -> ModelSelect[Enrollment]:
    return Enrollment.select().where(
        Enrollment.class_id == class_id, Enrollment.user_id == user_id, Enrollment.role == role, ~Enrollment.ended
    )


def _overlapping(begins_on: date | None, ends_on: date | None) -> list[Any]:
    """The conditions under which an enrolment shares a day with this span."""
    clauses: list[Any] = [~Enrollment.ended]
    if begins_on is not None:
        clauses.append(Enrollment.ends_on.is_null() | (Enrollment.ends_on > begins_on))
    if ends_on is not None:
        clauses.append(Enrollment.begins_on.is_null() | (Enrollment.begins_on < ends_on))
    return clauses


def _classes_with(user_id: str, role: str, day: date) -> ModelSelect[Class]:
    mine = Enrollment.select(Enrollment.class_id).where(
        Enrollment.user_id == user_id, Enrollment.role == role, *current_on(day)
    )
    query = Class.select().where(Class.id.in_(mine), ~Class.ended, ~Class.archived)
    return query.order_by(Class.title, Class.id)


def _class(connection: Connection, class_id: str) -> Class:
    row = connection.get(Class, class_id)
    if row is None:
        raise not_found()
    return row


def _place(connection: Connection, enrollment_id: str) -> Enrollment:
    row = connection.get(Enrollment, enrollment_id)
    if row is None:
        raise not_found()
    return row


def _only_school(connection: Connection) -> str:
    ids = connection.values(Org.select(Org.id).where(Org.kind == "school", ~Org.ended).limit(2))
    if len(ids) != 1:
        raise Refused(422, "invalid", "Say which school the class belongs to.")
    return str(ids[0])


def _set_terms(tx: Transaction, class_id: str, term_ids: Sequence[str]) -> None:
    tx.run(ClassTerm.delete().where(ClassTerm.class_id == class_id))
    for term_id in sorted(set(term_ids)):
        tx.insert(ClassTerm, class_id=class_id, term_id=term_id)


def _check(
    connection: Connection, given: Mapping[str, Any], term_ids: Collection[str], teacher_ids: Collection[str]
) -> None:
    unknown = sorted(set(given) - set(_EDITABLE))
    if unknown:
        raise TypeError(f"a class has no field {unknown[0]}")
    _check_known(connection, Org, [given["school_id"]] if given.get("school_id") else [], "school")
    _check_known(connection, Course, [given["course_id"]] if given.get("course_id") else [], "course")
    _check_known(connection, AcademicSession, term_ids, "term")
    _check_people(connection, teacher_ids)


def _check_people(connection: Connection, user_ids: Collection[str]) -> None:
    _check_known(connection, User, user_ids, "person")


def _check_known(
    connection: Connection, model: type[Org | Course | AcademicSession | User], ids: Collection[str], name: str
) -> None:
    if not ids:
        return
    known = set(connection.values(model.select(model.id).where(model.id.in_(list(ids)), ~model.ended)))
    if set(ids) - known:
        raise Refused(422, "invalid", f"There is no such {name}.")
