"""Rosters from OneRoster 1.2 and 1.1: over REST, and from CSV bundles in a folder or a zip file."""

from homeroom_oneroster.asking import Wish
from homeroom_oneroster.bundle import Bundle
from homeroom_oneroster.connector import Connector
from homeroom_oneroster.plugin import OneRoster
from homeroom_oneroster.rest import RestConnector

__all__ = ["Bundle", "Connector", "OneRoster", "RestConnector", "Wish"]
