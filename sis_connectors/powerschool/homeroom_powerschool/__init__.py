"""Rosters from PowerSchool SIS, and attendance into it."""

from homeroom_powerschool.connector import Connector
from homeroom_powerschool.plugin import PowerSchool
from homeroom_powerschool.settings import PowerSchoolSettings

__all__ = ["Connector", "PowerSchool", "PowerSchoolSettings"]
