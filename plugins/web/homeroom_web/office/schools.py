"""Which school a page of the office is about, and which day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from homeroom_web import times
from homeroom_web.asking import UNPROCESSABLE
from homeroom_web.pages import NOT_FOUND, language
from homeroom_web.visitors import Failed, Visitor


@dataclass(frozen=True, slots=True)
class At:
    """The visitor's schools, and the one that the page is about."""

    all: list[dict[str, Any]]
    school: dict[str, Any]

    @property
    def id(self) -> str:
        """Of the one."""
        return str(self.school["id"])

    @property
    def today(self) -> date:
        """The date there."""
        return date.fromisoformat(self.school["today"])

    def clock(self) -> Callable[[str], str]:
        """What a clock there showed at a moment, in the browser's language."""
        zone, words = self.school["time_zone"], language()
        return lambda moment: times.clock(moment, zone, words.language)


async def school_of(visitor: Visitor, wanted: str) -> At:
    """The school that is wanted, else the visitor's first. Raises Failed where there is none."""
    found: list[dict[str, Any]] = (await visitor.get("/schools/"))["items"]
    chosen = next((one for one in found if wanted in ("", one["id"])), None)
    if chosen is None:
        raise Failed(NOT_FOUND, language().say("There is no such school, or you do not work there."))
    return At(found, chosen)


def day_or(default: date, text: str) -> date:
    """The day that `text` names, else the default. Raises Failed for what is no day."""
    try:
        return date.fromisoformat(text) if text else default
    except ValueError:
        raise Failed(UNPROCESSABLE, language().say("This is no date: please choose one.")) from None
