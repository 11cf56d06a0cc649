"""`homeroom users`: the first administrator, and invitations."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from homeroom.cli.installation import config_option, loaded, opened_store, settings_of
from homeroom.cli.output import example, json_option, print_json

if TYPE_CHECKING:
    from homeroom.settings import Settings
    from homeroom.store import Connection
    from homeroom.types import RoleAt

ROLES = ("student", "guardian", "teacher", "school_admin", "district_admin")
_EVERYWHERE = ("guardian", "district_admin")

_role_option = click.option("--role", required=True, type=click.Choice(ROLES), help="What the person is.")
_school_option = click.option("--school", help="The school's id, number or name; needed when there are several.")


@click.group()
def users() -> None:
    """Add and invite people."""


@users.command(
    epilog=example("homeroom users add --email ana@district.example --name 'Ana Ruiz' --role district_admin")
)
@click.option("--email", required=True, help="With what the person signs in.")
@click.option("--name", required=True, help="Given and family name.")
@_role_option
@_school_option
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@json_option
@config_option
def add(
    *, email: str, name: str, role: str, school: str | None, password_stdin: bool, as_json: bool, config: Path | None
) -> None:
    """Add a person who can sign in with a password at once."""
    settings = settings_of(config)
    password = _password(from_stdin=password_stdin)
    user_id = asyncio.run(_add(settings, email=email, name=name, role=role, school=school, password=password))
    if as_json:
        print_json({"user_id": user_id, "role": role})
    else:
        click.echo(f"Added; they can sign in now as {role.replace('_', ' ')}.")


@users.command(epilog=example("homeroom users invite --email sam@district.example --name 'Sam Lee' --role teacher"))
@click.option("--email", required=True, help="Whom to invite: somebody of the roster, or a new person with --name.")
@click.option("--name", help="Given and family name of a person who is not in the roster.")
@click.option("--role", type=click.Choice(ROLES), help="What a new person will be.")
@_school_option
@json_option
@config_option
def invite(
    *, email: str, name: str | None, role: str | None, school: str | None, as_json: bool, config: Path | None
) -> None:
    """Make a one-time invitation and print it; with it the person chooses a password of their own."""
    from homeroom.auth import accounts
    from homeroom.auth.tokens import secret_token
    from homeroom.roster.people import people_with
    from homeroom.store import Transaction, conflict, iso, new_id

    user_id, invitation_id, token = new_id(), new_id(), secret_token()
    settings = settings_of(config)

    def unit(tx: Transaction) -> tuple[str, str]:
        known = people_with(tx, "email", email)
        if len(known) > 1:
            raise conflict("email-ambiguous", "Several people have this address, so nobody can be invited by it.")
        person = known[0] if known else user_id
        if not known:
            if name is None or role is None:
                raise click.UsageError("nobody in the roster has this address; give --name and --role for a new person")
            accounts.add_user(tx, user_id=person, name=name, email=email, roles=[_role_at(tx, role, school)])
        expires = accounts.invite(tx, invitation_id=invitation_id, token=token, user_id=person)
        return person, iso(expires)

    with opened_store(settings) as store:
        person, expires_at = store.write_now(unit)
    if as_json:
        print_json({"user_id": person, "invitation": token, "expires_at": expires_at})
    else:
        click.echo(f"Invitation (give it to them only; it works once, until {expires_at[:10]}):\n{token}")


async def _add(settings: Settings, *, email: str, name: str, role: str, school: str | None, password: str) -> str:
    from homeroom.auth import accounts
    from homeroom.auth.sign_in import set_password
    from homeroom.store import new_id

    user_id = new_id()
    async with loaded(settings) as district:
        await district.host.start()
        if not district.host.implements("set_password"):
            raise click.ClickException(
                "No enabled plugin keeps passwords. Enable one first: homeroom plugins enable accounts"
            )
        await district.store.write(
            lambda tx: accounts.add_user(
                tx, user_id=user_id, name=name, email=email, roles=[_role_at(tx, role, school)]
            )
        )
        kept = False
        try:
            answer = await set_password(district.host, user_id, password=password, email=email)
            kept = answer.refused is None
        finally:
            if not kept:
                await district.store.write(lambda tx: accounts.withdraw(tx, user_id))
        if answer.refused is not None:
            raise click.ClickException(answer.refused)
    return user_id


def _role_at(connection: Connection, role: str, school: str | None) -> RoleAt:
    """The role at the school that was named, or at the only one there is."""
    from homeroom.store.models import Org
    from homeroom.types import Role, RoleAt

    kind: Role = next(name for name in get_args(Role) if name == role)
    if role in _EVERYWHERE:
        return RoleAt(role=kind)
    schools = connection.all(Org.select().where((Org.kind == "school") & (Org.ended == False)))  # noqa: E712 - SQL
    found = [org for org in schools if school is None or school in (org.id, org.identifier, org.sourced_id, org.name)]
    if len(found) == 1:
        return RoleAt(role=kind, org_id=found[0].id)
    if school is None:
        raise click.UsageError(f"a {role.replace('_', ' ')} belongs to a school; name it with --school")
    raise click.UsageError(f"{'no school is' if not found else 'several schools are'} called {school}")


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    asked: str = click.prompt("Password (15 characters or more)", hide_input=True, confirmation_prompt=True, err=True)
    return asked
