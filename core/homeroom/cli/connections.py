"""Hypercorn's `serve`, with connections that end when their clients do.

Hypercorn 0.18 keeps a connection that its client has closed until its time to be kept alive is over, with its file and
two tasks: a school of phones would use up a process's files within its first minute.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.asyncio import run
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config
from hypercorn.events import Event, Updated


class Connection(TCPServer):
    """One that waits for no more requests when its client has hung up; an answer that is being made is still made."""

    _hung_up = False

    async def protocol_send(self, event: Event) -> None:
        """Send, close, or begin to wait for the next request: unless none can come."""
        if not (self._hung_up and isinstance(event, Updated)):
            await super().protocol_send(event)

    async def _read_data(self) -> None:
        await super()._read_data()
        self._hung_up = True
        await self.idle_task.stop()


async def serve(app: Any, config: Config, *, stop: Callable[[], Awaitable[object]]) -> None:
    """Serve an ASGI application until `stop` returns. Raises hypercorn's LifespanFailureError."""
    run.TCPServer = Connection  # type: ignore[attr-defined]
    await hypercorn_serve(app, config, shutdown_trigger=stop)
