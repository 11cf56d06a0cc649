"""Attendance in numbers."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom.attendance.absences import Report, decide, report_absence
from homeroom.attendance.marks import Correction, NewMark, correct, mark
from homeroom.attendance.records import STATUSES, of_session
from homeroom.attendance.statistics import (
    Drift,
    class_figures,
    rebuild,
    recount,
    school_figures,
    student_figures,
)
from homeroom.store import Store, new_id, now_utc
from tests.services.classroom import Classroom, classroom


def day_of(room: Classroom, statuses: dict[str, Any], back: int = 0) -> tuple[str, date]:
    opened = room.open(starts_at=now_utc() - timedelta(days=back))
    wanted = [NewMark(student_id=student, status=status) for student, status in statuses.items()]
    room.store.write_now(lambda tx: mark(tx, opened.id, wanted))
    return opened.id, date.fromisoformat(opened.school_day)


def three_days(room: Classroom) -> list[date]:
    ann, bob, cy = room.students
    _, first = day_of(room, {ann: "present", bob: "tardy", cy: "absent"}, 2)
    _, second = day_of(room, {ann: "present", bob: "excused", cy: "absent"}, 1)
    _, third = day_of(room, {ann: "absent"})
    return [first, second, third]


def test_a_class_a_school_and_a_student_are_counted_alike(store: Store) -> None:
    room = classroom(store)
    days = three_days(room)
    of_class = store.read_now(lambda c: class_figures(c, room.class_id, None, None))
    assert (of_class.present, of_class.tardy, of_class.absent, of_class.excused) == (2, 1, 3, 1)
    assert of_class.rate == round(3 / 7, 4)
    assert store.read_now(lambda c: school_figures(c, room.school_id, None, None)).json() == of_class.json()
    sums = [0, 0, 0, 0]
    for student in room.students:
        one = store.read_now(lambda c, s=student: student_figures(c, s, None, None))  # type: ignore[misc]
        sums = [a + b for a, b in zip(sums, (one.present, one.tardy, one.absent, one.excused), strict=True)]
    assert sums == [2, 1, 3, 1]
    some = store.read_now(lambda c: class_figures(c, room.class_id, days[0], days[1]))
    assert json.loads(some.json()) == {
        "present": 2,
        "tardy": 1,
        "absent": 2,
        "excused": 1,
        "rate": 0.5,
        "by_day": [
            {"day": str(days[0]), "present": 1, "tardy": 1, "absent": 1, "excused": 0},
            {"day": str(days[1]), "present": 1, "tardy": 0, "absent": 1, "excused": 1},
        ],
    }


def test_two_classes_of_a_school_are_added_up_by_day(store: Store) -> None:
    room = classroom(store)
    ann, bob, _ = room.students
    _, day = day_of(room, {ann: "present"})
    day_of(room, {ann: "absent", bob: "present"})
    figures = store.read_now(lambda c: school_figures(c, room.school_id, day, day))
    assert [tuple(row)[1:] for row in figures.by_day] == [(2, 0, 1, 0)]


def test_a_students_figures_can_be_narrowed_to_a_class_and_to_what_one_may_see(store: Store) -> None:
    room = classroom(store)
    ann = room.students[0]
    day_of(room, {ann: "present"})

    def figures(class_id: str | None, *allowed: str) -> int:
        within = lambda model: model.class_id.in_(allowed)  # noqa: E731
        return store.read_now(lambda c: student_figures(c, ann, None, None, class_id=class_id, within=within)).present

    here = room.class_id
    assert [figures(None, here), figures(here, here), figures(None, "another"), figures("another", here)] == [
        1,
        1,
        0,
        0,
    ]


def test_there_is_no_rate_of_nothing(store: Store) -> None:
    figures = store.read_now(lambda c: class_figures(c, "none", None, None))
    assert json.loads(figures.json()) == {
        "present": 0,
        "tardy": 0,
        "absent": 0,
        "excused": 0,
        "rate": None,
        "by_day": [],
    }


def test_counters_that_went_wrong_are_found_and_rebuilt(store: Store) -> None:
    room = classroom(store)
    days = three_days(room)
    right = store.read_now(lambda c: class_figures(c, room.class_id, None, None))
    store.write_now(
        lambda tx: tx.write_sql("UPDATE attendance_counts SET present = 9 WHERE school_day = ?", (str(days[0]),))
    )
    assert store.read_now(recount) == [
        Drift(class_id=room.class_id, school_day=str(days[0]), counted=(9, 1, 1, 0), recorded=(1, 1, 1, 0))
    ]
    assert store.write_now(rebuild) == 1
    assert store.read_now(recount) == []
    assert store.read_now(lambda c: class_figures(c, room.class_id, None, None)) == right
    assert store.write_now(rebuild) == 0


_DOINGS = st.lists(
    st.tuples(
        st.sampled_from(["mark", "correct", "close", "open", "excuse"]),
        st.integers(0, 2),
        st.sampled_from(STATUSES),
    ),
    max_size=15,
)


@settings(max_examples=30)
@given(doings=_DOINGS)
def test_whatever_is_done_the_counters_say_what_the_records_say(
    sqlite_store: Store, doings: list[tuple[str, int, Any]]
) -> None:
    room = classroom(sqlite_store)
    opened = room.open()
    closed = False
    for doing, who, status in doings:
        student = room.students[who]
        if doing == "mark" and not closed:
            wanted = [NewMark(student_id=student, status=status)]
            sqlite_store.write_now(lambda tx, o=opened, w=wanted: mark(tx, o.id, w))  # type: ignore[misc]
        elif doing == "correct":
            record = sqlite_store.read_now(lambda c, o=opened: of_session(c, o.id)).get(student)  # type: ignore[misc]
            if record is not None:
                change = Correction(status=status, reason="because", version=record.version)
                sqlite_store.write_now(lambda tx, r=record, c=change: correct(tx, r.id, c))  # type: ignore[misc]
        elif doing == "close":
            room.close(opened.id)
            closed = True
        elif doing == "open" and closed:
            opened, closed = room.open(), False
        elif doing == "excuse":
            day = date.fromisoformat(opened.school_day)
            report = Report(id=new_id(), student_id=student, first_day=day, last_day=day)
            sqlite_store.write_now(lambda tx, r=report: report_absence(tx, r))  # type: ignore[misc]
            sqlite_store.write_now(lambda tx, r=report: decide(tx, r.id, "approved"))  # type: ignore[misc]
    assert not [drift for drift in sqlite_store.read_now(recount) if drift.class_id == room.class_id]
