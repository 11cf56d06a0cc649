"""What the routes of the rights take and answer."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field

from homeroom import Answer, Body, Query, Status

_Text = Field(default=None, max_length=10_000)


class NewInspection(Body):
    """A request to see the record. Only the office names who asked, and the day on which a letter came in."""

    wish: str | None = Field(default=None, max_length=10_000, examples=["All of last year's attendance."])
    asked_by: str | None = Field(default=None, max_length=64)
    received_on: date | None = None


class Question(Body):
    """What is to be explained."""

    question: str = Field(min_length=1, max_length=10_000)


class Explained(Body):
    """The explanation."""

    answer: str = Field(min_length=1, max_length=10_000)


class Ending(Body):
    """How a request ends: the record was made available, or nobody wants it any more."""

    state: Literal["fulfilled", "withdrawn"] = "fulfilled"


class NewAmendment(Body):
    """A request to change one record, with the reason; what it should say, where the family knows."""

    record_id: str | None = Field(default=None, max_length=64)
    why: str | None = _Text
    status: Status | None = None
    code: str | None = Field(default=None, max_length=20)
    asked_by: str | None = Field(default=None, max_length=64)
    received_on: date | None = None


class AmendmentDecision(Body):
    """The decision in writing; what the record shall say, where it is not what was asked for."""

    accept: bool
    decision: str | None = _Text
    status: Status | None = None
    code: str | None = Field(default=None, max_length=20)


class NewHearing(Body):
    """A request for a hearing; only the office names who asked."""

    asked_by: str | None = Field(default=None, max_length=64)


class HearingNotice(Body):
    """When and where the hearing is, and when the family was told."""

    held_on: date
    place: str = Field(min_length=1, max_length=1_000)
    notice_on: date


class HearingRecord(Body):
    """The record of a hearing (34 CFR 99.22); one that lacks anything is refused."""

    held_on: date | None = None
    place: str | None = Field(default=None, max_length=1_000)
    notice_on: date | None = None
    officer: str | None = Field(default=None, max_length=500)
    officer_id: str | None = Field(default=None, max_length=64)
    disinterested: bool | None = Field(default=None, description="Without direct interest in the outcome.")
    evidence: str | None = _Text
    reasons: str | None = _Text
    decision: str | None = _Text
    outcome: Literal["amend", "keep"] | None = None
    status: Status | None = None
    code: str | None = Field(default=None, max_length=20)


class NewStatement(Body):
    """What the family says about the contested record."""

    text: str = Field(min_length=1, max_length=10_000)


class Sent(Body):
    """How a letter went out."""

    how: Literal["mail", "email", "by_hand", "read_here"]


class NoticeQuery(Query):
    """In which language."""

    language: str = Field(default="en", max_length=35)


class YearQuery(Query):
    """Which school year's."""

    year: str = Field(min_length=4, max_length=9, examples=["2026-27"])


class Delivered(Body):
    """How a guardian, or a student to whom the rights have passed, was given the annual notice."""

    year: str = Field(min_length=4, max_length=9, examples=["2026-27"])
    guardian_id: str = Field(min_length=1, max_length=64)
    language: str = Field(min_length=2, max_length=35)
    how: str = Field(max_length=20, examples=["paper"])
    accessible: str | None = Field(default=None, max_length=100, description="An accessible form, where one was asked.")
    delivered_on: date


class NewSpecialAccess(Body):
    """Who saw a child's special education record, when and why, beside authorised staff (34 CFR 300.614)."""

    party: str = Field(min_length=1, max_length=500)
    accessed_on: date
    purpose: str = Field(min_length=1, max_length=2_000)


class NewHold(Body):
    """A legal hold on one student's record, or with no student on everybody's. `reference` names no person."""

    student_id: str | None = Field(default=None, min_length=1, max_length=64)
    reference: str = Field(min_length=1, max_length=200, examples=["Docket 26-1187"])


class HoldQuery(Query):
    """Which page of the holds."""

    before: str | None = Field(default=None, max_length=64, description="`before` of the page before.")


class PurgeOrder(Body):
    """Whether to count only."""

    dry_run: bool = True


class EraseOrder(Body):
    """Why a person is erased; `confirm` repeats the id, for it cannot be undone."""

    why: str = Field(max_length=2_000)
    confirm: str = Field(max_length=64)


class TaskQuery(Query):
    """One school's; without it the whole district's, for its administrators."""

    school_id: str | None = Field(default=None, max_length=64)


class Item(Answer):
    """One request, hearing, statement, letter, hold or the like."""

    item: dict[str, Any]


class Items(Answer):
    """A list of them."""

    items: list[dict[str, Any]]


class Holds(Items):
    """The holds in force, the newest first; `before` leads to older ones after a full page, null else."""

    before: str | None


class Notice(Answer):
    """The annual notice, the language it is in, and what it lists with the section that asks for it."""

    text: str
    language: str
    languages: list[str]
    lists: dict[str, str]
