"""Texts through Twilio: what is asked of it, and what each of its answers means for a message and its address."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom import AddressNews, Receipt
from homeroom.host.config import PluginsConfig
from homeroom.host.plugin_settings import SettingsInvalid, resolve
from homeroom.testing import plugin_tests, services
from homeroom_twilio import Twilio, TwilioSettings
from homeroom_twilio.delivery import form_of
from homeroom_twilio.errors import MEANINGS, Fault, NotTold
from homeroom_twilio.simulator import TwilioSimulator
from homeroom_twilio.simulator.rules import MAGIC_TO
from tests.services.texting import ACCOUNT, API, PARENT, PUBLIC, SETTINGS, TOKEN, Scripted, text, texting

DOCS = Path(__file__).parents[2] / "docs" / "twilio.md"
SERVICE = "MG" + "0b" * 16
KEY = "SK" + "0c" * 16
MAGIC_NEWS = {21211: "unreachable", 21610: "opted_out", 21614: "unreachable"}

_SIMULATOR = TwilioSimulator(misbehave={"no-callbacks"})
TestPlugin = plugin_tests(
    Twilio, _SIMULATOR.settings(API), services=lambda: services("twilio", scopes=Twilio.scopes, http=_SIMULATOR.app)
)


def settings(**more: Any) -> dict[str, Any]:
    return {key: value for key, value in {**SETTINGS, **more}.items() if value is not None}


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"account_sid": "SK" + "0a" * 16}, "account_sid", "AC and 32 hexadecimal digits"),
        ({"account_sid": None}, "account_sid", "set TWILIO_ACCOUNT_SID"),
        ({"auth_token": None}, "auth_token", "set TWILIO_AUTH_TOKEN"),
        ({"auth_token": " "}, "auth_token", "copy it anew"),
        ({"previous_auth_tokens": ["good", ""]}, "previous_auth_tokens.1", "copy it anew"),
        ({"api_key_sid": KEY}, None, "belong together"),
        ({"api_key_sid": "AC1", "api_key_secret": "secret"}, "api_key_sid", "SK and 32 hexadecimal digits"),
        ({"from_number": "555-0100"}, "from_number", "such as +15551230100"),
        ({"from_number": None}, None, "either from_number or messaging_service_sid"),
        ({"messaging_service_sid": SERVICE}, None, "either from_number or messaging_service_sid"),
        ({"from_number": None, "messaging_service_sid": "MG12"}, "messaging_service_sid", "MG and 32 hexadecimal"),
        ({"base_url": "http://api.twilio.com"}, "base_url", "begins with https://"),
        ({"base_url": "https://user:word@api.twilio.com"}, "base_url", "begins with https://"),
        ({"smart_encoded": "perhaps"}, "smart_encoded", "valid boolean"),
        ({"sender": "+15005550006"}, "sender", "unknown setting"),
    ],
)
def test_each_wrong_setting_is_one_problem_that_says_what_to_do(
    wrong: dict[str, Any], field: str | None, said: str
) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        resolve(PluginsConfig(enabled=("twilio",), sections={"twilio": settings(**wrong)}), "twilio", TwilioSettings)

    (problem,) = caught.value.problems
    assert problem.field == field
    assert said in str(problem)
    assert TOKEN not in str(problem)


def test_the_two_fixed_names_of_the_environment_are_read() -> None:
    environment = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
    config = PluginsConfig(enabled=("twilio",), sections={"twilio": {"from_number": "28849"}}, environment=environment)

    resolved = resolve(config, "twilio", TwilioSettings)

    assert isinstance(resolved.model, TwilioSettings)
    assert resolved.model.sign_in == (ACCOUNT, TOKEN)
    assert resolved.fixed == {"account_sid", "auth_token"}


async def test_a_text_leaves_with_number_and_words_and_nothing_else_of_the_message() -> None:
    twilio = Scripted(201, taken())
    async with texting(twilio.app) as plugin:
        message = text(sender="Lincoln School", subject="Absence", html="<p>Maya</p>")
        receipt = await plugin.deliver(message)

    assert receipt == Receipt(state="accepted", provider_id=SID, segments=1)
    assert twilio.forms == [
        {
            "To": PARENT,
            "From": "+15005550006",
            "Body": "Maya was absent today.",
            "StatusCallback": f"{PUBLIC}/plugins/twilio/status?m=outbox-1",
        }
    ]
    assert twilio.signed == [(ACCOUNT, TOKEN)]
    assert [(url.path, url.query) for url in twilio.asked] == [(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", b"")]


async def test_a_messaging_service_a_key_and_smart_encoding_are_used_where_they_are_set() -> None:
    twilio = Scripted(201, taken(status="accepted", num_segments="0"))
    chosen = settings(
        from_number=None, messaging_service_sid=SERVICE, api_key_sid=KEY, api_key_secret="key", smart_encoded=True
    )
    async with texting(twilio.app, chosen, name="north") as plugin:
        receipt = await plugin.deliver(text(id="a b/c"))

    (form,) = twilio.forms
    assert receipt == Receipt(state="accepted", provider_id=SID, segments=None)
    assert (form["MessagingServiceSid"], form["SmartEncoded"], "From" in form) == (SERVICE, "true", False)
    assert form["StatusCallback"] == f"{PUBLIC}/plugins/north/status?m=a%20b%2Fc"
    assert twilio.signed == [(KEY, "key")]


@pytest.mark.parametrize(
    ("public_url", "base_url", "called_back"),
    [
        ("https://homeroom.example/", API, True),
        (None, API, False),
        ("http://homeroom.example", API, False),
        ("http://127.0.0.1:8000", API, False),
        ("https://localhost:8000", API, False),
        ("http://127.0.0.1:8000", "http://127.0.0.1:9000", True),
        ("homeroom.example", API, False),
        ("https://[", API, False),
    ],
)
async def test_twilio_is_told_to_call_back_only_where_it_can(
    *, public_url: str | None, base_url: str, called_back: bool
) -> None:
    twilio = Scripted(201, taken())
    async with texting(twilio.app, settings(base_url=base_url), public_url=public_url) as plugin:
        await plugin.deliver()

    assert ("StatusCallback" in twilio.forms[0]) is called_back


@given(seconds=st.floats(min_value=-1e6, max_value=1e7))
def test_a_text_is_good_for_as_long_as_it_is_of_use_within_what_twilio_takes(seconds: float) -> None:
    now = datetime.now(UTC)
    message = text(expires_at=now + timedelta(seconds=seconds))

    period = int(form_of(message, TwilioSettings.model_validate(SETTINGS), now, None)["ValidityPeriod"])

    assert 1 <= period <= 36_000
    assert period == 36_000 or period <= max(1, seconds)


@pytest.mark.parametrize(
    "to",
    ["", "4155550123", "+0155550123", "whatsapp:+14155550123", "+1415555012300000", "+1 415 555 0123", "+١٤١٥٥٥٥٠١٢٣"],
)
async def test_what_is_no_number_is_refused_and_never_sent(to: str) -> None:
    twilio = Scripted(201, taken())
    async with texting(twilio.app) as plugin:
        receipt = await plugin.deliver(text(to=to))

    assert (receipt.state, receipt.code, twilio.forms) == ("refused", "number", [])


async def test_a_text_that_has_lost_its_use_is_not_sent() -> None:
    twilio = Scripted(201, taken())
    async with texting(twilio.app) as plugin:
        receipt = await plugin.deliver(text(expires_at=plugin.clock.now()))

    assert (receipt.state, receipt.code, twilio.forms) == ("refused", "expired", [])


async def test_messages_of_other_channels_are_not_its_business() -> None:
    twilio = Scripted(201, taken())
    async with texting(twilio.app) as plugin:
        instance: Any = plugin.plugin.instance
        mail = text(channel="email", to="a@example.org")
        assert [await instance.deliver(mail), await instance.find_delivery(mail)] == [None, None]
    assert twilio.asked == []


@pytest.mark.parametrize(("to", "code"), MAGIC_TO.items())
async def test_each_number_of_the_test_credentials_is_refused_and_the_address_is_marked(to: str, code: int) -> None:
    simulator = TwilioSimulator()
    async with texting(simulator.app, simulator.settings(API)) as plugin:
        receipt = await plugin.deliver(text(to=to))

    news = MAGIC_NEWS.get(code)
    assert (receipt.state, receipt.code, receipt.reason) == ("refused", str(code), MEANINGS[code].reason)
    assert plugin.told.news == ([AddressNews(channel="sms", address=to, news=news)] if news else [])  # type: ignore[arg-type] # one of the three
    assert simulator.taken == []


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (429, {"code": 20429, "message": "", "status": 429}, {"Retry-After": "7"}, ("retry", "20429", 7.0)),
        (429, {"code": 63038, "message": "", "status": 429}, {}, ("retry", "63038", None)),
        (429, "<h1>Too many requests</h1>", {}, ("retry", "429", None)),
        (429, {"error": "slow down"}, {"Retry-After": "soon"}, ("retry", "429", None)),
        (429, "", {"Retry-After": "999999"}, ("retry", "429", 3600.0)),
        (503, {"code": 20503, "message": "", "status": 503}, {}, ("retry", "20503", None)),
        (503, "<h1>Maintenance</h1>", {"Retry-After": "120"}, ("retry", "503", 120.0)),
        (400, {"code": 21611, "message": "", "status": 400}, {}, ("retry", "21611", None)),
        (401, {"code": 20003, "message": "", "status": 401}, {}, ("retry", "20003", 300.0)),
        (403, {"message": "Forbidden"}, {}, ("retry", "403", 300.0)),
        (404, {"error": "not found"}, {}, ("retry", "404", 300.0)),
        (400, {"code": 21606, "message": "", "status": 400}, {}, ("retry", "21606", 300.0)),
        (400, {"code": 21212, "message": "", "status": 400}, {}, ("retry", "21212", 300.0)),
        (400, {"code": 21609, "message": "", "status": 400}, {}, ("retry", "21609", 300.0)),
        (400, {"code": 21617, "message": "", "status": 400}, {}, ("refused", "21617", None)),
        (400, {"code": 29999, "message": "", "status": 400}, {}, ("refused", "29999", None)),
        (400, {"code": "21408", "message": "", "status": 400}, {}, ("refused", "21408", None)),
        (422, {"errors": []}, {}, ("refused", "422", None)),
    ],
)
async def test_a_definite_no_is_a_receipt_by_the_class_of_its_code(
    status: int, body: Any, headers: Mapping[str, str], expected: tuple[str, str, float | None]
) -> None:
    async with texting(Scripted(status, body, headers).app) as plugin:
        receipt = await plugin.deliver()

    assert (receipt.state, receipt.code, receipt.retry_after) == expected
    assert receipt.reason
    assert plugin.told.news == []


async def test_a_retry_after_may_be_a_date() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    async with texting(Scripted(429, {}, {"Retry-After": at}).app) as plugin:
        receipt = await plugin.deliver()

    assert receipt.retry_after is not None
    assert 85 < receipt.retry_after <= 90


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<h1>Welcome</h1>"),
        (201, '{"sid": "SM'),
        (201, {"status": "queued"}),
        (201, {"sid": "CA" + "0d" * 16, "status": "queued"}),
        (201, []),
        (302, "<h1>Moved</h1>"),
        (400, "<h1>Bad request</h1>"),
        (408, {"code": 0}),
        (500, {"code": 20500, "message": "", "status": 500}),
        (502, "<h1>Bad gateway</h1>"),
        (503, "<h1>Unavailable</h1>"),
        (504, "{}"),
    ],
)
async def test_an_answer_that_says_nothing_certain_raises_without_naming_anybody(status: int, body: Any) -> None:
    async with texting(Scripted(status, body, {"Location": "https://elsewhere.example/"}).app) as plugin:
        with pytest.raises(NotTold) as caught:
            await plugin.deliver()

    assert not any(secret in str(caught.value) for secret in (PARENT, "Maya", TOKEN, ACCOUNT))


class Failing(httpx2.AsyncBaseTransport):
    """A network on which every request fails in one way."""

    def __init__(self, failure: type[httpx2.TransportError]) -> None:
        self.failure = failure

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        raise self.failure(f"{request.url} failed", request=request)


@pytest.mark.parametrize("failure", [httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout])
async def test_what_never_reached_twilio_is_tried_again(failure: type[httpx2.TransportError]) -> None:
    async with texting(Failing(failure)) as plugin:
        assert await plugin.deliver() == Receipt(state="retry", reason="Twilio could not be reached")


@pytest.mark.parametrize(
    "failure",
    [httpx2.ReadTimeout, httpx2.WriteTimeout, httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError],
)
async def test_a_connection_that_broke_later_leaves_it_unknown(failure: type[httpx2.TransportError]) -> None:
    async with texting(Failing(failure)) as plugin:
        with pytest.raises(NotTold) as caught:
            await plugin.deliver()
        assert await plugin.find() is None

    assert caught.value.__cause__ is None
    assert ACCOUNT not in str(caught.value)


async def test_a_server_that_hangs_up_after_the_request_leaves_it_unknown_and_a_closed_port_does_not() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with texting(httpx2.AsyncHTTPTransport(), settings(base_url=url)) as plugin:
        with pytest.raises(NotTold):
            await plugin.deliver()
        server.close()
        await server.wait_closed()
        assert (await plugin.deliver()).state == "retry"


async def test_neither_logs_nor_reprs_hold_the_token_the_number_or_the_text(caplog: pytest.LogCaptureFixture) -> None:
    twilio = Scripted(400, {"code": 21211, "message": f"{PARENT} is not a valid number", "status": 400})
    with caplog.at_level(logging.WARNING):
        async with texting(twilio.app, settings(previous_auth_tokens=["an-old-token"])) as plugin:
            message = text()
            shown = f"{message!r} {await plugin.deliver(message)!r} {plugin.plugin.settings!r} {plugin.told.news!r}"
            instance: Any = plugin.plugin.instance
            shown += f"{instance!r} {instance._client!r}"

    for secret in (PARENT, "Maya", TOKEN, "an-old-token"):
        assert secret not in shown + caplog.text


def test_the_page_names_every_code_in_its_class() -> None:
    words = {
        "opted out": Fault.OPTED_OUT,
        "no such number, or one without texts": Fault.UNREACHABLE,
        "refused": Fault.REFUSED,
        "busy": Fault.BUSY,
        "the account's fault": Fault.SETUP,
    }
    rows = [[cell.strip() for cell in line.split("|")] for line in DOCS.read_text(encoding="utf-8").splitlines()]
    told = {
        int(code): words[row[1]]
        for row in rows
        if row[1:2] and row[1] in words
        for code in re.findall(r"\b\d{5}\b", row[2])
    }

    assert told == {code: meaning.fault for code, meaning in MEANINGS.items()}


def test_every_class_of_codes_is_used_and_every_reason_is_said() -> None:
    assert {meaning.fault for meaning in MEANINGS.values()} == set(Fault)
    assert all(meaning.reason and not meaning.reason.endswith(".") for meaning in MEANINGS.values())


SID = "SM" + "0e" * 16


def taken(**more: Any) -> dict[str, Any]:
    return {"sid": SID, "status": "queued", "num_segments": "1", "error_code": None, **more}
