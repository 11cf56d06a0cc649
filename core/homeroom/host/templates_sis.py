"""The texts of `homeroom plugins new --kind sis`: a connector, and a small server of the vendor's kind to test it."""

from __future__ import annotations

from string import Template

PLUGIN = Template('''\
"""Reads rosters from $cls and writes attendance to it."""

from __future__ import annotations

from homeroom import Services, SisConnector, hookimpl
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from $package.connector import Connector


class ${cls}Settings(BaseModel):
    """What a district sets in [plugins.$name]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(description="the address of the SIS, https://…")
    client_id: str
    client_secret: SecretStr = Field(json_schema_extra={"env": "${env}_CLIENT_SECRET"})
    page_size: int = Field(default=500, ge=1, le=5000, description="rows of one page")
    min_interval: float = Field(default=0.0, ge=0, description="seconds between two requests, at least")


class $cls:
    """Gives the connector to the sync engine."""

    hook_api = 1
    Settings = ${cls}Settings

    def __init__(self, settings: ${cls}Settings, services: Services) -> None:
        self._connector = Connector(
            services,
            base_url=settings.base_url,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            page_size=settings.page_size,
            min_interval=settings.min_interval,
        )

    @hookimpl
    async def sis_connector(self) -> SisConnector | None:
        """The connector."""
        return self._connector
''')

CONNECTOR = Template('''\
"""The driver: how $cls is asked. The sync engine owns checkpoints, the comparison and what is removed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from homeroom import (
    NOUNS,
    ClientCredentials,
    Finding,
    Noun,
    OutgoingMark,
    Page,
    Pull,
    Pushed,
    Record,
    RowError,
    Services,
    SisHttp,
    SourceError,
    VendorError,
)
from pydantic import SecretStr

from $package.rows import READINGS


class Connector:
    """One district's $cls."""

    nouns: tuple[Noun, ...] = NOUNS
    attendance_out: Literal["api", "file", "none"] = "api"
    attendance_level: Literal["class", "day"] = "class"

    def __init__(
        self,
        services: Services,
        *,
        base_url: str,
        client_id: str,
        client_secret: SecretStr,
        page_size: int,
        min_interval: float,
    ) -> None:
        token = ClientCredentials(url="/token", client_id=client_id, client_secret=client_secret)
        self._http = SisHttp(services, base_url, token=token, min_interval=min_interval)
        self._page_size = page_size

    async def check(self) -> Sequence[Finding]:
        """What is wrong with the settings or our rights there, each with its fix."""
        try:
            await self._page("org", 0)
        except VendorError as exc:
            if exc.status in (400, 401, 403):
                fix = "Set client_id and client_secret as $cls shows them, and let that client read rosters."
                return [Finding(problem=f"$cls does not let us in: {exc}.", fix=fix)]
            return [Finding(problem=f"$cls answers, but {exc}.", fix="Try again later; ask $cls if it lasts.")]
        except SourceError as exc:
            return [Finding(problem=f"$cls was not reached: {exc}.", fix="Check base_url and the firewall.")]
        return []

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """Read one noun page by page; a row that cannot be read is told, and the rest goes on.

        $cls cannot be asked for changes only, so each page says that it is of the whole.
        """
        offset = int(pull.cursor or 0)
        while True:
            rows, total = await self._page(pull.noun, offset)
            if not rows and offset < total:
                raise SourceError(f"$cls counts {total} rows of {pull.noun} and gave {offset}; try again later")
            records, errors = _read(pull.noun, rows, offset)
            offset += len(rows)
            yield Page(records=records, errors=errors, cursor=str(offset), total=total, whole=True)
            if offset >= total:
                return

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        """Write attendance, one record for each student, class and day."""
        return [await self._push(mark) for mark in marks]

    async def _page(self, noun: Noun, offset: int) -> tuple[list[Any], int]:
        reply = await self._http.get(f"/rows/{noun}", {"offset": offset, "limit": self._page_size})
        match reply.data:
            case {"rows": list(rows), "total": int(total)}:
                return rows, total
        raise SourceError("$cls answered with something else than rows", retry=True)

    async def _push(self, mark: OutgoingMark) -> Pushed:
        path = f"/attendance/{mark.student}/{mark.class_}/{mark.school_day}"
        try:
            before = _code((await self._http.get(path, accept=(404,))).data)
            wanted = mark.status
            if before == wanted:
                return Pushed(key=mark.key, held=before, before=before, read_back=True)
            if before != mark.held and not mark.overwrite:
                return Pushed(key=mark.key, held=before, before=before, differs=True)
            if wanted is None:
                await self._http.request("DELETE", path)
            else:
                await self._http.request("PUT", path, json={"code": wanted})
        except SourceError as exc:
            return Pushed(key=mark.key, error=str(exc), retry=exc.retry)
        return Pushed(key=mark.key, held=wanted, before=before)


def _code(data: Any) -> str | None:
    """What $cls holds for a student, class and day; None for nothing."""
    code = data.get("code") if isinstance(data, dict) else None
    return code if isinstance(code, str) else None


def _read(noun: Noun, rows: Sequence[Any], offset: int) -> tuple[list[Record], list[RowError]]:
    records: list[Record] = []
    errors: list[RowError] = []
    for position, row in enumerate(rows, start=offset + 1):
        try:
            records.append(READINGS[noun](row))
        except (KeyError, TypeError, ValueError) as exc:
            sourced_id = row.get("id") if isinstance(row, dict) else None
            reason = f"{exc} is missing" if isinstance(exc, KeyError) else "a value has the wrong form"
            errors.append(RowError(noun=noun, where=f"{noun} {position}", reason=reason, sourced_id=sourced_id))
    return records, errors
''')

ROWS = Template('''\
"""$cls's rows in OneRoster's words. Begin here: change the names on the right to those of your SIS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from homeroom import AcademicSession, Class, Course, Enrollment, Noun, Org, Record, User, UserRole

Row = Mapping[str, Any]


def org(row: Row) -> Org:
    """The district, or a school."""
    return Org(sourced_id=row["id"], name=row["name"], kind=row["type"], parent=row.get("parent"))


def academic_session(row: Row) -> AcademicSession:
    """A school year or term; `ends_on` is the day after the last one."""
    return AcademicSession(
        sourced_id=row["id"],
        title=row["title"],
        kind=row["type"],
        begins_on=date.fromisoformat(row["begins"]),
        ends_on=date.fromisoformat(row["ends"]),
        parent=row.get("parent"),
    )


def course(row: Row) -> Course:
    """What is taught."""
    return Course(sourced_id=row["id"], title=row["title"], code=row.get("code"), org=row.get("school"))


def class_(row: Row) -> Class:
    """One group that takes a course."""
    return Class(
        sourced_id=row["id"],
        title=row["title"],
        school=row["school"],
        course=row.get("course"),
        terms=tuple(row.get("terms", ())),
        periods=tuple(row.get("periods", ())),
    )


def user(row: Row) -> User:
    """A person, with a role at each school."""
    return User(
        sourced_id=row["id"],
        given_name=row["first"],
        family_name=row["last"],
        roles=tuple(UserRole(role=row["role"], org=school) for school in row["schools"]),
        agents=tuple(row.get("guardians", ())),
        grades=tuple(row.get("grades", ())),
        identifier=row.get("number"),
        email=row.get("email"),
    )


def enrollment(row: Row) -> Enrollment:
    """One person in one class; `ends_on` is the day after the last one."""
    return Enrollment(
        sourced_id=row["id"],
        user=row["person"],
        class_=row["class"],
        role=row["role"],
        begins_on=date.fromisoformat(row["from"]) if row.get("from") else None,
        ends_on=date.fromisoformat(row["until"]) if row.get("until") else None,
    )


READINGS: Mapping[Noun, Callable[[Row], Record]] = {
    "org": org,
    "academicSession": academic_session,
    "course": course,
    "class": class_,
    "user": user,
    "enrollment": enrollment,
}
''')

SIMULATOR = Template('''\
"""A small $cls to test against, and to try things out: `homeroom simulate $name`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from homeroom import AcademicSession, Class, Course, Enrollment, Noun, Org, User
from homeroom.testing import SampleDistrict, Simulator
from quart import request

Answer = tuple[dict[str, Any], int]


class ${cls}Simulator(Simulator):
    """Behaves as $cls's manual says. Record real answers, and make it give them."""

    name = "$name"
    title = "$cls"
    evidence = "Made up with the project; compare it with a real $cls before you trust it."
    token_paths = ("/token",)
    small_pages = {"page_size": 40}

    def __init__(self, district: SampleDistrict, *, misbehave: Collection[str] = ()) -> None:
        super().__init__(district, misbehave=misbehave)
        lists: tuple[list[Any], ...] = (
            *(district.orgs, district.academic_sessions, district.courses),
            *(district.classes, district.users, district.enrollments),
        )
        self._rows = {noun: [row(one) for one in some] for (noun, row), some in zip(ROWS.items(), lists, strict=True)}
        self._held: dict[tuple[str, str, str], str] = {}
        self.app.add_url_rule("/token", view_func=self._token, methods=["POST"])
        self.app.add_url_rule("/rows/<noun>", view_func=self._list)
        path = "/attendance/<student>/<section>/<day>"
        self.app.add_url_rule(path, view_func=self._mark, methods=["GET", "PUT", "DELETE"])

    def settings(self, url: str) -> dict[str, Any]:
        """What a district would write."""
        return {"base_url": url, "client_id": self.client_id, "client_secret": self.client_secret}

    def attendance(self) -> list[dict[str, Any]]:
        """What was written."""
        return [
            {"student": student, "class": section, "school_day": day, "code": code}
            for (student, section, day), code in self._held.items()
        ]

    async def _token(self) -> Answer:
        known = request.authorization
        if known is None or (known.username, known.password) != (self.client_id, self.client_secret):
            return {"error": "invalid_client"}, 401
        return {"access_token": self.issue_token(), "expires_in": 3600}, 200

    async def _list(self, noun: Noun) -> Answer:
        if not self.token_is_good():
            return {"error": "invalid_token"}, 401
        rows = self._rows[noun]
        page = self.page(rows, int(request.args["offset"]), int(request.args["limit"]))
        total = 0 if "empty" in self.misbehave else len(rows)
        return {"rows": [self.dress(row, optional=("parent", "number", "email")) for row in page], "total": total}, 200

    async def _mark(self, student: str, section: str, day: str) -> Answer:
        if not self.token_is_good():
            return {"error": "invalid_token"}, 401
        if not any(seat["person"] == student and seat["class"] == section for seat in self._rows["enrollment"]):
            return {"error": "unknown student"}, 409
        key = (student, section, day)
        if request.method == "PUT":
            self._held[key] = (await request.get_json())["code"]
        elif request.method == "DELETE":
            self._held.pop(key, None)
        return ({"code": self._held[key]}, 200) if key in self._held else ({}, 404)


def _org(one: Org) -> dict[str, Any]:
    return {"id": one.sourced_id, "name": one.name, "type": one.kind, "parent": one.parent}


def _session(one: AcademicSession) -> dict[str, Any]:
    days = {"begins": one.begins_on.isoformat(), "ends": one.ends_on.isoformat()}
    return {"id": one.sourced_id, "title": one.title, "type": one.kind, "parent": one.parent, **days}


def _course(one: Course) -> dict[str, Any]:
    return {"id": one.sourced_id, "title": one.title, "code": one.code, "school": one.org}


def _class(one: Class) -> dict[str, Any]:
    told = {"course": one.course, "terms": one.terms, "periods": one.periods}
    return {"id": one.sourced_id, "title": one.title, "school": one.school, **told}


def _user(one: User) -> dict[str, Any]:
    schools = [role.org for role in one.roles]
    told = {"guardians": one.agents, "grades": one.grades, "number": one.identifier, "email": one.email}
    names = {"first": one.given_name, "last": one.family_name}
    return {"id": one.sourced_id, **names, "role": one.roles[0].role, "schools": schools, **told}


def _enrollment(one: Enrollment) -> dict[str, Any]:
    begins = one.begins_on.isoformat() if one.begins_on else None
    return {"id": one.sourced_id, "person": one.user, "class": one.class_, "role": one.role, "from": begins}


ROWS: Mapping[Noun, Callable[[Any], dict[str, Any]]] = {
    "org": _org,
    "academicSession": _session,
    "course": _course,
    "class": _class,
    "user": _user,
    "enrollment": _enrollment,
}
''')

TEST = Template("""\
from homeroom import Pull, RowError
from homeroom.testing import connector_tests, plugin_tests, running_plugin, sample_district, services

from $package import $cls
from $package.simulator import ${cls}Simulator

SIMULATOR = ${cls}Simulator(sample_district(students=30))
SETTINGS = SIMULATOR.settings("https://sis.example")

TestPlugin = plugin_tests($cls, SETTINGS)
TestConnector = connector_tests($cls, simulator=${cls}Simulator)


async def test_a_row_that_cannot_be_read_is_told_and_the_rest_goes_on() -> None:
    server = ${cls}Simulator(sample_district(students=30))
    del server._rows["org"][0]["name"]
    async with running_plugin($cls, SETTINGS, services=services("$name", http=server.app)) as plugin:
        connector = await plugin.ask("sis_connector")
        [page] = [page async for page in connector.pull(Pull(noun="org"))]
    [error] = page.errors
    assert error == RowError(noun="org", where="org 1", reason="'name' is missing", sourced_id="district")
    assert len(page.records) == len(server._rows["org"]) - 1
""")
