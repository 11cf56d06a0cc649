"""What planning works on: a staged row, what becomes of it, and what a person is shown of that."""

from __future__ import annotations

from collections.abc import Mapping as Facts
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from homeroom.records import Noun
from homeroom.sync.job import Job
from homeroom.sync.links import Ids, Links
from homeroom.sync.mapping import Mapping
from homeroom.sync.policy import Clash, Judge
from homeroom.sync.remembered import DUPLICATE, ENDED, NOTHING, Held, Known

Outcome = Literal["added", "changed", "ended", "same", "dead"]


@dataclass(slots=True)
class Staged:
    """One staged row that waits to be applied, its columns in the order of `STAGED_COLUMNS`."""

    sourced_id: str
    content_hash: str
    content: str = field(repr=False)
    row_id: str
    change: str
    sealed: str | None = field(repr=False)
    location: str | None

    @property
    def is_new(self) -> bool:
        """Whether the roster does not have it."""
        return self.change == "add"


STAGED_COLUMNS = tuple(one.name for one in fields(Staged))


@dataclass(slots=True, kw_only=True)
class Change:
    """What becomes of one staged row. `problems` are (field, reason); `values` are what is to be written, by column.

    `clashes` are fields that both sides have changed, `agreed` ones that were changed here and are alike by now, and
    `waits` says that the row stays as it is here.
    """

    staged: Staged
    outcome: Outcome
    restored: bool = False
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    values: dict[str, Any] | None = None
    links: Links = field(default_factory=Links)
    taken: dict[str, Any] = field(default_factory=dict)
    clashes: list[Clash] = field(default_factory=list)
    agreed: set[str] = field(default_factory=set)
    known: Known = NOTHING
    waits: bool = False

    @property
    def gone(self) -> list[Held]:
        """The questions about the row that are none any more: both sides say the same, or one of them has not moved."""
        if self.waits or not self.known.held:
            return []
        found = {clash.field for clash in self.clashes} | {DUPLICATE}
        rest = [held for name, held in self.known.held.items() if name not in found]
        return [held for held in rest if held.is_open or (held.field == ENDED and held.chosen == "ours")]

    @property
    def is_whole(self) -> bool:
        """Whether all that is staged of a new row is taken, as it is."""
        return self.outcome == "added" and self.staged.is_new and not self.problems and not self.is_unsettled

    @property
    def is_unsettled(self) -> bool:
        """Whether the row is to be looked at again although the source does not change it."""
        return self.waits or bool(self.problems) or any(clash.chosen is None for clash in self.clashes)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRow:
    """One row that a run changes or would change. `fields`: name → [before, after]; an address is never shown."""

    noun: Noun
    sourced_id: str
    change: Literal["added", "changed", "ended"]
    fields: Facts[str, tuple[Any, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The shape of `sync run --json`."""
        fields = {name: list(values) for name, values in self.fields.items()}
        return {"noun": self.noun, "sourced_id": self.sourced_id, "change": self.change, "fields": fields}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where rows of one noun are planned: the run, what their references mean, and who decides clashes.

    `chosen_here` has the source's ids of those records that somebody here has put into a reference, by row id.
    """

    job: Job
    noun: Noun
    mapping: Mapping
    ids: Ids
    judge: Judge
    chosen_here: Facts[str, str] = field(default_factory=dict)
