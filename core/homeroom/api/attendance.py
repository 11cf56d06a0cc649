"""Attendance: checking in, the teacher's marks, corrections, what was known when, and statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from quart import Blueprint, Response, current_app

from homeroom.api.etag import etag, expected_version
from homeroom.api.operation import Answer, Body, Call, Query, Target, operation
from homeroom.api.paging import PageQuery, cursor_of
from homeroom.api.problem import FieldError, Invalid
from homeroom.attendance import check_in as arrivals
from homeroom.attendance import day_status, history, marks, records, statistics
from homeroom.attendance.sessions import KnownSessions
from homeroom.auth.access import records_within
from homeroom.roster.people import names_of
from homeroom.store import Connection, Refused, not_found
from homeroom.types import Status

attendance = Blueprint("attendance", __name__, url_prefix="/api/v1")

_PROOF_BYTES = 4096
_FIELDS = ("status", "code", "minutes_late", "note")
_KNOWN = "homeroom.sessions"


class Location(BaseModel):
    """Where a phone says that it is; it is judged and dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lat: float = Field(ge=-90, le=90, allow_inf_nan=False)
    lon: float = Field(ge=-180, le=180, allow_inf_nan=False)
    accuracy_m: float = Field(ge=0, le=1e7, allow_inf_nan=False)


class Proof(BaseModel):
    """What shows that a student is there. A plugin may ask for parts of its own beside these."""

    model_config = ConfigDict(extra="allow", frozen=True)

    code: Annotated[str, Field(max_length=32, examples=["402917"])] | None = None
    scan: Annotated[str, Field(max_length=200)] | None = None
    location: Location | None = None

    @model_validator(mode="after")
    def _is_small(self) -> Self:
        try:
            size = len(orjson.dumps(self.model_extra)) if self.model_extra else 0
        except orjson.JSONEncodeError:
            raise ValueError("a proof may hold numbers of 64 bits, and no deeper lists than a proof needs") from None
        if size > _PROOF_BYTES:
            raise ValueError(f"a proof may hold {_PROOF_BYTES} bytes at most")
        return self


class NewCheckIn(Body):
    """A student's check-in. `occurred_at` is sent only by a device that had no network then."""

    session_id: str = Field(min_length=1, max_length=64)
    proof: Proof = Field(default=Proof(), examples=[{"code": "402917"}])
    client_id: str | None = Field(default=None, min_length=1, max_length=100)
    occurred_at: AwareDatetime | None = None


class Evidence(Answer):
    """What one verifier said."""

    method: str
    verdict: Literal["accept", "review"]
    reason: str = ""


class CheckedIn(Answer):
    """The student's record."""

    id: str
    session_id: str
    class_id: str
    student_id: str
    school_day: date
    status: Status
    code: str | None = None
    minutes_late: int | None = None
    recorded_at: AwareDatetime
    evidence: list[Evidence]
    needs_review: bool
    client_id: str | None = None
    occurred_at: AwareDatetime | None = None


class Record(CheckedIn):
    """One version of a student's attendance in one session: who made it, when and why."""

    school_id: str
    origin: Literal["check_in", "teacher", "office", "absence_report", "close"]
    recorded_by: str | None = None
    note: str | None = None
    reason: str | None = None
    version: int
    valid_from: AwareDatetime = Field(description="When this version became known.")
    valid_to: AwareDatetime | None = Field(default=None, description="When it was replaced.")


class Version(Record):
    """A version with the name of who made it, where that is known."""

    recorded_by_name: str | None = Field(default=None, examples=["Amy Brown"])


class RecordList(Answer):
    """A page of records, in the order of time."""

    items: list[Record]
    next: str | None = None


class Records(Answer):
    """Records."""

    items: list[Record]


class History(Answer):
    """The versions of a record."""

    items: list[Version]


class Mark(Body):
    """One student's mark: `status`, or a `code` of the school."""

    student_id: str = Field(min_length=1, max_length=64)
    status: Status | None = None
    code: str | None = Field(default=None, min_length=1, max_length=20)
    minutes_late: int | None = Field(default=None, ge=0, le=1440)
    note: str | None = Field(default=None, max_length=2000)


class Marks(Body):
    """A roll, or a part of one; all of it is taken, or nothing. `only_unmarked` passes by whoever has a mark by now."""

    marks: list[Mark] = Field(min_length=1, max_length=500)
    only_unmarked: bool = False


class ToWithdraw(Body):
    """A mark that was made by mistake, and its version as it was answered then."""

    id: str = Field(min_length=1, max_length=64)
    version: int = Field(ge=1, le=1_000_000)


class Withdrawal(Body):
    """Marks to be taken back."""

    records: list[ToWithdraw] = Field(min_length=1, max_length=500)


class Withdrawn(Answer):
    """The ids of the records that were taken back, and of those that stay: they are another's, or touched since."""

    withdrawn: list[str]
    kept: list[str]


class Correction(Body):
    """What a record should say, and why."""

    status: Status | None = None
    code: str | None = Field(default=None, min_length=1, max_length=20)
    minutes_late: int | None = Field(default=None, ge=0, le=1440)
    note: str | None = Field(default=None, max_length=2000)
    reason: str = Field(min_length=1, max_length=2000, examples=["Was with the nurse, as her slip says."])


class Days(Query):
    """School days, both included."""

    since: date | None = Field(default=None, alias="from")
    until: date | None = Field(default=None, alias="to")


class RecordQuery(PageQuery):
    """Which records. `as_of` gives what was known at that time."""

    class_id: str | None = None
    student_id: str | None = None
    session_id: str | None = None
    status: Status | None = None
    needs_review: bool | None = None
    since: date | None = Field(default=None, alias="from")
    until: date | None = Field(default=None, alias="to")
    as_of: AwareDatetime | None = None


class StudentQuery(PageQuery):
    """Which of a student's records."""

    since: date | None = Field(default=None, alias="from")
    until: date | None = Field(default=None, alias="to")
    as_of: AwareDatetime | None = None


class FiguresQuery(Days):
    """Whose figures: name one."""

    class_id: str | None = None
    student_id: str | None = None
    school_id: str | None = None


class DayFigures(Answer):
    """One day's records."""

    day: date
    present: int
    tardy: int
    absent: int
    excused: int


class Figures(Answer):
    """How many records have each status; `rate` = (present + tardy) / all four, null when there are none."""

    present: int
    tardy: int
    absent: int
    excused: int
    rate: float | None = Field(examples=[0.9583])
    by_day: list[DayFigures]


class Day(Answer):
    """A whole day's status by the school's rule, and the records that the rule looked at."""

    school_id: str
    school_day: date
    status: Status | None
    rule: dict[str, Any] = Field(examples=[{"kind": "any_period"}])
    records: list[str]


class DayList(Answer):
    """School days on which a student has marks."""

    items: list[Day]


@attendance.post("/attendance/checkin")
@operation(
    "attendance.check_in",
    of=Target(session_id="body.session_id"),
    body=NewCheckIn,
    answers={200: CheckedIn, 201: CheckedIn},
    problems=(404, 409),
    late=True,
)
async def check_in(call: Call, body: NewCheckIn) -> tuple[dict[str, Any], int]:
    """Check in. The same student again gets the same record with 200, whatever the proof, so a retry is harmless."""
    sent = arrivals.CheckIn(
        session_id=body.session_id,
        student_id=call.subject,
        proof=body.proof.model_dump(exclude_none=True),
        client_id=body.client_id,
        occurred_at=body.occurred_at,
    )
    district = call.district
    known: KnownSessions = current_app.extensions.setdefault(_KNOWN, KnownSessions())
    try:
        record, new = await arrivals.check_in(
            call, district.host, known, sent, offline_hours=district.settings.attendance.offline_hours
        )
    except Refused as refused:
        district.metrics.check_in(refused.problem)
        raise
    district.metrics.check_in("recorded" if new else "repeated")
    return {name: getattr(record, name) for name in CheckedIn.model_fields}, 201 if new else 200


@attendance.put("/sessions/<session_id>/attendance")
@operation("attendance.mark", of=Target(session_id="session_id"), body=Marks, answers=Records, problems=(409,))
async def mark_session(call: Call, session_id: str, body: Marks) -> dict[str, Any]:
    """Mark students of an open session, all or nothing. A mark that is known already changes nothing."""
    wanted = [marks.NewMark(**mark.model_dump()) for mark in body.marks]
    try:
        found = await call.write(
            lambda tx: marks.mark(tx, session_id, wanted, origin=_origin(call), only_unmarked=body.only_unmarked)
        )
    except marks.MarksInvalid as exc:
        errors = [FieldError(field=field, message=message) for field, message in exc.errors]
        raise Invalid(errors, detail="Nothing was marked; see `errors`.") from None
    return {"items": _disclosed(call, found)}


@attendance.post("/sessions/<session_id>/attendance/withdrawals")
@operation("attendance.mark", of=Target(session_id="session_id"), body=Withdrawal, answers=Withdrawn, problems=(409,))
async def withdraw_marks(call: Call, session_id: str, body: Withdrawal) -> marks.Withdrawn:
    """Take back one's own marks of an open session, where nobody has touched them since: the students have none again.

    What was marked stays in the journal and among the versions.
    """
    records = {one.id: one.version for one in body.records}
    return await call.write(lambda tx: marks.withdraw(tx, session_id, records))


@attendance.get("/sessions/<session_id>/attendance")
@operation("attendance.read", of=Target(session_id="session_id"), query=PageQuery, answers=RecordList)
async def read_roll(call: Call, session_id: str, query: PageQuery) -> dict[str, Any]:
    """The records of a session."""
    return await _page(call, query, session_id=session_id)


@attendance.get("/attendance/")
@operation(
    "attendance.read",
    of=Target(class_id="query.class_id", student_id="query.student_id", session_id="query.session_id"),
    query=RecordQuery,
    answers=RecordList,
    problems=(404,),
)
async def list_attendance(call: Call, query: RecordQuery) -> dict[str, Any]:
    """The records that the caller may see, as they are now or, with `as_of`, as they were known then."""
    named = query.model_dump(exclude={"limit", "cursor"})
    return await _page(call, query, **{**named, "student_id": call.place.student_id})


@attendance.get("/students/<student_id>/attendance")
@operation("attendance.read", of=Target(student_id="student_id"), query=StudentQuery, answers=RecordList)
async def list_of_student(call: Call, student_id: str, query: StudentQuery) -> dict[str, Any]:
    """A student's records that the caller may see."""
    return await _page(call, query, student_id=student_id, **query.model_dump(exclude={"limit", "cursor"}))


@attendance.get("/students/<student_id>/attendance/days")
@operation("attendance.read", of=Target(student_id="student_id"), query=Days, answers=DayList)
async def list_days(call: Call, student_id: str, query: Days) -> dict[str, Any]:
    """A student's school days by each school's rule; the last 30 days when none are named."""
    until = query.until or call.today()
    since = query.since or until - timedelta(days=30)
    if not timedelta(0) <= until - since <= timedelta(days=400):
        raise Invalid([FieldError(field="from", message="must not be after `to`, nor more than 400 days before it")])
    settings = call.district.settings.attendance
    within = _within(call)

    def read(connection: Connection) -> list[day_status.DayStatus]:
        return day_status.day_statuses(
            connection, student_id, since, until, within=within, weekdays=settings.school_days
        )

    days = await call.read(read)
    call.discloses([student_id], fields=("status",), rows=len(days))
    return {"items": days}


@attendance.get("/attendance/stats")
@operation(
    "attendance.stats",
    of=Target(class_id="query.class_id", student_id="query.student_id", school_id="query.school_id"),
    query=FiguresQuery,
    answers=Figures,
    problems=(404,),
)
async def read_figures(call: Call, query: FiguresQuery) -> Response:
    """Figures of one class, one student or one school; a student is given the own ones alone."""
    place, since, until = call.place, query.since, query.until
    if place.student_id is not None:
        figures = await call.read(_of_student(call, place.student_id, query))
        call.discloses([place.student_id], fields=("status",), rows=len(figures.by_day))
    elif (class_id := place.class_id) is not None:
        figures = await call.read(lambda c: statistics.class_figures(c, class_id, since, until))
    elif (school_id := place.school_id) is not None:
        figures = await call.read(lambda c: statistics.school_figures(c, school_id, since, until))
    else:
        raise Invalid([FieldError(field="class_id", message="name a class_id, a student_id or a school_id")])
    return Response(figures.json(), content_type="application/json")


@attendance.get("/attendance/<record_id>")
@operation("attendance.read", of=Target(record_id="record_id"), answers=Record)
async def read_record(call: Call, record_id: str) -> tuple[records.Record, int, dict[str, str]]:
    """A record as it is known now; its ETag is what a correction sends as If-Match."""
    record = await call.read(lambda c: records.read(c, record_id))
    if record is None:
        raise not_found()
    _disclosed(call, [record])
    return record, 200, etag(record.version)


@attendance.patch("/attendance/<record_id>")
@operation(
    "attendance.correct",
    of=Target(record_id="record_id"),
    body=Correction,
    answers=Record,
    problems=(412, 428),
)
async def correct_record(call: Call, record_id: str, body: Correction) -> tuple[records.Record, int, dict[str, str]]:
    """Correct a record, with the reason; what it said before is kept. This also settles a review."""
    correction = marks.Correction(**body.model_dump(), version=expected_version(), origin=_origin(call))
    record = await call.write(lambda tx: marks.correct(tx, record_id, correction))
    _disclosed(call, [record])
    return record, 200, etag(record.version)


@attendance.get("/attendance/<record_id>/history")
@operation("attendance.history", of=Target(record_id="record_id"), answers=History)
async def read_history(call: Call, record_id: str) -> dict[str, Any]:
    """Every version of a record, the first one first, with the names of those who made them."""

    def read(connection: Connection) -> tuple[list[records.Record], dict[str, str]]:
        found = history.history_of(connection, record_id)
        return found, names_of(connection, {one.recorded_by for one in found if one.recorded_by})

    found, names = await call.read(read)
    items = [{**asdict(one), "recorded_by_name": names.get(one.recorded_by or "")} for one in found]
    _disclosed(call, found)
    return {"items": items}


async def _page(call: Call, query: PageQuery, **named: Any) -> dict[str, Any]:
    """One page of the records that the caller may see."""
    after = query.after(1)
    wanted = history.Wanted(within=_within(call), after=after[0] if after else None, limit=query.size(), **named)
    found, more = await call.read(lambda c: history.records(c, wanted))
    return {"items": _disclosed(call, found), "next": cursor_of((found[-1].id,)) if more else None}


def _within(call: Call, action: str = "attendance.read") -> Callable[[Any], Any]:
    me, today = call.me, call.today()
    return lambda model: records_within(model, me, action, today)


def _disclosed(call: Call, found: Sequence[records.Record]) -> Sequence[records.Record]:
    call.discloses({record.student_id for record in found}, fields=_FIELDS, rows=len(found))
    return found


def _of_student(call: Call, student_id: str, query: FiguresQuery) -> Callable[[Connection], statistics.Figures]:
    """A student's figures, from the records that the caller may see."""
    within = _within(call, "attendance.stats")
    return lambda c: statistics.student_figures(
        c, student_id, query.since, query.until, class_id=query.class_id, within=within
    )


def _origin(call: Call) -> str:
    """Who marks: a teacher, or the office (administrators and API keys)."""
    return (
        "teacher"
        if call.me.has("teacher", "substitute") and not call.me.has("school_admin", "district_admin")
        else "office"
    )
