"""`homeroom compliance studies` and `homeroom compliance extract`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from homeroom import Invalid, Refused
from homeroom_ferpa.research import extracts, files, studies
from homeroom_ferpa.research.extracts import Given
from homeroom_ferpa.research.part import Research

T = TypeVar("T")

_day = click.DateTime(formats=["%Y-%m-%d"])
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def add_commands(group: click.Group, research: Research) -> None:
    """Add them to `homeroom compliance`."""
    _add_studies(group, research)
    _add_extract(group, research)


def _add_studies(group: click.Group, research: Research) -> None:
    @group.command("studies", epilog="Example: homeroom compliance studies --json")
    @_json_option
    def list_studies(*, as_json: bool) -> None:
        """List the study agreements: whether each holds, and by when its data are to be destroyed."""
        today = research.services.today()
        found = _run(research.services.store.read(studies.listed))
        if as_json:
            rows = [{**asdict(one), "state": one.state(today)} for one in found]
            click.echo(json.dumps({"studies": rows}, default=str))
            return
        for one in found:
            told = f"destroyed {one.destroyed_on}" if one.destroyed_on else f"destroy by {one.destroy_by}"
            click.echo(f"{one.id}  {one.state(today):<9}  until {one.last_day}  {told}  {one.organisation}")
        if not found:
            click.echo("There are no study agreements. They are entered at /api/v1/compliance/studies.")


def _add_extract(group: click.Group, research: Research) -> None:
    example = "Example: homeroom compliance extract 7f3c… --since 2026-08-10 --until 2026-12-18 --out autumn.csv"

    @group.command("extract", epilog=example)
    @click.argument("study_id")
    @click.option("--since", type=_day, required=True, help="The first school day.")
    @click.option("--until", type=_day, required=True, help="The last school day; it must be over.")
    @click.option(
        "--out",
        type=click.Path(dir_okay=False, path_type=Path),
        required=True,
        help="The file to write, .csv or .json; it must not be there yet.",
    )
    @_json_option
    def extract(*, study_id: str, since: datetime, until: datetime, out: Path, as_json: bool) -> None:
        """Write attendance for a study: a row for each student with a random code, and nobody told apart.

        It is entered in the record of disclosures before it is written. The same days give the same extract again.
        """
        form = out.suffix.lower().removeprefix(".")
        if form not in ("csv", "json"):
            raise click.UsageError("Name a file that ends with .csv or .json.")
        if out.exists():
            raise click.UsageError(f"{out} is there already; nothing is overwritten.")
        given = _run(_make(research, study_id, since, until, form))
        text = files.as_csv(given, research.notice)
        if form == "json":
            text = json.dumps(files.as_json(given, research.notice), indent=1)
        _write(out, text)
        if as_json:
            facts = {"path": str(out), "extract_id": given.extract.id, "number": given.extract.number}
            click.echo(json.dumps({**facts, "rows": len(given.rows)}))
            return
        click.echo(f"{len(given.rows)} rows are in {out}. They go to {given.study.organisation} and to nobody else.")
        click.echo(f"They are to be destroyed by {given.study.destroy_by}; confirm that when it is done.")


async def _make(research: Research, study_id: str, since: datetime, until: datetime, form: str) -> Given:
    made = await extracts.make(research.services, research.settings, study_id, since.date(), until.date())
    return await extracts.give(research.services, study_id, made.id, form=form)


def _write(path: Path, text: str) -> None:
    """Write a new file that nobody else can read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as exc:
        raise click.ClickException(f"{path} cannot be written: {exc.strerror}.") from None


def _run(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives; a refusal is said in one line."""
    try:
        return asyncio.run(work)
    except Refused as refusal:
        raise click.ClickException(refusal.detail) from None
    except Invalid as invalid:
        said = "; ".join(f"--{error.field} {error.message}" for error in invalid.errors)
        raise click.ClickException(said) from None
