"""The plugin: its settings, and the connector that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from homeroom import (
    AttendanceFile,
    ClientCredentials,
    Health,
    Services,
    SisConnector,
    SisHttp,
    WithAttendanceFile,
    hookimpl,
)
from homeroom_infinite_campus.roster import CampusRoster

_SCOPE = "https://purl.imsglobal.org/spec/or/v1p2/scope"
SCOPE = f"{_SCOPE}/roster.readonly {_SCOPE}/roster-demographics.readonly"
"""What is asked for in 1.2 where `scope` is not set."""


class InfiniteCampusSettings(BaseModel):
    """What the connection's page shows, under System > Digital Learning Applications Configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(description="The OneRoster base URL, copied whole: Campus has more than one form of it.")
    token_url: str = Field(description="The token URL, copied whole, with ?appName=…")
    client_id: str = Field(
        description="Campus calls it the key.", json_schema_extra={"env": "INFINITE_CAMPUS_CLIENT_ID"}
    )
    client_secret: SecretStr = Field(json_schema_extra={"env": "INFINITE_CAMPUS_CLIENT_SECRET"})
    token_auth: Literal["basic", "form"] = "basic"  # noqa: S105 - a way, no secret
    version: Literal["1.1", "1.2"] = "1.2"
    ids: Literal["own", "legacy"] = Field(
        default="own",
        description="legacy, for a district that comes from OneRoster 1.1: people keep the ids that they had there.",
    )
    scope: str | None = Field(default=None, description="Empty asks for none.")
    page_size: int = Field(default=1000, ge=2, le=10_000)
    min_interval: float = Field(default=0.0, ge=0, le=60, description="Seconds between two requests.")
    end_dates: Literal["exclusive", "inclusive"] = "exclusive"
    attendance_folder: Path | None = Field(
        default=None, description="Where attendance is put as CSV files; not set: no attendance leaves."
    )
    attendance_level: Literal["class", "day"] = "class"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.ids == "legacy" and self.version == "1.1":
            raise ValueError("ids = legacy is for version 1.2: in 1.1 people have these ids anyway")
        return self


class InfiniteCampus:
    """Reads rosters from Infinite Campus, and hands attendance over as files."""

    hook_api = 1
    Settings = InfiniteCampusSettings

    def __init__(self, settings: InfiniteCampusSettings, services: Services) -> None:
        self.settings = settings
        self.services = services
        self._connector = _connector(settings, services)

    @hookimpl
    def sis_connector(self) -> SisConnector:
        """The connector."""
        return self._connector

    @hookimpl
    def health(self) -> Health:
        """Fine as far as is known without asking Campus: the last run tells how it is."""
        return Health(ok=True, detail="the last run tells how Campus is")


def _connector(settings: InfiniteCampusSettings, services: Services) -> SisConnector:
    scope = settings.scope if settings.scope is not None else SCOPE if settings.version == "1.2" else ""
    token = ClientCredentials(
        url=settings.token_url,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        auth=settings.token_auth,
        scope=scope or None,
    )
    roster = CampusRoster(
        SisHttp(services, settings.base_url, token=token, min_interval=settings.min_interval),
        version=settings.version,
        page_size=settings.page_size,
        end_dates=settings.end_dates,
        ids=settings.ids,
        has_app_name="appname=" in settings.token_url.casefold(),
    )
    folder = settings.attendance_folder
    file = None if folder is None else AttendanceFile(folder, services.name, clock=services.clock)
    return WithAttendanceFile(roster, file, title="Infinite Campus", level=settings.attendance_level)
