"""Whether what was told is so: a message that somebody may have read, held against the day as it is known now."""

from __future__ import annotations

from homeroom.notify.days import Day
from homeroom.notify.figures import OverDays, is_disproved
from homeroom.notify.rules import Rule
from homeroom.notify.told import Told
from homeroom.notify.verdicts import CAME, MISSED, Scene, arrival

_OF_DAYS = ("in_a_row", "total", "share")


def concerns(told: Told, scene: Scene, rule: Rule) -> bool:
    """Whether what is known of the day can make the message right or wrong. `rule` is the one as it was then.

    For one that counts days it is any day of the same term or year: it may stand in for one that was counted wrongly.
    """
    day = scene.day
    if told.school_id != day.school_id:
        return False
    if isinstance(rule.settings, OverDays):
        return scene.past.span_for(rule.settings, told.school_day) == scene.past.span_for(rule.settings, day.school_day)
    return told.school_day == day.school_day


def is_wrong(told: Told, scene: Scene, rule: Rule) -> bool:
    """Whether what somebody may have read is not so, and never was. `rule` is the one as it was when it was told.

    An absence that was excused meanwhile was one, and so was that of a student who came to a later meeting.
    """
    day = scene.day
    if told.kind in _OF_DAYS:
        return is_disproved(rule, scene.past, scene.history, day, told, today=scene.today)
    now = [mark.status for mark in day.marks if mark.record_id in told.records]
    match told.kind:
        case "absence" if told.why.get("of") == "day" and day.status in CAME:
            return arrival(told, day) is None
        case "absence":
            return not any(status in MISSED for status in now)
        case "tardy":
            return "tardy" not in now
        case _:
            return not any(status in CAME for status in now)


def status_now(told: Told, day: Day) -> str:
    """What is so instead, in the word that a correction's text goes by; "" where there is none to say."""
    if told.kind in _OF_DAYS or told.school_day != day.school_day:
        return ""
    if told.why.get("of") == "day":
        return day.status or ""
    return next((mark.status for mark in day.marks if mark.record_id in told.records), "")
