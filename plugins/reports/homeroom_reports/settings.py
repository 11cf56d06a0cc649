"""What a district may set in [plugins.reports]."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ReportsSettings(BaseModel):
    """When an absence is chronic, and which classes are to take a roll."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chronic_at: float = Field(
        default=0.1, gt=0, le=1, description="From which share of the enrolled days missed on an absence is chronic."
    )
    minimum_days: int = Field(
        default=10, ge=1, le=200, description="Students who were enrolled on fewer days are not judged."
    )
    rolls_of_homerooms: bool = Field(
        default=False,
        description="Whether only homerooms are to take a roll every day; else every class with students.",
    )
    left_open_hours: float = Field(
        default=3, gt=0, le=24, description="How long after its beginning a session still open today counts as left."
    )
