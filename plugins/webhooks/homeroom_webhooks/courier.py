"""One endpoint's task: sends what waits in its queue, oldest first, and waits longer and longer while it fails."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

import httpx2

from homeroom import Refused, Services
from homeroom_webhooks import queue
from homeroom_webhooks.event import headers_for
from homeroom_webhooks.queue import State, Waiting
from homeroom_webhooks.settings import Endpoint, WebhooksSettings

LEASE_SECONDS = 45.0
"""How long one process may send alone; always more than an attempt takes."""

LONGEST_WAIT = 3600.0
"""Seconds between attempts at most, unless the endpoint itself asks for more."""

_RENEW_SECONDS = 20.0
_IDLE_SECONDS = 2.0  # events that another process has queued are seen after this
_TROUBLE_SECONDS = 5.0
_LONGEST_ASKED = 24 * 3600.0
_ASKED_SECONDS = 1.0  # for how long an answer holds on whose records may go: a burst goes at once, no try after a pause
_NOT_ASKED = "whether records may go there could not be checked or entered just now"
_BODY_BYTES = 65_536
_GONE, _TOO_MANY, _UNAVAILABLE = 410, 429, 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one attempt; without a `problem` the event has arrived."""

    problem: str | None = None
    gone: bool = False
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What of a batch may go to the endpoint, in order, and by student the notice that goes along."""

    events: Sequence[Waiting] = ()
    notices: Mapping[str, str | None] = field(default_factory=dict)


class Courier:
    """Sends to one endpoint. `news` is set when something was queued in this process."""

    def __init__(self, endpoint: Endpoint, settings: WebhooksSettings, services: Services, *, holder: str) -> None:
        self.endpoint = endpoint
        self.news = asyncio.Event()
        self._settings = settings
        self._services = services
        self._store = services.store
        self._clock = services.clock
        self._holder = holder
        self._mine = (services.name, endpoint.name)
        self._leased_until = datetime.min.replace(tzinfo=UTC)
        self._entered: set[int] = set()  # as given on, and not known to have arrived yet

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            self.news.clear()
            try:
                wait = await self.step()
            except Exception as exc:  # noqa: BLE001 - whatever it is (the database, mostly), the queue is still there
                self._services.log.warning(
                    "webhook_queue_unusable", endpoint=self.endpoint.name, error=type(exc).__name__
                )
                wait = _TROUBLE_SECONDS
            if wait:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self.news.wait()

    async def step(self) -> float:
        """Send what is due, if it is this process's turn; gives how long to wait for more, in seconds."""
        state, waiting = await self._store.read(partial(queue.standing, mine=self._mine))
        if not waiting or self._is_anothers(state):
            return _IDLE_SECONDS
        now = self._clock.now()
        if waiting[0].kept_at < now - self._settings.retention:
            await self._give_up(now)
        elif state.gone_at is not None:
            return _IDLE_SECONDS
        elif state.retry_at is not None and state.retry_at > now:
            return min(_IDLE_SECONDS, (state.retry_at - now).total_seconds())
        elif await self._leased():
            self._entered &= {one.id for one in waiting}
            # Where it may well not arrive again, no more than one is entered as disclosed.
            await self._send(waiting[:1] if state.failures else waiting, state.failures)
        return 0.0

    async def _send(self, waiting: Sequence[Waiting], failures: int) -> None:
        """Send those of a batch that may go, until one does not arrive."""
        allowed = await self._allowed(waiting)
        asked_at = self._clock.now()
        for one in allowed.events:
            if not await self._leased() or self._clock.now() - asked_at > timedelta(seconds=_ASKED_SECONDS):
                break
            outcome = await self._attempt(one, allowed.notices.get(one.student_id or ""))
            await self._keep(one, outcome, failures)
            if outcome.problem is not None:
                break
            failures = 0

    async def _allowed(self, waiting: Sequence[Waiting]) -> Allowed:
        """What of these events may go, now that it is about to; the others are withheld. Nothing if it cannot be told.

        It is asked here and not when an event is queued, so that a consent revoked meanwhile counts. The answer holds
        for _ASKED_SECONDS.
        """
        groups: dict[tuple[str, bool], list[Waiting]] = {}
        for one in waiting:
            if one.student_id is not None:
                groups.setdefault((one.kind.partition(".")[0], one.id in self._entered), []).append(one)
        notices: dict[str, str | None] = {}
        denied: set[int] = set()
        try:
            for (_, again), some in groups.items():
                students, kinds = {one.student_id or "" for one in some}, {one.kind for one in some}
                to = self.endpoint.name
                released = await self._services.outside.release(students, to=to, kinds=kinds, again=again)
                notices |= dict.fromkeys(released.students, released.notice)
                let_go = {one.id for one in some if one.student_id in released.students}
                self._entered |= let_go
                denied |= {one.id for one in some} - let_go
        except Refused:
            now = self._clock.now()
            retry_at = now + timedelta(seconds=_TROUBLE_SECONDS)
            await self._store.submit(
                partial(queue.failed, mine=self._mine, problem=_NOT_ASKED, now=now, retry_at=retry_at)
            )
            return Allowed()
        if denied:
            await self._store.submit(
                partial(queue.withhold, mine=self._mine, ids=sorted(denied), now=self._clock.now())
            )
        return Allowed(events=[one for one in waiting if one.id not in denied], notices=notices)

    async def _attempt(self, one: Waiting, notice: str | None) -> Outcome:
        """Send one event. Nothing of the answer is kept but its status."""
        body = one.body.encode()
        headers = headers_for(one.message_id, body, at=self._clock.now(), secrets=self.endpoint.secrets, notice=notice)
        seconds = self._settings.timeout
        try:
            async with (
                asyncio.timeout(seconds),
                self._services.http.stream(
                    "POST", self.endpoint.url, content=body, headers=dict(headers), timeout=seconds
                ) as answer,
            ):
                await _read_away(answer)
                return self._outcome(answer)
        except (TimeoutError, httpx2.TimeoutException):
            return Outcome(problem=f"no answer within {seconds:g} s")
        except httpx2.ConnectError:
            return Outcome(problem="it cannot be reached")
        except httpx2.HTTPError:
            return Outcome(problem="the connection broke off")

    def _outcome(self, answer: httpx2.Response) -> Outcome:
        status = answer.status_code
        if answer.is_success:
            return Outcome()
        if answer.is_redirect:
            return Outcome(problem=f"it sends elsewhere (HTTP {status}), and no redirect is followed")
        asked = 0.0
        if status in (_TOO_MANY, _UNAVAILABLE):
            asked = _seconds(answer.headers.get("Retry-After", ""), self._clock.now())
        return Outcome(problem=f"HTTP {status}", gone=status == _GONE, retry_after=asked)

    async def _keep(self, one: Waiting, outcome: Outcome, failures: int) -> None:
        now, mine = self._clock.now(), self._mine
        if outcome.problem is None:
            await self._store.submit(partial(queue.arrived, mine=mine, event_id=one.id, now=now))
        elif outcome.gone:
            self._services.log.warning("webhook_endpoint_gone", endpoint=self.endpoint.name)
            await self._store.submit(partial(queue.gone, mine=mine, problem=outcome.problem, now=now))
        else:
            retry_at = now + timedelta(seconds=max(wait_after(failures), outcome.retry_after))
            problem = outcome.problem
            await self._store.submit(partial(queue.failed, mine=mine, problem=problem, now=now, retry_at=retry_at))

    async def _give_up(self, now: datetime) -> None:
        before = now - self._settings.retention
        events = await self._store.submit(partial(queue.give_up, mine=self._mine, before=before, now=now))
        self._services.log.warning("webhook_events_given_up", endpoint=self.endpoint.name, events=events)

    def _is_anothers(self, state: State) -> bool:
        """Whether another process sends just now: seen without writing anything."""
        if state.holder in (None, self._holder) or state.leased_until is None:
            return False
        return state.leased_until >= self._clock.now()

    async def _leased(self) -> bool:
        now = self._clock.now()
        if self._leased_until - now > timedelta(seconds=_RENEW_SECONDS):
            return True
        until = now + timedelta(seconds=LEASE_SECONDS)
        taken = await self._store.submit(
            partial(queue.lease, mine=self._mine, holder=self._holder, now=now, until=until)
        )
        self._leased_until = until if taken else datetime.min.replace(tzinfo=UTC)
        return taken


def wait_after(failures: int) -> float:
    """Seconds until the next attempt after so many failures before this one: 1 s, 2 s, 4 s … 1 h, none quite alike."""
    return min(LONGEST_WAIT, 2.0 ** min(failures, 20)) * random.uniform(0.8, 1.0)  # noqa: S311 - no secret


async def _read_away(answer: httpx2.Response) -> None:
    """Read what little there is of a body, so that the connection can serve again; a long one is left."""
    read = 0
    async for piece in answer.aiter_raw():
        read += len(piece)
        if read > _BODY_BYTES:
            return


def _seconds(asked: str, now: datetime) -> float:
    """The seconds that a Retry-After stands for (a number or a date), a day at most; 0 for what is neither."""
    if asked.strip().isascii() and asked.strip().isdigit():
        return min(float(asked.strip()[:9]), _LONGEST_ASKED)
    try:
        until = parsedate_to_datetime(asked)
    except (TypeError, ValueError):
        return 0.0
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max(0.0, (until - now).total_seconds()), _LONGEST_ASKED)
