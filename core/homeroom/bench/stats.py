"""A class's statistics over a school year, beside an authenticated GET that reads one row."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from homeroom.bench import load
from homeroom.bench.exchange import request
from homeroom.bench.outcome import Outcome, machine, median, neat, percentile
from homeroom.bench.processes import ServerKind, product, run_client, serving
from homeroom.bench.synthetic import Group, installation, populate, remember

Progress = Callable[[str, int, int | None], None]

AIM = "ratio at most 2, 180 days at most 1.3 times 30 days"
_STUDENTS = 30
_MONTH = 30
_NAMES = ("one row", "month", "year")


def run(
    *,
    server: ServerKind = "hypercorn",
    classes: int = 40,
    days: int = 180,
    requests: int = 100,
    rounds: int = 10,
    connections: int = 1,
    database: str | None = None,
    progress: Progress = lambda _step, _done, _total: None,
) -> Outcome:
    """Milliseconds (p95) of `GET /attendance/stats` for one class over `days` school days.

    The class has 30 students and is one of `classes` such. The baseline is `GET /attendance/{id}` by the same teacher:
    a token, a rule and one row.
    """
    with TemporaryDirectory(prefix="homeroom-bench-") as name, installation(Path(name), database) as here:
        progress("making a school year", 0, None)
        with here.store() as store:
            groups = populate(store, classes=classes, students=classes * _STUDENTS)
            rows, past = remember(store, groups, days)
            group = groups[len(groups) // 2]
            record = store.read_now(lambda c: c.sql(_ANY_RECORD, (group.id,)))[0][0]
        (token,) = here.tokens(group.teachers[0])
        paths = (f"/api/v1/attendance/{record}", _path(group, past[-_MONTH:]), _path(group, past))
        asked = [[request("GET", path, token=token).decode()] * requests for path in paths]
        with serving(partial(product, server), here.folder, here.environment) as real:
            plan = _plan(asked, port=real.port, rounds=rounds, connections=connections)
            done = itertools.count(1)
            told = run_client(load.__name__, plan, lambda _line: progress("measuring", next(done), len(plan.rounds)))
            taken = [load.Taken(**one) for one in told]
    setup = {
        **machine(server),
        "database": "PostgreSQL" if database else f"SQLite {sqlite3.sqlite_version}",
        "rows": rows,
        "days": days,
        "connections": connections,
        "requests": requests * rounds,
    }
    return _outcome(taken, setup)


_ANY_RECORD = "SELECT id FROM attendance_records WHERE class_id = ? ORDER BY id LIMIT 1"


def _path(group: Group, days: list[date]) -> str:
    return f"/api/v1/attendance/stats?class_id={group.id}&from={days[0]}&to={days[-1]}"


def _plan(asked: Sequence[list[str]], *, port: int, rounds: int, connections: int) -> load.Plan:
    """The three kinds of request in turn, `rounds` times after one that warms up."""
    turn = [
        load.Round(name=name, port=port, connections=connections, requests=some, expected=200)
        for name, some in zip(_NAMES, asked, strict=True)
    ]
    return load.Plan(rounds=turn * (rounds + 1))


def _outcome(taken: list[load.Taken], setup: dict[str, object]) -> Outcome:
    row, month, year = ([one.ms or [0.0] for one in taken[len(_NAMES) :] if one.name == name] for name in _NAMES)
    base, short, p95 = _typical(row, 0.95), _typical(month, 0.95), _typical(year, 0.95)
    examples = [text for one in taken for text in one.examples][:3]
    return Outcome(
        bench="stats",
        measured=neat(p95),
        baseline=neat(base),
        ratio=neat(p95 / base) if base else 0.0,
        unit="ms (p95)",
        aim=AIM,
        p50_ms=neat(_typical(year, 0.5)),
        p95_ms=neat(p95),
        errors=sum(one.errors for one in taken),
        setup={
            **setup,
            "baseline_p50_ms": neat(_typical(row, 0.5)),
            "month_p50_ms": neat(_typical(month, 0.5)),
            "month_p95_ms": neat(short),
            "ratio_to_month": neat(p95 / short) if short else 0.0,
            **({"examples": examples} if examples else {}),
        },
    )


def _typical(rounds: Sequence[Sequence[float]], share: float) -> float:
    """The median of the rounds' percentiles: what else the machine did in one round does not decide."""
    return median([percentile(ms, share) for ms in rounds])
