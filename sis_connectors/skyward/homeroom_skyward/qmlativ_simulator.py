"""Skyward Qmlativ: the Generic API, into which attendance can be written, and OneRoster 1.2 and 1.1 beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal

import orjson
from quart import Response, request

from homeroom.testing import SampleDistrict
from homeroom_oneroster.shapes import Version
from homeroom_oneroster.simulator import OneRosterSimulator
from homeroom_skyward import tables as t
from homeroom_skyward.generic import DISTRICT, Row, Table
from homeroom_skyward.numbers import number
from homeroom_skyward.plugin import TOKEN_ENDED
from homeroom_skyward.qmlativ_books import OPTIONAL, Books
from homeroom_skyward.qmlativ_search import BadSearch, Searches

_API = "/SampleStuAPI"
_TABLES = {f"{table}": table for table in (*t.ROSTER, *t.READ_FOR_ATTENDANCE)}
_DEFAULT_CODES = {"absent": "A", "excused": "A/EX", "tardy": "T"}


class SkywardQmlativSimulator(OneRosterSimulator):
    """Serves all three; `roster` and `attendance` are what `settings` names.

    `hidden` are the fields that the Integration Access does not show, by object ("Student/Student"), all of them for
    an empty set; `may_write` says whether it lets attendance be written. `fails_for` are the sample's students for whom
    a write is answered 500, None for everybody.
    """

    name = "skyward"
    title = "Skyward Qmlativ"
    evidence = (
        "Built from programs that read Qmlativ's Generic API [N] and OneRoster [1], and from a generated SDK that has "
        "the attendance objects [N]; no vendor has been seen writing them [?]. Never compared with a Skyward server."
    )
    prefixes: ClassVar[Mapping[Version, str]] = {
        "1.2": f"{_API}/ims/oneroster/v1p2",
        "1.1": f"{_API}/ims/oneroster/v1p1",
    }
    token_path = f"{_API}/oauth/token"
    token_paths = (f"{_API}/oauth/token",)
    small_pages: ClassVar[Mapping[str, Any]] = {"page_size": 10}

    def __init__(
        self,
        district: SampleDistrict,
        *,
        misbehave: Collection[str] = (),
        version: Version = "1.2",
        roster: Literal["oneroster", "api"] = "oneroster",
        attendance: Literal["file", "api"] = "file",
        hidden: Mapping[str, Collection[str]] | None = None,
        may_write: bool = True,
    ) -> None:
        super().__init__(district, misbehave=misbehave, version=version)
        self.roster = roster
        self.writes = attendance
        self.hidden = dict(hidden or {})
        self.may_write = may_write
        self.fails_for: Collection[str] | None = ()
        self._books = Books(district)
        self._searches = Searches()
        self._written: dict[Table, dict[int, Row]] = {t.STUDENT_DAY: {}, t.STUDENT_PERIOD: {}}
        route = f"{_API}/Generic/<int:entity>/<module>/<name>"
        self.app.add_url_rule(route, "fields", self._fields)
        self.app.add_url_rule(f"{route}/<int:page>/<int:size>", "search", self._search, methods=["GET", "POST"])
        self.app.add_url_rule(route, "create", self._create, methods=["PUT"])
        self.app.add_url_rule(f"{route}/<int:key>", "update", self._update, methods=["POST"])
        self.app.add_url_rule(f"{route}/<int:key>", "delete", self._delete, methods=["DELETE"])

    def settings(self, url: str) -> dict[str, Any]:
        """The connector's settings with which it reads this simulator at `url`."""
        how: dict[str, Any] = {
            "product": "qmlativ",
            "roster": self.roster,
            "base_url": f"{url}{_API}",
            "token_url": f"{url}{self.token_path}",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        if self.roster == "oneroster":
            how["version"] = self.version
        if self.writes == "api":
            how |= {"attendance": "api", "codes": _DEFAULT_CODES}
        return how

    def attendance(self) -> list[dict[str, Any]]:
        """Every attendance period that was written: student and class by the sample's ids, the day, and the code."""
        students = {number("student", one.sourced_id): one.sourced_id for one in self.district.users}
        seats = {number("seat", one.sourced_id): one.class_ for one in self.district.enrollments}
        dates = {row["CalendarDayID"]: row["Date"] for row in self._books.rows(t.CALENDAR_DAY)}
        types = {row["AttendanceTypeID"]: row["Code"] for row in self._books.rows(t.TYPE)}
        reasons = {row["AttendanceReasonID"]: row["Code"] for row in self._books.rows(t.REASON)}
        listed = []
        for row in self._written[t.STUDENT_PERIOD].values():
            day = self._written[t.STUDENT_DAY][row["StudentAttendanceID"]]
            code = types[row["AttendanceTypeID"]]
            if row.get("AttendanceReasonID"):
                code = f"{code}/{reasons[row['AttendanceReasonID']]}"
            listed.append(
                {
                    "student": students[day["StudentID"]],
                    "class": seats.get(row.get("StudentSectionID") or 0),
                    "school_day": dates[day["CalendarDayID"]],
                    "code": code,
                }
            )
        return listed

    def enter(self, table: Table, key: int, values: Row) -> None:
        """Change a written row as the school's office would."""
        self._written[table][key] = {**self._written[table][key], **values}

    async def _fields(self, entity: int, module: str, name: str) -> Response:  # noqa: ARG002 - the route's
        """The fields of an object, with two names that are none [N]."""
        if (refusal := self._refused(module, name)) is not None:
            return refusal
        table = _TABLES[f"{module}/{name}"]
        shown: dict[str, Any] = {field: {} for field in self._shown(table)}
        return _json(shown | {"ValidationRules": [], "Relationships": []})

    async def _search(self, entity: int, module: str, name: str, page: int, size: int) -> Response:
        """A page of rows, all of them by GET or those that a search condition selects by POST [N]; sorted [1]."""
        if (refusal := self._refused(module, name)) is not None:
            return refusal
        table = _TABLES[f"{module}/{name}"]
        try:
            rows, start = self._searches.found(table, self._held(table, entity), await request.get_json(silent=True))
        except (BadSearch, KeyError, TypeError, ValueError):
            return _json({"Message": "The search condition is not valid."}, 400)
        offset = start + (page - 1) * size
        asked = [value for key, value in request.args.items(multi=True) if key.startswith("searchFields")]
        shown = [field for field in self._shown(table) if not asked or field in asked]
        listed = [
            self.dress({field: row.get(field) for field in shown}, optional=OPTIONAL)
            for row in self.page(rows, offset, size)
        ]
        more = offset + size < len(rows)
        following = f"/Generic/{entity}/{table}/{page + 1}/{size}" if more else ""
        return _json({"Objects": listed, "Paging": {"Next": following}})

    async def _create(self, entity: int, module: str, name: str) -> Response:  # noqa: ARG002
        """PUT creates [N]; a second row for the same student and day, or day and period, is refused [I]."""
        values = await self._given(module, name)
        if isinstance(values, Response):
            return values
        table = _TABLES[f"{module}/{name}"]
        same = _SAME[table]
        mark = [values.get(field) for field in same]
        if None in mark or any([row.get(field) for field in same] == mark for row in self._written[table].values()):
            return _json({"Message": "The record is not valid."}, 400)
        key = number(table.name, str(len(self.asked)))
        self._written[table][key] = {**values, table.key: key}
        return _json({table.key: key})

    async def _update(self, entity: int, module: str, name: str, key: int) -> Response:  # noqa: ARG002
        """POST to a row's address changes it [N]."""
        values = await self._given(module, name)
        if isinstance(values, Response):
            return values
        table = _TABLES[f"{module}/{name}"]
        if key not in self._written[table]:
            return _json({"Message": "There is no such record."}, 404)
        self.enter(table, key, values)
        return _json({table.key: key})

    async def _delete(self, entity: int, module: str, name: str, key: int) -> Response:  # noqa: ARG002
        """DELETE takes a row away [N]."""
        values = await self._given(module, name)
        if isinstance(values, Response):
            return values
        there = self._written[_TABLES[f"{module}/{name}"]].pop(key, None)
        return _json({}) if there is not None else _json({"Message": "There is no such record."}, 404)

    async def _given(self, module: str, name: str) -> Row | Response:
        """The fields to write, or why nothing may be written."""
        if (refusal := self._refused(module, name)) is not None:
            return refusal
        if not self.may_write or _TABLES[f"{module}/{name}"] not in self._written:
            return _json({"Message": "Access is denied."}, 403)
        body = await request.get_json(silent=True)
        values = dict(body.get("DataObject", {})) if isinstance(body, dict) else {}
        return _json({"Message": "An error has occurred."}, 500) if self._fails(values) else values

    def _fails(self, values: Row) -> bool:
        """Whether a write is answered 500; of whom it is, the student's day says."""
        if self.fails_for is None:
            return True
        day = self._written[t.STUDENT_DAY].get(values.get("StudentAttendanceID") or 0, {})
        student = values.get("StudentID") or day.get("StudentID")
        return student in {number("student", one) for one in self.fails_for}

    def _refused(self, module: str, name: str) -> Response | None:
        """A token that has ended is told by a text, with 403 [1]; so is an object that was not granted [I]."""
        if not self.token_is_good():
            return _json({"Message": f"{TOKEN_ENDED}."}, 403)
        path = f"{module}/{name}"
        if path not in _TABLES:
            return _json({"Message": "There is no such object."}, 404)
        if path in self.hidden and not self.hidden[path]:
            return _json({"Message": "Access is denied."}, 403)
        return None

    def _shown(self, table: Table) -> Sequence[str]:
        hidden = self.hidden.get(str(table), ())
        return [field for field in table.fields if field not in hidden]

    def _held(self, table: Table, entity: int) -> Sequence[Row]:
        if table in self._written:
            rows: Sequence[Row] = sorted(self._written[table].values(), key=lambda row: int(row[table.key]))
        else:
            rows = self._books.rows(table)
        if entity == DISTRICT or "EntityID" not in table.fields:
            return rows
        return [row for row in rows if row.get("EntityID") == entity]


_SAME = {
    t.STUDENT_DAY: ("StudentID", "CalendarDayID"),
    t.STUDENT_PERIOD: ("StudentAttendanceID", "AttendancePeriodID"),
}


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, {"Content-Type": "application/json"})
