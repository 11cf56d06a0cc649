"""A guardian's pages."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.family import children
from homeroom_web.pages import Pages


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """All of them."""
    children.add_routes(blueprint, pages)
