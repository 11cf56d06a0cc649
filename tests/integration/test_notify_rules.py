"""From marks to messages: each rule with its conditions, what a message can say for itself, and its versions."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from homeroom.notify import cases
from homeroom.notify.rules import Rule, change_rule, read_rule, rules, version_of
from homeroom.notify.settings import KINDS, BadRule, parse
from homeroom.store import Refused, Transaction
from homeroom.store import models as m
from homeroom.types import Status
from tests.services.families import TODAY, Families
from tests.services.roll import at_hour, correct_one, mark_one, marked_on, rows, school, texts, told


def change(families: Families, rule: Rule, **changes: Any) -> Rule:
    return families.store.write_now(lambda tx: change_rule(tx, rule.id, **changes))


async def test_a_guardian_hears_of_an_absence_once(families: Families) -> None:
    families.rule("absence", delay_minutes=10)
    families.student("ann", "mother")
    await families.tick()
    session = families.open()
    families.mark(session, ann="absent")
    await families.tick()
    assert families.sent() == []
    await families.move(11)
    ((_, text),) = families.sent()
    assert text == (
        "North School: Ann Park was marked absent today. If this is a surprise or you know the reason, please call "
        "the office: +1 212 555 0100."
    )
    await families.move(60)
    assert len(families.sent()) == 1
    assert families.states() == ["accepted"]


async def test_students_who_are_simply_present_leave_no_trace(families: Families) -> None:
    for kind in ("absence", "tardy", "returned", "in_a_row", "total", "share"):
        families.rule(kind)
    for name in ("ann", "bob", "cy"):
        families.student(name, f"{name}_mother")
    await families.tick()
    families.mark(families.open(), ann="present", bob="present", cy="present")
    await families.move(60)
    assert (rows(families, "notification_cases"), rows(families, "notifications")) == (0, 0)


async def test_without_rules_nothing_is_kept_and_nothing_old_is_told_once_there_is_one(families: Families) -> None:
    families.student("ann", "mother")
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.move(20)
    assert rows(families, "notification_cases") == 0
    families.rule("absence")
    await families.move(20)
    assert rows(families, "notifications") == 0


async def test_a_day_is_missed_only_by_who_came_to_no_class(families: Families) -> None:
    families.rule("absence", delay_minutes=0)
    families.student("ann", "mother")
    await families.tick()
    families.mark(families.open("homeroom", hour=12), ann="present")
    families.mark(families.open("algebra", hour=13), ann="absent")
    await families.move(1)
    assert families.sent() == []


async def test_a_rule_of_classes_tells_each_class_that_was_missed(families: Families) -> None:
    families.rule("absence", of="class", delay_minutes=0)
    families.student("ann", "mother", classes=("homeroom", "algebra", "biology"))
    await families.tick()
    for hour, name in enumerate(("homeroom", "algebra", "biology"), 11):
        families.mark(families.open(name, hour=hour), ann="present" if name == "homeroom" else "absent")
    await families.move(1)
    first, second = sorted(texts(families))
    assert "was marked absent from Algebra today" in first
    assert "was marked absent from Biology today" in second


async def test_a_school_that_counts_by_homeroom_hears_of_other_classes_all_the_same(families: Families) -> None:
    families.set(m.Org, {"settings": {"day_rule": {"kind": "homeroom"}}}, m.Org.id == "north")
    families.rule("absence", of="class", delay_minutes=0)
    day = families.rule("absence", of="day", delay_minutes=0)
    families.student("ann", "mother")
    await families.tick()
    families.mark(families.open("homeroom"), ann="present")
    families.mark(families.open("algebra", hour=13), ann="absent")
    await families.move(1)
    (text,) = texts(families)
    assert "absent from Algebra" in text
    assert all(row.rule_id != day.id for row in families.messages())


async def test_an_excused_absence_is_told_only_where_the_rule_says_so(families: Families) -> None:
    families.rule("absence", delay_minutes=0)
    families.student("ann", "mother")
    await families.tick()
    families.mark(families.open(), ann="excused")
    await families.move(1)
    assert families.sent() == []
    families.rule("absence", delay_minutes=0, statuses=["absent", "excused"])
    families.mark(families.open("algebra", hour=13), ann="excused")
    await families.move(1)
    assert len(families.sent()) == 1


@pytest.mark.parametrize(
    ("conditions", "told_of"),
    [
        ({"categories": ["Unexcused Absence"]}, ["ann", "bob", "cy"]),
        ({"categories": ["Excused Absence"]}, []),
        ({"codes": ["SK"]}, ["bob"]),
        ({"grades": ["07"]}, ["cy"]),
        ({"grades": ["06", "07"]}, ["ann", "bob", "cy"]),
        ({"class_ids": ["algebra"]}, []),
        ({"class_ids": ["homeroom", "algebra"], "grades": ["06"]}, ["ann", "bob"]),
        ({"codes": ["SK"], "grades": ["07"]}, []),
    ],
)
async def test_conditions_narrow_by_category_code_grade_and_class(
    families: Families, conditions: dict[str, list[str]], told_of: list[str]
) -> None:
    families.store.write_now(
        lambda tx: tx.insert(
            m.AttendanceCode,
            code="SK",
            title="Skipped",
            status="absent",
            edfi_category="Unexcused Absence",
        )
    )
    families.rule("absence", delay_minutes=0, conditions=conditions)
    for name, grade in (("ann", "06"), ("bob", "06"), ("cy", "07")):
        families.student(name, f"{name}_mother")
        families.set(m.User, {"grades": [grade]}, m.User.id == name)
    await families.tick()
    session = families.open()
    for name in ("ann", "bob", "cy"):
        mark_one(families, session, name, "absent", code="SK" if name == "bob" else None)
    await families.move(1)
    assert sorted(row.student_id or "" for row in families.messages()) == told_of


async def test_a_tardy_is_told_with_its_minutes_after_its_delay(families: Families) -> None:
    families.rule("tardy", delay_minutes=15)
    families.student("ann", "mother")
    await families.tick()
    mark_one(families, families.open(), "ann", "tardy", minutes_late=7)
    await families.move(14)
    assert families.sent() == []
    await families.move(1)
    assert texts(families) == ["North School: Ann Park came 7 minutes late today."]


@pytest.mark.parametrize(("minutes", "count"), [(None, 0), (9, 0), (10, 1), (25, 1)])
async def test_only_a_tardy_of_enough_minutes_is_told(families: Families, minutes: int | None, count: int) -> None:
    families.rule("tardy", delay_minutes=0, from_minutes=10)
    families.student("ann", "mother")
    await families.tick()
    mark_one(families, families.open(), "ann", "tardy", minutes_late=minutes)
    await families.move(1)
    assert len(families.sent()) == count


async def test_a_day_is_tardy_by_its_first_class_and_a_class_by_its_own(families: Families) -> None:
    of_day, of_class = (families.rule("tardy", delay_minutes=0, from_minutes=5, of=of) for of in ("day", "class"))
    families.student("ann", "mother")
    await families.tick()
    mark_one(families, families.open("homeroom", hour=12), "ann", "tardy", minutes_late=2)
    mark_one(families, families.open("algebra", hour=13), "ann", "tardy", minutes_late=20)
    await families.move(1)
    assert [row.rule_id for row in families.messages()] == [of_class.id]
    assert of_day.id != of_class.id
    assert texts(families) == ["North School: Ann Park came 20 minutes late to Algebra today."]


async def test_two_rules_may_tell_of_one_day_each_in_its_own_time(families: Families) -> None:
    families.rule("tardy", delay_minutes=5, of="class")
    families.rule("absence", delay_minutes=20, of="class")
    families.student("ann", "mother")
    await families.tick()
    mark_one(families, families.open("homeroom", hour=12), "ann", "tardy", minutes_late=9)
    families.mark(families.open("algebra", hour=13), ann="absent")
    await families.move(6)
    assert [kind for kind, _, _ in told(families)] == ["tardy"]
    await families.move(15)
    assert [kind for kind, _, _ in told(families)] == ["tardy", "absence"]


async def test_a_rule_of_one_school_says_nothing_at_another(families: Families) -> None:
    south = school(families, "south")
    families.rule("absence", org_id="south", delay_minutes=0)
    families.student("ann", "mother", classes=("homeroom", south))
    await families.tick()
    families.mark(families.open("homeroom"), ann="absent")
    await families.move(1)
    assert rows(families, "notification_cases") == 0
    families.mark(families.open(south, hour=13), ann="absent")
    await families.move(1)
    assert [row.school_id for row in families.messages()] == ["south"]


async def test_the_days_of_a_student_of_two_schools_are_told_apart(families: Families) -> None:
    south = school(families, "south")
    families.rule("absence", delay_minutes=0)
    families.rule("returned", delay_minutes=0)
    families.student("ann", "mother", classes=("homeroom", south))
    await families.tick()
    at_north = families.open("homeroom")
    families.mark(at_north, ann="absent")
    await families.move(1)
    at_south = families.open(south, hour=13)
    families.mark(at_south, ann="present")
    await families.move(10)
    assert [(row.kind, row.school_id) for row in families.messages()] == [("absence", "north")]
    families.mark(at_south, ann="absent")
    await families.move(10)
    assert [(row.kind, row.school_id) for row in families.messages()] == [("absence", "north"), ("absence", "south")]
    families.mark(at_north, ann="present")
    await families.move(10)
    assert [(row.kind, row.school_id) for row in families.messages()][2:] == [("correction", "north")]


async def test_two_events_in_one_look_are_one_case_and_the_later_one_holds(families: Families) -> None:
    families.rule("absence", delay_minutes=5)
    families.student("ann", "mother")
    families.student("bob", "bob_mother")
    await families.tick()
    session = families.open()
    families.mark(session, ann="absent", bob="present")
    families.mark(session, ann="present", bob="absent")
    await families.move(6)
    assert rows(families, "notification_cases") == 2
    assert told(families) == [("absence", "bob_mother", "accepted")]


async def test_the_cursor_and_the_cases_are_moved_together_or_not_at_all(families: Families) -> None:
    families.rule("absence")
    families.student("ann", "mother")
    await families.tick()
    families.mark(families.open(), ann="absent")
    found = families.store.read_now(lambda c: cases.look(c, rules(c, enabled=True)))
    before = families.store.read_now(lambda c: c.sql("SELECT position FROM cursors WHERE consumer = 'notify'"))

    def torn(tx: Transaction) -> None:
        cases.keep(tx, found)
        raise Refused(422, "invalid", "the power went out")

    with pytest.raises(Refused):
        families.store.write_now(torn)
    assert rows(families, "notification_cases") == 0
    after = families.store.read_now(lambda c: c.sql("SELECT position FROM cursors WHERE consumer = 'notify'"))
    assert after == before
    await families.move(20)
    assert told(families) == [("absence", "mother", "accepted")]


async def test_a_look_that_is_kept_twice_moves_nothing_twice(families: Families) -> None:
    families.rule("absence")
    families.student("ann", "mother")
    await families.tick()
    families.mark(families.open(), ann="absent")
    found = families.store.read_now(lambda c: cases.look(c, rules(c, enabled=True)))
    for _ in range(2):
        families.store.write_now(lambda tx: cases.keep(tx, found))
    await families.move(20)
    assert (rows(families, "notification_cases"), told(families)) == (1, [("absence", "mother", "accepted")])


async def test_more_events_than_one_look_holds_are_all_seen(
    families: Families, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "_UNIT", 2)
    families.rule("absence", delay_minutes=0)
    names = [f"s{number}" for number in range(7)]
    for name in names:
        families.student(name, f"{name}_mother")
    came = families.student("somebody")
    await families.tick()
    statuses: dict[str, Status] = {**dict.fromkeys(names, "absent"), came: "present"}
    families.mark(families.open(), **statuses)
    await families.move(1)
    assert sorted(recipient for _, recipient, _ in told(families)) == [f"{name}_mother" for name in names]


async def test_a_message_names_its_rule_the_version_and_the_marks_behind_it(families: Families) -> None:
    rule = change(families, families.rule("absence", delay_minutes=0), title="Absent today")
    families.student("ann", "mother")
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.move(1)
    (message,) = families.messages()
    record = families.store.read_now(lambda c: c.value(m.AttendanceRecord.select(m.AttendanceRecord.id)))
    assert (message.rule_id, message.rule_version) == (rule.id, 2)
    assert message.why == {
        "rule": "Absent today",
        "of": "day",
        "status": "absent",
        "records": [record],
        "roll_complete": True,
    }


async def test_every_version_of_a_rule_is_kept_with_who_changed_it(families: Families) -> None:
    rule = families.rule("absence", delay_minutes=10)
    change(families, rule, settings={"delay_minutes": 20})
    change(families, rule, enabled=False)
    kept = [families.store.read_now(lambda c, v=v: version_of(c, rule.id, v)) for v in (1, 2, 3, 4)]  # type: ignore[misc]
    assert [one and one.settings.model_dump()["delay_minutes"] for one in kept] == [10, 20, 20, None]
    assert [one and one.enabled for one in kept] == [True, True, False, None]


async def test_a_rule_that_is_saved_as_it_was_makes_no_version(families: Families) -> None:
    rule = families.rule("absence")
    assert change(families, rule, title=rule.title, enabled=True, settings={}) == read_of(families, rule)
    assert read_of(families, rule).version == 1


def read_of(families: Families, rule: Rule) -> Rule:
    return families.store.read_now(lambda c: read_rule(c, rule.id))


async def test_whoever_has_read_an_older_version_does_not_overwrite_a_newer_one(families: Families) -> None:
    rule = families.rule("absence")
    change(families, rule, settings={"delay_minutes": 20}, version=1)
    with pytest.raises(Refused) as refused:
        change(families, rule, settings={"delay_minutes": 30}, version=1)
    assert refused.value.status == 412
    again = change(families, rule, settings={"delay_minutes": 20}, version=1)  # the unit is run a second time
    assert again.version == 2


async def test_what_waits_by_a_rule_that_is_switched_off_is_taken_back(families: Families) -> None:
    rule, other = families.rule("absence", delay_minutes=0), families.rule("absence", delay_minutes=0)
    families.student("ann", "mother")
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.notifier.look()
    assert families.states() == ["waiting", "waiting"]
    change(families, rule, enabled=False)
    await families.move(1)
    by_rule = {row.rule_id: (row.state, row.reason) for row in families.messages()}
    assert by_rule == {rule.id: ("cancelled", "rule_off"), other.id: ("accepted", None)}
    kinds = families.store.read_now(lambda c: c.values(m.Journal.select(m.Journal.kind)))
    assert "notification.cancelled" in kinds


async def test_a_rule_that_is_switched_on_again_tells_what_is_still_so(families: Families) -> None:
    rule = families.rule("absence", delay_minutes=0)
    families.student("ann", "mother")
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.notifier.look()
    change(families, rule, enabled=False)
    await families.move(1)
    change(families, rule, enabled=True)
    families.mark(families.open("algebra", hour=13), ann="absent")
    await families.move(5)
    assert told(families) == [("absence", "mother", "accepted")]


async def test_a_rule_that_was_switched_off_still_owes_its_correction(families: Families) -> None:
    rule = families.rule("absence", delay_minutes=0)
    families.student("ann", "mother")
    await families.tick()
    session = families.open()
    families.mark(session, ann="absent")
    await families.move(1)
    families.rule("tardy", delay_minutes=0)
    families.mark(session, ann="present")
    await families.move(1)
    change(families, rule, enabled=False)
    await families.move(5)
    assert told(families) == [("absence", "mother", "accepted"), ("correction", "mother", "accepted")]


async def test_a_correction_that_waits_is_not_taken_back_with_its_rule(families: Families) -> None:
    rule = families.rule("absence", delay_minutes=0)
    families.student("ann", "mother")
    await families.tick()
    session = families.open()
    families.mark(session, ann="absent")
    await families.move(1)
    families.mark(session, ann="present")
    families.clock.shift(timedelta(minutes=3))
    await families.notifier.look()
    assert families.states() == ["accepted", "waiting"]
    change(families, rule, enabled=False)
    await families.tick()
    assert families.states() == ["accepted", "accepted"]


async def test_what_waits_is_judged_again_by_a_rule_that_has_changed(families: Families) -> None:
    rule = families.rule("absence", delay_minutes=0)
    families.student("ann", "mother")
    families.student("bob", "bob_mother")
    families.set(m.User, {"grades": ["07"]}, m.User.id == "bob")
    await families.tick()
    families.mark(families.open(), ann="absent", bob="absent")
    await families.notifier.look()
    change(families, rule, settings={"delay_minutes": 0, "conditions": {"grades": ["07"]}, "channels": ["email"]})
    await families.tick()
    assert {row.recipient_id: (row.state, row.rule_version) for row in families.messages()} == {
        "mother": ("cancelled", 1),
        "bob_mother": ("accepted", 2),
    }
    assert [message.channel for message in families.vendor.taken] == ["email"]


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        ("absence", {"delay_minutes": -1}, "delay_minutes"),
        ("absence", {"audience": []}, "audience"),
        ("absence", {"audience": ["police"]}, "audience.0"),
        ("absence", {"statuses": ["present"]}, "statuses.0"),
        ("absence", {"conditions": {"categories": ["Truant"]}}, "conditions.categories.0"),
        ("absence", {"latest": "25:00"}, "latest"),
        ("absence", {"until": 20}, "until"),
        ("absence", {"until": "20:00Z"}, "until"),
        ("absence", {"delay": 5}, "delay"),
        ("in_a_row", {"days": [1]}, "days.0"),
        ("total", {"days": []}, "days"),
        ("share", {"shares": [1.5]}, "shares.0"),
        ("roll_not_taken", {"audience": ["guardian"]}, "audience"),
        ("roll_not_taken", {"audience": []}, "audience"),
        ("roll_not_taken", {"conditions": {"grades": ["07"]}}, "conditions"),
        ("sync_failed", {"audience": ["teacher"]}, "audience"),
        ("digest", {"audience": ["student"]}, "audience"),
        ("truancy", {}, "kind"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_the_name_of_the_field(
    kind: str, settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadRule) as bad:
        parse(kind, settings)
    assert [name for name, _ in bad.value.problems] == [field]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rule_can_be_made_without_settings_and_kept_as_json(kind: str) -> None:
    found = parse(kind, {})
    assert parse(kind, found.model_dump(mode="json")) == found


async def test_a_rule_for_a_school_that_there_is_not_is_refused(families: Families) -> None:
    with pytest.raises(Refused):
        families.rule("absence", org_id="nowhere")


async def test_the_day_of_a_message_is_the_school_s_own(families: Families) -> None:
    west = school(families, "west", zone="Pacific/Honolulu")
    families.rule("absence", delay_minutes=0)
    families.student("ann", "mother", classes=(west,))
    await families.tick()
    tomorrow_in_utc = date(2026, 9, 15)
    at_hour(families, 2, day=tomorrow_in_utc)
    families.mark(families.open(west, hour=1, day=tomorrow_in_utc), ann="absent")
    await families.move(1)
    (message,) = families.messages()
    assert message.school_day == TODAY
    assert "was marked absent today" in texts(families)[0]


async def test_a_mark_that_is_only_corrected_in_its_note_tells_nothing_twice(families: Families) -> None:
    families.rule("absence", delay_minutes=0)
    families.student("ann", "mother")
    await families.tick()
    session = marked_on(families, TODAY, ann="absent")
    await families.move(1)
    correct_one(families, session, "ann", "absent")
    await families.move(30)
    assert told(families) == [("absence", "mother", "accepted")]


async def test_a_mark_that_was_made_ahead_is_told_when_its_class_has_begun_and_not_before(families: Families) -> None:
    families.rule("absence", delay_minutes=10)
    families.student("ann", "mother")
    await families.tick()
    tomorrow = TODAY + timedelta(days=1)
    families.mark(families.open(hour=13, day=tomorrow), ann="absent")
    await families.move(60)
    at_hour(families, 13, 5, day=tomorrow)
    await families.tick()
    assert families.sent() == []
    await families.move(5)
    assert "was marked absent today" in texts(families)[0]
