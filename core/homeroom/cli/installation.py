"""What commands work on: the settings, the database and the plugins of this installation."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from homeroom.district import District
    from homeroom.settings import Settings
    from homeroom.store import Store

_GC_THRESHOLD = 100_000

config_option: Callable[[Any], Any] = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="homeroom.toml's path [default: HOMEROOM_CONFIG, else ./homeroom.toml].",
)


def settings_of(config: Path | None) -> Settings:
    """The settings of this installation. Raises SettingsError with every problem."""
    from homeroom.settings import load_settings

    quiet_logs()
    return load_settings(config)


def quiet_logs() -> None:
    """Let only warnings be logged, on stderr: stdout is for what the command was asked for."""
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def spare_collector() -> None:
    """Let the garbage collector pass over what has been made so far, and pass by more rarely: most of that stays."""
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 50, 100)


def leave_bytecode_alone() -> None:
    """Write none from now on: what Python writes while the disk is full is half a file, and fails ever after."""
    sys.dont_write_bytecode = True


@contextlib.contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """The database, which must have been upgraded. Raises ClickException, with the command to run, when not."""
    from homeroom.store import Store

    check_upgraded(settings)
    with Store(settings.database.url, cipher=settings.cipher(), readers=1) as store:
        yield store


def check_upgraded(settings: Settings) -> None:
    """Raise ClickException when the database is not there or waits for migrations."""
    from homeroom.store import migrate

    if not database_exists(settings) or not all(entry.applied for entry in migrate.status(settings.database.url)):
        raise click.ClickException("The database is not up to date; run: homeroom db upgrade")


def database_exists(settings: Settings) -> bool:
    """Whether there is a database to look at; asking SQLite would create an empty one."""
    from homeroom.store.database import sqlite_path

    url = settings.database.url
    return not url.startswith("sqlite") or sqlite_path(url).exists()


@contextlib.asynccontextmanager
async def loaded(settings: Settings, *, safe: bool = False) -> AsyncIterator[District]:
    """The district with its database open and its plugins loaded but not started."""
    from homeroom.district import District

    check_upgraded(settings)
    district = District(settings, safe=safe)
    with district.store:
        await district.host.load()
        try:
            yield district
        finally:
            await district.host.stop()


def plugin_migrations(settings: Settings, *, safe: bool = False) -> dict[str, Path]:
    """The folder of each plugin that has tables, by its name; the core's own migrations must be there."""
    import asyncio

    return asyncio.run(_plugin_migrations(settings, safe=safe))


async def _plugin_migrations(settings: Settings, *, safe: bool = False) -> dict[str, Path]:
    async with loaded(settings, safe=safe) as district:
        return await district.migrations()


def installed_migrations(settings: Settings) -> dict[str, Path]:
    """As `plugin_migrations`, without looking at the database: what a restore into an empty one needs."""
    import tempfile

    from homeroom.settings import DatabaseSettings
    from homeroom.store import migrate

    with tempfile.TemporaryDirectory(prefix="homeroom-") as folder:
        elsewhere = DatabaseSettings(url=f"sqlite:///{folder}/empty.db", readers=1)
        migrate.upgrade(elsewhere.url)
        return plugin_migrations(settings.model_copy(update={"database": elsewhere}))


def upgrade(settings: Settings, *, safe: bool = False) -> list[str]:
    """Bring the database, the core's part and every enabled plugin's, up to date; gives what was applied."""
    import asyncio

    return asyncio.run(upgrade_now(settings, safe=safe))


async def upgrade_now(settings: Settings, *, safe: bool = False) -> list[str]:
    """As `upgrade`, inside an event loop that serves nobody yet."""
    from homeroom.store import migrate

    done = migrate.upgrade(settings.database.url)
    return done + migrate.upgrade(settings.database.url, await _plugin_migrations(settings, safe=safe))


@contextlib.asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[District]:
    """The district, running without a server before it; the web processes leave the jobs to it meanwhile."""
    from homeroom.district import District

    check_upgraded(settings)
    district = District(settings)
    district.jobs.dedicated = True
    await district.start()
    try:
        yield district
    finally:
        await district.stop()


def plugin_commands(ctx: click.Context) -> dict[str, click.Command]:
    """The commands of the enabled plugins, by name.

    The database stays open for them until `ctx` is closed. Raises SettingsError, StoreError and ClickException when the
    installation is not in order.
    """
    import asyncio

    from homeroom.district import District

    async def ask() -> dict[str, click.Command]:
        settings = settings_of(None)
        check_upgraded(settings)
        district = District(settings)
        district.store.open()
        ctx.call_on_close(district.store.close)
        await district.host.load()
        answers = await district.host.ask_all("commands")
        groups = [answer.value for answer in answers if answer.error is None and answer.value is not None]
        return {name: command for group in groups for name, command in group.commands.items()}

    return asyncio.run(ask())
