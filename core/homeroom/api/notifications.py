"""Who is told of what: rules, their preview, and the words of messages."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint, Response

from homeroom.api.etag import etag, expected_version
from homeroom.api.operation import Answer, Body, Call, Query, Target, operation
from homeroom.api.problem import FieldError, Invalid
from homeroom.api.reach import DISTRICT, check_school, schools_of
from homeroom.notify import choices, wording
from homeroom.notify.preview import Planned, preview
from homeroom.notify.rules import Rule, add_rule, change_rule, draft, read_rule, rules, version_of
from homeroom.notify.schools import Schools
from homeroom.notify.segments import length_of
from homeroom.notify.settings import FAMILY, KINDS, BadRule
from homeroom.store import Connection, Transaction, new_id, not_found, now_utc
from homeroom.types import AccessRequest, Identity

notifications = Blueprint("notifications", __name__, url_prefix="/api/v1/notifications")

_KIND = Field(pattern=f"^({'|'.join(KINDS)})$", examples=["absence"])
_TEXT_KIND = Field(pattern=f"^({'|'.join((*KINDS, 'correction'))})$", examples=["absence"])
_LANGUAGE = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", examples=["es"])


class NotificationRule(Answer):
    """One rule; `school_id` is null for one that holds at every school. `settings` has every default filled in."""

    id: str
    school_id: str | None = None
    kind: str = _KIND
    title: str
    enabled: bool
    settings: dict[str, Any] = Field(examples=[{"delay_minutes": 15, "audience": ["guardian"]}])
    version: int
    changed_at: AwareDatetime | None = None
    changed_by: str | None = None


class NotificationRuleList(Answer):
    """The rules that hold."""

    items: list[NotificationRule]


class NewRule(Body):
    """A rule to be made; what `settings` leaves out is as docs/notifications.md says."""

    school_id: str | None = Field(default=None, min_length=1, max_length=64)
    kind: str = _KIND
    title: str = Field(min_length=1, max_length=100, examples=["Absence, to guardians"])
    enabled: bool = False
    settings: dict[str, Any] = Field(default={}, examples=[{"delay_minutes": 15}])


class RuleChanges(Body):
    """What of a rule changes; `settings` replaces all of them."""

    title: str | None = Field(default=None, min_length=1, max_length=100)
    enabled: bool | None = None
    settings: dict[str, Any] | None = Field(default=None, examples=[{"delay_minutes": 20}])


class RuleQuery(Query):
    """Whose rules: those of one school and of the district, or all that the caller reaches."""

    school_id: str | None = None


class PreviewWish(Body):
    """What to preview at one school: a rule that is kept, one that is only tried (`kind`, `settings`), or all."""

    school_id: str = Field(min_length=1, max_length=64)
    day: date | None = Field(default=None, description="Today when it is left out.")
    rule_id: str | None = Field(default=None, max_length=64)
    kind: str | None = Field(default=None, pattern=_KIND.metadata[0].pattern, examples=["absence"])
    settings: dict[str, Any] = Field(default={}, examples=[{"delay_minutes": 15}])


class TextLength(Answer):
    """A text message as networks count it; `wide` are the characters that make it longer."""

    encoding: Literal["GSM-7", "UCS-2"]
    units: int
    segments: int
    wide: str = ""


class PlannedMessage(Answer):
    """A message that would be sent, or one that would not (`refused`, and why in words)."""

    rule_id: str
    kind: str
    student_id: str
    student: str
    recipient_id: str
    recipient: str
    audience: str = Field(examples=["guardian"])
    language: str = _LANGUAGE
    channels: list[str] = Field(examples=[["sms", "email"]])
    due_at: AwareDatetime
    expires_at: AwareDatetime
    texts: dict[str, str] = Field(examples=[{"sms": "North School: Ana was marked absent today."}])
    length: TextLength | None = None
    refused: str | None = Field(default=None, examples=["opted_out"])
    refused_words: str | None = None
    state: str | None = Field(default=None, description="Of the message, where it is in the outbox already.")


class Preview(Answer):
    """Who would be told, and who would not; `more` says that there are more students than are shown."""

    items: list[PlannedMessage]
    not_told: list[PlannedMessage]
    more: bool


class MessageText(Answer):
    """What one part of a message says in one language; version 0 is the built-in text."""

    kind: str = _TEXT_KIND
    language: str = _LANGUAGE
    part: wording.Part
    text: str = Field(examples=["{{ school }}: {{ student }} was marked absent today."])
    version: int
    school_id: str | None = None
    sample: str | None = Field(default=None, description="What it says of a made-up student.")
    length: TextLength | None = None


class MessageTextList(Answer):
    """Texts."""

    items: list[MessageText]


class TextQuery(Query):
    """Which texts."""

    school_id: str | None = None
    kind: str | None = Field(default=None, pattern=_TEXT_KIND.metadata[0].pattern)
    language: str | None = Field(default=None, pattern=_LANGUAGE.metadata[0].pattern)


class NewText(Body):
    """A text of the district's or a school's own; an empty one gives way to the built-in text."""

    school_id: str | None = Field(default=None, min_length=1, max_length=64)
    kind: str = _TEXT_KIND
    language: str = _LANGUAGE
    part: wording.Part
    text: str = Field(max_length=10_000, examples=["{{ school }}: {{ student }} was marked absent today."])


@notifications.get("/rules")
@operation("notify.read", of=Target(school_id="query.school_id"), query=RuleQuery, answers=NotificationRuleList)
async def list_rules(call: Call, query: RuleQuery) -> NotificationRuleList:
    """The rules of a school and those that hold everywhere, or all that the caller reaches."""

    def read(connection: Connection) -> list[Rule]:
        if query.school_id is not None:
            return rules(connection, org_ids=[query.school_id, DISTRICT])
        within = schools_of(call, "notify.read")
        return rules(connection, org_ids=None if within is None else [*connection.values(within), DISTRICT])

    return NotificationRuleList(items=[_rule(rule) for rule in await call.read(read)])


@notifications.post("/rules")
@operation(
    "notify.manage",
    of=Target(school_id="body.school_id"),
    body=NewRule,
    answers={201: NotificationRule},
    idempotent=True,
)
async def make_rule(call: Call, body: NewRule) -> Response:
    """Make a rule; look at its preview before you switch it on."""
    rule_id, made = new_id(), _draft(body.kind, body.settings, org_id=body.school_id or DISTRICT, title=body.title)

    def unit(tx: Transaction) -> NotificationRule:
        check_school(tx, call, "notify.manage", made.org_id)
        rule = add_rule(tx, rule_id, made)
        return _rule(rule if body.enabled else change_rule(tx, rule_id, enabled=False))

    return await call.create(unit)


@notifications.get("/rules/<rule_id>")
@operation("notify.read", answers=NotificationRule)
async def show_rule(call: Call, rule_id: str) -> tuple[NotificationRule, int, dict[str, str]]:
    """One rule; its ETag is what a change sends as If-Match."""
    rule = await call.read(lambda c: _reached(c, call, "notify.read", rule_id, reading=True))
    return _rule(rule), 200, etag(rule.version)


@notifications.get("/rules/<rule_id>/versions/<int:version>")
@operation("notify.read", answers=NotificationRule)
async def show_version(call: Call, rule_id: str, version: int) -> NotificationRule:
    """A rule as it was in one version: that by which some message was sent."""

    def read(connection: Connection) -> Rule:
        _reached(connection, call, "notify.read", rule_id, reading=True)
        found = version_of(connection, rule_id, version)
        if found is None:
            raise not_found("This rule has no such version.")
        return found

    return _rule(await call.read(read))


@notifications.put("/rules/<rule_id>")
@operation("notify.manage", body=RuleChanges, answers=NotificationRule, problems=(412, 428))
async def edit_rule(call: Call, rule_id: str, body: RuleChanges) -> tuple[NotificationRule, int, dict[str, str]]:
    """Change a rule, or switch it on or off; every version is kept."""
    version = expected_version()

    def unit(tx: Transaction) -> Rule:
        _reached(tx, call, "notify.manage", rule_id)
        try:
            return change_rule(tx, rule_id, **body.model_dump(exclude_unset=True), version=version)
        except BadRule as exc:
            raise _invalid(exc) from None

    rule = await call.write(unit)
    return _rule(rule), 200, etag(rule.version)


@notifications.post("/preview")
@operation("notify.manage", of=Target(school_id="body.school_id"), body=PreviewWish, answers=Preview)
async def show_preview(call: Call, body: PreviewWish) -> Preview:
    """Who would be told what of a day's marks, in which language and when; and who would not, and why."""
    settings, now = call.district.settings, now_utc()

    def read(connection: Connection) -> tuple[list[Planned], bool]:
        day = body.day or Schools(connection, settings)[body.school_id].today(now)
        wanted = _previewed(connection, call, body)
        return preview(connection, settings, wanted, school_id=body.school_id, day=day, now=now)

    planned, more = await call.read(read)
    call.discloses({one.student_id for one in planned}, fields=("name", "attendance"), rows=len(planned))
    denied = await _denied(call, planned)
    items: list[PlannedMessage] = []
    not_told: list[PlannedMessage] = []
    for one in planned:
        shown = PlannedMessage.model_validate(one)
        words = denied.get((one.recipient_id, one.student_id)) if one.audience in FAMILY else None
        if words is not None and shown.refused is None:
            shown = shown.model_copy(update={"refused": "denied", "refused_words": words, "channels": []})
        (not_told if shown.refused else items).append(shown)
    return Preview(items=items, not_told=not_told, more=more)


@notifications.get("/texts")
@operation("notify.read", of=Target(school_id="query.school_id"), query=TextQuery, answers=MessageTextList)
async def list_texts(call: Call, query: TextQuery) -> MessageTextList:
    """The texts that hold at a school, or in the district: its own, else the built-in ones."""
    languages = [query.language] if query.language else call.district.settings.notify.languages
    kinds = [query.kind] if query.kind else [*KINDS, "correction"]

    def read(connection: Connection) -> list[MessageText]:
        known = wording.Wording(connection)
        texts = (
            known.text(kind, language, part, query.school_id or DISTRICT)
            for kind in kinds
            for language in languages
            for part in wording.PARTS
        )
        return [_text(text) for text in texts if text is not None]

    return MessageTextList(items=await call.read(read))


@notifications.put("/texts")
@operation("notify.manage", of=Target(school_id="body.school_id"), body=NewText, answers=MessageText)
async def save_text(call: Call, body: NewText) -> MessageText:
    """Keep a text of one's own; it is tried on a made-up student first, and the answer shows what it says."""
    org_id = body.school_id or DISTRICT
    text = wording.Text(kind=body.kind, language=body.language, part=body.part, text=body.text, org_id=org_id)

    def unit(tx: Transaction) -> wording.Text | None:
        check_school(tx, call, "notify.manage", org_id)
        return choices.save_text(tx, text) or wording.Wording(tx).text(body.kind, body.language, body.part, org_id)

    kept = await call.write(unit)
    if kept is None:
        raise not_found("There is no built-in text for this; messages of this kind are written in English.")
    return _text(kept)


def _reached(connection: Connection, call: Call, action: str, rule_id: str, *, reading: bool = False) -> Rule:
    """The rule, where the caller reaches it. Raises Refused 404."""
    rule = read_rule(connection, rule_id)
    check_school(connection, call, action, rule.org_id, reading=reading)
    return rule


def _previewed(connection: Connection, call: Call, body: PreviewWish) -> list[Rule]:
    if body.rule_id is not None:
        return [_reached(connection, call, "notify.manage", body.rule_id, reading=True)]
    if body.kind is not None:
        return [_draft(body.kind, body.settings, org_id=body.school_id)]
    return rules(connection, org_ids=[body.school_id, DISTRICT], enabled=True)


async def _denied(call: Call, planned: list[Planned]) -> dict[tuple[str, str], str]:
    """The (recipient, student) of families whom plugins do not let be told, with the reason."""
    host = call.district.host
    if not host.implements("authorize"):
        return {}
    found: dict[tuple[str, str], str] = {}
    families = [one for one in planned if one.audience in FAMILY]
    for recipient, student in dict.fromkeys((one.recipient_id, one.student_id) for one in families):
        request = AccessRequest(
            action="guardian.notify", identity=Identity(subject=recipient), student_ids=frozenset({student})
        )
        for answer in await host.ask_all("authorize", request=request):
            if answer.error is not None:
                found[recipient, student] = "access could not be checked"
            elif answer.value is not None and not answer.value.allow:
                found[recipient, student] = answer.value.reason
    return found


def _draft(kind: str, settings: dict[str, Any], *, org_id: str, title: str = "") -> Rule:
    try:
        return draft(kind, settings, org_id=org_id, title=title)
    except BadRule as exc:
        raise _invalid(exc) from None


def _invalid(exc: BadRule) -> Invalid:
    return Invalid([FieldError(field=f"settings.{field}", message=message) for field, message in exc.problems])


def _rule(rule: Rule) -> NotificationRule:
    return NotificationRule(
        id=rule.id,
        school_id=rule.org_id or None,
        kind=rule.kind,
        title=rule.title,
        enabled=rule.enabled,
        settings=rule.settings.model_dump(mode="json", exclude={"kind"}),
        version=rule.version,
        changed_at=rule.changed_at,
        changed_by=rule.changed_by,
    )


def _text(text: wording.Text) -> MessageText:
    try:
        sample: str | None = wording.check(text.text, text.language, text.part)
    except wording.BadText:
        sample = None
    length = TextLength.model_validate(length_of(sample)) if sample is not None and text.part == "sms" else None
    return MessageText(
        kind=text.kind,
        language=text.language,
        part=text.part,
        text=text.text,
        version=text.version,
        school_id=text.org_id or None,
        sample=sample,
        length=length,
    )
