"""What a district may set in [plugins.ferpa.rights]."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Retention(BaseModel):
    """How long what is kept, in days; None: for as long as the record, or for good. It is the written policy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    automatic: bool = Field(default=False, description="Purge once a night; else only by the command.")
    attendance: int | None = Field(
        default=None,
        ge=1,
        description="Attendance, corrections and reports of a student who has left: since the last day.",
    )
    messages: int | None = Field(default=None, ge=1, description="Messages that are on no way any more, since sent.")
    audit: int | None = Field(default=None, ge=1, description="Audit rows of reads and hand-outs; never the journal's.")
    sign_ins: int = Field(default=90, ge=1, description="Sign-ins that have ended or run out.")
    idempotency: int = Field(default=1, ge=1, description="Answers kept for a POST that is sent again.")
    sync_leftovers: int = Field(default=90, ge=1, description="Rows of a source that could not be taken.")


class RightsSettings(BaseModel):
    """Deadlines, and what the annual notice says of the district."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inspection_days: int = Field(default=45, ge=1, le=45, description="Within which a request to inspect is met.")
    inspection_alert_day: int = Field(default=40, ge=1, le=44, description="On which an open request raises an alert.")
    amendment_days: int = Field(default=30, ge=1, le=365, description="The district's reasonable time to decide.")
    hearing_days: int = Field(default=30, ge=1, le=365, description="Within which a hearing is held and decided.")
    district: str = Field(default="the school district", max_length=200)
    contact: str = Field(default="the records office of your school", max_length=500)
    school_officials: str = Field(
        default="an employee of the district, a member of its board, or a contractor under its direct control",
        max_length=2000,
        description="Who counts as a school official (34 CFR 99.7(a)(3)(iii)).",
    )
    legitimate_interest: str = Field(
        default="the official needs the record to do the work that the district has given them",
        max_length=2000,
        description="What counts as a legitimate educational interest.",
    )
    notices: dict[str, str] = Field(
        default={}, description="The district's own translations of the annual notice, by language (BCP 47)."
    )
    retention: Retention = Retention()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.inspection_alert_day > self.inspection_days:
            raise ValueError("inspection_alert_day must not be after inspection_days")
        return self
