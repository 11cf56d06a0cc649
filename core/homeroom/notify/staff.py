"""Messages to staff: rolls that were not taken, trouble with the place itself, and the digest of a school's day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

from homeroom.attendance.sessions import ENROLLED
from homeroom.notify.audience import Book, Recipient, Wanted
from homeroom.notify.claims import OPERATIONS
from homeroom.notify.judging import Draft, Judged
from homeroom.notify.outbox import by_state
from homeroom.notify.rules import Rule
from homeroom.notify.schools import School, Schools
from homeroom.notify.settings import Audience, Digest, RollNotTaken, Trouble
from homeroom.notify.times import Window, at, window
from homeroom.notify.troubles import Trouble as Known
from homeroom.roster.calendar import is_school_day
from homeroom.settings import Settings
from homeroom.store import Connection, iso
from homeroom.store import models as m
from homeroom.store.bulk import select_in

_DONE = "SELECT 1 FROM notifications WHERE rule_id = ? AND school_id = ? AND school_day = ? LIMIT 1"
_UNTAKEN = f"""
SELECT c.id, c.title FROM classes c WHERE c.school_id = ? AND NOT c.archived AND NOT c.ended AND c.kind IN ({{}})
AND EXISTS (SELECT 1 FROM enrollments e WHERE e.class_id = c.id AND {ENROLLED.format(day="?")})
AND NOT EXISTS (SELECT 1 FROM class_sessions s WHERE s.class_id = c.id AND s.school_day = ?
  AND (s.state = 'closed' OR s.roll_taken_at IS NOT NULL))
AND (NOT EXISTS (SELECT 1 FROM class_terms t WHERE t.class_id = c.id) OR EXISTS (
  SELECT 1 FROM class_terms t JOIN academic_sessions a ON a.id = t.term_id
  WHERE t.class_id = c.id AND a.begins_on <= ? AND a.ends_on > ?))
ORDER BY c.title, c.id
"""  # noqa: S608 - a constant
_COUNTS = """
SELECT state, COUNT(*) FROM notifications WHERE school_id = ? AND created_at >= ? AND purpose <> 'operations'
GROUP BY state
"""
PROBLEMS = ("unknown", "failed", "held", "expired")
"""States that somebody should look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look at everything, at one moment."""

    connection: Connection
    settings: Settings
    schools: Schools
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """One thing to tell: `base` and the recipient make its key."""

    rule: Rule
    base: str
    school: School
    day: str
    audience: Audience
    class_ids: Sequence[str]
    facts: dict[str, Any]
    why: dict[str, Any]


def judge(
    connection: Connection, settings: Settings, rules: Sequence[Rule], troubles: Sequence[Known], now: datetime
) -> Judged:
    """What is to be told to staff at this moment; what was told before is told once only, by its key."""
    look = _Look(connection=connection, settings=settings, schools=Schools(connection, settings), now=now)
    notes: list[_Note] = []
    for rule in rules:
        match rule.settings:
            case RollNotTaken() as settings_:
                notes += _rolls(look, rule, settings_)
            case Digest() as settings_:
                notes += _digests(look, rule, settings_)
            case Trouble() as settings_:
                notes += _troubles(look, rule, settings_, troubles)
    return Judged(drafts=list(_drafts(look, notes)))


def _rolls(look: _Look, rule: Rule, roll: RollNotTaken) -> Iterator[_Note]:
    for school, day in _schools_at(look, rule, roll.at):
        untaken = select_in(look.connection, _UNTAKEN, (school.id,), roll.class_kinds, (day,) * 5)
        if not untaken:
            continue
        facts = {"day": school.today(look.now), "classes": [row[1] for row in untaken], "link": ""}
        why = {"class_ids": [row[0] for row in untaken]}
        base = f"{rule.id}:{school.id}:{day}"
        if "office" in roll.audience:
            yield _Note(
                rule=rule, base=base, school=school, day=day, audience="office", class_ids=(), facts=facts, why=why
            )
        if "teacher" in roll.audience:
            for class_id, title in untaken:
                yield _Note(
                    rule=rule,
                    base=f"{base}:{class_id}",
                    school=school,
                    day=day,
                    audience="teacher",
                    class_ids=[class_id],
                    facts={**facts, "classes": [title]},
                    why={"class_ids": [class_id]},
                )


def _digests(look: _Look, rule: Rule, digest: Digest) -> Iterator[_Note]:
    for school, day in _schools_at(look, rule, digest.at):
        counts = counts_of(look.connection, school, look.now)
        facts = {
            "day": school.today(look.now),
            "counts": {state: count for state, count in counts.items() if count},
            "problems": sum(counts[state] for state in PROBLEMS),
        }
        base = f"{rule.id}:{school.id}:{day}"
        yield _Note(
            rule=rule, base=base, school=school, day=day, audience="office", class_ids=(), facts=facts, why=counts
        )


def counts_of(connection: Connection, school: School, now: datetime) -> dict[str, int]:
    """How many messages of today the school has in each state; those about the place itself do not count."""
    since = iso(at(school.today(now), datetime.min.time(), school.zone))
    return by_state(connection.sql(_COUNTS, (school.id, since)))


def _troubles(look: _Look, rule: Rule, settings: Trouble, troubles: Sequence[Known]) -> Iterator[_Note]:
    school = look.schools[rule.org_id]
    for trouble in troubles:
        if trouble.kind != settings.kind or (trouble.kind == "sync_late" and trouble.hours < settings.late_hours):
            continue
        if trouble.school_id and not rule.holds_at(trouble.school_id):
            continue
        detail = trouble.detail
        if trouble.kind == "sync_late":
            detail = f"The last good run began {round(trouble.hours)} hours ago."
        facts = {"name": trouble.name, "detail": detail, "day": school.today(look.now)}
        for audience in settings.audience:
            yield _Note(
                rule=rule,
                base=f"{rule.id}:{trouble.kind}:{trouble.name}:{trouble.since}",
                school=school,
                day=school.today(look.now).isoformat(),
                audience=audience,
                class_ids=(),
                facts=facts,
                why={"name": trouble.name, "since": trouble.since},
            )


def _schools_at(look: _Look, rule: Rule, hour: time) -> Iterator[tuple[School, str]]:
    """The rule's schools at which it is that hour, school is held, and nothing was told yet today."""
    table = m.Org
    query = table.select(table.id).where(table.kind == "school", ~table.ended).order_by(table.id)
    if rule.org_id:
        query = query.where(table.id == rule.org_id)
    for school_id in look.connection.values(query):
        school = look.schools[school_id]
        day = school.today(look.now)
        if not at(day, hour, school.zone) <= look.now < at(day, rule.settings.until, school.zone):
            continue
        if look.connection.sql(_DONE, (rule.id, school_id, day.isoformat())):
            continue
        if is_school_day(look.connection, school_id, day, weekdays=look.settings.attendance.school_days):
            yield school, day.isoformat()


def _drafts(look: _Look, notes: Sequence[_Note]) -> Iterator[Draft]:
    wanted = [
        Wanted(
            audience=[note.audience],
            student_id=None,
            class_ids=note.class_ids,
            school_id=note.school.id,
            channels=note.rule.settings.channels,
            purpose=note.rule.settings.purpose,
        )
        for note in notes
    ]
    if not wanted:
        return
    book = Book(look.connection, look.settings.notify, wanted, notes[0].school.today(look.now))
    merged: dict[str, list[tuple[_Note, Recipient]]] = defaultdict(list)
    for note, meant in zip(notes, wanted, strict=True):
        for recipient in book.recipients(meant):
            merged[f"{_told_together(note)}:{recipient.user_id}"].append((note, recipient))
    for key, several in merged.items():
        note, recipient = several[0]
        waits = _window(note, look.now)
        facts = {"school": note.school.name, "phone": note.school.phone, **note.facts}
        facts["today"] = facts["day"] == note.school.today(waits.due_at)
        why = {"rule": note.rule.title, **note.why}
        if note.rule.kind == "roll_not_taken":
            facts["classes"] = [title for one, _ in several for title in one.facts["classes"]]
            why["class_ids"] = [class_id for one, _ in several for class_id in one.why["class_ids"]]
        yield Draft(
            key=key,
            rule=note.rule,
            kind=note.rule.kind,
            school=note.school,
            school_day=note.day,
            student_id=None,
            recipient=recipient,
            facts=facts,
            why=why,
            window=waits,
        )


def _told_together(note: _Note) -> str:
    """A teacher of several classes without a roll gets one message."""
    return f"{note.rule.id}:{note.school.id}:{note.day}:{note.audience}" if note.audience == "teacher" else note.base


def _window(note: _Note, now: datetime) -> Window:
    waits = window(now, note.rule.settings.until, note.school.quiet, note.school.zone)
    if note.rule.settings.purpose == OPERATIONS:  # staff must know at any hour
        return Window(due_at=now, expires_at=waits.expires_at)
    return waits
