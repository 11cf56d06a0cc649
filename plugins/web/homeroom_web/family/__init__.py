"""A guardian's pages, and what an eligible student has of them."""

from __future__ import annotations

from quart import Blueprint

from homeroom_web.family import amendments, children, documents, entries, inspections, messages, privacy, records
from homeroom_web.pages import Pages

UPLOADS = documents.UPLOADS


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """All of them."""
    for part in (children, documents, messages, records, entries, inspections, amendments, privacy):
        part.add_routes(blueprint, pages)
