"""`homeroom db`: migrations, backups and the way out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeroom.cli import installation
from homeroom.cli.installation import config_option, settings_of
from homeroom.cli.output import NOT_FINE, example, json_option, print_json, progress

if TYPE_CHECKING:
    from homeroom.settings import Settings

_MEANS_SOMETHING, _LONGEST_GROUND = 3, 300


@click.group()
def db() -> None:
    """Upgrade, back up, restore and export the database that DATABASE_URL names."""


@db.command(epilog=example("homeroom db upgrade"))
@json_option
@config_option
def upgrade(*, as_json: bool, config: Path | None) -> None:
    """Apply what is pending of the core's and every enabled plugin's migrations."""
    done = installation.upgrade(settings_of(config))
    if as_json:
        print_json({"applied": done})
        return
    for name in done:
        click.echo(f"applied {name}")
    click.echo(f"The database is up to date ({len(done)} migrations applied now).")


@db.command(epilog=example("homeroom db status --json"))
@json_option
@config_option
def status(*, as_json: bool, config: Path | None) -> None:
    """Say which migrations were applied; exit 1 when some are pending."""
    from homeroom.store import migrate

    settings = settings_of(config)
    url = settings.database.url
    kind = "sqlite" if url.startswith("sqlite") else "postgresql"
    entries: list[migrate.Pending] = []
    if installation.database_exists(settings):
        entries = migrate.status(url)
        if all(entry.applied for entry in entries):
            entries = migrate.status(url, installation.plugin_migrations(settings))
    pending = [entry for entry in entries if not entry.applied]
    fine = bool(entries) and not pending
    if as_json:
        rows = [{"owner": entry.owner, "name": entry.name, "applied": entry.applied} for entry in entries]
        print_json({"database": kind, "migrations": rows, "pending": len(pending), "up_to_date": fine})
    else:
        for entry in entries:
            click.echo(f"{'applied' if entry.applied else 'PENDING'}  {entry.owner}/{entry.name}")
        click.echo(
            "The database is up to date." if fine else "The database is not up to date; run: homeroom db upgrade"
        )
    if not fine:
        raise click.exceptions.Exit(NOT_FINE)


@db.command(epilog=example("homeroom db backup /var/backups/homeroom-2026-11-23.zip"))
@click.argument("path", type=click.Path(path_type=Path))
@json_option
@config_option
def backup(*, path: Path, as_json: bool, config: Path | None) -> None:
    """Write everything to PATH, as it is at one moment, while the server goes on.

    PATH is worth nothing without ENCRYPTION_KEY: keep that key too, elsewhere.
    """
    from homeroom.store.backup import back_up, verify

    settings = settings_of(config)
    installation.check_upgraded(settings)
    with progress("backing up", quiet=as_json) as show:
        made = back_up(settings.database.url, path, progress=show)
    with progress("verifying", quiet=as_json) as show:
        verify(path, progress=show)
    if as_json:
        print_json({"path": str(path), "tables": len(made.tables), "rows": made.rows, "made_at": made.made_at})
    else:
        click.echo(f"Backed up {made.rows} rows of {len(made.tables)} tables to {path}, and verified them.")


@db.command(epilog=example("DATABASE_URL=postgresql://…/new homeroom db restore homeroom-2026-11-23.zip"))
@click.argument("path", type=click.Path(path_type=Path))
@json_option
@config_option
def restore(*, path: Path, as_json: bool, config: Path | None) -> None:
    """Verify the backup at PATH and fill the empty database with it; either kind of database will do.

    It is refused with another ENCRYPTION_KEY than its own. Who stands on the erasure list (database.erasure_list) is
    erased again at once.
    """
    from homeroom.agreement import check_backup
    from homeroom.store import Connection
    from homeroom.store.backup import restore as restore_backup

    settings = settings_of(config)
    with progress("restoring", quiet=as_json) as show:
        made = restore_backup(
            settings.database.url,
            path,
            plugins=installation.installed_migrations(settings),
            progress=show,
            check=lambda database: check_backup(Connection(database, settings.cipher()), settings),
        )
    erased = _erase_again(settings)
    if as_json:
        figures = {"path": str(path), "tables": len(made.tables), "rows": made.rows, "made_at": made.made_at}
        print_json({**figures, "erased_again": erased})
    else:
        click.echo(f"Restored {made.rows} rows of {len(made.tables)} tables, as of {made.made_at}.")
        if erased:
            click.echo(f"{erased} people on the erasure list were in the backup, and are erased again.")


@db.command(epilog=example("homeroom db export district.zip"))
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--to", "party", metavar="PARTY", help="For whom it is, where it is not for the district itself.")
@click.option("--purpose", metavar="PURPOSE", help="What they may use it for.")
@click.option(
    "--ground", metavar="TEXT", help="The ground, where the party is not on file: a law, an order, a contract."
)
@json_option
@config_option
def export(
    *, path: Path, party: str | None, purpose: str | None, ground: str | None, as_json: bool, config: Path | None
) -> None:
    """Write the whole district to PATH, a new folder or a new .zip: OneRoster 1.2 CSV, and attendance as CSV.

    Everything in it is in clear: guard it. That it was written, for whom and why, is entered in the journal first.
    With --to, plugins that keep the law may refuse it; a ground that you state is kept with the entry.
    """
    from homeroom.export import export as export_district
    from homeroom.export import exported

    if (party is None) != (purpose is None):
        raise click.UsageError("Give --to and --purpose together.")
    if ground is not None and (party is None or not _MEANS_SOMETHING <= len(ground.strip()) <= _LONGEST_GROUND):
        raise click.UsageError("Give --ground with --to, in 3 to 300 characters.")
    settings = settings_of(config)
    if party is None or purpose is None:
        with installation.opened_store(settings) as store:
            store.write_now(exported)
    else:
        asyncio.run(_granted(settings, party, purpose, ground))
    with progress("exporting", quiet=as_json) as show:
        rows = export_district(settings.database.url, settings.cipher(), path, progress=show)
    if as_json:
        print_json({"path": str(path), "files": rows})
    else:
        for name, count in rows.items():
            click.echo(f"{count:>9}  {name}")
        click.echo(f"The district is in {path}; guard it, it is in clear.")


async def _granted(settings: Settings, party: str, purpose: str, ground: str | None) -> None:
    """Return when an export for a party is entered. Raises ClickException where it is refused."""
    from homeroom.export import export_to
    from homeroom.store import Refused

    async with installation.loaded(settings) as district:
        try:
            await export_to(district.store, district.host, party, purpose=purpose, ground=ground)
        except Refused as refusal:
            raise click.ClickException(f"{refusal} Nothing was written.") from None


def _erase_again(settings: Settings) -> int:
    """How many people the backup had brought back; they are out again when this returns."""
    from homeroom.store import Store
    from homeroom.store.erasure import EraseList, replay

    if settings.database.erasure_list is None:
        return 0
    with Store(settings.database.url, cipher=settings.cipher(), readers=1) as store:
        return len(replay(store, EraseList(settings.database.erasure_list)))
