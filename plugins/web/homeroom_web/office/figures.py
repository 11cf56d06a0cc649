"""The figures of each report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from babel.dates import format_skeleton
from babel.numbers import format_percent

from homeroom_web.charts import Bar, Chart, Series, columns, line, rows
from homeroom_web.words import Words

_MOST_ROWS = 40


def charts(name: str, found: Mapping[str, Any], words: Words) -> list[Chart]:
    """The figures of a report, none where nothing was counted."""
    return {
        "daily": _daily,
        "chronic-absence": _absence,
        "ada-adm": _membership,
        "rolls-not-taken": _rolls,
        "check-in-patterns": _check_ins,
    }[name](found, words)


def _daily(found: Mapping[str, Any], words: Words) -> list[Chart]:
    days = found["days"]
    if not any(day["with_marks"] for day in days):
        return []
    about = words.say("One point for each day; the table below has the same numbers.")
    away = [Series(one, words.say(one)) for one in ("tardy", "absent", "excused")]
    bars = [Bar(_short(day["day"], words), [day[one.kind] for one in away]) for day in days]
    below = words.say("One bar for each day; the table below has the same numbers.")
    points = [(_short(day["day"], words), day["rate"]) for day in days]
    return [
        line("rate", words.say("Share of students who came"), about, points, rtl=_rtl(words)),
        columns("away", words.say("Late, absent and excused students"), below, bars, away, rtl=_rtl(words)),
    ]


def _absence(found: Mapping[str, Any], words: Words) -> list[Chart]:
    schools = [one for one in found["schools"] if one["share"] is not None]
    schools = sorted(schools, key=lambda one: -one["share"])[:_MOST_ROWS]
    if not schools:
        return []
    title = words.say("Share of students who are chronically absent")
    return [
        rows(
            "chronic",
            title,
            _by_school(words),
            [Bar(one["school"], [one["share"] * 100]) for one in schools],
            [Series("absent", "%")],
            top=max(10.0, *(one["share"] * 100 for one in schools)),
            values=[format_percent(one["share"], "#,##0.0 %", locale=words.language) for one in schools],
            rtl=_rtl(words),
        )
    ]


def _membership(found: Mapping[str, Any], words: Words) -> list[Chart]:
    schools = [one for one in found["schools"] if one["adm"]][:_MOST_ROWS]
    if not schools:
        return []
    series = [Series("present", words.say("attending")), Series("rest", words.say("enrolled, not attending"))]
    return [
        rows(
            "averages",
            words.say("Students on an average day"),
            _by_school(words),
            [Bar(one["school"], [one["ada"], round(one["adm"] - one["ada"], 2)]) for one in schools],
            series,
            values=[f"{one['adm']:g}" for one in schools],
            rtl=_rtl(words),
        )
    ]


def _rolls(found: Mapping[str, Any], words: Words) -> list[Chart]:
    days = list(reversed(found["days"]))
    if not days:
        return []
    series = [
        Series("present", words.say("taken")),
        Series("rest", words.say("under way")),
        Series("tardy", words.say("left open")),
        Series("absent", words.say("no session")),
    ]
    bars = [
        Bar(_short(one["day"], words), [one["taken"], one["under_way"], one["left_open"], one["none"]]) for one in days
    ]
    about = words.say("One bar for each day; the table below has the same numbers.")
    return [columns("rolls", words.say("Classes by what became of their roll"), about, bars, series, rtl=_rtl(words))]


def _check_ins(found: Mapping[str, Any], words: Words) -> list[Chart]:
    if not found["hours"]:
        return []
    series = [Series("plain", words.say("check-ins"))]
    bars = [Bar(f"{one['hour']:02d}:00", [one["check_ins"]]) for one in found["hours"]]
    about = words.say("One bar for each hour of the day; the table below has the same numbers.")
    return [columns("hours", words.say("Check-ins by hour of the day"), about, bars, series, rtl=_rtl(words))]


def _by_school(words: Words) -> str:
    return words.say("One bar for each school; the table below has the same numbers.")


def _rtl(words: Words) -> bool:
    return words.dir == "rtl"


def _short(day: str, words: Words) -> str:
    """The month and the day."""
    return format_skeleton("MMMd", date.fromisoformat(day), locale=words.language)
