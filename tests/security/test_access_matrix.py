"""Every role on every action on everybody's classes, students, sessions, records and reports.

What should come out is worked out here in plain Python from the world's lists, not from the queries under test.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from homeroom.auth.access import Place, check, classes_within, records_within, students_within
from homeroom.auth.rules import RULES, SCOPES, Reach, Rule
from homeroom.store import Connection, Refused, Store
from homeroom.store import models as m
from homeroom.types import Identity, RoleAt
from tests.services import world
from tests.services.world import CHILDREN, CLASSES, RECORDS, REPORTS, SEATS, SESSIONS, STUDENTS, TEACHING, TODAY

PERSONS = world.PEOPLE
PLACES: tuple[Place, ...] = (
    *(Place(class_id=name) for name in (*CLASSES, "no-such")),
    *(Place(student_id=name) for name in (*STUDENTS, "no-such")),
    *(Place(session_id=name) for name in (*SESSIONS, "no-such")),
    *(Place(record_id=name) for name in (*RECORDS, "no-such")),
    *(Place(report_id=name) for name in (*REPORTS, "no-such")),
    *(Place(class_id=name, student_id=student) for name in CLASSES for student in STUDENTS),
    *(Place(school_id=name) for name in ("north", "south", "no-such")),
)


# Actions under equal rules are judged alike, so each rule is tried once; a check-in has a statement of its own.
ACTIONS = [
    action
    for number, (action, rule) in enumerate(RULES.items())
    if action == "attendance.check_in" or rule not in list(RULES.values())[:number]
]


def taught(user: str, *, ever: bool) -> set[str]:
    current = {name for who, name, ends in TEACHING if who == user and (ends is None or ends > TODAY)}
    return {name for who, name, _ in TEACHING if who == user} if ever else current - {"drama"}


def workplaces(user: str, role: RoleAt, *, ever: bool) -> set[str]:
    return {CLASSES[name] for name in taught(user, ever=ever)} | ({role.org_id} if role.org_id else set())


def seated(student: str, *, ever: bool) -> set[str]:
    return {
        name
        for who, name, begins, ends in SEATS
        if who == student and (ever or ((begins is None or begins <= TODAY) and (ends is None or ends > TODAY)))
    }


def family(user: str, reach: Reach, *, ever: bool) -> set[str]:
    if reach is Reach.SELF:
        return {user}
    return {child for guardian, child, ended in CHILDREN if guardian == user and (ever or not ended)}


def classes_of(user: str, role: RoleAt, reach: Reach, rule: Rule, *, ever: bool) -> set[str]:
    match reach:
        case Reach.DISTRICT:
            return set(CLASSES)
        case Reach.SCHOOLS:
            return {name for name, school in CLASSES.items() if school == role.org_id}
        case Reach.WORKPLACE:
            return {name for name, school in CLASSES.items() if school in workplaces(user, role, ever=ever)}
        case Reach.CLASSES:
            return taught(user, ever=ever)
        case _:
            mine = family(user, reach, ever=ever)
            return {name for student in mine for name in seated(student, ever=ever or rule.former)}


def people_of(user: str, role: RoleAt, reach: Reach, rule: Rule, *, ever: bool) -> set[str]:
    match reach:
        case Reach.DISTRICT:
            return set(STUDENTS)
        case Reach.SCHOOLS:
            return {name for name, school in STUDENTS.items() if school == role.org_id}
        case Reach.WORKPLACE:
            return {name for name, school in STUDENTS.items() if school in workplaces(user, role, ever=ever)}
        case Reach.CLASSES:
            mine = taught(user, ever=ever)
            return {student for student in STUDENTS if seated(student, ever=ever or rule.former) & mine}
        case _:
            return family(user, reach, ever=ever)


def completed(place: Place) -> Place | None:
    """The place with what its parts belong to; None when there is no such thing."""
    if place.record_id:
        if place.record_id not in RECORDS:
            return None
        name, student = RECORDS[place.record_id]
        return replace(place, class_id=name, student_id=student, session_id=f"session_{name}")
    if place.report_id:
        return replace(place, student_id=REPORTS[place.report_id]) if place.report_id in REPORTS else None
    if place.session_id:
        return replace(place, class_id=SESSIONS[place.session_id]) if place.session_id in SESSIONS else None
    return place


def reaches(user: str, rule: Rule, place: Place, *, ever: bool) -> bool:
    for role in world.identity(user).roles:
        reach = rule.of(role.role)
        if reach is Reach.NONE:
            continue
        classes = classes_of(user, role, reach, rule, ever=ever)
        people = people_of(user, role, reach, rule, ever=ever)
        own = reach in (Reach.SELF, Reach.CHILDREN)
        if place.record_id:
            fits = place.student_id in people if own else place.class_id in classes
        elif place.school_id:
            fits = place.school_id in CLASSES.values() and (
                reach is Reach.DISTRICT
                or (reach is Reach.SCHOOLS and role.org_id == place.school_id)
                or (reach is Reach.WORKPLACE and place.school_id in workplaces(user, role, ever=ever))
            )
        else:
            fits = (place.class_id is None or place.class_id in classes) and (
                place.student_id is None or place.student_id in people
            )
            if own and place.student_id is None and not rule.whole_class:
                fits = False
        if fits:
            return True
    return False


def expected(user: str, action: str, place: Place) -> int:
    rule = RULES[action]
    if rule.anyone:
        return 200
    if all(rule.of(held.role) is Reach.NONE for held in world.identity(user).roles):
        return 403
    whole = completed(place)
    if action == "attendance.check_in":
        named_other = place.student_id not in (None, user)
        fits = whole is not None and place.session_id is not None and not named_other
        return 200 if fits and whole and whole.class_id in seated(user, ever=False) else 404
    if whole is None:
        return 404
    if reaches(user, rule, whole, ever=False):
        return 200
    return 403 if reaches(user, rule, whole, ever=True) else 404


def outcome(connection: Connection, identity: Identity, action: str, place: Place) -> int:
    try:
        check(connection, identity, action, place, today=TODAY)
    except Refused as exc:
        return exc.status
    return 200


@pytest.fixture
def district(store: Store) -> Store:
    world.build_in(store)
    return store


@pytest.mark.parametrize("action", ACTIONS)
def test_every_role_reaches_exactly_what_its_line_says(sqlite_store: Store, action: str) -> None:
    world.build_in(sqlite_store)

    def wrong(connection: Connection) -> list[str]:
        return [
            f"{user} {action} {place}: {got}, not {want}"
            for user in PERSONS
            for place in PLACES
            if (got := outcome(connection, world.identity(user), action, place))
            != (want := expected(user, action, place))
        ]

    assert sqlite_store.read_now(wrong) == []


@pytest.mark.parametrize("action", ["class.read", "student.read", "attendance.read", "attendance.check_in"])
def test_postgresql_judges_like_sqlite(postgres_store: Store, action: str) -> None:
    test_every_role_reaches_exactly_what_its_line_says(postgres_store, action)


@pytest.mark.parametrize("action", ["class.list", "student.search", "student.read", "attendance.read"])
def test_lists_hold_exactly_what_single_objects_allow(district: Store, action: str) -> None:
    def wrong(connection: Connection) -> list[str]:
        found: list[str] = []
        for user in PERSONS:
            someone = world.identity(user)
            if all(RULES[action].of(held.role) is Reach.NONE for held in someone.roles):
                continue
            classes = classes_within(someone, action, TODAY)
            listed = set(CLASSES) if classes is None else set(connection.values(classes))
            if RULES[action].whole_class:
                allowed = {n for n in CLASSES if outcome(connection, someone, action, Place(class_id=n)) == 200}
                found += [f"{user} {action} {listed} {allowed}"] if listed != allowed else []
            people = students_within(someone, action, TODAY)
            seen = set(STUDENTS) if people is None else set(connection.values(people)) & set(STUDENTS)
            allowed = {n for n in STUDENTS if outcome(connection, someone, action, Place(student_id=n)) == 200}
            found += [f"{user} {action} {seen} {allowed}"] if seen != allowed else []
        return found

    assert district.read_now(wrong) == []


def test_lists_of_records_hold_exactly_what_single_records_allow(district: Store) -> None:
    table = m.AttendanceRecord

    def seen(connection: Connection, user: str) -> set[str]:
        condition = records_within(table, world.identity(user), "attendance.read", TODAY)
        query = table.select(table.id)
        return set(connection.values(query if condition is None else query.where(condition)))

    for user in PERSONS:
        if not world.identity(user).roles:
            continue
        allowed = {name for name in RECORDS if expected(user, "attendance.read", Place(record_id=name)) == 200}
        assert district.read_now(lambda c, user=user: seen(c, user)) == allowed, user  # type: ignore[misc]


def test_a_teacher_who_is_a_parent_sees_the_own_child_but_not_the_childs_classmates(district: Store) -> None:
    someone = world.identity("teacher_parent")

    def statuses(connection: Connection) -> list[int]:
        return [
            outcome(connection, someone, "attendance.read", Place(record_id=name))
            for name in ("record_ann", "record_bob", "record_dan_then")
        ]

    assert district.read_now(statuses) == [200, 200, 404]


def test_a_student_who_names_nobody_is_filled_in(district: Store) -> None:
    ann = world.identity("ann")
    listed = district.read_now(lambda c: check(c, ann, "attendance.read", Place(), today=TODAY))
    assert listed.student_id == "ann"
    seat = district.read_now(lambda c: check(c, ann, "attendance.check_in", Place(session_id="session_algebra")))
    assert (seat.student_id, seat.class_id) == ("ann", "algebra")


def test_what_belongs_to_a_place_is_filled_in(district: Store) -> None:
    admin = world.identity("admin")
    record = district.read_now(lambda c: check(c, admin, "attendance.correct", Place(record_id="record_dan_then")))
    assert (record.class_id, record.student_id, record.session_id) == ("algebra", "dan", "session_algebra")
    report = district.read_now(lambda c: check(c, admin, "absence.decide", Place(report_id="report_bob")))
    assert report.student_id == "bob"


@pytest.mark.parametrize("action", sorted(RULES))
def test_an_api_key_needs_the_scope_and_no_other_will_do(sqlite_store: Store, action: str) -> None:
    world.build_in(sqlite_store)
    needed = RULES[action].scope
    for scopes in (frozenset[str](), SCOPES - {needed or ""}, SCOPES):
        key = Identity(subject="key", kind="service", roles=(RoleAt(role="service"),), scopes=scopes)
        got = sqlite_store.read_now(lambda c, key=key: outcome(c, key, action, Place(class_id="algebra")))  # type: ignore[misc]
        assert got == (200 if needed in scopes else 403)


@pytest.mark.parametrize("action", sorted(RULES))
def test_somebody_without_a_role_may_do_nothing_but_look_after_the_account(sqlite_store: Store, action: str) -> None:
    someone = world.identity("nobody")
    got = sqlite_store.read_now(lambda c: outcome(c, someone, action, Place()))
    assert got == (200 if action in ("account.self", "codes.read", "notify.own") else 403)


def test_ended_enrolments_and_guardianships_are_told_from_what_never_was(district: Store) -> None:
    def status(user: str, action: str, place: Place) -> int:
        return district.read_now(lambda c: outcome(c, world.identity(user), action, place))

    assert status("teacher_gone", "class.roster", Place(class_id="algebra")) == 403
    assert status("teacher_gone", "class.roster", Place(class_id="biology")) == 404
    assert status("teacher_a", "class.roster", Place(class_id="drama")) == 403
    assert status("guardian_lost", "student.read", Place(student_id="ann")) == 403
    assert status("guardian_lost", "student.read", Place(student_id="bob")) == 404
    assert status("dan", "class.read", Place(class_id="algebra")) == 403
    assert status("dan", "attendance.check_in", Place(session_id="session_algebra")) == 404
    assert status("eve", "attendance.check_in", Place(session_id="session_algebra")) == 404
    assert status("ann", "class.roster", Place(class_id="algebra")) == 403


def test_an_administrator_of_a_district_part_reaches_the_schools_below_it(district: Store) -> None:
    someone = Identity(subject="admin_all", roles=(RoleAt(role="school_admin", org_id="district"),))
    assert district.read_now(lambda c: outcome(c, someone, "class.roster", Place(class_id="chemistry"))) == 200
