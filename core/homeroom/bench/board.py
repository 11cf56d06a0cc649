"""A full board: from a check-in to the last of a thousand sockets, beside a bare loop that sends the same bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from homeroom.bench import listeners
from homeroom.bench.codes import PLACEHOLDER, Teacher
from homeroom.bench.exchange import request
from homeroom.bench.outcome import Outcome, machine, neat, percentile
from homeroom.bench.processes import ServerKind, allow_sockets, baseline, product, run_client, serving
from homeroom.bench.synthetic import Group, Installation, installation, populate

Progress = Callable[[str, int, int | None], None]

AIM = "ratio at most 1.5, memory under 300 MiB"
_BLOCK = 12
_PER_CLASS = 30
_TEACHERS = 20


def run(
    *,
    server: ServerKind = "hypercorn",
    sockets: int = 1000,
    checkins: int = 120,
    students: int = 10_000,
    database: str | None = None,
    progress: Progress = lambda _step, _done, _total: None,
) -> Outcome:
    """Milliseconds (p95) until the last of `sockets` teachers' boards of one class shows a check-in.

    Counted from the record's `recorded_at`: the clock of the writer as it takes the check-in up, so the commit itself
    is included. The baseline's clock starts when its handler begins to send. Memory is the server's with all sockets
    open and `students` in its database.
    """
    allow_sockets(2 * sockets)
    warmed = checkins + _BLOCK
    with TemporaryDirectory(prefix="homeroom-bench-") as name, installation(Path(name), database) as here:
        progress("making a district", 0, None)
        with here.store() as store:
            classes = 1 + max(1, (students - warmed) // _PER_CLASS)
            groups = populate(store, classes=classes, students=max(students, warmed), teachers=_TEACHERS, first=warmed)
        with (
            serving(partial(baseline, server), here.folder) as bare,
            serving(partial(product, server), here.folder, here.environment) as real,
        ):
            memory = [real.memory_mib()]

            def heard(line: dict[str, int]) -> None:
                memory.append(real.memory_mib())
                progress("measuring", line.get("done", 0), line.get("of"))

            plan = _plan(here, groups[0], real.port, bare.port, sockets)
            sides = [listeners.Heard(**side) for side in run_client(listeners.__name__, plan, heard)]
    setup = {
        **machine(server),
        "database": "PostgreSQL" if database else f"SQLite {sqlite3.sqlite_version}, synchronous FULL",
        "sockets": sockets,
        "checkins": checkins,
        "students": students,
        "memory_mib": neat(max(memory)),
        "memory_at_start_mib": neat(memory[0]),
    }
    return _outcome(sides[0], sides[1], setup)


def _plan(here: Installation, group: Group, real_port: int, bare_port: int, sockets: int) -> listeners.Plan:
    watching = here.tokens(*group.teachers)
    tokens = [watching[number % len(watching)] for number in range(sockets)]
    body = orjson.dumps({"session_id": group.session_id, "proof": {"code": PLACEHOLDER.decode()}})
    signed_in = here.tokens(*group.students)

    def posts(path: str) -> list[str]:
        return [request("POST", path, token=token, body=body).decode() for token in signed_in]

    return listeners.Plan(
        real=listeners.Side(
            name="real",
            port=real_port,
            path=f"/ws/class/{group.id}",
            tokens=tokens,
            greets=True,
            posts=posts("/api/v1/attendance/checkin"),
        ),
        bare=listeners.Side(
            name="bare", port=bare_port, path="/bare", tokens=tokens, greets=False, posts=posts("/bare")
        ),
        teacher=Teacher(session_id=group.session_id, token=watching[0]),
        block=_BLOCK,
    )


def _outcome(real: listeners.Heard, bare: listeners.Heard, setup: dict[str, object]) -> Outcome:
    ours, theirs = real.from_stamp_ms or [0.0], bare.from_stamp_ms or [0.0]
    p95, base = percentile(ours, 0.95), percentile(theirs, 0.95)
    examples = [*real.examples, *bare.examples]
    return Outcome(
        bench="board",
        measured=neat(p95),
        baseline=neat(base),
        ratio=neat(p95 / base) if base else 0.0,
        unit="ms to the last socket (p95)",
        aim=AIM,
        p50_ms=neat(percentile(ours, 0.5)),
        p95_ms=neat(p95),
        errors=real.errors + bare.errors,
        lost=real.lost,
        doubled=real.doubled,
        setup={
            **setup,
            "message_bytes": real.bytes,
            "baseline_p50_ms": neat(percentile(theirs, 0.5)),
            "after_the_answer_p95_ms": neat(percentile(real.from_answer_ms or [0.0], 0.95)),
            **({"examples": examples} if examples else {}),
        },
    )
