from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.roster import people
from homeroom.roster.names import display_name, fold, legal_name, sort_name
from homeroom.store import Connection, Refused, Store
from homeroom.store.models import Contact, Enrollment, Guardianship, Journal, Org, PersonKey, RoleAssignment, User
from homeroom.types import RoleAt

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)


@pytest.fixture
def school(store: Store) -> str:
    store.write_now(lambda tx: tx.insert(Org, id="s1", name="Cedar", kind="school", changed_at=NOW))
    return "s1"


def _student(store: Store, school: str, student_id: str, given: str, family: str, **more: Any) -> User:
    return store.write_now(
        lambda tx: people.create_student(
            tx, student_id=student_id, school_id=school, given_name=given, family_name=family, **more
        )
    )


def _kinds(store: Store) -> list[str]:
    return store.read_now(lambda c: c.values(Journal.select(Journal.kind).order_by(Journal.id)))


def test_a_preferred_name_is_shown_and_the_legal_one_kept_apart(store: Store, school: str) -> None:
    person = _student(store, school, "p", "Robert", "Smith", preferred_given_name="Bo", middle_name="Lee")

    assert display_name(person) == "Bo Smith"
    assert legal_name(person, person.middle_name) == "Robert Lee Smith"


def test_a_single_name_has_no_stray_blank(store: Store, school: str) -> None:
    assert display_name(_student(store, school, "p", "Sukarno", "")) == "Sukarno"
    assert display_name(_student(store, school, "q", "", "Madhubala")) == "Madhubala"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("José  GARCÍA", "jose garcia"),
        ("Đặng Thị Hoà", "dang thi hoa"),
        ("Łukasz Ørsted", "lukasz orsted"),
        ("O\N{RIGHT SINGLE QUOTATION MARK}Brien", "o'brien"),
        ("Straße", "strasse"),
        ("مُحَمَّد", "محمد"),
        ("प्रिया", "प्रिया"),
        ("김민준", "김민준"),
        ("王小明", "王小明"),
    ],
)
def test_names_are_compared_without_case_and_accents_that_are_no_letters(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text(max_size=40))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_people_are_sorted_by_the_name_they_use_and_found_by_the_legal_one_too() -> None:
    assert sort_name("Robert", "Smith", "Bo", None) == "smith bo | smith robert"
    assert sort_name("Robert", "Smith", None, None) == "smith robert"


def test_creating_a_student_keeps_contacts_sealed_and_the_journal_without_names(store: Store, school: str) -> None:
    _student(store, school, "p", "Ana", "Ruiz", contacts={"email": "Ana@Example.org", "sms": "+12025550100"})

    rows = store.read_now(lambda c: c.all(Contact.select()))
    kept = [text.lower() for row in rows for text in (row.value, row.lookup)]
    assert len(kept) == 4
    assert not [text for text in kept if "example.org" in text or "2025550100" in text]
    opened = {one.kind: one.value for one in store.read_now(lambda c: people.contacts_of(c, "p"))}
    assert opened == {"email": "Ana@Example.org", "sms": "+12025550100"}
    [entry] = store.read_now(lambda c: c.all(Journal.select()))
    assert (entry.kind, entry.student_id, entry.data) == ("user.created", "p", {})


def test_destroying_the_key_of_a_person_makes_their_contacts_unreadable(store: Store, school: str) -> None:
    _student(store, school, "p", "Ana", "Ruiz", contacts={"email": "ana@example.org"})

    store.write_now(lambda tx: tx.run(PersonKey.delete().where(PersonKey.user_id == "p")))

    assert store.read_now(lambda c: people.contacts_of(c, "p")) == []


def test_an_address_is_found_in_any_case_and_may_be_shared_by_a_family(store: Store, school: str) -> None:
    for student in ("p", "q"):
        _student(store, school, student, "Ana", "Ruiz", contacts={"email": "family@example.org"})

    assert store.read_now(lambda c: people.people_with(c, "email", " FAMILY@example.org")) == ["p", "q"]
    store.write_now(lambda tx: people.end_person(tx, "q"))
    assert store.read_now(lambda c: people.people_with(c, "email", "family@example.org")) == ["p"]


def test_an_address_is_added_once_and_removed_once(store: Store, school: str) -> None:
    _student(store, school, "p", "Ana", "Ruiz")

    def add(tx: Any) -> bool:
        return people.add_contact(tx, "p", "email", "a@example.org")

    assert [store.write_now(add), store.write_now(add)] == [True, False]
    assert store.write_now(lambda tx: people.add_contact(tx, "p", "sms", "  ")) is False

    def remove(tx: Any) -> bool:
        return people.remove_contact(tx, "p", "email", "A@example.org")

    assert [store.write_now(remove), store.write_now(remove)] == [True, False]
    assert _kinds(store) == ["user.created", "user.changed", "user.changed"]


def test_a_student_of_an_unknown_school_is_refused_and_nothing_is_kept(store: Store) -> None:
    with pytest.raises(Refused, match="no such school"):
        _student(store, "nowhere", "p", "Ana", "Ruiz")

    assert store.read_now(lambda c: c.get(User, "p")) is None


def test_a_student_number_belongs_to_one_person(store: Store, school: str) -> None:
    _student(store, school, "p", "Ana", "Ruiz", identifier="77")

    with pytest.raises(Refused, match="Somebody else"):
        _student(store, school, "q", "Ben", "Ruiz", identifier="77")


def test_a_patch_writes_what_differs_and_nothing_else(store: Store, school: str) -> None:
    _student(store, school, "p", "Ana", "Ruiz", identifier="77", grades=["09"])

    same = store.write_now(lambda tx: people.patch_person(tx, "p", {"given_name": "Ana", "grades": ["09"]}))
    changed = store.write_now(
        lambda tx: people.patch_person(tx, "p", {"preferred_given_name": "Ann", "identifier": "78"}, version=1)
    )

    assert (same.version, changed.version) == (1, 2)
    assert changed.sort_name == "ruiz ann | ruiz ana"
    last = store.read_now(lambda c: c.one(Journal.select().order_by(Journal.id.desc())))
    assert last is not None
    assert last.data == {"fields": ["identifier", "preferred_given_name"]}


def test_a_patch_over_a_newer_version_is_refused(store: Store, school: str) -> None:
    _student(store, school, "p", "Ana", "Ruiz")
    store.write_now(lambda tx: people.patch_person(tx, "p", {"given_name": "Anna"}, version=1))

    with pytest.raises(Refused) as caught:
        store.write_now(lambda tx: people.patch_person(tx, "p", {"given_name": "Anne"}, version=1))

    assert caught.value.status == 412
    with pytest.raises(Refused) as caught:
        store.write_now(lambda tx: people.patch_person(tx, "unknown", {}))
    assert caught.value.status == 404
    with pytest.raises(TypeError, match="no field"):
        store.write_now(lambda tx: people.patch_person(tx, "p", {"sort_name": "x"}))


def test_roles_hold_from_their_first_day_until_before_their_last(store: Store, school: str) -> None:
    _student(store, school, "p", "Ana", "Ruiz")
    store.write_now(
        lambda tx: tx.insert(
            RoleAssignment,
            user_id="p",
            role="guardian",
            org_id="",
            begins_on=date(2026, 9, 1),
            ends_on=date(2026, 9, 3),
        )
    )

    def held(on: date | None) -> list[str]:
        return [role.role for role in store.read_now(lambda c: people.roles_of(c, "p", on))]

    assert held(date(2026, 8, 31)) == ["student"]
    assert held(date(2026, 9, 1)) == held(date(2026, 9, 2)) == ["guardian", "student"]
    assert held(date(2026, 9, 3)) == ["student"]
    assert held(None) == ["guardian", "student"]
    store.write_now(lambda tx: people.patch_person(tx, "p", {"enabled": False}))
    assert held(None) == []


def test_roles_are_granted_once_and_revoked_once(store: Store, school: str) -> None:
    _student(store, school, "p", "Ana", "Ruiz")
    role = RoleAt(role="school_admin", org_id=school)

    assert [store.write_now(lambda tx: people.grant_role(tx, "p", role)) for _ in range(2)] == [True, False]
    assert role in store.read_now(lambda c: people.roles_of(c, "p"))
    assert [store.write_now(lambda tx: people.revoke_role(tx, "p", role)) for _ in range(2)] == [True, False]
    assert _kinds(store) == ["user.created", "role.granted", "role.revoked"]
    with pytest.raises(Refused, match="no such role"):
        store.write_now(lambda tx: people.grant_role(tx, "p", RoleAt(role="king")))  # type: ignore[arg-type]


def test_a_guardian_may_have_children_in_two_families_and_an_ended_link_can_return(store: Store, school: str) -> None:
    for person in ("g", "a", "b"):
        _student(store, school, person, person.upper(), "Ruiz")

    def link(student: str) -> bool:
        return store.write_now(lambda tx: people.link_guardian(tx, "g", student, "parent"))

    assert [link("a"), link("a"), link("b")] == [True, False, True]
    assert [one.user.id for one in store.read_now(lambda c: people.children_of(c, "g"))] == ["a", "b"]
    assert [store.write_now(lambda tx: people.unlink_guardian(tx, "g", "a")) for _ in range(2)] == [True, False]
    assert store.read_now(lambda c: people.guardians_of(c, "a")) == []
    assert link("a")
    [back] = store.read_now(lambda c: people.guardians_of(c, "a"))
    assert (back.user.id, back.relationship) == ("g", "parent")
    assert len(store.read_now(lambda c: c.all(Guardianship.select()))) == 2
    with pytest.raises(Refused):
        store.write_now(lambda tx: people.link_guardian(tx, "nobody", "a"))


def test_leaving_ends_enrolments_and_keeps_history(store: Store, school: str) -> None:
    _student(store, school, "p", "Ana", "Ruiz")
    store.write_now(lambda tx: tx.insert(Enrollment, id="e", user_id="p", class_id="c", role="student", changed_at=NOW))

    assert [store.write_now(lambda tx: people.end_person(tx, "p")) for _ in range(2)] == [True, False]

    assert store.read_now(lambda c: c.get(Enrollment, "e")).ended  # type: ignore[union-attr]
    assert _kinds(store) == ["user.created", "enrollment.ended", "user.ended"]
    assert store.read_now(lambda c: people.roles_of(c, "p")) == ()


def test_the_search_finds_by_any_words_of_the_name_or_the_number(store: Store, school: str) -> None:
    _student(store, school, "p1", "José", "García", identifier="4711")
    _student(store, school, "p2", "Josefina", "Müller", preferred_given_name="Fina")
    _student(store, school, "p3", "Max", "Muster")
    store.write_now(
        lambda tx: people.create_person(tx, person_id="t", roles=[], given_name="José", family_name="Teacher")
    )

    def found(words: str) -> list[str]:
        return [row.id for row in store.read_now(lambda c: people.search_students(c, words)).items]

    assert found("garcia jose") == ["p1"]
    assert found("JOSE") == ["p1", "p2"]
    assert found("fina") == ["p2"]
    assert found("4711") == ["p1"]
    assert found("jose nobody") == []
    assert found("%") == found("") == []


def test_the_search_goes_page_by_page_within_what_the_caller_may_see(store: Store, school: str) -> None:
    for number in range(5):
        _student(store, school, f"p{number}", "Ana", "Ruiz")
    within = User.select(User.id).where(User.id != "p2")

    def page(c: Connection, after: Any) -> people.Found:
        return people.search_students(c, "ruiz", within, limit=2, after=after)

    first = store.read_now(lambda c: page(c, None))
    second = store.read_now(lambda c: page(c, first.after))

    assert [row.id for row in [*first.items, *second.items]] == ["p0", "p1", "p3", "p4"]
    assert second.after is None


def test_the_schools_of_students_are_told_the_main_one_first(store: Store, school: str) -> None:
    _student(store, school, "p", "Ana", "Ruiz")
    store.write_now(lambda tx: tx.insert(RoleAssignment, user_id="p", role="student", org_id="a0", primary=False))

    assert store.read_now(lambda c: people.schools_of(c, ["p", "q"])) == {"p": ("s1", "a0")}
