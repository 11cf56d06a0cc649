"""A teacher's pages: classes, the roll with its live board, the projector's, corrections, and a substitute's link."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.pages import Pages
from homeroom_web.teacher import board, marks, records, screen, substitutes


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """All of them."""
    for part in (board, marks, screen, records, substitutes):
        part.add_routes(blueprint, pages)
