"""What a district decides about access, consent and directory information: [plugins.ferpa.access]."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

NOTICE = (
    "This holds personal information from education records. It may be used only for the purpose for which it was "
    "disclosed, and may not be disclosed to any other party without consent (34 CFR 99.33)."
)
PURPOSES = frozenset({"education", "attendance", "emergency", "operations", "safety", "audit", "directory"})
INSIDE = frozenset({"ferpa", "accounts", "rotating_code", "geofence", "kiosk", "web", "reports"})


class AccessSettings(BaseModel):
    """Who may see whose records beyond the core's own rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    adult_rights: bool = Field(
        default=True,
        description="A parent's rights pass to the student on the 18th birthday, by the district's date (§99.5).",
    )
    purposes: frozenset[str] = Field(
        default=PURPOSES, min_length=1, description="Every purpose for which records may be used; others are denied."
    )
    inside: frozenset[str] = Field(
        default=INSIDE,
        description="Plugins that give nothing to anybody outside, so that no agreement need be on file for them.",
    )
    notice: str = Field(
        default=NOTICE,
        min_length=20,
        max_length=400,
        pattern=r"^[ -~]+$",
        description="The redisclosure notice (§99.33) that goes out with data; plain ASCII, for it is a header, too.",
    )
