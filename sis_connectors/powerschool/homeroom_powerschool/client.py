"""PowerSchool's HTTP API: lists, tables, queries and writes, with every refusal explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from homeroom import ClientCredentials, Services, SisHttp, SourceError, VendorError
from homeroom_powerschool import quirks
from homeroom_powerschool.columns import field_line
from homeroom_powerschool.quirks import Row
from homeroom_powerschool.settings import PowerSchoolSettings

DEFAULT_CAP = 100
"""Rows of a page where PowerSchool names no limit: the table endpoint's own default."""

INSTALL = "Make plugin.zip with `homeroom powerschool plugin-zip` and install it in PowerSchool again."
_KEEP = timedelta(minutes=10)
_BATCHES_SINCE = (25, 3)


class MissingGrants(SourceError):
    """PowerSchool does not let the plugin read or write some columns: `lines` are what plugin.xml lacks."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(f"PowerSchool does not grant these columns to the plugin: {' '.join(lines)} {INSTALL}")
        self.lines = tuple(lines)


class NotInstalled(SourceError):
    """PowerSchool does not know a query: the plugin's queries are not installed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"PowerSchool does not know the query {name}. {INSTALL}")
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What PowerSchool says of itself. `time_zone` is an IANA name, or None for one that is not known here."""

    caps: Mapping[str, int]
    time_zone: str | None
    version: tuple[int, ...]
    plugin_id: str | None

    @property
    def has_batches(self) -> bool:
        """Whether many students' daily attendance can be written at once."""
        return self.version >= _BATCHES_SINCE

    def cap(self, kind: str) -> int:
        """The largest page of `kind` (school, student, …)."""
        return self.caps.get(f"{kind}_max_page_size") or DEFAULT_CAP


class Client:
    """One district's PowerSchool. Raises SourceError everywhere, with a text for the administrator."""

    def __init__(self, services: Services, settings: PowerSchoolSettings) -> None:
        self._settings = settings
        self._clock = services.clock
        self._time_zone = services.time_zone
        self._metadata: tuple[datetime, Metadata] | None = None
        self.is_set_up = bool(settings.client_id and settings.client_secret)
        token = ClientCredentials(
            url="/oauth/access_token",
            client_id=settings.client_id or "",
            client_secret=settings.client_secret or SecretStr(""),
        )
        interval = settings.min_interval
        self.http = SisHttp(services, settings.base_url, token=token, min_interval=interval)
        self.unsigned = SisHttp(services, settings.base_url, min_interval=interval)

    def now(self) -> datetime:
        """This moment."""
        return self._clock.now()

    async def metadata(self) -> Metadata:
        """PowerSchool's own figures, at most ten minutes old."""
        if self._metadata is None or self.now() - self._metadata[0] > _KEEP:
            self._metadata = self.now(), _metadata(await self._get("/ws/v1/metadata"))
        return self._metadata[1]

    async def zone(self) -> ZoneInfo:
        """The time zone of the schools: PowerSchool's, else the one that the district has set here."""
        return ZoneInfo((await self.metadata()).time_zone or self._time_zone)

    async def page_of(self, kind: str) -> int:
        """How many rows a page of `kind` may have: the settings' wish, within PowerSchool's limit."""
        is_query = kind == "schema_table_query"
        wish = self._settings.query_page_size if is_query else self._settings.page_size
        return min(wish, (await self.metadata()).cap(kind))

    async def get(self, path: str, **params: str | int) -> Any:
        """One object or list, as it came."""
        return await self._get(path, params)

    async def count(self, path: str, **params: str | int) -> int:
        """How many rows a REST list or a table has."""
        return quirks.count_of(await self._get(f"{path}/count", params))

    async def query(self, name: str, args: Mapping[str, Any], pagesize: int = 0) -> list[Row]:
        """The rows of a query, `pagesize` at most (0: all). Raises NotInstalled for one that PowerSchool lacks."""
        try:
            reply = await self._ask(
                "POST",
                f"/ws/schema/query/{name}",
                params={"page": 1, "pagesize": pagesize},
                json=dict(args),
                idempotent=True,
            )
        except VendorError as exc:
            raise (NotInstalled(name) if exc.status == 404 else exc) from None  # noqa: PLR2004 - there is no such query
        return quirks.records(reply)

    async def query_count(self, name: str, args: Mapping[str, Any]) -> int:
        """How many rows a query has."""
        try:
            path = f"/ws/schema/query/{name}/count"
            return quirks.count_of(await self._ask("POST", path, json=dict(args), idempotent=True))
        except VendorError as exc:
            raise (NotInstalled(name) if exc.status == 404 else exc) from None  # noqa: PLR2004 - there is no such query

    async def table(self, name: str, fields: Sequence[str], *, pagesize: int, q: str = "") -> list[Row]:
        """The first rows of a table that `q` lets through, in the order of the first of the fields."""
        params: dict[str, str | int] = {
            "projection": ",".join(fields).lower(),
            "page": 1,
            "pagesize": pagesize,
            "sort": fields[0].lower(),
            **({"q": q} if q else {}),
        }
        rows = quirks.records(await self._get(f"/ws/schema/table/{name}", params))
        return [quirks.as_object(quirks.as_object(quirks.as_object(row).get("tables")).get(name)) for row in rows]

    async def whole_table(self, name: str, fields: Sequence[str], q: str = "") -> list[Row]:
        """Every row of a table that `q` lets through, page after page by the first of the fields."""
        size = await self.page_of("schema_table_query")
        key = fields[0].lower()
        found: list[Row] = []
        after = 0
        while True:
            rows = await self.table(name, fields, pagesize=size, q=";".join(filter(None, (q, f"{key}=gt={after}"))))
            if not rows:
                return found
            found += rows
            before, after = after, quirks.as_number(rows[-1], key)
            if after <= before:
                raise SourceError("PowerSchool gave the same rows again instead of the next ones", retry=True)

    async def access(self, table: str) -> dict[str, str]:
        """What the plugin may do with each column of a table, by the column's name in capitals."""
        told = quirks.as_object(await self._get(f"/ws/schema/table/{table}/metadata", {"expansions": "access"}))
        columns = [quirks.as_object(one) for one in quirks.as_list(told.get("columns"))]
        return {str(one.get("name")).upper(): str(one.get("access")) for one in columns}

    async def subscribe(self, callback: str, resources: Sequence[str]) -> None:
        """Have PowerSchool call `callback` whenever one of `resources` changes, instead of what it was told before."""
        events = [
            {"resource": resource, "event_type": kind}
            for resource in resources
            for kind in ("INSERT", "UPDATE", "DELETE")
        ]
        body = {"event_subscriptions": {"key": "homeroom", "callback_url": callback, "event_subscription": events}}
        await self._ask("PUT", "/ws/v1/event_subscription", json=body)

    async def write(self, path: str, records: Sequence[Mapping[str, str]]) -> Any:
        """Write attendance. A day's may be sent again when nobody knows whether it arrived: it is created or updated.

        A meeting's is sent once only, unless PowerSchool asked to slow down: what tells two apart is not documented.
        """
        body = {
            "name": "ATTENDANCE",
            "record": [{"name": "ATTENDANCE", "tables": {"attendance": dict(record)}} for record in records],
        }
        return await self._ask("POST", f"/ws/attendance/{path}", json=body, idempotent=path != "meeting_interval")

    async def _get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        return await self._ask("GET", path, params=dict(params or {}))

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        idempotent: bool | None = None,
    ) -> Any:
        if not self.is_set_up:
            raise SourceError(
                "no client id and secret are set for PowerSchool; they are on the plugin's page there, under Data "
                "Provider Configuration"
            )
        try:
            reply = await self.http.request(method, path, params=params, json=json, idempotent=idempotent)
        except VendorError as exc:
            raise _explained(exc, pagesize=int((params or {}).get("pagesize", 0))) from None
        return reply.data


def _explained(exc: VendorError, *, pagesize: int) -> SourceError:
    if exc.status == 403 and (lines := _missing(exc.data)):  # noqa: PLR2004 - with the columns that lack
        return MissingGrants(lines)
    if exc.status == 400 and pagesize:  # noqa: PLR2004 - wildcathub met it as if it were a permission
        return SourceError(
            f"PowerSchool refused a page of {pagesize} rows; its limit for this plugin is probably lower. Set "
            "page_size or query_page_size lower, or raise the plugin's maximum page size in PowerSchool."
        )
    return exc


def _missing(data: Any) -> list[str]:
    errors = [quirks.as_object(one) for one in quirks.as_list(quirks.as_object(data).get("errors"))]
    named = [(str(error.get("resource")), str(error.get("field"))) for error in errors if error.get("field")]
    return [field_line(table, field) for table, field in dict.fromkeys(named)]


def _metadata(data: Any) -> Metadata:
    told = quirks.as_object(quirks.as_object(data).get("metadata"))
    if not told:
        raise SourceError("PowerSchool's answer holds no metadata", retry=True)
    caps = {key: quirks.as_text(value) or "" for key, value in told.items() if key.endswith("_max_page_size")}
    version = quirks.as_text(told.get("powerschool_version")) or ""
    return Metadata(
        caps={key: int(text) for key, text in caps.items() if text.isdecimal()},
        time_zone=_zone(quirks.as_text(told.get("district_timezone"))),
        version=tuple(int(part) for part in version.split(".") if part.isdecimal()),
        plugin_id=quirks.as_text(told.get("plugin_id")),
    )


def _zone(name: str | None) -> str | None:
    try:
        return ZoneInfo(name).key if name else None
    except (ValueError, OSError, LookupError):
        return None
