"""What every messaging vendor's simulator shares: what was sent, callbacks, and how real vendors misbehave.

A simulator counts what it has taken by itself, whatever it has answered: a message that was taken twice is seen there,
and nowhere else. It calls back where the plugin has asked to be called, over real HTTP unless a test gives `post`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import httpx2
from quart import Response

from homeroom.testing.sample import SampleDistrict
from homeroom.testing.simulator import Simulator

CHANNEL_MISBEHAVIOURS: Mapping[str, str] = {
    "429": "every third request is refused with 429 and Retry-After: 0",
    "429-bare": "every third request is refused with 429 and no Retry-After",
    "500": "every fourth request fails with 500, and takes nothing",
    "outage": "every request is sent to an HTML page that says the system is down for maintenance",
    "html": "every third answer is an HTML page with status 200, and nothing was taken",
    "truncated": "every fourth answer is cut off in the middle, after the message was taken",
    "slow-drip": "answers arrive a few bytes at a time",
    "take-and-hang": "every third message is taken and never answered",
    "take-and-break": "every third message is taken, then the answer is a 502 of a proxy in between",
    "refuse": "every third message is refused for good",
    "shuffled-callbacks": "callbacks come twice, and the last one first",
    "no-callbacks": "nothing is ever called back",
}
"""What `homeroom simulate NAME --misbehave KIND` takes for a messaging vendor."""

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
"""Sends a callback (URL, headers, body), and gives the status of the answer."""


@dataclass(slots=True, kw_only=True)
class Taken:
    """One message that was taken; `message_id` is the outbox row, where the vendor keeps it, `more` its own facts."""

    provider_id: str
    channel: str
    to: str = field(repr=False)
    subject: str = field(default="", repr=False)
    body: str = field(repr=False)
    message_id: str | None = None
    at: datetime
    state: str = "accepted"
    more: dict[str, Any] = field(default_factory=dict, repr=False)


class ChannelSimulator(Simulator):
    """One messaging vendor's server. Subclasses add routes, append to `taken`, and call back with `call_back`.

    Whoever takes a message asks `refuses` and `shows_a_page` before, and `spoil` after it stands in `taken`. One whose
    vendor tells nothing by itself says `calls_back = False`, and leaves what it cannot do out of `kinds`. `hanging` is
    set while it keeps somebody waiting for an answer that never comes.
    """

    kinds: ClassVar[Mapping[str, str]] = CHANNEL_MISBEHAVIOURS
    inspection_path: ClassVar[str] = "/_simulator/messages"
    spoiled_statuses: ClassVar[frozenset[int]] = frozenset({200, 201, 202})
    calls_back: ClassVar[bool] = True

    def __init__(
        self,
        district: SampleDistrict | None = None,
        *,
        misbehave: Collection[str] = (),
        post: Post | None = None,
    ) -> None:
        super().__init__(district or SampleDistrict(), misbehave=misbehave)
        self.taken: list[Taken] = []
        self.hanging = asyncio.Event()
        self._never = asyncio.Event()
        self._post = post or _over_http
        self._callbacks: set[asyncio.Task[None]] = set()

    def inspection(self) -> dict[str, Any]:
        """What was taken: without addresses and texts, which are nobody's business but the test's own."""
        return {
            "messages": [
                {"provider_id": one.provider_id, "message_id": one.message_id, "state": one.state} for one in self.taken
            ]
        }

    def set_up_callbacks(self, plugin_url: str) -> None:
        """Somebody enters in the vendor's console where it calls: below `plugin_url`, where the plugin's routes are.

        Nothing to do where the plugin says so with each message.
        """

    def opt_out(self, address: str) -> None:
        """The owner of `address` wants no more messages: from now on it is refused, told of, and listed as such.

        Optional; called while an event loop runs. Tell of it with `call_back`, as the vendor would.
        """
        raise NotImplementedError

    async def spoil(self) -> Response | None:
        """The answer that takes the place of the good one after a message was taken, where it is misbehaving's turn."""
        if self._every("take-and-hang", 3):
            self.hanging.set()
            await self._never.wait()
        if self._every("take-and-break", 3):
            return Response("<h1>Bad gateway</h1>", 502, {"Content-Type": "text/html"})
        return None

    def refuses(self) -> bool:
        """Whether the message at hand is one that it refuses for good."""
        return self._every("refuse", 3)

    def shows_a_page(self) -> bool:
        """Whether the answer is an HTML page this time, and nothing is taken."""
        return self._every("html", 3)

    def call_back(self, calls: list[tuple[str, Mapping[str, str], bytes]]) -> None:
        """Send these callbacks in order, soon; each as (URL, headers, raw body)."""
        if "no-callbacks" in self.misbehave:
            return
        if "shuffled-callbacks" in self.misbehave:
            calls = [*reversed(calls), *calls]
        task = asyncio.create_task(self._call(calls))
        self._callbacks.add(task)
        task.add_done_callback(self._callbacks.discard)

    async def called_back(self) -> None:
        """Return when every callback so far has been sent."""
        while self._callbacks:
            await asyncio.gather(*self._callbacks, return_exceptions=True)

    async def _call(self, calls: list[tuple[str, Mapping[str, str], bytes]]) -> None:
        for url, headers, body in calls:
            with contextlib.suppress(httpx2.HTTPError, OSError):
                await self._post(url, headers, body)


async def _over_http(url: str, headers: Mapping[str, str], body: bytes) -> int:
    async with httpx2.AsyncClient(timeout=15, trust_env=False) as client:
        return (await client.post(url, headers=dict(headers), content=body)).status_code
