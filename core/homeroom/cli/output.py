"""How commands speak: facts on stdout, progress and problems on stderr, one line for what a person can put right."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

NOT_FINE = 1
WRONG_USAGE = 2


class WrongUsage(click.ClickException):
    """Something that cannot work as it was asked: exit 2."""

    exit_code = WRONG_USAGE


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


def print_json(value: Any) -> None:
    """Print one object as one line of JSON, at once."""
    import orjson

    click.echo(orjson.dumps(value, default=str).decode())
    sys.stdout.flush()


def example(text: str) -> str:
    """An epilog for `--help` that shows how a command is used."""
    return f"\b\nExample:\n  {text.strip()}"


def as_click_error(exc: Exception) -> click.ClickException | None:
    """What to say for an error that is no bug of ours; None for one that is."""
    from pydantic import ValidationError

    from homeroom.settings import SettingsError
    from homeroom.store import Refused, StoreError
    from homeroom.store.faults import Fault, fault_of, plain

    match exc:
        case SettingsError():
            return WrongUsage("\n".join(str(problem) for problem in exc.problems))
        case ValidationError():
            return WrongUsage("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()))
        case Refused():
            text = exc.detail
        case StoreError():
            text = str(exc)
        case _ if fault_of(exc) is not Fault.UNIT:
            text = f"{plain(exc)}; see that it runs and that DATABASE_URL is right"
        case OSError() if exc.filename is not None:
            text = f"{exc.filename}: {exc.strerror}"
        case _:
            return None
    return click.ClickException(text)


@contextlib.contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar on stderr when it is a terminal: call what is given with a step's name, done and total."""
    if quiet or not sys.stderr.isatty():
        yield lambda _step, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=None)

        def show(step: str, done: int, total: int | None) -> None:
            bars.update(task, description=f"{title}: {step}", completed=done, total=total)

        yield show
