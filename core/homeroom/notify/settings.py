"""What a rule may say, kind by kind: plain data that an administrator fills in, checked once and kept as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import time
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from homeroom.attendance.codes import EdFiCategory
from homeroom.settings import Hour

Audience = Literal["guardian", "student", "teacher", "office"]
FAMILY: frozenset[Audience] = frozenset({"guardian", "student"})
"""Who is meant: the student's guardians, the student, the class's teachers, or the school's administrators."""

Missed = Literal["absent", "excused"]


class Conditions(BaseModel):
    """Which marks count; what is left empty asks for nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    categories: list[EdFiCategory] = Field(default=[], description="Ed-Fi categories of the mark's code.")
    codes: list[str] = Field(default=[], description="The district's own codes.")
    grades: list[str] = Field(default=[], description="Grades of the student.")
    class_ids: list[str] = Field(default=[], description="Classes in which the mark was made.")

    @property
    def of_marks(self) -> bool:
        """Whether anything is asked of a mark, and not only of its student."""
        return bool(self.categories or self.codes or self.class_ids)


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    audience: list[Audience] = Field(default=["guardian"], min_length=1)
    channels: list[str] = Field(default=[], description="In this order; empty: as each person prefers.")
    until: Hour = Field(default=time(20, 0), description="At the school; later it is not sent any more.")
    purpose: str = Field(default="attendance", pattern=r"^[a-z_]{1,40}$", description="What consent is asked for.")


class _OfStudent(_Rule):
    conditions: Conditions = Conditions()


class _OfStaff(_Rule):
    staff: ClassVar[tuple[Audience, ...]] = ("office",)

    @field_validator("audience")
    @classmethod
    def _is_staff(cls, audience: list[Audience]) -> list[Audience]:
        """The audience, where there is anybody in it."""
        if not set(audience) <= set(cls.staff):
            raise ValueError(f"this can only be told to {' or '.join(cls.staff)}")
        return audience


class Absence(_OfStudent):
    """A student is absent for the day, or (`of` "class") from a class."""

    kind: Literal["absence"] = "absence"
    of: Literal["day", "class"] = "day"
    statuses: list[Missed] = Field(default=["absent"], min_length=1)
    delay_minutes: int = Field(default=15, ge=0, le=480, description="In which a late scan or an excuse still counts.")
    latest: Hour = Field(default=time(11, 0), description="At the school; then it is sent though a roll is not taken.")


class Tardy(_OfStudent):
    """A student came late for the day, or to a class."""

    kind: Literal["tardy"] = "tardy"
    of: Literal["day", "class"] = "day"
    delay_minutes: int = Field(default=15, ge=0, le=480)
    from_minutes: int = Field(default=0, ge=0, le=480, description="Late by at least so many.")


class Returned(_OfStudent):
    """A student whose absence was told has come."""

    kind: Literal["returned"] = "returned"
    delay_minutes: int = Field(default=5, ge=0, le=480)


class InARow(_OfStudent):
    """A student has missed so many school days in a row; once for each number and run of days."""

    kind: Literal["in_a_row"] = "in_a_row"
    days: list[Annotated[int, Field(ge=2, le=60)]] = Field(default=[3], min_length=1)
    statuses: list[Missed] = Field(default=["absent"], min_length=1)
    delay_minutes: int = Field(default=30, ge=0, le=480)


class Total(_OfStudent):
    """A student has missed so many days of a term or school year; once for each crossing."""

    kind: Literal["total"] = "total"
    days: list[Annotated[int, Field(ge=1, le=200)]] = Field(default=[3, 5, 10], min_length=1)
    within: Literal["term", "year"] = "term"
    statuses: list[Missed] = Field(default=["absent", "excused"], min_length=1)
    delay_minutes: int = Field(default=30, ge=0, le=480)


class Share(_OfStudent):
    """A student has missed such a share of the days of a term or year on which marks were made; once a crossing."""

    kind: Literal["share"] = "share"
    shares: list[Annotated[float, Field(gt=0, le=1)]] = Field(default=[0.1], min_length=1)
    least_days: int = Field(default=20, ge=1, le=200, description="Of fewer days no share is told.")
    within: Literal["term", "year"] = "year"
    statuses: list[Missed] = Field(default=["absent", "excused"], min_length=1)
    delay_minutes: int = Field(default=30, ge=0, le=480)


class RollNotTaken(_OfStaff):
    """No roll was taken in a class that meets today; one message to each teacher, and one to the office."""

    kind: Literal["roll_not_taken"] = "roll_not_taken"
    audience: list[Audience] = Field(default=["teacher"], min_length=1)
    at: Hour = Field(default=time(9, 30), description="At the school.")
    class_kinds: list[Literal["homeroom", "scheduled"]] = Field(default=["homeroom"], min_length=1)

    staff: ClassVar[tuple[Audience, ...]] = ("teacher", "office")


class Trouble(_OfStaff):
    """Something that staff must see to: of a sync, a connector or a plugin."""

    kind: Literal["sync_failed", "sync_held", "sync_late", "connector_unhealthy", "plugin_quarantined", "messages_held"]
    audience: list[Audience] = Field(default=["office"], min_length=1)
    channels: list[str] = ["email"]
    until: Hour = time(23, 59)
    purpose: str = "operations"
    late_hours: int = Field(default=26, ge=1, le=336, description="sync_late: without a good run for so long.")


class Digest(_OfStaff):
    """A school's day in one message: what was sent, and what nobody knows or could not be sent."""

    kind: Literal["digest"] = "digest"
    audience: list[Audience] = Field(default=["office"], min_length=1)
    channels: list[str] = ["email"]
    at: Hour = Field(default=time(15, 30), description="At the school.")
    purpose: str = "operations"


OfStudent: TypeAlias = Absence | Tardy | Returned | InARow | Total | Share
"""Rules about a student's day."""

RuleSettings: TypeAlias = OfStudent | RollNotTaken | Trouble | Digest

STUDENT_KINDS = ("absence", "tardy", "returned", "in_a_row", "total", "share")
TROUBLES = ("sync_failed", "sync_held", "sync_late", "connector_unhealthy", "plugin_quarantined", "messages_held")
KINDS = (*STUDENT_KINDS, "roll_not_taken", *TROUBLES, "digest")

_SETTINGS: TypeAdapter[RuleSettings] = TypeAdapter(Annotated[RuleSettings, Field(discriminator="kind")])


class BadRule(ValueError):
    """The settings cannot be used; `problems` are (field, what is wrong)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in problems))
        self.problems = problems


def parse(kind: str, settings: Mapping[str, Any]) -> RuleSettings:
    """The settings of a rule of this kind, with every default filled in. Raises BadRule."""
    if kind not in KINDS:
        raise BadRule([("kind", f"is not one of {', '.join(KINDS)}")])
    try:
        return _SETTINGS.validate_python({**settings, "kind": kind})
    except ValidationError as exc:
        # The first part of a place is the kind, by which the union was told apart.
        raise BadRule(
            [(".".join(map(str, error["loc"][1:])) or "settings", error["msg"]) for error in exc.errors()]
        ) from None


def matches(
    conditions: Conditions, *, category: str, code: str | None, class_id: str, grades: Sequence[str] | None
) -> bool:
    """Whether a mark of this category and code, made in this class, of a student in these grades (None: any) counts."""
    return (
        (not conditions.categories or category in conditions.categories)
        and (not conditions.codes or code in conditions.codes)
        and (not conditions.class_ids or class_id in conditions.class_ids)
        and (not conditions.grades or grades is None or any(grade in conditions.grades for grade in grades))
    )
