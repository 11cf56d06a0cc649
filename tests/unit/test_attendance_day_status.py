"""A whole day's status by the school's rule."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.attendance.day_status import (
    DEFAULT,
    AllPeriods,
    AnyPeriod,
    Homeroom,
    PeriodMark,
    Share,
    day_status,
    day_statuses,
    parse_rule,
    rule_of,
)
from homeroom.attendance.marks import NewMark, mark
from homeroom.attendance.records import STATUSES
from homeroom.roster.calendar import set_calendar_day
from homeroom.store import Store, now_utc
from homeroom.store import models as m
from homeroom.types import Status
from tests.services.classroom import classroom


def marks(*statuses: Status, homeroom: int = 0) -> list[PeriodMark]:
    return [
        PeriodMark(
            record_id=f"r{n}",
            school_id="north",
            school_day="2026-11-23",
            starts_at=f"2026-11-23T{8 + n:02d}:00:00.000000Z",
            status=status,
            homeroom=n == homeroom,
        )
        for n, status in enumerate(statuses)
    ]


@pytest.mark.parametrize(
    ("rule", "statuses", "expected"),
    [
        (AnyPeriod(), ("absent", "present"), "present"),
        (AnyPeriod(), ("tardy", "absent"), "tardy"),
        (AnyPeriod(), ("absent", "tardy"), "present"),
        (AnyPeriod(), ("absent", "excused"), "absent"),
        (AnyPeriod(), ("excused", "excused"), "excused"),
        (AllPeriods(), ("present", "present"), "present"),
        (AllPeriods(), ("tardy", "present"), "tardy"),
        (AllPeriods(), ("present", "absent"), "absent"),
        (AllPeriods(), ("present", "excused"), "excused"),
        (Homeroom(), ("absent", "present"), "absent"),
        (Homeroom(), ("tardy", "absent"), "tardy"),
        (Share(at_least=0.5), ("present", "absent"), "present"),
        (Share(at_least=0.5), ("present", "absent", "absent"), "absent"),
        (Share(at_least=0.5), ("present", "excused", "excused"), "excused"),
        (Share(at_least=1), ("present", "present"), "present"),
    ],
)
def test_the_rule_decides(rule: Any, statuses: tuple[Status, ...], expected: Status) -> None:
    assert day_status(rule, marks(*statuses)) == expected


def test_a_day_without_a_mark_that_counts_has_no_status() -> None:
    assert day_status(DEFAULT, []) is None
    assert day_status(Homeroom(), marks("present", homeroom=5)) is None


@given(
    statuses=st.lists(st.sampled_from(STATUSES), min_size=1, max_size=8),
    rule=st.sampled_from([AnyPeriod(), AllPeriods(), Share(at_least=0.5)]),
    data=st.data(),
)
def test_the_order_in_which_marks_arrive_does_not_matter(
    statuses: list[Status], rule: Any, data: st.DataObject
) -> None:
    of_day = marks(*statuses)
    assert day_status(rule, data.draw(st.permutations(of_day))) == day_status(rule, of_day)


@given(statuses=st.lists(st.sampled_from(STATUSES), min_size=1, max_size=8))
def test_a_stricter_share_never_makes_a_day_present(statuses: list[Status]) -> None:
    came = [day_status(Share(at_least=n / 10), marks(*statuses)) in ("present", "tardy") for n in range(1, 11)]
    assert came == sorted(came, reverse=True)


@pytest.mark.parametrize(
    "wrong", [None, {}, {"kind": "moon"}, {"kind": "share", "at_least": 0}, {"kind": "homeroom", "x": 1}]
)
def test_what_is_no_rule_is_told_in_plain_words(wrong: Any) -> None:
    with pytest.raises(ValueError, match="this is no day rule"):
        parse_rule(wrong)


def org(store: Store, org_id: str, rule: Any, parent: str | None = None) -> None:
    settings = {"day_rule": rule} if rule is not None else {}
    store.write_now(
        lambda tx: tx.insert(
            m.Org, id=org_id, name="n", kind="school", parent_id=parent, settings=settings, changed_at=tx.now
        )
    )


def test_a_school_without_a_rule_follows_its_district(sqlite_store: Store) -> None:
    org(sqlite_store, "district", {"kind": "homeroom"})
    org(sqlite_store, "own", {"kind": "share", "at_least": 0.75}, "district")
    org(sqlite_store, "plain", None, "district")
    org(sqlite_store, "broken", {"kind": "moon"}, "district")
    org(sqlite_store, "alone", None, "alone")
    names = ("own", "plain", "broken", "alone", "no")
    found = sqlite_store.read_now(lambda c: {name: rule_of(c, name) for name in names})
    assert found == {
        "own": Share(at_least=0.75),
        "plain": Homeroom(),
        "broken": DEFAULT,
        "alone": DEFAULT,
        "no": DEFAULT,
    }


def test_days_come_with_their_rule_and_records_and_only_on_school_days(store: Store) -> None:
    room = classroom(store, kind="homeroom")
    ann = room.students[0]
    now = now_utc()
    told = {}
    for back, status in ((2, "absent"), (1, "present"), (0, "tardy")):
        opened = room.open(starts_at=now - timedelta(days=back))
        wanted = NewMark(student_id=ann, status=status)  # type: ignore[arg-type]
        [told[opened.school_day]] = store.write_now(lambda tx, o=opened, w=wanted: mark(tx, o.id, [w]))  # type: ignore[misc]
    first, holiday, last = (date.fromisoformat(day) for day in sorted(told))
    store.write_now(lambda tx: set_calendar_day(tx, room.school_id, holiday, in_session=False))

    def days(within: Any = None) -> Any:
        return store.read_now(lambda c: day_statuses(c, ann, first, last, within=within))

    found = days()
    assert [(day.school_day, day.status) for day in found] == [(str(first), "absent"), (str(last), "tardy")]
    assert [list(day.records) for day in found] == [[told[str(first)].id], [told[str(last)].id]]
    assert found[0].rule == {"kind": "any_period"}
    assert days(lambda model: model.class_id == "another") == []
    assert len(days(lambda _: None)) == 2
