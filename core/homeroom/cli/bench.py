"""`homeroom bench`: what this installation can do, each figure beside a bare baseline taken in the same run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.output import NOT_FINE, example, json_option, print_json, progress

if TYPE_CHECKING:
    from homeroom.bench.outcome import Outcome

_server_option = click.option(
    "--server",
    type=click.Choice(["hypercorn", "uvicorn", "granian"]),
    default="hypercorn",
    show_default=True,
    help="The ASGI server that both sides run on.",
)
_database_option = click.option(
    "--database",
    metavar="URL",
    help="A PostgreSQL server, by the URL of any database of it: a fresh one is made there and dropped at the end. "
    "Without it: SQLite in a temporary folder.",
)
_redis_option = click.option(
    "--redis",
    metavar="URL",
    help="An empty database of a Redis, emptied again at the end. Without it: none.",
)


@click.group(epilog=example("homeroom bench checkin --json"))
def bench() -> None:
    """Measure this installation.

    Everything runs on synthetic people in a temporary folder; your own data is not touched. Exit code 1 means that an
    answer was wrong, lost or doubled, never that a figure is low.
    """


@bench.command(epilog=example("homeroom bench checkin --server granian"))
@_server_option
@_database_option
@click.option("--students", default=12_000, show_default=True, type=click.IntRange(10), help="Who check in once each.")
@click.option("--connections", default=64, show_default=True, type=click.IntRange(1, 2000), help="At the same time.")
@click.option("--rounds", default=4, show_default=True, type=click.IntRange(1, 100), help="Turns of each side.")
@json_option
def checkin(*, as_json: bool, **options: Any) -> None:
    """Durable check-ins a second over HTTP."""
    from homeroom.bench.checkin import run

    _measure(run, options, as_json=as_json)


@bench.command(epilog=example("homeroom bench board --sockets 500"))
@_server_option
@_database_option
@click.option("--sockets", default=1000, show_default=True, type=click.IntRange(1, 20_000), help="Boards of one class.")
@click.option("--checkins", default=120, show_default=True, type=click.IntRange(1), help="One after the other.")
@click.option("--students", default=10_000, show_default=True, type=click.IntRange(10), help="In the database.")
@json_option
def board(*, as_json: bool, **options: Any) -> None:
    """Time from a check-in to the last open board, and the server's memory."""
    from homeroom.bench.board import run

    _measure(run, options, as_json=as_json)


@bench.command(epilog=example("homeroom bench stats --days 180"))
@_server_option
@_database_option
@click.option("--classes", default=40, show_default=True, type=click.IntRange(1), help="Of 30 students each.")
@click.option("--days", default=180, show_default=True, type=click.IntRange(30, 400), help="School days of attendance.")
@click.option("--requests", default=100, show_default=True, type=click.IntRange(1), help="In each turn.")
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(1, 100), help="Turns.")
@click.option("--connections", default=1, show_default=True, type=click.IntRange(1, 2000), help="At the same time.")
@json_option
def stats(*, as_json: bool, **options: Any) -> None:
    """A class's statistics over a school year."""
    from homeroom.bench.stats import run

    _measure(run, options, as_json=as_json)


@bench.command(epilog=example("homeroom bench start --times 10"))
@_database_option
@click.option("--times", default=5, show_default=True, type=click.IntRange(1, 100), help="Starts of each side.")
@click.option("--students", default=1200, show_default=True, type=click.IntRange(10), help="In the database.")
@json_option
def start(*, as_json: bool, **options: Any) -> None:
    """Time from `homeroom serve` to its first answer."""
    from homeroom.bench.start import run

    _measure(run, options, as_json=as_json)


@bench.command(epilog=example("homeroom bench sync --students 5000"))
@_database_option
@click.option("--students", default=50_000, show_default=True, type=click.IntRange(60, 200_000), help="In the roster.")
@click.option("--checkins", default=8000, show_default=True, type=click.IntRange(20), help="In all.")
@click.option(
    "--changes", default=10_000, show_default=True, type=click.IntRange(1, 50_000), help="Of attendance, out."
)
@click.option("--memory", is_flag=True, help="Also how memory grows with four times as many students.")
@json_option
def sync(*, as_json: bool, **options: Any) -> None:
    """Time of a first full sync and of a second one, check-ins meanwhile, and attendance on its way out."""
    from homeroom.bench.sync import run

    _measure(run, options, as_json=as_json)


@bench.command(epilog=example("homeroom bench audit --rows 100000"))
@_server_option
@_database_option
@click.option("--reads", default=6000, show_default=True, type=click.IntRange(10), help="Class rosters, of each side.")
@click.option("--checkins", default=6000, show_default=True, type=click.IntRange(10), help="Of each side.")
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(300, 5_000_000), help="To be sealed.")
@click.option("--connections", default=64, show_default=True, type=click.IntRange(1, 2000), help="At the same time.")
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(1, 100), help="Turns of each side.")
@json_option
def audit(*, as_json: bool, **options: Any) -> None:
    """What auditing costs reads and check-ins, and how long sealing and proving take."""
    from homeroom.bench.audit import run

    _measure(run, options, as_json=as_json)


@bench.command(epilog=example("homeroom bench bell --database postgresql:///postgres --redis redis://localhost/9"))
@_server_option
@_database_option
@_redis_option
@click.option("--students", default=10_000, show_default=True, type=click.IntRange(10, 50_000), help="Once each.")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(1), help="In which all arrive.")
@click.option("--boards", default=500, show_default=True, type=click.IntRange(1, 20_000), help="That watch.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes of the server.")
@json_option
def bell(*, as_json: bool, **options: Any) -> None:
    """A school that checks in within a minute while its boards watch."""
    from homeroom.bench.bell import run

    _measure(run, options, as_json=as_json)


@bench.command(epilog=example("homeroom bench soak --minutes 10"))
@_database_option
@click.option(
    "--minutes", default=120.0, show_default=True, type=click.FloatRange(0.05, 1200), help="In twelve rounds."
)
@click.option("--boards", default=50, show_default=True, type=click.IntRange(1, 20_000), help="Opened in each round.")
@click.option("--rate", default=1000 / 60, show_default="16.7", type=click.FloatRange(0.1), help="Check-ins a second.")
@click.option("--students", default=10_000, show_default=True, type=click.IntRange(10, 50_000), help="In the school.")
@json_option
def soak(*, as_json: bool, **options: Any) -> None:
    """Whether memory, files, connections, tasks or the WAL grow over hours."""
    from homeroom.bench.soak import run

    _measure(run, options, as_json=as_json)


@bench.command(epilog=example("homeroom bench notify --absences 5000"))
@_database_option
@click.option("--absences", default=20_000, show_default=True, type=click.IntRange(20, 200_000), help="In one morning.")
@click.option("--checkins", default=8000, show_default=True, type=click.IntRange(20), help="In all.")
@json_option
def notify(*, as_json: bool, **options: Any) -> None:
    """Absences turned into messages, how fast these leave, and check-ins meanwhile."""
    from homeroom.bench.notify import run

    _measure(run, options, as_json=as_json)


def _measure(run: Callable[..., Outcome], options: dict[str, Any], *, as_json: bool) -> None:
    from homeroom.bench.processes import BenchFailed

    with progress("bench") as show:
        try:
            outcome = run(**options, progress=show)
        except BenchFailed as exc:
            raise click.ClickException(str(exc)) from None
    if as_json:
        print_json(outcome.as_json())
    else:
        _print(outcome)
    if not outcome.sound:
        raise SystemExit(NOT_FINE)


def _print(outcome: Outcome) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", outcome.unit, title=f"bench {outcome.bench}", title_justify="left")
    table.add_row("measured", f"{outcome.measured:g}")
    table.add_row("bare baseline", f"{outcome.baseline:g}")
    table.add_row("ratio", f"{outcome.ratio:g}  ({outcome.aim})")
    for name in ("p50_ms", "p95_ms", "errors", "lost", "doubled"):
        value = getattr(outcome, name)
        if value is not None:
            table.add_row(name.replace("_", " "), f"{value:g}")
    table.add_section()
    for name, value in outcome.setup.items():
        table.add_row(name.replace("_", " "), "; ".join(value) if isinstance(value, list) else str(value))
    Console().print(table)
