"""One run from beginning to end: pull every noun, find what is gone, apply, tidy up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from homeroom.records import NOUNS, Noun, Page, Pull, SisConnector, SourceError
from homeroom.store import ORIGIN, Connection, Refused, Store, StoreError, Transaction, conflict, new_id
from homeroom.store.models import SyncCheckpoint, SyncRun
from homeroom.sync import lease
from homeroom.sync.apply import Applied, apply_next, end_next
from homeroom.sync.job import Job, lease_of
from homeroom.sync.plan import DiffRow
from homeroom.sync.reports import RunResult, result_of
from homeroom.sync.staging import (
    begin_noun,
    complete_noun,
    missing,
    prepare,
    stage,
    stage_missing,
    why_nothing_is_missing,
)
from homeroom.sync.tidy import clear, finish, overtake

log = structlog.get_logger("homeroom.sync")

ATTEMPTS = 5  # how often a noun is read on after the source said "later"
_LONGEST_WAIT = 300.0
_OVERLAP = timedelta(minutes=10)  # clocks of a SIS and of this server differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: `done` rows of one noun in one phase."""

    run_id: str
    phase: str  # "pulling", "applying", "ending"
    noun: Noun
    done: int


OnProgress = Callable[[Progress], None]
OnDiff = Callable[[DiffRow], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A run under way, and whom to tell."""

    store: Store
    connector: SisConnector
    job: Job
    progress: OnProgress | None
    on_diff: OnDiff | None

    @property
    def nouns(self) -> list[Noun]:
        return [noun for noun in NOUNS if noun in self.connector.nouns]

    def tell(self, phase: str, noun: Noun, done: int) -> None:
        if self.progress is not None:
            self.progress(Progress(run_id=self.job.run_id, phase=phase, noun=noun, done=done))


async def run(
    store: Store,
    name: str,
    connector: SisConnector,
    *,
    dry_run: bool = False,
    full: bool = True,
    administrators: bool = False,
    progress: OnProgress | None = None,
    on_diff: OnDiff | None = None,
    started_by: str | None = None,
    run_id: str | None = None,
) -> RunResult:
    """Take the roster of the connector `name` over, or with `dry_run` only say what that would change.

    `full=False` asks only for what changed since the last success, where the source can tell. `on_diff` is called with
    every row that changes. Raises Refused 409 while another run of this connector is under way; a run that fails is
    kept with its reason (`status` "failed"), has removed nothing, and can be resumed.
    """
    run_id = run_id or new_id()
    job = Job(run_id=run_id, source=name, dry_run=dry_run, full=full, administrators=administrators, holder=new_id())
    await store.write(lambda tx: _begin(tx, job, started_by))
    under_way = _Run(store=store, connector=connector, job=job, progress=progress, on_diff=on_diff)
    return await _carry_out(under_way, started_by)


async def resume(
    store: Store,
    run_id: str,
    connector: SisConnector,
    *,
    administrators: bool = False,
    progress: OnProgress | None = None,
    on_diff: OnDiff | None = None,
    started_by: str | None = None,
) -> RunResult:
    """Go on with a run that failed or was killed, from its last checkpoint.

    Raises Refused 404 for an unknown run, 409 for one that is done, under way or overtaken by a later one.
    """
    job = await store.write(lambda tx: _begin_again(tx, run_id, new_id(), administrators=administrators))
    under_way = _Run(store=store, connector=connector, job=job, progress=progress, on_diff=on_diff)
    return await _carry_out(under_way, started_by)


async def _carry_out(under_way: _Run, started_by: str | None) -> RunResult:
    store, job = under_way.store, under_way.job
    origin = ORIGIN.get()
    token = ORIGIN.set(replace(origin, actor_id=started_by or origin.actor_id, request_id=job.run_id))
    try:
        async with _lease_renewed(store, job):
            await _steps(under_way)
            await clear(store, job)
    except Refused as exc:
        await _fail(store, job, exc.detail)
    except (SourceError, StoreError) as exc:
        await _fail(store, job, str(exc))
    except Exception as exc:  # noqa: BLE001 - a connector may raise anything, and its words may hold personal data
        log.error("sync_failed", connector=job.source, run_id=job.run_id, error=type(exc).__name__)
        await _fail(store, job, f"the connector failed ({type(exc).__name__})")
    finally:
        ORIGIN.reset(token)
        await asyncio.shield(store.write(lambda tx: lease.give_back(tx, job.lease, job.holder)))
    result = await store.read(lambda connection: result_of(connection, job.run_id))
    assert result is not None  # noqa: S101 - this run began it
    return result


async def _steps(under_way: _Run) -> None:
    """Everything a run does, in order."""
    store, job = under_way.store, under_way.job
    notes: list[str] = []
    since = None if job.full else await store.read(lambda connection: _last_success(connection, job.source))
    for noun in under_way.nouns:
        await _pull_noun(under_way, noun, since)
    for noun in under_way.nouns:
        why_not = await _find_missing(under_way, noun)
        if why_not:
            notes.append(f"{noun}: nothing was taken for gone, because {why_not}")
    await store.write(lambda tx: tx.run(SyncRun.update(state="applying").where(SyncRun.id == job.run_id)))
    for noun in under_way.nouns:
        await _apply(under_way, noun, "applying", apply_next)
    for noun in reversed(under_way.nouns):
        await _apply(under_way, noun, "ending", end_next)
    await finish(store, job, "; ".join(notes) or None)


async def _pull_noun(under_way: _Run, noun: Noun, since: datetime | None) -> None:
    """Read one noun to its end into staging, going on from the checkpoint after the source said "later"."""
    store, job = under_way.store, under_way.job
    attempts = AsyncRetrying(
        retry=retry_if_exception(lambda exc: isinstance(exc, SourceError) and exc.retry),
        stop=stop_after_attempt(ATTEMPTS),
        wait=_wait,
        reraise=True,
    )
    async for attempt in attempts:
        with attempt:
            point = await store.read(lambda connection: _checkpoint(connection, job, noun))
            if point is not None and point.complete:
                return
            cursor = await store.write(lambda tx: begin_noun(tx, job, noun))
            done = point.pulled if point is not None and cursor is not None else 0
            async with _closing(under_way.connector.pull(Pull(noun=noun, cursor=cursor, since=since))) as pages:
                async for page in pages:
                    prepared = await store.read(partial(prepare, job=job, noun=noun, page=page))
                    prepared.before = done
                    prepared.delta = page.delta or (since is not None and not page.whole)
                    await store.write(partial(stage, job=job, prepared=prepared))
                    done += prepared.pulled
                    under_way.tell("pulling", noun, done)
            await store.write(lambda tx: complete_noun(tx, job, noun))


@contextlib.asynccontextmanager
async def _closing(pages: AsyncIterator[Page]) -> AsyncIterator[AsyncIterator[Page]]:
    """`pages`, closed at the end even where they were not read to theirs: files and connections do not wait for gc."""
    try:
        yield pages
    finally:
        if isinstance(pages, AsyncGenerator):
            await pages.aclose()


def _wait(state: RetryCallState) -> float:
    """As long as the source named, else a little longer each time."""
    error = state.outcome.exception() if state.outcome else None
    named = error.retry_after if isinstance(error, SourceError) else None
    return min(named, _LONGEST_WAIT) if named is not None else wait_exponential_jitter(initial=0.5, max=60)(state)


async def _find_missing(under_way: _Run, noun: Noun) -> str | None:
    """Stage the end of what the source no longer holds; gives why that cannot be told, where it should have been."""
    store, job = under_way.store, under_way.job
    why_not = await store.read(lambda connection: why_nothing_is_missing(connection, job, noun))
    if why_not is not None:
        return why_not
    after = ""
    while gone := await store.read(partial(missing, job=job, noun=noun, after=after)):
        await store.write(partial(stage_missing, job=job, noun=noun, gone=gone))
        after = gone[-1][0]
    return None


class _Unit(Protocol):
    def __call__(self, tx: Transaction, job: Job, noun: Noun, after: str) -> Applied: ...


async def _apply(under_way: _Run, noun: Noun, phase: str, unit: _Unit) -> None:
    """Run units until none is left; each picks its own rows, so a repeat after a lost connection does no harm."""
    store, job = under_way.store, under_way.job
    after: str | None = ""
    done = 0
    while after is not None:
        applied = await store.write(partial(unit, job=job, noun=noun, after=after))
        if under_way.on_diff is not None:
            for row in applied.diff:
                under_way.on_diff(row)
        done += applied.rows
        if applied.rows:
            under_way.tell(phase, noun, done)
        after = applied.after


@contextlib.asynccontextmanager
async def _lease_renewed(store: Store, job: Job) -> AsyncIterator[None]:
    """Keep the connector's lease while a slow source is read; every step checks that it is still held."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(lease.SECONDS / 3)
            with contextlib.suppress(StoreError):
                await store.write(lambda tx: lease.is_held(tx, job.lease, job.holder) and _retake(tx, job))

    task = asyncio.create_task(renew())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _retake(tx: Transaction, job: Job) -> bool:
    return lease.take(tx, job.lease, job.holder)


def _begin(tx: Transaction, job: Job, started_by: str | None) -> None:
    _take_lease(tx, job)
    unended = SyncRun.select(SyncRun.id).where(
        SyncRun.connector == job.source, SyncRun.state.in_(("pulling", "applying"))
    )
    for run_id in tx.values(unended):
        overtake(tx, run_id, by=job.run_id)
    tx.insert(
        SyncRun,
        id=job.run_id,
        connector=job.source,
        dry_run=job.dry_run,
        full=job.full,
        started_at=tx.now,
        started_by=started_by,
    )


def _begin_again(tx: Transaction, run_id: str, holder: str, *, administrators: bool) -> Job:
    row = tx.get(SyncRun, run_id)
    if row is None:
        raise Refused(404, "not-found", "There is no such run.")
    job = Job(
        run_id=run_id,
        source=row.connector,
        dry_run=row.dry_run,
        full=row.full,
        administrators=administrators,
        holder=holder,
    )
    if row.state == "done":
        raise conflict("sync-done", "This run is done.")
    later = SyncRun.select().where(SyncRun.connector == row.connector, SyncRun.started_at > row.started_at)
    if tx.one(later) is not None:
        raise conflict("sync-overtaken", "A later run has taken this one's place.")
    _take_lease(tx, job)
    tx.run(SyncRun.update(state="pulling", reason=None, finished_at=None).where(SyncRun.id == run_id))
    return job


def _take_lease(tx: Transaction, job: Job) -> None:
    if not lease.take(tx, job.lease, job.holder):
        until = lease.until(tx, lease_of(job.source))
        seconds = max(1, round((until - tx.now).total_seconds())) if until else lease.SECONDS
        raise Refused(
            409,
            "sync-running",
            f"A run of {job.source} is under way. If its process was killed, try again in {seconds} seconds.",
            retry_after=seconds,
        )


async def _fail(store: Store, job: Job, reason: str) -> None:
    """Keep why the run failed; what it has staged stays, so that it can be resumed."""

    def unit(tx: Transaction) -> None:
        values = {"state": "failed", "reason": reason, "finished_at": tx.now}
        tx.run(SyncRun.update(**values).where(SyncRun.id == job.run_id, SyncRun.state != "done"))

    with contextlib.suppress(StoreError):  # the database itself may be what failed
        await store.write(unit)


def _last_success(connection: Connection, source: str) -> datetime | None:
    done = SyncRun.select().where(SyncRun.connector == source, SyncRun.state == "done", ~SyncRun.dry_run)
    row = connection.one(done.order_by(SyncRun.started_at.desc()))
    return None if row is None else row.started_at - _OVERLAP


def _checkpoint(connection: Connection, job: Job, noun: Noun) -> SyncCheckpoint | None:
    query = SyncCheckpoint.select().where(SyncCheckpoint.run_id == job.run_id, SyncCheckpoint.noun == noun)
    return connection.one(query)
