"""Processes that share the sending of messages: one is held up, one ends in the middle, one loses its database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from homeroom.notify import claims, outcomes
from homeroom.notify.outcomes import Answer
from homeroom.store import Store, Unavailable, new_id
from homeroom.store import models as m
from homeroom.types import Receipt
from tests.services.families import Families, on_monday
from tests.services.outbox import absent, answers, check, counts, due_in, journaled, one, tried
from tests.services.waiting import until

BUSY = Receipt(state="retry", reason="too many", code="429")


async def test_what_a_process_had_only_claimed_when_it_was_held_up_is_sent_once(families: Families) -> None:
    await absent(families, "ann")
    turn = new_id()
    (claimed,), _ = families.store.write_now(lambda tx: claims.claim(tx, families.settings, turn, most=9))
    await families.notifier.let_go()
    families.start("two")
    await families.tick()
    assert len(families.sent()) == 1
    assert tried(families) == [("sms", "accepted")]
    for late in (
        lambda tx: claims.begin(tx, families.settings, claimed),
        lambda tx: claims.release(tx, claimed),
        lambda tx: claims.withhold(tx, claimed, "denied: late"),
    ):
        assert not families.store.write_now(late)
    assert one(families).state == "accepted"
    assert journaled(families, "notification.withheld") == []
    check(families.store)


async def test_who_was_held_up_changes_nothing_of_what_another_has_claimed_since(families: Families) -> None:
    await absent(families, "ann")

    def claim_one(turn: str) -> claims.Claimed:
        (found,), _ = families.store.write_now(lambda tx: claims.claim(tx, families.settings, turn, most=9))
        return found

    old = claim_one("old")
    families.store.write_now(lambda tx: claims.release(tx, old))
    new = claim_one("new")
    assert (old.number, new.number) == (1, 1)
    write = families.store.write_now
    assert not write(lambda tx: claims.begin(tx, families.settings, old))
    write(lambda tx: claims.release(tx, old))
    write(lambda tx: claims.withhold(tx, old, "denied: late"))
    assert write(lambda tx: claims.begin(tx, families.settings, new))
    assert write(lambda tx: claims.begin(tx, families.settings, new))  # a commit whose answer was lost is run again
    write(lambda tx: claims.withhold(tx, new, "denied: late"))
    assert one(families).state == "sending"
    assert counts(families) == (1, 1)


async def test_what_had_begun_to_leave_is_unknown_and_the_answer_still_counts(families: Families) -> None:
    await absent(families, "ann")
    go = asyncio.Event()
    families.vendor.waits = lambda _message: go.wait()
    frozen = families.notifier
    sending = asyncio.create_task(frozen.send())
    await until(lambda: families.vendor.asked == ["deliver"])
    families.set(m.Lease, {"until": datetime(2026, 9, 14, tzinfo=UTC)}, m.Lease.name == "notify")
    families.start("two")
    await families.tick()
    assert (one(families).state, one(families).reason) == ("unknown", "process_ended")
    go.set()
    await sending
    assert one(families).state == "accepted"
    assert len(families.sent()) == 1
    check(families.store)


async def test_a_process_that_was_held_up_after_it_had_begun_does_not_send(
    families: Families, monkeypatch: pytest.MonkeyPatch
) -> None:
    await absent(families, "ann")
    monkeypatch.setattr("homeroom.notify.delivery._FRESH", -1)
    claimed: list[claims.Claimed] = []
    delivery = families.notifier._delivery

    def claim(tx: Any) -> None:
        claimed.extend(claims.claim(tx, families.settings, "turn", most=9)[0])

    families.store.write_now(claim)
    await delivery._hand_over(claimed[0], asyncio.Event())
    assert families.vendor.asked == []
    assert (one(families).state, tried(families)) == ("waiting", [("sms", "not_sent")])
    check(families.store)


async def test_what_was_claimed_and_let_go_is_no_try(families: Families) -> None:
    await absent(families, "ann")
    for turn in ("a", "b", "c"):
        (claimed,), _ = families.store.write_now(
            lambda tx, turn=turn: claims.claim(tx, families.settings, turn, most=9)  # type: ignore[misc]
        )
        families.store.write_now(lambda tx, claimed=claimed: claims.release(tx, claimed))  # type: ignore[misc]
        check(families.store)
    row = one(families)
    assert (row.state, row.attempts, row.tries) == ("waiting", 0, 0)
    families.vendor.answer = answers(BUSY)
    await families.notifier.send()
    assert due_in(families) == 30


async def test_an_answer_to_what_has_moved_on_changes_nothing(families: Families) -> None:
    await absent(families, "ann")
    families.vendor.answer = answers(Receipt(state="refused"), Receipt(state="delivered", provider_id="x"))
    await families.tick()
    await families.tick()
    assert one(families).state == "delivered"
    message_id = one(families).id

    def settle(number: int, receipt: Receipt | None) -> None:
        answer = Answer(plugin="post", receipt=receipt, reason="no_answer")
        families.store.write_now(lambda tx: outcomes.settle(tx, families.settings, message_id, number, answer))

    for number in (1, 2, 3):
        for receipt in (BUSY, Receipt(state="refused"), Receipt(state="accepted", provider_id="y"), None):
            settle(number, receipt)
    row = one(families)
    assert (row.state, row.provider_id) == ("delivered", "x")
    assert families.store.write_now(lambda tx: outcomes.settle(tx, families.settings, "nobody", 1, Answer())) is None
    check(families.store)


async def test_an_answer_is_kept_though_the_database_was_away(
    families: Families, monkeypatch: pytest.MonkeyPatch
) -> None:
    await absent(families, "ann")
    monkeypatch.setattr("homeroom.notify.delivery._PAUSES", (0.0, 0.0))
    write, away = families.store.write, 2

    async def falter(unit: Any) -> Any:
        nonlocal away
        if getattr(unit, "func", None) is outcomes.settle and away:
            away -= 1
            raise Unavailable("the database cannot be reached")
        return await write(unit)

    monkeypatch.setattr(families.store, "write", falter)
    await families.notifier.send()
    assert (one(families).state, away) == ("accepted", 0)


async def test_an_answer_that_could_not_be_kept_leaves_the_message_unknown_and_not_stuck(
    families: Families, monkeypatch: pytest.MonkeyPatch
) -> None:
    await absent(families, "ann", "bob")
    monkeypatch.setattr("homeroom.notify.delivery._PAUSES", ())
    write = families.store.write
    broken = families.messages()[0].id

    async def falter(unit: Any) -> Any:
        if getattr(unit, "func", None) is outcomes.settle and unit.keywords["message_id"] == broken:
            raise Unavailable("the database cannot be reached")
        return await write(unit)

    monkeypatch.setattr(families.store, "write", falter)
    with pytest.raises(Unavailable):
        await families.notifier.send()
    assert sorted(families.states()) == ["accepted", "sending"]
    monkeypatch.undo()
    await families.notifier.send()
    assert sorted(families.states()) == ["accepted", "unknown"]
    assert len(families.sent()) == 2
    check(families.store)


async def test_a_server_that_stops_waits_for_the_answers_to_what_it_has_begun(families: Families) -> None:
    await absent(families, "ann", "bob", "cy")
    go = asyncio.Event()
    families.vendor.waits = lambda _message: go.wait()
    sending = asyncio.create_task(families.notifier.send())
    await until(lambda: len(families.vendor.asked) == 3)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    stopping = asyncio.create_task(families.notifier.let_go())
    await asyncio.sleep(0)
    go.set()
    await stopping
    assert families.states() == ["accepted"] * 3
    check(families.store)


async def test_what_is_not_answered_when_the_server_stops_is_unknown_for_the_next_one(
    families: Families, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeroom.notify.notifier._GRACE_SECONDS", 0.01)
    await absent(families, "ann")
    families.vendor.waits = lambda _message: asyncio.Event().wait()
    sending = asyncio.create_task(families.notifier.send())
    await until(lambda: families.vendor.asked == ["deliver"])
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await families.notifier.let_go()
    families.start()  # even one of the same name
    await families.notifier.send()
    assert families.states() == ["unknown"]
    check(families.store)


async def test_a_process_that_has_not_the_turn_does_nothing_and_is_not_hurried_by_news(sqlite_store: Store) -> None:
    with on_monday(sqlite_store) as families:
        await absent(families, "ann")
        families.start("two")
        assert [await families.notifier.look(), await families.notifier.send(), await families.notifier.ask()] == [
            None
        ] * 3
        assert families.vendor.asked == []
        listening: list[Any] = []

        class Ear:
            def listen(self, heard: Any) -> Any:
                listening.append(heard)
                return listening.clear

        families.notifier._tail = Ear()  # type: ignore[assignment]
        before = sqlite_store.done
        running = asyncio.create_task(families.notifier.run())
        await until(lambda: sqlite_store.done >= before + 3)
        event: Any = type("News", (), {"kind": "attendance.recorded"})
        for _ in range(20):
            listening[0](event)
            await asyncio.sleep(0.005)
        assert sqlite_store.done <= before + 3
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert listening == []


async def test_a_loop_that_fails_is_told_until_it_works_again_whatever_the_others_do(sqlite_store: Store) -> None:
    with on_monday(sqlite_store) as families:
        await absent(families, "ann")

        class Ear:
            def listen(self, _heard: Any) -> Any:
                return lambda: None

        notifier = families.notifier
        notifier._tail = Ear()  # type: ignore[assignment]

        async def broken() -> float:
            raise RuntimeError("somebody's data")

        notifier.send = broken  # type: ignore[method-assign]
        running = asyncio.create_task(notifier.run())
        await until(lambda: notifier.error is not None)
        await notifier.look()
        assert notifier.error is not None
        assert notifier.error.startswith("sending: RuntimeError at ")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
