"""A teacher's pages: classes, the roll with its live board, and the projector's."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.pages import Pages
from homeroom_web.teacher import board, screen


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """All of them."""
    for part in (board, screen):
        part.add_routes(blueprint, pages)
