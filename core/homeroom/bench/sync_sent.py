"""What became of the attendance that `homeroom bench sync` sent, by what the simulator was asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from homeroom.bench.outcome import neat
from homeroom.bench.sync_out import Took

_REFUSED = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What sending attendance took. `asked` is every request that the simulator got, `marks` what it holds at last."""

    took: Took
    changes: int
    asked: list[Any]
    marks: int

    @property
    def wasted(self) -> int:
        """Requests that were refused, and writes that had been written before."""
        writes = Counter((target, body) for target, status, body in self._writes if status < _REFUSED)
        refused = sum(status >= _REFUSED for _, target, status, _ in self.asked if "/ws/" in target)
        return int(refused + sum(writes.values()) - len(writes))

    @property
    def wrong(self) -> list[str]:
        """What is not as it must be."""
        took = self.took
        if (took.marks, took.confirmed, took.left, self.marks) == (self.changes, self.changes, 0, self.changes):
            return []
        return [f"of {took.marks} marks {took.confirmed} were confirmed, {took.left} are left, {self.marks} are there"]

    @property
    def _writes(self) -> list[tuple[str, int, int]]:
        found = [one for one in self.asked if one[0] in ("POST", "PUT", "PATCH") and "/ws/attendance/" in one[1]]
        return [(one[1], one[2], one[3]) for one in found]

    def figures(self) -> dict[str, Any]:
        """What the table shows of it."""
        return {
            "changes_out": self.changes,
            "changes_out_s": neat(self.took.seconds),
            "writes": len(self._writes),
            "wasted": self.wasted,
            "wasted_share": neat(self.wasted / max(1, len(self._writes))),
            "wasted_aim": "at most 1 in 50",
        }
