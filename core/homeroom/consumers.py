"""Hands the journal to a plugin's `consume`: in order, at least once, by one process at a time.

The cursor lies in the database and moves only over what the plugin says it is done with. A failure is tried again from
the same place, after longer and longer waits, and is shown red; nothing is skipped but by an administrator.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

import structlog

from homeroom.host.answers import describe
from homeroom.live.tail import Tail, events_after
from homeroom.store import Connection, Store, StoreError, Transaction, conflict, iso, not_found, now_utc
from homeroom.store.leases import KeptLease
from homeroom.store.models import Cursor
from homeroom.types import Event

log = structlog.get_logger("homeroom.jobs")

LEASE_SECONDS = 90.0  # longer than a plugin may take over one batch
_AT_ONCE = 500
_IDLE_SECONDS = 5.0
_LONGEST_WAIT = 300.0

_MOVE = """
INSERT INTO cursors (consumer, position, failures) VALUES (?, ?, 0)
ON CONFLICT (consumer) DO UPDATE SET position = excluded.position, failures = 0, error = NULL, retry_at = NULL
WHERE cursors.position < excluded.position
"""
_FAIL = """
INSERT INTO cursors (consumer, position, failures, error, retry_at) VALUES (?, 0, 1, ?, ?)
ON CONFLICT (consumer) DO UPDATE
SET failures = cursors.failures + 1, error = excluded.error, retry_at = excluded.retry_at
"""


class Host(Protocol):
    """What a consumer needs of the plugin host."""

    async def ask(self, name: str, hook: str, **arguments: Any) -> Any:
        """One plugin's Answer, or None when it is off."""
        ...


def name_of(plugin: str) -> str:
    """The name of a plugin's cursor and lease."""
    return f"consume:{plugin}"


def skip_event(tx: Transaction, plugin: str, event_id: int) -> None:
    """Let a plugin go on after an event that it cannot take: an administrator's decision, kept in the journal.

    Raises Refused 409 when `event_id` is not the one at which the plugin stands.
    """
    rows = tx.sql("SELECT position FROM cursors WHERE consumer = ?", (name_of(plugin),))
    if not rows:
        raise not_found("This plugin has taken no events yet.")
    following = events_after(tx, rows[0][0], 1)
    if not following or following[0].id != event_id:
        raise conflict("not-the-next-event", "The plugin does not stand at this event; look again.")
    tx.write_sql(_MOVE, (name_of(plugin), event_id))
    tx.journal("consumer.skipped", subject_id=plugin, data={"event": event_id, "kind": following[0].kind})


class Consumer:
    """One plugin's reading of the journal in this process. `error` says why it stands still, where it does."""

    def __init__(self, plugin: str, *, host: Host, store: Store, tail: Tail, holder: str) -> None:
        self.plugin = plugin
        self.error: str | None = None
        self.position = 0
        self._name = name_of(plugin)
        self._host = host
        self._store = store
        self._tail = tail
        self._lease = KeptLease(store, self._name, holder, seconds=LEASE_SECONDS)
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Go on until cancelled."""
        stop_listening = self._tail.listen(lambda _event: self._news.set())
        try:
            while True:
                try:
                    wait = await self.step()
                except StoreError as exc:
                    self.error, wait = str(exc), _IDLE_SECONDS
                if wait:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait):
                            await self._news.wait()
        finally:
            stop_listening()

    async def let_go(self) -> None:
        """Let another process go on at once."""
        await self._lease.give_back()

    async def step(self) -> float:
        """Hand over what is next, if it is this process's turn; gives how long to wait for more, in seconds."""
        if not await self._lease.take():
            await asyncio.sleep(_IDLE_SECONDS)  # another process does it; news does not change that
            return 0.0
        self._news.clear()
        position, error, retry_at = await self._store.read(self._standing)
        self.position, self.error = position, error
        if retry_at is not None and (left := (retry_at - now_utc()).total_seconds()) > 0:
            await asyncio.sleep(min(left, _IDLE_SECONDS))  # news does not make it better
            return 0.0
        events = await self._store.read(lambda connection: events_after(connection, position, _AT_ONCE))
        if not events:
            return _IDLE_SECONDS
        answer = await self._host.ask(self.plugin, "consume", events=events)
        if answer is None:  # switched off meanwhile
            return _IDLE_SECONDS
        problem = _problem(answer, position, events)
        if problem is None:
            self.position, self.error = answer.value, None
            await self._store.write(lambda tx: tx.write_sql(_MOVE, (self._name, answer.value)))
            return 0.0
        self.error = problem
        log.warning("consumer_failed", plugin=self.plugin, after=position, error=problem)
        await self._store.write(self._failed(problem))
        return 0.0

    def _standing(self, connection: Connection) -> tuple[int, str | None, Any]:
        row = connection.get(Cursor, self._name)
        return (0, None, None) if row is None else (row.position, row.error, row.retry_at)

    def _failed(self, problem: str) -> Any:
        def unit(tx: Transaction) -> None:
            rows = tx.sql("SELECT failures FROM cursors WHERE consumer = ?", (self._name,))
            wait = min(2.0 ** (rows[0][0] if rows else 0), _LONGEST_WAIT)
            tx.write_sql(_FAIL, (self._name, problem, iso(tx.now + timedelta(seconds=wait))))

        return unit


def _problem(answer: Any, position: int, events: Sequence[Event]) -> str | None:
    """Why an answer cannot be taken, or None."""
    if answer.error is not None:
        return describe(answer.error)
    done = answer.value
    if not isinstance(done, int) or isinstance(done, bool) or done > events[-1].id:
        return "it did not answer with the id of an event it was given"
    return "it took none of the events it was given" if done <= position else None
