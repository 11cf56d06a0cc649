"""The steps that every run is made of, from staged rows to the roster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypedDict

import structlog

from homeroom.ahead import closing, one_ahead
from homeroom.field_policy import FieldPolicy
from homeroom.records import Conflict, Noun, Resolution, SourceError
from homeroom.store import Connection, Refused, Store, StoreError, Transaction, now_utc
from homeroom.store.courtesy import Courtesy
from homeroom.store.models import SyncRun
from homeroom.sync import lease, states
from homeroom.sync.apply import Answers, Applied, Planned, apply_next, end_next, plan_ahead
from homeroom.sync.conflicts import acknowledge
from homeroom.sync.guard import Alarm, Guard, judge
from homeroom.sync.job import Job
from homeroom.sync.plan import DiffRow
from homeroom.sync.reports import RunResult, result_of
from homeroom.sync.staging import missing, stage_missing, why_nothing_is_missing
from homeroom.sync.tidy import clear_letters, clear_staged
from homeroom.sync.told import told

log = structlog.get_logger("homeroom.sync")

_SO_FAR = "UPDATE sync_runs SET phase = ?, noun = ?, done = ?, total = NULL WHERE id = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: `done` rows of one noun in one phase, of `total` where that is known."""

    run_id: str
    phase: str  # "pulling", "applying", "ending"
    noun: Noun
    done: int
    total: int | None = None


OnProgress = Callable[[Progress], None]
OnDiff = Callable[[DiffRow], None]
Resolve = Callable[[Conflict], Awaitable[Resolution | None]]


class Options(TypedDict, total=False):
    """How a run is carried out, in whatever way it was begun.

    `administrators` is the setting: whether a source may make somebody a school administrator; `policy` decides where
    both sides changed a field. `guard` says what holds a run. `progress` is called after each page and unit, `on_diff`
    with every row that changes, `resolve` with a conflict that the rules leave open, before it is kept for a person.
    """

    administrators: bool
    policy: FieldPolicy
    guard: Guard
    progress: OnProgress | None
    on_diff: OnDiff | None
    resolve: Resolve | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """A run under way, what it is about, and whom to tell."""

    store: Store
    job: Job
    nouns: Sequence[Noun]
    options: Options = field(default_factory=Options)

    def tell(self, phase: str, noun: Noun, done: int, total: int | None = None) -> None:
        """Say how far it is."""
        if (progress := self.options.get("progress")) is not None:
            progress(Progress(run_id=self.job.run_id, phase=phase, noun=noun, done=done, total=total))


async def carry_out(under_way: UnderWay, by: str | None, steps: Callable[[UnderWay], Awaitable[None]]) -> RunResult:
    """Do `steps` under the connector's lease, in the name of `by`; what goes wrong is kept with the run.

    Where another process has gone on with the run, it failed here only: what is kept is what that one does.
    """
    store, job = under_way.store, under_way.job
    try:
        trouble = await _trouble(under_way, by, steps)
        if trouble is not None:
            await states.fail(store, job, trouble)
    finally:
        await asyncio.shield(store.write(lambda tx: lease.give_back(tx, job.lease, job.holder)))
    result = await store.read(lambda connection: result_of(connection, job.run_id))
    assert result is not None  # noqa: S101 - this run began it
    if trouble is None or result.status == "done":
        return result
    return replace(result, status="failed", reason=trouble)


async def _trouble(under_way: UnderWay, by: str | None, steps: Callable[[UnderWay], Awaitable[None]]) -> str | None:
    """What went wrong while the steps were done, in words for an administrator; None when nothing did."""
    store, job = under_way.store, under_way.job
    try:
        with states.in_name_of(by, job.run_id):
            async with _lease_renewed(store, job):
                await steps(under_way)
                await clear_staged(store, job)
    except Refused as exc:
        return exc.detail
    except (SourceError, StoreError) as exc:
        return told(exc, job.source, job.run_id)
    except Exception as exc:  # noqa: BLE001 - a connector may raise anything, and its words may hold personal data
        log.error("sync_failed", connector=job.source, run_id=job.run_id, error=type(exc).__name__)
        return f"The connector failed ({type(exc).__name__}). Tell its maker what the server's log says."
    return None


async def find_missing(under_way: UnderWay) -> None:
    """Stage the end of what the source no longer holds, wherever that can be told."""
    store, job = under_way.store, under_way.job
    if not store.is_sqlite:  # else PostgreSQL plans for the empty table that it saw last
        await store.write(lambda tx: tx.sql("ANALYZE staged_rows"))
    for noun in under_way.nouns:
        if await store.read(partial(why_nothing_is_missing, job=job, noun=noun)) is not None:
            continue
        after = ""
        while gone := await store.read(partial(missing, job=job, noun=noun, after=after)):
            await store.write(partial(stage_missing, job=job, noun=noun, gone=gone))
            after = gone[-1][0]


async def is_let_through(under_way: UnderWay, *, hold: bool = True) -> bool:
    """Whether the run may go on: the guard has judged it, or a person did. Without `hold` it is only told about.

    Each run is judged once: after the first rows are taken over, the roster is not what they would change any more.
    """
    store, job = under_way.store, under_way.job
    row = await store.read(lambda connection: states.run_of(connection, job.run_id))
    if row.judged_at is not None:
        await store.write(lambda tx: tx.run(SyncRun.update(state="applying").where(SyncRun.id == job.run_id)))
        return True
    guard = under_way.options.get("guard") or Guard()
    alarms: list[Alarm] = await store.read(lambda connection: judge(connection, job, guard, now_utc().date()))
    if alarms and hold and not job.dry_run:
        await store.write(lambda tx: states.hold(tx, job, alarms))
        return False
    await store.write(lambda tx: states.pass_on(tx, job, alarms))
    return True


async def take_over(under_way: UnderWay) -> None:
    """Apply every staged row, then note that the run is done."""
    store, job = under_way.store, under_way.job
    notes = await store.read(lambda connection: _notes(connection, under_way))
    await apply_all(under_way)
    await clear_letters(store, job)
    await states.finish(store, job, notes)


async def apply_all(under_way: UnderWay) -> None:
    """Apply what is staged, first what begins or changes, then, the other way round, what ends."""
    for noun in under_way.nouns:
        await _begin_and_change(under_way, noun)
    for noun in reversed(under_way.nouns):
        await _end(under_way, noun)
        await _acknowledge(under_way, noun)


async def _acknowledge(under_way: UnderWay, noun: Noun) -> None:
    """Note which rows that were ended here have ended in the source by now, too."""
    store, job = under_way.store, under_way.job
    after: str | None = None if job.dry_run else ""
    while after is not None:
        after = await store.write(partial(acknowledge, job=job, noun=noun, after=after))


def _notes(connection: Connection, under_way: UnderWay) -> str | None:
    """Why rows that were not seen were not taken for gone, where they should have been."""
    found = [(noun, why_nothing_is_missing(connection, under_way.job, noun)) for noun in under_way.nouns]
    what = "; ".join(f"{noun}: nothing was taken for gone, because {why}" for noun, why in found if why)
    if not what:
        return None
    return f"{what}. Put that right in the source, then: homeroom sync run {under_way.job.source} --full"


class _Unit(Protocol):
    def __call__(self, tx: Transaction, job: Job, noun: Noun, after: str, answers: Answers) -> Applied: ...


class _Walk:
    """Units of one noun, each of which picks its own rows: a repeat after a lost connection does no harm."""

    def __init__(self, under_way: UnderWay, noun: Noun, phase: str) -> None:
        self.after: str | None = ""  # None: there are no more
        self.courtesy = Courtesy(under_way.store)
        self._under_way, self._noun, self._phase = under_way, noun, phase
        self._done = 0

    async def step(self, unit: _Unit) -> None:
        """Run one unit, tell of it, and let check-ins pass."""
        options = self._under_way.options
        resolve, on_diff = options.get("resolve"), options.get("on_diff")
        applied = await self._write(unit, None if resolve is None else {})
        if resolve is not None and applied.unasked:
            # Nothing was written: plugins are asked outside the transaction, and their answers hold for these versions.
            applied = await self._write(unit, {conflict: await resolve(conflict) for conflict in applied.unasked})
        if on_diff is not None:
            for row in applied.diff:
                on_diff(row)
        self.after = applied.after
        self._done += applied.rows
        if applied.rows:
            self._under_way.tell(self._phase, self._noun, self._done)
            await self.courtesy.give_way()

    async def _write(self, unit: _Unit, answers: Answers) -> Applied:
        job, noun, after, done = self._under_way.job, self._noun, self.after or "", self._done

        def one(tx: Transaction) -> Applied:
            applied = unit(tx, job, noun, after, answers)
            if applied.rows:
                tx.write_sql(_SO_FAR, (self._phase, noun, done + applied.rows, job.run_id))
            return applied

        return await self._under_way.store.write(one)


async def _begin_and_change(under_way: UnderWay, noun: Noun) -> None:
    """Take over what is new or changed: the next new rows are planned while the last ones are written."""
    walk = _Walk(under_way, noun, "applying")
    async with closing(one_ahead(_plans(under_way, noun), walk.courtesy.rested)) as plans:
        async for planned in plans:
            await walk.step(partial(apply_next, planned=planned))
    while walk.after is not None:
        await walk.step(apply_next)


async def _plans(under_way: UnderWay, noun: Noun) -> AsyncIterator[Planned]:
    planned: Planned | None = None
    while True:
        after = planned.last if planned else ""
        planned = await under_way.store.read(partial(plan_ahead, job=under_way.job, noun=noun, after=after))
        if planned is None:
            return
        yield planned


async def _end(under_way: UnderWay, noun: Noun) -> None:
    """End what the source has ended or no longer holds."""
    walk = _Walk(under_way, noun, "ending")
    while walk.after is not None:
        await walk.step(end_next)


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
