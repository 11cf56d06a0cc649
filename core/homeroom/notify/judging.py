"""From cases to messages: what is to be told now, what was told and is not true, and what it is too early to say.

Nothing here writes. `outbox.put` keeps what is found, if the cases have not changed meanwhile; a preview shows it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from homeroom.notify.audience import Book, Recipient
from homeroom.notify.audience import Wanted as Meant
from homeroom.notify.days import Day, Days, Key
from homeroom.notify.figures import Past
from homeroom.notify.rules import Rule, version_of
from homeroom.notify.rules import draft as draft_rule
from homeroom.notify.schools import School, Schools
from homeroom.notify.settings import STUDENT_KINDS
from homeroom.notify.times import Window, window
from homeroom.notify.told import History, Told
from homeroom.notify.truth import concerns, is_wrong, status_now
from homeroom.notify.verdicts import Later, Scene, Verdict, verdicts
from homeroom.notify.wording import clock
from homeroom.settings import Settings
from homeroom.store import Connection

MOST_TIMES = 3
"""How often one thing is told to one person when it turns out true, wrong and true again; then staff must see to it."""

_BEING_SENT = timedelta(seconds=30)  # how soon a day is judged again while a message is on its way to the vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A student's day to be judged, as it stood at `revision`."""

    student_id: str
    school_id: str
    school_day: str
    revision: int = 0

    @property
    def key(self) -> Key:
        """What the case is about."""
        return self.student_id, self.school_id, self.school_day


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One message to one person, not kept yet. `facts` is what its words need; `ways` are in the recipient."""

    key: str
    case: Key | None = None
    rule: Rule
    kind: str
    school: School
    school_day: str | None
    student_id: str | None
    recipient: Recipient
    facts: Mapping[str, Any] = field(repr=False)
    why: Mapping[str, Any]
    window: Window
    corrects: str | None = None


@dataclass(slots=True, kw_only=True)
class Judged:
    """What came of cases: messages to send, unsent ones that are not true any more, and when to look again.

    `untrue` has the case by which each is not true, by the message's id.
    """

    cases: Sequence[Case] = ()
    drafts: list[Draft] = field(default_factory=list)
    untrue: dict[str, Key] = field(default_factory=dict)
    later: dict[Key, datetime] = field(default_factory=dict)


def judge(
    connection: Connection, settings: Settings, rules: Sequence[Rule], cases: Sequence[Case], now: datetime
) -> Judged:
    """What the rules say of these cases at this moment."""
    return _Judge(connection, settings, rules, cases, now).judged()


class _Judge:
    def __init__(
        self, connection: Connection, settings: Settings, rules: Sequence[Rule], cases: Sequence[Case], now: datetime
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._rules = [rule for rule in rules if rule.kind in STUDENT_KINDS]
        self._cases = cases
        self._now = now
        self._schools = Schools(connection, settings)
        students = {case.student_id for case in cases}
        first = min((date.fromisoformat(case.school_day) for case in cases), default=now.date())
        self._history = History(connection, students, first)
        self._days = Days(connection, [case.key for case in cases], weekdays=settings.attendance.school_days)
        at_school: dict[str, set[str]] = defaultdict(set)
        for case in cases:
            at_school[case.school_id].add(case.student_id)
        self._past = Past(connection, self._days, at_school, settings.attendance.school_days)
        self._book = self._read_book()
        self._rules_then: dict[tuple[str, int], Rule] = {}

    def judged(self) -> Judged:
        """Everything that comes of the cases."""
        found = Judged(cases=self._cases)
        said: list[Verdict] = []
        scenes = [self._scene(case) for case in self._cases]
        for case, scene in zip(self._cases, scenes, strict=True):
            for rule in self._rules:
                if not rule.holds_at(case.school_id):
                    continue
                for verdict in verdicts(rule, scene):
                    if isinstance(verdict, Later):
                        found.later[case.key] = min(verdict.at, found.later.get(case.key, verdict.at))
                    else:
                        said.append(verdict)
        drafts: dict[str, Draft] = {}
        for verdict in sorted(said, key=lambda one: one.day.school_day):  # what two days say is told of the later one
            drafts |= {draft.key: draft for draft in self._drafts(verdict)}
        true = frozenset(drafts)
        for scene in scenes:
            drafts |= {draft.key: draft for draft in self._look_back(scene, true, found)}
        found.drafts = list(drafts.values())
        return found

    def _read_book(self) -> Book:
        """Everybody whom a message about these students could be for."""
        audiences = sorted({one for rule in self._rules for one in rule.settings.audience})
        wanted = [
            Meant(
                audience=audiences,
                student_id=case.student_id,
                class_ids=[mark.class_id for mark in self._days[case.key].marks],
                school_id=case.school_id,
                purpose="",
            )
            for case in self._cases
        ]
        today = self._schools[self._cases[0].school_id if self._cases else ""].today(self._now)
        return Book(self._connection, self._settings.notify, wanted, today, also=self._history.readers())

    def _scene(self, case: Case) -> Scene:
        return Scene(
            day=self._days[case.key],
            school=self._schools[case.school_id],
            grades=self._book.grades(case.student_id),
            titles=self._days.titles,
            history=self._history,
            past=self._past,
            now=self._now,
        )

    def _recipients(self, verdict: Verdict) -> list[Recipient]:
        settings = verdict.rule.settings
        meant = Meant(
            audience=settings.audience,
            student_id=verdict.day.student_id,
            class_ids=verdict.class_ids,
            school_id=verdict.day.school_id,
            channels=settings.channels,
            purpose=settings.purpose,
        )
        return [one for one in self._book.recipients(meant) if verdict.only is None or one.user_id in verdict.only]

    def _drafts(self, verdict: Verdict) -> Iterator[Draft]:
        rule, day = verdict.rule, verdict.day
        for recipient in self._recipients(verdict):
            key = self._key(f"{verdict.base}:{recipient.user_id}", day)
            if key is not None:
                why = {"rule": rule.title, "status": day.status, **verdict.why}
                yield self._draft(key, rule, day, recipient, facts=verdict.facts, why=why)

    def _draft(
        self,
        key: str,
        rule: Rule,
        day: Day,
        recipient: Recipient,
        *,
        facts: Mapping[str, Any],
        why: Mapping[str, Any],
        corrects: str | None = None,
    ) -> Draft:
        school = self._schools[day.school_id]
        waits = window(self._now, rule.settings.until, school.quiet, school.zone)
        told = {"student": self._book.name(day.student_id), "school": school.name, "phone": school.phone, **facts}
        told["today"] = told["day"] == school.today(waits.due_at)  # what waits for the morning is of yesterday
        if isinstance(told["time"], datetime):
            told["time"] = clock(told["time"], school.zone, recipient.language)
        return Draft(
            key=key,
            case=(day.student_id, day.school_id, day.school_day),
            rule=rule,
            kind=rule.kind if corrects is None else "correction",
            school=school,
            school_day=told["day"].isoformat(),
            student_id=day.student_id,
            recipient=recipient,
            facts=told,
            why=why,
            window=waits,
            corrects=corrects,
        )

    def _key(self, base: str, day: Day) -> str | None:
        """The key of the message to be: anew after each correction; None when it was told often enough."""
        keys = [base, *(f"{base}#{number}" for number in range(2, MOST_TIMES + 1))]
        corrected = sum(
            told.key in keys and self._history.is_corrected(told)
            for told in self._history.about(day.student_id, *STUDENT_KINDS)
        )
        return None if corrected >= MOST_TIMES else keys[corrected]

    def _look_back(self, scene: Scene, true: Collection[str], found: Judged) -> Iterator[Draft]:
        """Take back what is not true any more: unsent messages go, read ones are followed by one correction.

        Of one that is just being sent nobody knows yet which of the two it is.
        """
        day = scene.day
        key = (day.student_id, day.school_id, day.school_day)
        for told in self._history.about(day.student_id, *STUDENT_KINDS):
            correction = self._history.correction_of(told)
            if told.is_unsent:
                if told.key not in true and told.school_id == day.school_id and told.school_day == day.school_day:
                    found.untrue[told.id] = key
            elif not told.is_sent or self._history.is_corrected(told):
                continue
            elif told.key not in true and self._is_wrong(told, scene):
                if told.state == "sending":
                    soon = self._now + _BEING_SENT
                    found.later[key] = min(soon, found.later.get(key, soon))
                else:
                    yield self._correction(told, day, scene)
            elif (
                correction is not None
                and correction.is_unsent
                and (told.key in true or concerns(told, scene, self._rule_of(told)))
            ):
                found.untrue[correction.id] = key

    def _is_wrong(self, told: Told, scene: Scene) -> bool:
        rule = self._rule_of(told)
        return concerns(told, scene, rule) and is_wrong(told, scene, rule)

    def _correction(self, told: Told, day: Day, scene: Scene) -> Draft:
        rule, now = self._rule_of(told), status_now(told, day)
        meant = Meant(
            audience=[told.audience],
            student_id=told.student_id,
            school_id=told.school_id,
            channels=rule.settings.channels,
            purpose=told.purpose,
        )
        marks = [mark for mark in day.marks if mark.record_id in told.records]
        facts = {**scene.facts(marks), "day": date.fromisoformat(told.school_day), "said": told.kind, "now": now}
        return self._draft(
            f"{told.id}:correction",
            rule,
            day,
            self._book.again(meant, told.audience, told.recipient_id),
            facts=facts,
            why={"rule": rule.title, "corrects": told.id, "status": day.status, "now": now},
            corrects=told.id,
        )

    def _rule_of(self, told: Told) -> Rule:
        """The rule as it was when something was told: changed or switched off, it still owes its corrections."""
        key = (told.rule_id, told.rule_version)
        if key not in self._rules_then:
            then = version_of(self._connection, *key)
            self._rules_then[key] = then or draft_rule(told.kind, {"audience": [told.audience]})
        return self._rules_then[key]
