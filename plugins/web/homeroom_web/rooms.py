"""The lists of an office's and an administrator's pages."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.menu import ROOMS, Room
from homeroom_web.pages import Handler, Pages
from homeroom_web.visitors import Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/office` and `/admin`."""
    for room in ROOMS:
        blueprint.get(room.path, endpoint=room.path.strip("/"))(pages.for_visitors(_list(pages, room)))


def _list(pages: Pages, room: Room) -> Handler:
    async def view(visitor: Visitor) -> Response:
        return pages.render("room.html", visitor=visitor, here=room)

    return view
