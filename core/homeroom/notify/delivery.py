"""Sending what is due: claimed in one transaction, begun in another, handed to a plugin, and settled by its answer.

Killed anywhere, each message is either surely not sent (claimed, not begun), or unknown, and a vendor is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import structlog

from homeroom.host.threads import THREADS
from homeroom.notify import claims, clocks, outcomes
from homeroom.notify.claims import Claimed
from homeroom.notify.outcomes import Answer
from homeroom.notify.settings import FAMILY
from homeroom.notify.unknown import Asked, asked_about, orphans, overdue
from homeroom.settings import Settings
from homeroom.store import Store, StoreError, Transaction, new_id, now_utc
from homeroom.types import AccessRequest, Identity, NotSent, Receipt

log = structlog.get_logger("homeroom.notify")

_BATCH = 64
_AHEAD = 16  # messages whose turn comes next: while they wait, more are claimed
_FRESH = 30.0  # seconds after the claim in which a message may still be begun; far less than a lease lasts
_RESTS = timedelta(seconds=30)  # of a channel whose vendor asks for time without saying how much
_LONGEST_REST = timedelta(minutes=15)
_IN_VAIN = 3  # tries in a row that its vendor puts off, before the whole channel rests
_ASKED_AT_ONCE = 4
_NOT_CHECKED = "denied: access could not be checked"
_LOOK_AGAIN = timedelta(minutes=1)
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between tries to keep an answer: it cannot be had again


class Host(Protocol):
    """What is needed of the plugin host."""

    async def ask(self, name: str, hook: str, **arguments: Any) -> Any:
        """One plugin's Answer, or None when it is off."""
        ...

    async def ask_all(self, hook: str, **arguments: Any) -> Sequence[Any]:
        """Every plugin's Answer."""
        ...

    async def ask_first(self, hook: str, **arguments: Any) -> Any:
        """The first Answer that there is, or None."""
        ...

    def implements(self, hook: str) -> bool:
        """Whether any plugin would be asked."""
        ...

    def senders(self, channel: str) -> tuple[str, ...]:
        """Names of the plugins that would be asked to deliver on a channel."""
        ...

    def has_threads(self, name: str, hook: str) -> bool:
        """Whether a plugin's hook is a plain `def`, of which only a few run at the same time."""
        ...


class Delivery:
    """One process's sending, as long as it holds the lease. Only one `send` is under way at a time."""

    def __init__(self, *, settings: Settings, store: Store, host: Host) -> None:
        self._settings = settings
        self._store = store
        self._host = host
        self._resting: dict[str, datetime] = {}
        self._in_vain: Counter[str] = Counter()
        self._gate = asyncio.Semaphore(settings.notify.at_once)
        self._questions = asyncio.Semaphore(_ASKED_AT_ONCE)
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def is_resting(self) -> bool:
        """Whether a channel rests because its vendor asked for time."""
        return any(self._rests(channel) for channel in self._resting)

    async def send(self, goes_on: Callable[[], bool]) -> None:
        """Send what is due, batch after batch, for as long as `goes_on`. The vendor never waits for a claim.

        What was still being sent before was left by somebody who has ended, or was lost.
        """
        await self._store.write(partial(orphans, ask_after=self._settings.notify.ask_after_seconds))
        room = asyncio.Semaphore(self._settings.notify.at_once + _AHEAD)
        gates: dict[str, asyncio.Semaphore] = {}
        more = True
        try:
            async with asyncio.TaskGroup() as sending:
                while more and goes_on():
                    since = time.monotonic()
                    claimed, more = await self._store.write(partial(self._claim, turn=new_id()))
                    for one in claimed:
                        await room.acquire()
                        channel = one.message.channel
                        if channel not in gates:
                            gates[channel] = self._gate_of(channel)
                        task = sending.create_task(self._send_one(one, since, gates[channel]))
                        task.add_done_callback(lambda _: room.release())
        except ExceptionGroup as failed:
            if self._under_way:
                await asyncio.wait(self._under_way)
            raise failed.exceptions[0] from failed

    async def end(self, seconds: float) -> None:
        """Wait so long for the answers to what has begun to leave; what is not answered then is unknown."""
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def look_for(self) -> int:
        """Ask vendors about messages of unknown state whose time has come; gives how many."""
        waiting = await self._store.read(lambda c: asked_about(c, self._settings, _BATCH))
        await asyncio.gather(*(self._ask(one) for one in waiting))
        if self._settings.notify.resend_unknown:
            minutes = timedelta(minutes=self._settings.notify.unknown_minutes)
            await self._store.write(lambda tx: overdue(tx, minutes))
        return len(waiting)

    def _claim(self, tx: Transaction, turn: str) -> tuple[list[Claimed], bool]:
        paused = [channel for channel in self._resting if self._rests(channel)]
        return claims.claim(tx, self._settings, turn, paused=paused, most=_BATCH)

    def _gate_of(self, channel: str) -> asyncio.Semaphore:
        """Lets as many through at once as the plugins of a channel can be given; one thread is left for other hooks."""
        few = any(self._host.has_threads(name, "deliver") for name in self._host.senders(channel))
        return asyncio.Semaphore(min(self._settings.notify.at_once, THREADS - 1 if few else 128))

    async def _send_one(self, claimed: Claimed, since: float, gate: asyncio.Semaphore) -> None:
        async with gate, self._gate:
            if time.monotonic() - since > _FRESH or self._rests(claimed.message.channel):
                await self._store.write(partial(claims.release, claimed=claimed))
                return
            if (refused := await self._refusal(claimed)) is not None:
                again = _LOOK_AGAIN if refused == _NOT_CHECKED else None
                withhold = partial(claims.withhold, claimed=claimed, reason=refused[:200], again_after=again)
                await self._store.write(withhold)
                return
            # Once begun it is answered and settled, though the rest is cancelled: else nobody would know.
            answered = asyncio.Event()
            going = asyncio.create_task(self._hand_over(claimed, answered))
            self._under_way.add(going)
            going.add_done_callback(self._under_way.discard)
            await answered.wait()
        await asyncio.shield(going)

    async def _hand_over(self, claimed: Claimed, answered: asyncio.Event) -> None:
        try:
            answer = await self._answer(claimed)
        finally:
            answered.set()
        if answer is not None:
            await self._keep(claimed, answer)

    async def _answer(self, claimed: Claimed) -> Answer | None:
        """What came of handing a message to its channel; None when it is no longer ours to send."""
        since = time.monotonic()
        if not await self._store.write(partial(claims.begin, settings=self._settings, claimed=claimed)):
            return None
        if time.monotonic() - since > _FRESH:  # this process was held up, and another may have gone on without it
            return Answer(reached=False, reason="held_up")
        return await self._deliver(claimed)

    async def _keep(self, claimed: Claimed, answer: Answer) -> None:
        settle = partial(
            outcomes.settle,
            settings=self._settings,
            message_id=claimed.message.id,
            number=claimed.number,
            answer=answer,
        )
        for pause in _PAUSES:
            try:
                await self._store.write(settle)
            except StoreError:
                await asyncio.sleep(pause)
            else:
                return
        await self._store.write(settle)

    async def _deliver(self, claimed: Claimed) -> Answer:
        channel = claimed.message.channel
        told = await self._host.ask_first("deliver", message=claimed.message)
        if told is None:
            return Answer()
        if told.error is not None:
            if not told.reached:
                self._rest(channel, _RESTS)
            return Answer(plugin=told.plugin, reached=told.reached, reason=_word(told.error))
        receipt: Receipt = told.value
        self._note_pace(channel, receipt)
        return Answer(plugin=told.plugin, receipt=receipt)

    async def _refusal(self, claimed: Claimed) -> str | None:
        """Why plugins do not let this be told of a student; None when they do. A failure denies.

        Of a message to staff they are asked, too: it goes through the same vendor.
        """
        if claimed.student_id is None or not self._host.implements("authorize"):
            return None
        action = "guardian.notify" if claimed.audience in FAMILY else "staff.notify"
        for plugin in self._host.senders(claimed.message.channel) or (None,):
            request = AccessRequest(
                action=action,
                identity=Identity(subject=claimed.recipient_id),
                student_ids=frozenset({claimed.student_id}),
                purpose=claimed.purpose,
                request_id=claimed.message.id,
                recipient=plugin,
            )
            answers = await self._host.ask_all("authorize", request=request)
            for answer in answers:
                if answer.value is not None and not answer.value.allow:
                    return f"denied: {answer.value.reason}"
            if any(answer.error is not None for answer in answers):
                return _NOT_CHECKED
        return None

    async def _ask(self, one: Asked) -> None:
        async with self._questions:
            plugin, said = await self._found(one)
        after = self._settings.notify.ask_after_seconds
        wait = min(after * 2 ** min(one.asked + 1, 10), clocks.ASK_EVERY)
        settle = partial(
            outcomes.found,
            settings=self._settings,
            message_id=one.id,
            number=one.number,
            said=said,
            plugin=plugin,
            wait=wait,
        )
        await self._store.write(settle)

    async def _found(self, one: Asked) -> tuple[str | None, Receipt | NotSent | None]:
        """What is known of a message, and by whom.

        Where it is not known which plugin had it, each that could have must say that its vendor has no such message.
        """
        if one.message is None:
            return None, None
        names = (one.plugin,) if one.plugin is not None else self._host.senders(one.channel)
        told = [await self._host.ask(name, "find_delivery", message=one.message) for name in names]
        said = [answer for answer in told if answer is not None and answer.error is None]
        for answer in said:
            if isinstance(answer.value, Receipt):
                return answer.plugin, answer.value
        if names and len(said) == len(names) and all(isinstance(answer.value, NotSent) for answer in said):
            return one.plugin, NotSent()
        return None, None

    def _note_pace(self, channel: str, receipt: Receipt) -> None:
        """Let a channel rest whose vendor asks for time: no message is tried meanwhile, and none loses by it."""
        if receipt.state != "retry":
            self._in_vain[channel] = 0
            return
        self._in_vain[channel] += 1
        wait = outcomes.wait_of(receipt)
        if wait is not None:
            self._rest(channel, wait)
        elif self._in_vain[channel] >= _IN_VAIN:
            self._rest(channel, _RESTS)

    def _rest(self, channel: str, wait: timedelta) -> None:
        until = now_utc() + min(max(wait, timedelta(seconds=1)), _LONGEST_REST)
        self._resting[channel] = max(until, self._resting.get(channel, until))

    def _rests(self, channel: str) -> bool:
        until = self._resting.get(channel)
        return until is not None and timedelta(0) < until - now_utc() <= _LONGEST_REST


def _word(error: BaseException) -> str:
    """What went wrong in one word: a plugin's own sentence might hold somebody's data."""
    return {"TimedOut": "no_answer", "Quarantined": "plugin_quarantined"}.get(type(error).__name__, "lost_answer")
