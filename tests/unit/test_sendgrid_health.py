"""What an administrator is told of the way to SendGrid and back, each problem with its fix."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from quart import Quart

from homeroom import Health
from homeroom.testing import running_plugin, services
from homeroom_sendgrid import SendGrid
from homeroom_sendgrid.simulator import SendGridSimulator

PUBLIC = "https://homeroom.example"
HERE = f"{PUBLIC}/plugins/sendgrid/events"
ALL = ("mail.send", "suppression.read", "asm.groups.read", "user.webhooks.event.settings.read", "whitelabel.read")


def _simulator(*without: str) -> SendGridSimulator:
    return SendGridSimulator(events_url=HERE, scopes=[one for one in ALL if one not in without])


async def _health(
    simulator: SendGridSimulator,
    *,
    http: Quart | httpx2.AsyncBaseTransport | None = None,
    public_url: str | None = PUBLIC,
    **settings: Any,
) -> Health:
    given = services("sendgrid", scopes=SendGrid.scopes, http=http or simulator.app, public_url=public_url)
    given_settings = {**simulator.settings("https://sendgrid.example"), **settings}
    async with running_plugin(SendGrid, given_settings, services=given) as plugin:
        health = await plugin.ask("health")
    assert isinstance(health, Health)
    assert all(one.fix for one in health.findings)
    assert simulator.api_key not in str(health)
    return health


def _problems(health: Health) -> str:
    return " ".join(one.problem for one in health.findings)


async def test_all_is_well() -> None:
    assert await _health(_simulator(), asm_group_id=12) == Health(ok=True)


async def test_a_wrong_key_is_named() -> None:
    health = await _health(_simulator(), api_key="SG.another")

    assert not health.ok
    assert "does not accept the API key" in health.detail


async def test_a_key_that_may_not_send_is_named() -> None:
    health = await _health(_simulator("mail.send"))

    assert not health.ok
    assert health.detail == "The API key may not send mails."


@pytest.mark.parametrize(
    ("right", "settings", "words"),
    [
        ("suppression.read", {}, "may not read every suppression"),
        ("asm.groups.read", {"asm_group_id": 12}, "may not read every suppression"),
        ("user.webhooks.event.settings.read", {}, "may not read the event webhook's settings"),
    ],
)
async def test_a_right_that_mails_do_not_need_is_named_and_mails_go_on(
    right: str, settings: dict[str, Any], words: str
) -> None:
    health = await _health(_simulator(right), **settings)

    assert health.ok
    assert words in _problems(health)


async def test_the_rights_to_single_lists_do_as_well() -> None:
    simulator = _simulator("suppression.read")
    simulator.scopes += [
        f"suppression.{name}.read" for name in ("bounces", "invalid_emails", "spam_reports", "unsubscribes")
    ]

    assert await _health(simulator) == Health(ok=True)


async def test_without_a_verification_key_the_administrator_learns_what_is_lost() -> None:
    health = await _health(_simulator(), webhook_public_key=None)

    assert not health.ok
    assert "webhook_public_key" in health.detail


async def test_another_verification_key_than_sendgrids_is_named() -> None:
    health = await _health(_simulator(), webhook_public_key=SendGridSimulator().public_key)

    assert not health.ok
    assert "another key" in health.detail


async def test_the_same_key_in_other_lines_is_the_same() -> None:
    simulator = _simulator()
    pem = f"-----BEGIN PUBLIC KEY-----\n{simulator.public_key}\n-----END PUBLIC KEY-----"

    assert await _health(simulator, webhook_public_key=pem) == Health(ok=True)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"url": "https://elsewhere.example/events"}, "No event webhook of SendGrid calls this server"),
        ({"enabled": False}, "webhook is off"),
        ({"public_key": ""}, "does not sign its events"),
        ({"public_key": "no key"}, "another key"),
        ({"delivered": False, "bounce": False}, "does not tell of: delivered, bounce."),
    ],
)
async def test_an_event_webhook_that_does_not_reach_us_is_named(changed: dict[str, Any], words: str) -> None:
    simulator = _simulator()
    simulator.webhook |= changed

    health = await _health(simulator)

    assert not health.ok
    assert words in health.detail


async def test_events_of_addresses_that_are_not_told_leave_mails_going() -> None:
    simulator = _simulator()
    simulator.webhook |= {"spam_report": False, "group_unsubscribe": False}

    health = await _health(simulator)

    assert health.ok
    assert _problems(health) == "SendGrid does not tell of: spam_report."


async def test_where_no_webhook_is_set_up_its_address_is_told() -> None:
    simulator = SendGridSimulator()

    health = await _health(simulator)

    assert not health.ok
    assert any(HERE in one.fix for one in health.findings)


async def test_a_sender_whose_domain_is_not_authenticated_is_a_hint() -> None:
    health = await _health(_simulator(), from_email="office@elsewhere.example")

    assert health.ok
    assert "not authenticated" in _problems(health)


async def test_the_sandbox_is_shown_for_it_sends_nothing() -> None:
    health = await _health(_simulator(), sandbox=True)

    assert health.ok
    assert "sandbox" in _problems(health)


async def test_without_a_public_address_nothing_can_come_back() -> None:
    health = await _health(_simulator(), public_url=None)

    assert not health.ok
    assert "PUBLIC_BASE_URL" in health.detail


@pytest.mark.parametrize("kind", ["outage", "html", "list", "down"])
async def test_a_server_that_does_not_answer_as_sendgrid_does_is_red(kind: str) -> None:
    simulator = _simulator()
    app = Quart("other")

    @app.get("/<path:_>")
    async def show(_: str) -> Any:
        return "<h1>Hello</h1>" if kind == "html" else []

    class Down(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, _request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectError("nobody there")

    if kind == "outage":
        simulator.misbehave.add("outage")
    others: dict[str, Quart | httpx2.AsyncBaseTransport] = {"html": app, "list": app, "down": Down()}

    health = await _health(simulator, http=others.get(kind))

    assert not health.ok
    assert "SendGrid" in health.detail
