from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom.roster import classes
from homeroom.store import Refused, Store, new_id
from homeroom.store.models import AcademicSession, Class, Enrollment, Journal, Org, User

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
TODAY = date(2026, 9, 15)


@pytest.fixture
def school(store: Store) -> str:
    def unit(tx: Any) -> None:
        tx.insert(Org, id="s1", name="Cedar", kind="school", changed_at=NOW)
        tx.insert(Org, id="d", name="District", kind="district", changed_at=NOW)
        for person in ("ana", "ben", "cem", "tia", "tom"):
            values = {"given_name": person.title(), "family_name": "Ruiz", "sort_name": f"ruiz {person}"}
            tx.insert(User, id=person, changed_at=NOW, **values)
        for term in ("fall", "spring"):
            days = {"begins_on": date(2026, 8, 1), "ends_on": date(2027, 1, 1)}
            tx.insert(AcademicSession, id=term, title=term, kind="term", changed_at=NOW, **days)

    store.write_now(unit)
    return "s1"


def _make(store: Store, **values: Any) -> Class:
    class_id = values.pop("class_id", "c")
    return store.write_now(lambda tx: classes.create_class(tx, class_id=class_id, title="Biology", **values))


def _enroll(store: Store, user_id: str, **values: Any) -> Enrollment:
    row_id = new_id()
    return store.write_now(lambda tx: classes.enroll(tx, "c", user_id, enrollment_id=row_id, **values))


def _students(store: Store, day: date = TODAY) -> list[str]:
    return [one.user_id for one in store.read_now(lambda c: classes.roster_of(c, "c", day)).students]


def _journal(store: Store) -> list[tuple[str, str | None, str | None]]:
    rows = store.read_now(lambda c: c.all(Journal.select().order_by(Journal.id)))
    return [(row.kind, row.class_id, row.student_id) for row in rows]


def test_a_class_of_the_only_school_has_its_terms_and_teachers(store: Store, school: str) -> None:
    made = _make(store, term_ids=["spring", "fall"], teacher_ids=["tia", "tom", "tia"])

    assert (made.school_id, made.version, made.archived) == (school, 1, False)
    assert store.read_now(lambda c: classes.terms_of(c, ["c", "x"])) == {"c": ["fall", "spring"], "x": []}
    assert store.read_now(lambda c: classes.teachers_of(c, ["c", "x"], TODAY)) == {"c": ["tia", "tom"], "x": []}
    assert [row.id for row in store.read_now(lambda c: classes.classes_taught(c, "tom", TODAY))] == ["c"]
    assert _journal(store) == [
        ("class.created", "c", None),
        ("enrollment.added", "c", None),
        ("enrollment.added", "c", None),
    ]


@pytest.mark.usefixtures("school")
@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"school_id": "x"}, "school"),
        ({"course_id": "x"}, "course"),
        ({"term_ids": ["fall", "x"]}, "term"),
        ({"teacher_ids": ["x"]}, "person"),
    ],
)
def test_a_class_with_anything_unknown_is_refused(store: Store, values: dict[str, Any], what: str) -> None:
    with pytest.raises(Refused, match=f"no such {what}"):
        _make(store, **values)

    assert store.read_now(lambda c: c.get(Class, "c")) is None


def test_in_a_district_of_two_schools_the_school_must_be_named(store: Store, school: str) -> None:
    store.write_now(lambda tx: tx.insert(Org, id="s2", name="Maple", kind="school", changed_at=NOW))

    with pytest.raises(Refused, match="which school"):
        _make(store)
    with pytest.raises(TypeError, match="no field"):
        _make(store, school_id=school, archived=True)


def test_an_edit_writes_what_differs_and_refuses_a_lost_update(store: Store, school: str) -> None:
    _make(store, school_id=school)

    def edit(version: int | None, term_ids: list[str] | None = None, **changes: Any) -> Class:
        return store.write_now(lambda tx: classes.edit_class(tx, "c", changes, version=version, term_ids=term_ids))

    assert edit(1, title="Biology").version == 1
    assert edit(1, title="Botany", late_after_minutes=7).version == 2
    with pytest.raises(Refused) as caught:
        edit(1, title="Zoology")
    assert caught.value.status == 412
    assert edit(None, term_ids=["fall"]).version == 3
    assert edit(None, term_ids=["fall"]).version == 3
    last = store.read_now(lambda c: c.values(Journal.select(Journal.data).order_by(Journal.id)))
    assert last[1:] == [{"fields": ["late_after_minutes", "title"]}, {"fields": ["term_ids"]}]


@pytest.mark.usefixtures("school")
def test_archiving_keeps_everything_and_can_be_undone(store: Store) -> None:
    _make(store, teacher_ids=["tia"])

    assert [store.write_now(lambda tx: classes.archive_class(tx, "c")) for _ in range(2)] == [True, False]
    assert store.read_now(lambda c: classes.classes_taught(c, "tia", TODAY)) == []
    with pytest.raises(Refused, match="archived"):
        _enroll(store, "ana")
    assert store.write_now(lambda tx: classes.archive_class(tx, "c", archived=False))
    assert [row.id for row in store.read_now(lambda c: classes.classes_taught(c, "tia", TODAY))] == ["c"]
    with pytest.raises(Refused):
        store.write_now(lambda tx: classes.archive_class(tx, "x"))


@pytest.mark.usefixtures("school")
def test_begin_days_are_inclusive_and_end_days_exclusive(store: Store) -> None:
    _make(store)
    _enroll(store, "ana", begins_on=date(2026, 9, 10), ends_on=date(2026, 9, 20))

    in_class = [day for day in range(1, 31) if _students(store, date(2026, 9, day))]

    assert in_class == list(range(10, 20))
    assert store.read_now(lambda c: classes.is_enrolled(c, "c", "ana", "student", date(2026, 9, 19)))
    assert not store.read_now(lambda c: classes.is_enrolled(c, "c", "ana", "student", date(2026, 9, 20)))
    assert [row.id for row in store.read_now(lambda c: classes.classes_attended(c, "ana", TODAY))] == ["c"]


@pytest.mark.usefixtures("school")
def test_enrolling_again_changes_dates_and_never_doubles(store: Store) -> None:
    _make(store)

    first = _enroll(store, "ana")
    same = _enroll(store, "ana")
    moved = _enroll(store, "ana", begins_on=date(2026, 9, 1))

    assert first.id == same.id == moved.id
    assert moved.begins_on == date(2026, 9, 1)
    assert [kind for kind, _, _ in _journal(store)] == ["class.created", "enrollment.added", "enrollment.changed"]


@pytest.mark.usefixtures("school")
def test_a_second_stay_after_an_ended_one_is_a_row_of_its_own(store: Store) -> None:
    _make(store)
    _enroll(store, "ana")
    store.write_now(lambda tx: classes.end_enrollment(tx, "c", "ana", day=date(2026, 9, 10)))
    _enroll(store, "ana", begins_on=date(2026, 9, 20))

    assert [bool(_students(store, date(2026, 9, day))) for day in (9, 10, 19, 20)] == [True, False, False, True]


@pytest.mark.usefixtures("school")
def test_a_stay_over_several_earlier_ones_takes_their_place(store: Store) -> None:
    _make(store)
    for first, last in ((1, 5), (8, 12), (4, 10)):
        _enroll(store, "ana", begins_on=date(2026, 9, first), ends_on=date(2026, 9, last))

    assert [day for day in range(1, 31) if _students(store, date(2026, 9, day))] == list(range(4, 10))
    kinds = [kind for kind, _, _ in _journal(store)]
    assert kinds[-2:] == ["enrollment.changed", "enrollment.ended"]


@pytest.mark.usefixtures("school")
def test_ending_before_the_first_day_takes_the_enrolment_back(store: Store) -> None:
    _make(store)
    _enroll(store, "ana", begins_on=date(2026, 9, 20))

    assert store.write_now(lambda tx: classes.end_enrollment(tx, "c", "ana", day=TODAY)) == 1
    assert store.write_now(lambda tx: classes.end_enrollment(tx, "c", "ana", day=TODAY)) == 0
    assert _students(store, date(2026, 9, 25)) == []
    assert _journal(store)[-1] == ("enrollment.ended", "c", "ana")


@pytest.mark.usefixtures("school")
def test_wrong_days_people_and_classes_are_refused(store: Store) -> None:
    _make(store)

    with pytest.raises(Refused, match="after the first day"):
        _enroll(store, "ana", begins_on=TODAY, ends_on=TODAY)
    with pytest.raises(Refused, match="no such person"):
        _enroll(store, "nobody")
    with pytest.raises(Refused):
        store.write_now(lambda tx: classes.enroll(tx, "x", "ana", enrollment_id="e"))


@pytest.mark.usefixtures("school")
def test_the_roster_names_each_person_once_sorted_and_leaves_out_who_has_left(store: Store) -> None:
    _make(store, teacher_ids=["tom", "tia"])

    def unit(tx: Any) -> None:
        for position, person in enumerate(("cem", "ana", "ana", "ben")):
            tx.insert(Enrollment, id=f"e{position}", user_id=person, class_id="c", role="student", changed_at=NOW)
        tx.run(User.update(ended=True).where(User.id == "ben"))
        tx.run(User.update(preferred_given_name="Cece", grades=["09"]).where(User.id == "cem"))

    store.write_now(unit)
    roster = store.read_now(lambda c: classes.roster_of(c, "c", TODAY))

    assert [one.name for one in roster.students] == ["Ana Ruiz", "Cece Ruiz"]
    assert roster.students[1].grades == ("09",)
    assert [(one.user_id, one.primary) for one in roster.teachers] == [("tia", False), ("tom", True)]


def _ordinal(day: date | None) -> int:
    assert day is not None
    return day.toordinal()


spans = st.tuples(st.integers(0, 20), st.integers(1, 10))


@settings(max_examples=60)
@given(
    st.lists(st.one_of(spans.map(lambda s: ("in", *s)), st.integers(0, 25).map(lambda d: ("out", d, 0))), max_size=8)
)
def test_no_two_enrolments_of_one_student_ever_overlap(sqlite_store: Store, steps: list[tuple[str, int, int]]) -> None:
    class_id, user_id = new_id(), new_id()

    def begin(tx: Any) -> None:
        if tx.get(Org, "s") is None:
            tx.insert(Org, id="s", name="S", kind="school", changed_at=NOW)
        tx.insert(User, id=user_id, given_name="A", family_name="B", sort_name="b a", changed_at=NOW)
        classes.create_class(tx, class_id=class_id, title="C", school_id="s")

    sqlite_store.write_now(begin)
    for what, day, length in steps:
        first = date(2026, 9, 1).replace(day=1 + day)
        last = date.fromordinal(first.toordinal() + length)
        row_id = new_id()

        def unit(tx: Any, what: str = what, first: date = first, last: date = last, row_id: str = row_id) -> None:
            if what == "in":
                classes.enroll(tx, class_id, user_id, enrollment_id=row_id, begins_on=first, ends_on=last)
            else:
                classes.end_enrollment(tx, class_id, user_id, day=first)

        sqlite_store.write_now(unit)

    rows = sqlite_store.read_now(
        lambda c: c.all(Enrollment.select().where(Enrollment.user_id == user_id, ~Enrollment.ended))
    )
    days = [day for row in rows for day in range(_ordinal(row.begins_on), _ordinal(row.ends_on))]
    assert len(days) == len(set(days))
