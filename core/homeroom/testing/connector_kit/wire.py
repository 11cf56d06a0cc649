"""What lies between a connector and its simulator: everything that passes is kept, and the kit can get in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from quart import Quart

Before = Callable[[httpx2.Request], Awaitable[httpx2.Response | None]]
After = Callable[[httpx2.Request, httpx2.Response], Awaitable[None]]


class Wire(httpx2.AsyncBaseTransport):
    """Carries requests to `app`. `before` may answer in its place or raise; `after` may lose an answer by raising."""

    def __init__(self, app: Quart, *, before: Before | None = None, after: After | None = None) -> None:
        self._inner = httpx2.ASGITransport(app=app)  # type: ignore[arg-type] # Quart's ASGI types are its own
        self.before = before
        self.after = after
        self.urls: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The simulator's answer, unless something is in the way."""
        self.urls.append(str(request.url))
        if self.before is not None and (answer := await self.before(request)) is not None:
            return answer
        answer = await self._inner.handle_async_request(request)
        if self.after is not None:
            await self.after(request, answer)
        return answer


async def unreachable(request: httpx2.Request) -> httpx2.Response | None:
    """Nobody answers at that address."""
    raise httpx2.ConnectError("nobody answers", request=request)


class Hang:
    """Lets some requests through, and never answers the next one."""

    def __init__(self, after: int) -> None:
        self._left = after
        self.hangs = asyncio.Event()

    async def __call__(self, _request: httpx2.Request) -> httpx2.Response | None:
        """Nothing in place of the simulator's answer, until it hangs."""
        self._left -= 1
        if self._left >= 0:
            return None
        self.hangs.set()
        await asyncio.Event().wait()
        return None
