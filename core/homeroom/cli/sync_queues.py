"""`homeroom sync`, what it leaves to a person: questions, rows left out, corrections, attendance that needs a look."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.installation import config_option, loaded, opened_store, settings_of
from homeroom.cli.output import NOT_FINE, WrongUsage, example, json_option, print_json

if TYPE_CHECKING:
    from homeroom.sync import QueuedConflict, ReplayResult
    from homeroom.sync.policy import Choice

_MOST = 10_000


@click.group(invoke_without_command=True, epilog=example("homeroom sync conflicts --connector powerschool"))
@click.option("--connector", help="Only this one's.")
@click.option("--state", type=click.Choice(["open", "settled", "gone"]), default="open", show_default=True)
@json_option
@config_option
@click.pass_context
def conflicts(ctx: click.Context, *, connector: str | None, state: Any, as_json: bool, config: Path | None) -> None:
    """List the fields that were changed both here and in the SIS, and wait for a person."""
    if ctx.invoked_subcommand is not None:
        return
    from homeroom.sync import conflicts as conflicts_of

    with opened_store(settings_of(config)) as store:
        found = store.read_now(lambda c: conflicts_of(c, connector=connector, state=state, limit=_MOST))
    if as_json:
        print_json({"conflicts": [one.as_json() for one in found]})
        return
    for one in found:
        click.echo(_question(one))
    if not found:
        click.echo("No question is open." if state == "open" else f"None is {state}.")
    elif state == "open":
        click.echo('Settle one with: homeroom sync conflicts settle ID --ours|--theirs --why "…"')


@conflicts.command(epilog=example('homeroom sync conflicts settle 17 --theirs --why "seen on the birth certificate"'))
@click.argument("conflict_id", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@click.option("--ours", "resolution", flag_value="ours", help="What stands here stays until the SIS agrees.")
@click.option("--theirs", "resolution", flag_value="theirs", help="The SIS's value holds.")
@click.option("--value", help="Another value holds, until the SIS agrees.")
@click.option("--why", required=True, help="Why; it is kept with the choice.")
@json_option
@config_option
def settle(
    *, conflict_id: int, resolution: Choice | None, value: str | None, why: str, as_json: bool, config: Path | None
) -> None:
    """Settle the question ID."""
    from homeroom.sync import settle as settle_one

    if (resolution is None) == (value is None):
        raise WrongUsage("Say one of --ours, --theirs and --value.")
    chosen: Choice = resolution or "value"
    with opened_store(settings_of(config)) as store:
        one = store.write_now(lambda tx: settle_one(tx, conflict_id, resolution=chosen, value=value, why=why, by=None))
    if as_json:
        print_json(one.as_json())
    else:
        click.echo(f"Settled: {one.about}, {one.field}: {one.chosen}.")


@click.command("dead-letters", epilog=example("homeroom sync dead-letters powerschool"))
@click.argument("name")
@json_option
@config_option
def dead_letters(*, name: str, as_json: bool, config: Path | None) -> None:
    """List the rows of the connector NAME that could not be taken, each with where it stands and why."""
    from homeroom.sync import dead_letters as letters_of

    with opened_store(settings_of(config)) as store:
        found = store.read_now(lambda c: letters_of(c, name, limit=_MOST))
    if as_json:
        print_json({"dead_letters": [asdict(one) for one in found]})
        return
    for one in found:
        click.echo(f"{one.id:>8}  {one.noun} {one.location}: {f'{one.field}: ' if one.field else ''}{one.reason}")
    if not found:
        click.echo("No row was left out.")
    if any(one.replayable for one in found):
        click.echo(f"When the cause is gone: homeroom sync replay {name}")
    if unread := sum(not one.replayable for one in found):
        click.echo(f"{unread} could not even be read; when the cause is gone: {_full_run(name)}")


@click.command(epilog=example("homeroom sync replay powerschool --id 4711"))
@click.argument("name")
@click.option("--id", "ids", multiple=True, type=click.IntRange(1, 2**63 - 1), help="Only this row; may be repeated.")
@json_option
@config_option
def replay(*, name: str, ids: tuple[int, ...], as_json: bool, config: Path | None) -> None:
    """Take the rows that the connector NAME had to leave out once more; exit 1 when some are still wrong."""
    from homeroom.runs.under_way import options
    from homeroom.sync import replay as replay_letters

    async def ask() -> ReplayResult:
        async with loaded(settings_of(config)) as district:
            return await replay_letters(district.store, name, ids=list(ids) or None, **options(district))

    result = asyncio.run(ask())
    left_out = result.still_dead + result.without_content
    if as_json:
        print_json(asdict(result))
    else:
        click.echo(f"{result.replayed} taken, {left_out} still left out.")
        if result.without_content:
            click.echo(f"{result.without_content} could not even be read; when the cause is gone: {_full_run(name)}")
        if result.reason:
            click.echo(result.reason)
    if left_out or result.reason:
        raise click.exceptions.Exit(NOT_FINE)


@click.command(epilog=example("homeroom sync corrections powerschool"))
@click.argument("name")
@json_option
@config_option
def corrections(*, name: str, as_json: bool, config: Path | None) -> None:
    """List what was corrected here and is still otherwise in the connector NAME's SIS: to be entered there."""
    from homeroom.sync import corrections as corrections_of

    with opened_store(settings_of(config)) as store:
        found = store.read_now(lambda c: corrections_of(c, name))
    if as_json:
        print_json({"corrections": [one.as_json() for one in found]})
        return
    for one in found:
        since = f"{one.since:%Y-%m-%d}"
        click.echo(
            f"{one.noun} {one.sourced_id or '-'}  {one.about}  {one.field}: {one.theirs!r} -> {one.ours!r}  {since}"
        )
    if not found:
        click.echo("The SIS has every correction that was made here.")


@click.command(epilog=example("homeroom sync attendance powerschool --retry"))
@click.argument("name")
@click.option("--retry", is_flag=True, help="Try everything that failed again now.")
@json_option
@config_option
def attendance(*, name: str, retry: bool, as_json: bool, config: Path | None) -> None:
    """Show what goes out to the connector NAME's SIS, and the marks that need a person."""
    from homeroom import attendance_out

    with opened_store(settings_of(config)) as store:
        again = store.write_now(lambda tx: attendance_out.retry(tx, name)) if retry else 0
        figures = store.read_now(lambda c: attendance_out.status(c, name))
        found, _ = store.read_now(lambda c: attendance_out.problems(c, name, limit=_MOST))
    if as_json:
        problems = [asdict(one) for one in found]
        print_json({"connector": name, "retried": again, **asdict(figures), "problems": problems})
        return
    if retry:
        click.echo(f"{again} marks are tried again.")
    click.echo(
        f"{name}: {figures.waiting} waiting, {figures.sent} sent ({figures.confirmed} seen there), "
        f"{figures.failed} failed, {figures.differs} changed there by others, {figures.left_out} of nobody known there."
    )
    if figures.error:
        click.echo(f"Nothing is sent at the moment: {figures.error}")
    for one in found:
        told = one.reason if one.state == "failed" else f"the SIS holds {one.theirs!r}"
        click.echo(f"{one.id}  {one.school_day}  student {one.student_id}  {one.status or 'withdrawn'}: {told}")


def _full_run(name: str) -> str:
    """What brings rows again that were not kept."""
    return f"homeroom sync run {name} --full"


def _question(one: QueuedConflict) -> str:
    answer = f"  {one.chosen}, {one.who or 'command line'}: {one.why}" if one.state == "settled" else ""
    return (
        f"{one.id:>6}  {one.connector} {one.noun} {one.sourced_id}  {one.about}  {one.field}: "
        f"was {one.base!r}, here {one.ours!r}, there {one.theirs!r}{answer}"
    )


COMMANDS: tuple[click.Command, ...] = (conflicts, dead_letters, replay, corrections, attendance)
"""What `homeroom sync` adds to its own."""
