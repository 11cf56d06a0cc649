"""A district administrator's pages."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.admin import (
    health,
    plugin_settings,
    plugins,
    sync,
    sync_attendance,
    sync_conflicts,
    sync_rows,
    sync_runs,
)
from homeroom_web.pages import Pages


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """All of them."""
    for part in (plugins, plugin_settings, sync, sync_runs, sync_conflicts, sync_rows, sync_attendance, health):
        part.add_routes(blueprint, pages)
