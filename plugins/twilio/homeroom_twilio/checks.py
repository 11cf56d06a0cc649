"""What is wrong with the way to Twilio and back, each with its fix."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from homeroom import Finding, Health
from homeroom_twilio.client import Client, Row
from homeroom_twilio.errors import Unreadable
from homeroom_twilio.settings import TwilioSettings, is_number
from homeroom_twilio.webhooks import Webhooks

_DEADLINE = 2.5  # seconds; the hook has three


@dataclass(frozen=True, slots=True)
class _Found:
    """A finding, and whether it keeps families from being told."""

    finding: Finding
    stops: bool = True


async def look(client: Client, settings: TwilioSettings, webhooks: Webhooks, public_url: str | None) -> Health:
    """How things stand: the account, the sender, and whether Twilio can tell us what happens."""
    found = [*_without_asking(webhooks, public_url)]
    try:
        async with asyncio.timeout(_DEADLINE):
            account, sender = await asyncio.gather(_account(client), _sender(client, settings, webhooks))
        found += [*account, *sender]
    except TimeoutError:
        found.append(_found("Twilio does not answer in time.", "Try again later."))
    stopping = [one.finding.problem for one in found if one.stops]
    return Health(ok=not stopping, detail=stopping[0] if stopping else "", findings=tuple(one.finding for one in found))


def _without_asking(webhooks: Webhooks, public_url: str | None) -> Iterator[_Found]:
    lost = "so Twilio cannot tell what became of a text, nor who answered STOP"
    if public_url is None:
        yield _found(
            f"PUBLIC_BASE_URL is not set, {lost}.",
            "Set it to the https:// address at which the internet reaches this server.",
            stops=False,
        )
    elif not webhooks.is_reachable:
        yield _found(
            f"PUBLIC_BASE_URL is no https:// address that Twilio could call, {lost}.",
            "Set it to the https:// address at which the internet reaches this server.",
            stops=False,
        )


async def _account(client: Client) -> list[_Found]:
    try:
        account = await client.account()
    except Unreadable as exc:
        if exc.status in (401, 403, 404):
            return [
                _found(
                    "Twilio does not accept account_sid and auth_token.",
                    "Copy both anew from the front page of Twilio's console.",
                )
            ]
        return [_found(f"{exc}.", "Check base_url and the way to Twilio, or try again later.")]
    if account.get("status") != "active":
        return [_found("The Twilio account is suspended or closed.", "Twilio's console says why, often a bill.")]
    if account.get("type") == "Trial":
        problem = "This is a trial account: it texts only numbers that were verified in Twilio's console."
        return [_found(problem, "Upgrade the account before families rely on it.", stops=False)]
    return []


async def _sender(client: Client, settings: TwilioSettings, webhooks: Webhooks) -> list[_Found]:
    number = settings.from_number or ""
    try:
        numbers = await client.numbers(number)
    except Unreadable as exc:
        if exc.status == 401 and settings.api_key_sid is not None:  # noqa: PLR2004 - not signed in
            fix = "Make a new key in Twilio's console under API keys, and set both its SID and its secret."
            return [_found("Twilio does not accept the API key.", fix)]
        return []  # what else is wrong with the way there, the account's own answer says
    return [*_number(number, numbers, webhooks)] if is_number(number) else []


def _number(number: str, numbers: Sequence[Row], webhooks: Webhooks) -> Iterator[_Found]:
    ours = next((row for row in numbers if row.get("phone_number") == number), None)
    if ours is None:
        yield _found(
            "from_number is not a number of this Twilio account.",
            "Buy or port one in Twilio's console, or correct from_number.",
        )
        return
    can = ours.get("capabilities")
    if isinstance(can, dict) and can.get("sms") is False:
        yield _found("from_number cannot send texts.", "Choose a number with SMS in Twilio's console.")
    own = webhooks.inbound_url
    if own is not None and not ours.get("sms_application_sid") and ours.get("sms_url") != own:
        yield _found(
            "Answers to from_number do not come here, so STOP is heard only when the next text is refused.",
            f'In Twilio\'s console, set "A message comes in" of the number to {own} (HTTP POST).',
            stops=False,
        )


def _found(problem: str, fix: str, *, stops: bool = True) -> _Found:
    return _Found(finding=Finding(problem=problem, fix=fix), stops=stops)
