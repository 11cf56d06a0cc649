"""The admin's hands on the sync: how each connector stands, its check, runs and what they found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint, Response

from homeroom.api.operation import Answer, Body, Call, operation
from homeroom.api.paging import PageQuery, cursor_of
from homeroom.records import Noun
from homeroom.runs import diffs, due
from homeroom.runs.connectors import connector, findings
from homeroom.runs.overview import overview, people_of
from homeroom.store import Connection, Transaction, conflict, new_id, not_found
from homeroom.sync import RunResult, discard, result_of, runs

sync = Blueprint("sync", __name__, url_prefix="/api/v1/sync")

RunState = Literal["pulling", "applying", "held", "done", "failed"]


class SyncFinding(Answer):
    """What the guard stopped at, or saw and let pass: two sentences, and some of the source's ids."""

    kind: str = Field(examples=["exodus"])
    count: int
    of: int
    subjects: list[str] = Field(default=[], examples=[["stu-1", "stu-2"]])
    found: str = Field(examples=["This run would end 180 of 400 enrolments."])
    look_at: str = Field(examples=["See in the SIS whether the school year was closed early."])


class SyncRun(Answer):
    """One run. `phase`, `noun`, `done` and `total` say how far it is; a dry run counts what it would do."""

    run_id: str
    connector: str = Field(examples=["oneroster"])
    kind: Literal["sync", "replay"] = "sync"
    status: RunState
    dry_run: bool
    added: int
    changed: int
    ended: int
    unchanged: int
    dead_letters: int
    seconds: float
    rows_per_second: float
    phase: str | None = Field(default=None, examples=["pulling"])
    noun: str | None = Field(default=None, examples=["enrollment"])
    done: int = 0
    total: int | None = None
    reason: str | None = None
    findings: list[SyncFinding] = []
    started_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    started_by: str | None = Field(default=None, description="A person's id; null for a schedule or the command line.")
    released_by: str | None = None
    approves: str | None = Field(default=None, description="The dry run whose rows it takes over.")


class SyncRunList(Answer):
    """Runs, the newest first."""

    items: list[SyncRun]
    next: str | None = None


class OutgoingFigures(Answer):
    """Attendance on its way to the SIS: `waiting`, `failed` and `differs` now, `sent` and `confirmed` in all."""

    waiting: int = 0
    sent: int = 0
    confirmed: int = 0
    failed: int = 0
    differs: int = 0
    left_out: int = 0
    oldest_waiting: AwareDatetime | None = None
    last_sent: AwareDatetime | None = None
    paused_until: AwareDatetime | None = None
    error: str | None = None


class SyncConnector(Answer):
    """One connector and how it stands; `progress` is the run under way."""

    name: str = Field(examples=["powerschool"])
    nouns: list[Noun]
    attendance_out: Literal["api", "file", "none"]
    attendance_out_words: str = Field(examples=["Attendance goes to PowerSchool by its API within a minute."])
    running: bool
    progress: SyncRun | None = None
    last_run: SyncRun | None = None
    last_success: AwareDatetime | None = None
    lag_seconds: float | None = Field(default=None, description="How old what was last taken over is.")
    schedule: str = Field(examples=["every hour"])
    next_run: AwareDatetime | None = None
    dead_letters: int
    conflicts_open: int
    outgoing: OutgoingFigures


class SyncConnectorList(Answer):
    """Every connector that can be used, in call order."""

    items: list[SyncConnector]
    next: str | None = None


class CheckFinding(Answer):
    """One thing that is wrong, and what to do about it."""

    problem: str = Field(examples=["The plugin may not read STUDENTS.DOB."])
    fix: str = Field(default="", examples=["Install the current plugin.zip."])


class SyncCheck(Answer):
    """What a connector's check of its settings and rights found; nothing when it is `ok`."""

    ok: bool
    findings: list[CheckFinding]


class NewRun(Body):
    """How to run: `dry_run` changes nothing, `full` asks for everything instead of what has changed."""

    dry_run: bool = False
    full: bool = False


class RunStarted(Answer):
    """The run that has begun; ask `GET /sync/runs/{run_id}` how it goes."""

    run_id: str


class RunQuery(PageQuery):
    """Which runs."""

    connector: str | None = Field(default=None, max_length=64)


class SyncDiffRow(Answer):
    """One row that a dry run would change. `fields`: name → [before, after]; an address is never shown."""

    noun: Noun
    sourced_id: str
    change: Literal["added", "changed", "ended"]
    fields: dict[str, list[Any]] = Field(examples=[{"family_name": ["Ruiz", "Ruiz-Soto"]}])


class SyncDiffList(Answer):
    """A page of a dry run's rows, in the order in which they would be written."""

    items: list[SyncDiffRow]
    next: str | None = None


@sync.get("/connectors")
@operation("sync.manage", answers=SyncConnectorList)
async def list_connectors(call: Call) -> SyncConnectorList:
    """Every connector: whether it runs, when it last succeeded, when it runs next, and what waits for a person."""
    return SyncConnectorList(items=[SyncConnector.model_validate(view) for view in await overview(call.district)])


@sync.get("/<name>/check")
@operation("sync.manage", answers=SyncCheck)
async def check_connector(call: Call, name: str) -> SyncCheck:
    """Try a connector's settings against the real system: each thing that is missing, with its fix."""
    found = await findings(await connector(call.district.host, name))
    return SyncCheck(ok=not found, findings=[CheckFinding.model_validate(one) for one in found])


@sync.post("/<name>/runs")
@operation("sync.manage", body=NewRun, answers={202: RunStarted}, problems=(404, 409), idempotent=True)
async def start_run(call: Call, name: str, body: NewRun) -> Response:
    """Begin a run. It goes on when the client is gone, and after a restart of the server."""
    wish = due.Wish(connector=name, full=body.full, dry_run=body.dry_run, started_by=call.me.subject)
    return await _begin(call, wish)


@sync.get("/runs")
@operation("sync.manage", query=RunQuery, answers=SyncRunList)
async def list_runs(call: Call, query: RunQuery) -> SyncRunList:
    """The runs, the newest first."""
    after, size = query.after(1), query.size()
    found = await call.read(lambda c: runs(c, query.connector, limit=size + 1, before=after[0] if after else None))
    items = [_run(run) for run in found[:size]]
    return SyncRunList(items=items, next=cursor_of((items[-1].run_id,)) if len(found) > size else None)


@sync.get("/runs/<run_id>")
@operation("sync.manage", answers=SyncRun)
async def read_run(call: Call, run_id: str) -> SyncRun:
    """One run: how far it is, or what it did, what it was held for, and why it failed."""
    return _run(await _found(call, run_id))


@sync.get("/runs/<run_id>/diff")
@operation("sync.review", query=PageQuery, answers=SyncDiffList, problems=(409,))
async def read_diff(call: Call, run_id: str, query: PageQuery) -> SyncDiffList:
    """What a dry run of the last 24 hours would change, row by row."""
    run = await _found(call, run_id)
    if not run.dry_run:
        raise conflict("sync-no-dry-run", "Only a dry run has rows to show. Start one with dry_run.")
    after, size = query.number(), query.size()
    rows, more = await call.read(lambda c: diffs.rows_after(c, run_id, after, size))
    if not rows and run.added + run.changed + run.ended and not after:
        raise not_found("This dry run's rows are kept no longer. Start another.")
    people = await call.read(lambda c: people_of(c, run, rows))
    call.discloses(people, fields=sorted({name for row in rows for name in row["fields"]}), rows=len(rows))
    items = [SyncDiffRow.model_validate(row) for row in rows]
    return SyncDiffList(items=items, next=cursor_of((str(after + size),)) if more else None)


@sync.post("/runs/<run_id>/resume")
@operation("sync.manage", answers={202: RunStarted}, problems=(409,))
async def resume_run(call: Call, run_id: str) -> tuple[RunStarted, int]:
    """Go on with a run that failed or was interrupted, from its last checkpoint."""
    await call.district.runs.resume(run_id, by=call.me.subject)
    return RunStarted(run_id=run_id), 202


@sync.post("/runs/<run_id>/release")
@operation("sync.manage", answers={202: RunStarted}, problems=(409,))
async def release_run(call: Call, run_id: str) -> tuple[RunStarted, int]:
    """Let a held run go on as it was read; who did is kept on the run and in the journal."""
    await call.district.runs.release(run_id, by=call.me.subject)
    return RunStarted(run_id=run_id), 202


@sync.post("/runs/<run_id>/approve")
@operation("sync.manage", answers={202: RunStarted}, problems=(409,), idempotent=True)
async def approve_run(call: Call, run_id: str) -> Response:
    """Take over exactly what a dry run has shown, as a new run; it fails when the source has changed since."""
    return await _begin(call, await call.district.runs.approval(run_id, by=call.me.subject))


@sync.post("/runs/<run_id>/discard")
@operation("sync.manage", answers=SyncRun, problems=(409,))
async def discard_run(call: Call, run_id: str) -> SyncRun:
    """End a held run without taking anything over."""
    await discard(call.district.store, run_id, by=call.me.subject)
    return _run(await _found(call, run_id))


async def _begin(call: Call, wish: due.Wish) -> Response:
    """Begin a run, once for each Idempotency-Key: the claim of it is what is kept with the key."""
    await connector(call.district.host, wish.connector)
    run_id = new_id()

    def claim(tx: Transaction) -> RunStarted:
        due.claim(tx, wish, run_id)
        return RunStarted(run_id=run_id)

    answer = await call.create(claim, status=202)
    told: dict[str, str] = await answer.get_json()
    if told["run_id"] == run_id:
        await call.district.runs.begin_claimed(run_id, wish)
    return answer


async def _found(call: Call, run_id: str) -> RunResult:
    def query(connection: Connection) -> RunResult | None:
        run = result_of(connection, run_id)
        if run is not None and run.dry_run and run.status == "done" and not due.is_settled(connection, run_id):
            return replace(run, status="applying", finished_at=None)  # its last rows are being kept
        return run

    run = await call.read(query)
    if run is None:
        raise not_found("There is no such run.")
    return run


def _run(run: RunResult) -> SyncRun:
    return SyncRun.model_validate(run)
