"""A mail of which nobody knows whether SendGrid has it: its silence counts only where it was surely listened to."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from quart import Quart

from homeroom import DeliveryReport, Message, NotSent
from homeroom.testing import FakeClock, KeptMessages, RunningPlugin, routes_app, running_plugin, services
from homeroom_sendgrid import SendGrid
from homeroom_sendgrid.simulator import SendGridSimulator

SCOPES = frozenset({"message.email"})


class Faltering(KeptMessages):
    """An outbox that cannot store while it is `away`."""

    away = False

    async def report(self, report: DeliveryReport) -> bool:
        if self.away:
            raise OSError
        return await super().report(report)


@dataclass(kw_only=True)
class Listening:
    """A running plugin, and SendGrid that tells of other mails."""

    plugin: RunningPlugin
    app: Quart
    simulator: SendGridSimulator
    clock: FakeClock
    outbox: Faltering

    async def tells(self, *, ours: bool = True, at: datetime | None = None) -> int:
        """An event of another mail comes; gives the status of the answer."""
        at = at or self.clock.now()
        event = {"event": "processed", "timestamp": int(at.timestamp()), "email": "other@family.example"}
        body = orjson.dumps([{**event, **({"homeroom": "another"} if ours else {})}])
        headers = self.simulator.signed(body, at=self.clock.now())
        answer = await self.app.test_client().post("/plugins/sendgrid/events", data=body, headers=headers)
        return answer.status_code

    async def found(self, attempted_at: datetime) -> Any:
        """What is said of a mail whose sending began then."""
        message = Message(
            id="m",
            channel="email",
            to="pat@family.example",
            subject="s",
            body="b",
            created_at=attempted_at,
            attempted_at=attempted_at,
        )
        return await self.plugin.ask("find_delivery", message=message)

    def later(self, minutes: float) -> None:
        """Let time pass."""
        self.clock.move(minutes * 60)


@contextlib.asynccontextmanager
async def listening(clock: FakeClock | None = None, kv: Any = None, **settings: Any) -> AsyncIterator[Listening]:
    simulator, outbox, clock = SendGridSimulator(), Faltering(), clock or FakeClock()
    given = services("sendgrid", scopes=SCOPES, http=simulator.app, clock=clock, messages=outbox)
    if kv is not None:
        given.kv = kv
    told = {**simulator.settings("https://api.sendgrid.example"), **settings}
    async with running_plugin(SendGrid, told, services=given) as plugin:
        app = routes_app(await plugin.ask("routes"))
        yield Listening(plugin=plugin, app=app, simulator=simulator, clock=clock, outbox=outbox)


async def test_a_mail_of_which_no_event_came_while_later_ones_did_was_not_sent() -> None:
    async with listening() as there:
        there.later(60)
        began = there.clock.now()
        there.later(29)
        assert await there.tells() == 204
        assert await there.found(began) is None  # that one happened within the half hour
        there.later(2)
        assert await there.found(began) is None  # nothing has come since
        assert await there.tells() == 204
        assert await there.found(began) == NotSent()


async def test_events_of_other_senders_and_those_that_come_late_prove_nothing() -> None:
    async with listening() as there:
        there.later(60)
        began = there.clock.now()
        there.later(120)
        await there.tells(ours=False)
        await there.tells(at=began + timedelta(minutes=29))
        assert await there.found(began) is None


async def test_without_any_event_nothing_is_known() -> None:
    async with listening() as there:
        began = there.clock.now()
        there.later(600)
        assert await there.found(began) is None


async def test_the_district_chooses_how_long_events_are_waited_for() -> None:
    async with listening(webhook_grace_minutes=120) as there:
        there.later(500)
        began = there.clock.now()
        for minutes, said in ((119, None), (2, NotSent())):
            there.later(minutes)
            await there.tells()
            assert await there.found(began) == said


@pytest.mark.parametrize(("away", "listened", "said"), [(1, 28, None), (1, 31, NotSent()), (120, 119, None)])
async def test_after_a_start_it_must_have_listened_as_long_as_it_may_have_been_away(
    away: int, listened: int, said: NotSent | None
) -> None:
    clock = FakeClock()
    async with listening(clock) as before:
        before.later(600)
        began, kept = clock.now(), before.plugin.services.kv
    clock.move(away * 60)
    async with listening(clock, kept) as there:
        there.later(listened)
        await there.tells()
        assert await there.found(began) == said


async def test_events_that_could_not_be_stored_come_again_and_are_waited_for() -> None:
    async with listening() as there:
        there.later(600)
        began = there.clock.now()
        there.later(20)
        there.outbox.away = True
        assert await there.tells() == 503
        there.outbox.away = False
        there.later(15)
        assert await there.tells() == 204
        assert await there.found(began) is None
        there.later(16)
        assert await there.found(began) == NotSent()


async def test_other_channels_are_none_of_its_business() -> None:
    async with listening() as there:
        text = Message(id="m", channel="sms", to="+13125550100", body="b", created_at=there.clock.now())
        assert await there.plugin.ask("find_delivery", message=text) is None
