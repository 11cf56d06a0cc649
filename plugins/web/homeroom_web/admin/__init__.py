"""A district administrator's pages; a school's own administrators see some of them."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.admin import (
    audit,
    cases,
    compliance,
    health,
    incidents,
    jobs,
    keeping,
    messages,
    officials,
    plugin_settings,
    plugins,
    rules,
    sync,
    sync_attendance,
    sync_conflicts,
    sync_rows,
    sync_runs,
    texts,
)
from homeroom_web.pages import Pages

_SYNC = (sync, sync_runs, sync_conflicts, sync_rows, sync_attendance)
_LAW = (compliance, officials, cases, keeping, incidents, audit)


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """All of them."""
    for part in (plugins, plugin_settings, *_SYNC, messages, rules, texts, *_LAW, jobs, health):
        part.add_routes(blueprint, pages)
