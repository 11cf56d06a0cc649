"""A clock that was ahead and has been set right: nothing waits for as long as it was wrong."""

from __future__ import annotations

from datetime import timedelta

from homeroom.store import models as m
from homeroom.store import now_utc
from tests.services.families import Families
from tests.services.outbox import absent, due_in, one


async def marked_ahead(families: Families, *, delay_minutes: int) -> None:
    """A roll that was taken while the clock was two hours ahead, as it still is."""
    families.rule("absence", delay_minutes=delay_minutes)
    families.student("ann", "ann_mother")
    families.student("bo", "bo_mother")
    await families.tick()
    families.clock.shift(timedelta(hours=2))
    session = families.open()
    families.mark(session, ann="absent", bo="present")
    families.close(session)


async def test_what_was_put_off_by_a_clock_that_was_ahead_waits_no_longer_than_it_was_meant_to(
    families: Families,
) -> None:
    families.clock.shift(timedelta(hours=2))
    await absent(families, "ann")
    assert one(families).state == "waiting"
    families.clock.shift(timedelta(hours=-2))
    assert due_in(families) > 7000
    await families.tick()
    assert one(families).state == "accepted"
    assert len(families.sent()) == 1


async def test_a_case_keeps_its_delay_whatever_the_clock_said(families: Families) -> None:
    await marked_ahead(families, delay_minutes=15)
    await families.notifier.look()
    families.clock.shift(timedelta(hours=-2))
    await families.tick()
    assert families.messages() == []
    await families.move(16)
    assert one(families).state == "accepted"


async def test_a_message_that_waits_by_right_goes_on_waiting(families: Families) -> None:
    await absent(families, "ann")
    due = now_utc() + timedelta(hours=1)
    families.set(m.Notification, {"due_at": due}, m.Notification.state == "waiting")
    await families.tick()
    assert one(families).due_at == due
    assert families.sent() == []


async def test_what_was_noted_while_the_clock_was_ahead_is_told_when_it_is_right_again(families: Families) -> None:
    await marked_ahead(families, delay_minutes=0)
    families.clock.shift(timedelta(hours=-2))
    await families.tick()
    assert one(families).state == "accepted"
