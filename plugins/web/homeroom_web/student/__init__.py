"""A student's pages: checking in, and one's own days."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.pages import Pages
from homeroom_web.scans import Scans
from homeroom_web.student import check_in, days, late


def add_routes(blueprint: Blueprint, pages: Pages, scans: Scans) -> None:
    """All of them."""
    check_in.add_routes(blueprint, pages, scans)
    late.add_routes(blueprint, pages)
    days.add_routes(blueprint, pages)
