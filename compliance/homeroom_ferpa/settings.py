"""What a district may set in [plugins.ferpa]."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from homeroom_ferpa.access.settings import AccessSettings
from homeroom_ferpa.log.settings import LogSettings
from homeroom_ferpa.reports.settings import ReportsSettings
from homeroom_ferpa.rights.settings import RightsSettings
from homeroom_ferpa.watch.settings import WatchSettings


class FerpaSettings(BaseModel):
    """Everything that the district decides; each part of the law has a section of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    log: LogSettings = Field(default_factory=LogSettings)
    access: AccessSettings = Field(default_factory=AccessSettings)
    rights: RightsSettings = Field(default_factory=RightsSettings)
    watch: WatchSettings = Field(default_factory=WatchSettings)
    reports: ReportsSettings = Field(default_factory=ReportsSettings)
