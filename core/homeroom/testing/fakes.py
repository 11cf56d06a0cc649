"""Services for a plugin's tests: small real objects in memory, no database and no network."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import fields as fields_of
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from quart import Quart

from homeroom.doors import StoredTables
from homeroom.egress import GuardedEgress
from homeroom.limits import MemoryLimiter
from homeroom.services import Api, Custody, Entrance, Figures, Messages, Services
from homeroom.types import AddressNews, DeliveryReport, Mark, Release, Student

if TYPE_CHECKING:
    import httpx2

    from homeroom.store import Connection, Store, Transaction

T = TypeVar("T")

_START = datetime(2026, 9, 1, 14, 0, tzinfo=UTC)
_FREE = ("id", "school_ids")


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = _START) -> None:
        self._now = start

    def now(self) -> datetime:
        """This moment, aware and in UTC."""
        return self._now

    def move(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._now += timedelta(seconds=seconds)


class MemoryKeyValues:
    """A plugin's small keepings, in a dict."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[str, datetime | None]] = {}

    async def get(self, key: str) -> str | None:
        """What was kept under `key`, or None when there is nothing or it has expired."""
        value, until = self._kept.get(key, (None, None))
        return None if until is not None and until <= self._clock.now() else value

    async def set(self, key: str, value: str, *, ttl: float | None = None) -> None:
        """Keep `value`, for `ttl` seconds where given."""
        self._kept[key] = (value, None if ttl is None else self._clock.now() + timedelta(seconds=ttl))

    async def delete(self, key: str) -> None:
        """Keep nothing under `key` any more."""
        self._kept.pop(key, None)


class ListedRoster:
    """The door to students, over a list; it keeps to the scopes as the real one does."""

    def __init__(self, students: Iterable[Student], scopes: frozenset[str]) -> None:
        self._students = {student.id: student for student in students}
        self._scopes = scopes

    async def students(self, ids: Collection[str], *, fields: Collection[str] | None = None) -> list[Student]:
        """The students that exist among `ids`, with those of `fields` that the scopes name."""
        hidden: dict[str, Any] = {
            one.name: None
            for one in fields_of(Student)
            if one.name not in _FREE
            and (f"student.{one.name}" not in self._scopes or (fields is not None and one.name not in fields))
        }
        return [replace(self._students[key], **hidden) for key in sorted(set(ids)) if key in self._students]


class ListedAttendance:
    """The door to attendance, over a list; it keeps to the scopes as the real one does."""

    def __init__(self, marks: Iterable[Mark], scopes: frozenset[str]) -> None:
        self._marks = list(marks)
        self._hidden: dict[str, Any] = {} if "attendance.note" in scopes else {"note": None}
        if "attendance.status" not in scopes:
            self._hidden |= dict.fromkeys(("status", "code", "minutes_late", "recorded_at"))

    async def marks(
        self,
        *,
        session_id: str | None = None,
        student_ids: Collection[str] | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> list[Mark]:
        """The marks of one session, or of some students between two school days."""
        return [
            replace(mark, **self._hidden)
            for mark in self._marks
            if (session_id is None or mark.session_id == session_id)
            and (student_ids is None or mark.student_id in student_ids)
            and (since is None or mark.school_day >= since)
            and (until is None or mark.school_day <= until)
        ]


class ListedOutside:
    """The door to outside, through which everybody's records may go but those of the students `withheld`."""

    def __init__(self, withheld: Iterable[str]) -> None:
        self._withheld = frozenset(withheld)

    async def release(
        self,
        student_ids: Collection[str],
        *,
        to: str,  # noqa: ARG002 - the real one's shape
        kinds: Collection[str],  # noqa: ARG002
        again: bool = False,  # noqa: ARG002
    ) -> Release:
        """Those of these students who are not withheld."""
        return Release(students=frozenset(student_ids) - self._withheld)


class KeptMessages:
    """What a channel's plugin told the outbox: `reports` and `news`, in the order in which they came."""

    def __init__(self) -> None:
        self.reports: list[DeliveryReport] = []
        self.news: list[AddressNews] = []

    async def report(self, report: DeliveryReport) -> bool:
        """Keep the report; every message is taken to be known."""
        self.reports.append(report)
        return True

    async def heard(self, news: AddressNews) -> None:
        """Keep the news."""
        self.news.append(news)


class NoTables:
    """In place of the plugin's tables where a test has given no database."""

    async def submit(self, unit: Callable[[Transaction], T]) -> T:  # noqa: ARG002 - the real one's shape
        """Says what to do instead."""
        raise LookupError("this plugin uses its own tables: give testing.services(store=...) a homeroom Store")

    async def read(self, query: Callable[[Connection], T]) -> T:  # noqa: ARG002 - the real one's shape
        """Says what to do instead."""
        raise LookupError("this plugin uses its own tables: give testing.services(store=...) a homeroom Store")


def services(
    name: str = "plugin",
    *,
    scopes: Iterable[str] = (),
    clock: FakeClock | None = None,
    students: Iterable[Student] = (),
    marks: Iterable[Mark] = (),
    messages: Messages | None = None,
    http: httpx2.AsyncBaseTransport | Quart | None = None,
    store: Store | None = None,
    api: Api | None = None,
    public_url: str | None = "https://homeroom.example",
    hint: Callable[[], Awaitable[None]] | None = None,
    time_zone: str = "UTC",
    erase_list: Path | None = None,
    withheld: Iterable[str] = (),
) -> Services:
    """What a plugin is given, for its tests.

    `http` answers in place of the network: a small Quart app makes a good vendor. The rules on which hosts may be
    reached hold as in a server. `store` is needed by plugins with tables of their own, `hint` is called by
    `sync_soon`, `erase_list` is the file of the erased. `messages` takes what a channel tells of its messages (a
    KeptMessages shows it). Of the students `withheld` nothing may be given on to anybody outside.
    """
    clock = clock or FakeClock()
    allowed = frozenset(scopes)
    return Services(
        name=name,
        scopes=allowed,
        clock=clock,
        egress=GuardedEgress(_in_process(http) if isinstance(http, Quart) else http),
        kv=MemoryKeyValues(clock),
        limiter=MemoryLimiter(lambda: clock.now().timestamp()),
        roster=ListedRoster(students, allowed),
        attendance=ListedAttendance(marks, allowed),
        outside=ListedOutside(withheld),
        messages=messages or KeptMessages(),
        store=StoredTables(store) if store is not None else NoTables(),
        custody=_custody(store, erase_list),
        figures=_figures(store, name, allowed, time_zone),
        entrance=_entrance(store, name, allowed, time_zone),
        derive=lambda purpose: hmac.new(b"only for tests", purpose.encode(), hashlib.sha256).digest(),
        api=lambda: api,
        public_url=public_url,
        hint=hint,
        time_zone=time_zone,
    )


def _custody(store: Store | None, erase_list: Path | None) -> Custody:
    """The real one over a store; without one, calls fail as those of the tables do."""
    from homeroom.custody import StoredCustody

    return StoredCustody(cast("Store", store), erase_list)


def _figures(store: Store | None, name: str, scopes: frozenset[str], time_zone: str) -> Figures:
    """The real ones, with no plugins to ask; what is of single students needs the store."""
    from homeroom.figures import StoredFigures

    return StoredFigures(cast("Store", store), name, scopes, time_zone=time_zone, weekdays=range(5))


def _entrance(store: Store | None, name: str, scopes: frozenset[str], time_zone: str) -> Entrance:
    """The real one over a store, with no plugins to ask."""
    from homeroom.entrance import StoredEntrance

    return StoredEntrance(cast("Store", store), name, scopes, time_zone=time_zone)


def _in_process(app: Quart) -> httpx2.AsyncBaseTransport:
    import httpx2

    return httpx2.ASGITransport(app=app)  # type: ignore[arg-type] # Quart's ASGI types are its own
