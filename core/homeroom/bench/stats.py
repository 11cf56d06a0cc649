"""A class's statistics over a school year, beside an authenticated GET that reads one row."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from homeroom.bench import load
from homeroom.bench.exchange import request
from homeroom.bench.outcome import Outcome, machine, neat, percentile
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
    requests: int = 200,
    rounds: int = 5,
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
        with serving(partial(product, server), here.folder, here.environment) as real:
            paths = (f"/api/v1/attendance/{record}", _path(group, past[-_MONTH:]), _path(group, past))
            plan = load.Plan(
                rounds=[
                    load.Round(
                        name=name,
                        port=real.port,
                        connections=connections,
                        requests=[request("GET", path, token=token).decode()] * requests,
                        expected=200,
                    )
                    for _ in range(rounds + 1)
                    for name, path in zip(_NAMES, paths, strict=True)
                ]
            )
            done = 0

            def heard(_line: object) -> None:
                nonlocal done
                done += 1
                progress("measuring", done, len(plan.rounds))

            taken = [load.Taken(**one) for one in run_client(load.__name__, plan, heard)]
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


def _outcome(taken: list[load.Taken], setup: dict[str, object]) -> Outcome:
    warmed = taken[len(_NAMES) :]
    row, month, year = ([ms for one in warmed if one.name == name for ms in one.ms] or [0.0] for name in _NAMES)
    p95, base, short = (percentile(values, 0.95) for values in (year, row, month))
    examples = [text for one in taken for text in one.examples][:3]
    return Outcome(
        bench="stats",
        measured=neat(p95),
        baseline=neat(base),
        ratio=neat(p95 / base) if base else 0.0,
        unit="ms (p95)",
        aim=AIM,
        p50_ms=neat(percentile(year, 0.5)),
        p95_ms=neat(p95),
        errors=sum(one.errors for one in taken),
        setup={
            **setup,
            "baseline_p50_ms": neat(percentile(row, 0.5)),
            "month_p50_ms": neat(percentile(month, 0.5)),
            "month_p95_ms": neat(short),
            "ratio_to_month": neat(p95 / short) if short else 0.0,
            **({"examples": examples} if examples else {}),
        },
    )
