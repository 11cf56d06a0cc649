"""What a district may set in [plugins.ferpa.watch]."""

from __future__ import annotations

from datetime import time
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST = 5_000
"""So many different students of one party are told apart in one span; a flag that says so means "or more"."""

State = Literal["NY", "IL"]
"""The states whose clocks are known."""


class WatchSettings(BaseModel):
    """From when on reading and exporting is unusual, and which state's clocks run after a breach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    states: tuple[State, ...] = Field(default=(), description="Whose clocks an incident has, unless it names others.")
    day_begins: time = Field(default=time(6), description="School hours, in the district's time zone: from …")
    day_ends: time = Field(default=time(19), description="… to.")
    weekdays: frozenset[int] = Field(default=frozenset(range(5)), description="Days with school hours; 0 is Monday.")
    night_students: int = Field(
        default=200,
        ge=1,
        le=MOST,
        description="So many different students read by one person outside school hours, in a night.",
    )
    bulk_students: int = Field(
        default=1000,
        ge=1,
        le=MOST,
        description="So many different students shown or handed to one party within `minutes`.",
    )
    exports: int = Field(default=5, ge=1, description="So many exports of the whole district within `minutes`.")
    minutes: int = Field(default=60, ge=2, le=1440)
    key_minutes: int = Field(
        default=60, ge=1, le=1440, description="An API key seen in two networks within this time is flagged."
    )
    session_minutes: int = Field(
        default=10,
        ge=1,
        le=1440,
        description="A sign-in that changes networks and is back within this time is flagged.",
    )
    expected: frozenset[str] = Field(
        default=frozenset(),
        description='Parties that may be handed many students, such as "key:ID" or "plugin:NAME" of a nightly sync.',
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.day_begins >= self.day_ends:
            raise ValueError("day_begins must be before day_ends")
        if any(day not in range(7) for day in self.weekdays):
            raise ValueError("weekdays are 0 (Monday) to 6")
        return self
