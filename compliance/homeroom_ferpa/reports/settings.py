"""What a district may set in [plugins.ferpa.reports]."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class ReportsSettings(BaseModel):
    """From how many students on a figure may be seen, and which review stands behind that."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    small_cell: int = Field(
        default=10, ge=3, le=1000, description="A figure of fewer students than this is never published (§99.31(b)(1))."
    )
    review: str = Field(
        default="",
        max_length=500,
        description="Where the district's review of re-identification is kept; without it no figures are published.",
    )
    minimum_days: int = Field(
        default=10, ge=1, le=200, description="Students who were enrolled on fewer days are in no published figure."
    )
    results: Path | None = Field(
        default=None, description="Outcomes of a run of the compliance tests, for `homeroom compliance report`."
    )
