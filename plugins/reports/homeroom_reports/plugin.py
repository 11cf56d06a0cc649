"""The plugin: counts what the core has recorded, for those who may see the records, and says how it counted."""

from __future__ import annotations

from quart import Blueprint

from homeroom import HOOK_API, Routes, Services, hookimpl
from homeroom_reports.routes import add_routes
from homeroom_reports.settings import ReportsSettings


class Reports:
    """Figures that explain themselves. It keeps nothing: each answer is counted from the records as they are now."""

    hook_api = HOOK_API
    scopes = frozenset({"attendance.status", "student.given_name", "student.family_name", "student.preferred_name"})
    Settings = ReportsSettings

    def __init__(self, settings: ReportsSettings, services: Services) -> None:
        self.settings = settings
        self.services = services

    @hookimpl
    def routes(self) -> Routes:
        """`/api/v1/reports/…`."""
        pages = Blueprint("reports", __name__)
        add_routes(pages, self.services, self.settings)
        return Routes(prefix="/api/v1/reports", blueprint=pages)
