"""The simulator is Twilio as far as its pages go: forms, errors, lists, calls, and the ways in which it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped] # it ships no types

from homeroom.testing import CHANNEL_MISBEHAVIOURS
from homeroom_twilio.simulator import TwilioSimulator
from homeroom_twilio.simulator.rules import MAGIC_FROM, MAGIC_TO, segments

CALLBACK = "https://homeroom.example/plugins/twilio/status?m=outbox-1"
FORM = {"To": "+14155550123", "From": "+15005550006", "Body": "Maya was absent today."}


class Account:
    """Somebody who uses the simulator's API by hand, and is called back."""

    def __init__(self, simulator: TwilioSimulator, sign_in: tuple[str, str] | None = None) -> None:
        transport = httpx2.ASGITransport(app=simulator.app)  # type: ignore[arg-type] # Quart's ASGI types are its own
        self.base = f"https://api.twilio.example/2010-04-01/Accounts/{simulator.account_sid}"
        self.http = httpx2.AsyncClient(
            transport=transport, auth=sign_in or (simulator.account_sid, simulator.auth_token)
        )

    async def send(self, **more: str | None) -> httpx2.Response:
        form = {name: value for name, value in {**FORM, **more}.items() if value is not None}
        return await self.http.post(f"{self.base}/Messages.json", data=form)

    async def list(self, **wanted: str | int) -> httpx2.Response:
        return await self.http.get(f"{self.base}/Messages.json", params=wanted)


class Heard:
    """Takes what the simulator calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, str], bytes]] = []

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.calls.append((url, headers, body))
        return 204

    def told(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(body.decode(), keep_blank_values=True)) for _url, _headers, body in self.calls]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def simulator(heard: Heard) -> AsyncIterator[TwilioSimulator]:
    made = TwilioSimulator(post=heard)
    yield made
    await made.called_back()


async def test_a_text_is_taken_and_answered_as_twilio_does(simulator: TwilioSimulator) -> None:
    answer = await Account(simulator).send(StatusCallback=CALLBACK)

    body = answer.json()
    assert (answer.status_code, body["status"], body["num_segments"], body["error_code"]) == (201, "queued", "1", None)
    assert (body["to"], body["from"], body["body"], body["direction"]) == (*FORM.values(), "outbound-api")
    assert abs(parsedate_to_datetime(body["date_created"]) - datetime.now(UTC)) < timedelta(seconds=10)
    assert body["date_created"].endswith(" +0000")
    (taken,) = simulator.taken
    assert (taken.provider_id, taken.message_id, taken.to) == (body["sid"], "outbox-1", FORM["To"])


async def test_a_messaging_service_accepts_first_and_chooses_the_sender_later() -> None:
    heard = Heard()
    simulator = TwilioSimulator(service=True, post=heard)
    account = Account(simulator)
    answer = await account.send(From=None, MessagingServiceSid=simulator.service_sid, StatusCallback=CALLBACK)
    await simulator.called_back()

    body = answer.json()
    assert (body["status"], body["from"], body["num_segments"]) == ("accepted", None, "0")
    assert [one["MessageStatus"] for one in heard.told()] == ["queued", "sent", "delivered"]
    (row,) = (await account.list()).json()["messages"]
    assert (row["status"], row["from"], row["num_segments"]) == ("delivered", simulator.from_number, "1")


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"To": None}, 21604),
        ({"From": None}, 21603),
        ({"Body": None}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"From": "+14155550100"}, 21606),
        ({"From": None, "MessagingServiceSid": "MG" + "0" * 32}, 21701),
        ({"To": "555-0100"}, 21211),
        ({"StatusCallback": "https://bad_host.example/"}, 21609),
        ({"StatusCallback": "nowhere"}, 21609),
        ({"ValidityPeriod": "0"}, 20001),
        ({"ValidityPeriod": "36001"}, 20001),
        *(({"From": number}, code) for number, code in MAGIC_FROM.items()),
        *(({"To": number}, code) for number, code in MAGIC_TO.items()),
    ],
)
async def test_what_is_wrong_is_refused_in_twilios_words(
    simulator: TwilioSimulator, form: dict[str, str | None], code: int
) -> None:
    answer = await Account(simulator).send(**form)

    body = answer.json()
    assert (answer.status_code, body["code"], body["status"]) == (400, code, 400)
    assert body["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert set(body) == {"code", "message", "more_info", "status"}
    assert simulator.taken == []


async def test_nobody_else_gets_in(simulator: TwilioSimulator) -> None:
    stranger, key = Account(simulator, ("AC1", "x")), Account(simulator, simulator.api_key)
    answers = [await stranger.send(), await stranger.list(), await stranger.http.get(f"{stranger.base}.json")]
    unsigned = await httpx2.AsyncClient(transport=stranger.http._transport).get(f"{stranger.base}.json")
    elsewhere = await key.http.get(key.base.replace(simulator.account_sid, "AC" + "1" * 32) + "/Messages.json")

    assert [(one.status_code, one.json()["code"]) for one in [*answers, unsigned]] == [(401, 20003)] * 4
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (404, 20404)
    assert [(await key.send()).status_code, (await key.list()).status_code] == [201, 200]
    assert (await key.http.get(f"{key.base}.json")).status_code == 401


async def test_its_calls_are_signed_as_twilios_library_wants_them(simulator: TwilioSimulator, heard: Heard) -> None:
    await Account(simulator).send(StatusCallback=CALLBACK)
    await simulator.called_back()
    simulator.inbound(FORM["To"], "Grüße & thanks", opt_out_type="HELP")
    await simulator.called_back()

    assert [one.get("MessageStatus") for one in heard.told()] == ["sent", "delivered", None]
    assert heard.calls[-1][0] == "https://homeroom.example/plugins/twilio/inbound"
    validator = RequestValidator(simulator.auth_token)
    for (url, headers, _body), told in zip(heard.calls, heard.told(), strict=True):
        assert validator.validate(url, told, headers["X-Twilio-Signature"])


async def test_a_text_may_fail_after_it_was_taken(simulator: TwilioSimulator, heard: Heard) -> None:
    simulator.fails[FORM["To"]] = 30005
    account = Account(simulator)
    sid = (await account.send(StatusCallback=CALLBACK)).json()["sid"]
    await simulator.called_back()

    assert [(one["MessageStatus"], one.get("ErrorCode")) for one in heard.told()] == [
        ("sent", None),
        ("undelivered", "30005"),
    ]
    row = (await account.http.get(f"{account.base}/Messages/{sid}.json")).json()
    assert (row["status"], row["error_code"], simulator.taken[0].state) == ("undelivered", 30005, "failed")
    assert (await account.http.get(f"{account.base}/Messages/SM1.json")).status_code == 404


async def test_who_opts_out_gets_no_more_until_they_come_back(simulator: TwilioSimulator, heard: Heard) -> None:
    account = Account(simulator)
    simulator.opt_out(FORM["To"])
    refused = await account.send()
    other = await account.send(To="+14155550199")
    simulator.inbound(FORM["To"], "Unstop")
    again = await account.send()

    assert [refused.json().get("code"), other.status_code, again.status_code] == [21610, 201, 201]
    assert heard.calls == []  # nobody has said where answers go


async def test_a_list_is_newest_first_and_goes_on_page_by_page(simulator: TwilioSimulator) -> None:
    account = Account(simulator)
    for number in range(5):
        await account.send(Body=f"Text {number}")
    await account.send(To="+14155550199")

    pages = [(await account.list(To=FORM["To"], PageSize=2)).json()]
    while following := pages[-1]["next_page_uri"]:
        assert following.startswith("/2010-04-01/Accounts/")
        pages.append((await account.http.get(f"https://api.twilio.example{following}")).json())

    assert [[row["body"] for row in page["messages"]] for page in pages] == [
        ["Text 4", "Text 3"],
        ["Text 2", "Text 1"],
        ["Text 0"],
    ]
    assert [(page["page"], page["start"], page["end"]) for page in pages] == [(0, 0, 1), (1, 2, 3), (2, 4, 4)]
    assert pages[0]["previous_page_uri"] is None
    assert (await account.list(PageSize=0)).json()["code"] == 20001


async def test_a_list_is_narrowed_by_day_and_by_sender(simulator: TwilioSimulator) -> None:
    account = Account(simulator)
    await account.send()
    today = datetime.now(UTC).date()
    wanted: list[dict[str, Any]] = [
        {"DateSent": f"{today}"},
        {"DateSent>": f"{today}"},
        {"DateSent<": f"{today}"},
        {"DateSent>": f"{today + timedelta(days=1)}"},
        {"DateSent<": f"{today - timedelta(days=1)}"},
        {"DateSent": f"{today - timedelta(days=1)}"},
        {"From": "+14155550199"},
    ]
    found = [len((await account.list(**one)).json()["messages"]) for one in wanted]
    simulator.taken[0].more["date_sent"] = None  # still queued
    unsent = len((await account.list(**{"DateSent>": f"{today}"})).json()["messages"])

    assert found == [1, 1, 1, 0, 0, 0, 0]
    assert unsent == 0


async def test_the_account_and_its_number_are_told(simulator: TwilioSimulator) -> None:
    account = Account(simulator)
    own = (await account.http.get(f"{account.base}.json")).json()
    numbers = [
        (await account.http.get(f"{account.base}/IncomingPhoneNumbers.json", params={"PhoneNumber": like})).json()
        for like in ("+15005550006", "+14155550199")
    ]

    assert (own["sid"], own["status"], own["type"]) == (simulator.account_sid, "active", "Full")
    assert [len(page["incoming_phone_numbers"]) for page in numbers] == [1, 0]


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("中" * 70, 1),
        ("中" * 71, 2),
        ("🙂" * 35, 1),
        ("🙂" * 36, 2),
        ("ç" * 71, 2),
        ("é" * 160, 1),
    ],
)
def test_segments_are_counted_as_they_are_charged(body: str, count: int) -> None:
    assert segments(body) == count


async def outcomes(kind: str, times: int = 4) -> tuple[list[object], int]:
    """The status of each sending, "page" for HTML, "cut" for half an answer; and how many were taken."""
    simulator = TwilioSimulator(misbehave={kind})
    account = Account(simulator)
    found: list[object] = []
    for _time in range(times):
        answer = await account.send()
        try:
            answer.json()
            found.append(answer.status_code)
        except ValueError:
            page = "html" in answer.headers["Content-Type"]
            found.append(("page" if page else "cut", answer.status_code))
    return found, len(simulator.taken)


@pytest.mark.parametrize(
    ("kind", "expected", "taken"),
    [
        ("429", [201, 201, 429, 201], 3),
        ("429-bare", [201, 201, ("page", 429), 201], 3),
        ("500", [201, 201, 201, ("page", 500)], 3),
        ("outage", [("page", 302)] * 4, 0),
        ("html", [201, 201, ("page", 200), 201], 3),
        ("truncated", [201, 201, 201, ("cut", 201)], 4),
        ("slow-drip", [201] * 4, 4),
        ("take-and-break", [201, 201, ("page", 502), 201], 4),
        ("refuse", [201, 201, 400, 201], 3),
    ],
)
async def test_it_misbehaves_as_it_was_asked_to(kind: str, expected: list[object], taken: int) -> None:
    assert await outcomes(kind) == (expected, taken)


async def test_one_that_hangs_has_taken_the_text_and_told_of_it() -> None:
    heard = Heard()
    simulator = TwilioSimulator(misbehave={"take-and-hang"}, post=heard)
    account = Account(simulator)
    await account.send(StatusCallback=CALLBACK)
    await account.send(StatusCallback=CALLBACK)
    hanging = asyncio.create_task(account.send(StatusCallback=CALLBACK))
    await simulator.hanging.wait()
    await simulator.called_back()
    hanging.cancel()

    assert (len(simulator.taken), len(heard.calls)) == (3, 6)


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [("no-callbacks", []), ("shuffled-callbacks", ["delivered", "sent", "sent", "delivered"])],
)
async def test_its_calls_may_stay_away_or_come_twice_and_in_another_order(kind: str, statuses: list[str]) -> None:
    heard = Heard()
    simulator = TwilioSimulator(misbehave={kind}, post=heard)
    await Account(simulator).send(StatusCallback=CALLBACK)
    await simulator.called_back()

    assert [one["MessageStatus"] for one in heard.told()] == statuses


def test_it_can_misbehave_in_every_way_and_says_what_it_was_built_from() -> None:
    assert TwilioSimulator(misbehave=set(CHANNEL_MISBEHAVIOURS)).misbehave == set(CHANNEL_MISBEHAVIOURS)
    assert "Never compared with a live one" in TwilioSimulator.evidence


async def test_what_it_shows_of_itself_names_nobody(simulator: TwilioSimulator) -> None:
    await Account(simulator).send(StatusCallback=CALLBACK)

    told = simulator.inspection()
    assert told["messages"] == [
        {"provider_id": simulator.taken[0].provider_id, "message_id": "outbox-1", "state": "delivered"}
    ]
    assert FORM["To"] not in repr(simulator.taken)
