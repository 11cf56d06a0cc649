"""What a plugin is given: everything it may use of Homeroom beside its own hooks.

The doors to people's data (`roster`, `attendance`) hand out only the fields that the plugin's scopes name; each
hand-out of a personal field is put to `authorize` and entered in the disclosure ledger first. That guards against
mistakes and keeps a record; it is not a sandbox, for a plugin runs with the rights of the process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

import structlog

from homeroom.types import (
    AddressNews,
    CheckIns,
    DayCounts,
    DayTotals,
    DeliveryReport,
    Identity,
    Mark,
    Release,
    Roll,
    School,
    Status,
    Student,
    StudentDays,
)

if TYPE_CHECKING:
    import httpx2

    from homeroom import gate
    from homeroom.limits import MemoryLimiter, RedisLimiter
    from homeroom.store import Store
    from homeroom.store.connection import Connection, Transaction

T = TypeVar("T")


class Clock(Protocol):
    """Tells the time, so that tests can choose it."""

    def now(self) -> datetime:
        """This moment, aware and in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """This moment, aware and in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether one more is allowed; if not, `retry_after` says in how many seconds."""

    allowed: bool
    retry_after: int = 0


class Limiter(Protocol):
    """Limits how often something may happen; with Redis the limit holds across all workers."""

    async def hit(self, key: str, limit: int, seconds: float) -> Allowance:
        """Count one and say whether it was within `limit` per `seconds`; one that is refused is not counted."""
        ...

    async def peek(self, key: str, limit: int, seconds: float) -> Allowance:
        """Whether one more would be allowed now, without counting it."""
        ...

    async def forget(self, key: str) -> None:
        """Start counting `key` anew."""
        ...


class KeyValues(Protocol):
    """A plugin's small keepings: text by key, sealed in the database, seen by this plugin only."""

    async def get(self, key: str) -> str | None:
        """What was kept under `key`, or None when there is nothing or it has expired."""
        ...

    async def set(self, key: str, value: str, *, ttl: float | None = None) -> None:
        """Keep `value`, for `ttl` seconds where given; committed when this returns."""
        ...

    async def delete(self, key: str) -> None:
        """Keep nothing under `key` any more."""
        ...


class Roster(Protocol):
    """The door to students."""

    async def students(self, ids: Collection[str], *, fields: Collection[str] | None = None) -> list[Student]:
        """The students that exist among `ids`, with those of `fields` (default: all) that the scopes name.

        The scope of a field is `student.FIELD`; a field outside the scopes is None, and the log says so. Raises Refused
        where a plugin's `authorize` denies the hand-out, and always while the plugin answers authorize or audit.
        """
        ...


class Attendance(Protocol):
    """The door to attendance."""

    async def marks(
        self,
        *,
        session_id: str | None = None,
        student_ids: Collection[str] | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> list[Mark]:
        """The marks of one session, or of some students from the school day `since` to `until`, both included.

        `status`, `code`, `minutes_late` and `recorded_at` need the scope `attendance.status`, `note` `attendance.note`.
        Raises Refused as `students` does.
        """
        ...


class Outside(Protocol):
    """The door for what a plugin gives on to somebody outside, of the events that it was given or its own keepings."""

    async def release(
        self, student_ids: Collection[str], *, to: str, kinds: Collection[str], again: bool = False
    ) -> Release:
        """Those of these students whose records may go to `to` now, entered in the disclosure ledger before they go.

        `to` is the plugin's own name for who is there; plugins' `authorize` is asked with the recipient NAME.TO, once
        for all the students. `kinds` are those of the events that go, "attendance.recorded". Whoever is denied is not
        among the students; the denial is entered, too. With `again` it was entered before and did not arrive, so it is
        only asked about. Raises Refused where it cannot be told or entered: then nothing may go, until it can.
        """
        ...


class Messages(Protocol):
    """What a channel's plugin tells the outbox after `deliver`; only for channels that its scopes name."""

    async def report(self, report: DeliveryReport) -> bool:
        """Take over what the vendor tells of a message; whether there is such a message of this plugin's.

        A report that was told before, or is older than what is known, changes nothing. Committed when this returns.
        """
        ...

    async def heard(self, news: AddressNews) -> None:
        """Keep what became known of an address; an opt-out holds for the next message already."""
        ...


class Custody(Protocol):
    """What those who keep the records may do with them, each with the reason; only for a plugin that keeps the law."""

    def correct(
        self,
        tx: Transaction,
        record_id: str,
        *,
        version: int | None,
        reason: str,
        status: Status | None = None,
        code: str | None = None,
        note: str | None = None,
    ) -> int:
        """Write a new version of an attendance record in the caller's transaction; gives its number.

        The old version is kept. What is None stays as it was. Raises Refused: 404, 412 (`version` is not the latest),
        422 (a code that the school has not).
        """
        ...

    def codes(self, connection: Connection, school_id: str) -> Mapping[str, tuple[str, Status]]:
        """What each code of a school means, the retired ones too: its title and its status."""
        ...

    def holdings(self, connection: Connection, student_id: str) -> dict[str, int]:
        """How many rows of each table `let_go` would delete."""
        ...

    def let_go(self, tx: Transaction, student_id: str) -> dict[str, int]:
        """Delete a student's attendance, its versions and absence reports; gives the rows of each table."""
        ...

    async def erase(self, person_id: str, before: Callable[[Transaction], None]) -> Mapping[str, int]:
        """Take a person out for good, from SQLite's files too, and enter the id in the erasure list outside.

        `before` runs first in the same transaction and may refuse. Gives the rows of each table that were deleted or
        emptied; nothing for somebody who was erased already.
        """
        ...


class Figures(Protocol):
    """What is counted of attendance, a school at a time; only counts leave it, but for `student_days` and `names`.

    What counts takes the connection that it reads from, so that a route counts in `call.read`, for whom the route has
    let in. What is of single students is a hand-out to the plugin, put to `authorize` and entered first: it raises
    Refused as `roster` does. A route that shows them says so by `call.discloses`. Days are the school's own.
    """

    def schools(self, connection: Connection, ids: Collection[str] | None, *, now: datetime) -> list[School]:
        """The schools among `ids` (None: all that there are), by name."""
        ...

    def school_of(self, connection: Connection, class_id: str) -> str | None:
        """The school of a class, None when there is no such class."""
        ...

    def year_began(self, connection: Connection, day: date) -> date:
        """The first day of the school year that `day` lies in."""
        ...

    def school_days(self, connection: Connection, school: School, since: date, until: date) -> list[date]:
        """The days from `since` to `until`, both included, on which the school is in session by its calendar."""
        ...

    def days(
        self,
        connection: Connection,
        school: School,
        since: date,
        until: date,
        *,
        class_ids: Collection[str] | None = None,
    ) -> list[DayCounts]:
        """The students of each day with marks, in session or not, by the status that the school's rule gives the day.

        With `class_ids` only marks in these classes count, and one in which the student came is enough.
        """
        ...

    def marked_days(self, connection: Connection, school: School, since: date, until: date) -> frozenset[date]:
        """The days from `since` to `until`, both included, on which the school has any mark."""
        ...

    def totals(self, connection: Connection, school: School, days: Sequence[date]) -> list[DayTotals]:
        """How many students of each grade had which days there, of all enrolled on any of these school days (in order).

        Needs the scope `attendance.status`; PermissionError says so.
        """
        ...

    async def student_days(
        self, wanted: Sequence[tuple[School, Sequence[date]]], *, enrolled: int = 1, missed: float = 0.0
    ) -> list[tuple[list[DayTotals], list[StudentDays]]]:
        """Of each school with its days its `totals`, and by id the students who are to be known singly.

        Those are who was enrolled on `enrolled` of the days or more and missed at least the share `missed` of these;
        ask for no more than is needed. All schools are one hand-out. Needs the scope `attendance.status`.
        """
        ...

    def rolls(
        self,
        connection: Connection,
        school: School,
        days: Sequence[date],
        *,
        now: datetime,
        open_for: timedelta,
        class_ids: Collection[str] | None = None,
        homerooms: bool = False,
    ) -> list[Roll]:
        """Every class that was to take a roll on each of these school days (in order), and what became of it.

        `homerooms` asks for homerooms alone. A session is left open when its day is over, or it began longer than
        `open_for` ago.
        """
        ...

    def check_ins(
        self,
        connection: Connection,
        school: School,
        since: date,
        until: date,
        *,
        class_ids: Collection[str] | None = None,
    ) -> list[CheckIns]:
        """The check-ins of these days by the hour at the school, and by the methods that accepted them."""
        ...

    async def names(self, student_ids: Collection[str]) -> Mapping[str, str]:
        """What each of these people wants to be called, as a hand-out.

        Needs the scopes `student.given_name`, `student.family_name` and `student.preferred_name`.
        """
        ...


class Entrance(Protocol):
    """What a plugin at a school's door asks and hands in; needs the scope `attendance.check_in`, else Refused 403."""

    async def schools(self, identity: Identity, action: str) -> Mapping[str, str]:
        """The names, by id, of the schools that somebody reaches with an action."""
        ...

    async def students(
        self, school_id: str, *, ids: Collection[str] = (), numbers: Collection[str] = ()
    ) -> Mapping[str, str]:
        """The ids of those who are students of the school today, by the id or the student number that was asked for.

        A number that two of them have is nobody's.
        """
        ...

    async def seated(self, session_id: str) -> frozenset[str]:
        """The ids of the students who sit in a session's class on its day. Raises Refused 404 when there is none."""
        ...

    async def check_in(
        self,
        student_id: str,
        *,
        school_id: str,
        at: datetime,
        by: str,
        early: timedelta = timedelta(0),
        proof: Mapping[str, Any],
    ) -> list[Mark]:
        """The student's marks in the sessions that this check-in reaches, committed when this returns.

        These are the day's open sessions of the student at the school that take this plugin as a method and begin at
        most `early` after `at`, the moment that counts. The proof is judged as any student's is; where it does not
        suffice, nothing is recorded in that session. A mark that is there stays. `by` is who is entered in the journal.
        Raises Refused 403 where a plugin's `authorize` denies it.
        """
        ...


class PluginStore(Protocol):
    """The plugin's own tables, whose names begin with the plugin's (see the hook `migrations`)."""

    async def submit(self, unit: Callable[[Transaction], T]) -> T:
        """What `unit` gives, once it is committed. A unit may run more than once and must then do the same."""
        ...

    async def read(self, query: Callable[[Connection], T]) -> T:
        """What `query` gives, on a connection that cannot write."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """What a REST route answered in process."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Api(Protocol):
    """The REST routes, in process, with exactly the rights of the person who is signed in."""

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        client: str | None = None,
    ) -> ApiAnswer:
        """The answer to one request; `headers` carry the caller's own Authorization.

        `client` is the address for which it is made, so that limits by address count who asks and not this process.
        """
        ...


class Egress(Protocol):
    """What may leave over HTTP: only to hosts that were allowed, from the plugin's own settings."""

    @property
    def client(self) -> httpx2.AsyncClient:
        """The plugin's HTTP client: timeouts set, redirects off, other hosts refused."""
        ...

    @property
    def transport(self) -> httpx2.AsyncBaseTransport:
        """The same rules for a client of another library (authlib's, for example)."""
        ...

    def allow(self, url: str) -> None:
        """Let requests to the scheme, host and port of `url` out."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class Services:
    """One plugin's services, handed to its `__init__`.

    `name` is the instance's name, `scopes` the personal data it may see, `log` its structlog logger (never write
    personal data to it), `public_url` the address people reach this server at, or None when none is set. `time_zone`
    is the district's, by which its days are counted.
    """

    def __init__(
        self,
        *,
        name: str,
        scopes: frozenset[str],
        clock: Clock,
        egress: Egress,
        kv: KeyValues,
        limiter: Limiter,
        roster: Roster,
        attendance: Attendance,
        messages: Messages,
        store: PluginStore,
        derive: Callable[[str], bytes],
        api: Callable[[], Api | None] = lambda: None,
        public_url: str | None = None,
        hint: Callable[[], Awaitable[None]] | None = None,
        time_zone: str = "UTC",
        custody: Custody | None = None,
        figures: Figures | None = None,
        entrance: Entrance | None = None,
        outside: Outside | None = None,
    ) -> None:
        self.name = name
        self.scopes = scopes
        self.log: structlog.stdlib.BoundLogger = structlog.get_logger("homeroom.plugin").bind(plugin=name)
        self.clock = clock
        self.kv = kv
        self.limiter = limiter
        self.roster = roster
        self.attendance = attendance
        self.messages = messages
        self.store = store
        self.public_url = public_url
        self.time_zone = time_zone
        self._egress = egress
        self._derive = derive
        self._api = api
        self._hint = hint
        self._custody = custody
        self._figures = figures
        self._entrance = entrance
        self._outside = outside

    def __repr__(self) -> str:
        return f"Services({self.name})"

    @property
    def custody(self) -> Custody:
        """What those who keep the records may do with them. Raises RuntimeError where no district is running."""
        if self._custody is None:
            raise RuntimeError("records are kept only where a district runs")
        return self._custody

    @property
    def figures(self) -> Figures:
        """What is counted of attendance. Raises RuntimeError where no district is running."""
        if self._figures is None:
            raise RuntimeError("attendance is counted only where a district runs")
        return self._figures

    @property
    def entrance(self) -> Entrance:
        """What a plugin at a school's door asks and hands in. Raises RuntimeError where no district is running."""
        if self._entrance is None:
            raise RuntimeError("students come in only where a district runs")
        return self._entrance

    @property
    def outside(self) -> Outside:
        """The door for what is given on to somebody outside. Raises RuntimeError where no district is running."""
        if self._outside is None:
            raise RuntimeError("records leave only where a district runs")
        return self._outside

    @property
    def http(self) -> httpx2.AsyncClient:
        """An HTTP client that reaches only the hosts allowed by `allow_host`; it is closed with the plugin."""
        return self._egress.client

    @property
    def transport(self) -> httpx2.AsyncBaseTransport:
        """The same rules as a transport, for a client of another library."""
        return self._egress.transport

    def allow_host(self, url: str) -> None:
        """Let requests to the scheme, host and port of `url` out; `https` unless the host is this machine."""
        self._egress.allow(url)

    def today(self) -> date:
        """The date in the district's time zone."""
        return self.clock.now().astimezone(ZoneInfo(self.time_zone)).date()

    def derive_key(self, purpose: str) -> bytes:
        """32 secret bytes for one purpose of this plugin, alike in every process and after every restart."""
        return self._derive(f"plugin:{self.name}:{purpose}")

    @property
    def api(self) -> Api:
        """The REST routes, in process. Raises RuntimeError where nothing is served (in the CLI, before the start)."""
        api = self._api()
        if api is None:
            raise RuntimeError("the REST routes can be called only while the server runs")
        return api

    async def sync_soon(self) -> None:
        """Ask for a sync run of what has changed, within a minute or so: the vendor said that something has.

        Only for a plugin that gives a connector. Many at once are one; while a run is under way it comes after it, and
        where the district's schedule for the connector is "off" it is not heeded. Committed when this returns.
        """
        if self._hint is not None:
            await self._hint()

    async def close(self) -> None:
        """Release what these services hold open; the host calls it after the plugin's `stop`."""
        await self._egress.close()


ServicesFor = Callable[[str, frozenset[str]], Services]
"""Makes the services of the plugin with this name and these scopes."""


def make_limiter(redis_url: str | None) -> MemoryLimiter | RedisLimiter:
    """The district's limiter: across all processes when there is Redis, else within this one."""
    from homeroom.limits import MemoryLimiter, RedisLimiter

    if redis_url is None:
        return MemoryLimiter()
    from redis.asyncio import Redis

    return RedisLimiter(Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1))


def make_services(
    name: str,
    scopes: frozenset[str],
    *,
    store: Store,
    limiter: Limiter,
    messages: Messages,
    public_url: str | None = None,
    api: Callable[[], Api | None] = lambda: None,
    clock: Clock | None = None,
    host: Callable[[], gate.Host | None] = lambda: None,
    time_zone: str = "UTC",
    custody: Custody | None = None,
    figures: Figures | None = None,
    entrance: Entrance | None = None,
) -> Services:
    """The services of one plugin in a running district; the doors to people's data ask the plugins of `host`."""
    from homeroom import doors
    from homeroom.egress import GuardedEgress
    from homeroom.hand_outs import StoredOutside
    from homeroom.hints import hint

    clock = clock or SystemClock()
    return Services(
        name=name,
        scopes=scopes,
        clock=clock,
        egress=GuardedEgress(),
        kv=doors.StoredKeyValues(store, name, clock),
        limiter=doors.NamespacedLimiter(limiter, name),
        roster=doors.StoredRoster(store, name, scopes, host),
        attendance=doors.StoredAttendance(store, name, scopes, host),
        outside=StoredOutside(store, name, host),
        messages=messages,
        store=doors.StoredTables(store),
        custody=custody,
        figures=figures,
        entrance=entrance,
        derive=store.cipher.derive,
        api=api,
        public_url=public_url,
        hint=lambda: hint(store, name),
        time_zone=time_zone,
    )
