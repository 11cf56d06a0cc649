"""`homeroom compliance report` and `homeroom compliance figures`."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path

import click

from homeroom import Refused, Services
from homeroom_ferpa.reports import figures, matrix
from homeroom_ferpa.reports.settings import ReportsSettings

_day = click.DateTime(formats=["%Y-%m-%d"])


def add_commands(group: click.Group, services: Services, settings: ReportsSettings) -> None:
    """Add them to `homeroom compliance`."""
    _add_report(group, settings)
    _add_figures(group, services, settings)


def _add_report(group: click.Group, settings: ReportsSettings) -> None:
    @group.command("report", epilog="Example: homeroom compliance report --json")
    @click.option(
        "--results",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Outcomes that a run of the tests wrote with HOMEROOM_COMPLIANCE_RESULTS set.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def report(*, results: Path | None, as_json: bool) -> None:
        """Say of each sentence of the law how it is met, which test proves it, and how that went."""
        rows = matrix.report(matrix.outcomes(results or settings.results))
        click.echo(json.dumps({"sentences": rows}) if as_json else matrix.as_text(rows))


def _add_figures(group: click.Group, services: Services, settings: ReportsSettings) -> None:
    @group.command("figures", epilog="Example: homeroom compliance figures --since 2026-08-10 --until 2026-12-18")
    @click.option("--since", type=_day, required=True, help="The first day.")
    @click.option("--until", type=_day, required=True, help="The last day; it must be over.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def publish(*, since: datetime, until: datetime, as_json: bool) -> None:
        """Publish chronic absence by school and grade, without small cells. The table is kept and never changes."""
        try:
            table = asyncio.run(figures.publish(services, settings, since.date(), until.date()))
        except Refused as refusal:
            raise click.ClickException(refusal.detail) from None
        if as_json:
            click.echo(json.dumps(table.as_json()))
            return
        click.echo(f"{'school':<30} {'grade':<8} {'students':>8} {'chronically absent':>18}")
        for (school, grade), one in table.cells.items():
            click.echo(f"{school[:30]:<30} {grade:<8} {_shown(one.students):>8} {_shown(one.counted):>18}")
        click.echo(f"Table {table.number}; * is hidden, for it would tell of fewer than {table.small_cell} students.")


def _shown(value: int | str | None) -> str:
    return "*" if value is None else str(value)
