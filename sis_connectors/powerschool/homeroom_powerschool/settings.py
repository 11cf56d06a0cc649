"""What a district says about its PowerSchool."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

Flag = Literal["custodial", "data_access", "lives_with", "school_pickup"]

DEFAULT_CODES = {"present": "", "tardy": "T", "absent": "A", "excused": "E"}


def _address(url: str) -> str:
    parts = urlsplit(url)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not here):
        raise ValueError("this is PowerSchool's address and begins with https://")
    return url.rstrip("/")


class PowerSchoolSettings(BaseModel):
    """Where PowerSchool is, what signs Homeroom in there, and how the district's attendance is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: Annotated[str, AfterValidator(_address)] = Field(description="PowerSchool's address, https://…")
    client_id: str | None = Field(
        default=None,
        json_schema_extra={"env": "POWERSCHOOL_CLIENT_ID"},
        description="From the plugin's Data Provider Configuration, once plugin.zip is installed.",
    )
    client_secret: SecretStr | None = Field(
        default=None, json_schema_extra={"env": "POWERSCHOOL_CLIENT_SECRET"}, description="From the same page."
    )
    attendance_mode: Literal["meeting", "daily"] = Field(
        default="meeting",
        description="How the schools take attendance: by class meeting, or once a day. Never both.",
    )
    present_marks: Literal["write", "skip"] = Field(
        default="write",
        description="Whether a present student without any mark in PowerSchool gets a written one.",
    )
    codes: dict[str, str] = Field(
        default={},
        description="From a status or code here to the letters in PowerSchool; an empty text is its blank code.",
    )
    codes_by_school: dict[str, dict[str, str]] = Field(
        default={}, description="The same for single schools, by school number; `present` undoes an absence there."
    )
    guardians: tuple[Flag, ...] = Field(
        default=("custodial", "data_access"),
        description="A contact with one of these flags, within its dates, is a guardian; none: no contact is read.",
    )
    principal_titles: tuple[str, ...] = Field(
        default=(), description='Job titles that make somebody a principal of the school, as "Principal".'
    )
    student_number_digits: int = Field(
        default=0, ge=0, le=20, description="Student numbers are filled up with zeros to this length."
    )
    page_size: int = Field(default=500, ge=1, le=10_000, description="Rows of a page of lists, at most.")
    query_page_size: int = Field(default=1000, ge=1, le=10_000, description="Rows of a page of queries, at most.")
    min_interval: float = Field(
        default=0.0, ge=0, le=60, description="Seconds between two requests; as PowerSchool's own setting says."
    )
    events: bool = Field(
        default=False, description="Whether PowerSchool shall tell of changes, so that they come sooner."
    )

    def letters(self, school_number: int, status: str, code: str | None) -> str:
        """PowerSchool's letters for a mark at a school; the school's own say before the district's, a code's first."""
        known = self.codes_by_school.get(str(school_number), {})
        for table in (known, self.codes):
            if code is not None and code in table:
                return table[code]
        return {**DEFAULT_CODES, **self.codes, **known}[status]
