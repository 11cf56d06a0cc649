"""The boards of this process: one hub for each class that somebody watches.

A change is put into words once and goes to everybody who may see it. Each listener has a bounded queue of its own, so
one that reads slowly slows nobody else. Rights are looked at again when the journal says that they may have changed,
and now and then in any case, for those that end with a day.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol

import orjson
import structlog

from homeroom import gate
from homeroom.auth.access import today_in
from homeroom.auth.authenticator import Authenticator
from homeroom.live.listener import (
    GOING_AWAY,
    NO_SUCH_CLASS,
    NOT_ALLOWED,
    SIGNED_OUT,
    UNAVAILABLE,
    Listener,
    Socket,
)
from homeroom.live.tail import Tail
from homeroom.live.views import SHOWN, Beginning, begin, cursor_of, day_seen, is_of, shown_of, students_seen
from homeroom.roster.people import names_of
from homeroom.settings import Settings
from homeroom.store import Connection, Refused, Store, StoreError
from homeroom.types import AccessRequest, Event, Identity, Outcome

log = structlog.get_logger("homeroom.live")

PING_SECONDS = 20.0
SWEEP_SECONDS = 2.0
_SWEEPS_FOR_ALL = 30  # every listener's rights are looked at again once in so many sweeps
_CHECKED_AT_ONCE = 50
_PING = '{"type":"ping"}'
_OF_PEOPLE = ("auth.", "user.", "role.", "guardianship.", "enrollment.", "api_key.", "compliance.")


class Home(Protocol):
    """What the boards need of the district."""

    @property
    def settings(self) -> Settings: ...  # noqa: D102 - the class says it
    @property
    def store(self) -> Store: ...  # noqa: D102
    @property
    def tail(self) -> Tail: ...  # noqa: D102
    @property
    def authenticator(self) -> Authenticator: ...  # noqa: D102
    @property
    def host(self) -> gate.Host: ...  # noqa: D102


class Hub:
    """One class's listeners, and the names that its messages need."""

    def __init__(self, class_id: str) -> None:
        self.class_id = class_id
        self.listeners: set[Listener] = set()
        self.names: dict[str, str] = {}
        self.backlog: list[Event] = []

    def show(self, event: Event, *, audited: bool) -> None:
        """Tell everybody who may see it of a change whose student's name is known.

        `audited` says that somebody keeps entries of what is shown.
        """
        text = words(event, self.names.get(event.student_id or "", ""))
        for listener in self.listeners:
            if audited and listener.entered is None:  # since it was opened, the log was switched on
                listener.entered = frozenset()
            if is_of(event, listener.day):
                listener.show(event.id, event.student_id, text)


def close_code(refusal: Refused) -> int:
    """The code with which a refused socket is closed."""
    return {401: SIGNED_OUT, 404: NO_SUCH_CLASS, 503: UNAVAILABLE}.get(refusal.status, NOT_ALLOWED)


def decline_compression() -> None:
    """Make Hypercorn, where it serves this process, accept WebSockets without permessage-deflate.

    It has no setting for that, and a compressor costs each socket 300 KiB and each message 30 µs for a few bytes saved.
    """
    ws_stream = sys.modules.get("hypercorn.protocol.ws_stream")
    if ws_stream is not None:
        vars(ws_stream)["server_extensions_handshake"] = lambda _requested, _supported: None


def words(event: Event, name: str) -> str:
    """A change as boards are told of it."""
    message: dict[str, Any]
    if event.kind.startswith("session."):
        state = "open" if event.kind == "session.opened" else "closed"
        message = {"type": "session", "cursor": cursor_of(event.id), "session_id": event.session_id, "state": state}
    elif event.kind == "attendance.withdrawn":
        message = {
            "type": "withdrawn",
            "cursor": cursor_of(event.id),
            "session_id": event.session_id,
            "student_id": event.student_id,
            "record_id": event.subject_id,
        }
    else:
        message = {
            "type": "attendance",
            "cursor": cursor_of(event.id),
            "session_id": event.session_id,
            "student_id": event.student_id,
            "name": name,
            "status": event.data.get("status"),
            "recorded_at": event.data.get("recorded_at"),
            "record_id": event.subject_id,
            "needs_review": bool(event.data.get("needs_review")),
        }
    return orjson.dumps(message).decode()


def first_words(class_id: str, beginning: Beginning) -> list[str]:
    """The hello, or what was missed since the cursor and may be seen."""
    if beginning.missed is not None:
        seen = beginning.students
        return [
            words(event, beginning.names.get(event.student_id or "", ""))
            for event in beginning.missed
            if event.student_id is None or seen is None or event.student_id in seen
        ]
    hello = {
        "type": "hello",
        "cursor": cursor_of(beginning.position),
        "class_id": class_id,
        "session": beginning.session,
        "marks": beginning.marks,
    }
    return [orjson.dumps(hello).decode()]


class Boards:
    """Every socket of this process. `sockets` is how many there are now."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._hubs: dict[str, Hub] = {}
        self._of_person: defaultdict[str, set[Listener]] = defaultdict(set)
        self._doubtful: dict[Listener, None] = {}
        self._doubt = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.sockets = 0
        home.tail.listen(self._heard)
        decline_compression()

    async def stop(self) -> None:
        """Send everybody away, and whoever still comes: the server ends, and the client finds another or comes back."""
        self._closed = True
        for listener in self._everybody():
            listener.end(GOING_AWAY)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def watch(
        self,
        socket: Socket,
        identity: Identity,
        class_id: str,
        *,
        after: int | None,
        renew: Callable[[], Awaitable[Identity]],
    ) -> None:
        """Show a class to one socket until it leaves. Raises Refused when `identity` may not watch it."""
        listener = Listener(socket, identity, class_id, renew, lambda one: self._spawn(self._enter_waiting(one)))
        listener.day = day_seen(identity, self._today())
        if self._closed:
            await socket.close(GOING_AWAY)
            return
        async with self._joined(listener) as hub:
            today = self._today()
            listener.identity, granted = await self._allowed(identity, class_id)
            identity, listener.basis = listener.identity, granted.basis
            await socket.accept(granted.notice)
            beginning = await self._home.store.read(lambda c: begin(c, identity, class_id, today, after))
            await self._enter(listener, beginning.shown)
            for person, name in beginning.names.items():
                hub.names.setdefault(person, name)
            self._index(listener, beginning.students or ())
            listener.begin(beginning.position, beginning.students, first_words(class_id, beginning))
            del beginning
            await listener.listen()

    async def _allowed(self, identity: Identity, class_id: str) -> tuple[Identity, gate.Granted]:
        """The identity as plugins leave it, and what else they say. Raises Refused when one denies."""
        access = AccessRequest(action="class.watch", identity=identity, class_id=class_id)
        granted = await gate.ask(self._home.host, access)
        return replace(identity, without=granted.without), granted

    async def _enter(self, listener: Listener, shown: frozenset[str]) -> None:
        """Have it entered whose attendance may be shown from now on, each once. Raises Refused when it cannot be.

        That is everybody whom the board may name, marked or not: at the bell, marks come faster than entries can be
        made of each.
        """
        host = self._home.host
        if not host.implements("audit"):
            listener.entered = None
            return
        before = listener.entered or frozenset()
        if new := shown - before:
            access = AccessRequest(
                action="class.watch", identity=listener.identity, student_ids=new, class_id=listener.class_id
            )
            fields = ("name", "status", "recorded_at")
            outcome = Outcome(allowed=True, student_ids=new, fields=fields, rows=len(new), basis=listener.basis)
            await gate.enter(host, access, outcome)
        listener.entered = before | new

    async def _enter_waiting(self, listener: Listener) -> None:
        """Have those entered whom a listener sees since it began, then show what waits; end it where that fails."""
        others = {student_id for _, student_id, _ in listener.waiting if student_id is not None}
        class_id, students, today = listener.class_id, listener.students, self._today()
        try:
            _, granted = await self._allowed(listener.identity, class_id)
            listener.basis = granted.basis
            shown = await self._home.store.read(lambda c: shown_of(c, class_id, students, today, others))
            await self._enter(listener, shown)
        except Refused as refusal:
            listener.end(close_code(refusal))
        except Exception as exc:  # noqa: BLE001 - whatever it was: what is not entered is not shown
            log.warning("board_not_entered", error=type(exc).__name__)
            listener.end(UNAVAILABLE)
        else:
            if self._is_here(listener):
                listener.go_on()

    @contextlib.asynccontextmanager
    async def _joined(self, listener: Listener) -> AsyncIterator[Hub]:
        hub = self._hubs.setdefault(listener.class_id, Hub(listener.class_id))
        hub.listeners.add(listener)
        self._index(listener, (listener.identity.subject,))
        self.sockets += 1
        if not self._tasks:
            self._spawn(self._sweep())
            self._spawn(self._settle_doubts())
        try:
            yield hub
        finally:
            self.sockets -= 1
            hub.listeners.discard(listener)
            self._doubtful.pop(listener, None)
            self._unindex(listener, (listener.identity.subject, *(listener.students or ())))
            if not hub.listeners:
                self._hubs.pop(hub.class_id, None)

    def _index(self, listener: Listener, people: Iterable[str]) -> None:
        for person in people:
            self._of_person[person].add(listener)

    def _unindex(self, listener: Listener, people: Iterable[str]) -> None:
        for person in people:
            self._of_person[person].discard(listener)
            if not self._of_person[person]:
                del self._of_person[person]

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _everybody(self) -> list[Listener]:
        return [listener for hub in self._hubs.values() for listener in hub.listeners]

    def _is_here(self, listener: Listener) -> bool:
        hub = self._hubs.get(listener.class_id)
        return hub is not None and listener in hub.listeners

    def _today(self) -> Any:
        return today_in(self._home.settings.attendance.time_zone)

    def _heard(self, event: Event) -> None:
        hub = self._hubs.get(event.class_id or "")
        if hub is not None and event.kind in SHOWN:
            if hub.backlog or (event.student_id is not None and event.student_id not in hub.names):
                hub.backlog.append(event)
                if len(hub.backlog) == 1:
                    self._spawn(self._with_names(hub))
            else:
                self._show(hub, event)
        elif event.kind.startswith(_OF_PEOPLE):
            self._doubt_about(event)
        elif hub is not None and event.kind.startswith("class."):
            self._look_again(hub.listeners)

    def _show(self, hub: Hub, event: Event) -> None:
        hub.show(event, audited=self._home.host.implements("audit"))

    async def _with_names(self, hub: Hub) -> None:
        """Read the names that are missing, then show what had to wait for them, in order."""
        while hub.backlog:
            waiting = list(hub.backlog)
            missing = {event.student_id or "" for event in waiting} - hub.names.keys()
            hub.names.update(await self._names(missing))
            for event in waiting:
                self._show(hub, event)
            del hub.backlog[: len(waiting)]

    async def _names(self, people: set[str]) -> dict[str, str]:
        try:
            found = await self._home.store.read(lambda c: names_of(c, people))
        except StoreError:  # without names rather than not at all
            return {}
        return {person: found.get(person, "") for person in people}

    def _doubt_about(self, event: Event) -> None:
        for person in {event.subject_id, event.student_id} - {None}:
            self._look_again(self._of_person.get(str(person), ()))
            if event.kind == "user.changed":
                for hub in self._hubs.values():
                    hub.names.pop(str(person), None)
        if event.kind.startswith("api_key."):
            self._look_again(listener for listener in self._everybody() if listener.identity.kind == "service")

    def _look_again(self, listeners: Iterable[Listener]) -> None:
        self._doubtful.update(dict.fromkeys(listeners))
        self._doubt.set()

    async def _settle_doubts(self) -> None:
        while True:
            await self._doubt.wait()
            some = list(itertools.islice(self._doubtful, _CHECKED_AT_ONCE))
            if not some:
                self._doubt.clear()
                continue
            for listener in some:
                del self._doubtful[listener]
            try:
                await self._check(some)
            except Exception as exc:  # noqa: BLE001 - the database may be away: they stay, and are looked at again
                log.warning("rights_not_read", error=type(exc).__name__)
                self._doubtful.update(dict.fromkeys(some))
                await asyncio.sleep(SWEEP_SECONDS)

    async def _check(self, listeners: list[Listener]) -> None:
        """End those who may watch no more, and widen or narrow what the others see."""
        present = []
        for listener in listeners:
            try:
                listener.identity, granted = await self._allowed(await listener.renew(), listener.class_id)
                listener.basis = granted.basis
            except Refused as refusal:
                listener.end(close_code(refusal))
            else:
                present.append(listener)
        today = self._today()

        def look(connection: Connection) -> list[frozenset[str] | Refused | None]:
            seen: list[frozenset[str] | Refused | None] = []
            for listener in present:
                try:
                    seen.append(students_seen(connection, listener.identity, listener.class_id, today))
                except Refused as refusal:
                    seen.append(refusal)
            return seen

        for listener, students in zip(present, await self._home.store.read(look), strict=True):
            if isinstance(students, Refused):
                listener.end(NOT_ALLOWED if listener.held is None else close_code(students))
            elif listener.held is None and students != listener.students and self._is_here(listener):
                self._unindex(listener, listener.students or ())
                listener.students = students
                self._index(listener, (listener.identity.subject, *(students or ())))

    async def _sweep(self) -> None:
        """Ping, drop who does not take the last words, and look at a few listeners' rights again."""
        loop = asyncio.get_running_loop()
        next_ping, turn = loop.time() + PING_SECONDS, 0
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS, max(0.0, next_ping - loop.time())))
            everybody = self._everybody()
            if loop.time() >= next_ping:
                next_ping = loop.time() + PING_SECONDS
                for listener in everybody:
                    listener.tell(_PING)
            for listener in everybody:
                if listener.ending is not None and listener.until < loop.time():
                    listener.give_up()
                elif self._home.authenticator.is_ended(listener.identity.session_id):
                    listener.end(SIGNED_OUT)
            self._look_again(everybody[turn::_SWEEPS_FOR_ALL])
            turn = (turn + 1) % _SWEEPS_FOR_ALL
