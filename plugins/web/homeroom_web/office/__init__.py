"""The school office's pages."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.office import absences, kiosks
from homeroom_web.pages import Pages


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """All of them."""
    absences.add_routes(blueprint, pages)
    kiosks.add_routes(blueprint, pages)
