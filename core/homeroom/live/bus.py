"""Wakes whoever follows the journal: at once in this process, through Redis in the others.

It only ever wakes. What happened is read from the journal, and the journal is looked at every half second in any case,
so a Redis that is lost costs half a second and never an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any

import structlog

from homeroom.store import Store

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger("homeroom.live")

_KEPT = 64  # entries of the stream: they only wake
_BLOCK_MS = 5000
_SILENCE = 10.0  # seconds without an answer after which Redis counts as lost
_RETRY_SECONDS = 0.5


class Bus:
    """One process's end of the bus; `redis_url` None means that no other process serves."""

    def __init__(self, store: Store, redis_url: str | None = None) -> None:
        self._store = store
        self._url = redis_url
        self._me = secrets.token_hex(8)
        self._stream = f"homeroom:{store.cipher.derive('bus').hex()[:16]}"
        self._woken = asyncio.Event()
        self._to_tell = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._lost: str | None = None

    async def start(self) -> None:
        """Wake on every commit from now on."""
        self._loop = asyncio.get_running_loop()
        self._store.committed.append(self._committed)
        if self._url is not None:
            self._tasks = [
                asyncio.create_task(self._keep(self._listen), name="bus-listen"),
                asyncio.create_task(self._keep(self._tell), name="bus-tell"),
            ]

    async def stop(self) -> None:
        """Wake no more."""
        with contextlib.suppress(ValueError):
            self._store.committed.remove(self._committed)
        left = set(self._tasks)
        while left:  # told again until it is heard: the driver sends by asyncio.wait_for, which may lose the word
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=1)
        self._tasks = []

    async def wait(self, seconds: float) -> None:
        """Return when there is something new, at the latest after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    def health(self) -> dict[str, Any]:
        """Whether the other processes are woken at once, for an administrator."""
        if self._url is None:
            return {"ok": True, "detail": "not used: this process serves alone"}
        if self._lost is not None:
            return {"ok": False, "detail": f"cannot be reached ({self._lost}); changes arrive half a second later"}
        return {"ok": True, "detail": "reached"}

    def _committed(self) -> None:
        """Called on the writer thread after each commit."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._woken.set()
        self._to_tell.set()

    async def _keep(self, work: Any) -> None:
        """Do `work` with a connection, and again with a new one whenever that is lost."""
        from redis.asyncio import Redis
        from redis.exceptions import RedisError

        while True:
            client: Redis = Redis.from_url(self._url or "", socket_connect_timeout=2, socket_timeout=_SILENCE)
            try:
                await client.ping()
                self._lost = None
                await work(client)
            except (RedisError, OSError) as exc:
                if self._lost is None:
                    log.warning("redis_lost", error=type(exc).__name__)
                self._lost = type(exc).__name__
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await client.aclose()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self, client: Redis) -> None:
        newest: Any = await client.xrevrange(self._stream, count=1)
        last = newest[0][0] if newest else b"0"
        self._woken.set()  # what was told while nobody listened
        while True:
            found: Any = await client.xread({self._stream: last}, count=_KEPT, block=_BLOCK_MS)
            for _, entries in found or ():
                last = entries[-1][0]
                if any(fields.get(b"from") != self._me.encode() for _, fields in entries):
                    self._woken.set()

    async def _tell(self, client: Redis) -> None:
        while True:
            await self._to_tell.wait()
            self._to_tell.clear()  # before telling: what is committed meanwhile is told once more
            await client.xadd(self._stream, {"from": self._me}, maxlen=_KEPT, approximate=True)
