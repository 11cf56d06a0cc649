"""What these pages share: the words for codes, values in one line, and the schools that a visitor administers."""

from __future__ import annotations

import json
from typing import Any

from quart import Response

from homeroom_web.admin import terms
from homeroom_web.lawful import lawful
from homeroom_web.pages import Handler, Pages, language
from homeroom_web.times import NOTHING
from homeroom_web.visitors import Failed, Visitor


def page(pages: Pages, template: str, visitor: Visitor, refusal: Failed | None = None, **values: Any) -> Response:
    """A page with what a route has refused, if anything.

    Its templates have the words for codes (`t`), `named` for a word of the interface, and `text` for any value.
    """
    return pages.render(template, visitor=visitor, refusal=refusal, t=terms, named=named, text=text, **values)


def named(word: str) -> str:
    """A word of the interface in the browser's language; one that is not known stays as it is."""
    known = terms.INTERFACE.get(word)
    return language().say(known) if known is not None else word


def text(value: Any) -> str:
    """Any value of a row, in one line."""
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


async def schools_of(visitor: Visitor) -> list[dict[str, Any]]:
    """The schools that the visitor administers: `school_id`, `school`, and the limits of their day."""
    found: list[dict[str, Any]] = (await visitor.get("/notifications/limits"))["items"]
    return found


def by_law(pages: Pages, handler: Handler) -> Handler:
    """A page for visitors that needs the plugin `ferpa`; where that is off, it says so."""
    return lawful(pages, handler, off="admin/no_law.html")
