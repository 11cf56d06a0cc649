"""Check-in only from the school's grounds; keeps the verdict, never the position."""

from homeroom_geofence.areas import Circle, Polygon
from homeroom_geofence.plugin import Geofence, GeofenceSettings

__all__ = ["Circle", "Geofence", "GeofenceSettings", "Polygon"]
