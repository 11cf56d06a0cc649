"""argon2id on two threads of our own: it is slow on purpose, and must neither hold up the event loop nor pile up."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

T = TypeVar("T")

THREADS = 2
WAITING = 128
"""How many may wait: at about 25 ms each on two threads, the last one waits under two seconds."""


class Overloaded(Exception):
    """More passwords are waiting to be checked than the queue holds."""


class Hasher:
    """Makes and checks password hashes. `memory_kib` and `passes` are argon2id's costs.

    The defaults are OWASP's: 19 MiB, two passes, one lane.
    """

    def __init__(self, *, memory_kib: int = 19_456, passes: int = 2, waiting: int = WAITING) -> None:
        self._argon2 = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._jobs: queue.Queue[tuple[Future[Any], Callable[[], Any]] | None] = queue.Queue(maxsize=waiting)
        self._threads: list[threading.Thread] = []
        self._nobody: str | None = None

    def start(self) -> None:
        """Start the threads."""
        self._threads = [
            threading.Thread(target=self._work, name=f"accounts-argon2-{n}", daemon=True) for n in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    async def stop(self) -> None:
        """End the threads once they have done what they are at; what still waits is called off."""
        while not self._jobs.empty():
            if job := self._jobs.get_nowait():
                job[0].cancel()
        for _ in self._threads:
            self._jobs.put_nowait(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join, 2)
        self._threads = []

    async def hash(self, password: str) -> str:
        """A hash to keep. Raises Overloaded."""
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether `password` is the one that was kept; for None the same time passes, and it is not.

        Raises Overloaded.
        """
        if kept is None:
            self._nobody = self._nobody or await self.hash("nobody has this password")
            await self._run(lambda: self._matches(self._nobody or "", password))
            return False
        return await self._run(lambda: self._matches(kept, password))

    def is_outdated(self, kept: str) -> bool:
        """Whether a hash was made with other costs than today's."""
        return self._argon2.check_needs_rehash(kept)

    def _matches(self, kept: str, password: str) -> bool:
        try:
            return self._argon2.verify(kept, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        answer: Future[T] = Future()
        try:
            self._jobs.put_nowait((answer, work))
        except queue.Full:
            raise Overloaded from None
        return await asyncio.wrap_future(answer)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            answer, work = job
            if not answer.set_running_or_notify_cancel():
                continue  # nobody waits for it any more
            try:
                answer.set_result(work())
            except BaseException as exc:  # noqa: BLE001 - it is the caller's to handle
                answer.set_exception(exc)
