"""The network between a server and its database: a proxy that can be cut, held up and healed."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Self

_PIECE = 1 << 16


class Proxy:
    """Listens on a port of loopback and passes everything on to a unix socket, for as long as it may."""

    def __init__(self, target: Path) -> None:
        self._target = str(target)
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._is_cut = False
        self._open: set[asyncio.StreamWriter] = set()
        self._pairs: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._taken, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        self.heal(forget=True)
        for pair in self._pairs:
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    def cut(self) -> None:
        """End every connection, and each new one as it is made."""
        self._is_cut = True
        self._abort()

    def stall(self) -> None:
        """Let nothing through in either direction; connections stay, and new ones are made."""
        self._flowing.clear()

    def heal(self, *, forget: bool = False) -> None:
        """Let everything through again, also what was held up; `forget` ends the connections that there are."""
        if forget:
            self._abort()
        self._is_cut = False
        self._flowing.set()

    def _abort(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        task.add_done_callback(self._pairs.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._join(reader, writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self._is_cut:
                return
            far_reader, far_writer = await asyncio.open_unix_connection(self._target)
            self._open.add(far_writer)
            try:
                await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
            finally:
                self._open.discard(far_writer)
                far_writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PIECE):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        await self._flowing.wait()
        with contextlib.suppress(OSError):  # not every kind of end can be told
            writer.write_eof()
