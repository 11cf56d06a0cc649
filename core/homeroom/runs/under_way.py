"""The sync runs under way in this process, behind what asked for them: a request, a schedule, a vendor's hint.

A run goes on when its client is gone. At the end of the process it stops between two steps, and the next process goes
on with it from its last checkpoint (`homeroom.runs.scheduler`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog

from homeroom import sync
from homeroom.field_policy import FieldPolicy
from homeroom.records import SisConnector
from homeroom.runs import due
from homeroom.runs.connectors import connector
from homeroom.runs.diffs import DiffKeeper, forget
from homeroom.runs.due import Wish
from homeroom.runs.resolving import Host, resolver
from homeroom.settings import Settings
from homeroom.store import Refused, Store, StoreError, Transaction, conflict, new_id, not_found, now_utc
from homeroom.store.models import SyncRun, SyncTask
from homeroom.sync import Options, ReplayResult, RunResult

log = structlog.get_logger("homeroom.sync")

T = TypeVar("T")

_LOOK_SECONDS = 0.02
_MOST_DEATHS = 3  # so many processes may die over one run; then it is the run that kills them

Work = Coroutine[Any, Any, RunResult]


class Home(Protocol):
    """What runs need of the district."""

    @property
    def settings(self) -> Settings: ...  # noqa: D102 - the class says it
    @property
    def store(self) -> Store: ...  # noqa: D102
    @property
    def host(self) -> Host: ...  # noqa: D102


def options(home: Home) -> Options:
    """How the district's settings and plugins have every run carried out."""
    settings = home.settings.sync
    return Options(
        administrators=settings.administrators,
        policy=FieldPolicy(settings.policy),
        guard=sync.Guard(share=settings.guard_share),
        resolve=resolver(home.host, home.store),
    )


class SyncRuns:
    """Begins runs in this process and sees them through."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    @property
    def under_way(self) -> frozenset[str]:
        """The ids of the runs that this process is at."""
        return frozenset(self._tasks)

    async def begin(self, wish: Wish) -> str:
        """The id of a run that has begun. Raises Refused: 404 for no such connector, 409 while another is under way."""
        await connector(self.home.host, wish.connector)
        run_id = new_id()
        await self.home.store.write(lambda tx: due.claim(tx, wish, run_id))
        await self.begin_claimed(run_id, wish)
        return run_id

    async def begin_claimed(self, run_id: str, wish: Wish) -> None:
        """Begin a run that this process has claimed. Raises Refused as `begin`, and the claim is taken back."""
        store, diff = self.home.store, None
        try:
            source = await connector(self.home.host, wish.connector)
        except Refused:
            await store.write(lambda tx: due.take_back(tx, run_id))
            raise
        how = options(self.home)
        if wish.dry_run:
            diff = DiffKeeper(store, run_id)
            how["on_diff"] = diff.take
        if wish.approves is not None:
            by = wish.started_by or ""
            work = sync.approve(store, wish.approves, source, by=by, new_run_id=run_id, **how)
        else:
            kind: dict[str, Any] = {"dry_run": wish.dry_run, "full": wish.full, "started_by": wish.started_by}
            work = sync.run(store, wish.connector, source, run_id=run_id, **kind, **how)
        await self._launch(run_id, wish.connector, work, diff)

    async def approval(self, run_id: str, *, by: str) -> Wish:
        """The run that takes over what a dry run has shown, to be begun. Raises Refused 404 when there is none."""
        dry = await self._known(run_id)
        return Wish(connector=dry.connector, full=dry.full, started_by=by, approves=run_id)

    async def release(self, run_id: str, *, by: str) -> None:
        """Go on with a held run. Raises Refused: 404, or 409 with why it cannot go on."""
        await self._go_on(run_id, by, partial(sync.release, by=by))

    async def resume(self, run_id: str, *, by: str | None) -> None:
        """Go on with a run that failed or was interrupted. Raises Refused: 404, or 409 with why it cannot go on."""
        if (await self._known(run_id)).dry_run:
            raise conflict("sync-dry-run", "A dry run is not resumed. Start it again.")
        await self._go_on(run_id, by, partial(sync.resume, started_by=by))

    async def replay(self, name: str, ids: Sequence[int] | None, *, by: str) -> ReplayResult:
        """What became of rows that were left out, taken once more; it goes on when its client is gone."""
        await connector(self.home.host, name)
        return await self._in_background(sync.replay(self.home.store, name, ids=ids, by=by, **options(self.home)))

    async def take_over(self, task: SyncTask) -> None:
        """Go on with a run that another process has left or died over, and this one has adopted."""
        store, run_id = self.home.store, task.run_id
        run = await store.read(lambda c: c.get(SyncRun, run_id))
        if task.attempts > _MOST_DEATHS:
            reason = f"the server ended {task.attempts} times during this run. Look into its log, then start another"
            await store.write(partial(_give_up, run_id=run_id, reason=reason))
        elif run is None:
            await self.begin_claimed(run_id, _wish_of(task))
        elif task.dry_run:
            await store.write(partial(_give_up, run_id=run_id, reason="the server stopped during it. Start it again"))
        else:
            try:
                source = await connector(self.home.host, task.connector)
            except Refused as exc:
                await store.write(partial(_give_up, run_id=run_id, reason=exc.detail))
                return
            work = sync.resume(store, run_id, source, started_by=task.started_by, **options(self.home))
            await self._launch(run_id, task.connector, work)

    async def stop(self) -> None:
        """End every run between two steps, and leave it to the next process."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _go_on(self, run_id: str, by: str | None, how: Callable[..., Work]) -> None:
        run = await self._known(run_id)
        source: SisConnector = await connector(self.home.host, run.connector)
        wish = Wish(connector=run.connector, full=run.full, started_by=by)
        await self.home.store.write(lambda tx: due.claim(tx, wish, run_id))
        await self._launch(run_id, run.connector, how(self.home.store, run_id, source, **options(self.home)))

    async def _known(self, run_id: str) -> SyncRun:
        run = await self.home.store.read(lambda c: c.get(SyncRun, run_id))
        if run is None:
            raise not_found("There is no such run.")
        return run

    async def _in_background(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives; the caller's end does not end it, but the process's does."""
        task = asyncio.create_task(work)
        key = new_id()
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))
        waiting: Awaitable[T] = asyncio.shield(task)
        return await waiting

    async def _launch(self, run_id: str, name: str, work: Work, diff: DiffKeeper | None = None) -> None:
        """Let a run go on behind, once it has its connector's lease. Raises Refused when it does not get it."""
        task = asyncio.create_task(self._see_through(run_id, work, diff), name=f"sync-{name}")
        self._tasks[run_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(run_id, None))
        while not task.done() and not await self._has_begun(run_id, name):
            await asyncio.wait([task], timeout=_LOOK_SECONDS)
        if task.done():
            task.result()
        else:
            task.add_done_callback(_ended)

    async def _has_begun(self, run_id: str, name: str) -> bool:
        now = now_utc()
        return await self.home.store.read(lambda c: c.get(SyncRun, run_id) is not None and due.runs_now(c, name, now))

    async def _see_through(self, run_id: str, work: Work, diff: DiffKeeper | None) -> None:
        store = self.home.store
        try:
            result = await work
        except Refused:
            await store.write(lambda tx: due.take_back(tx, run_id))
            raise
        except asyncio.CancelledError:
            with contextlib.suppress(StoreError):
                await asyncio.shield(store.write(lambda tx: due.leave(tx, run_id)))
            raise
        if diff is not None:
            await diff.finish()
        await store.write(lambda tx: due.settle(tx, run_id, failed=result.status == "failed"))


def _wish_of(task: SyncTask) -> Wish:
    return Wish(
        connector=task.connector,
        full=task.full,
        dry_run=task.dry_run,
        started_by=task.started_by,
        approves=task.approves,
    )


def _ended(task: asyncio.Task[None]) -> None:
    """Say in the log what nobody waited for."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("sync_not_seen_through", run=task.get_name(), error=type(error).__name__)


def _give_up(tx: Transaction, run_id: str, reason: str) -> None:
    values = {"state": "failed", "reason": reason, "finished_at": tx.now}
    tx.run(SyncRun.update(**values).where(SyncRun.id == run_id, SyncRun.state.not_in(("done", "failed"))))
    forget(tx, run_id)
    due.settle(tx, run_id, failed=True)
