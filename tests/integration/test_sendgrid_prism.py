"""SendGrid's own descriptions, through Prism, judge our requests and the simulator's answers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from homeroom import Health, Message, Receipt, Suppressions
from homeroom.testing import FakeClock, RunningPlugin, running_plugin, services
from homeroom_sendgrid import SendGrid
from homeroom_sendgrid.simulator import SendGridSimulator
from tests.services import prism
from tests.services.judge import judged, on_loopback
from tests.services.run import NotHere

MAIL = "sendgrid/tsg_mail_v3.json"
SUPPRESSIONS = "sendgrid/tsg_suppressions_v3.json"
WEBHOOKS = "sendgrid/tsg_webhooks_v3.json"
SINCE = datetime(2026, 9, 1, tzinfo=UTC)
EVENTS = "https://homeroom.example/plugins/sendgrid/events"

MESSAGE = Message(
    id="outbox-7",
    channel="email",
    to="pat@family.example",
    subject="Absence",
    body="Sam was not in class today.",
    html="<p>Sam was not in class today.",
    sender="Lincoln Elementary",
    created_at=SINCE,
)
EVERY_SETTING = {
    "from_name": "Our District",
    "reply_to": "office@school.example",
    "asm_group_id": 12,
    "sandbox": True,
}


@pytest.fixture
def specification(request: pytest.FixtureRequest) -> Path:
    """The description that the test names as its parameter."""
    try:
        path = prism.specification(request.param)
        prism.command()
    except NotHere as exc:
        request.node.user_properties.append(("missing", str(exc)))
        pytest.skip(str(exc))
    return path


def _from(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("specification", [name], indirect=True, ids=[Path(name).stem])


@contextlib.asynccontextmanager
async def _plugin(settings: Mapping[str, Any]) -> AsyncIterator[RunningPlugin]:
    given = services(
        "sendgrid", scopes=SendGrid.scopes, http=httpx2.AsyncHTTPTransport(), clock=FakeClock(datetime.now(UTC))
    )
    async with running_plugin(SendGrid, settings, services=given) as plugin:
        yield plugin


@contextlib.asynccontextmanager
async def _judged(simulator: SendGridSimulator, specification: Path) -> AsyncIterator[str]:
    """The address of the simulator behind Prism: it answers 422 or 500 where the description is broken."""
    async with on_loopback(simulator.app) as url, judged(url, specification) as judge:
        yield judge


@_from(MAIL)
@pytest.mark.parametrize("settings", [{}, EVERY_SETTING], ids=["as little as possible", "with every setting"])
async def test_a_server_made_from_the_description_takes_our_mail(specification: Path, settings: dict[str, Any]) -> None:
    base = {"api_key": "SG.any.key", "from_email": "attendance@school.example", **settings}
    with prism.mock(specification) as url:
        async with _plugin({**base, "base_url": url}) as plugin:
            whole = await plugin.ask("deliver", message=MESSAGE)
            plain = await plugin.ask("deliver", message=replace(MESSAGE, html="", sender=""))

    assert [one.state for one in (whole, plain)] == ["accepted", "accepted"]


@_from(MAIL)
async def test_the_simulators_answers_to_mails_keep_to_the_description(specification: Path) -> None:
    simulator = SendGridSimulator()
    async with _judged(simulator, specification) as url:
        async with _plugin(simulator.settings(url)) as plugin:
            taken = await plugin.ask("deliver", message=MESSAGE)
        async with _plugin({**simulator.settings(url), "api_key": "SG.wrong"}) as plugin:
            unsigned = await plugin.ask("deliver", message=MESSAGE)
        simulator.scopes.clear()
        async with _plugin(simulator.settings(url)) as plugin:
            forbidden = await plugin.ask("deliver", message=MESSAGE)
        simulator.scopes.append("mail.send")
        simulator.misbehave.add("refuse")
        async with _plugin(simulator.settings(url)) as plugin:
            refused = [await plugin.ask("deliver", message=MESSAGE) for _ in range(3)][-1]

    [first, *_] = simulator.taken
    assert taken == Receipt(state="accepted", provider_id=first.provider_id)
    assert [(one.state, one.code) for one in (unsigned, forbidden, refused)] == [
        ("retry", "401"),
        ("retry", "403"),
        ("refused", "bad-address"),
    ]


@_from(SUPPRESSIONS)
async def test_suppressions_are_read_from_a_server_made_from_the_description(specification: Path) -> None:
    base = {"api_key": "SG.any.key", "from_email": "attendance@school.example", "asm_group_id": 1}
    with prism.mock(specification) as url:
        async with _plugin({**base, "base_url": url}) as plugin:
            answers = [await plugin.ask("suppressions", since=since) for since in (None, SINCE)]

    everything = answers[0]
    assert isinstance(everything, Suppressions)
    assert {one.news for one in everything.items} == {"unreachable", "opted_out"}
    assert "test1@example.com" in {one.address for one in everything.items}  # of the group that is ours


@_from(SUPPRESSIONS)
async def test_the_simulators_lists_keep_to_the_description_and_so_do_our_requests(specification: Path) -> None:
    simulator = SendGridSimulator()
    for address in ("bounce@family.example", "invalid@family.example"):
        simulator.taken.clear()
        await simulator.app.test_client().post(
            "/v3/mail/send",
            headers={"Authorization": f"Bearer {simulator.api_key}"},
            json={
                "personalizations": [{"to": [{"email": address}]}],
                "from": {"email": simulator.from_email},
                "subject": "Absence",
                "content": [{"type": "text/plain", "value": "Absent."}],
            },
        )
    simulator.report_spam("spam@family.example")
    simulator.unsubscribe("left@family.example")
    simulator.unsubscribe("group@family.example", group=12)
    async with (
        _judged(simulator, specification) as url,
        _plugin({**simulator.settings(url), "asm_group_id": 12}) as plugin,
    ):
        answer = await plugin.ask("suppressions", since=SINCE)

    assert [(one.address.partition("@")[0], one.news) for one in answer.items] == [
        ("bounce", "unreachable"),
        ("invalid", "unreachable"),
        ("spam", "opted_out"),
        ("left", "opted_out"),
        ("group", "opted_out"),
    ]


@_from(WEBHOOKS)
async def test_the_webhooks_settings_are_read_as_the_description_shows_them(specification: Path) -> None:
    simulator = SendGridSimulator(events_url=EVENTS)
    async with (
        _judged(simulator, specification) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        answer = await client.get(
            "/v3/user/webhooks/event/settings/all", headers={"Authorization": f"Bearer {simulator.api_key}"}
        )
    async with on_loopback(simulator.app) as url, _plugin(simulator.settings(url)) as plugin:
        health = await plugin.ask("health")

    assert answer.status_code == 200, answer.text
    assert health == Health(ok=True)
