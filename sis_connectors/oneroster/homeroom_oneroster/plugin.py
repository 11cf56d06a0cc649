"""The plugin: its settings, its health, and the connector that it gives to the sync engine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from homeroom import Health, Services, SisConnector, hookimpl
from homeroom_oneroster.connector import Connector


class OneRoster:
    """Reads OneRoster CSV bundles."""

    hook_api = 1

    class Settings(BaseModel):
        """Where the bundles come from.

        `end_dates` "inclusive" is for systems that write the last day where OneRoster asks for the day after it.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        source: Path | None = None
        end_dates: Literal["exclusive", "inclusive"] = "exclusive"
        max_bytes: int = Field(default=8 * 1024**3, ge=1024)

    def __init__(self, settings: Settings, services: Services) -> None:
        self.settings = settings
        self.services = services

    @hookimpl
    def sis_connector(self) -> SisConnector:
        """The connector; `sync run oneroster --source PATH` gives it another source by `with_source`."""
        settings = self.settings
        return Connector(settings.source, end_dates=settings.end_dates, max_bytes=settings.max_bytes)

    @hookimpl
    def health(self) -> Health:
        """Whether the configured source is there; none configured is fine, a run may name its own."""
        source = self.settings.source
        if source is None:
            return Health(ok=True, detail="no source is set; a run names its own")
        if not source.exists():
            return Health(ok=False, detail="the configured source is not there")
        return Health(ok=True)
