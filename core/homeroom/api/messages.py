"""Messages on their way and sent: lists, one with its reason, sending again, a school's day; and everybody's own."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint

from homeroom.api.operation import Answer, Body, Call, Query, Target, operation
from homeroom.api.paging import PageQuery, cursor_of
from homeroom.api.reach import check_school, schools_of
from homeroom.auth.access import own_children
from homeroom.notify import choices, limits, reading
from homeroom.notify.outbox import STATES
from homeroom.notify.reading import Shown, Wanted
from homeroom.notify.schools import Schools
from homeroom.notify.staff import PROBLEMS
from homeroom.notify.times import at
from homeroom.store import Connection, Transaction, not_found, now_utc
from homeroom.store import models as m

messages = Blueprint("messages", __name__, url_prefix="/api/v1/notifications")

_LAST_DAY = date.max - timedelta(days=1)
_TRIED = ("sending", "unknown", "accepted", "delivered", "failed")
_STATE = Field(default=None, pattern=f"^({'|'.join((*STATES, 'problem'))})$", description='"problem": any to look at.')


class MessageAttempt(Answer):
    """One try on one channel; `outcome` is null while nobody knows."""

    number: int
    channel: str = Field(examples=["sms"])
    started_at: AwareDatetime
    answered_at: AwareDatetime | None = None
    plugin: str | None = Field(default=None, examples=["twilio"])
    outcome: str | None = Field(default=None, examples=["accepted"])
    reason: str | None = None
    code: str | None = Field(default=None, examples=["21610"])


class SentMessage(Answer):
    """One message; addresses are not shown. `why` names the rule, and the marks or days behind it."""

    id: str
    rule_id: str
    rule_version: int
    kind: str = Field(examples=["absence"])
    school_id: str
    school_day: date | None = None
    student_id: str | None = None
    student: str | None = None
    recipient_id: str
    recipient: str
    audience: str = Field(examples=["guardian"])
    language: str = Field(examples=["en"])
    channel: str | None = Field(default=None, examples=["sms"])
    state: str = Field(examples=["delivered"])
    reason: str | None = None
    reason_words: str | None = None
    code: str | None = None
    why: dict[str, Any] = Field(examples=[{"rule": "Absence", "records": ["01938f2e6c7d7a10b3c4d5e6f7a8b9c0"]}])
    due_at: AwareDatetime
    expires_at: AwareDatetime
    created_at: AwareDatetime
    changed_at: AwareDatetime
    corrects: str | None = None
    plugin: str | None = None
    segments: int | None = None


class WholeMessage(SentMessage):
    """One message with what it says and every attempt."""

    texts: dict[str, str] = Field(examples=[{"sms": "North School: Ana was marked absent today."}])
    attempts: list[MessageAttempt]


class MessageList(Answer):
    """A page of messages, the newest first."""

    items: list[SentMessage]
    next: str | None = None


class MyMessage(SentMessage):
    """A message to oneself with what it says."""

    texts: dict[str, str] = Field(default={}, examples=[{"sms": "North School: Ana was marked absent today."}])


class MyMessageList(Answer):
    """A page of one's own messages, the newest first."""

    items: list[MyMessage]
    next: str | None = None


class MyMessageQuery(PageQuery):
    """Which of one's own messages: those that arrived, or all that were tried."""

    tried: bool = False


class MessageQuery(PageQuery):
    """Which messages; `from` and `to` are school days, both included."""

    school_id: str | None = None
    student_id: str | None = None
    state: str | None = _STATE
    kind: str | None = Field(default=None, max_length=40)
    channel: str | None = Field(default=None, max_length=20)
    since: date | None = Field(default=None, alias="from")
    until: date | None = Field(default=None, alias="to")


class SchoolDayQuery(Query):
    """Which school; today when no day is named."""

    school_id: str
    day: date | None = None


class Digest(Answer):
    """A school's day: how many messages are in each state, and those that somebody should look at."""

    school_id: str
    day: date
    counts: dict[str, int] = Field(examples=[{"delivered": 12, "unknown": 1}])
    problems: list[SentMessage]


class MoreMessages(Body):
    """How many messages beyond the limit of the day a school may send on a channel."""

    school_id: str = Field(min_length=1, max_length=64)
    channel: str = Field(min_length=1, max_length=20, examples=["sms"])
    messages: int = Field(ge=1, le=100_000)


class ChannelLimit(Answer):
    """One channel of a school's day: what has gone, what may go, and what waits because the limit is reached.

    `reached_at` is when the brake went on; it is null again once an administrator has let more through.
    """

    channel: str = Field(examples=["sms"])
    sent: int
    segments: int
    cost: float
    limit: int = Field(description="Of messages in a day, with what was let through.")
    most_cost: float | None = Field(default=None, description="What a school may spend in a day; null: anything.")
    let_through: int
    held: int
    reached_at: AwareDatetime | None = None


class SchoolLimits(Answer):
    """A school that the caller administers, and how far its day's limits are used up."""

    school_id: str
    school: str
    day: date
    channels: list[ChannelLimit]


class LimitList(Answer):
    """The schools, by name."""

    items: list[SchoolLimits]


class LetThrough(Answer):
    """How many messages were held, and go now."""

    released: int


class MyAddress(Answer):
    """One of one's own addresses: enough of it to know it, and what was said of it by purpose ("" is every one)."""

    contact_id: str
    channel: str = Field(examples=["sms"])
    hint: str = Field(examples=["…0199"])
    said: dict[str, str] = Field(examples=[{"": "withdrawn"}])


class Preferences(Answer):
    """How one wants to be told: the language, the channels in order, and one's addresses."""

    user_id: str
    language: str | None = Field(default=None, examples=["es"])
    channels: list[str] = Field(examples=[["sms"]])
    offered_languages: list[str] = Field(examples=[["en", "es"]])
    offered_channels: list[str] = Field(examples=[["sms", "email"]])
    addresses: list[MyAddress]


class NewPreferences(Body):
    """How one wants to be told; null and an empty list leave it to the district."""

    language: str | None = Field(default=None, max_length=20, examples=["es"])
    channels: list[str] = Field(default=[], max_length=10, examples=[["sms"]])


class Consent(Body):
    """Whether one agrees to messages at one of one's addresses; `purpose` "" means every one."""

    contact_id: str = Field(min_length=1, max_length=64)
    channel: str = Field(min_length=1, max_length=20, examples=["sms"])
    state: Literal["given", "withdrawn"]
    purpose: str = Field(default="", max_length=40, examples=["attendance"])


@messages.get("/messages")
@operation(
    "notify.read",
    of=Target(school_id="query.school_id", student_id="query.student_id"),
    query=MessageQuery,
    answers=MessageList,
)
async def list_messages(call: Call, query: MessageQuery) -> MessageList:
    """Messages of the schools that the caller administers, the newest first."""
    states = {None: (), "problem": PROBLEMS}.get(query.state, (query.state,))
    wanted = Wanted(
        within=schools_of(call, "notify.read"),
        school_id=query.school_id,
        student_id=query.student_id,
        states=[state for state in states if state],
        kind=query.kind,
        channel=query.channel,
        since=query.since,
        until=query.until,
        after=query.after(2),
        limit=query.size(),
    )
    return await _page(call, wanted)


@messages.get("/messages/<message_id>")
@operation("notify.read", answers=WholeMessage)
async def show_message(call: Call, message_id: str) -> WholeMessage:
    """One message: what it says, why it was made, and every attempt to send it."""

    def read(connection: Connection) -> Shown:
        check_school(connection, call, "notify.read", reading.school_of(connection, message_id))
        return reading.message(connection, message_id)

    shown = await call.read(read)
    if shown.student_id is not None:
        call.discloses([shown.student_id], fields=("message",), rows=1)
    return WholeMessage.model_validate(shown)


@messages.post("/messages/<message_id>/resend")
@operation("notify.manage", answers=SentMessage, problems=(409,))
async def resend_message(call: Call, message_id: str) -> SentMessage:
    """Send once more what failed, expired, was held or is unknown; what is unknown may then arrive twice."""
    settings = call.district.settings
    return await _decide(call, message_id, lambda tx, one: choices.resend(tx, settings, one))


@messages.post("/messages/<message_id>/cancel")
@operation("notify.manage", answers=SentMessage, problems=(409,))
async def cancel_message(call: Call, message_id: str) -> SentMessage:
    """Take back a message that has not been sent."""
    return await _decide(call, message_id, choices.take_back)


@messages.get("/digest")
@operation("notify.read", of=Target(school_id="query.school_id"), query=SchoolDayQuery, answers=Digest)
async def show_digest(call: Call, query: SchoolDayQuery) -> Digest:
    """A school's day in figures, with the messages that somebody should look at."""
    now, settings = now_utc(), call.district.settings

    def read(connection: Connection) -> tuple[date, dict[str, int], list[Shown]]:
        school = Schools(connection, settings)[query.school_id]
        day = query.day or school.today(now)
        since, until = (at(one, time.min, school.zone) for one in (day, min(day, _LAST_DAY) + timedelta(days=1)))
        counts = reading.figures(connection, school_id=query.school_id, since=since, until=until)
        wanted = Wanted(school_id=query.school_id, states=PROBLEMS, since=day, until=day, limit=100)
        return day, counts, reading.messages(connection, wanted)[0]

    day, counts, problems = await call.read(read)
    call.discloses({one.student_id for one in problems if one.student_id}, fields=("message",), rows=len(problems))
    items = [SentMessage.model_validate(one) for one in problems]
    return Digest(school_id=query.school_id, day=day, counts=counts, problems=items)


@messages.get("/limits")
@operation("notify.read", answers=LimitList)
async def show_limits(call: Call) -> LimitList:
    """The schools that the caller administers, with what has gone today and what the limits hold back."""
    within, settings, now = schools_of(call, "notify.read"), call.district.settings, now_utc()
    found = await call.read(lambda c: limits.standing(c, settings, within=within, now=now))
    return LimitList(items=[SchoolLimits.model_validate(one) for one in found])


@messages.post("/limits")
@operation("notify.manage", of=Target(school_id="body.school_id"), body=MoreMessages, answers=LetThrough)
async def raise_limit(call: Call, body: MoreMessages) -> LetThrough:
    """Let a school send so many more today; what was held for the limit goes first."""
    settings = call.district.settings

    def unit(tx: Transaction) -> int:
        day = Schools(tx, settings)[body.school_id].today(tx.now)
        return choices.let_through(tx, body.school_id, day, body.channel, body.messages)

    return LetThrough(released=await call.write(unit))


@messages.get("/mine")
@operation("notify.own", query=MyMessageQuery, answers=MyMessageList)
async def list_own(call: Call, query: MyMessageQuery) -> MyMessageList:
    """The messages that were sent to the caller, the newest first, with what they say.

    What was said of a child whose records the caller may not see any more is left out.
    """
    wanted = Wanted(
        recipient_id=call.me.subject,
        states=_TRIED if query.tried else ("accepted", "delivered"),
        without=call.me.without,
        children=own_children(call.me, call.today()),
        after=query.after(2),
        limit=query.size(),
        texts=True,
    )
    found, after = await call.read(lambda c: reading.messages(c, wanted))
    call.discloses({one.student_id for one in found if one.student_id}, fields=("message",), rows=len(found))
    items = [MyMessage.model_validate(one) for one in found]
    return MyMessageList(items=items, next=cursor_of(after) if after else None)


@messages.get("/preferences")
@operation("notify.own", answers=Preferences)
async def show_preferences(call: Call) -> Preferences:
    """How the caller wants to be told, and what was said of each of their addresses."""
    return await call.read(lambda c: _preferences(c, call, call.me.subject))


@messages.put("/preferences")
@operation("notify.own", body=NewPreferences, answers=Preferences, problems=(404,))
async def save_preferences(call: Call, body: NewPreferences) -> Preferences:
    """Choose a language and channels; both hold from the next message on."""
    wishes = choices.Wishes(language=body.language, channels=body.channels)

    def unit(tx: Transaction) -> Preferences:
        choices.wish(tx, call.me.subject, wishes, call.district.settings.notify)
        return _preferences(tx, call, call.me.subject)

    return await call.write(unit)


@messages.put("/consent")
@operation("notify.own", body=Consent, answers=Preferences, problems=(404,))
async def save_consent(call: Call, body: Consent) -> Preferences:
    """Agree to messages at one of one's own addresses, or refuse them; it holds at once, and for that address only."""
    return await call.write(lambda tx: _consent(tx, call, call.me.subject, body, "person"))


@messages.get("/people/<user_id>/preferences")
@operation("notify.manage", answers=Preferences)
async def show_preferences_of(call: Call, user_id: str) -> Preferences:
    """How somebody wants to be told, for the office that answers their call."""

    def read(connection: Connection) -> Preferences:
        _check_person(connection, call, user_id)
        return _preferences(connection, call, user_id)

    return await call.read(read)


@messages.put("/people/<user_id>/preferences")
@operation("notify.manage", body=NewPreferences, answers=Preferences)
async def save_preferences_of(call: Call, user_id: str, body: NewPreferences) -> Preferences:
    """Keep how somebody wants to be told, as they have told the office."""
    wishes = choices.Wishes(language=body.language, channels=body.channels)

    def unit(tx: Transaction) -> Preferences:
        _check_person(tx, call, user_id)
        choices.wish(tx, user_id, wishes, call.district.settings.notify)
        return _preferences(tx, call, user_id)

    return await call.write(unit)


@messages.put("/people/<user_id>/consent")
@operation("notify.manage", body=Consent, answers=Preferences)
async def save_consent_of(call: Call, user_id: str, body: Consent) -> Preferences:
    """Keep that somebody agrees to messages at an address, or refuses them, as they have told the office."""

    def unit(tx: Transaction) -> Preferences:
        _check_person(tx, call, user_id)
        return _consent(tx, call, user_id, body, "office")

    return await call.write(unit)


async def _page(call: Call, wanted: Wanted) -> MessageList:
    found, after = await call.read(lambda c: reading.messages(c, wanted))
    call.discloses({one.student_id for one in found if one.student_id}, fields=("message",), rows=len(found))
    return MessageList(
        items=[SentMessage.model_validate(one) for one in found], next=cursor_of(after) if after else None
    )


async def _decide(call: Call, message_id: str, decision: Any) -> SentMessage:
    def unit(tx: Transaction) -> Shown:
        check_school(tx, call, "notify.manage", reading.school_of(tx, message_id))
        decision(tx, message_id)
        return reading.message(tx, message_id)

    shown = await call.write(unit)
    if shown.student_id is not None:
        call.discloses([shown.student_id], fields=("message",), rows=1)
    return SentMessage.model_validate(shown)


def _preferences(connection: Connection, call: Call, user_id: str) -> Preferences:
    settings = call.district.settings.notify
    wishes = choices.wishes_of(connection, user_id)
    addresses = choices.addresses_of(connection, user_id, settings)
    return Preferences(
        user_id=user_id,
        language=wishes.language,
        channels=list(wishes.channels),
        offered_languages=settings.languages,
        offered_channels=settings.channels,
        addresses=[MyAddress.model_validate(one) for one in addresses],
    )


def _consent(
    tx: Transaction, call: Call, user_id: str, body: Consent, source: Literal["person", "office"]
) -> Preferences:
    choices.say_of(tx, call.district.settings.notify, user_id=user_id, **body.model_dump(), source=source)
    return _preferences(tx, call, user_id)


def _check_person(connection: Connection, call: Call, user_id: str) -> None:
    """Raise Refused 404 for somebody with whom the caller's schools have nothing to do.

    An office deals with its own people and with the guardians of its students.
    """
    within = schools_of(call, "notify.manage")
    if within is None:
        if connection.get(m.User, user_id) is None:
            raise not_found("There is no such person.")
        return
    roles = m.RoleAssignment
    children = m.Guardianship.select(m.Guardianship.student_id).where(m.Guardianship.guardian_id == user_id)
    query = roles.select().where(
        ((roles.user_id == user_id) | (roles.user_id.in_(children) & (roles.role == "student")))
        & roles.org_id.in_(within)
    )
    if connection.one(query) is None:
        raise not_found("There is no such person, or you may not know of them.")
