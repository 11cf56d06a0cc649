"""What the sync leaves to a person: rows left out, questions, corrections to enter by hand, attendance that differs."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint

from homeroom import attendance_out
from homeroom.api.operation import Answer, Body, Call, operation
from homeroom.api.paging import LARGEST, PageQuery, cursor_of, number_of
from homeroom.records import Noun
from homeroom.runs.connectors import connector
from homeroom.runs.overview import people_in
from homeroom.store import Transaction, not_found
from homeroom.store import models as m
from homeroom.sync import QueuedConflict, conflicts, corrections, dead_letters, settle
from homeroom.types import Status

queues = Blueprint("sync_queues", __name__, url_prefix="/api/v1/sync")

NO_REASON = "no reason was given"


class DeadLetter(Answer):
    """A row that could not be taken, or not wholly: where it stands in the source, and why. It holds no values."""

    id: int
    run_id: str
    noun: str
    location: str = Field(examples=["users.csv line 17"])
    sourced_id: str | None = None
    field: str | None = Field(default=None, examples=["orgSourcedIds"])
    reason: str = Field(examples=["it names a school or district that is not known"])
    replayable: bool = Field(description="Whether the row was kept; others come again with the next full run.")


class DeadLetterList(Answer):
    """A page of rows, in the order they were met."""

    items: list[DeadLetter]
    next: str | None = None


class Replay(Body):
    """Which rows to take again; all of them when `ids` is left out."""

    ids: list[int] | None = Field(default=None, min_length=1, max_length=10_000)


class Replayed(Answer):
    """What came of it: taken now, left out once more, and never kept (those come with the next full run)."""

    run_id: str | None = None
    replayed: int
    still_dead: int
    without_content: int
    reason: str | None = None


class SyncConflict(Answer):
    """A field that was changed both here and in the SIS since both agreed (`base`). An address is never shown."""

    id: int
    connector: str
    noun: Noun
    sourced_id: str
    row_id: str = Field(description="The id here: a student's, a class's, an enrolment's …")
    field: str = Field(examples=["family_name"])
    about: str = Field(examples=["Ana Ruiz"])
    base: str | None = None
    ours: str | None = None
    theirs: str | None = None
    state: Literal["open", "settled", "gone"]
    chosen: Literal["ours", "theirs", "value"] | None = None
    why: str | None = None
    who: str | None = Field(default=None, description="A person's id, `policy` or `plugin`.")
    found_at: AwareDatetime
    changed_at: AwareDatetime


class SyncConflictList(Answer):
    """A page of questions, in the order they were found."""

    items: list[SyncConflict]
    next: str | None = None


class ConflictQuery(PageQuery):
    """Which questions."""

    connector: str | None = Field(default=None, max_length=64)
    state: Literal["open", "settled", "gone"] = "open"


class Settlement(Body):
    """`ours` keeps what stands here until the SIS agrees, `theirs` takes the SIS's value, `value` sets another."""

    resolution: Literal["ours", "theirs", "value"]
    value: str | None = Field(default=None, max_length=1000)
    why: str = Field(default=NO_REASON, min_length=1, max_length=2000)


class SyncCorrection(Answer):
    """A field that was corrected here and that the SIS does not have yet: to be entered there by hand."""

    noun: Noun
    row_id: str
    sourced_id: str | None = None
    field: str = Field(examples=["grades"])
    about: str = Field(examples=["Ana Ruiz"])
    ours: str | None = None
    theirs: str | None = None
    since: AwareDatetime
    who: str | None = Field(default=None, description="The id of the person who corrected it.")


class SyncCorrectionList(Answer):
    """A page of corrections, the oldest first."""

    items: list[SyncCorrection]
    next: str | None = None


class OutgoingProblem(Answer):
    """A mark that waits for a person: one that `failed`, or that somebody changed in the SIS (`differs`).

    `class_id` null means the whole school day. `held` is what was written there last, `theirs` what is there now.
    """

    id: str
    state: Literal["failed", "differs"]
    student_id: str
    school_id: str
    class_id: str | None = None
    school_day: date
    status: Status | None = None
    code: str | None = None
    reason: str | None = None
    held: str | None = None
    theirs: str | None = None
    tries: int
    version: int
    since: AwareDatetime


class OutgoingProblemList(Answer):
    """A page of marks that wait for a person."""

    items: list[OutgoingProblem]
    next: str | None = None


class OutgoingDecision(Body):
    """`overwrite` writes ours over it, `keep` lets theirs stand until it changes here again, `retry` tries again.

    `version` is the one that was looked at: when the mark has changed since, nothing is done (412).
    """

    choice: Literal["overwrite", "keep", "retry"]
    why: str = Field(default=NO_REASON, min_length=1, max_length=2000)
    version: int | None = Field(default=None, ge=1, le=LARGEST)


class OutgoingDecided(Answer):
    """What was decided."""

    id: str
    choice: Literal["overwrite", "keep", "retry"]


@queues.get("/<name>/dead-letters")
@operation("sync.manage", query=PageQuery, answers=DeadLetterList)
async def list_dead_letters(call: Call, name: str, query: PageQuery) -> DeadLetterList:
    """The rows of a connector that could not be taken, each with where it stands and why."""
    after, size = query.number(), query.size()
    found = await call.read(lambda c: dead_letters(c, name, limit=size + 1, after=after))
    items = [DeadLetter.model_validate(one) for one in found[:size]]
    return DeadLetterList(items=items, next=cursor_of((str(items[-1].id),)) if len(found) > size else None)


@queues.post("/<name>/replay")
@operation("sync.manage", body=Replay, answers=Replayed, problems=(404, 409))
async def replay_letters(call: Call, name: str, body: Replay) -> Replayed:
    """Take rows that were left out once more, with today's settings and the roster as it is now."""
    return Replayed.model_validate(await call.district.runs.replay(name, body.ids, by=call.me.subject))


@queues.get("/conflicts")
@operation("sync.review", query=ConflictQuery, answers=SyncConflictList)
async def list_conflicts(call: Call, query: ConflictQuery) -> SyncConflictList:
    """The questions that wait for a person, or that were settled."""
    after, size = query.number(), query.size()
    found = await call.read(
        lambda c: conflicts(c, connector=query.connector, state=query.state, limit=size + 1, after=after)
    )
    shown = found[:size]
    await _disclose(call, [(one.noun, one.row_id) for one in shown], {one.field for one in shown})
    items = [_conflict(one) for one in shown]
    return SyncConflictList(items=items, next=cursor_of((str(items[-1].id),)) if len(found) > size else None)


@queues.post("/conflicts/<conflict_id>")
@operation("sync.review", body=Settlement, answers=SyncConflict, problems=(404, 409))
async def settle_conflict(call: Call, conflict_id: str, body: Settlement) -> SyncConflict:
    """Settle one question; what was chosen is kept with who and why."""
    number, choice = number_of(conflict_id), body.model_dump()
    if number is None:
        raise not_found("There is no such question.")
    settled = await call.write(lambda tx: settle(tx, number, **choice, by=call.me.subject))
    await _disclose(call, [(settled.noun, settled.row_id)], {settled.field})
    return _conflict(settled)


@queues.get("/<name>/corrections")
@operation("sync.review", query=PageQuery, answers=SyncCorrectionList)
async def list_corrections(call: Call, name: str, query: PageQuery) -> SyncCorrectionList:
    """What was corrected here and is still otherwise in the SIS: the registrar's list."""
    after, size = query.number(), query.size()
    found = await call.read(lambda c: corrections(c, name))
    shown = found[after : after + size]
    await _disclose(call, [(one.noun, one.row_id) for one in shown], {one.field for one in shown})
    items = [SyncCorrection.model_validate(one) for one in shown]
    more = len(found) > after + size
    return SyncCorrectionList(items=items, next=cursor_of((str(after + size),)) if more else None)


@queues.get("/<name>/attendance")
@operation("sync.review", query=PageQuery, answers=OutgoingProblemList)
async def list_outgoing_problems(call: Call, name: str, query: PageQuery) -> OutgoingProblemList:
    """The marks that could not go out by themselves: failed, or changed in the SIS by somebody else."""
    after, size = query.after(1), query.size()
    last = after[0] if after else None
    found, following = await call.read(lambda c: attendance_out.problems(c, name, limit=size, after=last))
    call.discloses({one.student_id for one in found}, fields=("status", "code"), rows=len(found))
    items = [OutgoingProblem.model_validate(one) for one in found]
    return OutgoingProblemList(items=items, next=cursor_of((following,)) if following else None)


@queues.post("/<name>/attendance/<mark_id>")
@operation("sync.review", body=OutgoingDecision, answers=OutgoingDecided, problems=(404, 409, 412))
async def decide_outgoing(call: Call, name: str, mark_id: str, body: OutgoingDecision) -> OutgoingDecided:
    """Decide on one mark that waits for a person; the decision is kept with who and why."""
    await connector(call.district.host, name)
    by, choice = call.me.subject, body.choice

    def unit(tx: Transaction) -> None:
        row = tx.get(m.OutgoingMark, mark_id)
        if row is None or row.connector != name:
            raise not_found("There is no such mark.")
        if choice == "retry":
            attendance_out.retry(tx, name, [mark_id])
        else:
            attendance_out.choose(tx, mark_id, choice, why=body.why, by=by, version=body.version)

    await call.write(unit)
    return OutgoingDecided(id=mark_id, choice=choice)


async def _disclose(call: Call, rows: list[tuple[Noun, str]], fields: set[str]) -> None:
    people = await call.read(lambda c: people_in(c, rows))
    call.discloses(people, fields=sorted(fields), rows=len(rows))


def _conflict(one: QueuedConflict) -> SyncConflict:
    return SyncConflict.model_validate(one)
