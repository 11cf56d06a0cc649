"""Pages that need the plugin `ferpa`: where it is off, they say so, to an office otherwise than to a family."""

from __future__ import annotations

import functools
from typing import Any

from quart import Response

from homeroom_web.pages import NOT_FOUND, Handler, Pages
from homeroom_web.visitors import Failed, Visitor


def lawful(pages: Pages, handler: Handler, *, off: str) -> Handler:
    """A page for visitors; `off` is the template that says that the plugin is not there."""

    @functools.wraps(handler)
    async def view(visitor: Visitor, **path: Any) -> Response:
        try:
            return await handler(visitor, **path)
        except Failed as refusal:
            if refusal.status != NOT_FOUND or await _is_on(visitor):
                raise
        return pages.render(off, visitor=visitor, status=NOT_FOUND)

    return pages.for_visitors(view)


async def _is_on(visitor: Visitor) -> bool:
    """Whether the routes of the law are there at all."""
    try:
        await visitor.get("/compliance/notice")  # which everybody may read
    except Failed as refusal:
        return refusal.status != NOT_FOUND
    return True
