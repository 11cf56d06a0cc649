"""What the pages on the rights to a record share: whose record it is, and what is said where the district has none."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from quart import Response

from homeroom_web.pages import NOT_FOUND, Handler, Pages, language
from homeroom_web.visitors import Failed, Visitor

REFUSED = (409, 412, 413, 415, 422)
"""What a page shows beside its form, with what was filled in."""


def for_holders(pages: Pages, handler: Handler) -> Handler:
    """A page on somebody's rights; where the plugin that keeps the law does not run, it says so kindly."""

    async def view(visitor: Visitor, **path: Any) -> Response:
        try:
            return await handler(visitor, **path)
        except Failed as refusal:
            if refusal.status != NOT_FOUND or await _is_on(visitor):
                raise
            return pages.render("family/not_on.html", visitor=visitor, status=NOT_FOUND)

    view.__name__ = (
        f"{handler.__module__.rpartition('.')[2]}_{handler.__name__}"  # the route's name, once in the plugin
    )
    return pages.for_visitors(view)


async def _is_on(visitor: Visitor) -> bool:
    """Whether the routes of the law are there at all."""
    try:
        await visitor.get("/compliance/log/keys")
    except Failed as refusal:
        return refusal.status != NOT_FOUND
    return True


async def tried(change: Awaitable[Any]) -> Failed | None:
    """Why a route refused a change, to be said beside its form; None when it is done. Raises Failed for all else."""
    try:
        await change
    except Failed as refusal:
        if refusal.status not in REFUSED:
            raise
        return refusal
    return None


async def student_of(visitor: Visitor, student_id: str) -> Any:
    """The student whose record a page is about. Raises Failed."""
    return await visitor.get(f"/students/{student_id}")


def moment(pages: Pages, text: str | None) -> str:
    """A moment that a route has told, by the district's clock and in the browser's language."""
    if text is None:
        return ""
    at = datetime.fromisoformat(text).astimezone(ZoneInfo(pages.services.time_zone))
    return format_datetime(at, "medium", locale=language().language)
