"""Extracts for studies: the agreement first, then rows with random codes in which nobody is told apart (§99.31)."""

from homeroom_ferpa.research.commands import add_commands
from homeroom_ferpa.research.part import Research
from homeroom_ferpa.research.routes import add_routes

__all__ = ["Research", "add_commands", "add_routes"]
