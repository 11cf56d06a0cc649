"""Rules on living with others in one process: what is private is kept, the event loop turns, and a cancel is heard."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_plus

import httpx2
import pytest

from homeroom.testing.channel_kit.subject import (
    Opened,
    Rules,
    Vendor,
    lost_answer,
    one_letter_wrong,
    private,
)
from homeroom.testing.channel_simulator import ChannelSimulator
from homeroom.testing.connector_kit.heartbeat import longest_pause
from homeroom.testing.connector_kit.wire import Hang, unreachable
from homeroom.testing.overheard import Told, end, listening

_TURNS = 3  # a machine that is busy can hold up one delivery; a channel that blocks does so each time
_AT_ONCE = 1.0  # seconds
_NUMBERS = (1, 2, 3)


class MannersRules(Rules):
    """What a channel owes to the server in which it runs."""

    def test_what_is_private_stays_out_of_reprs_logs_errors_and_addresses(self) -> None:
        """Secrets, families' addresses, and what they are told: logs are kept, and read by many."""
        told, asked = self._overheard()
        secrets = self.subject.secrets(self.subject.vendor())
        personal = [private(self.subject.message(number)) for number in _NUMBERS]
        for name, value in secrets.items():
            for where, text in [*told, *(("the address of a request", url) for url in asked)]:
                if value in text:
                    pytest.fail(
                        f"the {name} stands in {where}; declare it SecretStr, and take its value only to send it"
                    )
        for where, text in told:
            for what in ("address", "text"):
                if any(one[what] in text for one in personal):
                    pytest.fail(f"the {what} of a message stands in {where}; tell of a message by its id")

    def test_the_event_loop_is_never_blocked(self) -> None:
        """While one channel computes or waits in a plain call, no student can check in."""
        pauses = [self.run(self._watched())]
        while min(pauses)[0] > self.subject.max_block_ms and len(pauses) < _TURNS:
            pauses.append(self.run(self._watched()))
        milliseconds, where = min(pauses)
        if milliseconds > self.subject.max_block_ms:
            pytest.fail(
                f"it held the event loop for {milliseconds:.0f} ms at {where}; await what waits, and hand what "
                "computes to a thread"
            )

    def test_a_cancelled_delivery_ends_at_once(self) -> None:
        """A server that stops, or a deadline that is over, waits for no vendor."""
        self.run(self._cancelled())

    def _overheard(self) -> tuple[Told, list[str]]:
        """What the channel let out, in good times and bad, and the addresses that it asked."""
        told: Told = []
        asked: list[str] = []
        wrong = one_letter_wrong(self.subject.secrets(self.subject.vendor()))
        lost = self.subject.vendor()
        times: list[tuple[Vendor, dict[str, Any]]] = [
            *((self.subject.vendor(*kinds), {}) for kinds in self._kinds()),
            (self.subject.vendor(), {"before": unreachable}),
            (self.subject.vendor(), {"before": _fails}),
            (self.subject.vendor(), {"change": wrong}),
            (lost, {"after": lost_answer(lost, httpx2.ReadError)}),
        ]
        for vendor, how in times:
            self.run(self._listened(vendor, told, asked, **how))
        return told, asked

    def _kinds(self) -> list[tuple[str, ...]]:
        kinds = ("refuse", "outage", "html", "truncated")
        return [(), *((kind,) for kind in kinds if kind in self.subject.simulator.kinds)]

    async def _listened(self, vendor: Vendor, told: Told, asked: list[str], **how: Any) -> None:
        """Use the channel, and keep everything that it lets out."""
        with listening(told):
            async with self.subject.open(vendor, **how) as opened:
                for use in self._uses(opened):
                    try:
                        told.append(("what it answered", repr(await use())))
                    except Exception as exc:  # noqa: BLE001 - whatever it raises may be logged
                        told.append(("an error", "".join(traceback.format_exception(exc))))
                plugin = opened.plugin
                told.append(("a repr", f"{plugin.instance!r} {plugin.settings!r} {plugin.settings}"))
                told.append(("what it reported", repr([*opened.kept.reports, *opened.kept.news])))
                asked.extend(unquote_plus(url) for url in opened.wire.urls)

    def _uses(self, opened: Opened) -> list[Callable[[], Awaitable[object]]]:
        """All that a channel is used for, in this order."""
        ask, hooks = opened.plugin.ask, opened.plugin.hooks
        messages = [self.subject.message(number) for number in _NUMBERS]
        uses: list[Callable[[], Awaitable[object]]] = [lambda: ask("health")] if "health" in hooks else []
        uses += [lambda message=message: ask("deliver", message=message) for message in messages]  # type: ignore[misc] # mypy takes no defaults here
        if "find_delivery" in hooks:
            uses += [lambda message=message: ask("find_delivery", message=message) for message in messages]  # type: ignore[misc]
        if "suppressions" in hooks:
            uses.append(lambda: ask("suppressions", since=None))
        return [*uses, lambda: _called_back(opened, messages[0].to)]

    async def _watched(self) -> tuple[float, str]:
        async with self.subject.open(self.subject.vendor()) as opened:

            async def used() -> None:
                for use in self._uses(opened):
                    await use()

            return await longest_pause(used(), limit_ms=self.subject.max_block_ms)

    async def _cancelled(self) -> None:
        hang = Hang(after=0)
        async with self.subject.open(self.subject.vendor(), before=hang) as opened:
            asking = asyncio.create_task(opened.plugin.ask("deliver", message=self.subject.message()))
            waiting = asyncio.create_task(hang.hangs.wait())
            await asyncio.wait({asking, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if asking.done():
                pytest.fail("deliver() answered before it had asked the vendor anything; await the vendor's answer")
            name = f"{opened.plugin.services.name}.deliver"
            delivering = next(task for task in asyncio.all_tasks() if task.get_name() == name)
            asking.cancel()
            await asyncio.wait({asking, delivering}, timeout=_AT_ONCE)
            if not delivering.done():
                end(delivering)
                pytest.fail("deliver() went on after it was cancelled; let CancelledError pass")
            if not delivering.cancelled():
                delivering.exception()
                pytest.fail("deliver() took the cancellation for something else; let CancelledError pass")


async def _called_back(opened: Opened, to: str) -> None:
    """Everything that the vendor tells, somebody's opt-out, and a forged call."""
    simulator, door = opened.vendor.simulator, opened.vendor.door
    if type(simulator).opt_out is not ChannelSimulator.opt_out:
        simulator.opt_out(to)
    await simulator.called_back()
    for call, _ in door.calls[:1]:
        await door.post(replace(call, body=call.body + b" "))


async def _fails(request: httpx2.Request) -> httpx2.Response | None:
    return httpx2.Response(500, html="<h1>Internal error</h1>", request=request)
