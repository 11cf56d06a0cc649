"""`homeroom demo`: a whole synthetic district on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeroom.cli.installation import quiet_logs
from homeroom.cli.output import example, json_option, print_json

if TYPE_CHECKING:
    from homeroom.demo.run import Ready


@click.command(epilog=example("homeroom demo --students 2000"))
@click.option(
    "--port", type=click.IntRange(0, 65535), help="The port on 127.0.0.1 [default: 8000, or the next free one]."
)
@click.option("--students", default=500, show_default=True, type=click.IntRange(30, 200_000), help="How many.")
@click.option(
    "--dir",
    "path",
    type=click.Path(path_type=Path),
    help="A new folder for its files [default: one for temporary files].",
)
@click.option("--no-simulate", is_flag=True, help="Let nobody check in by themselves.")
@json_option
def demo(*, port: int | None, students: int, path: Path | None, no_simulate: bool, as_json: bool) -> None:
    """Start a whole synthetic district, with a class whose live board fills. Ctrl-C stops all of it.

    No other service is needed. With --json the first line on stdout has the URL and the sign-ins.
    """
    from homeroom.demo.run import Wish, run

    quiet_logs()
    wish = Wish(port=port, students=students, path=path, simulate=not no_simulate)
    say = (lambda text: click.echo(text, err=True)) if as_json else click.echo
    asyncio.run(run(wish, say=say, show=_show_json if as_json else _show))
    say("The demo has stopped.")


async def _show_json(ready: Ready) -> None:
    accounts = [
        {"role": account.role, "email": account.email, "password": account.password} for account in ready.accounts
    ]
    print_json(
        {
            "url": ready.url,
            "dir": str(ready.folder.path),
            "accounts": accounts,
            "class_id": ready.group.id,
            "session_id": ready.session_id,
        }
    )


async def _show(ready: Ready) -> None:
    from homeroom.demo.folder import has_pages
    from homeroom.demo.run import show_board

    click.echo(f"\nHomeroom serves on {ready.url} (its API is described on {ready.url}/docs). Sign-ins:\n")
    for account in ready.accounts:
        click.echo(f"  {account.role:<15} {account.email:<42} {account.password}   {account.name}")
    if has_pages():
        click.echo(f"\nAll of them can sign in to the pages on {ready.url}/")
    click.echo(f"\nIts settings: {ready.folder.config}")
    click.echo(f"{ready.group.title} at {ready.group.school} is open for check-in; its live board:\n")
    await show_board(ready)
