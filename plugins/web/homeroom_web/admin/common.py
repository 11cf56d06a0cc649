"""What these pages share: links with what was chosen, names beside ids, and a word when the law's plugin is off."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from quart import Response, request

from homeroom_web.admin import terms
from homeroom_web.pages import NOT_FOUND, Handler, Pages
from homeroom_web.visitors import Failed, Visitor

REFUSED = (409, 412, 422)
"""What a page says beside the form, with what was filled in; any other refusal is a page of its own."""

_MOST_NAMES = 60


def link(path: str, values: Mapping[str, Any]) -> str:
    """A path with those values that are there, as a query."""
    kept = {name: value for name, value in values.items() if value not in (None, "")}
    return f"{path}?{urlencode(kept)}" if kept else path


def part(text: str) -> str:
    """One id as a part of a route's path."""
    return quote(text, safe=":")


def chosen(*names: str) -> dict[str, str]:
    """What was chosen in a form that is sent by GET: every name, empty where nothing was."""
    return {name: request.args.get(name, "").strip() for name in names}


async def filled(names: Iterable[str]) -> dict[str, str]:
    """What was filled in in a form, without blanks around it."""
    form = await request.form
    return {name: str(form.get(name, "")).strip() for name in names}


def given(values: Mapping[str, str]) -> dict[str, str]:
    """Only what was filled in."""
    return {name: value for name, value in values.items() if value}


def accepted(refusal: Failed) -> Failed:
    """A refusal that is shown beside its form. Raises any other one."""
    if refusal.status not in REFUSED:
        raise refusal
    return refusal


async def schools_of(visitor: Visitor) -> list[dict[str, Any]]:
    """The schools that the visitor administers: `school_id`, `school`, and the limits of their day."""
    found: list[dict[str, Any]] = (await visitor.get("/notifications/limits"))["items"]
    return found


async def names_of(visitor: Visitor, ids: Iterable[str | None]) -> dict[str, str]:
    """The names of students by id, as far as the visitor may see them; one who is gone is not among them."""
    found: dict[str, str] = {}
    for student_id in list(dict.fromkeys(one for one in ids if one))[:_MOST_NAMES]:
        try:
            found[student_id] = (await visitor.get(f"/students/{part(student_id)}"))["name"]
        except Failed as refusal:
            if refusal.status not in (403, NOT_FOUND):
                raise
    return found


def page(pages: Pages, template: str, visitor: Visitor, refusal: Failed | None = None, **values: Any) -> Response:
    """A page with the words for codes (`t`), and with what a route has refused, if anything."""
    status = refusal.status if refusal else 200
    return pages.render(template, visitor=visitor, status=status, refusal=refusal, t=terms, **values)


def lawful(pages: Pages, handler: Handler) -> Handler:
    """A page for visitors that needs the plugin `ferpa`; where that is off, it says so."""

    @functools.wraps(handler)
    async def view(visitor: Visitor, **path: Any) -> Response:
        try:
            return await handler(visitor, **path)
        except Failed as refusal:
            if refusal.status != NOT_FOUND or await _is_on(visitor):
                raise
        return pages.render("admin/no_law.html", visitor=visitor)

    return pages.for_visitors(view)


async def _is_on(visitor: Visitor) -> bool:
    try:
        await visitor.get("/compliance/notice")  # everybody may read it
    except Failed:
        return False
    return True
