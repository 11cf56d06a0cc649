"""What a check-in has led to, in words: what was recorded, why, how, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeroom_web import times
from homeroom_web.pages import language
from homeroom_web.visitors import Visitor
from homeroom_web.words import to_say

_SAID = {
    "the code shown then": to_say("the code on the screen"),
    "scanned in time": to_say("the picture on the screen, scanned"),
    "inside the area": to_say("the place where this device was"),
    "made without a network, sent later": to_say("It was made without a network and sent later."),
    "could not be checked": to_say("It could not be checked just then."),
    "this method did not answer": to_say("It could not be checked just then."),
    "no area is set for this school": to_say("No place is set for your school."),
    "the position was not exact enough to tell": to_say("The place could not be told exactly enough."),
    "at the edge of the area": to_say("You were at the edge of the place for checking in."),
}
"""What verifiers say, in the pages' words; any other is shown as it was said."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A heading and the lines below it."""

    heading: str
    lines: list[str]


async def outcome_of(visitor: Visitor, record: Mapping[str, Any], *, client_id: str, zone: str) -> Outcome:
    """What became of the check-in `client_id`; `zone` is the time zone in which its times are told."""
    words = language()
    if not record["evidence"]:
        marked = words.say("Your teacher has marked you already: {status}.", status=words.say(record["status"]))
        return Outcome(words.say("You are marked already"), [marked])
    at = _time(record["occurred_at"] or record["recorded_at"], zone)
    first = words.say("Checked in at {time}.", time=at)
    if (record["client_id"] or "") != client_id:
        first = words.say("You had checked in already, at {time}. That stays as it is.", time=at)
    lines = [*await _status(visitor, record, zone), first, *_how(record), *_waits_for(record)]
    return Outcome(_heading(record), lines)


def _heading(record: Mapping[str, Any]) -> str:
    words = language()
    if record["needs_review"]:
        return words.say("Your check-in is kept")
    return words.say("You are in, a little late") if record["status"] == "tardy" else words.say("You are in")


async def _status(visitor: Visitor, record: Mapping[str, Any], zone: str) -> list[str]:
    words = language()
    if record["status"] != "tardy":
        return [words.say("You are recorded as present.")]
    session = await visitor.get(f"/sessions/{record['session_id']}")
    late = words.say("You are recorded as late.")
    if record["minutes_late"]:
        late = words.say("Late by {minutes} min.", minutes=record["minutes_late"])
    began, grace = _time(session["starts_at"], zone), session["late_after_minutes"]
    why = words.say("The class began at {time}; up to {minutes} min. after that is in time.", time=began, minutes=grace)
    return [late, why]


def _how(record: Mapping[str, Any]) -> list[str]:
    words = language()
    by = [
        words.say(_SAID.get(one["reason"], one["method"])) for one in record["evidence"] if one["verdict"] == "accept"
    ]
    return [words.say("Shown by: {methods}.", methods=", ".join(by))] if by else []


def _waits_for(record: Mapping[str, Any]) -> list[str]:
    waits = language().say("Waiting for review by your teacher.")
    return [" ".join([waits, *reasons_of(record)])] if record["needs_review"] else []


def reasons_of(record: Mapping[str, Any]) -> list[str]:
    """Why a person takes a look at a record; empty when none does."""
    if not record["needs_review"]:
        return []
    said = [one["reason"] or one["method"] for one in record["evidence"] if one["verdict"] == "review"]
    return list(dict.fromkeys(language().say(_SAID.get(one, one)) for one in said))


def _time(told: str, zone: str) -> str:
    return times.clock(told, zone, language().language)
