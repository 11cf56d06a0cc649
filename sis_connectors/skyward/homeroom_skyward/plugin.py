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
from homeroom_oneroster import RestConnector
from homeroom_skyward.attendance import QmlativAttendance
from homeroom_skyward.connector import WithAttendanceApi
from homeroom_skyward.generic import DISTRICT, Generic
from homeroom_skyward.qmlativ import QmlativRoster
from homeroom_skyward.sms import SmsRoster
from homeroom_skyward.tables import GRANTS

TOKEN_ENDED = "Token has expired"  # noqa: S105 - Qmlativ's words, no secret
_ONEROSTER = {"1.1": "/ims/oneroster/v1p1", "1.2": "/ims/oneroster/v1p2"}
_STATUSES = ("absent", "excused", "tardy")


class SkywardSettings(BaseModel):
    """How Skyward is reached: `product` says which of the two systems it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product: Literal["sms2", "qmlativ"]
    base_url: str = Field(
        description="SMS 2.0: the API's URL from API Configuration. Qmlativ: https://…/CUSTOMERStuAPI"
    )
    token_url: str = Field(description="Where the district's Skyward gives tokens; it is never guessed.")
    client_id: str = Field(description="Skyward calls it the key.", json_schema_extra={"env": "SKYWARD_CLIENT_ID"})
    client_secret: SecretStr = Field(json_schema_extra={"env": "SKYWARD_CLIENT_SECRET"})
    roster: Literal["oneroster", "api"] | None = Field(
        default=None,
        description="Qmlativ: oneroster where it is not set. SMS 2.0: oneroster where it is licensed, else api.",
    )
    version: Literal["1.1", "1.2"] | None = Field(default=None, description="Of OneRoster; SMS 2.0 has 1.1 only.")
    oneroster_url: str | None = Field(default=None, description="SMS 2.0: OneRoster's own address.")
    basic: Literal["empty", "client"] = Field(
        default="empty",
        description="SMS 2.0's own API: what stands in the Authorization header when a token is asked for.",
    )
    entity_id: int = Field(default=DISTRICT, ge=1, description="Qmlativ's own API: the entity that is asked; 1 is all.")
    school_year_id: int | None = Field(default=None, ge=1, description="Qmlativ's own API: one school year only.")
    end_dates: Literal["exclusive", "inclusive"] | None = Field(
        default=None,
        description="Whether an end date is the last day (Qmlativ's own API) or the day after (OneRoster).",
    )
    page_size: int = Field(default=1000, ge=2, le=10_000)
    min_interval: float = Field(default=0.0, ge=0, le=60, description="Seconds between two requests.")
    attendance: Literal["file", "api"] = Field(
        default="file",
        description="file: CSV files in attendance_folder. api, for Qmlativ with roster = api: written into Skyward, "
        f"which no other vendor is known to do; first the district grants our Integration Access {GRANTS}.",
    )
    attendance_folder: Path | None = Field(default=None, description="Not set: no attendance leaves.")
    attendance_level: Literal["class", "day"] = Field(default="class", description="Of the files.")
    codes: dict[str, str] = Field(
        default_factory=dict, description="With attendance = api: our code or status to Skyward's TYPE or TYPE/REASON."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.product == "sms2":
            if self.version == "1.2":
                raise ValueError("SMS 2.0 has OneRoster 1.1 only: leave version out")
            if self.attendance == "api":
                raise ValueError("no way is known to write attendance into SMS 2.0: leave attendance out")
            if self.roster == "oneroster" and self.oneroster_url is None:
                raise ValueError("roster = oneroster needs oneroster_url with SMS 2.0: Skyward's support knows it")
        if self.attendance == "api":
            if self.roster != "api":
                raise ValueError(
                    "attendance = api needs roster = api: OneRoster's ids are not known to be the Generic API's"
                )
            if missing := [status for status in _STATUSES if status not in self.codes]:
                raise ValueError(f"attendance = api needs codes for {', '.join(missing)}")
        return self


class Skyward:
    """Reads rosters from Skyward SMS 2.0 or Qmlativ, and hands attendance over."""

    hook_api = 1
    Settings = SkywardSettings

    def __init__(self, settings: SkywardSettings, services: Services) -> None:
        self.settings = settings
        self.services = services
        self._connector = _connector(settings, services)

    @hookimpl
    def sis_connector(self) -> SisConnector:
        """The connector."""
        return self._connector

    @hookimpl
    def health(self) -> Health:
        """Fine as far as is known without asking Skyward: the last run tells how it is."""
        if self.settings.product == "sms2" and self.settings.roster != "oneroster":
            return Health(ok=True, detail="reads schools and students; this API of SMS 2.0 knows no classes or staff")
        return Health(ok=True, detail="the last run tells how Skyward is")


def _connector(settings: SkywardSettings, services: Services) -> SisConnector:
    if settings.roster == "oneroster" or (settings.product == "qmlativ" and settings.roster is None):
        return _with_file(_oneroster(settings, services), settings, services)
    if settings.product == "sms2":
        return _with_file(_sms(settings, services), settings, services)
    generic = Generic(
        _http(settings, services, settings.base_url, _client_credentials(settings)),
        entity_id=settings.entity_id,
        school_year_id=settings.school_year_id,
        page_size=settings.page_size,
    )
    roster = QmlativRoster(generic, end_dates=settings.end_dates or "inclusive", today=services.today)
    if settings.attendance == "api":
        return WithAttendanceApi(roster, QmlativAttendance(generic, settings.codes))
    return _with_file(roster, settings, services)


def _with_file(
    roster: SmsRoster | QmlativRoster | RestConnector, settings: SkywardSettings, services: Services
) -> SisConnector:
    folder = settings.attendance_folder
    file = None if folder is None else AttendanceFile(folder, services.name, clock=services.clock)
    return WithAttendanceFile(roster, file, title="Skyward", level=settings.attendance_level)


def _sms(settings: SkywardSettings, services: Services) -> SmsRoster:
    """SMS 2.0's own API: key and secret are the user name and password of a password grant."""
    with_client = settings.basic == "client"
    secret = settings.client_secret.get_secret_value()
    token = ClientCredentials(
        url=settings.token_url,
        client_id=settings.client_id if with_client else "",
        client_secret=settings.client_secret if with_client else SecretStr(""),
        grant_type="password",
        form={"username": settings.client_id, "password": secret},
    )
    http = _http(settings, services, settings.base_url, token)
    return SmsRoster(http, page_size=settings.page_size, is_chosen=settings.roster == "api")


def _oneroster(settings: SkywardSettings, services: Services) -> RestConnector:
    version = settings.version or ("1.1" if settings.product == "sms2" else "1.2")
    url = settings.oneroster_url or settings.base_url.rstrip("/") + _ONEROSTER[version]
    return RestConnector(
        _http(settings, services, url, _client_credentials(settings)),
        version=version,
        page_size=settings.page_size,
        end_dates=settings.end_dates or "exclusive",
    )


def _client_credentials(settings: SkywardSettings) -> ClientCredentials:
    """As Qmlativ wants them: in the header, and the grant's name in the address too, as its clients write it."""
    url = settings.token_url
    if settings.product == "qmlativ" and "grant_type=" not in url:
        url += ("&" if "?" in url else "?") + "grant_type=client_credentials"
    return ClientCredentials(url=url, client_id=settings.client_id, client_secret=settings.client_secret)


def _http(settings: SkywardSettings, services: Services, url: str, token: ClientCredentials) -> SisHttp:
    return SisHttp(services, url, token=token, min_interval=settings.min_interval, token_ended=TOKEN_ENDED)
