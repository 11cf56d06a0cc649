"""What a rule over many days counts: days missed in a row, in a term or year, or as a share of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from homeroom.notify import windows
from homeroom.notify.days import Day, Days
from homeroom.notify.rules import Rule
from homeroom.notify.settings import InARow, Share, Total, matches
from homeroom.notify.told import History, Told
from homeroom.notify.windows import Record, Span, Within
from homeroom.store import Connection
from homeroom.types import Status

OverDays = InARow | Total | Share
"""The settings of rules that count days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What a rule counts of one student: its `value`, the days behind it, the largest threshold that it has reached.

    `missed` are all days missed, in whatever row. `anchor` names the term, year or run of days in which each threshold
    is told once.
    """

    value: float
    days: Sequence[str]
    missed: Collection[str]
    anchor: str
    threshold: float | None


class Past:
    """What the students of some cases have missed: each school and span is read once, when first needed."""

    def __init__(
        self, connection: Connection, days: Days, students: Mapping[str, Collection[str]], weekdays: Collection[int]
    ) -> None:
        self._connection = connection
        self._days = days
        self._students = students
        self._weekdays = weekdays
        self._spans: dict[tuple[str, Within], Span] = {}
        self._held: dict[tuple[str, Span, date], list[str]] = {}
        self._records: dict[tuple[str, Span, date, str], Mapping[str, Record]] = {}

    def span(self, day: str, within: Within) -> Span:
        """The term or year in which a day lies."""
        if (day, within) not in self._spans:
            self._spans[day, within] = windows.span_of(self._connection, date.fromisoformat(day), within)
        return self._spans[day, within]

    def span_for(self, settings: OverDays, day: str) -> Span:
        """The term or year around a day in which a rule counts."""
        return self.span(day, "year" if isinstance(settings, InARow) else settings.within)

    def held(self, school_id: str, span: Span, today: date) -> list[str]:
        """The days on which school was held so far."""
        key = (school_id, span, today)
        if key not in self._held:
            self._held[key] = windows.held_days(self._connection, school_id, span, today, weekdays=self._weekdays)
        return self._held[key]

    def record(self, day: Day, span: Span, today: date, settings: OverDays) -> Record:
        """What the student has missed by marks that the rule counts."""
        school_id, narrow = day.school_id, settings.conditions.of_marks
        key = (school_id, span, today, f"{settings.statuses} {settings.conditions}" if narrow else "")
        if key not in self._records:

            def counts(status: Status, code: str | None, class_id: str) -> bool:
                category = self._days.category(school_id, status, code)
                said = matches(settings.conditions, category=category, code=code, class_id=class_id, grades=None)
                return status in settings.statuses and said

            wanted = windows.Wanted(
                school_id=school_id, students=self._students[school_id], days=self.held(school_id, span, today)
            )
            self._records[key] = windows.records(
                self._connection, wanted, self._days.day_rule(school_id), counts=counts if narrow else None
            )
        return self._records[key].get(day.student_id, Record())


def figure_of(rule: Rule, past: Past, history: History, day: Day, school_day: str, *, today: date) -> Figure | None:
    """The student's figure as of now, around or in the term of `school_day`; None for rules of another kind."""
    settings = rule.settings
    if not isinstance(settings, InARow | Total | Share):
        return None
    span = past.span_for(settings, school_day)
    record = past.record(day, span, today, settings)
    missed = record.missed(settings.statuses)
    value: float
    thresholds: Sequence[float]
    if isinstance(settings, InARow):
        days = windows.run_around(missed, record.days - missed, school_day, past.held(day.school_id, span, today))
        value, thresholds, anchor = len(days), settings.days, days[0] if days else ""
    else:
        days, anchor = sorted(missed), span.begins.isoformat()
        if isinstance(settings, Total):
            value, thresholds = len(days), settings.days
        else:
            value = len(days) / len(record.days) if record.days else 0.0
            thresholds = settings.shares if len(record.days) >= settings.least_days else []
    return Figure(
        value=value,
        days=days,
        missed=missed,
        anchor=_anchor(rule, history.about(day.student_id, rule.kind), day.school_id, days) or anchor,
        threshold=windows.crossed(value, thresholds),
    )


def is_disproved(rule: Rule, past: Past, history: History, day: Day, told: Told, *, today: date) -> bool:
    """Whether what was told by a rule over many days was wrong: days behind it were not missed, and it falls short.

    A share that has fallen because days at school were added was right when it was told.
    """
    days, threshold = list(told.why.get("days", ())), float(told.why.get("threshold", 0))
    figure = figure_of(rule, past, history, day, told.school_day, today=today)
    left = [one for one in days if figure is not None and one in figure.missed]
    if figure is None:
        return False
    if isinstance(rule.settings, InARow):  # it may also have been broken by a day of which nobody knew
        runs = (figure_of(rule, past, history, day, one, today=today) for one in left)
        return max((run.value for run in runs if run is not None), default=0) < threshold
    if len(left) == len(days):
        return False
    if isinstance(rule.settings, Share):
        return float(told.why["value"]) * len(left) / len(days) < threshold
    return figure.value < threshold


def _anchor(rule: Rule, before: Sequence[Told], school_id: str, days: Sequence[str]) -> str:
    """That of an earlier message about the same row of days, or the same term; "" where there is none.

    A row that grows backwards is the same one as long as it holds all its days; so is a term whose begin was moved.
    """
    for told in before:
        if told.rule_id != rule.id or told.school_id != school_id or not told.why.get("anchor"):
            continue
        its_own = set(told.why.get("days", ()))
        if its_own <= set(days) if isinstance(rule.settings, InARow) else not its_own.isdisjoint(days):
            return str(told.why["anchor"])
    return ""
