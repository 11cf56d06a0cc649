"""What vendors tell of messages afterwards: in any order, more than once, late, and sometimes of what is not theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homeroom.store import models as m
from homeroom.types import AddressNews, DeliveryReport, Message, NotSent, Receipt
from tests.services.families import Families, TimedOut, Told
from tests.services.outbox import absent, answers, attempts, check, door, journaled, one, report, tried
from tests.services.waiting import until

TAKEN = Receipt(state="accepted", provider_id="v-1")


async def accepted(families: Families, **rule: Any) -> m.Notification:
    """One message that the vendor has taken."""
    await absent(families, "ann", **rule)
    families.vendor.answer = answers(TAKEN)
    await families.tick()
    row = one(families)
    assert row.state == "accepted"
    return row


@pytest.mark.parametrize("named", [{"message_id"}, {"provider_id"}, {"message_id", "provider_id"}])
async def test_a_message_is_delivered_when_the_vendor_says_so(families: Families, named: set[str]) -> None:
    row = await accepted(families)
    message_id = row.id if "message_id" in named else None
    provider_id = "v-1" if "provider_id" in named else None
    assert await report(families, "delivered", message_id=message_id, provider_id=provider_id)
    assert one(families).state == "delivered"
    assert tried(families) == [("sms", "delivered")]
    assert len(journaled(families, "notification.delivered")) == 1
    check(families.store)


@pytest.mark.parametrize(
    "order",
    [
        ["accepted", "delivered"],
        ["delivered", "accepted"],
        ["accepted", "accepted", "delivered", "delivered", "accepted"],
        ["delivered", "failed", "accepted", "failed"],
    ],
)
async def test_whatever_comes_late_or_twice_what_is_delivered_stays_delivered(
    families: Families, order: list[str]
) -> None:
    await accepted(families)
    for state in order:
        assert await report(families, state, provider_id="v-1")
    await families.move(10)
    assert one(families).state == "delivered"
    assert tried(families) == [("sms", "delivered")]
    assert len(journaled(families, "notification.delivered")) == 1
    check(families.store)


async def test_what_was_taken_and_does_not_arrive_goes_by_the_next_channel_once(families: Families) -> None:
    await accepted(families)
    for _ in range(3):
        await report(families, "failed", provider_id="v-1", reason="switched off", code="30003")
    row = one(families)
    assert (row.state, row.channel, row.channels, row.reason) == ("waiting", "email", ["email"], "switched off")
    await families.tick()
    await report(families, "failed", provider_id="v-1")
    assert tried(families) == [("sms", "failed"), ("email", "accepted")]
    assert one(families).state == "accepted"
    check(families.store)


async def test_without_another_channel_it_has_failed_and_a_late_delivery_still_counts(families: Families) -> None:
    await accepted(families, channels=["sms"])
    await report(families, "failed", reason="switched off", code="30003")
    row = one(families)
    assert (row.state, row.reason, row.code) == ("failed", "switched off", "30003")
    await report(families, "accepted")
    assert one(families).state == "failed"
    await report(families, "delivered")
    assert one(families).state == "delivered"
    check(families.store)


@pytest.mark.parametrize("answer", ["accepted", "lost"])
async def test_a_report_that_outruns_the_answer_counts_and_the_answer_takes_nothing_back(
    families: Families, answer: str
) -> None:
    await absent(families, "ann")
    go = asyncio.Event()
    families.vendor.waits = lambda _message: go.wait()
    receipt = Receipt(state="accepted", provider_id="v-1", segments=3)
    families.vendor.answer = lambda _message: Told(value=receipt) if answer == "accepted" else Told(error=TimedOut())
    sending = asyncio.create_task(families.notifier.send())
    await until(lambda: families.vendor.asked == ["deliver"])
    assert await report(families, "delivered", provider_id="v-1")
    assert one(families).state == "delivered"
    go.set()
    await sending
    row = one(families)
    assert (row.state, row.provider_id, row.segments) == ("delivered", "v-1", 3 if answer == "accepted" else 1)
    assert tried(families) == [("sms", "delivered")]
    check(families.store)


async def test_a_failure_that_outruns_the_answer_is_not_taken_back_by_it(families: Families) -> None:
    await absent(families, "ann")
    go = asyncio.Event()
    families.vendor.waits = lambda _message: go.wait()
    families.vendor.answer = lambda _message: Told(value=TAKEN)
    sending = asyncio.create_task(families.notifier.send())
    await until(lambda: families.vendor.asked == ["deliver"])
    await report(families, "failed", provider_id="v-1")
    assert (one(families).state, one(families).channel) == ("waiting", "email")
    go.set()
    await sending
    assert (one(families).state, one(families).channel) == ("waiting", "email")
    check(families.store)


@pytest.mark.parametrize("state", ["accepted", "delivered"])
async def test_what_waits_to_be_tried_again_is_not_sent_when_the_vendor_has_it_after_all(
    families: Families, state: str
) -> None:
    await absent(families, "ann")
    families.vendor.answer = answers(Receipt(state="retry", reason="busy"))
    await families.tick()
    assert one(families).state == "waiting"
    assert await report(families, state, provider_id="v-9")
    await families.move(60)
    row = one(families)
    assert (row.state, row.provider_id, row.channel) == (state, "v-9", "sms")
    assert families.vendor.asked == ["deliver"]
    check(families.store)


async def test_even_what_has_just_been_claimed_to_go_again_is_stopped(families: Families) -> None:
    from homeroom.notify import claims

    await absent(families, "ann")
    families.vendor.answer = answers(Receipt(state="retry", retry_after=1))
    await families.tick()
    families.clock.shift(2)
    (claimed,), _ = families.store.write_now(lambda tx: claims.claim(tx, families.settings, "turn", most=9))
    assert await report(families, "accepted", provider_id="v-9")
    assert one(families).state == "accepted"
    assert not families.store.write_now(lambda tx: claims.begin(tx, families.settings, claimed))
    check(families.store)


async def test_what_waits_to_be_tried_again_leaves_a_channel_on_which_it_has_failed(families: Families) -> None:
    await absent(families, "ann")
    families.vendor.answer = answers(TimedOut())
    await families.tick()
    families.vendor.knows = lambda _message: NotSent()
    families.clock.shift(60)
    await families.notifier.ask()
    assert one(families).state == "waiting"
    await report(families, "failed", code="30003")
    await report(families, "failed", code="30003")
    assert (one(families).state, one(families).channels) == ("waiting", ["email"])
    check(families.store)


async def test_a_report_settles_what_was_unknown(families: Families) -> None:
    await absent(families, "ann", "bob", "cy")
    families.vendor.answer = lambda _message: Told(error=TimedOut())
    await families.tick()
    ids = [row.id for row in families.messages()]
    for message_id, state in zip(ids, ("accepted", "delivered", "failed"), strict=True):
        assert await report(families, state, message_id=message_id, provider_id=f"of-{message_id}")
    families.vendor.answer = None
    await families.tick()
    assert sorted(families.states()) == ["accepted", "accepted", "delivered"]
    assert [message.channel for message in families.vendor.taken] == ["email"]
    check(families.store)


async def test_a_report_on_an_older_attempt_leaves_the_present_one_alone(families: Families) -> None:
    await absent(families, "ann")
    families.vendor.answer = answers(
        TAKEN, Receipt(state="accepted", provider_id="mail-1"), Receipt(state="accepted", provider_id="mail-2")
    )
    await families.tick()
    await report(families, "failed", provider_id="v-1")
    await families.tick()
    message_id = one(families).id
    assert tried(families) == [("sms", "failed"), ("email", "accepted")]
    for state in ("accepted", "failed", "delivered", "failed"):
        assert await report(families, state, message_id=message_id, provider_id="v-1")
    row = one(families)
    assert (row.state, row.channel, row.provider_id) == ("accepted", "email", "mail-1")
    assert tried(families) == [("sms", "delivered"), ("email", "accepted")]
    await report(families, "failed", provider_id="mail-1")
    assert one(families).state == "failed"


async def test_a_plugin_for_one_channel_names_its_own_attempt_though_another_channel_was_tried_since(
    families: Families,
) -> None:
    await absent(families, "ann")
    families.vendor.answer = answers(Receipt(state="refused"), TAKEN)
    await families.tick()
    await families.tick()
    told = DeliveryReport(state="failed", message_id=one(families).id, provider_id="SM-1")
    assert await door(families, "post", "sms").report(told)
    assert one(families).state == "accepted"
    assert [attempt.provider_id for attempt in attempts(families)] == ["SM-1", "v-1"]


async def test_a_report_with_a_new_id_is_about_the_attempt_that_was_not_answered(families: Families) -> None:
    from homeroom.notify import outcomes

    await absent(families, "ann", channels=["sms"])
    families.vendor.answer = answers(TimedOut(), TAKEN)
    await families.tick()
    message_id = one(families).id
    families.store.write_now(lambda tx: outcomes.send_again(tx, message_id, "by_staff"))
    await families.tick()
    assert await report(families, "failed", message_id=message_id, provider_id="v-0")
    assert tried(families) == [("sms", "failed"), ("sms", "accepted")]
    assert one(families).state == "accepted"
    assert [attempt.provider_id for attempt in attempts(families)] == ["v-0", "v-1"]
    check(families.store)


async def test_forged_and_foreign_names_change_nothing(families: Families) -> None:
    await absent(families, "ann", "bob", channels=["sms"])
    await families.tick()
    ann, bob = families.messages()
    before = [(row.state, row.changed_at) for row in (ann, bob)]
    for facts in (
        {"message_id": "nobody"},
        {"message_id": None, "provider_id": "nobody"},
        {"message_id": "nobody", "provider_id": ann.provider_id},
        {"message_id": ann.id, "provider_id": bob.provider_id},
    ):
        assert not await report(families, "failed", **facts)
    assert not await report(families, "failed", message_id=None)
    assert not await report(families, "failed", plugin="another", message_id=ann.id)
    assert not await report(families, "delivered", plugin="another", message_id=None, provider_id=ann.provider_id)
    mail = door(families, "post", "email")
    assert not await mail.report(DeliveryReport(state="failed", message_id=ann.id))
    odd: Any = "sending"
    assert not await report(families, odd, message_id=ann.id)
    assert [(row.state, row.changed_at) for row in families.messages()] == before
    check(families.store)


async def test_a_report_on_a_message_that_was_never_tried_changes_nothing(families: Families) -> None:
    await absent(families, "ann")
    assert not await report(families, "delivered")
    assert one(families).state == "waiting"


async def test_the_truth_about_a_message_that_was_taken_back_is_kept(families: Families) -> None:
    await absent(families, "ann")
    families.vendor.answer = answers(Receipt(state="retry"))
    await families.tick()
    families.set(m.Notification, {"state": "cancelled", "reason": "not_true"}, m.Notification.state == "waiting")
    assert await report(families, "accepted", provider_id="v-1")
    assert one(families).state == "accepted"  # its reader is owed a correction now
    check(families.store)


async def test_a_vendors_long_words_are_cut(families: Families) -> None:
    await accepted(families, channels=["sms"])
    await report(families, "failed", reason="x" * 9000, code="y" * 9000)
    row = one(families)
    assert (len(row.reason or ""), len(row.code or "")) == (200, 200)


async def test_news_of_an_address_holds_for_the_next_message_and_only_from_a_plugin_of_its_channel(
    families: Families,
) -> None:
    await absent(families, "ann")
    gone = AddressNews(channel="email", address="ann_mother@example.org", news="unreachable")
    await door(families, "post", "sms").heard(gone)

    def nowhere(message: Message) -> Told:
        return Told(value=Receipt(state="refused")) if message.channel == "sms" else families.vendor.take(message)

    families.vendor.answer = nowhere
    await families.notifier.send()
    await door(families, "post", "email").heard(gone)
    await families.notifier.send()
    assert (one(families).state, one(families).reason) == ("withheld", "unreachable")
    assert families.sent() == []
    check(families.store)
