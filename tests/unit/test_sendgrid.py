"""Mails out through SendGrid: what is asked, and what each answer means."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from quart import Quart, Response, request

from homeroom import Message, Receipt
from homeroom.host.config import PluginsConfig
from homeroom.host.plugin_settings import SettingsInvalid, resolve
from homeroom.testing import RunningPlugin, plugin_tests, running_plugin, services
from homeroom_sendgrid import SendGrid, SendGridSettings
from homeroom_sendgrid.client import NotKnown
from homeroom_sendgrid.simulator import SendGridSimulator

KEY = "SG.made-up.key-that-nobody-knows"
SETTINGS = {"api_key": KEY, "from_email": "attendance@district.example"}
SCOPES = frozenset({"message.email"})
MAIL = Message(
    id="outbox-7",
    channel="email",
    to="pat@family.example",
    subject="Absence",
    body="Sam was not in class today.",
    sender="Lincoln Elementary",
    created_at=datetime(2026, 9, 1, 14, 0, tzinfo=UTC),
)
DOCS = Path(__file__).parents[2] / "docs" / "sendgrid.md"

TestPlugin = plugin_tests(
    SendGrid,
    SETTINGS,
    services=lambda: services("plugin", scopes=SCOPES, http=SendGridSimulator().app),
    skip=frozenset({"suppressions"}),
)


class Vendor:
    """A server that gives one answer to everything, and keeps what it was asked."""

    def __init__(self, status: int, body: Any = "", headers: Mapping[str, str] | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.app = Quart("vendor")
        text = body if isinstance(body, str) else orjson.dumps(body).decode()

        @self.app.post("/v3/mail/send")
        async def send() -> Response:
            self.asked.append(await request.get_json())
            self.keys.append(request.headers.get("Authorization"))
            return Response(text, status, dict(headers or {"Content-Type": "application/json"}))


@contextlib.asynccontextmanager
async def _sendgrid(http: Quart | httpx2.AsyncBaseTransport, **settings: Any) -> AsyncIterator[RunningPlugin]:
    given = services("sendgrid", scopes=SCOPES, http=http)
    async with running_plugin(SendGrid, {**SETTINGS, **settings}, services=given) as plugin:
        yield plugin


async def _delivered(vendor: Vendor, message: Message = MAIL, **settings: Any) -> Receipt | None:
    async with _sendgrid(vendor.app, **settings) as plugin:
        receipt = await plugin.ask("deliver", message=message)
    assert receipt is None or isinstance(receipt, Receipt)
    return receipt


def _errors(*fields: str | None) -> dict[str, Any]:
    return {"errors": [{"message": "pat@family.example is wrong", "field": field, "help": None} for field in fields]}


async def test_a_mail_goes_to_one_family_and_carries_nothing_but_the_outbox_row() -> None:
    vendor = Vendor(202)

    await _delivered(vendor, replace(MAIL, html="<p>Sam was not in class today."), reply_to="office@district.example")

    assert vendor.asked == [
        {
            "personalizations": [{"to": [{"email": "pat@family.example"}], "custom_args": {"homeroom": "outbox-7"}}],
            "from": {"email": "attendance@district.example", "name": "Lincoln Elementary"},
            "reply_to": {"email": "office@district.example"},
            "subject": "Absence",
            "content": [
                {"type": "text/plain", "value": "Sam was not in class today."},
                {"type": "text/html", "value": "<p>Sam was not in class today."},
            ],
            "headers": {"Auto-Submitted": "auto-generated"},
            "tracking_settings": {
                "click_tracking": {"enable": False, "enable_text": False},
                "open_tracking": {"enable": False},
                "ganalytics": {"enable": False},
            },
        }
    ]
    assert vendor.keys == [f"Bearer {KEY}"]


async def test_settings_name_the_sender_the_group_and_the_sandbox() -> None:
    vendor = Vendor(200)

    receipt = await _delivered(vendor, from_name="Our District", asm_group_id=12, sandbox=True)

    [mail] = vendor.asked
    assert mail["from"]["name"] == "Our District"
    assert mail["asm"] == {"group_id": 12}
    assert mail["mail_settings"] == {"sandbox_mode": {"enable": True}}
    assert receipt == Receipt(state="accepted", reason="sandbox: nothing was sent")


async def test_a_mail_that_is_taken_is_known_by_sendgrids_own_id() -> None:
    receipt = await _delivered(Vendor(202, headers={"X-Message-Id": "abc123"}))

    assert receipt == Receipt(state="accepted", provider_id="abc123")


async def test_other_channels_are_left_to_others() -> None:
    async with _sendgrid(Vendor(202).app) as plugin:
        assert isinstance(plugin.instance, SendGrid)
        assert await plugin.instance.deliver(replace(MAIL, channel="sms", to="+15550100")) is None


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"to": "+15550100"}, "bad-address"),
        ({"to": ""}, "bad-address"),
        ({"to": "pat@family.example, kim@family.example"}, "bad-address"),
        ({"to": "pat@family.example\nBcc: all@family.example"}, "bad-address"),
        ({"to": f"{'a' * 300}@family.example"}, "bad-address"),
        ({"subject": " "}, "empty"),
        ({"body": ""}, "empty"),
    ],
)
async def test_what_is_no_mail_to_one_address_is_refused_before_it_is_sent(changed: dict[str, str], code: str) -> None:
    vendor = Vendor(202)

    receipt = await _delivered(vendor, replace(MAIL, **changed))  # type: ignore[arg-type]

    assert receipt is not None
    assert (receipt.state, receipt.code) == ("refused", code)
    assert vendor.asked == []


_NULL_FIELD: tuple[str | None, ...] = (None,)


@pytest.mark.parametrize(
    ("status", "body", "state", "code"),
    [
        (400, _errors("personalizations.0.to.0.email"), "refused", "bad-address"),
        (400, _errors("personalizations.0.to"), "refused", "bad-address"),
        (400, _errors("subject"), "refused", "400"),
        (400, _errors("null"), "refused", "400"),
        (400, _errors(*_NULL_FIELD), "refused", "400"),
        (400, _errors("content.0.value"), "refused", "400"),
        (400, _errors("from.email"), "retry", "400"),
        (400, _errors("asm.group_id"), "retry", "400"),
        (413, _errors("null"), "refused", "too-large"),
        (401, _errors("null"), "retry", "401"),
        (401, "<h1>no", "retry", "401"),
        (403, _errors("from"), "retry", "403"),
        (404, "", "retry", "404"),
        (429, _errors(None), "retry", "429"),
        (429, "<h1>Too many requests</h1>", "retry", "429"),
    ],
)
async def test_a_clear_no_is_a_refusal_or_a_retry_by_whose_fault_it_is(
    status: int, body: Any, state: str, code: str
) -> None:
    receipt = await _delivered(Vendor(status, body))

    assert receipt is not None
    assert (receipt.state, receipt.code) == (state, code)
    assert receipt.reason
    assert MAIL.to not in receipt.reason
    waits_for_an_administrator = state == "retry" and status != 429
    assert receipt.retry_after == (300.0 if waits_for_an_administrator else None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17.0),
        ({"X-RateLimit-Reset": "1700000060", "Date": "Tue, 14 Nov 2023 22:13:20 GMT"}, 60.0),
        ({"X-RateLimit-Reset": "1600000000", "Date": "Tue, 14 Nov 2023 22:13:20 GMT"}, 0.0),
        ({"X-RateLimit-Reset": "30"}, 30.0),
        ({"X-RateLimit-Reset": "1e300"}, 3600.0),
        ({"X-RateLimit-Reset": "soon", "Retry-After": "later"}, None),
        ({}, None),
    ],
)
async def test_sendgrid_says_when_to_try_again_by_its_own_clock(headers: dict[str, str], seconds: float | None) -> None:
    receipt = await _delivered(Vendor(429, _errors(None), headers))

    assert receipt is not None
    assert (receipt.state, receipt.retry_after) == ("retry", seconds)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (500, _errors("null"), {}),
        (502, "<h1>Bad gateway</h1>", {"Content-Type": "text/html"}),
        (503, "", {"Retry-After": "5"}),
        (504, "", {}),
        (200, "<h1>Sign in to the school's network</h1>", {"Content-Type": "text/html"}),
        (200, "{}", {}),
        (202, "<h1>Thank you</h1>", {"Content-Type": "text/html"}),
        (302, "", {"Location": "https://message.example/"}),
        (400, "<h1>Bad request</h1>", {"Content-Type": "text/html"}),
        (400, '{"errors": [{"mess', {}),
        (400, "[]", {}),
        (418, "", {}),
    ],
)
async def test_after_an_answer_that_says_nothing_clear_nobody_knows(
    status: int, body: Any, headers: dict[str, str]
) -> None:
    with pytest.raises(NotKnown) as caught:
        await _delivered(Vendor(status, body, headers))

    assert MAIL.to not in str(caught.value)


async def test_where_nothing_listens_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

    async with _sendgrid(httpx2.AsyncHTTPTransport(), base_url=url) as plugin:
        receipt = await plugin.ask("deliver", message=MAIL)

    assert receipt == Receipt(state="retry", reason="SendGrid could not be reached")


async def test_after_a_connection_that_broke_nobody_knows() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, _sendgrid(httpx2.AsyncHTTPTransport(), base_url=url) as plugin:
        with pytest.raises(NotKnown, match="broke"):
            await plugin.ask("deliver", message=MAIL)


@pytest.mark.parametrize(
    ("error", "is_known"),
    [
        (httpx2.ConnectTimeout, True),
        (httpx2.PoolTimeout, True),
        (httpx2.ReadTimeout, False),
        (httpx2.WriteTimeout, False),
        (httpx2.WriteError, False),
        (httpx2.ReadError, False),
    ],
)
async def test_what_failed_before_the_mail_left_is_known_and_what_failed_later_is_not(
    error: type[httpx2.TransportError], *, is_known: bool
) -> None:
    class Failing(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, _request: httpx2.Request) -> httpx2.Response:
            raise error("pat@family.example")

    async with _sendgrid(Failing()) as plugin:
        if is_known:
            receipt = await plugin.ask("deliver", message=MAIL)
            assert receipt == Receipt(state="retry", reason="SendGrid could not be reached")
            return
        with pytest.raises(NotKnown) as caught:
            await plugin.ask("deliver", message=MAIL)
    assert MAIL.to not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "https://api.sendgrid.com"),
        ({"region": "eu"}, "https://api.eu.sendgrid.com"),
        ({"region": "eu", "base_url": "https://proxy.district.example/"}, "https://proxy.district.example"),
    ],
)
def test_the_region_or_an_address_says_where_the_api_is(settings: dict[str, Any], address: str) -> None:
    assert SendGridSettings(**{**SETTINGS, **settings}).address == address


def test_the_key_may_stand_in_the_environment() -> None:
    section = {"from_email": "attendance@district.example"}
    config = PluginsConfig(
        enabled=("sendgrid",), sections={"sendgrid": section}, environment={"SENDGRID_API_KEY": f"{KEY}\n"}
    )

    resolved = resolve(config, "sendgrid", SendGridSettings)

    assert isinstance(resolved.model, SendGridSettings)
    assert resolved.model.api_key.get_secret_value() == KEY
    assert "api_key" in resolved.fixed


def test_without_a_key_the_administrator_is_told_where_it_goes() -> None:
    config = PluginsConfig(enabled=("sendgrid",), sections={"sendgrid": {"from_email": "a@district.example"}})

    with pytest.raises(SettingsInvalid, match="SENDGRID_API_KEY"):
        resolve(config, "sendgrid", SendGridSettings)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("api_key", "SG.two words-of-a-secret"),
        ("api_key", ""),
        ("from_email", "Lincoln <attendance@district.example>"),
        ("from_email", "attendance"),
        ("reply_to", "a@district.example, b@district.example"),
        ("base_url", "http://api.sendgrid.com"),
        ("base_url", "api.sendgrid.com"),
        ("webhook_public_key", "bm8ga2V5"),
        ("webhook_public_key", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"),
        ("previous_webhook_public_keys", ["no key"]),
        ("asm_group_id", 0),
        ("region", "mars"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused_without_showing_it(setting: str, value: Any) -> None:
    config = PluginsConfig(enabled=("sendgrid",), sections={"sendgrid": {**SETTINGS, setting: value}})

    with pytest.raises(SettingsInvalid) as caught:
        resolve(config, "sendgrid", SendGridSettings)

    [problem] = caught.value.problems
    assert (problem.field or "").split(".")[0] == setting
    assert "words-of-a-secret" not in str(caught.value)


def test_every_setting_stands_on_the_page() -> None:
    text = DOCS.read_text(encoding="utf-8")

    assert [name for name in SendGridSettings.model_fields if f"{name}" not in text] == []
