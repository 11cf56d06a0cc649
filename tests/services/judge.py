"""A simulator on loopback behind Prism: a request or an answer that breaks the vendor's own description is an error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from hypercorn.asyncio import serve
from quart import Quart

from homeroom.cli.server import hypercorn_config, listen, url_of
from tests.services import prism


@contextlib.asynccontextmanager
async def on_loopback(app: Quart) -> AsyncIterator[str]:
    """The address of the app on a real server."""
    stopping = asyncio.Event()
    with listen("127.0.0.1", 0) as listening:
        config = hypercorn_config(listening, None)
        config.graceful_timeout = 0.2
        task = asyncio.create_task(serve(app, config, shutdown_trigger=stopping.wait))
        yield url_of(listening)
        stopping.set()
        await task


@contextlib.asynccontextmanager
async def judged(url: str, specification: Path) -> AsyncIterator[str]:
    """An address before the server at `url`."""
    opened = prism.proxy(specification, url)
    judge = await asyncio.to_thread(opened.__enter__)
    try:
        yield judge
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)
