"""A district administrator's pages."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.admin import plugins
from homeroom_web.pages import Pages


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """All of them."""
    plugins.add_routes(blueprint, pages)
