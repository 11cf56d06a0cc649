"""A sync is killed in the middle of everything, again and again, and ends as if nothing had happened."""

from __future__ import annotations

import asyncio
import csv
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from homeroom import sync
from homeroom.store import Connection, Store, now_utc
from homeroom.store import models as m
from homeroom.store.migrate import upgrade
from homeroom.testing.district import write_bundle
from tests.services import killed_sync
from tests.services.killed_sync import CIPHER
from tests.services.nursery import Nursery
from tests.services.scripted_sis import ROSTER

STUDENTS = 40
Told = dict[str, Counter[tuple[Any, ...]]]
Unkilled = tuple[list[int], Told]
"""How many statements each bundle takes without a kill, and what comes of all of them."""
_OF_THE_MOMENT = {"changed_at", "value", "lookup"}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A district, and the same some weeks later: a few have left, a few moved, classes were renamed."""
    first, later = (tmp_path_factory.mktemp("bundles") / name for name in ("first", "later"))
    for folder in (first, later):
        write_bundle(folder, students=STUDENTS)
    _edit(later / "classes.csv", lambda number, row: {**row, "title": f"{row['title']} {number}"})
    _edit(later / "enrollments.csv", lambda number, row: None if number % 12 == 5 else row)
    _edit(
        later / "users.csv",
        lambda number, row: (
            {**row, "middleName": "Q", "agentSourcedIds": row["agentSourcedIds"] if number % 6 else ""}
            if number % 3 != 1
            else row
        ),
    )
    return [first, later]


def _edit(path: Path, change: Any) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [new for number, row in enumerate(rows) if (new := change(number, row)) is not None]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)


def _as_told(connection: Connection) -> Told:
    """The roster and its journal with the source's ids in the place of ours, which are others in every database."""
    told: dict[str, str] = {}
    for table in ("orgs", "academic_sessions", "courses", "classes", "users", "enrollments"):
        rows = connection.sql(f"SELECT id, sourced_id FROM {table}")  # noqa: S608 - names are ours
        told |= {row_id: f"{table} {sourced_id}" for row_id, sourced_id in rows}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return tuple(sorted((key, plain(one)) for key, one in value.items()))
        return (
            told.get(value, value) if isinstance(value, str) else str(int(value) if isinstance(value, bool) else value)
        )

    found: Told = {}
    for table in (*ROSTER, "source_states"):
        rows = connection.sql(f"SELECT * FROM {table}")  # noqa: S608 - names are ours
        names = [column.name for column in connection.database.get_columns(table)]
        left_out = {"id"} if table == "contacts" else _OF_THE_MOMENT
        kept = [position for position, name in enumerate(names) if name not in left_out | _OF_THE_MOMENT]
        found[table] = Counter(tuple(plain(row[position]) for position in kept) for row in rows)
    entries = connection.all(m.Journal.select())
    found["journal"] = Counter(
        (one.kind, plain(one.class_id), plain(one.student_id), plain(one.subject_id), plain(one.data))
        for one in entries
    )
    return found


class Syncs:
    """Syncs in processes that may be killed."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self._nursery = nursery
        self._told = folder / "statements.txt"

    def run(self, url: str, bundle: Path, *, run_id: str | None = None, after: int | None = None) -> int | None:
        """One sync, killed `after` so many statements: how many it made, or None where it was killed."""
        self._nursery.begin(url=url, bundle=str(bundle), run_id=run_id, after=after, told=str(self._told))
        return None if self._nursery.ended() == signal.SIGKILL else int(self._told.read_text())


@pytest.fixture(scope="module")
def syncs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Syncs]:
    """The processes."""
    folder = tmp_path_factory.mktemp("syncs")
    with Nursery(killed_sync.__name__, folder / "syncs.log") as nursery:
        yield Syncs(nursery, folder)


@pytest.fixture(scope="module")
def unkilled(bundles: list[Path], syncs: Syncs) -> Unkilled:
    """A run of each bundle that nobody kills."""
    url = f"sqlite:///{bundles[0].parent / 'unkilled.db'}"
    upgrade(url)
    statements = [syncs.run(url, bundle) or 0 for bundle in bundles]
    with Store(url, cipher=CIPHER) as store:
        return statements, store.read_now(_as_told)


def _killed_again_and_again(
    syncs: Syncs, url: str, bundle: Path, *, statements: int, kills: int, random: Random
) -> int:
    """Sync `bundle`, killed at random points that lie all over the run; gives how often it was killed."""
    points = sorted(random.sample(range(3, statements), kills))
    killed = 0
    run_id: str | None = None
    for number, point in enumerate(points):
        before = points[number - 1] if number else 0
        killed += syncs.run(url, bundle, run_id=run_id, after=max(3, point - before)) is None
        run_id = _left_behind(url, resume=random.random() < 0.7)  # some begin anew
    syncs.run(url, bundle, run_id=run_id)
    return killed


def _left_behind(url: str, *, resume: bool) -> str | None:
    """The run to go on with, once the dead process's lease has run out; None to begin a new one."""
    with Store(url, cipher=CIPHER) as store:
        past = now_utc() - timedelta(seconds=1)
        store.write_now(lambda tx: tx.run(m.Lease.update(until=past)))
        runs = store.read_now(lambda c: sync.runs(c, limit=1))
    return runs[0].run_id if resume and runs and runs[0].status != "done" else None


def _check(url: str, expected: Told) -> None:
    with Store(url, cipher=CIPHER) as store:
        found = store.read_now(_as_told)
        for table, rows in expected.items():
            assert found[table] - rows == Counter(), f"{table} has rows that it should not have"
            assert rows - found[table] == Counter(), f"{table} lacks rows"
        assert store.read_now(lambda c: c.sql("SELECT count(*) FROM staged_rows")) == [(0,)]
        assert store.read_now(lambda c: c.sql("SELECT count(*) FROM leases")) == [(0,)]


async def test_a_sync_killed_at_twenty_random_points_ends_as_one_that_was_never_killed(
    sqlite_url: str, syncs: Syncs, bundles: list[Path], unkilled: Unkilled
) -> None:
    await asyncio.to_thread(_killed_and_compared, syncs, sqlite_url, bundles, unkilled, kills=10)


async def test_on_postgresql_too(postgres_url: str, syncs: Syncs, bundles: list[Path], unkilled: Unkilled) -> None:
    await asyncio.to_thread(_killed_and_compared, syncs, postgres_url, bundles, unkilled, kills=2)


def _killed_and_compared(syncs: Syncs, url: str, bundles: list[Path], unkilled: Unkilled, *, kills: int) -> None:
    random = Random(kills)
    statements, expected = unkilled
    done = [
        _killed_again_and_again(syncs, url, bundle, statements=count, kills=kills, random=random)
        for bundle, count in zip(bundles, statements, strict=True)
    ]
    assert done == [kills, kills]
    _check(url, expected)
