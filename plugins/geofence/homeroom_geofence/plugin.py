"""The plugin: whether a student who checks in is where the school is."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from homeroom import HOOK_API, Attempt, Evidence, Services, Verdict, hookimpl
from homeroom_geofence.areas import Area, Latitude, Longitude

EVERYWHERE = "*"
"""The key in `areas` for every school that has no area of its own."""


class GeofenceSettings(BaseModel):
    """Where students may check in, and how exact their phones must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    areas: dict[str, Area] = Field(
        default={}, description='The area of each school by its id; "*" holds for schools that have none.'
    )
    max_accuracy_m: float = Field(
        default=100, gt=0, le=10_000, description="A position less exact than this many metres is left to a person."
    )


class Position(BaseModel):
    """What a phone says of itself. It is judged and dropped: nothing here is stored or logged."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    lat: Latitude
    lon: Longitude
    accuracy_m: float = Field(ge=0, allow_inf_nan=False)


class Geofence:
    """Check-in only from the school's grounds.

    Accepts a position inside the area, rejects one that is surely outside, and leaves to a person what the phone's own
    accuracy cannot tell. The evidence names none of it.
    """

    hook_api = HOOK_API
    scopes = frozenset({"proof.location"})
    Settings = GeofenceSettings

    def __init__(self, settings: GeofenceSettings, services: Services) -> None:
        self.settings = settings
        self.method = services.name  # two instances with different settings are two methods

    @hookimpl
    async def verify_check_in(self, attempt: Attempt) -> Evidence | None:
        """Whether the phone says that it is at the school."""
        if self.method not in attempt.session.methods or "location" not in attempt.proof:
            return None
        position = _position(attempt.proof["location"])
        if position is None:
            return self._evidence(Verdict.REJECT, "no usable position was sent", problem="proof-missing")
        areas = self.settings.areas
        return self._judge(position, areas.get(attempt.session.school_id) or areas.get(EVERYWHERE))

    def _judge(self, position: Position, area: Area | None) -> Evidence:
        if area is None:
            return self._evidence(Verdict.REVIEW, "no area is set for this school")
        outside = area.metres_outside(position.lat, position.lon)
        if outside > position.accuracy_m:
            return self._evidence(Verdict.REJECT, "outside the area", problem="outside-area")
        if position.accuracy_m > self.settings.max_accuracy_m:
            return self._evidence(Verdict.REVIEW, "the position was not exact enough to tell")
        if outside > 0:
            return self._evidence(Verdict.REVIEW, "at the edge of the area")
        return self._evidence(Verdict.ACCEPT, "inside the area")

    def _evidence(self, verdict: Verdict, reason: str, *, problem: str | None = None) -> Evidence:
        return Evidence(method=self.method, verdict=verdict, reason=reason, problem=problem)


def _position(found: Any) -> Position | None:
    try:
        return Position.model_validate(found)
    except ValidationError:
        return None
