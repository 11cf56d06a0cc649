"""From the ids that Campus gives people in OneRoster 1.2 to those that they had in 1.1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


def legacy_id(row: Mapping[str, Any]) -> str | None:
    """The id that a row of 1.2 had in 1.1 (`metadata.ic.legacySourceId`), where it names one."""
    metadata = row.get("metadata")
    if not isinstance(metadata, Mapping):
        return None
    inner = metadata.get("ic")
    told = inner.get("legacySourceId") if isinstance(inner, Mapping) else metadata.get("ic.legacySourceId")
    return told.strip() or None if isinstance(told, str) else None


class Bridge:
    """The 1.1 ids of everybody: some two hundred bytes each, while a run goes on.

    Where Campus names one 1.1 id for two people, neither gets it: better new rows for two than one row for both.
    """

    def __init__(self) -> None:
        self._before: dict[str, str] = {}

    def add(self, rows: Iterable[Any]) -> None:
        """Keep what these rows of people tell."""
        for row in rows:
            if isinstance(row, Mapping) and (before := legacy_id(row)) is not None:
                self._before[str(row.get("sourcedId")).strip()] = before

    def complete(self) -> None:
        """Everybody's are kept: forget those that are not one person's alone."""
        named = Counter(self._before.values())
        self._before = {now: before for now, before in self._before.items() if named[before] == 1}

    def __getitem__(self, now: Any) -> Any:
        """The 1.1 id of a person, or the id that was given where there is none."""
        return self._before.get(now.strip(), now) if isinstance(now, str) else now
