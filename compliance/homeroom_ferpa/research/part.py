"""Research as one part of the plugin: what its routes and commands need, what is due, and what health tells."""

from __future__ import annotations

from dataclasses import dataclass

from homeroom import Finding, Services
from homeroom_ferpa.reports.settings import ReportsSettings
from homeroom_ferpa.research import studies


@dataclass(frozen=True, slots=True, kw_only=True)
class Research:
    """Studies and their extracts. `settings` has the district's smallest cell, `notice` goes with every extract."""

    services: Services
    settings: ReportsSettings
    notice: str

    async def findings(self) -> list[Finding]:
        """The studies whose data should have been destroyed, for the plugin's health."""
        today = self.services.today().isoformat()
        waiting = await self.services.store.read(lambda c: studies.tasks(c, today))
        overdue = sum(row["level"] == "overdue" for row in waiting)
        if not overdue:
            return []
        problem = f"The data of {overdue} studies should have been destroyed by now."
        return [
            Finding(problem=problem, fix="Have it confirmed, and enter that; GET /api/v1/compliance/tasks lists them.")
        ]
