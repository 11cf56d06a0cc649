"""The writer thread, the reader threads, and the `Store` that stands before them.

One writer per process drains whatever units of work have queued up, runs them in one transaction, commits, and only
then lets each caller go on: a commit is shared by all who wait for it, and a caller that vanishes tears nothing.
If a unit fails after it has written, the batch is rolled back and run again with a savepoint around each unit, so that
the one that fails fails alone (savepoints always would cost five-fold on PostgreSQL).
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

import orjson
import structlog
from peewee import Database, PeeweeException

from homeroom.store.cipher import Cipher
from homeroom.store.connection import JOURNAL_COLUMNS, ORIGIN, Connection, Origin, Sums, Transaction, now_utc
from homeroom.store.database import connect
from homeroom.store.errors import Busy, StoreError, Unavailable
from homeroom.store.faults import Fault, answerable, fault_of, plain
from homeroom.store.models.plumbing import Journal

log = structlog.get_logger("homeroom.store")

T = TypeVar("T")

BATCH = 512  # units in one transaction at most
QUEUE = 8192  # units that may wait before callers are told to come back
PATIENCE = 3.0  # seconds in which the writer tries to get a lost connection back before it answers "unavailable"
WRITE_LOCK = 0x686F6D65726F6F6D  # the advisory lock that puts PostgreSQL's commits in the order of journal ids
_READS_AT_ONCE = 8
_FEW_ENTRIES = 10  # more go to PostgreSQL as one parameter: thousands of them cost its driver more than the rows
_ENTRIES = 500  # journal rows in one statement: SQLite takes 32,766 parameters


class _Failed(Exception):
    """A unit failed after it had written: the batch must be undone."""


@dataclass(slots=True)
class _Job(Generic[T]):
    """A unit of work or a read, and where its answer goes."""

    work: Callable[[Any], T]
    origin: Origin
    answer: asyncio.Future[T] | Future[T]
    loop: asyncio.AbstractEventLoop | None
    result: Any = None
    error: BaseException | None = None
    rows: list[tuple[Any, ...]] = field(default_factory=list)


def _settle(jobs: Sequence[_Job[Any]]) -> None:
    for job in jobs:
        if job.answer.done():  # its request is gone; the work is done all the same
            continue
        if job.error is not None:
            job.answer.set_exception(job.error)
        else:
            job.answer.set_result(job.result)


def _deliver(jobs: Sequence[_Job[Any]]) -> None:
    """Hand the answers over: one wake-up for each event loop, however many jobs it waits for."""
    by_loop: dict[asyncio.AbstractEventLoop | None, list[_Job[Any]]] = defaultdict(list)
    for job in jobs:
        by_loop[job.loop].append(job)
    for loop, some in by_loop.items():
        if loop is None:
            _settle(some)
            continue
        with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits any more
            loop.call_soon_threadsafe(_settle, some)


class Store:
    """The database of one district.

    `url` is `sqlite:///PATH` or `postgresql://…`. Opening starts the threads; `close` lets what is queued finish.
    `committed` holds callbacks that the writer thread calls after each commit that entered rows in the journal, `done`
    counts the units of work that were carried out or refused.
    """

    def __init__(
        self,
        url: str,
        *,
        cipher: Cipher,
        readers: int = 3,
        batch: int = BATCH,
        limit: int = QUEUE,
        patience: float = PATIENCE,
    ) -> None:
        self.url = url
        self.cipher = cipher
        self.batch = batch
        self.limit = limit
        self.patience = patience
        self.committed: list[Callable[[], None]] = []
        self.database: Database = connect(url)
        self._writes: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._readers = readers
        self._gate = threading.Lock()
        self._closed = False
        self.failing: str | None = None
        self.done = 0
        names = ", ".join(getattr(Journal, name).column_name for name in JOURNAL_COLUMNS)
        self._insert = f"INSERT INTO journal ({names})"
        self._insert_many = f"{self._insert} SELECT {names} FROM json_populate_recordset(NULL::journal, %s::json)"  # noqa: S608 - names are ours
        self._row = f"({', '.join(['?' if self.is_sqlite else '%s'] * len(JOURNAL_COLUMNS))})"

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the one-machine database."""
        return self.url.startswith("sqlite")

    @property
    def waiting(self) -> int:
        """How many units of work are queued now."""
        return self._writes.qsize()

    def open(self) -> Store:
        """Start the threads. Connections are made by each thread when it first needs one."""
        self._threads = [threading.Thread(target=self._write_loop, name="homeroom-writer", daemon=True)]
        self._threads += [
            threading.Thread(target=self._read_loop, name=f"homeroom-reader-{n}", daemon=True)
            for n in range(self._readers)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def close(self) -> None:
        """Let what is queued finish, then end the threads and close their connections."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._writes.put(None)
            for _ in range(self._readers):
                self._reads.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def write(self, unit: Callable[[Transaction], T]) -> T:
        """What `unit` gives, once it is committed.

        Raises Busy when too much is queued, Unavailable when the database cannot be reached or is full, and whatever
        `unit` raises (then nothing of it is kept). Cancelling the caller does not cancel the unit.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._submit(self._writes, _Job(unit, ORIGIN.get(), answer, loop))
        return await answer

    def write_now(self, unit: Callable[[Transaction], T]) -> T:
        """Like `write`, for a thread without an event loop (the CLI)."""
        answer: Future[T] = Future()
        self._submit(self._writes, _Job(unit, ORIGIN.get(), answer, None))
        return answer.result()

    async def read(self, query: Callable[[Connection], T]) -> T:
        """What `query` gives, run on a reader thread whose connection cannot write."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._submit(self._reads, _Job(query, ORIGIN.get(), answer, loop))
        return await answer

    def read_now(self, query: Callable[[Connection], T]) -> T:
        """Like `read`, for a thread without an event loop."""
        answer: Future[T] = Future()
        self._submit(self._reads, _Job(query, ORIGIN.get(), answer, None))
        return answer.result()

    def _submit(self, jobs: queue.SimpleQueue[_Job[Any] | None], job: _Job[Any]) -> None:
        with self._gate:
            if self._closed:
                raise Unavailable("the server is stopping")
            if jobs.qsize() >= self.limit:
                raise Busy("too much is waiting; please try again")
            jobs.put(job)

    def _write_loop(self) -> None:
        while True:
            jobs, ending = _drain(self._writes, self.batch)
            if jobs:
                self._commit(jobs)
            if ending:
                self._disconnect()
                return

    def _commit(self, jobs: list[_Job[Any]]) -> None:
        """Run a batch and settle every job of it, whatever happens."""
        deadline = time.monotonic() + (0 if self.failing else self.patience)
        while True:
            try:
                self._attempt_batch(jobs)
            except Exception as exc:  # noqa: BLE001 - whatever it was, everybody who waits gets an answer
                self._disconnect()
                fault = fault_of(exc)
                if fault is Fault.AWAY and time.monotonic() < deadline and not self._closed:
                    # Lost during COMMIT means unknown: units are idempotent, so the batch is simply run again.
                    time.sleep(0.05)  # the database is away: nothing to wait on but time
                    continue
                self._give_up(jobs, exc, fault)
            else:
                self.failing = None
            break
        self.done += len(jobs)
        _deliver(jobs)
        if any(job.rows for job in jobs):
            self._tell()

    def _give_up(self, jobs: list[_Job[Any]], exc: Exception, fault: Fault) -> None:
        self.failing = plain(exc) if fault is not Fault.UNIT else None
        log.error("write_failed", error=type(exc).__name__, reason=self.failing, units=len(jobs))
        for job in jobs:
            job.result, job.rows = None, []
            job.error = StoreError(type(exc).__name__) if self.failing is None else Unavailable(self.failing)

    def _tell(self) -> None:
        for callback in self.committed:
            try:
                callback()
            except Exception as exc:  # noqa: BLE001 - a listener's fault is not the writer's
                log.error("commit_listener_failed", error=type(exc).__name__)

    def _attempt_batch(self, jobs: list[_Job[Any]]) -> None:
        try:
            with self._transaction():
                self._run_batch(jobs)
        except _Failed:
            with self._transaction():
                self._run_apart(jobs)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        database = self.database
        if database.is_closed():
            database.connect()
            if not self.is_sqlite:  # a frozen or vanished process must not keep the others from writing for long
                database.execute_sql("SET lock_timeout = '10s'")
                database.execute_sql("SET idle_in_transaction_session_timeout = '30s'")
        if self.is_sqlite:
            database.execute_sql("BEGIN IMMEDIATE")
        else:
            database.execute_sql("BEGIN")
        try:
            if not self.is_sqlite:
                database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (WRITE_LOCK,))
            yield
        except BaseException:
            with contextlib.suppress(PeeweeException, sqlite3.Error):
                database.execute_sql("ROLLBACK")
            raise
        database.execute_sql("COMMIT")

    def _run_batch(self, jobs: list[_Job[Any]]) -> None:
        """Run every unit in the one transaction. Raises _Failed when one of them has to be undone alone."""
        now = now_utc()
        entries: list[tuple[Any, ...]] = []
        sums: list[tuple[Sums, tuple[Any, ...], Sequence[int]]] = []
        for job in jobs:
            tx = Transaction(self.database, self.cipher, job.origin, now)
            job.result, job.error, job.rows = None, None, []
            try:
                job.result = job.work(tx)
            except BaseException as exc:
                if fault_of(exc) is not Fault.UNIT:
                    raise
                if tx.wrote or isinstance(exc, PeeweeException):
                    raise _Failed from exc
                job.error = answerable(exc)
            else:
                job.rows = tx.pending
                entries += tx.pending
                sums += tx.sums
        try:
            self._add_up(sums)
            self._enter(entries)
        except PeeweeException as exc:
            if fault_of(exc) is not Fault.UNIT:
                raise
            raise _Failed from exc

    def _run_apart(self, jobs: list[_Job[Any]]) -> None:
        """Run every unit in a savepoint of its own, so that one that fails fails alone."""
        now = now_utc()
        for job in jobs:
            tx = Transaction(self.database, self.cipher, job.origin, now)
            job.result, job.error, job.rows = None, None, []
            self.database.execute_sql("SAVEPOINT unit")
            try:
                job.result = job.work(tx)
                self._add_up(tx.sums)
                self._enter(tx.pending)
                self.database.execute_sql("RELEASE SAVEPOINT unit")
            except BaseException as exc:
                if fault_of(exc) is not Fault.UNIT:
                    raise
                job.result, job.error = None, answerable(exc)
                self.database.execute_sql("ROLLBACK TO SAVEPOINT unit")
                self.database.execute_sql("RELEASE SAVEPOINT unit")
            else:
                job.rows = tx.pending

    def _add_up(self, sums: Sequence[tuple[Sums, tuple[Any, ...], Sequence[int]]]) -> None:
        """Add to the counters: one statement for all rows of a table, each row once."""
        tables: dict[Sums, dict[tuple[Any, ...], Sequence[int]]] = defaultdict(dict)
        for table, row, amounts in sums:
            before = tables[table].get(row)
            tables[table][row] = [a + b for a, b in zip(before, amounts, strict=True)] if before else amounts
        for table, rows in tables.items():
            added = sorted(rows.items())
            for start in range(0, len(added), _ENTRIES):
                some = added[start : start + _ENTRIES]
                text = table.statement(len(some))
                params = [value for row, amounts in some for value in (*row, *amounts)]
                self.database.execute_sql(text if self.is_sqlite else text.replace("?", "%s"), params)

    def _enter(self, entries: list[tuple[Any, ...]]) -> None:
        """Write journal rows in the order of their units, many to a statement."""
        for start in range(0, len(entries), _ENTRIES):
            some = entries[start : start + _ENTRIES]
            if not self.is_sqlite and len(some) > _FEW_ENTRIES:
                rows = [dict(zip(JOURNAL_COLUMNS, row, strict=True)) for row in some]
                self.database.execute_sql(self._insert_many, [orjson.dumps(rows).decode()])
                continue
            values = ", ".join([self._row] * len(some))
            self.database.execute_sql(f"{self._insert} VALUES {values}", [value for row in some for value in row])

    def _read_loop(self) -> None:
        connection = Connection(self.database, self.cipher)
        while True:
            jobs, ending = _drain(self._reads, min(_READS_AT_ONCE, 1 + self._reads.qsize() // self._readers))
            for job in jobs:
                self._run_read(connection, job)
            _deliver(jobs)
            if ending:
                self._disconnect()
                return

    def _run_read(self, connection: Connection, job: _Job[Any]) -> None:
        for attempt in (1, 2):
            job.result, job.error = None, None
            try:
                if self.database.is_closed():
                    self.database.connect()
                    self._make_read_only()
                job.result = job.work(connection)
            except BaseException as exc:  # noqa: BLE001 - it is the read's answer, handed to its caller
                fault = fault_of(exc)
                if fault is Fault.UNIT:
                    job.error = answerable(exc)
                    return
                self._disconnect()
                job.error = Unavailable(plain(exc))
                if attempt == 1 and fault is Fault.AWAY:
                    continue
            return

    def _make_read_only(self) -> None:
        self.database.execute_sql(
            "PRAGMA query_only = ON" if self.is_sqlite else "SET default_transaction_read_only = on"
        )

    def _disconnect(self) -> None:
        with contextlib.suppress(PeeweeException, sqlite3.Error):
            self.database.close()


def _drain(jobs: queue.SimpleQueue[_Job[Any] | None], most: int) -> tuple[list[_Job[Any]], bool]:
    """Wait for one job, then take whatever else has queued up; True when the end was asked for."""
    first = jobs.get()
    if first is None:
        return [], True
    batch = [first]
    while len(batch) < most:
        try:
            job = jobs.get_nowait()
        except queue.Empty:
            break
        if job is None:
            return batch, True
        batch.append(job)
    return batch, False
