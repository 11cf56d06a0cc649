"""Every way to begin a run of a connector, and to go on with one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Unpack

from homeroom.field_policy import FieldPolicy
from homeroom.records import NOUNS, Noun, SisConnector
from homeroom.store import Store, new_id
from homeroom.sync import states
from homeroom.sync.approval import approvable, check_unchanged
from homeroom.sync.job import Job
from homeroom.sync.pulling import pull_noun
from homeroom.sync.reports import RunResult
from homeroom.sync.steps import Options, UnderWay, carry_out, find_missing, is_let_through, take_over


async def run(
    store: Store,
    name: str,
    connector: SisConnector,
    *,
    dry_run: bool = False,
    full: bool = True,
    started_by: str | None = None,
    run_id: str | None = None,
    **options: Unpack[Options],
) -> RunResult:
    """Take the roster of the connector `name` over, or with `dry_run` only say what that would change.

    `full=False` asks only for what changed since the last success, where the source can tell. Raises Refused 409 while
    another run of this connector is under way. A run that the guard stops is "held", with its `findings`, until it is
    released or discarded; one that fails is kept with its reason (`status` "failed"), has removed nothing, and can be
    resumed. A dry run's rows are kept for 24 hours, to be approved.
    """
    job = await _job(store, run_id or new_id(), name, dry_run=dry_run, full=full, options=options)
    await store.write(lambda tx: states.begin(tx, job, started_by))
    return await carry_out(_under_way(store, job, connector, options), started_by, partial(_read, connector=connector))


async def resume(
    store: Store,
    run_id: str,
    connector: SisConnector,
    *,
    started_by: str | None = None,
    **options: Unpack[Options],
) -> RunResult:
    """Go on with a run that failed or was killed, from its last checkpoint.

    Raises Refused 404 for an unknown run, 409 for one that is done, held, under way or overtaken by a later one.
    """
    row = await store.read(lambda connection: states.run_of(connection, run_id))
    job = await _job(store, run_id, row.connector, dry_run=row.dry_run, full=row.full, options=options)
    await store.write(lambda tx: states.begin_again(tx, job))
    steps = partial(_read, connector=connector, approves=row.approves)
    return await carry_out(_under_way(store, job, connector, options), started_by, steps)


async def release(
    store: Store, run_id: str, connector: SisConnector, *, by: str, **options: Unpack[Options]
) -> RunResult:
    """Go on with a held run as it was read, in the name of `by`, an administrator's id.

    Raises Refused 404 for an unknown run, 409 for one that is not held, was read more than 24 hours ago, or was
    overtaken by a later one.
    """
    row = await store.read(lambda connection: states.run_of(connection, run_id))
    job = await _job(store, run_id, row.connector, dry_run=False, full=row.full, options=options)
    with states.in_name_of(by, run_id):
        await store.write(lambda tx: states.release(tx, job, by))
    return await carry_out(_under_way(store, job, connector, options), by, take_over)


async def approve(
    store: Store,
    run_id: str,
    connector: SisConnector,
    *,
    by: str,
    new_run_id: str | None = None,
    **options: Unpack[Options],
) -> RunResult:
    """Take over exactly what the dry run `run_id` has shown, in the name of `by`, an administrator's id.

    The source is read again, as a new run: when anything differs from what the dry run read, or a row that it would
    change was changed here meanwhile, that run fails with the reason and changes nothing. What the guard found is told
    and holds nothing, because somebody has seen it. Raises Refused 404 for an unknown run, 409 for one that is no dry
    run, did not come to its end, is more than 24 hours old, or has a later one after it.
    """
    dry = await store.read(lambda connection: approvable(connection, run_id))
    job = await _job(store, new_run_id or new_id(), dry.connector, dry_run=False, full=dry.full, options=options)
    with states.in_name_of(by, job.run_id):
        await store.write(lambda tx: states.begin(tx, job, by, approves=run_id))
    steps = partial(_read, connector=connector, approves=run_id)
    return await carry_out(_under_way(store, job, connector, options), by, steps)


async def discard(store: Store, run_id: str, *, by: str) -> None:
    """End a held run without taking anything over. Raises Refused 404 for an unknown run, 409 when it is not held."""
    with states.in_name_of(by, run_id):
        await store.write(lambda tx: states.discard(tx, run_id))


async def _read(under_way: UnderWay, *, connector: SisConnector, approves: str | None = None) -> None:
    """Everything a run does, in order."""
    store, job = under_way.store, under_way.job
    for noun in under_way.nouns:
        since = None if job.full else await store.read(partial(states.watermark, source=job.source, noun=noun))
        await pull_noun(under_way, connector, noun, since)
    await find_missing(under_way)
    if approves is not None:
        await check_unchanged(store, job, approves)
    if await is_let_through(under_way, hold=approves is None):
        await take_over(under_way)


async def _job(store: Store, run_id: str, source: str, *, dry_run: bool, full: bool, options: Options) -> Job:
    return Job(
        run_id=run_id,
        source=source,
        dry_run=dry_run,
        full=full,
        administrators=options.get("administrators", False),
        policy=options.get("policy") or FieldPolicy(),
        holder=new_id(),
        heir_of=await store.read(lambda connection: states.cut_off(connection, source, run_id)),
    )


def _under_way(store: Store, job: Job, connector: SisConnector, options: Options) -> UnderWay:
    nouns: Sequence[Noun] = [noun for noun in NOUNS if noun in connector.nouns]
    return UnderWay(store=store, job=job, nouns=nouns, options=options)
