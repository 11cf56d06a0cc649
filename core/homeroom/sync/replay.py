"""Rows that could not be taken, taken again as they were kept: with today's settings and the roster as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Unpack, cast

import orjson

from homeroom.field_policy import FieldPolicy
from homeroom.records import NOUNS, Noun
from homeroom.store import Connection, Store, Transaction, iso, new_id, not_found, places
from homeroom.store.bulk import write_in
from homeroom.store.models import DeadLetter
from homeroom.sync import states
from homeroom.sync.job import UNIT, Job
from homeroom.sync.staging import Kept, prepare_again, stage_again
from homeroom.sync.steps import Options, UnderWay, apply_all, carry_out


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """What came of a replay, in rows of the source: taken now, left out once more, and never kept.

    `without_content` could not even be read by the connector: they come again with the next full run. `run_id` is the
    replay's, None when there was nothing to replay; `reason` says why it failed, where it did.
    """

    run_id: str | None
    replayed: int
    still_dead: int
    without_content: int
    reason: str | None = None


@dataclass(slots=True, kw_only=True)
class _Letters:
    """The letters that are replayed, by the row they are about: all of it is ids."""

    rows: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    without_content: int = 0

    @property
    def ids(self) -> list[int]:
        return [letter for some in self.rows.values() for letter in some]


async def replay(
    store: Store,
    name: str,
    *,
    ids: Sequence[int] | None = None,
    by: str | None = None,
    **options: Unpack[Options],
) -> ReplayResult:
    """Take the rows that the connector `name` had to leave out, all or those of the letters `ids`, once more.

    What is still wrong with one is kept as a new letter; a letter that was replayed is listed no more. Raises Refused
    404 when one of `ids` is no open letter of this connector, 409 while a run of it is under way.
    """
    letters = await store.read(lambda connection: _chosen(connection, name, ids))
    if not letters.rows:
        return ReplayResult(run_id=None, replayed=0, still_dead=0, without_content=letters.without_content)
    job = Job(
        run_id=new_id(),
        source=name,
        dry_run=False,
        full=False,
        administrators=options.get("administrators", False),
        policy=options.get("policy") or FieldPolicy(),
        holder=new_id(),
    )
    await store.write(lambda tx: states.begin(tx, job, by, kind="replay"))
    under_way = UnderWay(store=store, job=job, nouns=NOUNS, options=options)
    result = await carry_out(under_way, by, partial(_take_again, letters=letters))
    failed = result.status != "done"
    dead = len(letters.rows) if failed else await store.read(lambda connection: _left_out(connection, job))
    return ReplayResult(
        run_id=job.run_id,
        replayed=len(letters.rows) - dead,
        still_dead=dead,
        without_content=letters.without_content,
        reason=result.reason if failed else None,
    )


async def _take_again(under_way: UnderWay, letters: _Letters) -> None:
    store, job = under_way.store, under_way.job
    newest = [max(some) for some in letters.rows.values()]
    for start in range(0, len(newest), UNIT):
        some = newest[start : start + UNIT]
        rows = await store.read(partial(_prepared, job=job, ids=some))
        await store.write(partial(stage_again, job=job, rows=rows))
    await store.write(lambda tx: states.pass_on(tx, job, ()))
    await apply_all(under_way)
    for start in range(0, len(letters.ids), UNIT):
        await store.write(partial(_mark, ids=letters.ids[start : start + UNIT]))
    await states.finish(store, job, None)


def _chosen(connection: Connection, name: str, ids: Sequence[int] | None) -> _Letters:
    """The open letters of real runs, by row. Raises Refused 404 when one of `ids` is not among them."""
    found = _Letters()
    wanted = None if ids is None else set(ids)
    rows = connection.sql(
        "SELECT id, noun, sourced_id, CASE WHEN content IS NULL THEN 0 ELSE 1 END FROM dead_letters "
        "WHERE connector = ? AND replayed_at IS NULL "
        "AND run_id NOT IN (SELECT id FROM sync_runs WHERE connector = ? AND dry_run) ORDER BY id",
        [name, name],
    )
    if wanted is not None and not wanted <= {row[0] for row in rows}:
        raise not_found("There is no such row among those that were left out.")
    chosen = {(noun, sourced_id) for letter, noun, sourced_id, _ in rows if wanted is None or letter in wanted}
    for letter, noun, sourced_id, is_kept in rows:
        if is_kept and (noun, sourced_id) in chosen:
            found.rows.setdefault((noun, sourced_id), []).append(letter)
        elif not is_kept and (wanted is None or letter in wanted):
            found.without_content += 1
    return found


def _prepared(connection: Connection, job: Job, ids: Sequence[int]) -> list[tuple[Any, ...]]:
    letters = connection.all(DeadLetter.select().where(DeadLetter.id.in_(ids)))
    kept = [_kept(connection, letter) for letter in letters]
    return prepare_again(connection, job, kept)


def _kept(connection: Connection, letter: DeadLetter) -> Kept:
    content = orjson.loads(connection.cipher.unseal(letter.content or "", places.DEAD_LETTER))
    noun = cast("Noun", letter.noun)
    return Kept(noun=noun, sourced_id=letter.sourced_id or "", location=letter.location, **content)


def _mark(tx: Transaction, ids: Sequence[int]) -> None:
    write_in(tx, "UPDATE dead_letters SET replayed_at = ? WHERE id IN ({})", [iso(tx.now)], ids)


def _left_out(connection: Connection, job: Job) -> int:
    count = "SELECT count(*) FROM (SELECT DISTINCT noun, sourced_id FROM dead_letters WHERE run_id = ?) AS d"
    return int(connection.sql(count, [job.run_id])[0][0])
