"""Which school a page of the office is about, and lists that are read to their end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from quart import request

from homeroom_web.pages import NOT_FOUND, language
from homeroom_web.visitors import Failed, Visitor

_PAGE = 500
PROBLEM = 422


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
        """What a clock there showed at a moment."""
        zone = ZoneInfo(self.school["time_zone"])
        return lambda moment: datetime.fromisoformat(moment).astimezone(zone).strftime("%H:%M")


async def school_of(visitor: Visitor, wanted: str) -> At:
    """The school that is wanted, else the visitor's first. Raises Failed where there is none."""
    found: list[dict[str, Any]] = (await visitor.get("/schools/"))["items"]
    chosen = next((one for one in found if wanted in ("", one["id"])), None)
    if chosen is None:
        raise Failed(NOT_FOUND, language().say("There is no such school, or you do not work there."))
    return At(found, chosen)


def asked(name: str) -> str:
    """One part of the address that was asked for."""
    return request.args.get(name, "").strip()


def day_or(default: date, text: str) -> date:
    """The day that `text` names, else the default. Raises Failed for what is no day."""
    try:
        return date.fromisoformat(text) if text else default
    except ValueError:
        raise Failed(PROBLEM, language().say("This is no date: please choose one.")) from None


async def whole(visitor: Visitor, path: str, most: int, **wanted: str) -> tuple[list[dict[str, Any]], bool]:
    """A list of a route, page by page up to `most` items, and whether there are more."""
    items: list[dict[str, Any]] = []
    given = {name: value for name, value in wanted.items() if value}
    while len(items) < most:
        page = await visitor.get(f"{path}?{urlencode({**given, 'limit': str(min(_PAGE, most - len(items)))})}")
        items += page["items"]
        if page["next"] is None:
            return items, False
        given["cursor"] = page["next"]
    return items, True
