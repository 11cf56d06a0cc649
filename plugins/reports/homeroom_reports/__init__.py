"""Figures that explain themselves: daily attendance, chronic absence, ADA and ADM, rolls not taken, check-ins."""

from homeroom_reports.plugin import Reports
from homeroom_reports.settings import ReportsSettings

__all__ = ["Reports", "ReportsSettings"]
