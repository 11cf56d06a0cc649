"""Areas on the map, and how far outside one a position lies."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

EARTH_METRES = 6_371_008.8
"""The mean radius of the Earth (IUGG)."""

Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class _Area(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Circle(_Area):
    """Everything within `radius_m` metres of a point."""

    kind: Literal["circle"] = "circle"
    lat: Latitude
    lon: Longitude
    radius_m: float = Field(gt=0, le=50_000)

    def metres_outside(self, lat: float, lon: float) -> float:
        """How far outside a position lies, in metres; 0 inside."""
        return max(0.0, distance(self.lat, self.lon, lat, lon) - self.radius_m)


class Polygon(_Area):
    """Everything inside a line through `points` (latitude, longitude), which closes by itself."""

    kind: Literal["polygon"] = "polygon"
    points: list[tuple[Latitude, Longitude]] = Field(min_length=3, max_length=500)

    def metres_outside(self, lat: float, lon: float) -> float:
        """How far outside a position lies, in metres; 0 inside or on the line."""
        # Flat metres around the position: exact enough over the few kilometres of a school's grounds.
        north = math.radians(1) * EARTH_METRES
        east = north * math.cos(math.radians(lat))
        corners = [(_turn(point_lon - lon) * east, (point_lat - lat) * north) for point_lat, point_lon in self.points]
        edges = list(zip(corners, [*corners[1:], corners[0]], strict=True))
        inside = sum(_crosses(a, b) for a, b in edges) % 2 == 1
        return 0.0 if inside else min(_to_edge(a, b) for a, b in edges)


Area = Annotated[Circle | Polygon, Field(discriminator="kind")]


def distance(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """The great-circle distance of two positions in metres (haversine)."""
    one, two = math.radians(lat), math.radians(other_lat)
    across = math.sin(math.radians(other_lon - lon) / 2) ** 2
    half = math.sin((two - one) / 2) ** 2 + math.cos(one) * math.cos(two) * across
    return 2 * EARTH_METRES * math.asin(min(1.0, math.sqrt(half)))


def _turn(degrees: float) -> float:
    """A difference of longitudes the short way round, so that an area may lie across the date line."""
    return (degrees + 180) % 360 - 180


def _crosses(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether the edge from `a` to `b` crosses the ray that goes east from the origin."""
    if (a[1] > 0) == (b[1] > 0):
        return False
    return a[0] + (b[0] - a[0]) * -a[1] / (b[1] - a[1]) > 0


def _to_edge(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The distance from the origin to the nearest point between `a` and `b`."""
    along = (b[0] - a[0], b[1] - a[1])
    length = along[0] ** 2 + along[1] ** 2
    share = 0.0 if length == 0 else max(0.0, min(1.0, -(a[0] * along[0] + a[1] * along[1]) / length))
    return math.hypot(a[0] + share * along[0], a[1] + share * along[1])
