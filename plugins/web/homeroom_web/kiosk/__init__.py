"""The tablet at the school's door: a page of its own, under the tablet's token and nobody's sign-in."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.kiosk import door
from homeroom_web.pages import Pages


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """All of it."""
    door.add_routes(blueprint, pages)
