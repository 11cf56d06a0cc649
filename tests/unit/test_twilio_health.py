"""What an administrator is told of the way to Twilio and back."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from homeroom import Health
from homeroom_twilio.simulator import TwilioSimulator
from tests.services.texting import API, PUBLIC, TOKEN, Scripted, texting


async def health(simulator: TwilioSimulator, *, public_url: str | None = PUBLIC, **more: Any) -> Health:
    settings = {**simulator.settings(API), **more}
    async with texting(simulator.app, settings, public_url=public_url) as plugin:
        found = await plugin.plugin.ask("health")
    assert isinstance(found, Health)
    return found


def reachable(**facts: Any) -> TwilioSimulator:
    simulator = TwilioSimulator(**facts)
    simulator.inbound_url = f"{PUBLIC}/plugins/twilio/inbound"
    return simulator


@pytest.mark.parametrize("service", [False, True])
async def test_nothing_is_found_where_all_is_well(*, service: bool) -> None:
    assert await health(reachable(service=service)) == Health(ok=True)


@pytest.mark.parametrize(
    ("more", "ok", "problem", "fix"),
    [
        ({"auth_token": "wrong"}, False, "does not accept account_sid and auth_token", "Copy both anew"),
        ({"account_sid": "AC" + "9" * 32}, False, "does not accept account_sid and auth_token", "Copy both anew"),
        ({"from_number": "+14155550199"}, False, "not a number of this Twilio account", "correct from_number"),
        ({"public_url": None}, True, "PUBLIC_BASE_URL is not set", "Set it to the https:// address"),
        ({"public_url": "http://homeroom.example"}, True, "is no https:// address", "Set it to the https:// address"),
        ({"public_url": "http://127.0.0.1:8000"}, True, "is no https:// address", "Set it to the https:// address"),
    ],
)
async def test_each_thing_that_is_wrong_is_found_with_its_fix(
    *, more: dict[str, Any], ok: bool, problem: str, fix: str
) -> None:
    found = await health(reachable(), **more)

    (finding,) = found.findings
    assert (found.ok, found.detail) == (ok, "" if ok else finding.problem)
    assert problem in finding.problem
    assert fix in finding.fix
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    ("account", "ok", "problem"),
    [
        ({"status": "suspended"}, False, "suspended or closed"),
        ({"status": "closed"}, False, "suspended or closed"),
        ({"type": "Trial"}, True, "trial account"),
    ],
)
async def test_the_state_of_the_account_is_told(*, account: dict[str, str], ok: bool, problem: str) -> None:
    simulator = reachable()
    simulator.account |= account

    found = await health(simulator)

    (finding,) = found.findings
    assert found.ok is ok
    assert problem in finding.problem


async def test_answers_that_go_elsewhere_are_found() -> None:
    simulator = TwilioSimulator()
    simulator.inbound_url = "https://elsewhere.example/answers"

    (finding,) = (await health(simulator)).findings

    assert "STOP is heard only when" in finding.problem
    assert f"{PUBLIC}/plugins/twilio/inbound" in finding.fix


async def test_a_number_that_cannot_text_is_found() -> None:
    row = {"phone_number": "+15005550006", "capabilities": {"sms": False}, "sms_application_sid": "AP1"}
    twilio = Scripted(200, {"status": "active", "incoming_phone_numbers": [row, "no row"]})
    async with texting(twilio.app) as plugin:
        found = await plugin.plugin.ask("health")

    assert [finding.problem for finding in found.findings] == ["from_number cannot send texts."]


async def test_a_key_is_tried_as_well_as_the_token() -> None:
    simulator = reachable()
    sid, secret = simulator.api_key

    good = await health(simulator, api_key_sid=sid, api_key_secret=secret)
    bad = await health(simulator, api_key_sid=sid, api_key_secret="wrong")

    assert good == Health(ok=True)
    assert [finding.problem for finding in bad.findings] == ["Twilio does not accept the API key."]


async def test_what_an_application_at_twilio_does_with_answers_is_its_own_business() -> None:
    assert await health(TwilioSimulator()) == Health(ok=True)


async def test_a_short_code_is_taken_at_its_word() -> None:
    assert await health(reachable(), from_number="28849") == Health(ok=True)


async def test_an_answer_that_cannot_be_used_is_told() -> None:
    found = await health(TwilioSimulator(misbehave={"outage"}))

    assert (found.ok, found.detail) == (False, "Twilio answered 302 instead of what was asked for.")


async def test_a_twilio_that_is_silent_is_told_in_time() -> None:
    class Silent(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:  # noqa: ARG002 - no answer
            await asyncio.Event().wait()
            raise AssertionError

    async with texting(Silent()) as plugin:
        found = await plugin.plugin.ask("health")

    assert (found.ok, found.detail) == (False, "Twilio does not answer in time.")


async def test_a_twilio_that_is_not_there_is_told() -> None:
    class Gone(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectError("gone", request=request)

    async with texting(Gone()) as plugin:
        found = await plugin.plugin.ask("health")

    assert (found.ok, found.detail) == (False, "Twilio could not be reached, or the connection broke.")
