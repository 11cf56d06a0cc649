"""The emergency roll of a school: begun by its office, kept by everybody who works there, ended, and read after."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint, Response

from homeroom import emergencies as rolls
from homeroom.api.operation import Answer, Body, Call, Query, Target, operation
from homeroom.api.paging import LARGEST, PageQuery, cursor_of
from homeroom.roster.calendar import school_day, zone_of
from homeroom.roster.people import names_of
from homeroom.store import Connection, Transaction, new_id

emergencies = Blueprint("emergencies", __name__, url_prefix="/api/v1/schools/<school_id>/emergencies")

_AT = Target(school_id="school_id")
_FIELDS = ("name", "grades", "attendance")


class Emergency(Answer):
    """An emergency or a drill of one school."""

    id: str
    school_id: str
    school_day: date
    kind: Literal["emergency", "drill"]
    begun_at: AwareDatetime
    begun_by: str | None = None
    begun_by_name: str = Field(default="", examples=["Ana Ruiz"])
    ended_at: AwareDatetime | None = None
    ended_by: str | None = None
    ended_by_name: str = Field(default="", examples=["Ana Ruiz"])


class EmergencyList(Answer):
    """A page of emergencies, the latest first."""

    items: list[Emergency]
    next: str | None = None


class NewEmergency(Body):
    """What begins."""

    kind: Literal["emergency", "drill"]


class EmergencyWord(Answer):
    """What somebody said of a student, and when. "not_accounted" takes an earlier word back."""

    number: int
    student_id: str
    state: Literal["here", "safe", "with_guardian", "not_accounted"]
    at: AwareDatetime
    by: str | None = None
    by_name: str = Field(default="", examples=["Ana Ruiz"])


class LastSeen(Answer):
    """Where a student was recorded as present last on that day."""

    class_id: str
    class_title: str = Field(examples=["Biology 10, section B"])
    period: str | None = None
    at: AwareDatetime
    origin: str = Field(examples=["check_in"])


class EmergencyLine(Answer):
    """One student. "absent" are those of whom the day's marks or an approved report say that they did not come."""

    student_id: str
    name: str
    grades: list[str] = []
    standing: Literal["accounted", "not_accounted", "absent"]
    word: EmergencyWord | None = None
    seen: LastSeen | None = None


class EmergencyCounts(Answer):
    """How many students are on the roll, and how many stand how."""

    expected: int
    accounted: int
    not_accounted: int
    absent: int


class EmergencyRoll(Emergency):
    """The whole roll as of now; `cursor` is what `/news` is asked with."""

    cursor: int
    counts: EmergencyCounts
    students: list[EmergencyLine]


class EmergencyNewsQuery(Query):
    """Since when: the `cursor` of the roll, or of the last answer."""

    after: int = Field(ge=0, le=LARGEST)


class EmergencyNews(Answer):
    """Whether the roll may have changed. It names nobody, so it may be asked every few seconds."""

    changed: bool
    cursor: int
    ended: bool


class NewEmergencyWords(Body):
    """What is said of some students."""

    student_ids: list[str] = Field(min_length=1, max_length=500)
    state: Literal["here", "safe", "with_guardian", "not_accounted"]


class EmergencyWords(Answer):
    """Words, in the order in which they were said."""

    items: list[EmergencyWord]


@emergencies.get("/")
@operation("emergency.account", of=_AT, query=PageQuery, answers=EmergencyList)
async def list_emergencies(call: Call, school_id: str, query: PageQuery) -> EmergencyList:
    """A school's emergencies and drills, the latest first; one that has no `ended_at` is under way."""
    after, size = query.after(2), query.size()

    def read(connection: Connection) -> EmergencyList:
        found, more = rolls.listed(connection, school_id, after=after, limit=size)
        next_page = cursor_of((found[-1].begun_at, found[-1].id)) if more else None
        return EmergencyList(items=_named(connection, found), next=next_page)

    return await call.read(read)


@emergencies.post("/")
@operation("emergency.manage", of=_AT, body=NewEmergency, answers={201: Emergency}, problems=(409,), idempotent=True)
async def begin_emergency(call: Call, school_id: str, body: NewEmergency) -> Response:
    """Begin an emergency or a drill; a school has one at a time."""
    emergency_id, zone_default = new_id(), call.district.settings.attendance.time_zone

    def unit(tx: Transaction) -> Emergency:
        day = school_day(tx.now, zone_of(tx, school_id, zone_default))
        return _named(tx, [rolls.begin(tx, emergency_id, school_id, day, body.kind)])[0]

    return await call.create(unit)


@emergencies.get("/<emergency_id>")
@operation("emergency.account", of=_AT, answers=EmergencyRoll)
async def read_emergency(call: Call, school_id: str, emergency_id: str) -> EmergencyRoll:
    """Everybody who is expected that day: accounted for or not, by whom and when, and where they were seen last."""

    def read(connection: Connection) -> EmergencyRoll:
        cursor = rolls.cursor(connection)  # first: what changes while the roll is read is news
        found = rolls.read(connection, school_id, emergency_id)
        lines = rolls.roll(connection, found)
        return EmergencyRoll(
            **_named(connection, [found])[0].model_dump(),
            cursor=cursor,
            counts=EmergencyCounts(**rolls.counts(lines)),
            students=[EmergencyLine.model_validate(line) for line in lines],
        )

    roll = await call.read(read)
    call.discloses((line.student_id for line in roll.students), fields=_FIELDS, rows=len(roll.students))
    return roll


@emergencies.get("/<emergency_id>/news")
@operation("emergency.account", of=_AT, query=EmergencyNewsQuery, answers=EmergencyNews)
async def read_news(call: Call, school_id: str, emergency_id: str, query: EmergencyNewsQuery) -> EmergencyNews:
    """Whether the roll may have changed since it was read."""

    def read(connection: Connection) -> EmergencyNews:
        found = rolls.read(connection, school_id, emergency_id)
        latest = rolls.news(connection, found, query.after)
        return EmergencyNews(
            changed=latest is not None,
            cursor=query.after if latest is None else latest,
            ended=found.ended_at is not None,
        )

    return await call.read(read)


@emergencies.get("/<emergency_id>/words")
@operation("emergency.account", of=_AT, answers=EmergencyWords)
async def list_words(call: Call, school_id: str, emergency_id: str) -> EmergencyWords:
    """Every word that was said, also those that others replaced: what a report afterwards is made of."""

    def read(connection: Connection) -> list[EmergencyWord]:
        found = rolls.read(connection, school_id, emergency_id)
        return [EmergencyWord.model_validate(word) for word in rolls.words(connection, found.id)]

    items = await call.read(read)
    call.discloses({word.student_id for word in items}, fields=("attendance",), rows=len(items))
    return EmergencyWords(items=items)


@emergencies.post("/<emergency_id>/words")
@operation("emergency.account", of=_AT, body=NewEmergencyWords, answers=EmergencyWords, problems=(409,))
async def account_for(call: Call, school_id: str, emergency_id: str, body: NewEmergencyWords) -> EmergencyWords:
    """Say of students where they are, all or nothing. Who says what holds already changes nothing."""
    found = await call.write(lambda tx: rolls.account(tx, school_id, emergency_id, body.student_ids, body.state))
    call.discloses({word.student_id for word in found}, fields=("attendance",), rows=len(found))
    return EmergencyWords(items=[EmergencyWord.model_validate(word) for word in found])


@emergencies.post("/<emergency_id>/end")
@operation("emergency.manage", of=_AT, answers=Emergency)
async def end_emergency(call: Call, school_id: str, emergency_id: str) -> Emergency:
    """End it; the roll stays as it is. Again, it changes nothing."""
    return await call.write(lambda tx: _named(tx, [rolls.end(tx, school_id, emergency_id)])[0])


def _named(connection: Connection, found: list[rolls.Happening]) -> list[Emergency]:
    """With the names of those who began and ended them."""
    who = [person for one in found for person in (one.begun_by, one.ended_by) if person]
    names = names_of(connection, who)
    return [
        Emergency.model_validate(one).model_copy(
            update={
                "begun_by_name": names.get(one.begun_by or "", ""),
                "ended_by_name": names.get(one.ended_by or "", ""),
            }
        )
        for one in found
    ]
