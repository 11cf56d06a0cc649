"""What the routes of studies take and answer. A field that is missing or wrong is named in the refusal."""

from __future__ import annotations

from datetime import date

from pydantic import ConfigDict, Field

from homeroom import Answer, Body
from homeroom_ferpa.research.studies import Datum, Purpose, State

_SCOPE = "Whether homework clubs bring students of grades 9 to 12 to school."


class StudyIn(Body):
    """A study agreement with everything that §99.31(a)(6) asks for; none of it may be left out.

    `first_day` alone may be: then it is today.
    """

    model_config = ConfigDict(str_strip_whitespace=True)

    organisation: str = Field(min_length=3, max_length=100, examples=["State University, Institute of Education"])
    purpose: Purpose = Field(description="What the section allows: tests, student aid or instruction.")
    scope: str = Field(min_length=3, max_length=2000, description="What is studied, and of whom.", examples=[_SCOPE])
    data: list[Datum] = Field(
        min_length=1, max_length=10, description="What is given, the most wanted first: the last is blanked first."
    )
    data_since: date = Field(description="The first school day that may be in an extract.")
    data_until: date = Field(description="The last one.")
    first_day: date | None = None
    last_day: date = Field(description="The last day on which the agreement holds.")
    destroy_by: date = Field(description="The day by which the organisation destroys what it was given.")
    destroy_how: str = Field(min_length=3, max_length=1000, examples=["Overwritten; the archive confirms it."])
    agreement: str = Field(
        min_length=3,
        max_length=300,
        description="The written agreement, and where it is kept.",
        examples=["Contract 26-7, in the records office"],
    )
    signed_by: str = Field(
        min_length=3,
        max_length=300,
        description="Who signed it, for either side.",
        examples=["A. Okafor for the university, B. Lind for the district"],
    )
    signed_on: date


class StudyOut(Answer):
    """An agreement on file, and whether it holds today."""

    id: str
    state: State
    organisation: str
    purpose: Purpose
    scope: str
    data: list[Datum]
    data_since: date
    data_until: date
    first_day: date
    last_day: date
    destroy_by: date
    destroy_how: str
    agreement: str
    signed_by: str
    signed_on: date
    recorded_by: str | None
    recorded_at: str
    ended_at: str | None
    destroyed_on: date | None
    destroyed_how: str | None
    confirmed_by: str | None
    version: int


class StudiesOut(Answer):
    """The register."""

    items: list[StudyOut]


class DestroyedIn(Body):
    """How the organisation destroyed its data, and who has confirmed it."""

    model_config = ConfigDict(str_strip_whitespace=True)

    destroyed_on: date
    destroyed_how: str = Field(min_length=3, max_length=1000, examples=["Overwritten."])
    confirmed_by: str = Field(min_length=3, max_length=300, examples=["A. Okafor, by letter of 3 August"])


class ExtractIn(Body):
    """The first and the last school day, both included."""

    since: date
    until: date


class ExtractOut(Answer):
    """An extract that was made, without its rows."""

    id: str
    study_id: str
    number: int
    since: date
    until: date
    small_cell: int
    review: str
    students: int = Field(description="How many rows it has.")
    made_by: str | None
    made_at: str


class ExtractsOut(Answer):
    """The extracts of a study."""

    items: list[ExtractOut]


class ExtractFile(Answer):
    """An extract as it goes out; what is null in a row is not told."""

    notice: str
    agreement: str
    organisation: str
    purpose: str
    scope: str
    last_day: date
    destroy_by: date
    destroy_how: str
    number: int
    since: date
    until: date
    small_cell: int
    review: str
    about: str
    rows: list[dict[str, str | None]]


class LookupIn(Body):
    """Whose code is asked for, and why."""

    model_config = ConfigDict(str_strip_whitespace=True)

    code: str = Field(min_length=1, max_length=40, examples=["kqwzbtrnmxdfhjcp"])
    reason: str = Field(min_length=3, max_length=2000, examples=["The study has found a danger to health."])


class LookupOut(Answer):
    """Whose it is."""

    student_id: str
