"""Rules on living with others in one process: secrets are kept, the event loop turns, and a cancelled read ends."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import Any

import pytest

from homeroom.records import SisConnector
from homeroom.testing.connector_kit.heartbeat import longest_pause
from homeroom.testing.connector_kit.subject import Rules, read_all
from homeroom.testing.connector_kit.wire import Before, Hang, unreachable
from homeroom.testing.overheard import end, listening
from homeroom.testing.simulator import Simulator

_TURNS = 3  # a machine that is busy can hold up one reading; a connector that blocks does so each time
_AT_ONCE = 1.0  # seconds


class MannersRules(Rules):
    """What a connector owes to the server in which it runs."""

    def test_secrets_stay_out_of_reprs_logs_errors_and_addresses(self) -> None:
        """Logs are kept, and read by more people than the settings are."""
        told: list[tuple[str, str]] = []
        servers = [self.subject.server(*kind) for kind in ((), ("outage",), ("500",))]
        for server in servers:
            self.run(self._listened(server, told))
        if servers[0] is not None:
            self.run(self._listened(servers[0], told, before=unreachable))
            wrong = dict.fromkeys(self.subject.secrets(servers[0]), "not-the-right-one")
            self.run(self._listened(self.subject.server(), told, change=wrong))
        secrets = {name: {value} for name, value in self.subject.secrets(servers[0]).items()}
        secrets["access token"] = {token for server in servers if server is not None for token in server.tokens}
        for name, values in secrets.items():
            for where, text in told:
                if any(value in text for value in values):
                    pytest.fail(
                        f"the {name} stands in {where}; declare it SecretStr, and take its value only to send it"
                    )

    def test_the_event_loop_is_never_blocked(self) -> None:
        """While one connector computes or waits in a plain call, no student can check in."""
        pauses = [self.run(self._watched()) for _ in range(1)]
        while min(pauses)[0] > self.subject.max_block_ms and len(pauses) < _TURNS:
            pauses.append(self.run(self._watched()))
        milliseconds, where = min(pauses)
        if milliseconds > self.subject.max_block_ms:
            pytest.fail(
                f"it held the event loop for {milliseconds:.0f} ms at {where}; await what waits, and hand "
                "what computes to a thread"
            )

    def test_a_cancelled_read_ends_at_once(self) -> None:
        """A server that stops does not wait for a vendor."""
        self.run(self._cancelled())

    async def _listened(self, server: Simulator | None, told: list[tuple[str, str]], **more: Any) -> None:
        """Use the connector, and keep everything that it lets out."""
        with listening(told):
            async with self.subject.open(server, **more) as opened:
                for use in (_check, read_all):
                    try:
                        await use(opened.connector)
                    except Exception as exc:  # noqa: BLE001 - whatever it raises may be logged
                        told.append(("an error", "".join(traceback.format_exception(exc))))
                told.append(("a repr", opened.shown + repr(opened.connector)))
                if opened.wire is not None:
                    told.extend(("the address of a request", url) for url in opened.wire.urls)

    async def _watched(self) -> tuple[float, str]:
        async with self.subject.open(self.subject.server()) as opened:
            return await longest_pause(_used(opened.connector), limit_ms=self.subject.max_block_ms)

    async def _cancelled(self) -> None:
        server = self.subject.server()
        hang = Hang(after=2)
        before: Before | None = hang if server is not None else None
        async with self.subject.open(server, before=before) as opened:
            reading = asyncio.create_task(read_all(opened.connector))
            if server is not None:
                waiting = asyncio.create_task(hang.hangs.wait())
                await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            else:
                await asyncio.sleep(0)
            if reading.done():
                pytest.skip("it had read everything before it could be cancelled")
            reading.cancel()
            await asyncio.wait({reading}, timeout=_AT_ONCE)
            if not reading.done():
                end(reading)
                pytest.fail("it read on after it was cancelled; let CancelledError pass")
            if not reading.cancelled():
                reading.exception()
                pytest.fail("it took the cancellation for something else; let CancelledError pass")


async def _check(connector: SisConnector) -> None:
    for finding in await connector.check():
        logging.getLogger("homeroom.testing").debug("%s %s", finding.problem, finding.fix)


async def _used(connector: SisConnector) -> None:
    await connector.check()
    await read_all(connector)
