"""A message of which nobody knows whether it has left: the vendor is asked, and it is not sent again on a guess."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeroom.notify import choices, claims, outcomes
from homeroom.notify.unknown import next_question
from homeroom.store import Refused, iso, new_id, now_utc
from homeroom.store import models as m
from homeroom.types import Message, NotSent, Receipt
from tests.services.families import MONDAY, TODAY, Families, TimedOut, Told, Vendor, settings
from tests.services.outbox import absent, answers, attempts, check, counts, due_in, journaled, one, report, tried
from tests.services.roll import at_hour

HAS_IT = Receipt(state="accepted", provider_id="found-1", segments=2)


def takes_and_is_silent(families: Families) -> None:
    """The vendor takes every message and never answers."""

    def answer(message: Message) -> Told:
        families.vendor.take(message)
        return Told(error=TimedOut())

    families.vendor.answer = answer


async def unclear(families: Families, **rule: Any) -> None:
    """One message that the vendor took without an answer."""
    await absent(families, "ann", **rule)
    takes_and_is_silent(families)
    await families.tick()
    assert one(families).state == "unknown"
    families.vendor.answer = None


async def test_without_an_answer_the_vendor_is_asked_and_not_before_its_time(families: Families) -> None:
    await unclear(families)
    row = one(families)
    assert (row.reason, due_in(families), tried(families)) == ("no_answer", 60, [("sms", None)])
    assert journaled(families, "notification.unknown") == [{"reason": "no_answer"}]
    families.clock.shift(59)
    await families.tick()
    assert families.vendor.asked == ["deliver"]
    asked: list[Message] = []

    def knows(message: Message) -> Receipt:
        asked.append(message)
        return HAS_IT

    families.vendor.knows = knows
    families.clock.shift(1)
    await families.tick()
    row = one(families)
    assert (row.state, row.provider_id, row.segments) == ("accepted", "found-1", 2)
    sent = families.vendor.taken[0]
    assert [(one.id, one.to, one.body, one.attempted_at) for one in asked] == [(sent.id, sent.to, sent.body, MONDAY)]
    await families.move(600)
    assert len(families.sent()) == 1
    check(families.store)


@pytest.mark.parametrize(
    ("said", "state", "attempted"),
    [
        (HAS_IT, "accepted", [("sms", "accepted")]),
        (Receipt(state="delivered", provider_id="x"), "delivered", [("sms", "delivered")]),
        (Receipt(state="refused", code="30003"), "accepted", [("sms", "refused"), ("email", "accepted")]),
        (NotSent(), "accepted", [("sms", "not_sent"), ("sms", "accepted")]),
    ],
)
async def test_what_the_vendor_says_decides(
    families: Families, said: Any, state: str, attempted: list[tuple[str, str]]
) -> None:
    await unclear(families)
    families.vendor.knows = lambda _message: said
    for _ in range(3):
        await families.move(1)
    assert (one(families).state, tried(families)) == (state, attempted)
    check(families.store)


async def test_a_vendor_that_cannot_tell_is_asked_less_and_less_often_and_nothing_is_sent_meanwhile(
    families: Families,
) -> None:
    await unclear(families)
    waits = []
    for _ in range(7):
        families.clock.shift(due_in(families))
        await families.tick()
        waits.append(due_in(families))
    assert waits == [120, 240, 480, 900, 900, 900, 900]
    assert families.vendor.asked == ["deliver", *["find_delivery"] * 7]
    assert (one(families).state, one(families).asked) == ("unknown", 7)
    assert counts(families) == (1, 1)
    check(families.store)


async def test_a_question_that_was_put_off_while_the_clock_was_ahead_is_asked_now(families: Families) -> None:
    await unclear(families)
    families.set(m.Notification, {"due_at": now_utc() + timedelta(hours=2)}, m.Notification.state == "unknown")
    families.vendor.knows = lambda _message: HAS_IT
    await families.tick()
    assert one(families).state == "accepted"


async def test_after_two_days_nobody_is_asked_any_more_and_it_stays_unknown(families: Families) -> None:
    await unclear(families)
    await families.move(60 * 48 + 1)
    assert families.vendor.asked == ["deliver"]
    assert one(families).state == "unknown"
    assert families.store.read_now(next_question) is None
    assert await families.notifier.send() == await families.notifier.ask() == 5


@pytest.mark.parametrize("said", [None, Receipt(state="retry"), RuntimeError("it fails")])
async def test_while_it_is_unknown_no_other_channel_is_tried(families: Families, said: Any) -> None:
    await unclear(families)

    def knows(_message: Message) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    families.vendor = Failing(taken=families.vendor.taken, knows=knows)
    families.start()
    for _ in range(60):
        await families.move(10)
    assert one(families).state == "unknown"
    assert [message.channel for message in families.vendor.taken] == ["sms"]
    assert "deliver" not in families.vendor.asked
    check(families.store)


@dataclass(slots=True)
class Failing(Vendor):
    """One whose answer to `find_delivery` may be an error."""

    async def ask(self, name: str, hook: str, **arguments: Any) -> Told | None:
        try:
            return await Vendor.ask(self, name, hook, **arguments)
        except RuntimeError as exc:
            return Told(error=exc)


async def test_what_stays_unknown_is_sent_again_only_where_the_district_has_chosen_so(families: Families) -> None:
    families.settings = settings(resend_unknown=True, unknown_minutes=60)
    families.start()
    await absent(families, "ann", channels=["sms"])
    takes_and_is_silent(families)
    for _ in range(59):
        await families.move(1)
    assert len(families.vendor.taken) == 1
    for _ in range(6 * 60):
        await families.move(1)
    # Once more, and not for ever: a vendor that takes and never answers would send the same each hour.
    assert len(families.vendor.taken) == 2
    assert one(families).state == "unknown"
    assert [entry["reason"] for entry in journaled(families, "notification.resent")] == ["resent_unknown"]
    check(families.store)


async def test_an_old_unknown_message_is_not_sent_again_after_its_hour(families: Families) -> None:
    families.settings = settings(resend_unknown=True, unknown_minutes=60)
    families.start()
    await unclear(families, until="10:30")
    for _ in range(24):
        await families.move(10)
    assert (one(families).state, len(families.vendor.taken)) == ("unknown", 1)


async def test_nobody_is_asked_about_a_message_whose_address_or_text_is_gone(families: Families) -> None:
    await absent(families, "ann", "bob", channels=["sms"])
    takes_and_is_silent(families)
    await families.tick()
    families.store.write_now(lambda tx: tx.run(m.Contact.delete().where(m.Contact.user_id == "ann_mother")))
    families.store.write_now(lambda tx: tx.run(m.PersonKey.delete().where(m.PersonKey.user_id == "bob")))
    families.vendor.knows = lambda _message: NotSent()
    for _ in range(10):
        await families.move(10)
    assert families.states() == ["unknown", "unknown"]
    assert families.vendor.asked == ["deliver", "deliver"]


@dataclass(slots=True)
class Two(Vendor):
    """Two plugins for texts: `says` is what each answers to `find_delivery` (None: it has no such hook)."""

    says: dict[str, Any] = field(default_factory=dict)
    who: list[str] = field(default_factory=list)

    def senders(self, channel: str) -> tuple[str, ...]:
        return tuple(self.says) if channel == "sms" else ()

    async def ask(self, name: str, hook: str, **arguments: Any) -> Told | None:
        if hook != "find_delivery":
            return await Vendor.ask(self, name, hook, **arguments)
        self.who.append(name)
        said = self.says[name]
        return None if said is None else Told(plugin=name, value=None if said == "cannot tell" else said)


async def test_only_the_plugin_that_had_the_message_is_asked_about_it(families: Families) -> None:
    families.vendor = vendor = Two(says={"old": NotSent(), "new": "cannot tell"})
    families.start()
    await absent(families, "ann", channels=["sms"])
    vendor.answer = lambda _message: Told(plugin="new", error=TimedOut())
    await families.tick()
    await families.move(2)
    assert (vendor.who, one(families).state) == (["new"], "unknown")


@pytest.mark.parametrize(
    ("says", "state"),
    [
        ({"old": NotSent(), "new": NotSent()}, "waiting"),
        ({"old": NotSent(), "new": "cannot tell"}, "unknown"),
        ({"old": NotSent(), "new": None}, "unknown"),
        ({"old": "cannot tell", "new": HAS_IT}, "accepted"),
        ({}, "unknown"),
    ],
)
async def test_after_a_crash_every_plugin_that_could_have_had_it_must_say_that_it_was_not_sent(
    families: Families, says: dict[str, Any], state: str
) -> None:
    await absent(families, "ann", channels=["sms"])
    (claimed,), _ = families.store.write_now(lambda tx: claims.claim(tx, families.settings, new_id(), most=9))
    assert families.store.write_now(lambda tx: claims.begin(tx, families.settings, claimed))
    await families.notifier.let_go()
    families.vendor = Two(says=says)
    families.start("two")
    await families.notifier.send()
    assert (one(families).state, one(families).reason) == ("unknown", "process_ended")
    families.clock.shift(60)
    await families.notifier.ask()
    assert one(families).state == state
    check(families.store)


async def test_a_late_answer_stops_what_waits_to_be_sent_again(families: Families) -> None:
    await unclear(families)
    row = one(families)
    families.store.write_now(lambda tx: outcomes.send_again(tx, row.id, "by_staff"))
    assert one(families).state == "waiting"
    late = outcomes.Answer(plugin="post", receipt=HAS_IT)
    families.store.write_now(lambda tx: outcomes.settle(tx, families.settings, row.id, 1, late))
    assert (one(families).state, one(families).provider_id) == ("accepted", "found-1")
    await families.move(10)
    assert len(families.sent()) == 1
    check(families.store)


async def test_a_question_that_is_answered_after_the_message_has_moved_on_changes_nothing(families: Families) -> None:
    await unclear(families)
    message_id = one(families).id
    await report(families, "delivered", provider_id="x")

    def found(said: Any, number: int = 1) -> str | None:
        return families.store.write_now(
            lambda tx: outcomes.found(tx, families.settings, message_id, number, said, plugin="post", wait=60)
        )

    assert [found(said) for said in (NotSent(), HAS_IT, None, Receipt(state="refused"))] == [None] * 4
    assert found(NotSent(), number=7) is None
    assert one(families).state == "delivered"
    check(families.store)


@pytest.mark.parametrize("state", ["unknown", "failed", "held", "expired"])
async def test_staff_send_again_what_did_not_arrive_and_its_history_stays(families: Families, state: str) -> None:
    await absent(families, "ann")
    match state:
        case "unknown":
            takes_and_is_silent(families)
        case "failed":
            families.vendor.answer = answers(*[Receipt(state="refused")] * 2)
        case "expired":
            families.vendor.answer = answers(*[Receipt(state="retry", retry_after=80_000)] * 2)
        case _:
            families.set(m.Notification, {"state": "held", "reason": "limit"}, m.Notification.state == "waiting")
    await families.tick()
    await families.tick()
    assert one(families).state == state
    before = tried(families)
    families.vendor.answer = None
    message_id = one(families).id
    assert families.store.write_now(lambda tx: outcomes.send_again(tx, message_id, "by_staff"))
    await families.move(16)  # a channel whose vendor asked for time has rested
    assert tried(families)[: len(before)] == before
    row = one(families)
    assert row.state == "accepted"
    assert row.channel == ("email" if state == "expired" else "sms")
    assert [entry["reason"] for entry in journaled(families, "notification.resent")] == ["by_staff"]
    check(families.store)


@pytest.mark.parametrize("state", ["waiting", "sending", "accepted", "delivered", "cancelled", "withheld"])
async def test_nothing_else_is_sent_again(families: Families, state: str) -> None:
    await absent(families, "ann")
    message_id = one(families).id
    families.set(m.Notification, {"state": state}, m.Notification.id == message_id)
    assert not families.store.write_now(lambda tx: outcomes.send_again(tx, message_id, "by_staff"))
    assert not families.store.write_now(lambda tx: outcomes.send_again(tx, "nobody", "by_staff"))
    assert one(families).state == state


async def test_a_vendor_that_shows_another_message_of_ours_has_not_shown_this_one(families: Families) -> None:
    await absent(families, "ann", "bob")
    takes_and_is_silent(families)
    await families.tick()
    first, second = families.messages()
    families.vendor.knows = lambda _message: Receipt(state="delivered", provider_id="the-same")
    families.clock.shift(60)
    await families.notifier.ask()
    assert sorted(families.states()) == ["delivered", "unknown"]
    assert {first.attempts, second.attempts} == {1}
    check(families.store)


async def test_what_staff_send_again_is_of_use_for_two_hours_more(families: Families) -> None:
    await absent(families, "ann", until="10:30", channels=["sms"])
    await families.notifier.look()
    families.clock.shift(31 * 60)
    await families.tick()
    row = one(families)
    assert row.state == "expired"
    families.store.write_now(lambda tx: choices.resend(tx, families.settings, row.id))
    assert one(families).expires_at - datetime.fromisoformat(iso(MONDAY)) == timedelta(minutes=31, hours=2)
    await families.tick()
    assert one(families).state == "accepted"


async def test_what_staff_send_again_at_night_goes_in_the_morning_unless_it_would_say_today(families: Families) -> None:
    await absent(families, "ann", channels=["sms"])
    families.vendor.answer = answers(Receipt(state="refused"))
    await families.tick()
    row = one(families)
    at_hour(families, 2, 30, day=TODAY + timedelta(days=1))  # half past ten in the evening
    with pytest.raises(Refused, match="as of today") as refused:
        families.store.write_now(lambda tx: choices.resend(tx, families.settings, row.id))
    assert (refused.value.status, one(families).state) == (409, "failed")
    families.set(m.Notification, {"created_at": now_utc()}, m.Notification.id == row.id)  # so it tells the date
    families.store.write_now(lambda tx: choices.resend(tx, families.settings, row.id))
    await families.tick()
    assert (one(families).state, one(families).due_at.astimezone(UTC).hour) == ("waiting", 11)
    at_hour(families, 12, day=TODAY + timedelta(days=1))
    families.vendor.answer = None
    await families.tick()
    assert one(families).state == "accepted"


async def test_what_was_found_is_kept_with_the_attempt(families: Families) -> None:
    await unclear(families)
    families.vendor.knows = lambda _message: NotSent()
    await families.move(1)
    await families.tick()
    first, second = attempts(families)
    assert (first.outcome, first.reason, first.plugin) == ("not_sent", "not_sent", "post")
    assert (second.outcome, second.number) == ("accepted", 2)
    assert counts(families) == (1, 1)
