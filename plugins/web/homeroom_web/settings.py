"""How the pages present themselves."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class WebSettings(BaseModel):
    """What a district may choose of its pages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(default="Homeroom", min_length=1, max_length=60, description="What stands at the top of a page.")
    scans: str = Field(
        default="/plugins/rotating_code/scans",
        pattern=r"^/plugins/[a-z0-9_]+/scans$",
        description="Where a scanned picture is exchanged for a receipt that outlasts the sign-in.",
    )
    signed_in_hours: int = Field(default=12, ge=1, le=24 * 30, description="How long a browser stays signed in.")
