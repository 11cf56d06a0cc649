"""What being audited costs: reads and check-ins with and without the plugin, and sealing beside reading and hashing."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from homeroom.bench import load
from homeroom.bench.checkin import shots_of
from homeroom.bench.codes import Teacher
from homeroom.bench.exchange import request
from homeroom.bench.outcome import Outcome, machine, median, neat, percentile
from homeroom.bench.processes import BenchFailed, Running, ServerKind, homeroom, product, run_client, serving
from homeroom.bench.synthetic import Group, Installation, installation, populate

Progress = Callable[[str, int, int | None], None]

AIM = "reads at least 0.7, check-ins at least 0.85, sealing at most 2 times, a proof under 5 ms and 1024 characters"
_SEATED = 30
_WARM = 100
_READS = "SELECT count(*) FROM ferpa_audit WHERE kind = 'read' AND action = 'class.roster'"
_FILL = """
INSERT INTO journal (at, kind, actor_id, class_id, session_id, student_id, subject_id, purpose, request_id, data)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
SELECT '2026-09-01T14:00:00.000000Z', 'attendance.recorded', 't0001x00', 'c0001', 'n000001', 's' || n, 'r' || n,
  'attendance.check_in', 'q' || n, '{"status":"present","code":null,"minutes_late":null,"school_day":"2026-09-01"}'
FROM numbers
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One of the two servers that are compared, with what is asked of it in each round."""

    name: str
    port: int
    reads: list[list[str]]
    arrivals: list[list[str]]
    sessions: list[list[str]]
    teachers: list[Teacher]


def run(
    *,
    server: ServerKind = "hypercorn",
    reads: int = 6000,
    checkins: int = 6000,
    rows: int = 1_000_000,
    connections: int = 64,
    rounds: int = 9,
    database: str | None = None,
    progress: Progress = lambda _step, _done, _total: None,
) -> Outcome:
    """Class rosters a second with the plugin `ferpa` on, beside the same without it, in alternating rounds.

    Every roster names thirty students and is one entry, committed before the answer leaves; all are counted afterwards.
    Beside it: check-ins, and what it takes to seal and prove `rows` rows of the journal. Raises BenchFailed.
    """
    with TemporaryDirectory(prefix="homeroom-bench-") as name, contextlib.ExitStack() as stack:
        progress("making two districts", 0, None)
        with _sides(Path(name), database, server, (reads, checkins, rounds), stack) as (sides, audited):
            taken: list[load.Taken] = []
            for number in range(rounds + 1):
                for side in sides:
                    taken += _round(side, number, connections)
                    progress("measuring", len(taken) // 4, rounds + 1)
        with audited.store() as store:
            entered = store.read_now(lambda c: c.sql(_READS))[0][0]
        read = sum(len(one.good) for one in taken if one.name.startswith("on reads"))
    with TemporaryDirectory(prefix="homeroom-bench-") as name:
        progress(f"sealing {rows} rows", 0, None)
        sealed = _seal(Path(name), database, rows)
    setup = {
        **machine(server),
        "database": "PostgreSQL" if database else f"SQLite {sqlite3.sqlite_version}, synchronous FULL",
        "connections": connections,
        "rounds": rounds,
        **sealed,
    }
    return _outcome(taken, lost=max(0, read - entered), doubled=max(0, entered - read), setup=setup)


@contextlib.contextmanager
def _sides(
    folder: Path,
    database: str | None,
    server: ServerKind,
    amounts: tuple[int, int, int],
    stack: contextlib.ExitStack,
) -> Iterator[tuple[list[_Side], Installation]]:
    """Both servers, running; the installation of the audited one stays until `stack` is closed."""
    sides: list[_Side] = []
    made: list[Installation] = []
    with contextlib.ExitStack() as running:
        for name in ("off", "on"):
            (folder / name).mkdir()
            plugins: dict[str, dict[str, Any]] = {"ferpa": {}} if name == "on" else {}
            here = stack.enter_context(installation(folder / name, database, plugins=plugins))
            with here.store() as store:
                students = -(-(amounts[1] + _WARM) // _SEATED) * _SEATED
                groups = populate(store, classes=students // _SEATED, students=students)
            place = running.enter_context(serving(partial(product, server), here.folder, here.environment))
            sides.append(_side(name, here, groups, place, amounts))
            made.append(here)
        yield sides, made[-1]


def _side(
    name: str, here: Installation, groups: Sequence[Group], place: Running, amounts: tuple[int, int, int]
) -> _Side:
    reads, checkins, rounds = amounts
    tokens = here.tokens(*(group.teachers[0] for group in groups))
    rosters = [
        request("GET", f"/api/v1/classes/{group.id}/roster", token=token).decode()
        for group, token in zip(groups, tokens, strict=True)
    ]
    asked = [rosters[number % len(rosters)] for number in range(_WARM + reads)]
    shots = shots_of(here, groups)[: _WARM + checkins]
    return _Side(
        name=name,
        port=place.port,
        reads=_parts(asked, rounds),
        arrivals=_parts([shot.real for shot in shots], rounds),
        sessions=_parts([shot.session_id for shot in shots], rounds),
        teachers=[Teacher(session_id=g.session_id, token=t) for g, t in zip(groups, tokens, strict=True)],
    )


def _parts(asked: list[str], rounds: int) -> list[list[str]]:
    """A few to warm up, then as many for each round."""
    size = (len(asked) - _WARM) // rounds
    return [asked[:_WARM], *(asked[_WARM + size * n : _WARM + size * (n + 1)] for n in range(rounds))]


def _round(side: _Side, number: int, connections: int) -> list[load.Taken]:
    """One round of both kinds at one server."""
    reads = load.Round(
        name=f"{side.name} reads {number}",
        port=side.port,
        connections=connections,
        requests=side.reads[number],
        expected=200,
    )
    arrivals = load.Round(
        name=f"{side.name} check-ins {number}",
        port=side.port,
        connections=connections,
        requests=side.arrivals[number],
        expected=201,
        code_of=side.sessions[number],
    )
    plan = load.Plan(rounds=[reads, arrivals], codes_from=side.port, teachers=side.teachers)
    return [load.Taken(**one) for one in run_client(load.__name__, plan)]


def _seal(folder: Path, database: str | None, rows: int) -> dict[str, Any]:
    """What the plugin itself says of sealing `rows` rows of a journal."""
    with installation(folder, database, plugins={"ferpa": {}}) as here:
        with here.store() as store:
            store.write_now(lambda tx: tx.write_sql(_FILL, (rows,)))
        done = subprocess.run(  # noqa: S603 - our own command
            [*homeroom(), "audit", "measure"],
            cwd=folder,
            env=dict(here.environment),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise BenchFailed(f"Sealing could not be measured: {done.stderr.strip()[-500:]}")
    told: dict[str, Any] = orjson.loads(done.stdout)
    if not told["ok"]:
        raise BenchFailed("The log that was sealed does not verify.")
    return {
        "sealed_rows": told["rows"],
        "seal_seconds": neat(told["seal_seconds"]),
        "read_and_hash_seconds": neat(told["hash_seconds"]),
        "seal_ratio": neat(told["seal_seconds"] / told["hash_seconds"]),
        "verify_seconds": neat(told["verify_seconds"]),
        "proof_ms": neat(told["proof_ms"]),
        "proof_ms_slowest": neat(told["proof_ms_slowest"]),
        "proof_base64": told["proof_base64"],
    }


def _outcome(taken: Sequence[load.Taken], *, lost: int, doubled: int, setup: dict[str, Any]) -> Outcome:
    rates = {
        kind: [
            len(one.good) / one.seconds for one in taken if one.name.startswith(kind) and not one.name.endswith(" 0")
        ]
        for kind in ("off reads", "on reads", "off check-ins", "on check-ins")
    }
    ms = [value for one in taken if one.name.startswith("on reads") for value in one.ms] or [0.0]
    examples = [text for one in taken for text in one.examples][:3]
    return Outcome(
        bench="audit",
        measured=neat(median(rates["on reads"])),
        baseline=neat(median(rates["off reads"])),
        ratio=neat(_ratio(rates["on reads"], rates["off reads"])),
        unit="rosters/s",
        aim=AIM,
        p50_ms=neat(percentile(ms, 0.5)),
        p95_ms=neat(percentile(ms, 0.95)),
        errors=sum(one.errors for one in taken),
        lost=lost,
        doubled=doubled,
        setup={
            **setup,
            "checkins_per_second": neat(median(rates["on check-ins"])),
            "checkins_without": neat(median(rates["off check-ins"])),
            "checkin_ratio": neat(_ratio(rates["on check-ins"], rates["off check-ins"])),
            **({"examples": examples} if examples else {}),
        },
    )


def _ratio(some: Sequence[float], others: Sequence[float]) -> float:
    return median([one / other for one, other in zip(some, others, strict=True)])
