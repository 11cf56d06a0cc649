"""What is tested, and how it is opened, read and synced."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from homeroom.records import NOUNS, Noun, Page, Pull, Record, SisConnector
from homeroom.store import Connection, Store
from homeroom.store.cipher import Cipher
from homeroom.store.migrate import upgrade
from homeroom.sync import RunResult
from homeroom.sync import run as sync
from homeroom.testing import fakes
from homeroom.testing.connector_kit.wire import After, Before, Wire
from homeroom.testing.haste import hurried
from homeroom.testing.plugin_kit import running_plugin, secrets_of
from homeroom.testing.sample import SampleDistrict, sample_district
from homeroom.testing.simulator import Simulator

T = TypeVar("T")

URL = "https://sis.example"
TABLES: Mapping[Noun, str] = {
    "org": "orgs",
    "academicSession": "academic_sessions",
    "course": "courses",
    "class": "classes",
    "user": "users",
    "enrollment": "enrollments",
}
Reading = dict[Noun, list[Page]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A connector that can be used, with what is printed of it: its own repr, its plugin's and its settings'."""

    connector: SisConnector
    wire: Wire | None
    shown: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The connector under test, the server that it reads, and what a district would set."""

    connector: Any
    config: Mapping[str, Any] = field(repr=False)
    simulator: type[Simulator] | None
    students: int
    max_block_ms: float

    @property
    def name(self) -> str:
        """The connector's name."""
        return self.simulator.name if self.simulator is not None else "connector"

    def server(self, *misbehave: str, district: SampleDistrict | None = None) -> Simulator | None:
        """A new server to read from; None when the tests have one of their own."""
        if self.simulator is None:
            return None
        return self.simulator(district or _district(self.students), misbehave=misbehave)

    def settings(self, server: Simulator | None) -> dict[str, Any]:
        """What a district would set."""
        return {**(server.settings(URL) if server is not None else {}), **self.config}

    def secrets(self, server: Simulator | None) -> dict[str, str]:
        """The secrets among the settings, by name."""
        return secrets_of(self.connector, self.settings(server))

    @asynccontextmanager
    async def open(
        self,
        server: Simulator | None,
        *,
        before: Before | None = None,
        after: After | None = None,
        change: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Opened]:
        """The connector, reading `server`; `change` are other settings, `before` and `after` get in the way."""
        settings = {**self.settings(server), **(change or {})}
        if not isinstance(self.connector, type):
            connector = self.connector(settings)
            yield Opened(connector=connector, wire=None, shown=f"{connector!r} {connector}")
            return
        wire = Wire(server.app, before=before, after=after) if server is not None else None
        clock = fakes.FakeClock(datetime.now(UTC))
        given = fakes.services(self.name, http=wire, clock=clock, scopes=getattr(self.connector, "scopes", ()))
        async with running_plugin(self.connector, settings, services=given) as plugin:
            connector = await plugin.ask("sis_connector")
            if connector is None:
                pytest.fail("the hook sis_connector gave None with settings that work; return the connector")
            shown = f"{connector!r} {plugin.instance!r} {plugin.settings!r} {plugin.settings}"
            yield Opened(connector=connector, wire=wire, shown=shown)


class Rules:
    """What the rules share: the subject, and how it is used in a test."""

    subject: ClassVar[Subject]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, on an event loop that hurries."""
        return hurried(work)

    def server(self, *misbehave: str, district: SampleDistrict | None = None) -> Simulator:
        """A new simulator; the rule does not apply without one."""
        server = self.subject.server(*misbehave, district=district)
        if server is None:
            pytest.skip("there is no simulator to misbehave")
        return server


def nouns_of(connector: SisConnector) -> list[Noun]:
    """What the connector reads, in the order in which nouns refer to each other."""
    return [noun for noun in NOUNS if noun in connector.nouns]


async def read(
    connector: SisConnector, noun: Noun, cursor: str | None = None, since: datetime | None = None
) -> list[Page]:
    """Every page of one noun."""
    return [page async for page in connector.pull(Pull(noun=noun, cursor=cursor, since=since))]


async def read_all(connector: SisConnector) -> Reading:
    """Every page of everything."""
    return {noun: await read(connector, noun) for noun in nouns_of(connector)}


def records_of(pages: list[Page]) -> list[Record]:
    """The records of some pages."""
    return [record for page in pages for record in page.records]


@contextmanager
def district_store() -> Iterator[Store]:
    """An empty district on SQLite, thrown away at the end."""
    with tempfile.TemporaryDirectory(prefix="homeroom-") as folder:
        path = Path(folder) / "district.db"
        path.write_bytes(_empty_database())
        with Store(f"sqlite:///{path}", cipher=Cipher([bytes(32)])) as store:
            yield store


async def sync_into(store: Store, subject: Subject, server: Simulator | None) -> RunResult:
    """Take the roster of `server` over by the real engine."""
    async with subject.open(server) as opened:
        return await sync(store, subject.name, opened.connector)


async def there(store: Store) -> dict[Noun, frozenset[str]]:
    """The sourced ids of all that is in the roster and has not ended."""

    def query(connection: Connection) -> dict[Noun, frozenset[str]]:
        return {
            noun: frozenset(row[0] for row in connection.sql(f"SELECT sourced_id FROM {table} WHERE NOT ended"))  # noqa: S608 - names are ours
            for noun, table in TABLES.items()
        }

    return await store.read(query)


def difference(before: Mapping[Noun, frozenset[str]], after: Mapping[Noun, frozenset[str]]) -> str:
    """What is no longer there, in words; "" when nothing is missing."""
    lost = {noun: len(before[noun] - after[noun]) for noun in before if before[noun] - after[noun]}
    return ", ".join(f"{count} of {len(before[noun])} {noun} records" for noun, count in lost.items())


@functools.cache
def _district(students: int) -> SampleDistrict:
    return sample_district(students=students)


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory(prefix="homeroom-") as folder:
        path = Path(folder) / "empty.db"
        upgrade(f"sqlite:///{path}")
        return path.read_bytes()
