"""`homeroom notify`: who would be told, how messages fare, and sending one again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.installation import config_option, opened_store, settings_of
from homeroom.cli.output import NOT_FINE, WrongUsage, example, json_option, print_json

if TYPE_CHECKING:
    from homeroom.notify.preview import Planned
    from homeroom.store import Connection

_SHOWN = 20


@click.group(epilog=example("homeroom notify status"))
def notify() -> None:
    """See who would be told, and what became of messages."""


@notify.command(epilog=example("homeroom notify preview --school 01938f2e… --kind absence"))
@click.option("--school", "school_id", required=True, help="The school's id.")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="A school day [default: today at the school].")
@click.option("--rule", "rule_id", help="One rule by its id, also one that is switched off.")
@click.option("--kind", help="A kind of rule with its defaults, which need not exist yet.")
@json_option
@config_option
def preview(
    *,
    school_id: str,
    day: datetime | None,
    rule_id: str | None,
    kind: str | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Show who would be told what of a day's marks, and who would not and why; nothing is sent.

    Without --rule and --kind, by the rules that are switched on. Plugins that may forbid a message are not asked here;
    the API's preview asks them.
    """
    from homeroom.notify.preview import preview as previewed
    from homeroom.notify.rules import draft, read_rule, rules
    from homeroom.notify.schools import Schools
    from homeroom.notify.settings import BadRule
    from homeroom.store import models as m
    from homeroom.store import now_utc

    settings, now = settings_of(config), now_utc()

    def read(connection: Connection) -> tuple[list[Planned], bool, date]:
        if connection.get(m.Org, school_id) is None:
            raise WrongUsage(f"There is no school {school_id}.")
        on = day.date() if day is not None else Schools(connection, settings)[school_id].today(now)
        if rule_id is not None:
            wanted = [read_rule(connection, rule_id)]
        elif kind is not None:
            wanted = [draft(kind, {}, org_id=school_id)]
        else:
            wanted = rules(connection, org_ids=[school_id, ""], enabled=True)
        planned, more = previewed(connection, settings, wanted, school_id=school_id, day=on, now=now)
        return planned, more, on

    try:
        with opened_store(settings) as store:
            planned, more, on = store.read_now(read)
    except BadRule as exc:
        raise WrongUsage(str(exc)) from None
    told = [one for one in planned if one.refused is None]
    not_told = [one for one in planned if one.refused is not None]
    if as_json:
        shown = {"school_id": school_id, "day": on.isoformat(), "more": more}
        print_json({**shown, "messages": [asdict(one) for one in told], "not_told": [asdict(one) for one in not_told]})
        return
    _show(told, not_told, more=more)


@notify.command(epilog=example("homeroom notify status --days 7"))
@click.option("--days", default=1, show_default=True, type=click.IntRange(1, 366), help="Of so many days.")
@json_option
@config_option
@click.pass_context
def status(ctx: click.Context, *, days: int, as_json: bool, config: Path | None) -> None:
    """Show how many messages are in each state; exit 1 when somebody should look at some."""
    from homeroom.notify import reading
    from homeroom.notify.staff import PROBLEMS
    from homeroom.store import now_utc

    settings, since = settings_of(config), now_utc() - timedelta(days=days)

    def read(connection: Connection) -> tuple[dict[str, int], list[reading.Shown]]:
        wanted = reading.Wanted(states=PROBLEMS, limit=_SHOWN)
        return reading.figures(connection, since=since), reading.messages(connection, wanted)[0]

    with opened_store(settings) as store:
        counts, problems = store.read_now(read)
    troubled = sum(counts[state] for state in PROBLEMS)
    if as_json:
        listed = [
            {"id": one.id, "kind": one.kind, "state": one.state, "reason": one.reason_words, "channel": one.channel}
            for one in problems
        ]
        print_json({"days": days, "counts": counts, "problems": listed})
    else:
        for state, count in counts.items():
            click.echo(f"{count:>8}  {state}")
        for one in problems if troubled else ():
            click.echo(f"{one.id}  {one.state}, {one.kind}: {one.reason_words or 'no reason is known'}")
        if troubled:
            click.echo("Send one again with: homeroom notify resend ID")
    ctx.exit(NOT_FINE if troubled else 0)


@notify.command(epilog=example("homeroom notify resend 01938f2e6c7d7a10b3c4d5e6f7a8"))
@click.argument("message_id", metavar="ID")
@json_option
@config_option
def resend(*, message_id: str, as_json: bool, config: Path | None) -> None:
    """Send the message ID again, which failed, expired, was held or is unknown; an unknown one may arrive twice."""
    from homeroom.notify import choices

    settings = settings_of(config)
    with opened_store(settings) as store:
        store.write_now(lambda tx: choices.resend(tx, settings, message_id))
    if as_json:
        print_json({"id": message_id, "state": "waiting"})
    else:
        click.echo("The message waits to be sent again; the server does it.")


def _show(told: Sequence[Planned], not_told: Sequence[Planned], *, more: bool) -> None:
    for one in told:
        where = ", then ".join(one.channels)
        at = one.due_at.isoformat(timespec="minutes")
        click.echo(f"{one.recipient} ({one.audience} of {one.student}), in {one.language} by {where}, {at}:")
        click.echo(f"    {_text(one)}")
        if one.length is not None and one.length.segments > 1:
            click.echo(f"    ({one.length.segments} segments of {one.length.encoding})")
    for one in not_told:
        click.echo(f"{one.recipient} ({one.audience} of {one.student}) is not told: {one.refused_words}.")
    if more:
        click.echo("There are more students than are shown here.", err=True)
    if not told and not not_told:
        click.echo("Nobody would be told.")


def _text(one: Planned) -> Any:
    return one.texts.get("sms") or one.texts.get("subject", "")
