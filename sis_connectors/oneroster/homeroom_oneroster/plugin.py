"""The plugin: its settings, its health, and the connector that it gives to the sync engine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from homeroom import ClientCredentials, Health, Services, SisConnector, SisHttp, hookimpl
from homeroom_oneroster.connector import Connector
from homeroom_oneroster.rest import RestConnector, Version
from homeroom_oneroster.signing import bearer, oauth1

_SCOPE = "https://purl.imsglobal.org/spec/or/v1p2/scope"
SCOPES: dict[Version, str | None] = {
    "1.2": f"{_SCOPE}/roster-core.readonly {_SCOPE}/roster-demographics.readonly",
    "1.1": None,
}
"""What is asked for when `scope` is not set: OneRoster 1.2 names its scopes, 1.1 has none."""


class OneRosterSettings(BaseModel):
    """Where rosters come from: CSV bundles at `source`, or a server at `base_url`.

    `end_dates` "inclusive" is for systems that write the last day where OneRoster asks for the day after it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Path | None = None
    max_bytes: int = Field(default=8 * 1024**3, ge=1024)
    end_dates: Literal["exclusive", "inclusive"] = "exclusive"

    base_url: str | None = Field(default=None, description="As the vendor's page shows it, version and all.")
    version: Version = "1.2"
    auth: Literal["oauth2", "oauth1", "bearer"] = "oauth2"
    token_url: str | None = Field(default=None, description="For oauth2; OneRoster does not say where it is.")
    token_auth: Literal["basic", "form"] = "basic"  # noqa: S105 - a way, no secret
    client_id: str | None = None
    client_secret: SecretStr | None = None
    scope: str | None = Field(default=None, description="For oauth2; empty asks for none.")
    token: SecretStr | None = Field(default=None, description="For bearer.")
    page_size: int = Field(default=1000, ge=2, le=10_000)
    min_interval: float = Field(default=0.0, ge=0, le=60, description="Seconds between two requests.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.source is not None and self.base_url is not None:
            raise ValueError("source and base_url are both set: keep source for CSV bundles, base_url for a server")
        if self.base_url is None:
            return self
        if self.auth == "oauth2" and self.token_url is None:
            raise ValueError("oauth2 needs token_url: OneRoster does not say where it is, the vendor's page does")
        if self.auth != "bearer" and not (self.client_id and self.client_secret):
            raise ValueError(f"{self.auth} needs client_id and client_secret")
        if self.auth == "bearer" and self.token is None:
            raise ValueError("bearer needs token")
        return self


class OneRoster:
    """Reads OneRoster, from CSV bundles or over REST."""

    hook_api = 1
    Settings = OneRosterSettings

    def __init__(self, settings: OneRosterSettings, services: Services) -> None:
        self.settings = settings
        self._rest = _rest(settings, services) if settings.base_url is not None else None

    @hookimpl
    def sis_connector(self) -> SisConnector:
        """The connector; for CSV, `sync run oneroster --source PATH` gives it another source by `with_source`."""
        settings = self.settings
        if self._rest is not None:
            return self._rest
        return Connector(settings.source, end_dates=settings.end_dates, max_bytes=settings.max_bytes)

    @hookimpl
    def health(self) -> Health:
        """Whether the configured source is there; a server is not asked, the last run tells how it is."""
        source = self.settings.source
        if self._rest is not None:
            return Health(ok=True, detail="rosters are read from a server; the last run tells how it is")
        if source is None:
            return Health(ok=True, detail="no source is set; a run names its own")
        if not source.exists():
            return Health(ok=False, detail="the configured source is not there")
        return Health(ok=True)


def _rest(settings: OneRosterSettings, services: Services) -> RestConnector:
    key, secret = settings.client_id or "", settings.client_secret or SecretStr("")
    token, auth = None, None
    if settings.auth == "oauth1":
        auth = oauth1(key, secret)
    elif settings.auth == "bearer":
        auth = bearer(settings.token or SecretStr(""))
    else:
        scope = SCOPES[settings.version] if settings.scope is None else settings.scope or None
        token = ClientCredentials(
            url=settings.token_url or "", client_id=key, client_secret=secret, auth=settings.token_auth, scope=scope
        )
    http = SisHttp(services, settings.base_url or "", token=token, auth=auth, min_interval=settings.min_interval)
    return RestConnector(http, version=settings.version, page_size=settings.page_size, end_dates=settings.end_dates)
