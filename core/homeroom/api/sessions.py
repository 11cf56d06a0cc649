"""Class sessions: open, read, close, what the teacher's screen shows, and the roll."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint, Response

from homeroom.api.operation import Answer, Body, Call, Target, operation
from homeroom.api.paging import PageQuery, cursor_of
from homeroom.attendance import sessions as rolls
from homeroom.auth.access import only_day
from homeroom.store import Refused, Transaction, conflict, new_id
from homeroom.types import Challenge as HookChallenge

sessions = Blueprint("sessions", __name__, url_prefix="/api/v1")


class Session(Answer):
    """One meeting of one class."""

    id: str
    class_id: str
    school_id: str
    school_day: date
    period: str | None = None
    starts_at: AwareDatetime
    late_after_minutes: int
    methods: list[str] = Field(examples=[["rotating_code"]])
    require: Literal["any", "all"]
    state: Literal["open", "closed"]
    opened_by: str | None = None
    closed_at: AwareDatetime | None = None
    closed_by: str | None = None
    roll_taken_at: AwareDatetime | None = Field(default=None, description="When the roll was first marked or closed.")


class SessionList(Answer):
    """A page of sessions, the latest first."""

    items: list[Session]
    next: str | None = None


class SessionQuery(PageQuery):
    """Which sessions: school days, both included."""

    since: date | None = Field(default=None, alias="from")
    until: date | None = Field(default=None, alias="to")


class NewSession(Body):
    """How to open a session; what is left out comes from the class, then from the district's settings."""

    starts_at: AwareDatetime | None = Field(default=None, description="When it begins; now when left out.")
    late_after_minutes: int | None = Field(default=None, ge=0, le=240)
    methods: list[str] | None = Field(default=None, max_length=10, examples=[["rotating_code"]])
    require: Literal["any", "all"] | None = None
    period: str | None = Field(default=None, min_length=1, max_length=50)


class Challenge(Answer):
    """What the teacher's screen shows now; `qr` is an SVG picture of `link`."""

    kind: str = Field(examples=["rotating_code"])
    code: str = Field(examples=["402917"])
    qr: str | None = None
    link: str | None = None
    expires_at: AwareDatetime


class Challenges(Challenge):
    """The first method's challenge, and those of all methods."""

    all: list[Challenge]


@sessions.post("/classes/<class_id>/sessions")
@operation(
    "session.open", of=Target("class_id"), body=NewSession, answers={201: Session}, problems=(409,), idempotent=True
)
async def open_session(call: Call, class_id: str, body: NewSession) -> Response:
    """Open a session of a class; students can check in until it is closed."""
    settings = call.district.settings.attendance
    if body.starts_at is not None and only_day(call.me, "session.open", call.today()) is not None:
        raise Refused(403, "not-allowed", "A substitute opens a session that begins now.")
    opening = rolls.Opening(
        id=new_id(),
        class_id=class_id,
        defaults=_defaults(call),
        served=call.district.host.implementers("verify_check_in"),
        late_default=settings.late_after_minutes,
        zone_default=settings.time_zone,
        **body.model_dump(),
    )

    def unit(tx: Transaction) -> Session:
        return Session.model_validate(rolls.open_session(tx, opening))

    return await call.create(unit)


@sessions.get("/classes/<class_id>/sessions")
@operation("session.read", of=Target("class_id"), query=SessionQuery, answers=SessionList)
async def list_class_sessions(call: Call, class_id: str, query: SessionQuery) -> SessionList:
    """A class's sessions, the latest first."""
    after, size = query.after(2), query.size()
    day = only_day(call.me, "session.read", call.today())
    since, until = (day, day) if day is not None else (query.since, query.until)
    found, more = await call.read(
        lambda c: rolls.sessions_of(c, class_id, since=since, until=until, limit=size, after=after)
    )
    items = [Session.model_validate(one) for one in found]
    return SessionList(items=items, next=cursor_of((found[-1].starts_at, found[-1].id)) if more else None)


@sessions.get("/sessions/<session_id>")
@operation("session.read", of=Target(session_id="session_id"), answers=Session)
async def read_session(call: Call, session_id: str) -> Session:
    """A session and its state."""
    return Session.model_validate(await call.read(lambda c: rolls.read_session(c, session_id)))


@sessions.post("/sessions/<session_id>/close")
@operation("session.close", of=Target(session_id="session_id"), answers=Session)
async def close_session(call: Call, session_id: str) -> Session:
    """Close a session: whoever has no mark is absent, or excused by an approved report. Again, it changes nothing."""
    weekdays = call.district.settings.attendance.school_days
    state = await call.write(lambda tx: rolls.close_session(tx, session_id, weekdays=weekdays))
    return Session.model_validate(state)


@sessions.get("/sessions/<session_id>/challenge")
@operation("session.challenge", of=Target(session_id="session_id"), answers=Challenges, problems=(409,))
async def read_challenge(call: Call, session_id: str) -> Challenges:
    """What to show the class at this moment; never a future code. Ask again at `expires_at`."""
    session = await call.read(lambda c: rolls.session_of(c, session_id))
    if session.state == "closed":
        raise conflict("session-closed", "This session is closed, so there is no code to show.")
    answers = await call.district.host.ask_all("issue_challenge", session=session)
    shown = [_challenge(answer.value) for answer in answers if answer.value is not None]
    if not shown and any(answer.error is not None for answer in answers):
        raise Refused(503, "no-challenge-now", "The code cannot be shown just now; please try again.", retry_after=2)
    if not shown:
        raise conflict("no-challenge", "The check-in methods of this session show nothing on the teacher's screen.")
    order = {method: place for place, method in enumerate(session.methods)}
    shown.sort(key=lambda one: order.get(one.kind, len(order)))
    return Challenges(**shown[0].model_dump(), all=shown)


def _defaults(call: Call) -> tuple[str, ...]:
    """The methods of a class that names none: those whose code a teacher shows, else every one that is served."""
    host = call.district.host
    served = host.implementers("verify_check_in")
    shows: Any = set(host.implementers("issue_challenge"))
    return tuple(name for name in served if name in shows) or served


def _challenge(found: HookChallenge) -> Challenge:
    return Challenge(kind=found.kind, code=found.code, qr=found.qr, link=found.link, expires_at=found.expires_at)
