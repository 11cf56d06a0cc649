"""A district administrator's pages; a school's own administrators see some of them."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.admin import (
    audit,
    cases,
    compliance,
    incidents,
    jobs,
    keeping,
    messages,
    plugins,
    rules,
    texts,
)
from homeroom_web.pages import Pages


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """All of them."""
    plugins.add_routes(blueprint, pages)
    messages.add_routes(blueprint, pages)
    rules.add_routes(blueprint, pages)
    texts.add_routes(blueprint, pages)
    compliance.add_routes(blueprint, pages)
    cases.add_routes(blueprint, pages)
    keeping.add_routes(blueprint, pages)
    incidents.add_routes(blueprint, pages)
    audit.add_routes(blueprint, pages)
    jobs.add_routes(blueprint, pages)
