"""How long `homeroom serve` takes on an existing database until it answers, beside a bare Quart on Hypercorn."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from homeroom.bench.outcome import Outcome, machine, median, neat
from homeroom.bench.processes import hello, product, serving
from homeroom.bench.synthetic import installation, populate

Progress = Callable[[str, int, int | None], None]

AIM = "under 2 s"
_CLASSES = 40


def run(
    *,
    times: int = 5,
    students: int = 1200,
    database: str | None = None,
    progress: Progress = lambda _step, _done, _total: None,
) -> Outcome:
    """Seconds (median of `times`) from starting the process to its first 200 of /health, plugins included."""
    with TemporaryDirectory(prefix="homeroom-bench-") as name, installation(Path(name), database) as here:
        progress("making a district", 0, None)
        with here.store() as store:
            populate(store, classes=_CLASSES, students=students)
        ours: list[float] = []
        theirs: list[float] = []
        for number in range(times + 1):  # the first start fills the caches of the disk and of Python, and is left out
            with serving(hello, here.folder) as bare:
                theirs.append(bare.seconds)
            with serving(partial(product, "hypercorn"), here.folder, here.environment) as real:
                ours.append(real.seconds)
            progress("starting", number + 1, times + 1)
    ours, theirs = ours[1:] or ours, theirs[1:] or theirs
    return Outcome(
        bench="start",
        measured=neat(median(ours)),
        baseline=neat(median(theirs)),
        ratio=neat(median(ours) / median(theirs)),
        unit="s",
        aim=AIM,
        errors=0,
        setup={
            **machine("hypercorn"),
            "database": "PostgreSQL" if database else f"SQLite {sqlite3.sqlite_version}",
            "students": students,
            "times": times,
            "slowest": neat(max(ours)),
        },
    )
