"""Asking routes: their addresses, lists read page by page, names beside ids, and refusals that a page can show."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from homeroom_web.pages import FORBIDDEN, NOT_FOUND
from homeroom_web.visitors import Failed, Visitor

CONFLICT, CHANGED, UNPROCESSABLE = 409, 412, 422
_BESIDE = (CONFLICT, CHANGED, 413, 415, UNPROCESSABLE)
_PAGE = 500
_MOST_NAMES = 60


def part(text: str) -> str:
    """One id or name as a part of an address."""
    return quote(text, safe=":")


def link(path: str, values: Mapping[str, Any]) -> str:
    """A path with those values that are there, as a query."""
    kept = {name: value for name, value in values.items() if value not in (None, "")}
    return f"{path}?{urlencode(kept)}" if kept else path


def beside_form(refusal: Failed, *also: int) -> Failed:
    """A refusal that is shown beside its form, with what was filled in. Raises all others but those in `also`."""
    if refusal.status not in (*_BESIDE, *also):
        raise refusal
    return refusal


async def tried(change: Awaitable[Any], *also: int) -> Failed | None:
    """Why a route refused a change, to be said beside its form; None when it is done. Raises Failed for all else."""
    try:
        await change
    except Failed as refusal:
        return beside_form(refusal, *also)
    return None


async def whole(visitor: Visitor, path: str, most: int, **wanted: str) -> tuple[list[dict[str, Any]], bool]:
    """A list of a route, page by page up to `most` items, and whether there are more."""
    items: list[dict[str, Any]] = []
    given: dict[str, Any] = dict(wanted)
    while len(items) < most:
        page = await visitor.get(link(path, {**given, "limit": min(_PAGE, most - len(items))}))
        items += page["items"]
        if page["next"] is None:
            return items, False
        given["cursor"] = page["next"]
    return items, True


async def name_of(visitor: Visitor, student_id: str) -> str | None:
    """What a student is called; None of one who is gone, or whom the visitor may not see."""
    try:
        return str((await visitor.get(f"/students/{part(student_id)}"))["name"])
    except Failed as refusal:
        if refusal.status not in (FORBIDDEN, NOT_FOUND):
            raise
        return None


async def names_of(visitor: Visitor, ids: Iterable[str | None]) -> dict[str, str]:
    """The names of students by id, as far as the visitor may see them, of sixty at most."""
    asked = list(dict.fromkeys(one for one in ids if one))[:_MOST_NAMES]
    return {one: name for one in asked if (name := await name_of(visitor, one)) is not None}
