"""What a verification has found."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from homeroom_ferpa.log.tree import EMPTY

_MOST_PROBLEMS = 200


@dataclass(slots=True, kw_only=True)
class Report:
    """What was found. `pending` rows came after the last checkpoint, `purged` ones were let go by the book.

    That `purged_unsealed` of these were let go says only a row that is pending, which anybody with the database's
    password can write: it counts for good once it is sealed.
    """

    size: int = 0
    root: str = base64.b64encode(EMPTY).decode()
    problems: list[str] = field(default_factory=list)
    checkpoints: int = 0
    witnessed: int = 0
    pending: int = 0
    purged: int = 0
    purged_unsealed: int = 0
    untold: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def found(self, problem: str) -> None:
        """Add a problem; beyond some hundreds they are only counted."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)
        else:
            self.untold += 1

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        told = [f"and {self.untold} more problems"] if self.untold else []
        return {
            "ok": self.ok,
            "size": self.size,
            "root": self.root,
            "problems": [*self.problems, *told],
            "checkpoints": self.checkpoints,
            "witnessed": self.witnessed,
            "pending": self.pending,
            "purged": self.purged,
            "purged_unsealed": self.purged_unsealed,
        }
