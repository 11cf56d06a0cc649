"""Rosters from OneRoster 1.2 and 1.1 CSV bundles, in a folder or a zip file."""

from homeroom_oneroster.bundle import Bundle
from homeroom_oneroster.connector import Connector
from homeroom_oneroster.plugin import OneRoster

__all__ = ["Bundle", "Connector", "OneRoster"]
