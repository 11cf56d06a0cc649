"""Taking a district's rosters in: a first run beside the bare insertion of the same pages, and what goes with it.

The baseline and the run ask the same simulator for the same pages, which it makes anew for each: its own work counts on
both sides. OneRoster is read, because all of it is GETs, which the baseline repeats as they were asked.
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

from homeroom.bench import sync_bare, sync_checkins, sync_out, sync_pull, sync_source
from homeroom.bench.crowd import Rates
from homeroom.bench.exchange import HOST
from homeroom.bench.outcome import Outcome, machine, median, neat
from homeroom.bench.processes import Running, run_client, serving
from homeroom.bench.sync_sent import Sent
from homeroom.bench.synthetic import Installation, fresh_database, installation
from homeroom.store import Connection

Progress = Callable[[str, int, int | None], None]

CONNECTOR = "oneroster"
AIM = "ratio at most 3"
_OUT = "powerschool"
_OK = 200
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
def source(name: str, students: int, folder: Path) -> Iterator[Source]:
    """The simulator `name` with so many students."""
    with serving(sync_source.command(name, students), folder, patience=_PATIENCE) as running:
        settings = httpx2.get(f"http://{HOST}:{running.port}/bench/settings").json()
        yield Source(name=name, running=running, settings=settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulls:
    """A first run, its baseline and a second run, and the mere `reading` of the same pages.

    `moved` is how many tables the second run wrote to, `wrong` what is not as it must be, in words.
    """

    first: sync_pull.Took
    second: sync_pull.Took
    reading: sync_pull.Took
    bare: sync_bare.Took
    moved: int
    wrong: list[str]


def run(
    *,
    students: int = 50_000,
    checkins: int = 8000,
    changes: int = 10_000,
    memory: bool = False,
    database: str | None = None,
    progress: Progress = lambda _step, _done, _total: None,
) -> Outcome:
    """Seconds of a first full run, beside the seconds of the same pages got and inserted bare.

    Beside it a second run, `checkins` during a sync of a tenth as many students, and `changes` of attendance on their
    way out to PowerSchool's simulator. With `memory` a run of four times as many students shows how memory grows.
    """
    made = _Bench(database, progress)
    pulls = made.pulls(students)
    rates = made.checkins(max(students // 10, 60), checkins)
    sent = made.out(changes)
    setup = {**machine(), "connector": CONNECTOR, "students": students, "database": _named(database)}
    figures = {**_of_pulls(pulls), **_of_rates(rates), **sent.figures()}
    wrong = [*pulls.wrong, *rates.examples, *sent.wrong]
    if memory:
        more = made.memory(4 * students)
        figures |= {
            "memory_mib_of_four_times_the_students": neat(more),
            "memory_growth": neat(more / pulls.first.memory_mib - 1),
            "memory_growth_aim": "under 0.1",
        }
    return Outcome(
        bench="sync",
        measured=neat(pulls.first.seconds),
        baseline=neat(pulls.bare.seconds),
        ratio=neat(pulls.first.seconds / pulls.bare.seconds),
        unit="s for a first run",
        aim=AIM,
        errors=len(pulls.wrong) + rates.errors + len(sent.wrong),
        lost=rates.lost,
        doubled=rates.doubled,
        setup={**setup, **figures, **({"examples": wrong} if wrong else {})},
    )


class _Bench:
    """The parts of the bench, each on an installation of its own that is gone afterwards."""

    def __init__(self, database: str | None, progress: Progress) -> None:
        self._database = database
        self._progress = progress

    def pulls(self, students: int) -> Pulls:
        """A first and a second run, and the baseline."""
        with self._with_source(students) as (sis, here):
            return _pulls(sis, here, self._database, self._progress)

    def memory(self, students: int) -> float:
        """The most memory of a first run, in MiB."""
        with self._with_source(students) as (_, here):
            return _pull(here, CONNECTOR, self._progress, "sync").memory_mib

    def checkins(self, students: int, checkins: int) -> Rates:
        """Check-ins while so many students come in."""
        with self._with_source(students) as (_, here):
            return sync_checkins.measure(here, CONNECTOR, checkins=checkins, progress=self._progress)

    def out(self, changes: int) -> Sent:
        """Attendance on its way out."""
        students = changes + changes // 10 + 30  # some come to school a month late and have no mark
        with self._with_source(students, name=_OUT) as (sis, here):
            config = here.environment["HOMEROOM_CONFIG"]
            plan = sync_out.Plan(config=config, environment=here.environment, name=_OUT, changes=changes)
            told = run_client(sync_out.__name__, plan, partial(_heard, self._progress))
            return Sent(took=sync_out.Took(**told), changes=changes, asked=sis.told("asked"), marks=sis.told("marks"))

    @contextlib.contextmanager
    def _with_source(self, students: int, *, name: str = CONNECTOR) -> Iterator[tuple[Source, Installation]]:
        self._progress("making a district", 0, None)
        with (
            TemporaryDirectory(prefix="homeroom-bench-") as folder,
            source(name, students, Path(folder)) as sis,
            installation(Path(folder), self._database, plugins={name: sis.settings}) as here,
        ):
            yield sis, here


def _pulls(sis: Source, here: Installation, database: str | None, progress: Progress) -> Pulls:
    pull = partial(_pull, here, sis.name, progress)
    pull("read")  # so that it is known what to ask for, and everything is warm
    asked = [target for method, target, status, _ in sis.told("asked") if method == "GET" and status == _OK]
    reading = pull("read")
    first = pull("sync")
    bare = _bare(sis, asked, here.folder, database, progress)
    with here.store() as store:
        before = store.read_now(_roster)
    second = pull("sync")
    with here.store() as store:
        after = store.read_now(_roster)
        wrong = store.read_now(lambda c: _differences(c, sis.name, bare.tables))
    moved = [table for table in before if before[table] != after[table]]
    if (second.unchanged, second.added, second.changed, second.ended) != (first.added, 0, 0, 0) or moved:
        wrong.append(f"the second run did not find everything unchanged ({', '.join(moved) or 'by its counts'})")
    return Pulls(first=first, second=second, reading=reading, bare=bare, moved=len(moved), wrong=wrong)


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


def _of_pulls(pulls: Pulls) -> dict[str, Any]:
    first, second, tables = pulls.first, pulls.second, pulls.bare.tables
    return {
        **{name: tables[name] for name in ("classes", "users", "enrollments")},
        "rows_per_second": neat(first.rows / first.seconds),
        "reading_s": neat(pulls.reading.seconds),
        "bare_inserting_s": neat(pulls.bare.inserting),
        "ratio_to_reading_and_bare_inserting": neat(first.seconds / (pulls.reading.seconds + pulls.bare.inserting)),
        "second_run_s": neat(second.seconds),
        "second_to_first": neat(second.seconds / first.seconds),
        "second_to_first_aim": "at most 0.5",
        "tables_changed_by_second": pulls.moved,
        "memory_mib": neat(first.memory_mib),
    }


def _of_rates(rates: Rates) -> dict[str, Any]:
    return {
        "checkins_per_second": neat(median(rates.in_peace)),
        "checkins_per_second_during_sync": neat(median(rates.meanwhile)),
        "checkins_during_sync": neat(rates.ratio),
        "checkins_during_sync_aim": "at least 0.7",
        "sync_ended_before_the_checkins": rates.cut_short,
    }
