"""What a district sets for Ed-Fi."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

CATEGORIES = {
    "present": "In Attendance",
    "tardy": "Tardy",
    "absent": "Unexcused Absence",
    "excused": "Excused Absence",
}
"""Ed-Fi's own AttendanceEventCategory for each status, where the district names no other."""


class EdFiSettings(BaseModel):
    """An Ed-Fi ODS/API, and how attendance is sent to it.

    `categories` maps a status, or a code of the district's, to an attendance event category. With `present` "delete"
    the ODS holds an event only for those who were not simply present. `end_dates` says whether an association's end is
    its last day (as most systems write it) or the day after.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(description="Up to, and without, /data.")
    data_path: str = Field(default="/data/v3", description="With the school year, where the ODS has one per year.")
    token_url: str = "/oauth/token"  # noqa: S105 - an address
    changes_path: str = "/changeQueries/v1"
    client_id: str
    client_secret: SecretStr
    page_size: int = Field(default=500, ge=1, le=500)
    min_interval: float = Field(default=0.0, ge=0, le=60, description="Seconds between two requests.")
    end_dates: Literal["inclusive", "exclusive"] = "inclusive"
    attendance: Literal["section", "school", "none"] = Field(
        default="section", description="Events per class meeting, per school day, or none."
    )
    present: Literal["send", "delete"] = "send"
    namespace: str = "uri://ed-fi.org"
    categories: dict[str, str] = {}

    @field_validator("data_path", "changes_path")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError("begins with /")
        return value.rstrip("/")

    def category(self, status: str, code: str | None = None, usual: str | None = None) -> str:
        """The category for a mark: what is set for its code, else what the code stands for, else that of its status."""
        if code is not None and (named := self.categories.get(code, usual)):
            return named
        return self.categories.get(status) or usual or CATEGORIES[status]

    def descriptor(self, category: str) -> str:
        """A category as Ed-Fi writes it; one that is a whole descriptor already stays."""
        return category if "#" in category else f"{self.namespace}/AttendanceEventCategoryDescriptor#{category}"
