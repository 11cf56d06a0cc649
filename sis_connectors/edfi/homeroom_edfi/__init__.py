"""Rosters from an Ed-Fi ODS/API, and attendance events into it."""

from homeroom_edfi.plugin import EdFi

__all__ = ["EdFi"]
