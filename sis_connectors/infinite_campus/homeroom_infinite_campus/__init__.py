"""Rosters from Infinite Campus; attendance as a file."""

from homeroom_infinite_campus.plugin import InfiniteCampus, InfiniteCampusSettings
from homeroom_infinite_campus.roster import CampusRoster

__all__ = ["CampusRoster", "InfiniteCampus", "InfiniteCampusSettings"]
