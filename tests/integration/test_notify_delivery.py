"""From the outbox to a vendor: who is still told at the last moment, what is tried again, when it is given up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from homeroom.notify import budget, choices, claims, consent
from homeroom.notify.addresses import normal
from homeroom.store import models as m
from homeroom.store import new_id
from homeroom.types import AddressNews, Decision, Message, Receipt, Suppressions
from tests.services.families import SCHOOL, TODAY, Families, Told, Vendor, number_of, settings
from tests.services.outbox import absent, answers, attempts, check, counts, due_in, journaled, one, tried
from tests.services.waiting import until

BUSY = Receipt(state="retry", reason="too many", code="429")


async def test_what_is_taken_is_accepted_with_the_vendors_id_and_never_sent_again(families: Families) -> None:
    await absent(families, "ann")
    await families.tick()
    await families.move(600)
    assert [to for to, _ in families.sent()] == [families.vendor.taken[0].to]
    row = one(families)
    assert (row.state, row.plugin, row.provider_id, row.segments) == ("accepted", "post", "v-1", 1)
    assert tried(families) == [("sms", "accepted")]
    assert counts(families) == (1, 1)
    check(families.store)


async def test_a_message_is_in_one_attempt_at_a_time(families: Families) -> None:
    await absent(families, "ann", "bob")
    go, under_way, most = asyncio.Event(), set[str](), 0

    async def wait(message: Message) -> None:
        nonlocal most
        assert message.id not in under_way
        under_way.add(message.id)
        most = max(most, len(under_way))
        await go.wait()
        under_way.discard(message.id)

    families.vendor.waits = wait
    sending = asyncio.create_task(families.notifier.send())
    await until(lambda: len(under_way) == 2)
    await families.notifier.look()
    await families.notifier.ask()
    go.set()
    await sending
    await families.tick()
    assert (most, len(families.sent())) == (2, 2)
    check(families.store)


async def test_what_is_refused_goes_by_the_next_channel_and_never_again_by_the_first(families: Families) -> None:
    await absent(families, "ann")
    families.vendor.answer = answers(Receipt(state="refused", reason="no such number", code="21211"))
    await families.tick()
    await families.tick()
    assert tried(families) == [("sms", "refused"), ("email", "accepted")]
    row = one(families)
    assert (row.state, row.channel, row.channels) == ("accepted", "email", ["email"])
    assert counts(families) == (0, 0)
    await families.move(600)
    assert len(attempts(families)) == 2
    check(families.store)


async def test_a_message_that_no_channel_takes_has_failed_and_says_why(families: Families) -> None:
    await absent(families, "ann")
    no = Receipt(state="refused", reason="no such number", code="21211")
    families.vendor.answer = answers(no, Receipt(state="refused", reason="no such box", code="5.1.1"))
    await families.tick()
    await families.move(60)
    row = one(families)
    assert (row.state, row.reason, row.code) == ("failed", "no such box", "5.1.1")
    assert [one.reason for one in attempts(families)] == ["no such number", "no such box"]
    assert [entry["code"] for entry in journaled(families, "notification.failed")] == ["5.1.1"]
    check(families.store)


async def test_what_can_be_tried_again_waits_longer_each_time(families: Families) -> None:
    await absent(families, "ann")
    families.vendor.answer = answers(*[BUSY] * 7)
    waits = []
    for _ in range(7):
        await families.notifier.send()
        waits.append(due_in(families))
        families.clock.shift(due_in(families))
    assert waits == [30, 60, 120, 240, 480, 900, 900]
    await families.notifier.send()
    assert one(families).state == "accepted"
    assert tried(families) == [("sms", "retry")] * 7 + [("sms", "accepted")]
    assert counts(families) == (1, 1)
    check(families.store)


async def test_a_vendor_that_names_a_time_is_tried_then_and_costs_the_message_no_try(families: Families) -> None:
    await absent(families, "ann")
    families.vendor.answer = answers(
        Receipt(state="retry", retry_after=77), Receipt(state="retry", retry_after=77), BUSY
    )
    waits = []
    for _ in range(3):
        await families.notifier.send()
        waits.append(due_in(families))
        families.clock.shift(due_in(families))
    assert waits == [77, 77, 30]
    check(families.store)


@pytest.mark.parametrize("odd", [float("nan"), float("-inf"), -5.0, 0.0])
async def test_a_senseless_time_to_wait_is_none(families: Families, odd: float) -> None:
    await absent(families, "ann")
    families.vendor.answer = answers(Receipt(state="retry", retry_after=odd))
    await families.notifier.send()
    assert (one(families).state, due_in(families)) == ("waiting", 0)
    families.clock.shift(2)
    await families.notifier.send()
    assert one(families).state == "accepted"


async def test_a_time_to_wait_beyond_its_use_ends_a_message_that_has_no_other_way(families: Families) -> None:
    await absent(families, "ann", channels=["sms"])
    families.vendor.answer = answers(Receipt(state="retry", reason="come back", retry_after=float("inf")))
    await families.notifier.send()
    row = one(families)
    assert (row.state, row.reason) == ("expired", "come back")
    check(families.store)


async def test_where_the_next_try_would_be_too_late_the_other_channel_is_used(families: Families) -> None:
    await absent(families, "ann", until="10:20")
    families.vendor.answer = answers(Receipt(state="retry", retry_after=3600))
    await families.tick()
    await families.tick()
    assert tried(families) == [("sms", "retry"), ("email", "accepted")]
    check(families.store)


def prefers(families: Families, channel: str, *people: str) -> None:
    for person in people:
        families.store.write_now(
            lambda tx, person=person: tx.insert(  # type: ignore[misc]
                m.NotificationPreference, user_id=person, channels=[channel], changed_at=tx.now
            )
        )


async def test_a_vendor_that_is_busy_for_an_hour_loses_nothing_and_holds_up_no_other(families: Families) -> None:
    students = [f"s{number}" for number in range(30)]
    families.student("zoe", "zoe_mother", classes=["biology"])
    prefers(families, "email", "zoe_mother")
    prefers(families, "sms", *(f"{student}_mother" for student in students))
    await absent(families, *students)
    tries = 0

    def busy(message: Message) -> Told:
        nonlocal tries
        if message.channel == "email":
            return families.vendor.take(message)
        tries += 1
        return Told(value=Receipt(state="retry", reason="too many", code="429", retry_after=120))

    families.vendor.answer = busy
    for minute in range(60):
        if minute == 30:
            families.mark(families.open("biology"), zoe="absent")
        await families.move(1)
    assert [to for to, _ in families.sent()] == ["zoe_mother@example.org"]
    assert families.states().count("waiting") == 30
    assert tries <= 30 * families.settings.notify.at_once
    assert counts(families) == (0, 0)
    assert {row.tries for row in families.messages()} <= {0, 1}
    families.vendor.answer = None
    await families.move(3)
    await families.tick()
    assert set(families.states()) == {"accepted"}
    assert len({message.id for message in families.vendor.taken}) == len(families.vendor.taken) == 31
    check(families.store)


async def test_a_vendor_that_stays_busy_ends_each_message_with_a_clear_state(families: Families) -> None:
    await absent(families, "ann", "bob", channels=["sms"], until="10:40")
    families.vendor.answer = lambda _message: Told(value=Receipt(state="retry", reason="too many", retry_after=60))
    for _ in range(60):
        await families.move(1)
    assert families.states() == ["expired", "expired"]
    assert {row.reason for row in families.messages()} <= {"too many", "too_late"}
    assert len(journaled(families, "notification.expired")) == 2
    check(families.store)


async def test_a_vendor_that_is_busy_without_a_word_makes_the_channel_rest_too(families: Families) -> None:
    await absent(families, *(f"s{number}" for number in range(40)), channels=["sms"])
    families.vendor.answer = lambda _message: Told(value=BUSY)
    await families.notifier.send()
    assert len(families.vendor.asked) <= families.settings.notify.at_once + 2
    families.vendor.answer = None
    await families.move(1)
    await families.move(1)
    assert set(families.states()) == {"accepted"}
    check(families.store)


async def test_one_address_that_is_put_off_holds_up_nobody_else(families: Families) -> None:
    await absent(families, *(f"s{number}" for number in range(10)), channels=["sms"])
    first = families.messages()[0].id
    grey = lambda message: Told(value=BUSY) if message.id == first else families.vendor.take(message)  # noqa: E731
    families.vendor.answer = grey
    await families.notifier.send()
    assert sorted(families.states()) == ["accepted"] * 9 + ["waiting"]


async def test_after_its_hour_nothing_is_sent(families: Families) -> None:
    await absent(families, "ann")
    families.clock.move_to(datetime(2026, 9, 15, 0, 0, 1, tzinfo=UTC))  # 20:00:01 in New York
    await families.tick()
    row = one(families)
    assert (row.state, row.reason, row.attempts) == ("expired", "too_late", 0)
    assert families.vendor.asked == []
    check(families.store)


async def test_what_becomes_too_old_between_claim_and_sending_is_not_sent(families: Families) -> None:
    await absent(families, "ann", until="10:20")
    (claimed,), _ = families.store.write_now(lambda tx: claims.claim(tx, families.settings, new_id(), most=9))
    families.clock.shift(21 * 60)
    assert not families.store.write_now(lambda tx: claims.begin(tx, families.settings, claimed))
    await families.tick()
    assert one(families).state == "expired"
    assert families.vendor.asked == []
    check(families.store)


async def test_what_would_only_go_after_the_quiet_hours_and_is_of_no_use_then_ends_at_once(families: Families) -> None:
    await absent(families, "ann", until="22:00")
    families.clock.move_to(datetime(2026, 9, 15, 1, 30, tzinfo=UTC))  # 21:30 in New York
    await families.tick()
    row = one(families)
    assert (row.state, row.reason) == ("expired", "too_late")
    assert families.vendor.asked == []


async def test_quiet_hours_put_off_what_is_of_use_in_the_morning(families: Families) -> None:
    await absent(families, "ann")
    families.set(
        m.Notification, {"expires_at": datetime(2026, 9, 16, 0, 0, tzinfo=UTC)}, m.Notification.state == "waiting"
    )
    families.clock.move_to(datetime(2026, 9, 15, 1, 30, tzinfo=UTC))
    await families.notifier.send()
    assert (one(families).state, one(families).due_at) == ("waiting", datetime(2026, 9, 15, 11, 0, tzinfo=UTC))
    families.clock.move_to(datetime(2026, 9, 15, 11, 0, tzinfo=UTC))
    await families.notifier.send()
    assert one(families).state == "accepted"


async def test_what_staff_must_know_goes_at_any_hour(families: Families) -> None:
    await absent(families, "ann")
    values = {"purpose": "operations", "expires_at": datetime(2026, 9, 16, 0, 0, tzinfo=UTC)}
    families.set(m.Notification, values, m.Notification.state == "waiting")
    families.clock.move_to(datetime(2026, 9, 15, 3, 0, tzinfo=UTC))
    await families.notifier.send()
    assert one(families).state == "accepted"


async def test_a_plugin_that_denies_withholds_a_message_and_says_why(families: Families) -> None:
    await absent(families, "ann")
    families.vendor.denies = {"ann_mother"}
    await families.tick()
    row = one(families)
    assert (row.state, row.reason) == ("withheld", "denied: a consent was revoked")
    assert "deliver" not in families.vendor.asked
    assert [entry["reason"] for entry in journaled(families, "notification.withheld")] == [row.reason]
    check(families.store)


@dataclass(slots=True)
class Uncertain(Vendor):
    """One whose plugin for access fails for all but those in `certain`."""

    certain: set[str] = field(default_factory=set)

    async def ask_all(self, hook: str, **arguments: Any) -> list[Told]:
        assert hook == "authorize"
        request = arguments["request"]
        assert (request.action, request.purpose) == ("guardian.notify", "attendance")
        if request.identity.subject in self.certain:
            return [Told(value=None), Told(value=Decision(allow=True))]
        return [Told(value=Decision(allow=True)), Told(error=RuntimeError("it hangs"))]

    def implements(self, hook: str) -> bool:
        return hook == "authorize"


async def test_while_access_cannot_be_checked_nothing_is_sent_and_nothing_is_lost(families: Families) -> None:
    families.vendor = vendor = Uncertain()
    families.start()
    await absent(families, "ann", "bob", until="11:00")
    await families.tick()
    assert families.states() == ["waiting", "waiting"]
    assert vendor.asked == []
    vendor.certain = {"bob_mother"}
    await families.move(2)
    assert sorted(families.states()) == ["accepted", "waiting"]
    for _ in range(60):
        await families.move(1)
    withheld = next(row for row in families.messages() if row.state != "accepted")
    assert (withheld.state, withheld.reason) == ("withheld", "denied: access could not be checked")
    check(families.store)


def _withdraw(families: Families) -> None:
    address = normal("sms", number_of("ann_mother"))
    assert address is not None
    families.store.write_now(lambda tx: consent.say(tx, "sms", address, "withdrawn", source="office"))


async def test_an_opt_out_from_texts_lets_the_mail_go(families: Families) -> None:
    await absent(families, "ann")
    _withdraw(families)
    await families.tick()
    assert [to for to, _ in families.sent()] == ["ann_mother@example.org"]
    assert tried(families) == [("email", "accepted")]
    check(families.store)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("withdrawn", "opted_out"),
        ("blocked", "blocked"),
        ("ended", "not_now"),
        ("no access", "no_access"),
        ("not wanted", "not_wanted"),
        ("left", "left"),
        ("address over", "no_address"),
        ("address gone", "no_address"),
    ],
)
async def test_who_may_not_be_told_any_more_is_not_told(families: Families, change: str, reason: str) -> None:
    await absent(families, "ann", channels=["sms"])
    link, mother = m.Guardianship, m.Contact.user_id == "ann_mother"
    match change:
        case "withdrawn":
            _withdraw(families)
        case "blocked":
            families.set(link, {"blocked": True}, link.guardian_id == "ann_mother")
        case "ended":
            families.set(link, {"ended": True}, link.guardian_id == "ann_mother")
        case "no access":
            families.set(link, {"data_access": False}, link.guardian_id == "ann_mother")
        case "not wanted":
            families.set(link, {"notify": False}, link.guardian_id == "ann_mother")
        case "left":
            families.set(m.User, {"enabled": False}, m.User.id == "ann_mother")
        case "address over":
            families.set(m.Contact, {"ends_on": TODAY}, mother)
        case _:
            families.store.write_now(lambda tx: tx.run(m.Contact.delete().where(mother)))
    await families.notifier.send()
    row = one(families)
    assert (row.state, row.reason, row.attempts) == ("withheld", reason, 0)
    assert families.vendor.asked == []
    check(families.store)


async def test_what_was_said_of_an_erased_student_is_sent_to_nobody(families: Families) -> None:
    await absent(families, "ann")
    families.store.write_now(lambda tx: tx.run(m.PersonKey.delete().where(m.PersonKey.user_id == "ann")))
    await families.notifier.send()
    assert (one(families).state, one(families).reason) == ("cancelled", "erased")
    assert families.vendor.asked == []
    check(families.store)


async def test_beyond_the_limit_of_a_day_messages_are_held_and_an_alarm_is_raised_once(families: Families) -> None:
    families.settings = settings(school_day_limit=3)
    families.start()
    await absent(families, *(f"s{number}" for number in range(8)), channels=["sms"])
    await families.tick()
    await families.move(30)
    assert sorted(families.states()) == ["accepted"] * 3 + ["held"] * 5
    assert journaled(families, "notification.limit_reached") == [{"channel": "sms", "day": "2026-09-14"}]
    assert {row.reason for row in families.messages() if row.state == "held"} == {"limit"}
    released = families.store.write_now(lambda tx: choices.let_through(tx, SCHOOL, TODAY, "sms", 2))
    assert released == 5
    await families.move(1)
    assert sorted(families.states()) == ["accepted"] * 5 + ["held"] * 3
    assert len(journaled(families, "notification.limit_reached")) == 2
    check(families.store)


async def test_a_limit_on_texts_is_none_on_mail_and_begins_anew_the_next_day(families: Families) -> None:
    families.settings = settings(school_day_limit=1)
    families.start()
    await absent(families, "ann", "bob", channels=["sms"])
    await families.tick()
    assert sorted(families.states()) == ["accepted", "held"]
    tomorrow = date(2026, 9, 15)
    store = families.store
    assert not store.write_now(lambda tx: budget.Budget(tx, families.settings.notify).allows((SCHOOL, TODAY, "sms"), 1))
    assert store.write_now(lambda tx: budget.Budget(tx, families.settings.notify).allows((SCHOOL, TODAY, "email"), 1))
    assert store.write_now(lambda tx: budget.Budget(tx, families.settings.notify).allows((SCHOOL, tomorrow, "sms"), 1))
    assert store.write_now(lambda tx: budget.Budget(tx, families.settings.notify).allows(("south", TODAY, "sms"), 1))


async def test_the_money_of_a_day_holds_texts_back_too(families: Families) -> None:
    families.settings = settings(school_day_cost=0.05, costs={"sms": 0.01}, at_once=1)
    families.start()
    await absent(families, *(f"s{number}" for number in range(8)), channels=["sms"])
    await families.tick()
    assert sorted(families.states()) == ["accepted"] * 5 + ["held"] * 3
    check(families.store)


async def test_what_was_put_off_or_not_taken_is_not_counted(families: Families) -> None:
    await absent(families, "ann")
    no = Receipt(state="refused", reason="no such number")
    families.vendor.answer = answers(BUSY, Receipt(state="retry", retry_after=1), no)
    for _ in range(4):
        await families.move(2)
    assert [outcome for _, outcome in tried(families)] == ["retry", "retry", "refused", "accepted"]
    assert (counts(families), counts(families, "email")) == ((0, 0), (1, 1))
    check(families.store)


async def test_without_a_plugin_for_texts_the_mail_goes(families: Families) -> None:
    families.vendor.channels = ["email"]
    await absent(families, "ann")
    await families.tick()
    await families.tick()
    assert [message.channel for message in families.vendor.taken] == ["email"]
    assert tried(families) == [("email", "accepted")]
    check(families.store)


async def test_without_any_plugin_messages_wait_with_a_reason_and_go_when_there_is_one_again(
    families: Families,
) -> None:
    families.vendor.channels = []
    await absent(families, "ann")
    for _ in range(7):
        await families.move(1)
    row = one(families)
    assert (row.state, row.reason, row.attempts, tried(families)) == ("waiting", "no_plugin", 0, [])
    families.vendor.channels = ["sms"]  # a moment without it has cost the message none of its channels
    for _ in range(7):
        await families.move(1)
    assert tried(families) == [("sms", "accepted")]
    check(families.store)


async def test_without_any_plugin_to_the_end_they_expire(families: Families) -> None:
    families.vendor.channels = []
    await absent(families, "ann", until="10:30")
    for _ in range(12):
        await families.move(5)
    assert (one(families).state, tried(families)) == ("expired", [])
    check(families.store)


async def test_a_plugin_that_was_not_reached_has_sent_nothing_and_is_tried_again(families: Families) -> None:
    await absent(families, "ann", channels=["sms"])

    class Quarantined(Exception):
        pass

    families.vendor.answer = lambda _message: Told(error=Quarantined(), reached=False)
    await families.notifier.send()
    row = one(families)
    assert (row.state, row.reason, due_in(families)) == ("waiting", "plugin_quarantined", 30)
    families.vendor.answer = None
    await families.move(1)
    assert tried(families) == [("sms", "not_sent"), ("sms", "accepted")]
    check(families.store)


async def test_once_an_hour_vendors_tell_which_addresses_they_left_out_since_last_time(families: Families) -> None:
    asked: list[datetime | None] = []

    def told(since: datetime | None) -> Suppressions:
        asked.append(since)
        gone = tuple(
            AddressNews(channel="email", address=f"gone{number}@example.org", news="opted_out") for number in range(450)
        )
        return Suppressions(items=gone if since is None else (), until=datetime.now(UTC))

    families.vendor.told = told
    for _ in range(7):
        await families.move(20)
    first = datetime(2026, 9, 14, 14, 20, tzinfo=UTC)
    assert asked == [None, first, first + timedelta(hours=1)]
    query = m.NotificationConsent.select().where(m.NotificationConsent.state == "withdrawn")
    assert len(families.store.read_now(lambda c: c.all(query))) == 450
    families.start("two")  # another process goes on from there
    await families.notifier.let_go()


@dataclass(slots=True)
class Unreadable(Vendor):
    """One whose lists cannot be read for as often as `failures` says."""

    failures: int = 2

    async def ask(self, name: str, hook: str, **arguments: Any) -> Told | None:
        if hook == "suppressions":
            self.failures -= 1
            if self.failures >= 0:
                return Told(error=RuntimeError(str(arguments["since"])))
        return await Vendor.ask(self, name, hook, **arguments)


async def test_a_vendor_whose_lists_cannot_be_read_is_asked_again_from_the_same_moment(families: Families) -> None:
    asked: list[datetime | None] = []

    def told(since: datetime | None) -> Suppressions:
        asked.append(since)
        return Suppressions(until=datetime.now(UTC))

    families.vendor = Unreadable(told=told)
    families.start()
    for _ in range(4):
        await families.move(61)
    assert asked == [None, datetime(2026, 9, 14, 17, 3, tzinfo=UTC)]
