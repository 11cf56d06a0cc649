"""The school office's pages."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.office import (
    absences,
    completion,
    emergency,
    files,
    kiosks,
    marks_in,
    reports,
    search,
    students,
    today,
)
from homeroom_web.pages import Pages


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """All of them."""
    for part in (completion, today, absences, search, students, files, marks_in, reports, emergency, kiosks):
        part.add_routes(blueprint, pages)
