"""One connector that can be bad in each way that the conformance kit looks for: `bad` says in which, "" in none."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SecretStr, TypeAdapter, ValidationError

from homeroom import (
    NOUNS,
    AcademicSession,
    Class,
    ClientCredentials,
    Course,
    Enrollment,
    Finding,
    Noun,
    Org,
    OutgoingMark,
    Page,
    Pull,
    Pushed,
    Record,
    Reply,
    RowError,
    Services,
    SisConnector,
    SisHttp,
    SourceError,
    User,
    VendorError,
    hookimpl,
)

_ROWS: dict[Noun, TypeAdapter[Any]] = {
    "org": TypeAdapter(Org),
    "academicSession": TypeAdapter(AcademicSession),
    "course": TypeAdapter(Course),
    "class": TypeAdapter(Class),
    "user": TypeAdapter(User),
    "enrollment": TypeAdapter(Enrollment),
}
_FRESH = itertools.count()
_UNCOUNTED = ("gives no total", "hides what comes twice")
_SEEN: set[str] = set()


class HostileSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    client_secret: SecretStr
    page_size: int = 500
    bad: str = ""


class Connector:
    attendance_out: Literal["api", "file", "none"] = "api"
    attendance_level: Literal["class", "day"] = "day"

    def __init__(self, settings: HostileSettings, services: Services) -> None:
        self.bad = settings.bad
        self.nouns: tuple[Noun, ...] = tuple(reversed(NOUNS)) if self.bad == "nouns out of order" else NOUNS
        self._settings = settings
        self._services = services
        token = ClientCredentials(url="/token", client_id="us", client_secret=settings.client_secret)
        attempts = 1 if self.bad in ("gives up", "hurries", "takes a failure for nothing") else 4
        signed = None if self.bad == "keeps its token" else token
        self._http = SisHttp(services, settings.base_url, token=signed, attempts=attempts)
        self._kept: str | None = None
        self._seen: set[str] = set()

    def __repr__(self) -> str:
        return f"Connector({self._secret})" if self.bad == "secret in its repr" else "Connector()"

    @property
    def _secret(self) -> str:
        return self._settings.client_secret.get_secret_value()

    async def check(self) -> Sequence[Finding]:
        if self.bad == "check finds faults":
            return [Finding(problem="Something may be wrong.", fix="Look again.")]
        if self.bad == "check says nothing":
            return []
        try:
            await self._get("org", 0)
        except SourceError as exc:
            if self.bad == "check raises":
                raise
            return [Finding(problem=str(exc), fix="" if self.bad == "check has no fix" else "Check the settings.")]
        return []

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        if self.bad == "deaf":
            for _ in range(2):
                with contextlib.suppress(asyncio.CancelledError):
                    await self._get(pull.noun, 0)
            await asyncio.Event().wait()
        if pull.since is not None and self.bad == "misreads dates":
            yield Page(records=(), whole=True)
            return
        offset = int(pull.cursor or 0) if self.bad != "forgets its place" else 0
        while True:
            rows, total = await self._page(pull.noun, offset)
            offset += len(rows)
            page = self._made(pull.noun, rows, offset, total)
            self._seen |= {record.sourced_id for record in page.records}
            if rows or not offset:
                yield page
            if not rows or offset >= total:
                break
        if self.bad == "ends what it misses" and pull.noun == "user":
            yield Page(records=self._missed(), total=total, whole=True)

    def _missed(self) -> list[Record]:
        """Ends for people that an earlier connector in this process has seen."""
        gone = sorted(_SEEN - self._seen)
        _SEEN.update(one for one in self._seen if "-s0" in one)
        return [User(sourced_id=one, given_name="x", family_name="x", status="tobedeleted") for one in gone]

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        answers = [await self._push(mark) for mark in marks]
        return answers[1:] if self.bad == "forgets an answer" else answers

    async def _push(self, mark: OutgoingMark) -> Pushed:
        path = f"/marks/{mark.student}/{mark.school_day}"
        try:
            if self.bad == "writes each time anew":
                await self._http.request("POST", path, json={"code": mark.status})
                return Pushed(key=mark.key, held=mark.status)
            before = (await self._http.get(path)).data["code"]
            blind = self.bad == "overwrites blindly"
            changed = before not in (mark.held, mark.status) and not (mark.overwrite or blind)
            if changed or (self.bad == "never overwrites" and mark.key == "chosen"):
                says = self.bad != "is silent about changes" and mark.key != "chosen"
                return Pushed(key=mark.key, held=before, differs=says)
            await self._http.request("PUT", path, json={"code": mark.status})
        except SourceError as exc:
            if self.bad == "takes anybody":
                return Pushed(key=mark.key)
            return Pushed(key=mark.key, error=str(exc), retry=exc.retry and self.bad != "gives up")
        return Pushed(key=mark.key, held=None if self.bad == "does not say what is held" else mark.status)

    def _made(self, noun: Noun, rows: Sequence[dict[str, Any]], offset: int, total: int) -> Page:
        records: list[Record] = []
        errors: list[RowError] = []
        for row in rows:
            try:
                records.append(self._record(noun, row))
            except (ValidationError, KeyError):
                sourced_id = row["sourced_id"]
                errors.append(RowError(noun=noun, where="a page", reason="cannot be read", sourced_id=sourced_id))
        if self.bad == "gives an id twice" and noun == "user":
            records.append(records[0])
        if self.bad == "hides what comes twice":
            records = [record for record in records if record.sourced_id not in self._seen]
        told = {"counts wrongly": total + 1, **dict.fromkeys(_UNCOUNTED)}.get(self.bad, total)
        cursor = None if self.bad == "has no cursor" else str(offset)
        return Page(records=records, errors=errors, cursor=cursor, total=told, whole=True)

    def _record(self, noun: Noun, row: dict[str, Any]) -> Record:
        match self.bad:
            case "gives the wrong noun" if noun == "user":
                return Org(sourced_id=row["sourced_id"], name="x", kind="school")
            case "makes up ids" if noun == "enrollment":
                row = {**row, "sourced_id": f"{row['sourced_id']}-{next(_FRESH)}"}
            case "names strangers" if noun == "enrollment":
                row = {**row, "user": f"id:{row['user']}"}
            case "changes each time" if noun == "org":
                row = {**row, "name": f"{row['name']} {next(_FRESH)}"}
            case "expects every field" if noun == "user":
                row = {**row, "email": row["email"]}
            case "knows no other field" if "x_undocumented" in row:
                raise KeyError("x_undocumented")
        record: Record = _ROWS[noun].validate_python(row)
        return record

    async def _page(self, noun: Noun, offset: int) -> tuple[list[dict[str, Any]], int]:
        try:
            reply = await self._get(noun, offset)
        except VendorError as exc:
            if self.bad == "gives up":
                raise SourceError(str(exc)) from None
            if self.bad == "takes a failure for nothing":
                return [], 0
            raise
        except SourceError:
            if self.bad == "takes a failure for nothing":
                return [], 0
            if self.bad == "gives up":
                raise SourceError("it went wrong") from None
            raise
        return reply.data["rows"], reply.data["total"]

    async def _get(self, noun: Noun, offset: int) -> Reply:
        params = self._params(noun, offset)
        try:
            reply = await self._http.request("GET", f"/rows/{noun}", params=params, headers=await self._kept_token())
        except asyncio.CancelledError:
            if self.bad == "takes cancelling for an error":
                raise SourceError("the request was given up") from None
            raise
        except SourceError as exc:
            if self.bad == "secret in an error":
                raise SourceError(f"{exc} for {self._secret}") from None
            if self.bad == "hurries" and isinstance(exc, VendorError):
                return await self._http.get(f"/rows/{noun}", params)
            raise
        if self.bad == "wants a length" and "content-length" not in reply.headers:
            return Reply(status=200, data={"rows": [], "total": 0}, headers={})
        if self.bad == "trusts no other clock" and self._is_off(reply):
            raise SourceError("the clocks differ")
        return reply

    def _params(self, noun: Noun, offset: int) -> dict[str, Any]:
        """The query; what is bad at the time of asking happens here."""
        params: dict[str, Any] = {"offset": offset, "limit": self._settings.page_size}
        match self.bad:
            case "blocks" if noun == "org":
                time.sleep(0.15)
            case "secret in the address":
                params["key"] = self._secret
            case "secret in the log":
                self._services.log.info("asking", secret=self._secret)
            case "secret on paper":
                print(self._secret)  # noqa: T201 - the point
        return params

    async def _kept_token(self) -> dict[str, str]:
        if self.bad != "keeps its token":
            return {}
        if self._kept is None:
            pair = base64.b64encode(f"us:{self._secret}".encode()).decode()
            reply = await self._http.request("POST", "/token", headers={"Authorization": f"Basic {pair}"})
            self._kept = reply.data["access_token"]
        return {"Authorization": f"Bearer {self._kept}"}

    def _is_off(self, reply: Reply) -> bool:
        told = parsedate_to_datetime(reply.headers["date"])
        return abs((told - self._services.clock.now()).total_seconds()) > 300


class Hostile:
    hook_api = 1
    Settings = HostileSettings

    def __init__(self, settings: HostileSettings, services: Services) -> None:
        self._connector = Connector(settings, services)

    @hookimpl
    async def sis_connector(self) -> SisConnector | None:
        return self._connector
