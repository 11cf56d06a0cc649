"""The webhooks plugin in a process of its own, for tests that kill it while it sends.

    python -m tests.services.killed_courier URL ENDPOINT SECRET EVENTS AHEAD

It is handed the events 1 to EVENTS from the first one on, as after every kill of the core, sends until its queue is
empty, and ends. Its clock is AHEAD seconds ahead, so that the lease of a process that was killed has run out.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from homeroom import Event
from homeroom.store import Store
from homeroom.store.cipher import Cipher
from homeroom.testing import FakeClock, services
from homeroom_webhooks import Webhooks, WebhooksSettings, queue

NAME = "lms"
AT = datetime(2026, 9, 1, 14, 0, tzinfo=UTC)


def killed_courier(url: str, endpoint: str, secret: str, *, events: int, ahead: float) -> subprocess.Popen[bytes]:
    """Start it."""
    command = [sys.executable, "-m", "tests.services.killed_courier", url, endpoint, secret, str(events), str(ahead)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE)


async def _main(url: str, endpoint: str, secret: str, events: str, ahead: str) -> None:
    clock = FakeClock(AT + timedelta(seconds=float(ahead)))
    with Store(url, cipher=Cipher([bytes(range(32))])) as store:
        given = services("webhooks", clock=clock, store=store)
        told = {"endpoints": [{"name": NAME, "url": endpoint, "secret": secret}]}
        plugin = Webhooks(WebhooksSettings.model_validate(told), given)
        await plugin.start()
        journal = [
            Event(id=n, at=AT + timedelta(hours=1), kind="attendance.recorded") for n in range(1, int(events) + 1)
        ]
        await plugin.consume(journal)
        async with asyncio.timeout(30):
            while (await store.read(lambda c: queue.lag(c, ("webhooks", NAME))))[0]:  # noqa: ASYNC110 - a database
                await asyncio.sleep(0.01)
        await plugin.stop()
        await given.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
