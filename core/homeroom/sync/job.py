"""What every step of one run knows, and what the run's records refer to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from homeroom.field_policy import FieldPolicy
from homeroom.records import Noun
from homeroom.store import Connection, Refused
from homeroom.store.bulk import select_in
from homeroom.sync import lease
from homeroom.sync.mapping import MAPPINGS

UNIT = 250
"""Rows in one transaction at most, so that a check-in never waits for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of one connector.

    `holder` is who holds the connector's lease for it; `policy` decides where both sides changed a field. `heir_of` is
    an earlier run that was cut off while it applied: rows that are still new get the ids it gave them, because rows
    that it took over may refer to them.
    """

    run_id: str
    source: str
    dry_run: bool
    full: bool
    administrators: bool
    holder: str
    policy: FieldPolicy = field(default_factory=FieldPolicy)
    heir_of: str | None = None

    @property
    def lease(self) -> str:
        """The name of the lease that keeps a second run of this connector away."""
        return lease_of(self.source)

    def check_lease(self, connection: Connection) -> None:
        """Raise Refused 409 when another process has taken the connector over."""
        if not lease.is_held(connection, self.lease, self.holder):
            raise Refused(409, "sync-taken-over", "Another run of this connector has taken over.")


def lease_of(source: str) -> str:
    """The name of the lease for runs of one connector."""
    return f"sync.{source}"


def resolve(connection: Connection, job: Job, noun: Noun, sourced_ids: Collection[str]) -> dict[str, str]:
    """The roster ids of those records that this run has staged, or that are in the roster and stay there."""
    wanted = list(sourced_ids)
    table = MAPPINGS[noun].table
    staged = select_in(
        connection,
        "SELECT sourced_id, row_id, change FROM staged_rows WHERE run_id = ? AND noun = ? AND sourced_id IN ({})",
        [job.run_id, noun],
        wanted,
    )
    gone = {sourced_id for sourced_id, _, change in staged if change in ("end", "ended")}
    found = {sourced_id: row_id for sourced_id, row_id, change in staged if row_id and change != "dead"}
    rest = [sourced_id for sourced_id in wanted if sourced_id not in found]
    known = select_in(
        connection,
        f"SELECT sourced_id, id FROM {table} WHERE source = ? AND sourced_id IN ({{}}) AND NOT ended",  # noqa: S608 - ours
        [job.source],
        rest,
    )
    return {sourced_id: row_id for sourced_id, row_id in [*known, *found.items()] if sourced_id not in gone}
