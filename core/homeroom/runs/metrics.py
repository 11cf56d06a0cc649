"""The sync's figures for Prometheus, from the database: they are the same in every process. Labels are connectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from homeroom import attendance_out
from homeroom.attendance_out import OutgoingStatus
from homeroom.store import Connection, now_utc
from homeroom.sync import open_conflicts

_ROWS = """
SELECT connector, SUM(added), SUM(changed), SUM(ended), SUM(unchanged), SUM(dead_letters),
  MAX(CASE WHEN state = 'done' AND kind = 'sync' THEN started_at END),
  MAX(CASE WHEN state = 'done' AND kind = 'sync' THEN finished_at END)
FROM sync_runs WHERE NOT dry_run GROUP BY connector ORDER BY connector
"""
_RUNS = "SELECT connector, state, count(*) FROM sync_runs WHERE NOT dry_run GROUP BY connector, state"
_LETTERS = """
SELECT connector, count(*) FROM dead_letters WHERE replayed_at IS NULL
AND run_id NOT IN (SELECT id FROM sync_runs WHERE dry_run) GROUP BY connector
"""
_QUEUES = "SELECT connector FROM outgoing_queues UNION SELECT DISTINCT connector FROM outgoing_marks"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncFigures:
    """What a connector's runs have done in all, and what waits. `lag` is how many seconds ago the last good run began.

    `last_success` is when that run was done, in seconds since 1970; `runs` counts real runs by state. `outgoing` is
    None for a connector that has sent no attendance.
    """

    connector: str
    rows: Mapping[str, int] = field(default_factory=dict)
    runs: Mapping[str, int] = field(default_factory=dict)
    lag: float | None = None
    last_success: float | None = None
    dead_letters: int = 0
    conflicts: int = 0
    outgoing: OutgoingStatus | None = None


def sync_figures(connection: Connection) -> list[SyncFigures]:
    """The figures of every connector that has run or sends attendance."""
    found: dict[str, dict[str, Any]] = {}
    now, names = now_utc(), ("added", "changed", "ended", "unchanged", "dead")
    for connector, *counts, began, done in connection.sql(_ROWS):
        rows = {name: int(count or 0) for name, count in zip(names, counts, strict=True)}
        lag = None if began is None else (now - datetime.fromisoformat(began)).total_seconds()
        last = None if done is None else datetime.fromisoformat(done).timestamp()
        found[connector] = {"rows": rows, "runs": {}, "lag": lag, "last_success": last}
    for connector, state, count in connection.sql(_RUNS):
        found[connector]["runs"][state] = count
    for connector, count in connection.sql(_LETTERS):
        found.setdefault(connector, {})["dead_letters"] = count
    for connector, count in open_conflicts(connection).items():
        found.setdefault(connector, {})["conflicts"] = count
    for (connector,) in connection.sql(_QUEUES):
        found.setdefault(connector, {})["outgoing"] = attendance_out.status(connection, connector)
    return [SyncFigures(connector=connector, **values) for connector, values in sorted(found.items())]


class SyncCollector(Collector):
    """The connectors' figures as they were last read."""

    figures: Sequence[SyncFigures] = ()

    def collect(self) -> Iterable[Metric]:
        """Rows and runs by what became of them, how far behind each connector is, and what waits for a person."""
        one = ["connector"]
        rows = CounterMetricFamily("homeroom_sync_rows", "Roster rows by what became of them", labels=[*one, "change"])
        runs = GaugeMetricFamily("homeroom_sync_runs", "Real runs by state", labels=[*one, "status"])
        lag = GaugeMetricFamily("homeroom_sync_lag_seconds", "Since the last good run began", labels=one)
        last = GaugeMetricFamily(
            "homeroom_sync_last_success_timestamp_seconds", "When the last good run was done", labels=one
        )
        letters = GaugeMetricFamily("homeroom_sync_dead_letters", "Rows that could not be taken", labels=one)
        conflicts = GaugeMetricFamily("homeroom_sync_conflicts", "Questions that wait for a person", labels=one)
        for each in self.figures:
            for change, count in each.rows.items():
                rows.add_metric([each.connector, change], count)
            for state, count in each.runs.items():
                runs.add_metric([each.connector, state], count)
            if each.lag is not None and each.last_success is not None:
                lag.add_metric([each.connector], each.lag)
                last.add_metric([each.connector], each.last_success)
            letters.add_metric([each.connector], each.dead_letters)
            conflicts.add_metric([each.connector], each.conflicts)
        return rows, runs, lag, last, letters, conflicts, *self._outgoing()

    def _outgoing(self) -> Iterable[Metric]:
        one = ["connector"]
        marks = GaugeMetricFamily("homeroom_attendance_out_marks", "Marks in the queue", labels=[*one, "state"])
        results = CounterMetricFamily(
            "homeroom_attendance_out", "Marks by what became of them", labels=[*one, "result"]
        )
        oldest = GaugeMetricFamily("homeroom_attendance_out_oldest_seconds", "Age of the oldest that waits", labels=one)
        for each in self.figures:
            if (out := each.outgoing) is None:
                continue
            for state in ("waiting", "failed", "differs"):
                marks.add_metric([each.connector, state], getattr(out, state))
            for result in ("sent", "confirmed", "left_out"):
                results.add_metric([each.connector, result], getattr(out, result))
            age = 0.0 if out.oldest_waiting is None else (now_utc() - out.oldest_waiting).total_seconds()
            oldest.add_metric([each.connector], age)
        return marks, results, oldest
