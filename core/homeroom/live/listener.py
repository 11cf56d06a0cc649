"""One socket's end of a board: a bounded queue, and a task that empties it only while there is something to send."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from homeroom.types import Identity

WAITING_AT_MOST = 256
"""Messages that may wait for a reader who takes none before it is told to start over."""

RESYNC = '{"type":"resync"}'
SIGNED_OUT, NOT_ALLOWED, NO_SUCH_CLASS = 4401, 4403, 4404
GOING_AWAY, TOO_TALKATIVE, UNAVAILABLE, TOO_SLOW = 1001, 1008, 1011, 1013
_MOMENT = 1.0  # seconds in which whoever reads at all has taken one
_FAR_TOO_MANY = 16  # times as many wait for nobody, for they are kept in memory
_HEARD_AT_MOST = 60  # messages from a client in a minute: a board has nothing to be told
_PATIENCE = 5.0  # seconds for the last words to a reader that does not read


class Socket(Protocol):
    """What a listener needs of a WebSocket."""

    async def accept(self, notice: str | None = None) -> None:
        """Let the client in, with the notice against passing on what it is shown. Whoever is in stays in."""
        ...

    async def send(self, data: str) -> None:
        """Send one text message."""
        ...

    async def receive(self) -> object:
        """Wait for the client's next message."""
        ...

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a code."""
        ...


Change = tuple[int, str | None, str]
"""A position in the journal, whose record it concerns, and the words."""


class Listener:
    """One person watching one class. `students` and `day` None mean that all of the class, and any day, may be seen."""

    __slots__ = (
        "_most",
        "_queue",
        "_sender",
        "_socket",
        "_taken",
        "_task",
        "basis",
        "class_id",
        "day",
        "ending",
        "enter",
        "entered",
        "held",
        "identity",
        "position",
        "renew",
        "students",
        "until",
        "waiting",
    )

    def __init__(
        self,
        socket: Socket,
        identity: Identity,
        class_id: str,
        renew: Callable[[], Awaitable[Identity]],
        enter: Callable[[Listener], None],
    ) -> None:
        self._socket = socket
        self._queue: deque[str] = deque()
        self._most = WAITING_AT_MOST
        self._taken = 0.0
        self._sender: asyncio.Task[None] | None = None
        self._task = asyncio.current_task()
        self.identity = identity
        self.class_id = class_id
        self.renew = renew
        self.enter = enter  # sees to it that those in `waiting` are entered, then calls `go_on`
        self.basis: str | None = None  # on which ground plugins allow it
        self.entered: frozenset[str] | None = None  # whose records the log says are shown; None: there is no log
        self.students: frozenset[str] | None = frozenset()
        self.day: str | None = None  # the one school day that may be seen
        self.position = 0
        self.held: list[Change] | None = []  # what came before the first words were read
        self.waiting: list[Change] = []  # what came since the first one of somebody who is not entered yet
        self.ending: int | None = None
        self.until = 0.0

    def begin(self, position: int, students: frozenset[str] | None, first: list[str]) -> None:
        """Send the first words, then whatever has come since they were read."""
        self.position, self.students = position, students
        held, self.held = self.held or [], None
        self._most += len(first) + len(held)  # nobody has had the time to read these
        for text in first:
            self._put(text)
        for message in held:
            self.show(*message)

    def show(self, position: int, student_id: str | None, text: str) -> None:
        """Send a change, unless it was sent already or concerns a student whom this person may not see.

        From the first one on that concerns a student whom the log does not yet name, changes wait until it does.
        """
        if self.held is not None:
            self.held.append((position, student_id, text))
        elif self.waiting:
            self.waiting.append((position, student_id, text))
        elif position > self.position:
            seen = student_id is None or self.students is None or student_id in self.students
            if seen and student_id is not None and self.entered is not None and student_id not in self.entered:
                self.waiting.append((position, student_id, text))
                self.enter(self)
                return
            self.position = position
            if seen:
                self.tell(text)

    def go_on(self) -> None:
        """Send what waited for an entry."""
        waiting, self.waiting = self.waiting, []
        for change in waiting:
            self.show(*change)

    def tell(self, text: str) -> None:
        """Send something that is no change, or start over a reader that is too slow."""
        if self.held is not None:  # the first words come first
            return
        waiting, most = len(self._queue), self._most
        if waiting >= most and (waiting >= _FAR_TOO_MANY * most or time.monotonic() - self._taken > _MOMENT):
            self.end(TOO_SLOW, RESYNC)
            return
        self._put(text)

    def end(self, code: int, last: str | None = None) -> None:
        """Close with `code`; nothing that waits is sent any more but `last`."""
        if self.ending is not None:
            return
        self.ending, self.until = code, time.monotonic() + _PATIENCE
        self._queue.clear()
        if last is not None:
            self._queue.append(last)
        self._wake()

    def give_up(self) -> None:
        """Drop a socket that takes not even the last words."""
        for task in (self._sender, self._task):
            if task is not None:
                task.cancel()

    async def listen(self) -> None:
        """Stay until the client leaves or `end` was called. What a client says is not heeded."""
        heard, since = 0, time.monotonic()
        try:
            while True:
                await self._socket.receive()
                heard += 1
                if time.monotonic() - since > 60:  # noqa: PLR2004 - a minute
                    heard, since = 0, time.monotonic()
                if heard > _HEARD_AT_MOST:
                    self.end(TOO_TALKATIVE)
        except asyncio.CancelledError:
            if self.ending is None:
                raise
        finally:
            if self._sender is not None:
                self._sender.cancel()

    def _put(self, text: str) -> None:
        if self.ending is None:
            self._queue.append(text)
            self._wake()

    def _wake(self) -> None:
        if self._sender is None:
            self._taken = time.monotonic()
            self._sender = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._queue:
                await self._socket.send(self._queue.popleft())
                self._taken = time.monotonic()
            self._most = WAITING_AT_MOST
            if self.ending is not None:
                await self._socket.close(self.ending)
                if self._task is not None:
                    self._task.cancel()
        finally:
            self._sender = None
