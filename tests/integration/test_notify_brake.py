"""The brake: what is not sure yet waits, what is not so is not sent, what was sent and is wrong is put right once."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from homeroom.notify import outbox
from homeroom.notify.judging import MOST_TIMES
from homeroom.notify.notifier import _due_cases, prepared_for
from homeroom.notify.rules import rules
from homeroom.roster.calendar import clear_calendar_day, set_calendar_day
from homeroom.store import models as m
from homeroom.store import now_utc
from homeroom.types import NotSent, Status
from tests.services.families import TODAY, Families, TimedOut
from tests.services.families import Told as Answered
from tests.services.roll import (
    at_hour,
    correct_one,
    days_before,
    decided,
    mark_one,
    marked_on,
    report,
    rows,
    school,
    texts,
    told,
)


async def begun(families: Families, *kinds: str, delay_minutes: int = 0) -> None:
    """Rules of these kinds, and Ann with her mother."""
    for kind in kinds:
        families.rule(kind, delay_minutes=delay_minutes)
    families.student("ann", "mother")
    await families.tick()


async def absent(families: Families, name: str = "homeroom", hour: int = 12) -> str:
    """Ann is absent, and her mother was told."""
    session = families.open(name, hour=hour)
    families.mark(session, ann="absent")
    await families.move(1)
    return session


# What is merged before anything is sent


@pytest.mark.parametrize("status", ["present", "tardy", "excused"])
async def test_a_late_scan_or_an_excuse_within_the_delay_leaves_nothing_to_send(
    families: Families, status: Status
) -> None:
    await begun(families, "absence", delay_minutes=15)
    session = families.open()
    families.mark(session, ann="absent")
    await families.move(10)
    families.mark(session, ann=status)
    await families.move(30)
    assert rows(families, "notifications") == 0


async def test_who_came_to_a_later_class_within_the_delay_was_not_absent_that_day(families: Families) -> None:
    await begun(families, "absence", "returned", delay_minutes=15)
    families.mark(families.open("homeroom"), ann="absent")
    await families.move(10)
    families.mark(families.open("algebra", hour=13), ann="present")
    await families.move(60)
    assert rows(families, "notifications") == 0


async def test_a_roll_of_many_in_which_nobody_came_waits_for_the_latest_hour(families: Families) -> None:
    names = ["ann", "bob", "cid", "dan", "eve"]
    families.rule("absence", delay_minutes=0)
    for name in names:
        families.student(name, f"{name}_mother")
    await families.tick()
    session = families.open()
    families.close(session)  # by mistake: nobody was scanned
    await families.tick()
    assert rows(families, "notifications") == 0
    correct_one(families, session, "ann", "present")
    await families.move(6)
    assert sorted(told(families)) == [("absence", f"{name}_mother", "accepted") for name in names[1:]]


async def test_a_small_class_may_be_missing_as_a_whole(families: Families) -> None:
    await begun(families, "absence")
    families.close(families.open())
    await families.move(1)
    assert told(families) == [("absence", "mother", "accepted")]


async def test_a_class_in_the_afternoon_has_half_an_hour_for_its_roll(families: Families) -> None:
    families.rule("absence", of="class", delay_minutes=0)
    families.student("ann", "mother")
    families.student("bob", "father")
    await families.tick()
    session = families.open("algebra", hour=18)
    at_hour(families, 18, 1)
    families.mark(session, ann="absent")
    await families.move(10)
    assert rows(families, "notifications") == 0
    await families.move(20)
    assert told(families) == [("absence", "mother", "accepted")]


async def test_an_absence_that_the_family_has_told_is_not_told_back(families: Families) -> None:
    await begun(families, "absence", delay_minutes=15)
    families.mark(families.open(), ann="absent")
    await families.move(10)
    told_by_family = report(families, "ann")
    await families.move(30)
    assert rows(families, "notifications") == 0
    decided(families, told_by_family, "approved")
    await families.move(30)
    assert rows(families, "notifications") == 0


async def test_an_absence_that_was_approved_ahead_is_not_told_though_the_teacher_marks_it(families: Families) -> None:
    await begun(families, "absence", "total")
    decided(families, report(families, "ann"), "approved")
    families.mark(families.open(), ann="absent")
    await families.move(30)
    assert rows(families, "notifications") == 0


async def test_a_report_that_was_refused_leaves_an_absence_to_tell(families: Families) -> None:
    await begun(families, "absence")
    told_by_family = report(families, "ann", days_before(1), TODAY)
    families.mark(families.open(), ann="absent")
    await families.move(30)
    assert rows(families, "notifications") == 0
    decided(families, told_by_family, "refused")
    await families.move(1)
    assert told(families) == [("absence", "mother", "accepted")]


async def test_a_report_of_other_days_says_nothing_of_today(families: Families) -> None:
    await begun(families, "absence")
    report(families, "ann", days_before(5), days_before(3))
    await absent(families)
    assert told(families) == [("absence", "mother", "accepted")]


async def test_a_district_that_tells_of_excused_absences_tells_of_those_it_knew_ahead(families: Families) -> None:
    families.rule("absence", delay_minutes=0, statuses=["absent", "excused"])
    await begun(families)
    decided(families, report(families, "ann"), "approved")
    families.close(families.open())
    await families.move(1)
    assert told(families) == [("absence", "mother", "accepted")]


async def test_a_message_that_waits_is_taken_back_by_a_report(families: Families) -> None:
    await begun(families, "absence")
    families.mark(families.open(), ann="absent")
    await families.notifier.look()
    report(families, "ann")
    await families.tick()
    assert told(families) == [("absence", "mother", "cancelled")]


async def test_an_absence_waits_until_everybody_in_the_roll_has_a_mark(families: Families) -> None:
    at_hour(families, 12)
    await begun(families, "absence")
    families.student("bob", "bob_mother")
    session = families.open()
    families.mark(session, ann="absent")
    await families.move(20)
    assert families.sent() == []
    families.mark(session, bob="present")
    await families.move(5)
    assert told(families) == [("absence", "mother", "accepted")]


async def test_closing_the_session_completes_the_roll_at_once(families: Families) -> None:
    at_hour(families, 12)
    await begun(families, "absence")
    families.student("bob", "bob_mother")
    session = families.open()
    families.mark(session, ann="absent")
    await families.move(1)
    families.close(session)
    await families.tick()
    assert {(kind, who) for kind, who, _ in told(families)} == {("absence", "mother"), ("absence", "bob_mother")}


async def test_a_roll_that_nobody_completes_holds_nothing_back_after_its_latest_hour(families: Families) -> None:
    at_hour(families, 12)  # eight in New York; `latest` is eleven
    await begun(families, "absence")
    families.student("bob", "bob_mother")
    families.mark(families.open(), ann="absent")
    while now_utc().hour < 15:
        assert families.sent() == []
        await families.move(5)
    await families.move(1)
    (message,) = families.messages()
    assert (message.state, message.why["roll_complete"]) == ("accepted", False)


async def test_the_roll_of_another_class_holds_nothing_back(families: Families) -> None:
    at_hour(families, 13)
    await begun(families, "absence")
    families.student("bob", "bob_mother", classes=("algebra",))
    families.mark(families.open("algebra", hour=12), ann="present", bob="present")
    families.rule("absence", of="class", delay_minutes=0)
    families.open("biology", hour=13)
    families.mark(families.open("homeroom", hour=13), ann="absent")
    await families.move(1)
    assert texts(families) != []


async def test_a_case_that_changes_between_judging_and_putting_is_judged_again(families: Families) -> None:
    await begun(families, "absence")
    families.student("bob", "bob_mother")
    session = families.open()
    families.mark(session, ann="absent", bob="absent")
    await families.notifier._follow(families.store.read_now(rules))
    due = families.store.read_now(_due_cases)
    prepared = families.store.read_now(
        lambda c: prepared_for(c, families.settings, rules(c, enabled=True), due, now_utc())
    )
    families.mark(session, ann="present")
    await families.notifier._follow(families.store.read_now(rules))
    assert families.store.write_now(lambda tx: outbox.put(tx, prepared)) == 1
    assert told(families) == [("absence", "bob_mother", "waiting")]
    await families.move(5)
    assert told(families) == [("absence", "bob_mother", "accepted")]


async def test_of_the_cases_of_one_look_one_that_changed_holds_back_no_other(families: Families) -> None:
    await begun(families, "absence")
    families.student("bob", "bob_mother")
    session = families.open()
    families.mark(session, ann="absent", bob="absent")
    await families.notifier.look()
    families.mark(session, ann="present", bob="present")
    families.clock.shift(timedelta(minutes=5))
    await families.notifier._follow(families.store.read_now(rules))
    due = families.store.read_now(_due_cases)
    prepared = families.store.read_now(
        lambda c: prepared_for(c, families.settings, rules(c, enabled=True), due, now_utc())
    )
    families.mark(session, ann="absent")
    await families.notifier._follow(families.store.read_now(rules))
    families.store.write_now(lambda tx: outbox.put(tx, prepared))
    assert {who: state for _, who, state in told(families)} == {"mother": "waiting", "bob_mother": "cancelled"}


async def test_a_message_that_leaves_while_it_is_judged_is_corrected(families: Families) -> None:
    await begun(families, "absence")
    session = families.open()
    families.mark(session, ann="absent")
    await families.notifier.look()
    families.mark(session, ann="present")
    families.clock.shift(timedelta(minutes=5))
    await families.notifier._follow(families.store.read_now(rules))
    due = families.store.read_now(_due_cases)
    prepared = families.store.read_now(
        lambda c: prepared_for(c, families.settings, rules(c, enabled=True), due, now_utc())
    )
    assert list(prepared.judged.untrue) == [families.messages()[0].id]
    await families.notifier.send()  # it was found untrue and unsent, and leaves before that is kept
    families.store.write_now(lambda tx: outbox.put(tx, prepared))
    await families.tick()
    assert told(families) == [("absence", "mother", "accepted"), ("correction", "mother", "accepted")]


# What is put right after it was sent


async def test_a_wrong_absence_is_corrected_once_to_the_same_person_in_the_same_language(families: Families) -> None:
    families.rule("absence", delay_minutes=0, audience=["guardian", "office"])
    await begun(families)
    families.store.write_now(
        lambda tx: tx.insert(m.NotificationPreference, user_id="mother", language="es", channels=[], changed_at=tx.now)
    )
    session = await absent(families)
    families.mark(session, ann="present")
    for _ in range(4):
        await families.move(10)
    kept = [(row.kind, row.recipient_id, row.language, row.state) for row in families.messages()]
    assert sorted(kept) == [
        ("absence", "mother", "es", "accepted"),
        ("absence", "principal", "en", "accepted"),
        ("correction", "mother", "es", "accepted"),
        ("correction", "principal", "en", "accepted"),
    ]
    wrong = {row.id: row.recipient_id for row in families.messages() if row.kind == "absence"}
    assert all(wrong[row.corrects or ""] == row.recipient_id for row in families.messages() if row.kind == "correction")


@pytest.mark.parametrize(
    ("status", "said"), [("present", "Ann Park was at school."), ("tardy", "Ann Park came, a little late.")]
)
async def test_a_correction_says_what_is_so(families: Families, status: Status, said: str) -> None:
    await begun(families, "absence")
    session = await absent(families)
    families.mark(session, ann=status)
    await families.move(5)
    assert said in texts(families)[1]


async def test_an_absence_that_is_excused_later_was_one_and_needs_no_correction(families: Families) -> None:
    await begun(families, "absence")
    session = await absent(families)
    families.mark(session, ann="excused")
    await families.move(10)
    assert len(families.sent()) == 1


async def test_only_those_hear_of_a_correction_who_heard_of_the_mistake(families: Families) -> None:
    await begun(families, "absence")
    session = await absent(families)
    families.student("ann_2", "father")
    families.store.write_now(
        lambda tx: tx.insert(m.Guardianship, guardian_id="father", student_id="ann", changed_at=tx.now)
    )
    families.mark(session, ann="present")
    await families.move(5)
    assert told(families) == [("absence", "mother", "accepted"), ("correction", "mother", "accepted")]


async def test_what_is_true_again_is_told_again_but_not_for_ever(families: Families) -> None:
    await begun(families, "absence")
    session = families.open()
    for _ in range(MOST_TIMES + 2):
        families.mark(session, ann="absent")
        await families.move(5)
        families.mark(session, ann="present")
        await families.move(5)
    kinds = [kind for kind, _, _ in told(families)]
    assert kinds == ["absence", "correction"] * MOST_TIMES
    assert len({row.key for row in families.messages()}) == 2 * MOST_TIMES


async def test_a_correction_that_has_not_left_is_taken_back_when_the_message_was_right_after_all(
    families: Families,
) -> None:
    await begun(families, "absence")
    session = await absent(families)
    families.mark(session, ann="present")
    families.clock.shift(timedelta(minutes=3))
    await families.notifier.look()
    assert told(families)[1] == ("correction", "mother", "waiting")
    families.mark(session, ann="absent")
    families.clock.shift(timedelta(minutes=3))
    await families.tick()
    assert told(families) == [("absence", "mother", "accepted"), ("correction", "mother", "cancelled")]
    families.mark(session, ann="present")
    await families.move(3)
    assert told(families) == [("absence", "mother", "accepted"), ("correction", "mother", "accepted")]


async def test_a_correction_that_has_not_left_follows_what_becomes_known(families: Families) -> None:
    await begun(families, "absence")
    session = await absent(families)
    families.mark(session, ann="present")
    families.clock.shift(timedelta(minutes=3))
    await families.notifier.look()
    families.mark(session, ann="tardy")
    await families.move(3)
    assert "came, a little late" in texts(families)[1]
    families.mark(session, ann="excused")
    families.clock.shift(timedelta(minutes=3))
    await families.tick()
    assert len(families.sent()) == 2


async def test_a_correction_of_what_turned_into_an_excuse_is_not_sent(families: Families) -> None:
    await begun(families, "absence")
    session = await absent(families)
    families.mark(session, ann="present")
    families.clock.shift(timedelta(minutes=3))
    await families.notifier.look()
    families.mark(session, ann="excused")
    await families.move(3)
    assert told(families) == [("absence", "mother", "accepted"), ("correction", "mother", "cancelled")]


async def test_a_student_who_arrives_later_has_returned_and_the_message_was_right(families: Families) -> None:
    await begun(families, "absence", "returned")
    await absent(families)
    families.mark(families.open("algebra", hour=14), ann="present")
    await families.move(5)
    await families.move(60)
    assert [kind for kind, _, _ in told(families)] == ["absence", "returned"]
    assert texts(families)[1] == "North School: Ann Park has arrived at school today (10:01 AM)."


async def test_without_a_rule_for_it_a_later_arrival_is_not_told_and_not_corrected(families: Families) -> None:
    await begun(families, "absence")
    await absent(families)
    families.mark(families.open("algebra", hour=14), ann="present")
    await families.move(60)
    assert [kind for kind, _, _ in told(families)] == ["absence"]


async def test_a_mark_that_was_made_long_after_its_class_tells_no_time_of_arrival(families: Families) -> None:
    await begun(families, "absence", "returned")
    await absent(families)
    at_hour(families, 17)
    families.mark(families.open("algebra", hour=14), ann="present")
    await families.move(5)
    assert texts(families)[1] == "North School: Ann Park has arrived at school today."


async def test_who_was_there_before_was_not_absent_that_day_and_it_is_corrected(families: Families) -> None:
    await begun(families, "absence", "returned")
    first, second = families.open("homeroom", hour=12), families.open("algebra", hour=13)
    families.mark(first, ann="absent")
    families.mark(second, ann="absent")
    await families.move(1)
    families.mark(first, ann="present")
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["absence", "correction"]
    assert "Ann Park was at school" in texts(families)[1]


async def test_a_roll_of_an_earlier_class_that_comes_late_shows_that_the_absence_was_none(families: Families) -> None:
    await begun(families, "absence")
    await absent(families, "algebra", hour=13)
    families.mark(families.open("homeroom", hour=12), ann="present")
    await families.move(20)
    assert [kind for kind, _, _ in told(families)] == ["absence", "correction"]


async def test_being_there_before_makes_no_missed_class_wrong(families: Families) -> None:
    families.rule("absence", of="class", delay_minutes=0)
    await begun(families)
    await absent(families, "algebra", hour=13)
    families.mark(families.open("homeroom", hour=12), ann="present")
    await families.move(20)
    assert [kind for kind, _, _ in told(families)] == ["absence"]


async def test_a_return_that_was_wrong_is_corrected_too(families: Families) -> None:
    await begun(families, "absence", "returned")
    await absent(families)
    later = families.open("algebra", hour=14)
    families.mark(later, ann="present")
    await families.move(5)
    families.mark(later, ann="absent")
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["absence", "returned", "correction"]
    assert "Ann Park is not marked present" in texts(families)[2]


async def test_a_return_is_not_wrong_while_another_class_saw_the_student(families: Families) -> None:
    families.student("ann", "mother", classes=("homeroom", "algebra", "biology"))
    families.rule("absence", delay_minutes=0)
    families.rule("returned", delay_minutes=0)
    await families.tick()
    await absent(families, hour=11)
    first, second = families.open("algebra", hour=12), families.open("biology", hour=13)
    families.mark(first, ann="present")
    families.mark(second, ann="present")
    await families.move(5)
    families.mark(first, ann="absent")
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["absence", "returned"]


async def test_after_days_away_a_return_is_told_once_for_all_of_them(families: Families) -> None:
    await begun(families, "absence", "returned")
    for offset in range(3):
        day = TODAY + timedelta(days=offset)
        at_hour(families, 14, day=day)
        marked_on(families, day, ann="absent")
        await families.move(1)
    back = TODAY + timedelta(days=3)
    at_hour(families, 13, day=back)
    marked_on(families, back, ann="present")
    await families.move(10)
    assert [kind for kind, _, _ in told(families)] == ["absence"] * 3 + ["returned"]
    marked_on(families, back, "algebra", ann="present")
    at_hour(families, 14, day=back + timedelta(days=1))
    marked_on(families, back + timedelta(days=1), ann="present")
    await families.move(10)
    assert [kind for kind, _, _ in told(families)] == ["absence"] * 3 + ["returned"]
    (answer,) = [row for row in families.messages() if row.kind == "returned"]
    assert set(answer.why["answers"]) == {row.id for row in families.messages() if row.kind == "absence"}


async def test_once_a_return_was_told_a_student_who_is_present_leaves_no_trace_again(families: Families) -> None:
    await begun(families, "absence", "returned")
    await absent(families)
    for offset in (1, 2, 3):
        day = TODAY + timedelta(days=offset)
        at_hour(families, 14, day=day)
        marked_on(families, day, ann="present")
        await families.move(10)
    assert rows(families, "notification_cases") == 2


async def test_a_return_that_was_wrong_is_told_again_when_the_student_does_come(families: Families) -> None:
    await begun(families, "absence", "returned")
    await absent(families)
    first = TODAY + timedelta(days=1)
    at_hour(families, 14, day=first)
    session = marked_on(families, first, ann="present")
    await families.move(5)
    correct_one(families, session, "ann", "excused")
    await families.move(5)
    second = TODAY + timedelta(days=2)
    at_hour(families, 14, day=second)
    marked_on(families, second, ann="present")
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["absence", "returned", "correction", "returned"]


async def test_an_absence_that_was_wrong_is_answered_by_a_correction_and_no_return(families: Families) -> None:
    await begun(families, "absence", "returned")
    session = await absent(families)
    families.mark(session, ann="present")
    await families.move(5)
    families.mark(families.open("algebra", hour=15), ann="present")
    at_hour(families, 14, day=TODAY + timedelta(days=1))
    marked_on(families, TODAY + timedelta(days=1), ann="present")
    await families.move(10)
    assert [kind for kind, _, _ in told(families)] == ["absence", "correction"]


async def test_a_tardy_that_was_none_is_corrected(families: Families) -> None:
    await begun(families, "tardy")
    session = families.open()
    mark_one(families, session, "ann", "tardy", minutes_late=5)
    await families.move(1)
    families.mark(session, ann="present")
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["tardy", "correction"]


async def test_who_was_told_that_a_student_came_late_hears_when_the_student_did_not_come(families: Families) -> None:
    await begun(families, "tardy")
    session = families.open()
    mark_one(families, session, "ann", "tardy", minutes_late=5)
    await families.move(1)
    families.mark(session, ann="absent")
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["tardy", "correction"]
    assert "Ann Park is not marked present" in texts(families)[1]


async def test_a_message_that_is_just_being_sent_is_corrected_only_once_it_has_left(families: Families) -> None:
    await begun(families, "absence")
    session = families.open()
    families.mark(session, ann="absent")
    await families.notifier.look()
    families.set(m.Notification, {"state": "sending", "started_at": now_utc()}, m.Notification.kind == "absence")
    families.mark(session, ann="present")
    families.clock.shift(timedelta(minutes=3))
    await families.notifier.look()
    assert families.states() == ["sending"]
    families.set(m.Notification, {"state": "waiting"}, m.Notification.kind == "absence")  # the vendor was busy
    families.clock.shift(timedelta(minutes=1))
    await families.tick()
    assert (families.states(), families.sent()) == (["cancelled"], [])


async def test_what_was_corrected_is_not_sent_after_all_when_a_vendor_says_that_it_never_arrived(
    families: Families,
) -> None:
    await begun(families, "absence")
    families.vendor.answer = lambda _message: Answered(error=TimedOut())
    session = families.open()
    families.mark(session, ann="absent")
    await families.move(0)
    assert families.states() == ["unknown"]
    families.vendor.answer = None
    families.mark(session, ann="present")
    families.clock.shift(timedelta(minutes=2))
    await families.notifier.look()
    await families.notifier.send()
    assert told(families) == [("absence", "mother", "unknown"), ("correction", "mother", "accepted")]
    families.vendor.knows = lambda _message: NotSent()
    for _ in range(5):
        await families.move(10)
    (text,) = texts(families)
    assert "was wrong" in text
    assert families.states() == ["expired", "accepted"]


# Days that are none, and days long ago


async def test_a_holiday_makes_no_absence(families: Families) -> None:
    families.store.write_now(lambda tx: set_calendar_day(tx, "north", TODAY, in_session=False, title="Storm"))
    await begun(families, "absence", "total")
    families.mark(families.open(), ann="absent")
    await families.move(20)
    assert rows(families, "notifications") == 0


async def test_an_absence_of_a_day_that_becomes_a_holiday_is_corrected_and_told_again_when_it_is_none(
    families: Families,
) -> None:
    await begun(families, "absence")
    await absent(families)
    families.store.write_now(lambda tx: set_calendar_day(tx, "north", TODAY, in_session=False))
    await families.move(1)
    assert [kind for kind, _, _ in told(families)] == ["absence", "correction"]
    assert "You do not need to do anything" in texts(families)[1]
    families.store.write_now(lambda tx: clear_calendar_day(tx, "north", TODAY))
    await families.move(1)
    assert [kind for kind, _, _ in told(families)] == ["absence", "correction", "absence"]


async def test_a_holiday_of_one_school_is_none_of_another(families: Families) -> None:
    south = school(families, "south")
    families.store.write_now(lambda tx: set_calendar_day(tx, "south", TODAY, in_session=False))
    families.rule("absence", delay_minutes=0)
    families.student("ann", "mother", classes=("homeroom", south))
    await families.tick()
    families.mark(families.open(south), ann="absent")
    families.mark(families.open(), ann="absent")
    await families.move(1)
    assert [row.school_id for row in families.messages()] == ["north"]


@pytest.mark.parametrize(("days", "count"), [(0, 1), (3, 1), (4, 0), (7, 0)])
async def test_an_old_gap_that_is_filled_is_no_news(families: Families, days: int, count: int) -> None:
    at_hour(families, 14, day=date(2026, 9, 18))  # a Friday
    await begun(families, "absence")
    marked_on(families, days_before(days, of=date(2026, 9, 18)), ann="absent")
    await families.move(1)
    assert rows(families, "notifications") == count


async def test_an_old_day_that_was_told_is_corrected_however_late_that_becomes_known(families: Families) -> None:
    await begun(families, "absence")
    session = await absent(families)
    at_hour(families, 14, day=TODAY + timedelta(days=30))
    correct_one(families, session, "ann", "present")
    await families.move(5)
    assert [kind for kind, _, _ in told(families)] == ["absence", "correction"]
    assert "(Sep 14)" in texts(families)[1]


# When it is sent


async def test_what_is_decided_at_night_goes_the_next_morning_and_does_not_say_today(families: Families) -> None:
    await begun(families, "absence")
    at_hour(families, 2, day=date(2026, 9, 15))  # ten at night in New York
    families.mark(families.open(hour=12), ann="absent")
    await families.move(5)
    assert families.states() == ["waiting"]
    at_hour(families, 11, 0, day=date(2026, 9, 15))
    await families.tick()
    (text,) = texts(families)
    assert "was marked absent on Sep 14." in text
    assert "today" not in text


async def test_what_waits_for_the_morning_is_still_taken_back(families: Families) -> None:
    await begun(families, "absence")
    at_hour(families, 2, day=date(2026, 9, 15))
    session = families.open(hour=12)
    families.mark(session, ann="absent")
    await families.move(5)
    families.mark(session, ann="present")
    await families.move(5)
    at_hour(families, 11, 0, day=date(2026, 9, 15))
    await families.tick()
    assert told(families) == [("absence", "mother", "cancelled")]


async def test_what_another_rule_waits_for_does_not_keep_what_is_not_true(families: Families) -> None:
    families.rule("absence", delay_minutes=0)
    families.rule("tardy", delay_minutes=60)
    await begun(families)
    session = families.open()
    families.mark(session, ann="absent")
    await families.notifier.look()
    families.mark(session, ann="tardy")
    families.clock.shift(timedelta(minutes=3))
    await families.notifier.look()
    assert told(families) == [("absence", "mother", "cancelled")]
    await families.move(60)
    assert told(families) == [("absence", "mother", "cancelled"), ("tardy", "mother", "accepted")]


async def test_a_message_that_was_refused_on_one_channel_goes_on_to_the_next_though_the_day_is_judged_again(
    families: Families,
) -> None:
    await begun(families, "absence")
    families.mark(families.open(), ann="absent")
    await families.notifier.look()
    families.store.write_now(lambda tx: tx.run(m.Notification.update(channels=["email"], channel="email")))
    told_by_family = report(families, "ann", TODAY + timedelta(days=1))
    decided(families, told_by_family, "refused")
    families.store.write_now(lambda tx: set_calendar_day(tx, "north", TODAY, in_session=True))
    await families.tick()
    assert [message.channel for message in families.vendor.taken] == ["email"]
