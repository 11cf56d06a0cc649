"""Taking rosters in: pull, stage, compare, apply. A connector only reads; everything else is here.

    result = await run(store, "oneroster", connector, dry_run=True, on_diff=print)

Pages go to staging, with the checkpoint in the same transaction; only when everything was pulled is anything applied,
in units of at most 500 rows, so that check-ins pass between them.
"""

from homeroom.sync.changes import DiffRow
from homeroom.sync.conflicts import QueuedConflict, conflicts, open_conflicts
from homeroom.sync.corrections import Correction, corrections
from homeroom.sync.engine import approve, discard, release, resume, run
from homeroom.sync.guard import Alarm, Guard
from homeroom.sync.replay import ReplayResult, replay
from homeroom.sync.reports import ConnectorStatus, Letter, RunResult, dead_letters, result_of, runs, status
from homeroom.sync.settle import settle
from homeroom.sync.steps import Options, Progress, Resolve

__all__ = [
    "Alarm",
    "ConnectorStatus",
    "Correction",
    "DiffRow",
    "Guard",
    "Letter",
    "Options",
    "Progress",
    "QueuedConflict",
    "ReplayResult",
    "Resolve",
    "RunResult",
    "approve",
    "conflicts",
    "corrections",
    "dead_letters",
    "discard",
    "open_conflicts",
    "release",
    "replay",
    "result_of",
    "resume",
    "run",
    "runs",
    "settle",
    "status",
]
