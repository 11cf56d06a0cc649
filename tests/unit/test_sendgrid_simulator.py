"""The bundled SendGrid, the plugin against it, and other people's client reading it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson
import pytest
from python_http_client.exceptions import HTTPError as TheirError  # type: ignore[import-untyped]
from sendgrid import SendGridAPIClient  # type: ignore[import-untyped]
from sendgrid.helpers import mail as theirs  # type: ignore[import-untyped]

from homeroom import Message, Receipt, Routes
from homeroom.testing import (
    CHANNEL_MISBEHAVIOURS,
    KeptMessages,
    RunningPlugin,
    routes_app,
    running_plugin,
    services,
)
from homeroom_sendgrid import SendGrid, SendGridSettings
from homeroom_sendgrid.client import NotKnown
from homeroom_sendgrid.mail import mail_of
from homeroom_sendgrid.simulator import SendGridSimulator
from tests.services.judge import on_loopback

URL = "https://sendgrid.example"
EVENTS = "https://homeroom.example/plugins/sendgrid/events"


def _message(number: int, to: str = "pat@family.example") -> Message:
    return Message(
        id=f"outbox-{number}",
        channel="email",
        to=to,
        subject="Absence",
        body="Sam was not in class today.",
        html="<p>Sam was not in class today.",
        sender="Lincoln Elementary",
        created_at=datetime(2026, 9, 1, 14, 0, tzinfo=UTC),
    )


@dataclass(kw_only=True)
class World:
    """A plugin, the SendGrid that it uses, and what the outbox was told."""

    simulator: SendGridSimulator
    plugin: RunningPlugin
    kept: KeptMessages
    statuses: list[int]
    told: asyncio.Event

    async def deliver(self, message: Message) -> Receipt | str:
        """The receipt, or "unknown" where the core could not know."""
        assert isinstance(self.plugin.instance, SendGrid)
        try:
            receipt = await self.plugin.instance.deliver(message)  # not as the host would, which stops after three
        except NotKnown:
            return "unknown"
        assert receipt is not None
        return receipt

    async def settled(self) -> None:
        await self.simulator.called_back()

    def reports(self, message: Message) -> list[str]:
        return [one.state for one in self.kept.reports if one.message_id == message.id]


@contextlib.asynccontextmanager
async def _world(*misbehave: str, **settings: Any) -> AsyncIterator[World]:
    kept, statuses, told = KeptMessages(), list[int](), asyncio.Event()

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
        answer = await client.post(urlsplit(url).path, data=body, headers=dict(headers))
        statuses.append(answer.status_code)
        told.set()
        return int(answer.status_code)

    simulator = SendGridSimulator(misbehave=misbehave, post=post, events_url=EVENTS)
    given = services("sendgrid", scopes=SendGrid.scopes, http=simulator.app, messages=kept)
    async with running_plugin(SendGrid, {**simulator.settings(URL), **settings}, services=given) as plugin:
        routes = await plugin.ask("routes")
        assert isinstance(routes, Routes)
        client = routes_app(routes).test_client()
        yield World(simulator=simulator, plugin=plugin, kept=kept, statuses=statuses, told=told)
        await simulator.called_back()


async def test_a_mail_is_taken_and_its_arrival_is_told_by_our_id() -> None:
    message = _message(1)

    async with _world() as world:
        receipt = await world.deliver(message)
        await world.settled()

    [taken] = world.simulator.taken
    assert (taken.message_id, taken.to, taken.subject, taken.state) == (message.id, message.to, "Absence", "delivered")
    assert receipt == Receipt(state="accepted", provider_id=taken.provider_id)
    assert world.reports(message) == ["accepted", "delivered"]
    assert {one.provider_id for one in world.kept.reports} == {taken.provider_id}
    assert world.statuses == [204, 204]


@pytest.mark.parametrize(
    ("box", "states", "news", "listed"),
    [
        ("bounce", ["accepted", "failed"], ["unreachable"], "bounces"),
        ("blocked", ["accepted", "failed"], [], "blocks"),
        ("invalid", ["failed"], ["unreachable"], "invalid_emails"),
    ],
)
async def test_some_addresses_fail_each_in_its_way(box: str, states: list[str], news: list[str], listed: str) -> None:
    message = _message(1, f"{box}@family.example")

    async with _world() as world:
        await world.deliver(message)
        await world.settled()

    assert world.reports(message) == states
    assert [one.news for one in world.kept.news] == news
    assert list(world.simulator.lists[listed]) == [message.to]


@pytest.mark.parametrize(("group", "listed"), [(None, True), (12, False)])
async def test_who_unsubscribes_is_heard_at_once_and_gets_no_further_mail(group: int | None, *, listed: bool) -> None:
    async with _world(asm_group_id=12) as world:
        await world.deliver(_message(1))
        world.simulator.unsubscribe("Pat@family.example", group=group)
        await world.settled()
        heard = [(one.address, one.news) for one in world.kept.news]
        await world.deliver(_message(2))
        await world.settled()

    assert heard == [("pat@family.example", "opted_out")]
    assert world.reports(_message(2)) == ["failed"]
    assert ("pat@family.example" in world.simulator.lists["unsubscribes"]) is listed


async def test_who_reports_spam_is_out_and_who_comes_back_into_the_group_is_in() -> None:
    async with _world(asm_group_id=12) as world:
        await world.deliver(_message(1))
        world.simulator.report_spam("pat@family.example")
        world.simulator.unsubscribe("kim@family.example", group=12)
        await world.settled()
        world.simulator.resubscribe("kim@family.example", group=12)
        await world.settled()

    assert [(one.address, one.news) for one in world.kept.news] == [
        ("pat@family.example", "opted_out"),
        ("kim@family.example", "opted_out"),
        ("kim@family.example", "opted_in"),
    ]


async def test_in_the_sandbox_nothing_is_taken_and_nothing_is_told() -> None:
    async with _world(sandbox=True) as world:
        receipt = await world.deliver(_message(1))

    assert receipt == Receipt(state="accepted", reason="sandbox: nothing was sent")
    assert world.simulator.taken == []
    assert world.kept.reports == []


@pytest.mark.parametrize("kind", ["429", "429-bare", "500", "outage", "html", "truncated", "slow-drip"])
async def test_however_it_misbehaves_a_mail_that_was_accepted_was_taken_once_and_one_not_taken_was_not_accepted(
    kind: str,
) -> None:
    messages = [_message(number) for number in range(12)]

    async with _world(kind) as world:
        answers = {message.id: await world.deliver(message) for message in messages}

    taken = Counter(one.message_id for one in world.simulator.taken)
    accepted = {one for one, said in answers.items() if isinstance(said, Receipt) and said.state == "accepted"}
    assert accepted == set(taken)
    assert set(taken.values()) <= {1}
    states = {said if isinstance(said, str) else said.state for said in answers.values()}
    expected = {"429": "retry", "429-bare": "retry", "500": "unknown", "outage": "unknown", "html": "unknown"}
    assert expected.get(kind, "accepted") in states


async def test_what_was_refused_for_good_was_not_taken() -> None:
    async with _world("refuse") as world:
        answers = [await world.deliver(_message(number)) for number in range(3)]

    assert [said.state for said in answers if isinstance(said, Receipt)] == ["accepted", "accepted", "refused"]
    assert len(world.simulator.taken) == 2


async def test_a_mail_whose_answer_was_lost_is_unknown_until_its_event_tells() -> None:
    messages = [_message(number) for number in range(3)]

    async with _world("take-and-break") as world:
        answers = [await world.deliver(message) for message in messages]
        await world.settled()

    assert answers[2] == "unknown"
    assert Counter(one.message_id for one in world.simulator.taken) == {message.id: 1 for message in messages}
    assert world.reports(messages[2]) == ["accepted", "delivered"]
    assert world.kept.reports[-1].provider_id == world.simulator.taken[2].provider_id


async def test_a_mail_that_is_never_answered_is_told_by_its_event_all_the_same() -> None:
    message = _message(3)

    async with _world("take-and-hang") as world:
        for number in (1, 2):
            await world.deliver(_message(number))
        await world.settled()
        world.told.clear()
        waiting = asyncio.create_task(world.deliver(message))
        await world.told.wait()
        await world.settled()
        waiting.cancel()
        await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert world.reports(message) == ["accepted", "delivered"]


async def test_shuffled_and_repeated_events_are_all_accepted_for_the_core_puts_them_in_order() -> None:
    async with _world("shuffled-callbacks") as world:
        await world.deliver(_message(1))
        await world.settled()

    assert world.reports(_message(1)) == ["delivered", "accepted", "accepted", "delivered"]
    assert set(world.statuses) == {204}


async def test_without_callbacks_a_lost_answer_stays_unknown() -> None:
    async with _world("no-callbacks", "take-and-break") as world:
        answers = [await world.deliver(_message(number)) for number in range(3)]
        await world.settled()

    assert answers[2] == "unknown"
    assert world.kept.reports == []


def test_it_misbehaves_in_every_way_that_messaging_vendors_do() -> None:
    assert set(SendGridSimulator(misbehave=set(CHANNEL_MISBEHAVIOURS)).misbehave) == set(CHANNEL_MISBEHAVIOURS)
    with pytest.raises(ValueError, match="token-expiry"):
        SendGridSimulator(misbehave={"token-expiry"})


def _mail(**changed: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "personalizations": [{"to": [{"email": "pat@family.example"}]}],
        "from": {"email": "attendance@school.example"},
        "subject": "Absence",
        "content": [{"type": "text/plain", "value": "Sam was not in class today."}],
        **changed,
    }
    return {key: value for key, value in whole.items() if value is not None}


def _to(*addresses: str, **more: Any) -> dict[str, Any]:
    return {"to": [{"email": address} for address in addresses], **more}


_BOTH = [{"type": "text/html", "value": "<p>A"}, {"type": "text/plain", "value": "A"}]


@pytest.mark.parametrize(
    ("mail", "field"),
    [
        (_mail(personalizations=[]), "personalizations"),
        (_mail(personalizations=[_to(f"p{n}@family.example") for n in range(1001)]), "personalizations"),
        (_mail(personalizations=[_to(*(f"p{n}@family.example" for n in range(1001)))]), "personalizations"),
        (_mail(personalizations=[_to("pat@family.example"), _to("PAT@family.example")]), "personalizations"),
        (_mail(personalizations=[_to()]), "personalizations.0.to"),
        (_mail(personalizations=[_to("pat")]), "personalizations.0.to.0.email"),
        (_mail(personalizations=[_to("a@b.example", custom_args={"n": 1})]), "personalizations.0.custom_args"),
        (
            _mail(personalizations=[_to("a@b.example", custom_args={"n": "x" * 10_000})]),
            "personalizations.0.custom_args",
        ),
        (_mail(**{"from": None}), "from.email"),
        (_mail(reply_to={"email": "office"}), "reply_to.email"),
        (_mail(subject=None), "subject"),
        (_mail(content=None), "content"),
        (_mail(content=_BOTH), "content"),
        (_mail(content=[{"type": "text/plain", "value": ""}]), "content.0.value"),
        (_mail(categories=["a", "a"]), "categories"),
        (_mail(asm={}), "asm.group_id"),
        ([], None),
    ],
)
async def test_it_refuses_what_sendgrid_refuses_and_names_the_field(mail: Any, field: str | None) -> None:
    simulator = SendGridSimulator()

    answer = await simulator.app.test_client().post(
        "/v3/mail/send", json=mail, headers={"Authorization": f"Bearer {simulator.api_key}"}
    )

    assert answer.status_code == 400
    [error] = (await answer.get_json())["errors"]
    assert error["message"]
    assert error["field"] == field
    assert simulator.taken == []


async def test_it_takes_a_thousand_families_at_once_and_counts_each() -> None:
    simulator = SendGridSimulator()
    everybody = [_to(f"p{n}@family.example", custom_args={"homeroom": f"outbox-{n}"}) for n in range(1000)]

    answer = await simulator.app.test_client().post(
        "/v3/mail/send",
        json=_mail(personalizations=everybody),
        headers={"Authorization": f"Bearer {simulator.api_key}"},
    )

    assert answer.status_code == 202
    assert answer.headers["X-Message-Id"]
    assert len({one.message_id for one in simulator.taken}) == 1000


@pytest.mark.parametrize("path", ["/v3/scopes", "/v3/suppression/bounces", "/v3/user/webhooks/event/settings/all"])
async def test_nothing_is_told_without_the_key(path: str) -> None:
    answer = await SendGridSimulator().app.test_client().get(path, headers={"Authorization": "Bearer SG.wrong"})

    assert answer.status_code == 401
    assert (await answer.get_json())["errors"]


async def test_what_it_tells_of_itself_names_nobody() -> None:
    async with _world() as world:
        await world.deliver(_message(1))
        answer = await world.simulator.app.test_client().get(world.simulator.inspection_path)

    text = await answer.get_data(as_text=True)
    assert orjson.loads(text)["messages"][0]["message_id"] == "outbox-1"
    assert "pat@family" not in text


def test_our_mail_is_what_sendgrids_own_library_would_write() -> None:
    settings = {"api_key": "SG.a.b", "from_email": "attendance@school.example", "reply_to": "office@school.example"}
    message = replace(_message(1), sender="Lincoln Elementary")

    mail = theirs.Mail()
    mail.from_email = theirs.From("attendance@school.example", "Lincoln Elementary")
    mail.reply_to = theirs.ReplyTo("office@school.example")
    mail.subject = theirs.Subject("Absence")
    mail.content = [
        theirs.Content("text/plain", message.body),
        theirs.Content("text/html", message.html),
    ]
    mail.header = theirs.Header("Auto-Submitted", "auto-generated")
    person = theirs.Personalization()
    person.add_to(theirs.To(message.to))
    person.add_custom_arg(theirs.CustomArg("homeroom", message.id))
    mail.add_personalization(person)
    mail.asm = theirs.Asm(theirs.GroupId(12))
    mail.mail_settings = theirs.MailSettings(sandbox_mode=theirs.SandBoxMode(enable=True))
    mail.tracking_settings = theirs.TrackingSettings(
        click_tracking=theirs.ClickTracking(enable=False, enable_text=False),
        open_tracking=theirs.OpenTracking(enable=False),
        ganalytics=theirs.Ganalytics(enable=False),
    )

    assert mail_of(message, SendGridSettings(**settings, asm_group_id=12, sandbox=True)) == mail.get()


async def test_other_peoples_client_sends_through_it_and_reads_it() -> None:
    simulator = SendGridSimulator()

    def use(url: str) -> tuple[int, str, list[Any], list[str], int]:
        client = SendGridAPIClient(simulator.api_key, host=url)
        mail = theirs.Mail(
            "attendance@school.example", "bounce@family.example", "Absence", plain_text_content="Absent."
        )
        mail.custom_arg = theirs.CustomArg("homeroom", "outbox-1", p=0)
        sent = client.send(mail)
        bounces = client.client.suppression.bounces.get(query_params={"limit": 10, "start_time": 1})
        scopes = client.client.scopes.get()
        with pytest.raises(TheirError) as refused:
            SendGridAPIClient("SG.wrong", host=url).client.scopes.get()
        return (
            sent.status_code,
            sent.headers["X-Message-Id"],
            orjson.loads(bounces.body),
            orjson.loads(scopes.body)["scopes"],
            refused.value.status_code,
        )

    async with on_loopback(simulator.app) as url:
        status, message, bounces, scopes, refused = await asyncio.to_thread(use, url)

    [taken] = simulator.taken
    assert (status, message, taken.message_id) == (202, taken.provider_id, "outbox-1")
    assert [row["email"] for row in bounces] == ["bounce@family.example"]
    assert "mail.send" in scopes
    assert refused == 401


async def test_over_real_sockets_a_mail_goes_out_and_its_events_come_back() -> None:
    kept = KeptMessages()
    simulator = SendGridSimulator()

    async with on_loopback(simulator.app) as url:
        given = services("sendgrid", scopes=SendGrid.scopes, messages=kept, http=httpx2.AsyncHTTPTransport())
        async with running_plugin(SendGrid, simulator.settings(url), services=given) as plugin:
            routes = await plugin.ask("routes")
            assert isinstance(routes, Routes)
            async with on_loopback(routes_app(routes)) as here:
                simulator.events_url = f"{here}/plugins/sendgrid/events"
                receipt = await plugin.ask("deliver", message=_message(1))
                await simulator.called_back()

    assert receipt.state == "accepted"
    assert [one.state for one in kept.reports] == ["accepted", "delivered"]
