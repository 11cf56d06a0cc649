"""What the district does without being asked, and how it stands: for its administrators, and their monitoring."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint

from homeroom import job_standing
from homeroom.api.operation import Answer, Body, Call, operation
from homeroom.consumers import name_of, skip_event
from homeroom.store import Transaction, conflict, not_found

jobs = Blueprint("jobs", __name__, url_prefix="/api/v1/jobs")

_CONSUMER = name_of("")


class Job(Answer):
    """One job in the background. Of one that follows the journal, `behind` counts the entries still to be taken."""

    name: str = Field(examples=["consume:ferpa"])
    kind: Literal["consumer", "loop", "tidy"]
    state: Literal["running", "waiting", "failing", "stopped"]
    last_run: AwareDatetime | None = None
    next_run: AwareDatetime | None = None
    failures: int = 0
    error: str | None = None
    behind: int | None = None
    next_event: int | None = Field(default=None, description="The journal's entry at which it stands.")
    next_kind: str | None = Field(default=None, examples=["attendance.marked"])
    can_run: bool = Field(default=False, description="Whether `POST /jobs/NAME/run` does anything now.")


class JobList(Answer):
    """All of them, and what this process says of its share."""

    items: list[Job]
    here: str = Field(examples=["2 plugins follow the journal"])


class JobRun(Answer):
    """What a run by hand did; `rows` is how many rows tidying has deleted."""

    name: str
    rows: int = 0


class SkippedEvent(Body):
    """The entry of the journal that is passed by: the one at which the plugin stands."""

    event_id: int = Field(ge=1, le=2**62)


@jobs.get("/")
@operation("monitor", answers=JobList)
async def list_jobs(call: Call) -> JobList:
    """Tidying, the loops of messages and schedules, and every plugin that follows the journal; syncs are in /sync."""
    district = call.district
    consumers = tuple(district.host.implementers("consume"))
    found = await call.read(lambda c: job_standing.jobs(c, consumers))
    return JobList(items=[Job.model_validate(one) for one in found], here=district.jobs.health()["detail"])


@jobs.post("/<name>/run")
@operation("plugins.manage", answers=JobRun, problems=(409,))
async def run_job(call: Call, name: str) -> JobRun:
    """Tidy now, or let a plugin that stands still try again without its wait."""

    def unit(tx: Transaction) -> int:
        if name == job_standing.TIDY:
            return job_standing.tidy_now(tx)
        job_standing.try_again(tx, _plugin(call, name))
        return 0

    return JobRun(name=name, rows=await call.write(unit))


@jobs.post("/<name>/skip")
@operation("plugins.manage", body=SkippedEvent, answers=JobRun, problems=(409,))
async def skip_job(call: Call, name: str, body: SkippedEvent) -> JobRun:
    """Let a plugin go on after an entry that it cannot take; the journal keeps who has decided so."""
    plugin = _plugin(call, name)
    await call.write(lambda tx: skip_event(tx, plugin, body.event_id))
    return JobRun(name=name)


def _plugin(call: Call, name: str) -> str:
    """The plugin of a consumer's name. Raises Refused: 404, or 409 for a loop, which runs by itself."""
    plugin = name.removeprefix(_CONSUMER)
    if name.startswith(_CONSUMER) and plugin in call.district.host.implementers("consume"):
        return plugin
    if name in ("messages", "schedules"):
        raise conflict("runs-by-itself", "This runs by itself the whole time; there is nothing to begin.")
    raise not_found("There is no such job.")
