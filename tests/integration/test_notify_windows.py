"""Rules over many days: in a row, in a term, as a share of the year; each crossing is told once."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from homeroom.notify.rules import Rule, change_rule
from homeroom.roster.calendar import set_calendar_day
from homeroom.store import models as m
from homeroom.types import Status
from tests.services.families import TODAY, Families
from tests.services.roll import at_hour, correct_one, days_before, marked_on, school, texts, told

FRIDAY, THURSDAY, WEDNESDAY = days_before(3), days_before(4), days_before(5)


async def begun(families: Families, kind: str, **settings: Any) -> Rule:
    rule = families.rule(kind, delay_minutes=0, **settings)
    families.student("ann", "mother")
    return rule


async def on(families: Families, day: date, status: Status = "absent") -> str:
    """Ann's mark of that day, made on the morning of that day."""
    at_hour(families, 14, day=day)
    session = marked_on(families, day, ann=status)
    await families.move(3)
    return session


def counts(families: Families, kind: str) -> list[tuple[Any, Any]]:
    """(threshold, value) of each message of the kind that was sent."""
    return [
        (row.why["threshold"], row.why["value"])
        for row in families.messages()
        if row.kind == kind and row.state == "accepted"
    ]


def school_days(count: int, *, since: date = date(2026, 8, 31)) -> list[date]:
    """So many weekdays from a Monday on."""
    return [since + timedelta(days=7 * (number // 5) + number % 5) for number in range(count)]


# In a row


async def test_three_days_in_a_row_are_told_over_a_weekend(families: Families) -> None:
    await begun(families, "in_a_row")
    await families.tick()
    for day in (THURSDAY, FRIDAY):
        await on(families, day)
    assert families.sent() == []
    await on(families, TODAY)
    assert counts(families, "in_a_row") == [(3, 3)]
    assert "has now missed 3 school days in a row" in texts(families)[0]
    (message,) = families.messages()
    assert message.why["days"] == [day.isoformat() for day in (THURSDAY, FRIDAY, TODAY)]


async def test_a_longer_row_is_told_again_only_at_the_next_number(families: Families) -> None:
    await begun(families, "in_a_row", days=[3, 5])
    await families.tick()
    for day in school_days(7):
        await on(families, day)
    assert counts(families, "in_a_row") == [(3, 3), (5, 5)]


async def test_a_day_at_school_breaks_a_row_and_a_new_one_is_told_anew(families: Families) -> None:
    await begun(families, "in_a_row", days=[2])
    await families.tick()
    for day, status in zip(school_days(5), ("absent", "absent", "present", "absent", "absent"), strict=True):
        await on(families, day, status)  # type: ignore[arg-type]
    assert counts(families, "in_a_row") == [(2, 2), (2, 2)]
    assert len({row.why["anchor"] for row in families.messages()}) == 2


async def test_holidays_and_days_without_marks_neither_count_nor_break(families: Families) -> None:
    days = school_days(5)
    families.store.write_now(lambda tx: set_calendar_day(tx, "north", days[1], in_session=False, title="Labor Day"))
    await begun(families, "in_a_row")
    await families.tick()
    await on(families, days[0])
    await on(families, days[1], "present")  # a club on a holiday
    await on(families, days[2])
    # nobody took the roll on days[3]
    await on(families, days[4])
    assert counts(families, "in_a_row") == [(3, 3)]


async def test_an_excused_day_breaks_no_row_but_counts_only_where_the_rule_says_so(families: Families) -> None:
    unexcused = await begun(families, "in_a_row")
    both = families.rule("in_a_row", delay_minutes=0, statuses=["absent", "excused"])
    await families.tick()
    for day, status in zip(school_days(3), ("absent", "excused", "absent"), strict=True):
        await on(families, day, status)  # type: ignore[arg-type]
    assert [row.rule_id for row in families.messages()] == [both.id]
    assert unexcused.id != both.id


async def test_a_row_that_was_none_is_corrected(families: Families) -> None:
    await begun(families, "in_a_row")
    await families.tick()
    sessions = [await on(families, day) for day in school_days(3)]
    correct_one(families, sessions[1], "ann", "present")
    await families.move(5)
    assert told(families) == [("in_a_row", "mother", "accepted"), ("correction", "mother", "accepted")]
    assert "You do not need to do anything" in texts(families)[1]
    correct_one(families, sessions[1], "ann", "absent")
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["in_a_row", "correction", "in_a_row"]


async def test_a_forgotten_roll_that_shows_that_a_row_was_none_corrects_it(families: Families) -> None:
    days = school_days(3)
    await begun(families, "in_a_row", days=[2])
    await families.tick()
    await on(families, days[0])
    await on(families, days[2])
    assert counts(families, "in_a_row") == [(2, 2)]
    marked_on(families, days[1], ann="present")
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["in_a_row", "correction"]


async def test_what_is_left_of_a_row_that_was_broken_is_a_row_of_its_own(families: Families) -> None:
    days = school_days(5)
    await begun(families, "in_a_row", days=[2, 4])
    await families.tick()
    sessions = [await on(families, day) for day in days[:4]]
    assert counts(families, "in_a_row") == [(2, 2), (4, 4)]
    correct_one(families, sessions[1], "ann", "present")
    await families.move(5)
    assert sorted(kind for kind, _, _ in told(families)[2:]) == ["correction", "correction", "in_a_row"]
    await on(families, days[4])
    (last,) = [row for row in families.messages() if row.kind == "in_a_row"][2:]
    assert (last.why["threshold"], last.why["days"]) == (2, [day.isoformat() for day in days[2:4]])


async def test_what_is_left_of_a_number_that_was_wrong_is_told_at_once(families: Families) -> None:
    days = school_days(4)
    await begun(families, "in_a_row", days=[2, 4])
    families.rule("total", delay_minutes=0, days=[2, 4])
    await families.tick()
    at_hour(families, 14, day=days[3])
    sessions = [marked_on(families, day, ann="absent") for day in days]
    await families.move(5)
    assert (counts(families, "in_a_row"), counts(families, "total")) == ([(4, 4)], [(4, 4)])
    correct_one(families, sessions[0], "ann", "present")
    await families.move(5)
    assert (counts(families, "in_a_row")[1:], counts(families, "total")[1:]) == ([(2, 3)], [(2, 3)])
    assert [kind for kind, _, _ in told(families)].count("correction") == 2


async def test_a_row_that_is_shorter_than_was_told_but_long_enough_is_not_wrong(families: Families) -> None:
    await begun(families, "in_a_row")
    for day in school_days(3):
        marked_on(families, day, ann="absent")
    await families.tick()
    session = await on(families, school_days(4)[3])
    assert counts(families, "in_a_row") == [(3, 4)]
    correct_one(families, session, "ann", "present")
    await families.move(5)
    assert len(families.sent()) == 1


async def test_a_row_that_grows_backwards_is_the_same_one(families: Families) -> None:
    days = school_days(4)
    await begun(families, "in_a_row", days=[2])
    await families.tick()
    for day in days[1:3]:
        await on(families, day)
    at_hour(families, 15, day=days[2])
    marked_on(families, days[0], ann="absent")  # the roll of that day was forgotten
    await families.move(5)
    assert counts(families, "in_a_row") == [(2, 2)]


async def test_old_gaps_that_are_filled_are_no_news_but_count_when_there_is_some(families: Families) -> None:
    days = school_days(12)
    await begun(families, "in_a_row")
    families.rule("total", delay_minutes=0)
    marked_on(families, days[5], ann="present")
    await families.tick()
    at_hour(families, 14, day=days[10])
    for day in days[:2]:
        marked_on(families, day, ann="absent")
    await families.move(5)
    assert families.sent() == []
    await on(families, days[10])
    assert [kind for kind, _, _ in told(families)] == ["total"]
    (message,) = families.messages()
    assert message.why["days"] == [day.isoformat() for day in (days[0], days[1], days[10])]


async def test_a_row_of_long_ago_that_comes_to_light_is_not_told_as_one_of_now(families: Families) -> None:
    days = school_days(15)
    await begun(families, "in_a_row")
    await families.tick()
    at_hour(families, 14, day=days[14])
    for day in days[:3]:
        marked_on(families, day, ann="absent")
    await families.move(5)
    assert families.messages() == []


async def test_three_old_days_that_come_to_light_at_once_are_one_message(families: Families) -> None:
    await begun(families, "in_a_row", days=[2])
    await families.tick()
    at_hour(families, 14)
    for day in (THURSDAY, FRIDAY, TODAY):
        marked_on(families, day, ann="absent")
    await families.move(5)
    assert counts(families, "in_a_row") == [(2, 3)]
    assert [row.school_day for row in families.messages()] == [TODAY]


async def test_a_row_that_waits_to_be_sent_is_judged_again_when_one_of_its_days_changes(families: Families) -> None:
    await begun(families, "in_a_row")
    earlier = [marked_on(families, day, ann="absent") for day in (THURSDAY, FRIDAY)]
    await families.tick()
    at_hour(families, 2, day=TODAY + timedelta(days=1))  # ten at night
    marked_on(families, TODAY, ann="absent")
    await families.move(5)
    assert families.states() == ["waiting"]
    correct_one(families, earlier[0], "ann", "present")
    await families.move(10)
    assert families.states() == ["cancelled"]


async def test_the_days_of_another_school_make_no_row(families: Families) -> None:
    south = school(families, "south")
    families.rule("in_a_row", delay_minutes=0, days=[2])
    families.student("ann", "mother", classes=("homeroom", south))
    await families.tick()
    at_hour(families, 14, day=FRIDAY)
    marked_on(families, FRIDAY, ann="absent")
    await families.move(5)
    at_hour(families, 14)
    marked_on(families, TODAY, south, ann="absent")
    await families.move(5)
    assert families.messages() == []


# In a term or year


async def test_each_crossing_of_a_term_is_told_once(families: Families) -> None:
    await begun(families, "total")
    await families.tick()
    for day in school_days(12):
        await on(families, day)
    assert counts(families, "total") == [(3, 3), (5, 5), (10, 10)]


async def test_what_jumps_over_two_numbers_tells_the_larger_one(families: Families) -> None:
    await begun(families, "total")
    for day in school_days(5):
        marked_on(families, day, ann="absent")
    await families.tick()
    await on(families, school_days(6)[5])
    assert counts(families, "total") == [(5, 6)]


async def test_excused_days_count_for_a_total_unless_the_rule_says_otherwise(families: Families) -> None:
    rule = await begun(families, "total", statuses=["absent"])
    families.rule("total", delay_minutes=0)
    await families.tick()
    for day, status in zip(school_days(3), ("absent", "excused", "absent"), strict=True):
        await on(families, day, status)  # type: ignore[arg-type]
    assert len(families.messages()) == 1
    assert families.messages()[0].rule_id != rule.id


async def test_a_new_term_counts_from_its_begin_and_a_year_goes_on(families: Families) -> None:
    for name, begins, ends in (
        ("fall", date(2026, 8, 31), date(2026, 9, 7)),
        ("winter", date(2026, 9, 7), date(2026, 12, 1)),
    ):
        families.store.write_now(
            lambda tx, name=name, begins=begins, ends=ends: tx.insert(  # type: ignore[misc]
                m.AcademicSession,
                id=name,
                title=name,
                kind="term",
                begins_on=begins,
                ends_on=ends,
                changed_at=tx.now,
            )
        )
    term = await begun(families, "total", days=[3])
    year = families.rule("total", delay_minutes=0, days=[3, 6], within="year")
    await families.tick()
    for day in school_days(8):
        await on(families, day)
    by_rule = {
        rule.id: [row.why["value"] for row in families.messages() if row.rule_id == rule.id] for rule in (term, year)
    }
    assert by_rule == {term.id: [3, 3], year.id: [3, 6]}


async def test_a_term_whose_begin_is_moved_tells_nothing_again(families: Families) -> None:
    families.store.write_now(
        lambda tx: tx.insert(
            m.AcademicSession,
            id="fall",
            title="fall",
            kind="term",
            begins_on=date(2026, 8, 31),
            ends_on=date(2026, 12, 1),
            changed_at=tx.now,
        )
    )
    await begun(families, "total", days=[3])
    await families.tick()
    for day in school_days(3):
        await on(families, day)
    families.set(m.AcademicSession, {"begins_on": date(2026, 8, 24)}, m.AcademicSession.id == "fall")
    await on(families, school_days(4)[3])
    assert counts(families, "total") == [(3, 3)]


async def test_a_total_that_a_correction_brings_under_its_number_is_corrected(families: Families) -> None:
    await begun(families, "total", days=[3])
    await families.tick()
    sessions = [await on(families, day) for day in school_days(3)]
    at_hour(families, 14, day=school_days(8)[7])
    correct_one(families, sessions[0], "ann", "present")
    await families.move(5)
    assert told(families) == [("total", "mother", "accepted"), ("correction", "mother", "accepted")]
    await on(families, school_days(9)[8])
    assert [kind for kind, _, _ in told(families)] == ["total", "correction", "total"]


async def test_a_total_stays_right_where_another_day_makes_up_for_the_one_that_was_wrong(families: Families) -> None:
    await begun(families, "total", days=[3])
    await families.tick()
    sessions = [await on(families, day) for day in school_days(4)]
    correct_one(families, sessions[0], "ann", "present")
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["total"]


async def test_a_day_that_made_up_for_a_wrong_one_makes_the_total_wrong_when_it_is_wrong_itself(
    families: Families,
) -> None:
    await begun(families, "total", days=[3])
    await families.tick()
    sessions = [await on(families, day) for day in school_days(4)]
    correct_one(families, sessions[0], "ann", "present")
    await families.move(5)
    assert len(families.sent()) == 1
    correct_one(families, sessions[3], "ann", "present")  # it is none of the days that were told
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["total", "correction"]


async def test_a_holiday_takes_a_day_out_of_the_total(families: Families) -> None:
    await begun(families, "total", days=[3])
    await families.tick()
    for day in school_days(3):
        await on(families, day)
    families.store.write_now(lambda tx: set_calendar_day(tx, "north", school_days(2)[1], in_session=False))
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["total", "correction"]


async def test_marks_on_a_weekend_count_for_nothing(families: Families) -> None:
    await begun(families, "total", days=[2])
    await families.tick()
    for day in (FRIDAY, days_before(2)):
        await on(families, day)
    assert families.messages() == []


async def test_conditions_say_which_days_count(families: Families) -> None:
    families.store.write_now(
        lambda tx: tx.insert(
            m.AttendanceCode, code="SUS", title="Suspended", status="absent", edfi_category="Excused Absence"
        )
    )
    families.rule("total", delay_minutes=0, days=[2], conditions={"categories": ["Unexcused Absence"]})
    families.rule("total", delay_minutes=0, days=[2], conditions={"class_ids": ["homeroom"]}, audience=["office"])
    families.student("ann", "mother")
    await families.tick()
    days = school_days(3)
    for day, code in zip(days, ("SUS", None, None), strict=True):
        at_hour(families, 14, day=day)
        session = marked_on(families, day, ann="absent")
        if code:
            correct_one(families, session, "ann", "absent", code=code)
        await families.move(5)
    assert [(row.recipient_id, row.school_day) for row in families.messages()] == [
        ("principal", days[1]),
        ("mother", days[2]),
    ]


async def test_a_class_counts_only_its_own_days(families: Families) -> None:
    families.rule("total", delay_minutes=0, days=[2], conditions={"class_ids": ["algebra"]})
    families.student("ann", "mother")
    await families.tick()
    for day, name in zip(school_days(3), ("homeroom", "algebra", "algebra"), strict=True):
        at_hour(families, 14, day=day)
        marked_on(families, day, name, ann="absent")
        await families.move(5)
    (message,) = families.messages()
    assert message.why["days"] == [day.isoformat() for day in school_days(3)[1:]]


# As a share


async def test_a_share_is_told_once_enough_days_have_passed(families: Families) -> None:
    await begun(families, "share", least_days=10)
    days = school_days(13)
    await families.tick()
    await on(families, days[0])
    for day in days[1:8]:
        await on(families, day, "present")
    await on(families, days[8])
    assert families.messages() == []  # two of nine
    await on(families, days[9])
    assert counts(families, "share") == [(0.1, 0.3)]
    assert "has missed 30% of school days so far (3 days)" in texts(families)[0]
    await on(families, days[10])
    assert len(families.sent()) == 1


async def test_a_share_that_falls_because_of_days_at_school_was_right(families: Families) -> None:
    await begun(families, "share", least_days=2, shares=[0.5])
    await families.tick()
    days = school_days(10)
    session = await on(families, days[0], "present")
    await on(families, days[1])
    assert counts(families, "share") == [(0.5, 0.5)]
    for day in days[2:]:
        await on(families, day, "present")
    correct_one(families, session, "ann", "tardy")
    await families.move(5)
    assert len(families.messages()) == 1


async def test_a_share_whose_days_were_not_missed_was_wrong(families: Families) -> None:
    await begun(families, "share", least_days=2, shares=[0.5])
    await families.tick()
    days = school_days(10)
    await on(families, days[0], "present")
    session = await on(families, days[1])
    for day in days[2:]:
        await on(families, day, "present")
    correct_one(families, session, "ann", "present")
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["share", "correction"]


# Rules that change


@pytest.mark.parametrize("enabled", [True, False])
async def test_what_was_told_is_held_against_the_rule_as_it_was(families: Families, enabled: bool) -> None:  # noqa: FBT001
    rule = await begun(families, "in_a_row", statuses=["absent", "excused"])
    await families.tick()
    statuses: list[Status] = ["absent", "excused", "absent"]
    sessions = [await on(families, day, status) for day, status in zip(school_days(3), statuses, strict=True)]
    assert counts(families, "in_a_row") == [(3, 3)]
    families.rule("absence", delay_minutes=0)  # so that days are judged at all
    changed = {"delay_minutes": 0, "statuses": ["absent"]}
    families.store.write_now(lambda tx: change_rule(tx, rule.id, enabled=enabled, settings=changed))
    correct_one(families, sessions[0], "ann", "excused")
    await families.move(10)
    assert [kind for kind, _, _ in told(families, "in_a_row", "correction")] == ["in_a_row"]
    correct_one(families, sessions[0], "ann", "present")
    await families.move(10)
    assert [kind for kind, _, _ in told(families, "in_a_row", "correction")] == ["in_a_row", "correction"]


async def test_a_teacher_who_heard_of_a_row_hears_that_it_was_none(families: Families) -> None:
    await begun(families, "in_a_row", audience=["teacher"])
    await families.tick()
    sessions = [await on(families, day) for day in school_days(3)]
    correct_one(families, sessions[0], "ann", "present")
    await families.move(5)
    assert told(families) == [("in_a_row", "teacher", "accepted"), ("correction", "teacher", "accepted")]
