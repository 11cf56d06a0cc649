"""Taking a district's rosters in: a first run beside the bare insertion of the same pages, and what goes with it.

The baseline and the run read the same answers of the same simulator, which are made before either begins. OneRoster is
read: all of it is GETs, so that every page can be kept and the simulator's own work counts on no side.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from homeroom.bench import sync_bare, sync_pull, sync_source
from homeroom.bench.exchange import HOST
from homeroom.bench.outcome import Outcome, machine, neat
from homeroom.bench.processes import Running, run_client, serving
from homeroom.bench.synthetic import Installation, fresh_database, installation
from homeroom.store import Connection

Progress = Callable[[str, int, int | None], None]

CONNECTOR = "oneroster"
AIM = "ratio at most 3"
_PATIENCE = 600.0  # seconds until a simulator has made its district


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A simulator that serves."""

    name: str
    running: Running
    settings: Mapping[str, Any]

    def told(self, what: str) -> Any:
        """What it says of itself (see `sync_source`)."""
        return httpx2.get(f"{self.url}/bench/{what}", timeout=60).json()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self.running.port}"


@contextlib.contextmanager
def source(name: str, students: int, folder: Path, *, keep: bool) -> Iterator[Source]:
    """The simulator `name` with so many students."""
    with serving(sync_source.command(name, students, keep=keep), folder, patience=_PATIENCE) as running:
        settings = httpx2.get(f"http://{HOST}:{running.port}/bench/settings").json()
        yield Source(name=name, running=running, settings=settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulls:
    """A first run, its baseline and a second run; `wrong` is what is not as it must be, in words."""

    first: sync_pull.Took
    second: sync_pull.Took
    bare: sync_bare.Took
    moved: int
    wrong: list[str]


def run(
    *,
    students: int = 50_000,
    database: str | None = None,
    progress: Progress = lambda _step, _done, _total: None,
) -> Outcome:
    """Seconds of a first full run, beside the seconds of the same pages got and inserted bare."""
    with TemporaryDirectory(prefix="homeroom-bench-") as name:
        progress("making a district", 0, None)
        with source(CONNECTOR, students, Path(name), keep=True) as sis:
            pulls = _pulls(sis, Path(name), database, progress)
    return _outcome(pulls, {**machine(), "connector": CONNECTOR, "students": students, "database": _named(database)})


def _pulls(sis: Source, folder: Path, database: str | None, progress: Progress) -> Pulls:
    name = sis.name
    with installation(folder, database, plugins={name: sis.settings}) as here:
        pull = partial(_pull, here, name, progress)
        pull("read")  # the simulator makes its answers
        asked = [target for method, target, status in sis.told("asked") if method == "GET" and status == 200]  # noqa: PLR2004
        first = pull("sync")
        bare = _bare(sis, asked, folder, database, progress)
        with here.store() as store:
            before = store.read_now(_roster)
        second = pull("sync")
        with here.store() as store:
            after = store.read_now(_roster)
            wrong = store.read_now(lambda c: _differences(c, name, bare.tables))
    moved = sum(before[table] != after[table] for table in before)
    if second.unchanged != first.added or second.added or second.changed or second.ended:
        wrong.append("the second run did not find everything unchanged")
    return Pulls(first=first, second=second, bare=bare, moved=moved, wrong=wrong)


def _pull(here: Installation, name: str, progress: Progress, what: Any) -> sync_pull.Took:
    config = here.environment["HOMEROOM_CONFIG"]
    plan = sync_pull.Plan(config=config, environment=here.environment, name=name, what=what)
    return sync_pull.Took(**run_client(sync_pull.__name__, plan, partial(_heard, progress)))


def _bare(sis: Source, asked: list[str], folder: Path, database: str | None, progress: Progress) -> sync_bare.Took:
    with fresh_database(folder, database, file="bare.db") as url:
        plan = sync_bare.Plan(
            connector=sis.name,
            settings=dict(sis.settings),
            url=sis.url,
            targets=asked,
            database=url.removeprefix("sqlite:///"),
        )
        return sync_bare.Took(**run_client(sync_bare.__name__, plan, partial(_heard, progress)))


def _heard(progress: Progress, line: dict[str, Any]) -> None:
    progress(line["phase"], line["done"], line.get("total"))


def _roster(connection: Connection) -> dict[str, tuple[Any, ...]]:
    """What tells whether a roster table or the journal was written to."""
    found = {}
    for table in sync_bare.TABLES:
        stamp = "max(changed_at)" if "changed_at" in sync_bare.TABLES[table] else "0"
        found[table] = connection.sql(f"SELECT count(*), {stamp} FROM {table}")[0]  # noqa: S608 - names are ours
    found["journal"] = connection.sql("SELECT count(*), max(id) FROM journal")[0]
    return found


def _differences(connection: Connection, name: str, bare: Mapping[str, int]) -> list[str]:
    """Tables in which Homeroom has more or fewer rows of the source than the baseline."""
    wrong = []
    for table, expected in bare.items():
        where = "" if table == "class_terms" else " WHERE source = ?"
        found = connection.sql(f"SELECT count(*) FROM {table}{where}", [name] if where else [])[0][0]  # noqa: S608 - names are ours
        if found != expected:
            wrong.append(f"{table}: {found} rows in place of {expected}")
    return wrong


def _named(database: str | None) -> str:
    return "PostgreSQL" if database else f"SQLite {sqlite3.sqlite_version}, synchronous FULL"


def _outcome(pulls: Pulls, setup: dict[str, Any]) -> Outcome:
    first, second, bare = pulls.first, pulls.second, pulls.bare
    return Outcome(
        bench="sync",
        measured=neat(first.seconds),
        baseline=neat(bare.seconds),
        ratio=neat(first.seconds / bare.seconds),
        unit="s for a first run",
        aim=AIM,
        errors=len(pulls.wrong),
        setup={
            **setup,
            "classes": bare.tables["classes"],
            "people": bare.tables["users"],
            "enrollments": bare.tables["enrollments"],
            "rows_per_second": neat(first.rows / first.seconds),
            "second_run_s": neat(second.seconds),
            "second_to_first": neat(second.seconds / first.seconds),
            "second_to_first_aim": "at most 0.5",
            "tables_changed_by_second": pulls.moved,
            "memory_mib": neat(first.memory_mib),
            **({"examples": pulls.wrong} if pulls.wrong else {}),
        },
    )
