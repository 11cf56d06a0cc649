"""The first bell: a school checks in within a minute over real sockets, while its boards watch."""

from __future__ import annotations

import random
import sqlite3
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from homeroom.bench import bell_client
from homeroom.bench.checkin import Shot, count, shots_of
from homeroom.bench.crowd import teachers_of
from homeroom.bench.exchange import HOST
from homeroom.bench.outcome import Outcome, machine, neat, percentile
from homeroom.bench.processes import (
    BenchFailed,
    ServerKind,
    allow_sockets,
    baseline,
    product,
    run_client,
    serving,
)
from homeroom.bench.sockets import Seat
from homeroom.bench.synthetic import Group, Installation, installation, populate

Progress = Callable[[str, int, int | None], None]

AIM = "nothing lost or doubled, every board right; p95 under 2 s, a board within 100 ms"
_PER_CLASS = 30
_SEED = 20260901


def run(
    *,
    server: ServerKind = "hypercorn",
    students: int = 10_000,
    seconds: float = 60.0,
    boards: int = 500,
    workers: int = 1,
    database: str | None = None,
    redis: str | None = None,
    progress: Progress = lambda _step, _done, _total: None,
) -> Outcome:
    """Milliseconds (p95) of a check-in while `students` arrive within `seconds` and `boards` sockets watch.

    Every student opens a connection of their own. Ever more come until two thirds of the time, then ever fewer; the
    times are the same for both sides. The baseline takes the same
    bodies at the same times, writes nothing, and tells as many listeners. More than one worker needs PostgreSQL and
    Redis. Raises BenchFailed.
    """
    if workers > 1 and (database is None or redis is None or server != "hypercorn"):
        raise BenchFailed("More than one worker needs --database, --redis and Hypercorn.")
    allow_sockets(2 * boards + students)
    with (
        TemporaryDirectory(prefix="homeroom-bench-") as name,
        installation(Path(name), database, redis=redis) as here,
    ):
        progress("making a district", 0, None)
        with here.store() as store:
            groups = populate(store, classes=max(1, students // _PER_CLASS), students=students)
        shots = shots_of(here, groups)
        with (
            serving(partial(baseline, server), here.folder) as bare,
            serving(partial(product, server, workers=workers), here.folder, here.environment) as real,
        ):
            begun = (bare.cpu_seconds(), real.cpu_seconds())
            memory = [real.memory_mib()]

            def heard(line: dict[str, int]) -> None:
                memory.append(real.memory_mib())
                progress("ringing", line.get("done", 0), line.get("of"))

            plan = _plan(here, groups, shots, (bare.port, real.port), seconds=seconds, boards=boards)
            sides = [bell_client.Rung(**one) for one in run_client(bell_client.__name__, plan, heard)]
            used = (bare.cpu_seconds() - begun[0], real.cpu_seconds() - begun[1])
            memory.append(real.memory_mib())
            within = _statements_within(0.1, real.port)
        theirs, ours = sides
        answered = {(plan.sides[1].arrivals[n].session_id, plan.sides[1].arrivals[n].student_id) for n in ours.good}
        with here.store() as store:
            kept = store.read_now(lambda c: count(c, answered))
    setup = {
        **machine(server),
        "database": "PostgreSQL" if database else f"SQLite {sqlite3.sqlite_version}, synchronous FULL",
        "redis": "yes" if redis else "no",
        "workers": workers,
        "students": students,
        "seconds": seconds,
        "boards": boards,
        "cpu_us": neat(used[1] * 1e6 / max(1, len(ours.good))),
        "baseline_cpu_us": neat(used[0] * 1e6 / max(1, len(theirs.good))),
        "statements_within_100_ms": neat(within),
        "memory_mib": neat(max(memory)),
        "memory_at_start_mib": neat(memory[0]),
    }
    return _outcome(ours, theirs, kept, setup)


def _statements_within(seconds: float, port: int) -> float:
    """Which share of the database's statements took no longer, as the server's own figures tell."""
    from urllib.request import urlopen

    from prometheus_client.parser import text_string_to_metric_families

    with urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        samples = [one for family in families if family.name == "homeroom_database_seconds" for one in family.samples]
    soon = sum(one.value for one in samples if one.labels.get("le") == str(seconds))
    return soon / max(1, sum(one.value for one in samples if one.name.endswith("_count")))


def _plan(
    here: Installation,
    groups: Sequence[Group],
    shots: Sequence[Shot],
    ports: tuple[int, int],
    *,
    seconds: float,
    boards: int,
) -> bell_client.Plan:
    """Both sides with the same students at the same times; the boards are spread over the classes."""
    chance = random.Random(_SEED)  # noqa: S311 - a bench is to be the same every time
    order = chance.sample(shots, len(shots))
    times = sorted(chance.triangular(0, seconds, seconds * 2 / 3) for _ in order)
    watched = [groups[number % len(groups)] for number in range(boards)]
    tokens = here.tokens(*(group.teachers[0] for group in watched))

    def side(name: str, port: int, path: Callable[[Group], str], post: Callable[[Shot], str]) -> bell_client.Side:
        seats = zip(watched, tokens, strict=True)
        return bell_client.Side(
            name=name,
            port=port,
            codes=name == "real",
            boards=[Seat(port=port, path=path(group), token=token, greets=name == "real") for group, token in seats],
            watched=[group.session_id for group in watched],
            arrivals=[
                bell_client.Arrival(at=at, session_id=shot.session_id, student_id=shot.student_id, post=post(shot))
                for at, shot in zip(times, order, strict=True)
            ],
        )

    bare = side("bare", ports[0], lambda group: f"/bare/{group.session_id}", lambda shot: shot.bare)
    real = side("real", ports[1], lambda group: f"/ws/class/{group.id}", lambda shot: shot.real)
    return bell_client.Plan(sides=[bare, real], teachers=teachers_of(here, groups))


def _outcome(
    ours: bell_client.Rung, theirs: bell_client.Rung, kept: tuple[int, int], setup: dict[str, object]
) -> Outcome:
    ms, bare_ms = ours.ms or [0.0], theirs.ms or [0.0]
    board_ms = ours.board_ms or [0.0]
    p95, base = percentile(ms, 0.95), percentile(bare_ms, 0.95)
    examples = [*ours.examples, *theirs.examples]
    return Outcome(
        bench="bell",
        measured=neat(p95),
        baseline=neat(base),
        ratio=neat(p95 / base) if base else 0.0,
        unit="ms for a check-in (p95)",
        aim=AIM,
        p50_ms=neat(percentile(ms, 0.5)),
        p95_ms=neat(p95),
        errors=ours.errors + theirs.errors,
        lost=kept[0] + ours.lost,
        doubled=kept[1] + ours.doubled,
        setup={
            **setup,
            "mean_ms": neat(statistics.fmean(ms)),
            "p99_ms": neat(percentile(ms, 0.99)),
            "baseline_p50_ms": neat(percentile(bare_ms, 0.5)),
            "baseline_p99_ms": neat(percentile(bare_ms, 0.99)),
            "board_p50_ms": neat(percentile(board_ms, 0.5)),
            "board_p95_ms": neat(percentile(board_ms, 0.95)),
            "board_p99_ms": neat(percentile(board_ms, 0.99)),
            "last_board_after_the_last_answer_ms": neat(ours.last_board_ms),
            "client_late_by_ms": neat(ours.late_ms),
            **({"examples": examples} if examples else {}),
        },
    )
