"""What rules say of a student's day: that something is to be told, that it is too early to say, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from homeroom.attendance_out.marks import Mark
from homeroom.notify.clocks import APART
from homeroom.notify.days import Day
from homeroom.notify.figures import Figure, OverDays, Past, figure_of
from homeroom.notify.rules import Rule
from homeroom.notify.schools import School
from homeroom.notify.settings import Absence, Conditions, InARow, Returned, Share, Tardy, Total, matches
from homeroom.notify.times import at
from homeroom.notify.told import History, Told
from homeroom.store import iso

LOOK_AGAIN = timedelta(minutes=5)
"""How soon a day is looked at again whose roll is not complete."""

_TOO_OLD = timedelta(days=3)  # a gap in an old roll that is filled today is no news to a family
_RETURN = timedelta(days=14)  # after which coming back is no answer to the message any more
_CAME_JUST_NOW = timedelta(hours=1)
_FOR_THE_ROLL = timedelta(minutes=30)  # that a class has, from its begin, before an open roll is told all the same

CAME = ("present", "tardy")
MISSED = ("absent", "excused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Something is to be told. `base` and a recipient's id make the message's key.

    `facts` is what its words need, `why` what it can say for itself later. `only` narrows whom it is for.
    """

    rule: Rule
    base: str
    day: Day
    class_ids: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    why: Mapping[str, Any] = field(default_factory=dict)
    only: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """It is too early to say; look again then."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that a rule may look at."""

    day: Day
    school: School
    grades: list[str]
    titles: Mapping[str, str]
    history: History
    past: Past
    now: datetime

    @property
    def today(self) -> date:
        """The school's date."""
        return self.school.today(self.now)

    def figure(self, rule: Rule) -> Figure | None:
        """What the rule counts around the day; None where it counts nothing."""
        return figure_of(rule, self.past, self.history, self.day, self.day.school_day, today=self.today)

    def facts(self, marks: Sequence[Mark], *, whole_day: bool = True) -> dict[str, Any]:
        """What every text may say of the day; whether it is "today" is known once it is known when it is sent."""
        return {
            "day": date.fromisoformat(self.day.school_day),
            "whole_day": whole_day,
            "classes": list(dict.fromkeys(self.titles.get(mark.class_id, "") for mark in marks)),
            "minutes": next((mark.minutes_late for mark in marks if mark.minutes_late), None),
            "time": "",
        }


def verdicts(rule: Rule, scene: Scene) -> Iterator[Verdict | Later]:
    """What the rule says of the day."""
    match rule.settings:
        case Absence() as absence:
            yield from _absent(rule, absence, scene)
        case Tardy() as tardy:
            yield from _tardy(rule, tardy, scene)
        case Returned() as returned:
            yield from _returned(rule, returned, scene)
        case InARow() | Total() | Share() as window:
            yield from _window(rule, window, scene)


def arrival(told: Told, day: Day) -> Mark | None:
    """The first mark of the day that says that a student has come after all, whose absence was told; None if none does.

    On the same day it is one of a meeting later than those that the message was about.
    """
    came = day.of(*CAME)
    if told.school_day != day.school_day:
        until = (date.fromisoformat(told.school_day) + _RETURN).isoformat()
        return came[0] if came and told.school_day < day.school_day <= until else None
    missed = min((mark.starts_at for mark in day.of(*MISSED) if mark.record_id in told.records), default=None)
    return next((mark for mark in came if missed is not None and mark.starts_at > missed), None)


def _absent(rule: Rule, settings: Absence, scene: Scene) -> Iterator[Verdict | Later]:
    day = scene.day
    if _is_old(day.school_day, scene):
        return
    statuses = [one for one in settings.statuses if one != "absent" or not day.reported]
    for base, some in _groups(rule, settings, scene, statuses, missed=day.status in settings.statuses):
        if scene.now < (ready := _ready(some, settings.delay_minutes, scene.now)):
            yield Later(at=ready)
            continue
        complete = all(mark.session_id in day.complete for mark in some)
        latest = at(date.fromisoformat(day.school_day), settings.latest, scene.school.zone)
        if settings.of == "class":  # one that meets in the afternoon has time for its roll, too
            latest = max(latest, datetime.fromisoformat(some[0].starts_at) + _FOR_THE_ROLL)
        if not complete and scene.now < latest:
            yield Later(at=min(latest, scene.now + LOOK_AGAIN))
            continue
        yield _verdict(rule, scene, base, some, of=settings.of, why={"roll_complete": complete})


def _tardy(rule: Rule, settings: Tardy, scene: Scene) -> Iterator[Verdict | Later]:
    if _is_old(scene.day.school_day, scene):
        return
    for base, marks in _groups(rule, settings, scene, ["tardy"], missed=scene.day.status == "tardy"):
        some = [mark for mark in marks if (mark.minutes_late or 0) >= settings.from_minutes]
        if settings.of == "day":  # what makes the day tardy is its first mark
            some = [mark for mark in some if mark is scene.day.counted[0]]
        if not some:
            continue
        if scene.now < (ready := _ready(some, settings.delay_minutes, scene.now)):
            yield Later(at=ready)
            continue
        yield _verdict(rule, scene, base, some, of=settings.of, why={})


def _returned(rule: Rule, settings: Returned, scene: Scene) -> Iterator[Verdict | Later]:
    """One for the absences that were told and are still true: to those who heard of them, once the student has come."""
    day = scene.day
    if _is_old(day.school_day, scene):
        return
    answered = _answered_before(rule, scene)
    answers = [
        (told, mark)
        for told in scene.history.about(day.student_id, "absence")
        if told.is_sent and told.school_id == day.school_id and told.id not in answered
        if not scene.history.is_taken_back(told) and (mark := arrival(told, day)) is not None
    ]
    came = [mark for _, mark in answers if _counts(settings.conditions, mark, scene)]
    if not came:
        return
    first = min(came, key=lambda mark: mark.starts_at)
    if scene.now < (ready := _ready([first], settings.delay_minutes, scene.now)):
        yield Later(at=ready)
        return
    yield Verdict(
        rule=rule,
        base=f"{rule.id}:{day.student_id}:{day.school_id}:{day.school_day}",
        day=day,
        class_ids=[first.class_id],
        facts={**scene.facts([first]), "time": _time_of(first)},
        why={"records": [first.record_id], "answers": sorted(told.id for told, _ in answers)},
        only=frozenset(told.recipient_id for told, _ in answers),
    )


def _answered_before(rule: Rule, scene: Scene) -> set[str]:
    """The messages of an absence that were answered on another day by this rule."""
    return {
        str(answered)
        for told in scene.history.about(scene.day.student_id, "returned")
        if told.rule_id == rule.id and told.school_day != scene.day.school_day
        if told.state != "cancelled" and not scene.history.is_taken_back(told)
        for answered in told.why.get("answers", ())
    }


def _time_of(mark: Mark) -> datetime | str:
    """When the student came, if the mark was made then; "" for one that was made or changed later."""
    known = datetime.fromisoformat(mark.known_since)
    return known if timedelta(0) <= known - datetime.fromisoformat(mark.starts_at) <= _CAME_JUST_NOW else ""


def _window(rule: Rule, settings: OverDays, scene: Scene) -> Iterator[Verdict | Later]:
    day = scene.day
    if day.status not in settings.statuses:
        return
    marks = [mark for mark in day.of(*settings.statuses, counted=True) if _counts(settings.conditions, mark, scene)]
    figure = scene.figure(rule) if marks else None
    if figure is None or figure.threshold is None or not _is_news(settings, figure, scene):
        return
    if scene.now < (ready := _ready(marks, settings.delay_minutes, scene.now)):
        yield Later(at=ready)
        return
    facts = {
        **scene.facts(marks),
        "count": len(figure.days),
        "share": round(100 * figure.value) if isinstance(settings, Share) else 0,
        "days": [date.fromisoformat(one) for one in figure.days],
    }
    why = {"threshold": figure.threshold, "value": figure.value, "days": figure.days, "anchor": figure.anchor}
    base = f"{rule.id}:{day.student_id}:{day.school_id}:{figure.anchor}:{figure.threshold:g}"
    yield Verdict(rule=rule, base=base, day=day, class_ids=[mark.class_id for mark in marks], facts=facts, why=why)


def _is_news(settings: OverDays, figure: Figure, scene: Scene) -> bool:
    """Whether a figure around a day tells how things stand: an old row of days, or a term that is over, is history."""
    day = scene.day.school_day
    if isinstance(settings, InARow):
        return not _is_old(figure.days[-1], scene)
    span = scene.past.span(day, settings.within)
    return not _is_old(day, scene) or span.begins <= scene.today < span.ends


def _verdict(rule: Rule, scene: Scene, base: str, marks: Sequence[Mark], *, of: str, why: Mapping[str, Any]) -> Verdict:
    return Verdict(
        rule=rule,
        base=base,
        day=scene.day,
        class_ids=[mark.class_id for mark in marks],
        facts=scene.facts(marks, whole_day=of == "day"),
        why={"of": of, "records": [mark.record_id for mark in marks], **why},
    )


def _groups(
    rule: Rule, settings: Absence | Tardy, scene: Scene, statuses: Sequence[str], *, missed: bool
) -> Iterator[tuple[str, list[Mark]]]:
    """The marks with these statuses that go into one message each, with the base of its key."""
    day = scene.day
    base = f"{rule.id}:{day.student_id}:{day.school_id}:{day.school_day}"
    found = day.of(*statuses, counted=settings.of == "day")
    marks = [mark for mark in found if _counts(settings.conditions, mark, scene)]
    if settings.of == "class":
        for mark in marks:
            yield f"{base}:{mark.session_id}", [mark]
    elif missed and marks:
        yield base, marks


def _ready(marks: Sequence[Mark], minutes: int, now: datetime) -> datetime:
    """When the delay is over since the first of the marks; one made ahead counts from the begin of its class.

    One that is known since a moment to come was made while the clock was ahead: its case has waited for it.
    """
    latest = iso(now + APART)
    since = (max(mark.known_since if mark.known_since <= latest else "", mark.starts_at) for mark in marks)
    return datetime.fromisoformat(min(since)) + timedelta(minutes=minutes)


def _counts(conditions: Conditions, mark: Mark, scene: Scene) -> bool:
    category = scene.day.categories[mark.record_id]
    return matches(conditions, category=category, code=mark.code, class_id=mark.class_id, grades=scene.grades)


def _is_old(day: str, scene: Scene) -> bool:
    return scene.today - date.fromisoformat(day) > _TOO_OLD
