"""What a district may choose of its tablets."""

from __future__ import annotations

from datetime import time

from pydantic import BaseModel, ConfigDict, Field


class KioskSettings(BaseModel):
    """When a school day ends, how many wrong tries are borne, and how long entries are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    day_ends: time = Field(
        default=time(14, 30),
        description="In the district's time zone. Whoever leaves before it leaves early; from then on tablets offer "
        "to leave.",
    )
    day_ends_at: dict[str, time] = Field(default={}, description="The same for single schools, by their ids.")
    early_minutes: int = Field(
        default=60, ge=0, le=240, description="How long before a class begins coming in still counts for it."
    )
    pin_digits: int = Field(default=6, ge=4, le=10)
    tries_per_student: int = Field(default=5, ge=1, le=50, description="Wrong PINs of one student, at all tablets.")
    tries_per_tablet: int = Field(default=30, ge=1, le=1000, description="Wrong PINs, or wrong cards, of one tablet.")
    tries_minutes: int = Field(default=15, ge=1, le=1440, description="In how many minutes those are counted.")
    student_locked_hours: int = Field(
        default=12,
        ge=1,
        le=168,
        description="How long a student's PIN is locked, where the office does not release it.",
    )
    tablet_locked_minutes: int = Field(default=15, ge=1, le=1440, description="The same for a tablet.")
    code_minutes: int = Field(default=30, ge=5, le=1440, description="How long the code to set up a tablet is good.")
    keep_days: int = Field(default=90, ge=1, le=3650, description="How long it is kept who came and left when.")

    def day_ends_for(self, school_id: str) -> time:
        """When the day of a school ends."""
        return self.day_ends_at.get(school_id, self.day_ends)
