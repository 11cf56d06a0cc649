"""What the pages on the rights to a record share: whose record it is, and what is said where the district has none."""

from __future__ import annotations

from typing import Any

from homeroom_web.lawful import lawful
from homeroom_web.pages import Handler, Pages
from homeroom_web.visitors import Visitor


def for_holders(pages: Pages, handler: Handler) -> Handler:
    """A page on somebody's rights; where the plugin that keeps the law does not run, it says so kindly."""
    view = lawful(pages, handler, off="family/not_on.html")
    # Several of these modules have a page of the same name; a route's name stands once in the plugin.
    view.__name__ = f"{handler.__module__.rpartition('.')[2]}_{handler.__name__}"
    return view


async def student_of(visitor: Visitor, student_id: str) -> Any:
    """The student whose record a page is about. Raises Failed."""
    return await visitor.get(f"/students/{student_id}")
