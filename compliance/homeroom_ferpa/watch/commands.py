"""`homeroom compliance anomalies` and `homeroom compliance incident`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import click

from homeroom import Refused
from homeroom_ferpa.rights.common import Row
from homeroom_ferpa.watch import anomalies, incidents
from homeroom_ferpa.watch.clocks import BY_CODE
from homeroom_ferpa.watch.part import Watch

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_day = click.DateTime(formats=["%Y-%m-%d"])
_moment = click.DateTime(formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ"])


def add_commands(group: click.Group, watch: Watch) -> None:
    """Add them to `homeroom compliance`."""
    _add_anomalies(group, watch)
    incident = click.Group("incident", help="Incidents, and by when whom the law wants to be told.")
    group.add_command(incident)
    _add_list(incident, watch)
    _add_open(incident, watch)
    _add_endings(incident, watch)


def _add_anomalies(group: click.Group, watch: Watch) -> None:
    @group.command("anomalies", epilog="Example: homeroom compliance anomalies --all --json")
    @click.option("--all", "everything", is_flag=True, help="Also those that were settled.")
    @_json_option
    def list_anomalies(*, everything: bool, as_json: bool) -> None:
        """Look at what is new in the audit log, then list unusual reading and exports; exit 1 while any is open."""
        found = _run(_looked(watch, None if everything else "open"))
        if as_json:
            click.echo(json.dumps({"anomalies": found}))
        for row in found if not as_json else ():
            click.echo(f"{row['id']}  {row['state']:<9} {row['who']}: {row['says']}")
            counted = f"{row['students']} students, {row['rows']} times, {row['began_at']} to {row['last_at']}"
            click.echo(f"    {counted}; entries {row['first_id']} to {row['last_id']}")
        if not found and not as_json:
            click.echo("Nothing is flagged.")
        if any(row["state"] == "open" for row in found):
            raise click.exceptions.Exit(1)

    @group.command("explain", epilog='Example: homeroom compliance explain 4f0c… --why "Grades were due that night"')
    @click.argument("anomaly_id")
    @click.option("--why", required=True, help="The reason; it is kept sealed.")
    @_json_option
    def explain(*, anomaly_id: str, why: str, as_json: bool) -> None:
        """Settle a flag as harmless, with the reason."""
        row = _run(watch.explain(anomaly_id, why))
        click.echo(json.dumps({"anomaly": row}) if as_json else f"{anomaly_id} is explained.")


def _add_list(group: click.Group, watch: Watch) -> None:
    @group.command("list", epilog="Example: homeroom compliance incident list --all")
    @click.option("--all", "everything", is_flag=True, help="Also those that are closed.")
    @_json_option
    def list_incidents(*, everything: bool, as_json: bool) -> None:
        """List incidents with their tasks; exit 1 while a task is overdue."""
        today, state = watch.services.today().isoformat(), None if everything else "open"
        found = _run(watch.services.store.read(lambda c: incidents.every(c, today=today, state=state)))
        if as_json:
            click.echo(json.dumps({"incidents": found}))
        for row in found if not as_json else ():
            _tell(row)
        if not found and not as_json:
            click.echo("There is no incident.")
        if any(task["level"] == "overdue" for row in found for task in row["tasks"]):
            raise click.exceptions.Exit(1)


def _add_open(group: click.Group, watch: Watch) -> None:
    @group.command(
        "open",
        epilog='Example: homeroom compliance incident open --what "A laptop was stolen" --state NY --anomaly 4f0c…',
    )
    @click.option("--what", required=True, help="What happened; it is kept sealed. Name no student.")
    @click.option("--state", "states", multiple=True, type=click.Choice(["NY", "IL"]), help="Whose clocks run.")
    @click.option("--student", "student_ids", multiple=True, help="The id of a student concerned; can be given again.")
    @click.option("--anomaly", "anomaly_ids", multiple=True, help="A flag that it comes from; can be given again.")
    @click.option("--everybody", is_flag=True, help="Every student of the district is concerned.")
    @click.option("--at-vendor", is_flag=True, help="The breach was a contractor's.")
    @click.option("--discovered-at", type=_moment, help="In UTC; by default when the first flag was found, else now.")
    @_json_option
    def open_incident(*, states: tuple[str, ...], discovered_at: datetime | None, as_json: bool, **given: Any) -> None:
        """Open an incident; the clocks of its states run since discovery."""
        at = discovered_at.replace(tzinfo=UTC) if discovered_at is not None else None
        row = _run(watch.incident(states=states or None, discovered_at=at, **given))
        if as_json:
            click.echo(json.dumps({"incident": row}))
        else:
            _tell(row)


def _add_endings(group: click.Group, watch: Watch) -> None:
    @group.command(
        "done",
        epilog='Example: homeroom compliance incident done 0192f… ny_officer --how "Letter of 3 March, file 26-7"',
    )
    @click.argument("incident_id")
    @click.argument("clock", type=click.Choice(list(BY_CODE)))
    @click.option("--how", required=True, help="Where it is recorded, or with --waived why it need not be done.")
    @click.option("--on", "done_on", type=_day, help="The day on which it was done; by default today.")
    @click.option("--waived", is_flag=True, help="It need not be done.")
    @_json_option
    def end_task(
        *, incident_id: str, clock: str, how: str, done_on: datetime | None, waived: bool, as_json: bool
    ) -> None:
        """Keep that a task of an incident was done, and where that is recorded."""
        day, outcome = done_on.date() if done_on is not None else None, "waived" if waived else "done"
        row = _run(watch.finish(incident_id, clock, outcome=outcome, how=how, done_on=day))
        if as_json:
            click.echo(json.dumps({"incident": row}))
        else:
            _tell(row)

    @group.command("close", epilog='Example: homeroom compliance incident close 0192f… --why "Everybody was told"')
    @click.argument("incident_id")
    @click.option("--why", required=True, help="What came of it; it is kept sealed.")
    @_json_option
    def close_incident(*, incident_id: str, why: str, as_json: bool) -> None:
        """Close an incident of which no task is open."""
        row = _run(watch.close(incident_id, why))
        click.echo(json.dumps({"incident": row}) if as_json else f"{incident_id} is closed.")


async def _looked(watch: Watch, state: str | None) -> list[Row]:
    await watch.look()
    return await watch.services.store.read(lambda c: anomalies.found(c, state=state))


def _tell(row: Row) -> None:
    click.echo(f"{row['id']}  {row['state']}, discovered {row['discovered_at']}, {row['students']} students")
    for task in row["tasks"]:
        click.echo(f"    {task['due_on']}  {task['level']:<8} {task['clock']:<14} {task['says']} ({task['section']})")


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives; a refusal is said in one line."""
    try:
        return asyncio.run(work)
    except Refused as refusal:
        raise click.ClickException(refusal.detail) from None
