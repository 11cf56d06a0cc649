"""Check-ins a second, as a first bell brings them: durable, authenticated, with real rotating codes, over HTTP."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from homeroom.bench import load
from homeroom.bench.codes import PLACEHOLDER, Teacher
from homeroom.bench.exchange import request
from homeroom.bench.outcome import Outcome, machine, median, neat, percentile
from homeroom.bench.processes import Running, ServerKind, baseline, product, run_client, serving
from homeroom.bench.synthetic import Group, Installation, installation, populate
from homeroom.store import Connection

Progress = Callable[[str, int, int | None], None]

AIM = "ratio at least 0.5"
_CLASSES = 10
_WARM = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One student's check-in, prepared as a request to Homeroom and as the same request to the baseline."""

    student_id: str
    session_id: str
    real: str
    bare: str


def run(
    *,
    server: ServerKind = "hypercorn",
    students: int = 12_000,
    connections: int = 64,
    rounds: int = 4,
    database: str | None = None,
    progress: Progress = lambda _step, _done, _total: None,
) -> Outcome:
    """Check-ins a second beside bare JSON posts a second, in alternating rounds, and every row counted afterwards.

    `students` distinct students over `connections` kept-alive connections; SQLite with synchronous FULL unless
    `database` names a PostgreSQL server.
    """
    with TemporaryDirectory(prefix="homeroom-bench-") as name, installation(Path(name), database) as here:
        progress("making a district", 0, None)
        with here.store() as store:
            groups = populate(store, classes=_CLASSES, students=students)
        shots = shots_of(here, groups)
        with (
            serving(partial(baseline, server), here.folder) as bare,
            serving(partial(product, server), here.folder, here.environment) as real,
        ):
            plan, shares = _plan(here, groups, shots, (bare, real), connections=connections, rounds=rounds)
            used: list[float] = []

            def heard(_line: object) -> None:
                used.append(bare.cpu_seconds() + real.cpu_seconds())  # the one that is not asked rests
                progress("measuring", len(used), len(plan.rounds))

            taken = [load.Taken(**one) for one in run_client(load.__name__, plan, heard)]
            memory = real.memory_mib()
        answered = _answered(shares, taken)
        with here.store() as store:
            lost, doubled = store.read_now(lambda c: count(c, answered))
    setup = {
        **machine(server),
        "database": "PostgreSQL" if database else f"SQLite {sqlite3.sqlite_version}, synchronous FULL",
        "students": students,
        "connections": connections,
        "classes": _CLASSES,
        "rounds": rounds,
        **_costs(taken, used),
        "memory_mib": neat(memory),
    }
    return _outcome(taken, lost=lost, doubled=doubled, setup=setup)


def shots_of(here: Installation, groups: Sequence[Group]) -> list[Shot]:
    """Every student's check-in; neighbours are of different classes, as students in a corridor are."""
    seats = [(student, group.session_id) for group in groups for student in group.students]
    seats.sort()
    shots = []
    for (student, session), token in zip(seats, here.tokens(*(student for student, _ in seats)), strict=True):
        body = orjson.dumps({"session_id": session, "proof": {"code": PLACEHOLDER.decode()}})
        real = request("POST", "/api/v1/attendance/checkin", token=token, body=body)
        bare = request("POST", "/bare", token=token, body=body)
        shots.append(Shot(student_id=student, session_id=session, real=real.decode(), bare=bare.decode()))
    return shots


def _plan(
    here: Installation,
    groups: Sequence[Group],
    shots: Sequence[Shot],
    servers: tuple[Running, Running],
    *,
    connections: int,
    rounds: int,
) -> tuple[load.Plan, dict[str, Sequence[Shot]]]:
    """A short round to warm up, then baseline and Homeroom in turn, so that a drift of the machine hits both."""
    warm = min(_WARM, len(shots) // (rounds + 1))
    size = (len(shots) - warm) // rounds
    parts = [shots[:warm], *(shots[warm + size * n : warm + size * (n + 1)] for n in range(rounds))]
    planned: list[load.Round] = []
    shares: dict[str, Sequence[Shot]] = {}
    bare, real = servers
    for number, part in enumerate(parts):
        planned.append(
            load.Round(
                name=f"bare {number}",
                port=bare.port,
                connections=connections,
                requests=[shot.bare for shot in part],
                expected=201,
            )
        )
        planned.append(
            load.Round(
                name=f"real {number}",
                port=real.port,
                connections=connections,
                requests=[shot.real for shot in part],
                expected=201,
                code_of=[shot.session_id for shot in part],
            )
        )
        shares[f"real {number}"] = part
    tokens = here.tokens(*(group.teachers[0] for group in groups))
    teachers = [Teacher(session_id=g.session_id, token=t) for g, t in zip(groups, tokens, strict=True)]
    return load.Plan(rounds=planned, codes_from=real.port, teachers=teachers), shares


def _costs(taken: Sequence[load.Taken], used: Sequence[float]) -> dict[str, float]:
    """Processor time of each server for one answer, in microseconds: the median of the rounds that count."""
    each: dict[str, list[float]] = {"bare": [], "real": []}
    for before, after, one in zip(used[1:-1], used[2:], taken[2:], strict=True):
        each[one.name.partition(" ")[0]].append((after - before) * 1e6 / max(1, len(one.good)))
    return {"cpu_us": neat(median(each["real"])), "baseline_cpu_us": neat(median(each["bare"]))}


def _answered(shares: dict[str, Sequence[Shot]], taken: Sequence[load.Taken]) -> set[tuple[str, str]]:
    return {
        (shares[one.name][number].session_id, shares[one.name][number].student_id)
        for one in taken
        if one.name in shares
        for number in one.good
    }


def count(connection: Connection, answered: set[tuple[str, str]]) -> tuple[int, int]:
    """How many of the check-ins that were answered 201 are not there, and how many are there more than once.

    A check-in is its record and its journal row; the counters of its class must agree with the records.
    """
    lost = doubled = 0
    for text in (_RECORDS, _JOURNAL):
        found = {(session, student): n for session, student, n in connection.sql(text)}
        lost += len(answered - found.keys())
        doubled += sum(n - 1 for n in found.values())
    rows = connection.sql("SELECT count(*) FROM attendance_records")[0][0]
    counted = connection.sql("SELECT COALESCE(SUM(present + tardy + absent + excused), 0) FROM attendance_counts")[0][0]
    return lost + max(0, rows - int(counted)), doubled + max(0, int(counted) - rows)


_RECORDS = "SELECT session_id, student_id, count(*) FROM attendance_records GROUP BY session_id, student_id"
_JOURNAL = (
    "SELECT session_id, student_id, count(*) FROM journal WHERE kind = 'attendance.recorded' "
    "GROUP BY session_id, student_id"
)


def _outcome(taken: Sequence[load.Taken], *, lost: int, doubled: int, setup: dict[str, object]) -> Outcome:
    timed = [one for one in taken if not one.name.endswith(" 0")]
    real = [one for one in timed if one.name.startswith("real")]
    bare = [one for one in timed if one.name.startswith("bare")]
    rates = [len(one.good) / one.seconds for one in real]
    bases = [len(one.good) / one.seconds for one in bare]
    ms = [value for one in real for value in one.ms] or [0.0]
    errors = sum(one.errors for one in taken)
    examples = [text for one in taken for text in one.examples][:3]
    return Outcome(
        bench="checkin",
        measured=neat(median(rates)),
        baseline=neat(median(bases)),
        ratio=neat(median([rate / base for rate, base in zip(rates, bases, strict=True)])),
        unit="check-ins/s",
        aim=AIM,
        p50_ms=neat(percentile(ms, 0.5)),
        p95_ms=neat(percentile(ms, 0.95)),
        errors=errors,
        lost=lost,
        doubled=doubled,
        setup={**setup, **({"examples": examples} if examples else {})},
    )
