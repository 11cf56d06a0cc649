"""Taking rosters in: pull, stage, compare, apply. A connector only reads; everything else is here.

    result = await run(store, "oneroster", connector, dry_run=True, on_diff=print)

Pages go to staging, with the checkpoint in the same transaction; only when everything was pulled is anything applied,
in units of at most 500 rows, so that check-ins pass between them.
"""

from homeroom.sync.engine import Progress, resume, run
from homeroom.sync.plan import DiffRow
from homeroom.sync.reports import ConnectorStatus, Letter, RunResult, dead_letters, result_of, runs, status

__all__ = [
    "ConnectorStatus",
    "DiffRow",
    "Letter",
    "Progress",
    "RunResult",
    "dead_letters",
    "result_of",
    "resume",
    "run",
    "runs",
    "status",
]
