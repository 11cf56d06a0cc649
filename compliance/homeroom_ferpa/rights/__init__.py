"""Inspection, amendment, hearing, the annual notice, retention and erasure (34 CFR 99.7, 99.10-99.12, 99.20-99.22)."""

from homeroom_ferpa.rights.commands import add_commands
from homeroom_ferpa.rights.hearings import statements_for
from homeroom_ferpa.rights.part import Rights
from homeroom_ferpa.rights.routes import add_routes
from homeroom_ferpa.rights.settings import RightsSettings

__all__ = ["Rights", "RightsSettings", "add_commands", "add_routes", "statements_for"]
