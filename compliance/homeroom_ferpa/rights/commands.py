"""`homeroom compliance retention` and `homeroom compliance erase`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from homeroom import Refused
from homeroom_ferpa.rights import erasure, retention
from homeroom_ferpa.rights.part import Rights


def add_commands(group: click.Group, rights: Rights) -> None:
    """Add them to `homeroom compliance`."""
    _add_retention(group, rights)
    _add_erase(group, rights)


def _add_retention(group: click.Group, rights: Rights) -> None:
    @group.command("retention", epilog="Example: homeroom compliance retention --dry-run")
    @click.option("--dry-run", is_flag=True, help="Count only.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def retain(*, dry_run: bool, as_json: bool) -> None:
        """Delete what the district's schedule says is old, and say what was passed by and why."""
        done = _run(retention.purge(rights.services, rights.settings.retention, dry_run=dry_run))
        if as_json:
            click.echo(json.dumps({"dry_run": dry_run, **done.as_json()}))
            return
        verb = "Would delete" if dry_run else "Deleted"
        for kind, rows in sorted(done.counts.items()):
            click.echo(f"{verb} {rows:>9}  {kind}")
        if not done.counts:
            click.echo("Nothing is older than the schedule says.")
        for one in done.skipped:
            click.echo(f"Passed by {one['student_id']} ({one['kind']}): {one['why']}")
        for note in done.notes:
            click.echo(note)


def _add_erase(group: click.Group, rights: Rights) -> None:
    @group.command("erase", epilog='Example: homeroom compliance erase 0192f… --why "Board resolution 26-14"')
    @click.argument("person_id")
    @click.option("--why", required=True, help="The reason; it is kept sealed.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def erase(*, person_id: str, why: str, yes: bool, as_json: bool) -> None:
        """Take a person out for good: names deleted, the key of everything sealed destroyed. It cannot be undone."""
        if not yes:
            click.confirm(f"Erase {person_id} for good? This cannot be undone.", abort=True, err=True)
        left = _run(rights.services.store.read(lambda c: erasure.guardians_left(c, person_id)))
        done = _run(erasure.erase(rights.services, person_id, why=why))
        if as_json:
            click.echo(json.dumps({"person_id": person_id, "rows": dict(done), "guardians_left": left}))
            return
        rows = sum(done.values())
        click.echo(f"Erased {person_id}: {rows} rows were deleted or emptied." if rows else "Was erased already.")
        for guardian_id in left:
            click.echo(f"Guardian {guardian_id} is here for this student alone, and may be erased too.")


def _run(work: Any) -> Any:
    """What a coroutine gives; a refusal is said in one line."""
    try:
        return asyncio.run(work)
    except Refused as refusal:
        raise click.ClickException(refusal.detail) from None
