"""What rules would tell, shown before they are switched on: who, what, in which language and when; who not, and why.

It is the same judging as in earnest, on the marks of a day, as if every delay were over and every roll complete.
Nothing is written and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time

from homeroom.notify.audience import REASONS, people_of
from homeroom.notify.judging import Case, Draft, judge
from homeroom.notify.rules import Rule
from homeroom.notify.schools import Schools
from homeroom.notify.segments import Length, length_of
from homeroom.notify.settings import STUDENT_KINDS
from homeroom.notify.times import at
from homeroom.notify.wording import Wording, parts_for
from homeroom.settings import Settings
from homeroom.store import Connection

MOST = 500
"""Students in one preview at most."""

_STUDENTS = """
SELECT DISTINCT student_id FROM attendance_records WHERE school_id = ? AND school_day = ? AND status <> 'present'
ORDER BY student_id LIMIT ?
"""
_TOLD = "SELECT key, state FROM notifications WHERE rule_id = ? AND school_id = ? AND school_day = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One message that would be sent, or (`refused`) would not; `state` is that of one that is there already."""

    rule_id: str
    kind: str
    student_id: str
    student: str
    recipient_id: str
    recipient: str
    audience: str
    language: str
    channels: Sequence[str]
    due_at: datetime
    expires_at: datetime
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    length: Length | None = None
    refused: str | None = None
    refused_words: str | None = None
    state: str | None = None


def preview(
    connection: Connection, settings: Settings, rules: Sequence[Rule], *, school_id: str, day: date, now: datetime
) -> tuple[list[Planned], bool]:
    """What the rules would tell of one school's day; and whether there are more students than are shown."""
    students = [row[0] for row in connection.sql(_STUDENTS, (school_id, day.isoformat(), MOST + 1))]
    cases = [Case(student_id=student, school_id=school_id, school_day=day.isoformat()) for student in students[:MOST]]
    school = Schools(connection, settings)[school_id]
    wanted = [_at_once(rule) for rule in rules if rule.kind in STUDENT_KINDS]
    moment = now if school.today(now) == day else at(day, time(12), school.zone)
    judged = judge(connection, settings, wanted, cases, moment)
    told: dict[str, str] = {}
    for rule in wanted:
        told |= dict(connection.sql(_TOLD, (rule.id, school_id, day.isoformat())))
    people = people_of(
        connection,
        {person for draft in judged.drafts for person in (draft.student_id, draft.recipient.user_id) if person},
    )
    names = {person_id: person.name for person_id, person in people.items()}
    wording = Wording(connection)
    return [_planned(draft, wording, names, told) for draft in judged.drafts], len(students) > MOST


def _planned(draft: Draft, wording: Wording, names: dict[str, str], told: dict[str, str]) -> Planned:
    channels = list(dict.fromkeys(way.channel for way in draft.recipient.ways))
    said, language = wording.say(
        draft.kind, draft.recipient.language, parts_for(channels), draft.facts, draft.school.id
    )
    refused = draft.recipient.refused
    return Planned(
        rule_id=draft.rule.id,
        kind=draft.kind,
        student_id=draft.student_id or "",
        student=names.get(draft.student_id or "", ""),
        recipient_id=draft.recipient.user_id,
        recipient=names.get(draft.recipient.user_id, ""),
        audience=draft.recipient.audience,
        language=language,
        channels=channels,
        due_at=draft.window.due_at,
        expires_at=draft.window.expires_at,
        texts=dict(said),
        length=length_of(said["sms"]) if "sms" in said else None,
        refused=refused,
        refused_words=REASONS.get(refused or ""),
        state=told.get(draft.key),
    )


def _at_once(rule: Rule) -> Rule:
    """The rule without its waits."""
    waits = {"delay_minutes": 0, "latest": time(0)}
    settings = rule.settings.model_copy(update={k: v for k, v in waits.items() if hasattr(rule.settings, k)})
    return replace(rule, enabled=True, settings=settings)
