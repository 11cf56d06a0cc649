"""`homeroom kiosk`: cards from a list, as a printer of cards or a library gives one out."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path

import click

from homeroom_kiosk.desk import Desk, Row

_NOT_FINE = 1
_COLUMNS = ("student_number", "card")
_SHORTEST = 4
_BY = "command line"
_WHY = {
    "unknown-student": "no student of this school has this number today",
    "somebody-elses": "somebody else has this card",
    "blocked": "this card is blocked; the office can give it out again",
    "unreadable": "a row needs a student number and a card of four characters or more",
}


def group(desk: Desk) -> click.Group:
    """The plugin's commands: the group `kiosk`."""
    found = click.Group("kiosk", help="Look after the tablets at the doors.")

    @found.command("import-cards", epilog="Example: homeroom kiosk import-cards cards.csv --school NORTH-ID")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--school", "school_id", required=True, help="The school's id.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
    def import_cards(*, file: Path, school_id: str, as_json: bool) -> None:
        """Give out the cards of a CSV file with the columns student_number and card.

        Rows that cannot be taken are named by their line, and keep no other from it; exit 1 when there are any. The
        numbers of cards are printed nowhere. A repeat changes nothing.
        """
        rows = _read(file)
        good = [(line, row) for line, row in rows if row is not None]
        became = asyncio.run(desk.give_many(school_id, [row for _, row in good], _BY))
        wrong = [(line, "unreadable") for line, row in rows if row is None]
        wrong += [(line, outcome) for (line, _), outcome in zip(good, became, strict=True) if outcome in _WHY]
        given, unchanged = became.count("given"), became.count("unchanged")
        if as_json:
            refused = [{"line": line, "outcome": outcome} for line, outcome in sorted(wrong)]
            click.echo(json.dumps({"given": given, "unchanged": unchanged, "refused": refused}))
        else:
            for line, outcome in sorted(wrong):
                click.echo(f"line {line}: {_WHY[outcome]}", err=True)
            click.echo(f"{given} cards given out, {unchanged} were known, {len(wrong)} rows not taken")
        if wrong:
            raise click.exceptions.Exit(_NOT_FINE)

    return click.Group("kiosk", commands={"kiosk": found})


def _read(file: Path) -> list[tuple[int, Row | None]]:
    """The rows with their lines; None for one that has not what it needs. Raises ClickException for no such list."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened)
            if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
                raise click.ClickException(f"{file.name} has no column {' and no column '.join(missing)}.")
            return [(reader.line_num, _row(one)) for one in reader]
    except (UnicodeDecodeError, csv.Error) as exc:
        raise click.ClickException(f"{file.name} is no CSV in UTF-8: {type(exc).__name__}.") from None


def _row(one: dict[str, str | None]) -> Row | None:
    number, card = ((one.get(name) or "").strip() for name in _COLUMNS)
    return Row(student_number=number, card=card) if number and len(card) >= _SHORTEST else None
