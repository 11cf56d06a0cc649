"""Unusual reading and exports, flagged with the evidence; incidents, and the clocks of New York and Illinois."""

from homeroom_ferpa.watch.commands import add_commands
from homeroom_ferpa.watch.part import Watch
from homeroom_ferpa.watch.routes import add_routes
from homeroom_ferpa.watch.settings import WatchSettings

__all__ = ["Watch", "WatchSettings", "add_commands", "add_routes"]
