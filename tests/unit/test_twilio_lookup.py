"""A text whose sending was never answered: found where Twilio took it, sent again only where it surely did not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom import AddressNews, NotSent, Receipt
from homeroom_twilio import client
from homeroom_twilio.errors import NotTold
from homeroom_twilio.lookup import CLOCKS, DOUBT
from homeroom_twilio.simulator import TwilioSimulator
from tests.services.texting import ACCOUNT, API, PARENT, Called, Scripted, simulated, text, texting

NOW = datetime(2026, 9, 14, 14, 30, 0, 400_000, tzinfo=UTC)
BODY = "Maya was absent today."
CURLY = "Maya\N{RIGHT SINGLE QUOTATION MARK}s bus was late \N{EN DASH} she is here."
FAR_PAST = -timedelta(hours=2)


def row(at: timedelta = timedelta(), **more: Any) -> dict[str, Any]:
    """A message as Twilio lists it, taken `at` after the attempt."""
    moment = (NOW + at).replace(microsecond=0)
    given = {"sid": "SM" + "1a" * 16, "to": PARENT, "body": BODY, "direction": "outbound-api", "status": "sent"}
    return {**given, "date_created": format_datetime(moment), "num_segments": "1", "error_code": None, **more}


def listing(*rows: Any, **more: Any) -> Scripted:
    return Scripted(200, {"messages": list(rows), "next_page_uri": None, **more})


async def found(twilio: Scripted, body: str = BODY, **facts: Any) -> Any:
    async with texting(twilio.app) as plugin:
        return await plugin.find(text(body=body, **{"attempted_at": NOW, **facts}))


@pytest.mark.parametrize("kind", ["take-and-break", "take-and-hang", "truncated"])
async def test_a_text_that_was_taken_without_a_word_is_found_and_counted_once(kind: str) -> None:
    simulator = TwilioSimulator(misbehave={kind, "no-callbacks"})
    async with texting(simulator.app, simulator.settings(API)) as plugin:
        unknown = []
        for number in range(4):
            message = text(to=f"+1415555010{number}", id=f"outbox-{number}")
            sending = asyncio.create_task(plugin.deliver(message))
            hanging = asyncio.create_task(simulator.hanging.wait())
            await asyncio.wait({sending, hanging}, return_when=asyncio.FIRST_COMPLETED)
            hanging.cancel()
            simulator.hanging.clear()
            if not sending.done():
                sending.cancel()
                unknown.append(message)
            elif isinstance(sending.exception(), NotTold):
                unknown.append(message)
        receipts = [await plugin.find(message) or await plugin.find(message) for message in unknown]

    assert len(unknown) == 1
    assert [receipt.state for receipt in receipts] == ["delivered"]
    assert receipts[0].provider_id in {taken.provider_id for taken in simulator.taken}
    assert len(simulator.taken) == 4


async def test_a_text_that_was_not_taken_may_be_sent_again() -> None:
    simulator = TwilioSimulator(misbehave={"html", "no-callbacks"})
    async with texting(simulator.app, simulator.settings(API)) as plugin:
        await plugin.deliver(text(to="+14155550101"))
        await plugin.deliver(text(to="+14155550102"))
        with pytest.raises(NotTold):
            await plugin.deliver(text(to="+14155550103"))
        assert await plugin.find(text(to="+14155550103")) == NotSent()


@pytest.mark.parametrize(
    ("status", "receipt"),
    [
        ("queued", "accepted"),
        ("accepted", "accepted"),
        ("scheduled", "accepted"),
        ("sending", "accepted"),
        ("sent", "accepted"),
        ("a-new-word", "accepted"),
        ("delivered", "delivered"),
        ("read", "delivered"),
        ("failed", "refused"),
        ("undelivered", "refused"),
        ("canceled", "refused"),
    ],
)
async def test_the_state_of_what_is_found_is_told(status: str, receipt: str) -> None:
    answer = await found(listing(row(status=status)))

    assert (answer.state, answer.provider_id, answer.segments) == (receipt, "SM" + "1a" * 16, 1)


async def test_an_opt_out_that_shows_only_in_the_list_is_heard() -> None:
    async with texting(listing(row(status="failed", error_code=21610)).app) as plugin:
        answer = await plugin.find(text(attempted_at=NOW))

    assert (answer.state, answer.code) == ("refused", "21610")
    assert plugin.told.news == [AddressNews(channel="sms", address=PARENT, news="opted_out")]


@pytest.mark.parametrize(
    "other",
    [
        row(to="+14155550199"),
        row(direction="inbound"),
        row(body="Another text."),
        row(FAR_PAST),
        row(-DOUBT - timedelta(seconds=2)),
    ],
)
async def test_other_peoples_other_and_older_texts_are_not_this_one(other: dict[str, Any]) -> None:
    assert await found(listing(other)) == NotSent()


@pytest.mark.parametrize(
    "like",
    [
        row(-timedelta(minutes=2)),
        row(body=""),
        row(body=None),
        row(body=f"Sent from your Twilio trial account - {BODY}"),
        row(body="MAYA WAS ABSENT TODAY"),
        row(date_created=None),
        row(date_created="yesterday"),
        row(sid="SM1"),
    ],
)
async def test_what_may_be_this_text_leaves_it_unknown(like: dict[str, Any]) -> None:
    assert await found(listing(like)) is None


async def test_of_several_alike_the_one_nearest_to_the_attempt_is_it() -> None:
    alike = [
        row(timedelta(minutes=30), sid="SM" + "2b" * 16),
        row(timedelta(seconds=1), sid="SM" + "2c" * 16),
        row(-timedelta(seconds=4), sid="SM" + "2d" * 16),
    ]
    assert (await found(listing(*alike))).provider_id == "SM" + "2c" * 16


async def test_without_the_time_of_an_attempt_that_of_the_message_counts() -> None:
    assert await found(listing(row(FAR_PAST)), attempted_at=None, created_at=NOW) == NotSent()
    assert (await found(listing(row()), attempted_at=None, created_at=NOW)).state == "accepted"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<h1>Hello</h1>"),
        (200, '{"messages": ['),
        (200, []),
        (200, {}),
        (200, {"messages": []}),
        (200, {"messages": "none", "next_page_uri": None}),
        (200, {"messages": ["none"], "next_page_uri": None}),
        (200, {"messages": [], "next_page_uri": "https://elsewhere.example/2010-04-01/more"}),
        (200, {"messages": [], "next_page_uri": ""}),
        (200, {"messages": [], "next_page_uri": "/2010-04-01/the-same-again"}),
        (302, ""),
        (401, {"code": 20003}),
        (404, {"code": 20404}),
        (429, {"code": 20429}),
        (500, {}),
    ],
)
async def test_a_list_that_was_not_read_whole_never_means_not_sent(status: int, body: Any) -> None:
    twilio = Scripted(status, body, {"Location": "https://elsewhere.example/"})
    assert await found(twilio) is None
    assert {url.host for url in twilio.asked} == {"api.twilio.example"}


async def test_a_list_that_goes_round_is_left_at_once() -> None:
    twilio = listing(next_page_uri="/2010-04-01/the-same-again")
    assert await found(twilio) is None
    assert len(twilio.asked) == 2


async def test_a_list_without_end_is_given_up() -> None:
    asked: list[httpx2.URL] = []

    class Endless(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            asked.append(request.url)
            return httpx2.Response(200, json={"messages": [], "next_page_uri": f"/2010-04-01/{len(asked)}"})

    async with texting(Endless()) as plugin:
        assert await plugin.find() is None
    assert len(asked) == 20


async def test_a_text_is_found_on_whichever_page_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    simulator = Called()
    async with simulated(simulator) as plugin:
        receipts = [await plugin.deliver(text(body=f"Text {number}")) for number in range(7)]
        answers = [await plugin.find(text(body=f"Text {number}")) for number in range(7)]
        missing = await plugin.find(text(body="Something else"))

    assert [one.provider_id for one in answers] == [one.provider_id for one in receipts]
    assert missing == NotSent()
    assert sum(one.method == "GET" for one in simulator.asked) == 8 * 4


async def test_everything_to_the_number_is_asked_for_and_only_that() -> None:
    twilio = listing()
    await found(twilio)

    (url,) = twilio.asked
    assert url.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert dict(url.params.items()) == {"To": PARENT, "PageSize": "1000"}


OFFSETS = st.timedeltas(min_value=timedelta(minutes=-10), max_value=timedelta(minutes=60))
OTHERS = st.builds(
    row,
    OFFSETS,
    body=st.sampled_from([BODY, CURLY, "Another text.", "", "Maya is here."]),
    direction=st.sampled_from(["inbound", "outbound-api", "outbound-reply"]),
    to=st.sampled_from([PARENT, "+14155550199"]),
    status=st.sampled_from(["queued", "delivered", "undelivered", "canceled"]),
)
SEEN_AS = {
    BODY: [BODY, "", f"Sent from your Twilio trial account - {BODY}"],
    CURLY: [CURLY, "Maya's bus was late - she is here.", ""],
}


@settings(max_examples=60)
@given(
    others=st.lists(OTHERS, max_size=6),
    body=st.sampled_from([BODY, CURLY]),
    shown=st.integers(0, 2),
    at=st.timedeltas(min_value=-DOUBT, max_value=timedelta(minutes=60)),
    place=st.integers(0, 6),
)
def test_a_text_that_was_taken_is_never_called_not_sent(
    others: list[dict[str, Any]], body: str, shown: int, at: timedelta, place: int
) -> None:
    own = row(at + timedelta(seconds=1), body=SEEN_AS[body][shown])
    rows = [*others[:place], own, *others[place:]]

    answer = asyncio.run(found(listing(*rows), body=body))

    assert answer != NotSent()
    exact = own["body"] == body and at >= -CLOCKS
    assert isinstance(answer, Receipt) or not exact


@settings(max_examples=60)
@given(others=st.lists(OTHERS, max_size=6))
def test_a_receipt_is_only_ever_that_of_the_same_text_to_the_same_number_since_the_attempt(
    others: list[dict[str, Any]],
) -> None:
    rows = [{**one, "sid": f"SM{number:032x}"} for number, one in enumerate(others)]

    answer = asyncio.run(found(listing(*rows)))

    if isinstance(answer, Receipt):
        own = next(one for one in rows if one["sid"] == answer.provider_id)
        assert (own["to"], own["body"], own["direction"][:8]) == (PARENT, BODY, "outbound")
        assert datetime.strptime(own["date_created"], "%a, %d %b %Y %H:%M:%S %z") >= NOW - CLOCKS
