"""A long day: check-ins at a tenth of the bell's rate for hours, and whether anything grows that should not."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import psutil

from homeroom.bench import soak_client
from homeroom.bench.checkin import count
from homeroom.bench.exchange import HOST
from homeroom.bench.outcome import Outcome, machine, median, neat
from homeroom.bench.processes import BenchFailed, Running, allow_sockets, product, run_client, serving
from homeroom.bench.synthetic import Group, Installation, installation, populate

Progress = Callable[[str, int, int | None], None]

AIM = "memory, files, connections, tasks and WAL flat (ratio about 1), disk growing by rows only"
BELL_RATE = 10_000 / 60
_ROUNDS = 12
_PER_CLASS = 30
_SAMPLES_PER_ROUND = 20
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The server at one moment of a round; sizes in bytes, those of files 0 where the database is not ours to see."""

    round: int
    memory: int
    files: int
    connections: int
    tasks: int
    wal: int
    disk: int


@dataclass(slots=True)
class _Watch:
    """Samples of a server, taken at even times from a thread of its own."""

    server: Running
    folder: Path
    every: float
    round: int = 0
    samples: list[Sample] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Take samples until the end."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        process = psutil.Process(self.server.pid)
        while not self._over.wait(self.every):
            with contextlib.suppress(psutil.Error, OSError, ValueError):  # a busy moment: the next one tells
                self.samples.append(self._sample(process))

    def _sample(self, process: psutil.Process) -> Sample:
        sizes = {path.name: path.stat().st_size for path in self.folder.glob("homeroom.db*")}
        return Sample(
            round=self.round,
            memory=process.memory_info().rss,
            files=process.num_fds(),
            connections=len(process.net_connections()),
            tasks=_tasks(self.server.port),
            wal=sizes.get("homeroom.db-wal", 0),
            disk=sizes.get("homeroom.db", 0),
        )


def run(
    *,
    minutes: float = 120.0,
    boards: int = 50,
    rate: float = BELL_RATE / 10,
    students: int = 10_000,
    database: str | None = None,
    progress: Progress = lambda _step, _done, _total: None,
) -> Outcome:
    """The server's memory in the last of twelve rounds, and beside it in the third, when everything is warm.

    `rate` check-ins a second for `minutes` in all; each round ends with every class's session closed and the next
    one opened, and all boards connected anew. Raises BenchFailed.
    """
    allow_sockets(2 * boards + 256)
    seconds = minutes * 60 / _ROUNDS
    arriving = min(students, max(1, round(rate * seconds)))
    with TemporaryDirectory(prefix="homeroom-bench-") as name, installation(Path(name), database) as here:
        progress("making a district", 0, None)
        with here.store() as store:
            groups = populate(store, classes=max(1, students // _PER_CLASS), students=students)
        with serving(partial(product, "hypercorn"), here.folder, here.environment) as server:
            watch = _Watch(server, here.folder, seconds / _SAMPLES_PER_ROUND)

            def heard(line: dict[str, int]) -> None:
                watch.round = line.get("round", watch.round)  # a round tells between how many have checked in, too
                progress("soaking", watch.round, _ROUNDS)

            plan = soak_client.Plan(
                port=server.port,
                rooms=_rooms(here, groups),
                rounds=_ROUNDS,
                seconds=seconds,
                students=arriving,
                boards=boards,
            )
            with watch.watching():
                lessons = [soak_client.Lesson(**one) for one in run_client(soak_client.__name__, plan, heard)]
        answered = {(session, student) for lesson in lessons for session, student in lesson.answered}
        with here.store() as store:
            kept = store.read_now(lambda c: count(c, answered))
    setup = {
        **machine("hypercorn"),
        "database": "PostgreSQL" if database else f"SQLite {sqlite3.sqlite_version}, synchronous FULL",
        "minutes": minutes,
        "check_ins": len(answered),
        "boards": boards,
    }
    return _outcome(watch.samples, lessons, kept, arriving, setup)


def _rooms(here: Installation, groups: Sequence[Group]) -> list[soak_client.Room]:
    return [
        soak_client.Room(
            id=group.id,
            session_id=group.session_id,
            teacher=here.tokens(group.teachers[0])[0],
            students=dict(zip(group.students, here.tokens(*group.students), strict=True)),
        )
        for group in groups
    ]


def _tasks(port: int) -> int:
    """How many tasks the server's loop has, as it tells whoever asks on its own machine."""
    from urllib.request import urlopen

    with urlopen(f"http://{HOST}:{port}/health/detailed", timeout=10) as answer:
        return int(orjson.loads(answer.read())["process"]["tasks"])


def _outcome(
    samples: Sequence[Sample],
    lessons: Sequence[soak_client.Lesson],
    kept: tuple[int, int],
    arriving: int,
    setup: dict[str, object],
) -> Outcome:
    warm = [one for one in samples if one.round == 2]  # noqa: PLR2004 - the third round
    last = [one for one in samples if one.round == _ROUNDS - 1]
    if not warm or not last:
        raise BenchFailed("The rounds were too short for a sample each: take more minutes.")

    def both(of: Callable[[Sample], int]) -> tuple[float, float]:
        return median([of(one) for one in warm]), median([of(one) for one in last])

    memory = both(lambda one: one.memory)
    disk = [max(one.disk for one in samples if one.round == number) for number in (2, _ROUNDS // 2, _ROUNDS - 1)]
    rows = [arriving * (_ROUNDS // 2 - 2), arriving * (_ROUNDS - 1 - _ROUNDS // 2)]
    examples = [text for lesson in lessons for text in lesson.examples][:3]
    return Outcome(
        bench="soak",
        measured=neat(memory[1] / _MIB),
        baseline=neat(memory[0] / _MIB),
        ratio=neat(memory[1] / memory[0]),
        unit="MiB in the last round, the third as baseline",
        aim=AIM,
        p50_ms=neat(median([lesson.p50_ms for lesson in lessons])),
        p95_ms=neat(median([lesson.p95_ms for lesson in lessons])),
        errors=sum(lesson.errors for lesson in lessons),
        lost=kept[0] + sum(lesson.lost for lesson in lessons),
        doubled=kept[1] + sum(lesson.doubled for lesson in lessons),
        setup={
            **setup,
            "files": both(lambda one: one.files),
            "connections": both(lambda one: one.connections),
            "tasks": both(lambda one: one.tasks),
            "wal_mib": tuple(neat(size / _MIB) for size in both(lambda one: one.wal)),
            "disk_bytes_per_check_in": [
                round((after - before) / count) for (before, after), count in zip(pairwise(disk), rows, strict=True)
            ],
            **({"examples": examples} if examples else {}),
        },
    )
