"""What a school may send on a channel in a day: counted by message and by segment, and never more than it may be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom.notify.budget import Budget, count, let_through, segments_of, take_back
from homeroom.settings import NotifySettings
from homeroom.store import Store, Transaction
from homeroom.store import models as m
from homeroom.types import Message

DAY = date(2026, 9, 14)
OF = ("north", DAY, "sms")


@pytest.fixture(autouse=True)
def on_monday() -> Iterator[None]:
    with time_machine.travel(datetime(2026, 9, 14, 14, tzinfo=UTC), tick=False):
        yield


def rules(**chosen: object) -> NotifySettings:
    return NotifySettings.model_validate({"costs": {"sms": 0.01}, **chosen})


def send(tx: Transaction, chosen: NotifySettings, *segments: int) -> list[bool]:
    """Whether each message of so many segments may go; those that may are counted."""
    limits = Budget(tx, chosen)
    allowed = [limits.allows(OF, one) for one in segments]
    for one, goes in zip(segments, allowed, strict=True):
        if goes:
            count(tx, chosen, OF, one)
    return allowed


def alarms(tx: Transaction) -> int:
    return sum(entry[1] == "notification.limit_reached" for entry in tx.pending)


def test_as_many_messages_go_as_the_limit_says_whatever_unit_they_are_in(store: Store) -> None:
    chosen = rules(school_day_limit=3)
    assert store.write_now(lambda tx: send(tx, chosen, 1, 1)) == [True, True]
    assert store.write_now(lambda tx: send(tx, chosen, 1, 1)) == [True, False]
    assert store.write_now(lambda tx: send(tx, chosen, 1)) == [False]


def test_the_alarm_is_raised_by_the_first_that_may_not_go_and_again_after_more_were_let_through(store: Store) -> None:
    chosen = rules(school_day_limit=1)

    def unit(tx: Transaction) -> int:
        send(tx, chosen, 1, 1, 1)
        return alarms(tx)

    assert [store.write_now(unit) for _ in range(2)] == [1, 0]
    store.write_now(lambda tx: let_through(tx, *OF, 1))
    assert [store.write_now(unit) for _ in range(2)] == [1, 0]
    (row,) = store.read_now(lambda c: c.all(m.NotificationCount.select()))
    assert (row.sent, row.extra, row.alarmed_at is None) == (2, 1, False)


def test_money_is_counted_by_segment_and_the_message_with_which_it_ends_still_goes(store: Store) -> None:
    chosen = rules(school_day_cost=0.05)
    assert store.write_now(lambda tx: send(tx, chosen, 2, 2, 2, 1)) == [True, True, True, False]
    assert store.write_now(lambda tx: send(tx, chosen, 1)) == [False]
    store.write_now(lambda tx: let_through(tx, *OF, 2))
    assert store.write_now(lambda tx: send(tx, chosen, 3, 3)) == [True, True]


def test_what_costs_nothing_is_not_held_for_money(store: Store) -> None:
    chosen = rules(school_day_cost=0.01, costs={})
    assert all(store.write_now(lambda tx: send(tx, chosen, *[9] * 50)))


def test_what_was_taken_back_may_go_again(store: Store) -> None:
    chosen = rules(school_day_limit=1, school_day_cost=0.03)
    assert store.write_now(lambda tx: send(tx, chosen, 3)) == [True]
    store.write_now(lambda tx: take_back(tx, chosen, OF, 3))
    assert store.write_now(lambda tx: send(tx, chosen, 3, 3)) == [True, False]


def test_a_text_is_charged_by_its_segments_and_a_mail_once() -> None:
    at = datetime(2026, 9, 14, tzinfo=UTC)

    def message(channel: str, body: str) -> Message:
        return Message(id="m", channel=channel, to="x", body=body, created_at=at)

    assert [segments_of(message("sms", text)) for text in ("a" * 160, "a" * 161, "й" * 71)] == [1, 2, 2]
    assert segments_of(message("email", "a" * 5000)) == 1


@settings(max_examples=40)
@given(
    limit=st.integers(1, 12),
    cents=st.none() | st.integers(1, 30),
    units=st.lists(st.lists(st.integers(1, 4), max_size=8), max_size=6),
)
def test_neither_limit_is_passed_by_more_than_the_last_message(
    sqlite_store: Store, limit: int, cents: int | None, units: list[list[int]]
) -> None:
    sqlite_store.write_now(lambda tx: tx.run(m.NotificationCount.delete()))
    chosen = rules(school_day_limit=limit, school_day_cost=None if cents is None else cents / 100)
    sent: list[int] = []
    for unit in units:
        allowed = sqlite_store.write_now(lambda tx, unit=unit: send(tx, chosen, *unit))  # type: ignore[misc]
        for segments, goes in zip(unit, allowed, strict=True):
            spent = sum(sent)
            assert goes == (len(sent) < limit and (cents is None or spent < cents))
            if goes:
                sent.append(segments)
    rows = sqlite_store.read_now(lambda c: c.all(m.NotificationCount.select()))
    assert sum(row.sent for row in rows) == len(sent)
    assert sum(row.segments for row in rows) == sum(sent)
    assert round(sum(row.cost for row in rows), 6) == round(sum(sent) / 100, 6)
