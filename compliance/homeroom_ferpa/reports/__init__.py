"""The compliance report and figures that tell of nobody."""

from homeroom_ferpa.reports.commands import add_commands
from homeroom_ferpa.reports.routes import add_routes
from homeroom_ferpa.reports.settings import ReportsSettings

__all__ = ["ReportsSettings", "add_commands", "add_routes"]
