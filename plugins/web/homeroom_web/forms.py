"""What was filled in in a form, or chosen in an address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quart import request

_LONGEST = 18  # digits, so that it fits where numbers are kept


def asked(name: str) -> str:
    """One part of the address that was asked for, empty where it is not there."""
    return request.args.get(name, "").strip()


def chosen(*names: str) -> dict[str, str]:
    """What was chosen in a form that is sent by GET: every name, empty where nothing was."""
    return {name: asked(name) for name in names}


async def filled(names: Iterable[str]) -> dict[str, str]:
    """What was filled in in a form, without blanks around it: every name, empty where nothing was."""
    return {name: await field(name) for name in names}


def given(values: Mapping[str, str]) -> dict[str, str]:
    """Only what was filled in."""
    return {name: value for name, value in values.items() if value}


async def field(name: str) -> str:
    """One field of the form that was sent, without blanks around it; empty when there is none."""
    return (await field_as_typed(name)).strip()


async def field_as_typed(name: str) -> str:
    """One field with every blank that was typed, as a password has them."""
    return str((await request.form).get(name, ""))


def number(text: str) -> int | None:
    """The whole number that was typed; None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST else None


async def version() -> int:
    """The version that the form's page has shown; one that is no number is answered as changed meanwhile."""
    return number(await field("version")) or 0
