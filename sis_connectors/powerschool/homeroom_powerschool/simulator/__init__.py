"""A small PowerSchool SIS on loopback: rosters by REST and by the plugin's queries, attendance in.

Beside each route stands how sure its facts are: [N] transcribed documentation or several working clients, [1] one of
them, [I] inferred, [?] nobody knows.
"""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, ClassVar

import orjson
from quart import Response, request
from quart.typing import ResponseReturnValue

from homeroom.testing import SampleDistrict, Simulator
from homeroom_powerschool.columns import TABLES
from homeroom_powerschool.queries import AREA, CODES, DETAIL, ID_MAP, OURS
from homeroom_powerschool.simulator import queries, shapes
from homeroom_powerschool.simulator.books import DAILY, MEETING, Books
from homeroom_powerschool.simulator.world import Relation, World

__all__ = ["PowerSchoolSimulator", "Relation", "World"]

BATCH = 200
_TOO_MANY = "You do not have permission for this request"  # misleading, as in the field [1]
_BUILT_IN = {
    ID_MAP: ("STUDENTS.DCID", "STUDENTS.ID"),
    CODES: ("ATTENDANCE_CODE.ID", "ATTENDANCE_CODE.ATT_CODE", "ATTENDANCE_CODE.YEARID"),
    DETAIL: ("ATTENDANCE.STUDENTID", "ATTENDANCE.ATT_DATE", "ATTENDANCE.ATTENDANCE_CODEID", "ATTENDANCE.CCID"),
}


class PowerSchoolSimulator(Simulator):
    """PowerSchool as its documentation and its clients describe it.

    `grants` are the columns that the plugin may use, with the access; `installed` says whether its queries are there;
    `interval` is the least number of seconds between two requests; with `clamps` a page that is too large is shortened
    without a word; `lies` "ids" makes the id map wrong, consistently.
    """

    name: ClassVar[str] = "powerschool"
    title: ClassVar[str] = "PowerSchool SIS"
    evidence: ClassVar[str] = (
        "Built from transcribed API documentation and from other people's clients; never compared with a live "
        "PowerSchool, and the plugin's SQL has not run on one."
    )
    token_paths: ClassVar[tuple[str, ...]] = ("/oauth/access_token", "/oauth/access_token/")
    outage_url: ClassVar[str] = "https://message.powerschool.com/?server=district"

    def __init__(self, district: SampleDistrict, *, misbehave: Collection[str] = ()) -> None:
        super().__init__(district, misbehave=misbehave)
        self.world = World(district)
        self.books = Books(self.world)
        self.version = "25.3.0.1"
        self.time_zone = "America/New_York"
        self.caps = {"schema_table_query": 1000, "student": 500, "section_enrollment": 500, "school": 100}
        self.grants = {f"{table.name}.{field}": table.access for table in TABLES for field in table.fields}
        self.installed = True
        self.interval = 0.0
        self.clamps = False
        self.lies: set[str] = set()
        self.subscription: Any = None
        self._asked_at: float | None = None
        self.app.before_request(self._admit)
        self._add_routes()

    def settings(self, url: str) -> dict[str, Any]:
        """The connector's settings with which it reads this simulator at `url`."""
        return {
            "base_url": url,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "principal_titles": ["Principal"],
        }

    def attendance(self) -> list[dict[str, Any]]:
        """What was written: `student` and `class` are sample ids, `class` None for the whole day."""
        return self.books.told()

    def enter(self, student: str, day: date, code: str, class_: str | None = None) -> None:
        """Enter attendance as somebody at the school would; ids are the sample's."""
        self.books.enter(student, day, code, class_)

    def _add_routes(self) -> None:
        def add(rule: str, view: Any, *methods: str) -> None:
            self.app.add_url_rule(rule, rule + methods[0] if methods else rule, view, methods=list(methods) or ["GET"])

        add("/oauth/access_token", self._token, "POST")  # [N]
        add("/oauth/access_token/", self._token, "POST")  # [N]
        add("/ws/v1/time", self._time)  # [N] no OAuth; the answer's shape [?]
        add("/ws/v1/metadata", self._metadata)  # [N]; plugin_id only with a token [1]
        add("/ws/v1/district", self._district)  # [N]
        add("/ws/v1/district/school", self._schools)  # [N]
        add("/ws/v1/district/school/count", self._schools)  # [N]
        add("/ws/v1/district/student", self._students)  # [N]
        add("/ws/v1/district/student/count", self._students)  # [N]
        add("/ws/v1/school/<int:school>/<kind>", self._of_school)  # [N]
        add("/ws/v1/school/<int:school>/<kind>/count", self._of_school)  # [N]
        add("/ws/v1/section/<int:section>/section_enrollment", self._enrollments)  # [N]
        add("/ws/v1/section/<int:section>/section_enrollment/count", self._enrollments)  # [N]
        add("/ws/v1/event_subscription", self._subscribe, "PUT")  # [N]
        add("/ws/schema/table/<table>", self._table)  # [N]
        add("/ws/schema/table/<table>/count", self._table)  # [N]
        add("/ws/schema/table/<table>/metadata", self._table_metadata)  # [N]; the answer's shape [1]
        add("/ws/schema/query/<name>", self._query, "POST")  # [N]; the plugin's own queries [I]
        add("/ws/schema/query/<name>/count", self._query, "POST")  # [N]
        add("/ws/attendance/<path>", self._attendance, "POST")  # [N]; what a wrong record is answered [?]

    async def _admit(self) -> ResponseReturnValue | None:
        if self.interval and not self._in_time():
            return _problem(509, "Too many requests: wait 1 second")  # 509 [1]
        if request.path in (*self.token_paths, "/ws/v1/time", "/ws/v1/metadata"):
            return None
        return None if self.token_is_good() else _problem(401, "The access token is not valid")

    def _in_time(self) -> bool:
        before, self._asked_at = self._asked_at, time.monotonic()
        return before is None or self._asked_at - before >= self.interval

    async def _token(self) -> ResponseReturnValue:
        form = await request.form
        scheme, _, pair = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            client, _, secret = b64decode(pair).decode().partition(":")
        else:
            client, secret = form.get("client_id", ""), form.get("client_secret", "")  # [1]
        if (client, secret) != (self.client_id, self.client_secret) or form.get("grant_type") != "client_credentials":
            return _json({"error": "invalid_client"}), 401
        return _json({"access_token": self.issue_token(), "token_type": "Bearer", "expires_in": "2591999"})

    async def _time(self) -> ResponseReturnValue:
        return _json({"time": {"utc": self.now().isoformat(timespec="seconds")}})

    async def _metadata(self) -> ResponseReturnValue:
        told: dict[str, Any] = {
            "powerschool_version": self.version,
            "state": "NY",
            "district_timezone": self.time_zone,
            **{f"{kind}_max_page_size": cap for kind, cap in self.caps.items()},
        }
        if self.token_is_good():
            told["plugin_id"] = 7
        return _json({"metadata": told})

    async def _district(self) -> ResponseReturnValue:
        org = self.world.org
        told = {"uuid": "0", "name": org.name, "district_number": shapes.digits(org.identifier), "addresses": ""}
        return _json({"district": told})

    async def _schools(self) -> ResponseReturnValue:
        rows = range(len(self.world.schools))
        return self._list("school", "schools", rows, lambda i: shapes.school(self.world, i))

    async def _students(self) -> ResponseReturnValue:
        status = request.args.get("q", "").partition("enroll_status_code==")[2]
        names = self.world.students.names
        rows: Sequence[int] = range(len(names))
        if status:
            rows = [i for i in rows if self.world.status.get(names[i], 0) == int(status)]
        expansions = request.args.get("expansions", "")
        return self._list("student", "students", rows, lambda i: shapes.student(self.world, i, expansions))

    async def _of_school(self, school: int, kind: str) -> ResponseReturnValue:
        at = self.world.schools.at(school)
        if at is None:
            return _problem(404, "There is no such school")
        name = self.world.schools.names[at]
        world, expansions = self.world, request.args.get("expansions", "")
        lists: dict[str, tuple[Sequence[int], Any]] = {
            "term": (world.terms_of_school[name], lambda i: shapes.term(world, i)),
            "section": (world.sections_of_school.get(name, []), lambda i: shapes.section(world, i)),
            "course": (world.courses_of_school.get(name, []), lambda i: shapes.course(world, i)),
            "staff": (world.places_of_school.get(name, []), lambda i: shapes.staff(world, i, expansions)),
            "student": (world.students_of_school.get(name, []), lambda i: shapes.student(world, i, expansions)),
        }
        if kind not in lists:
            return _problem(404, "There is no such list")
        rows, shape = lists[kind]
        return self._list(kind, f"{kind}s", rows, shape)

    async def _enrollments(self, section: int) -> ResponseReturnValue:
        at = self.world.sections.at(section)
        if at is None:
            return _problem(404, "There is no such section")
        rows = self.world.cc_of_class.get(self.world.sections.names[at], [])
        kind = "section_enrollment"
        return self._list(kind, "section_enrollments", rows, lambda i: shapes.enrollment(self.world, i))

    def _size(self, kind: str, default: int) -> int | None:
        """How many rows the page may have; None for too many, unless the server shortens them in silence."""
        cap = self.caps.get(kind, 100)
        size = int(request.args.get("pagesize", default))
        if size > cap:
            return cap if self.clamps else None
        return size

    def _list(self, kind: str, envelope: str, rows: Sequence[int], shape: Any) -> ResponseReturnValue:
        """One page of a REST list, or its count."""
        if request.path.endswith("/count"):
            return _json({"resource": {"count": len(rows)}})
        size = self._size(kind, self.caps.get(kind, 100))
        if size is None:
            return _problem(400, _TOO_MANY)
        page = self.page(rows, (int(request.args.get("page", 1)) - 1) * size, size)
        items = [self.dress(shape(i), optional=("fees", "phones", "addresses")) for i in page]
        return _json(shapes.envelope(envelope, kind, items))

    async def _subscribe(self) -> ResponseReturnValue:
        self.subscription = await request.get_json()
        return Response(status=201)

    async def _table(self, table: str) -> ResponseReturnValue:
        rows = queries.table(self.world, table, request.args.get("q") or "")
        if rows is None:
            return _problem(404, "There is no such table")
        if request.path.endswith("/count"):
            return _json({"count": len(rows)})
        projection = [name for name in request.args.get("projection", "").split(",") if name]
        if refusal := self._refused([f"{table}.{name}".upper() for name in projection]):
            return refusal
        size = self._size("schema_table_query", 100)
        if size is None:
            return _problem(400, _TOO_MANY)
        rows.sort(key=lambda one: one[0])
        found = self.page(rows, (int(request.args.get("page", 1)) - 1) * size, size)
        shown = [{name: value for name, value in row.items() if name in projection} for _, row in found]
        records = [
            {"id": key, "name": table, "tables": {table: self.dress(shapes.strings(row))}}
            for (key, _), row in zip(found, shown, strict=True)
        ]
        return _json({"name": table, **shapes.record(records)})

    async def _table_metadata(self, table: str) -> ResponseReturnValue:
        fields = [field for one in TABLES if one.name == table.upper() for field in one.fields]
        access = {field: self.grants.get(f"{table.upper()}.{field}", "NoAccess") for field in fields}
        return _json({"columns": [{"name": field, "access": access[field]} for field in fields]})

    async def _query(self, name: str) -> ResponseReturnValue:
        ours = next((query for query in OURS if query.name == name), None)
        if (ours is None and name not in _BUILT_IN) or (ours is not None and not self.installed):
            return _problem(404, "There is no such query")
        columns = [column for _, column in ours.columns] if ours else _BUILT_IN[name]
        if refusal := self._refused(columns):
            return refusal
        args = await request.get_json(silent=True) or {}
        if ours is not None and (roster := queries.keyed(self.world, name.removeprefix(f"{AREA}.roster."))):
            return self._keyed(roster, int(args.get("after", 0)))
        rows = self._answer(name, args)
        if request.path.endswith("/count"):
            return _json({"count": len(rows)})
        return _json(shapes.record(rows))

    def _keyed(self, roster: queries.Keyed, after: int) -> ResponseReturnValue:
        """One page of a roster query, or its count."""
        start = roster.after(after)
        if request.path.endswith("/count"):
            return _json({"count": len(roster.positions) - start})
        size = self._size("schema_table_query", 0)
        if size is None:
            return _problem(400, _TOO_MANY)
        page = self.page(roster.positions, start, size or len(roster.positions))
        if "moving-rows" in self.misbehave:
            page = [i for i in page if roster.keys[i] > after]
        rows = [self.dress(shapes.strings(roster.row(i)), optional=roster.optional) for i in page]
        return _json(shapes.record(rows))

    def _answer(self, name: str, args: dict[str, Any]) -> list[Any]:
        world = self.world
        if name == ID_MAP:
            return self._id_map(args)
        if name == CODES:
            codes = [
                one for one in world.codes.values() if one.school == int(args["schoolid"]) and one.year == world.year
            ]
            rows = [{"attendance_codeid": one.id, "att_code": one.letters or None, "yearid": one.year} for one in codes]
            return [{"name": "attendance_code", "tables": {"attendance_code": shapes.strings(row)}} for row in rows]
        if name == DETAIL:
            first, last = args["attendance_att_date_start"], args["attendance_att_date_end"]
            return self.books.detail(args["students_dcid"], args["attendance_att_mode_code"], first, last)
        if name.endswith(".meetings"):
            return [
                shapes.strings(row) for row in queries.meetings(world, int(args["calendar_day"]), int(args["yearid"]))
            ]
        found = queries.enrollment_ids(world, args["students"], date.fromisoformat(args["day"]))
        return [shapes.strings(row) for row in found]

    def _id_map(self, args: dict[str, Any]) -> list[Any]:
        """DCIDs to IDs, or back."""
        students = self.world.students
        if "students_dcid" in args:
            positions = [students.at(int(dcid)) for dcid in args["students_dcid"]]
        else:
            positions = [students.by_id.get(int(number)) for number in args["students_id"]]
        if "ids" in self.lies:
            numbers = args.get("students_dcid") or args.get("students_id") or []
            return [shapes.strings({"dcid": number, "id": number}) for number in numbers]
        known = [position for position in positions if position is not None]
        return [shapes.strings({"dcid": students.dcids[i], "id": students.ids[i]}) for i in known]

    async def _attendance(self, path: str) -> ResponseReturnValue:
        if path not in ("daily_time", "batch_daily_time", "meeting_interval") or (
            path == "batch_daily_time" and self.version < "25.3"
        ):
            return _problem(404, "There is no such resource")
        body = await request.get_json()
        records = [one["tables"]["attendance"] for one in body["record"]]
        columns = dict.fromkeys(f"ATTENDANCE.{name}".upper() for record in records for name in record)
        if refusal := self._refused(list(columns), access="FullAccess"):
            return refusal
        limit = {"daily_time": 1, "batch_daily_time": BATCH}.get(path, len(records))
        students = {(record.get("studentid"), record.get("att_date")) for record in records}
        mode = MEETING if path == "meeting_interval" else DAILY
        if len(records) > limit or (mode == MEETING and len(students) > 1):
            return _problem(400, "The payload holds too many records")
        if any(record.get("att_mode_code") != mode for record in records):
            return _problem(400, "The payload holds another attendance mode")
        if (status := self.books.rejects(records)) is not None:
            return _problem(status, "The request is not accepted")
        return _json(self.books.write(records))

    def _refused(self, columns: Sequence[str], access: str | None = None) -> ResponseReturnValue | None:
        """403 with the columns that plugin.xml does not ask for [N]."""
        lacking = [
            column
            for column in columns
            if column not in self.grants or (access is not None and self.grants[column] != access)
        ]
        if not lacking:
            return None
        errors = [dict(zip(("resource", "field"), column.split("."), strict=True)) for column in lacking]
        return _json({"message": "Validation Failed", "errors": errors}), 403


def _json(data: Any) -> Response:
    return Response(orjson.dumps(data), content_type="application/json")


def _problem(status: int, message: str) -> ResponseReturnValue:
    return _json({"message": message}), status
