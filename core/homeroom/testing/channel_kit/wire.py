"""What lies between a channel and its simulated vendor, in both directions: requests out, and callbacks in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import orjson

from homeroom.testing.channel_simulator import ChannelSimulator
from homeroom.testing.connector_kit.wire import After, Before, Wire

if TYPE_CHECKING:
    from quart import Quart

PUBLIC_URL = "https://homeroom.example"


class ChannelWire(Wire):
    """Carries requests to a simulator and keeps them. A vendor that hangs is a time-out at once, and not after it."""

    def __init__(
        self, simulator: ChannelSimulator, *, before: Before | None = None, after: After | None = None
    ) -> None:
        super().__init__(simulator.app, before=before, after=after)
        self._hanging = simulator.hanging
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The simulator's answer, unless something is in the way."""
        await request.aread()
        self.requests.append(request)
        answering = asyncio.ensure_future(super().handle_async_request(request))
        hanging = asyncio.ensure_future(self._hanging.wait())
        try:
            await asyncio.wait({answering, hanging}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            self._hanging.clear()
            raise httpx2.ReadTimeout("the vendor does not answer", request=request)
        finally:
            answering.cancel()
            hanging.cancel()


def written_in(request: httpx2.Request) -> list[str]:
    """Every text in a request's body: each value by itself where it is JSON or a form."""
    try:
        return list(_texts(orjson.loads(request.content)))
    except orjson.JSONDecodeError:
        body = request.content.decode(errors="replace")
    if "form-urlencoded" in request.headers.get("content-type", ""):
        return [text for pair in parse_qsl(body, keep_blank_values=True) for text in pair]
    return [body]


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for name, value in data.items():
            yield name
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)
    else:
        yield str(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """What the vendor sent to Homeroom."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Door:
    """The way by which a simulator calls back: into the plugin's routes, once they are open.

    While `may_pass` is not set, callbacks wait before the door.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Callback, int]] = []
        self.strays: list[str] = []
        self.may_pass = asyncio.Event()
        self.may_pass.set()
        self._client: httpx2.AsyncClient | None = None

    @property
    def is_open(self) -> bool:
        """Whether the plugin has routes."""
        return self._client is not None

    def open(self, routes: Quart) -> None:
        """Let callbacks in."""
        transport = httpx2.ASGITransport(app=routes)  # type: ignore[arg-type] # Quart's ASGI types are its own
        self._client = httpx2.AsyncClient(transport=transport)

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer to a callback, which is kept with it."""
        await self.may_pass.wait()
        if not url.startswith(f"{PUBLIC_URL}/"):
            self.strays.append(urlsplit(url).netloc)
            return 404
        call = Callback(url=url, headers=dict(headers), body=body)
        status = await self.post(call)
        self.calls.append((call, status))
        return status

    async def post(self, call: Callback, body: AsyncIterator[bytes] | None = None) -> int:
        """The status of the answer to a callback, perhaps with another body."""
        if self._client is None:
            return 404
        content = call.body if body is None else body
        return (await self._client.post(call.url, headers=dict(call.headers), content=content)).status_code
