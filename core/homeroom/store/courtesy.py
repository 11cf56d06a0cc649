"""How a run lets check-ins pass: the more others write meanwhile, the longer it rests between two steps."""

from __future__ import annotations

import asyncio
import time

from homeroom.store import Store

_MANY = 5  # units of others in one step: a rush
_LONGEST = 0.4  # seconds of one rest


class Courtesy:
    """Rests after a step in which others wrote: in a rush for five times as long as the step took, else less.

    Alone it never rests. What this process does not see, another server's check-ins, it does not heed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._since = time.monotonic()
        self._done = store.done
        self._awake = asyncio.Event()
        self._awake.set()

    async def rested(self) -> None:
        """Come back when no rest goes on: what is done ahead for a later step waits, too."""
        await self._awake.wait()

    async def give_way(self) -> None:
        """One step, which was one unit of work, is done: let others go first, if there are any."""
        others = self._store.done - self._done - 1
        if others > 0:
            took = time.monotonic() - self._since
            self._awake.clear()
            try:
                await asyncio.sleep(min(5 * took * min(1.0, others / _MANY), _LONGEST))
            finally:
                self._awake.set()
        self._since = time.monotonic()
        self._done = self._store.done
