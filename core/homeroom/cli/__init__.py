"""`homeroom`, the command: what it can do is listed here, and loaded only when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("homeroom.cli.demo:demo", "Start a whole synthetic district on this machine."),
    "init": ("homeroom.cli.start:init", "Write the settings of a new installation, with fresh secrets."),
    "serve": ("homeroom.cli.serve:serve", "Start the server."),
    "worker": ("homeroom.cli.serve:worker", "Run background jobs apart from the server."),
    "db": ("homeroom.cli.database:db", "Upgrade, back up, restore and export the database."),
    "users": ("homeroom.cli.users:users", "Add and invite people."),
    "plugins": ("homeroom.cli.plugins:plugins", "See, switch, check and make plugins."),
    "sync": ("homeroom.cli.sync:sync", "Take rosters in."),
    "notify": ("homeroom.cli.notify:notify", "See who would be told, and what became of messages."),
    "simulate": ("homeroom.cli.simulate:simulate", "Serve a vendor's SIS on this machine, to try things out."),
    "doctor": ("homeroom.cli.doctor:doctor", "Say what is wrong with this installation, and the fix."),
    "bench": ("homeroom.cli.bench:bench", "Measure this installation beside a bare baseline."),
}
"""Every command of the core: where it is, and what `homeroom --help` says of it without loading it."""

_TROUBLE = "homeroom.trouble"


class Commands(click.Group):
    """The group of all commands: the core's, loaded when used, then those of the enabled plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the core's commands, in the order in which people meet them."""
        del ctx
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; where there is none, it is said that it may be a plugin's."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            told = f"{error.message} Some commands come with a plugin while it is enabled, see: homeroom plugins list"
            if trouble := ctx.meta.get(_TROUBLE):
                told += f"\nNow the plugins' commands cannot be looked up:\n{trouble}"
            raise click.UsageError(told, ctx) from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; plugins are loaded only for a name that the core does not have."""
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        from homeroom.cli.installation import plugin_commands
        from homeroom.cli.output import as_click_error

        try:
            return plugin_commands(ctx).get(cmd_name)
        except Exception as exc:
            error = exc if isinstance(exc, click.ClickException) else as_click_error(exc)
            if error is None:
                raise
            ctx.meta[_TROUBLE] = error.format_message()
            return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without loading any of them, so that `--help` answers at once."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what a person can put right is said in one line, without a traceback."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as exc:
            from homeroom.cli.output import as_click_error

            error = as_click_error(exc)
            if error is None:
                raise
            raise error from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start here: homeroom demo. Each command has --help with an example. Plugins bring commands of their own, "
    "such as audit, while they are enabled: homeroom plugins list",
)
@click.version_option(package_name="homeroom-core", prog_name="homeroom")
def main() -> None:
    """Attendance for school districts: a small core that asks plugins the rest."""
