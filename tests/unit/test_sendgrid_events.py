"""What SendGrid tells by its event webhook: only what it has signed is heard, and each event by itself."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from sendgrid.helpers.eventwebhook import EventWebhook as TheirVerifier  # type: ignore[import-untyped]

from homeroom import AddressNews, DeliveryReport, Routes
from homeroom.testing import FakeClock, KeptMessages, routes_app, running_plugin, services
from homeroom_sendgrid import SendGrid
from homeroom_sendgrid.events import told_by
from homeroom_sendgrid.signature import SIGNATURE, TIMESTAMP, is_signed, public_key
from homeroom_sendgrid.simulator import SendGridSimulator
from homeroom_sendgrid.webhook import MAX_AGE, MAX_BYTES

URL = "/plugins/sendgrid/events"
VECTOR_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/"
    "1FwCM/QmGUhA=="
)
VECTOR_SIGNATURE = "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH2j/0="
VECTOR_BODY = '{"category":"example_payload","event":"test_event","message_id":"message_id"}'
VECTOR_TIMESTAMP = "1588788367"

THEIRS = SendGridSimulator()
"""Signs in SendGrid's place."""


class Failing(KeptMessages):
    """An outbox that cannot store what it is told of some messages and addresses."""

    def __init__(self, *cannot: str) -> None:
        super().__init__()
        self.cannot = set(cannot)

    async def report(self, report: DeliveryReport) -> bool:
        if report.message_id in self.cannot:
            raise OSError("the disk is full")
        return await super().report(report)

    async def heard(self, news: AddressNews) -> None:
        if news.address in self.cannot:
            raise OSError("the disk is full")
        await super().heard(news)


@dataclass(kw_only=True)
class Here:
    """Our side of the event webhook."""

    client: Any
    clock: FakeClock
    kept: KeptMessages = field(default_factory=KeptMessages)

    async def post(self, body: bytes, headers: dict[str, str]) -> int:
        answer = await self.client.post(URL, data=body, headers=headers)
        return int(answer.status_code)

    async def tell(self, *events: Any, simulator: SendGridSimulator = THEIRS) -> int:
        body = orjson.dumps(events)
        return await self.post(body, simulator.signed(body, at=self.clock.now()))


@contextlib.asynccontextmanager
async def _here(kept: KeptMessages | None = None, **settings: Any) -> AsyncIterator[Here]:
    clock, kept = FakeClock(), kept or KeptMessages()
    given = services("sendgrid", scopes=SendGrid.scopes, clock=clock, messages=kept)
    given_settings = {**THEIRS.settings("https://sendgrid.example"), **settings}
    async with running_plugin(SendGrid, given_settings, services=given) as plugin:
        routes = await plugin.ask("routes")
        assert isinstance(routes, Routes)
        yield Here(client=routes_app(routes).test_client(), clock=clock, kept=kept)


def _event(kind: str, message_id: str | None = "outbox-7", **more: Any) -> dict[str, Any]:
    ours = {} if message_id is None else {"homeroom": message_id}
    return {
        "email": "pat@family.example",
        "timestamp": 1788271000,
        "event": kind,
        "sg_event_id": f"event-{kind}",
        "sg_message_id": "abc123.recvd-7f8-x-1-0.0",
        **ours,
        **more,
    }


def _is_theirs(body: str, signature: str, timestamp: str, key: str) -> bool:
    """What SendGrid's own library says; what it cannot read it does not accept."""
    try:
        return bool(TheirVerifier(key).verify_signature(body, signature, timestamp))
    except ValueError:
        return False


def test_the_published_vector_is_signed_and_nothing_near_it_is() -> None:
    keys = [public_key(VECTOR_KEY)]

    def signed(body: str = VECTOR_BODY, timestamp: str = VECTOR_TIMESTAMP, signature: str = VECTOR_SIGNATURE) -> bool:
        return is_signed(keys, signature=signature, timestamp=timestamp, body=body.encode())

    assert signed()
    assert not signed(body=VECTOR_BODY + " ")
    assert not signed(timestamp="1588788368")
    assert not signed(signature=VECTOR_SIGNATURE[:-8] + "AAAAAAA=")
    assert not signed(signature="")
    assert _is_theirs(VECTOR_BODY, VECTOR_SIGNATURE, VECTOR_TIMESTAMP, VECTOR_KEY)


@given(
    text=st.text(max_size=200),
    timestamp=st.one_of(st.integers(0, 2**33).map(str), st.text(max_size=12)),
    other_text=st.one_of(st.none(), st.text(max_size=200)),
    other_timestamp=st.one_of(st.none(), st.text(max_size=12)),
    tamper=st.sampled_from(["none", "none", "flip", "cut", "newlines", "no padding", "junk", "unicode", "empty"]),
    place=st.integers(0, 10**6),
    junk=st.text(max_size=120),
)
def test_we_accept_exactly_what_sendgrids_own_library_accepts(  # noqa: PLR0917 - hypothesis names them
    text: str, timestamp: str, other_text: str | None, other_timestamp: str | None, tamper: str, place: int, junk: str
) -> None:
    text, timestamp = _encodable(text), _encodable(timestamp)
    signing = ec.derive_private_key(7, ec.SECP256R1())
    der = signing.sign((timestamp + text).encode(), ec.ECDSA(hashes.SHA256()))
    signature = _tampered(base64.b64encode(der).decode(), tamper, place, junk)
    body = text if other_text is None else _encodable(other_text)
    sent_at = timestamp if other_timestamp is None else _encodable(other_timestamp)

    ours = is_signed([signing.public_key()], signature=signature, timestamp=sent_at, body=body.encode())

    assert ours == _is_theirs(body, signature, sent_at, _shown(signing))
    if tamper == "none" and other_text is None and other_timestamp is None:
        assert ours


def _shown(signing: ec.EllipticCurvePrivateKey) -> str:
    simulator = SendGridSimulator()
    simulator._signing = signing
    return simulator.public_key


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _tampered(signature: str, how: str, place: int, junk: str) -> str:
    at = place % len(signature)
    head, tail = signature[:at], signature[at:]
    changed = {
        "flip": f"{head}{'A' if tail[0] != 'A' else 'B'}{tail[1:]}",
        "cut": head,
        "newlines": f"{head}\r\n {tail}",
        "no padding": signature.rstrip("="),
        "junk": f"{signature}{junk}",
        "unicode": f"{head}é{tail}",
        "empty": "",
    }
    return changed.get(how, signature)


def test_a_key_may_be_pasted_with_the_lines_of_a_pem_file() -> None:
    pem = f"-----BEGIN PUBLIC KEY-----\n{VECTOR_KEY[:64]}\n{VECTOR_KEY[64:]}\n-----END PUBLIC KEY-----\n"

    assert public_key(pem) == public_key(VECTOR_KEY)


BOUNCED = {"status": "5.1.1", "reason": "550 5.1.1 <pat@family.example>: no such user"}


@pytest.mark.parametrize(
    ("event", "state", "code", "news"),
    [
        (_event("processed"), "accepted", None, None),
        (_event("deferred", response="400 try later", attempt="5"), "accepted", None, None),
        (_event("delivered", response="250 OK"), "delivered", None, None),
        (_event("bounce", type="bounce", **BOUNCED), "failed", "5.1.1", "unreachable"),
        (_event("bounce", type="blocked", status="4.7.1", reason="550 blocked"), "failed", "4.7.1", None),
        (_event("bounce", type="blocked", reason="unable to get mx info"), "failed", "blocked", None),
        (_event("bounce", type="blocked", bounce_classification="Invalid Address"), "failed", "blocked", "unreachable"),
        (_event("dropped", reason="Bounced Address"), "failed", "dropped", "unreachable"),
        (_event("dropped", reason="Invalid"), "failed", "dropped", "unreachable"),
        (_event("dropped", reason="Unsubscribed Address"), "failed", "dropped", "opted_out"),
        (_event("dropped", reason="Spam Reporting Address"), "failed", "dropped", "opted_out"),
        (_event("dropped", reason="Recipient List over Package Quota"), "failed", "dropped", None),
        (_event("dropped", reason="something new"), "failed", "dropped", None),
        (_event("spamreport"), None, None, "opted_out"),
        (_event("unsubscribe"), None, None, "opted_out"),
        (_event("group_unsubscribe", asm_group_id=12), None, None, "opted_out"),
        (_event("group_resubscribe", asm_group_id=12), None, None, "opted_in"),
        (_event("open"), None, None, None),
        (_event("click", url="https://district.example"), None, None, None),
        (_event("account_status_change"), None, None, None),
        (_event("an event of next year"), None, None, None),
    ],
    ids=lambda value: value["event"] if isinstance(value, dict) else None,
)
async def test_each_event_means_one_thing(
    event: dict[str, Any], state: str | None, code: str | None, news: str | None
) -> None:
    async with _here(asm_group_id=12) as here:
        status = await here.tell(event)

    assert status == 204
    told = [(one.state, one.message_id, one.provider_id, one.code) for one in here.kept.reports]
    assert told == ([(state, "outbox-7", "abc123", code)] if state else [])
    heard = [(one.channel, one.address, one.news) for one in here.kept.news]
    assert heard == ([("email", "pat@family.example", news)] if news else [])
    assert not any("pat@family" in f"{one.reason}{one.code}" for one in here.kept.reports)


async def test_why_a_mail_failed_is_said_in_our_own_words() -> None:
    async with _here() as here:
        await here.tell(
            _event("bounce", type="bounce", bounce_classification="Invalid Address", **BOUNCED),
            _event(
                "bounce", type="blocked", bounce_classification="<b>pat@family.example", status="pat@family.example"
            ),
            _event("dropped", reason="Unsubscribed Address"),
            _event("dropped", reason="pat@family.example is odd"),
        )

    assert [one.reason for one in here.kept.reports] == [
        "SendGrid: the mail came back (invalid address)",
        "SendGrid: the receiving server did not take it this time",
        "SendGrid: the address has unsubscribed",
        "SendGrid: it was not sent on",
    ]


async def test_events_of_other_senders_of_the_account_change_no_message() -> None:
    async with _here(asm_group_id=12) as here:
        status = await here.tell(
            _event("delivered", None),
            _event("dropped", None, reason="Unsubscribed Address"),
            _event("group_unsubscribe", None, asm_group_id=99),
            _event("delivered", ""),
            _event("delivered", "x" * 5000),
            _event("delivered", "a\nb"),
        )

    assert status == 204
    assert here.kept.reports == []
    assert here.kept.news == []


async def test_a_bounce_that_comes_late_and_names_no_message_still_says_that_the_address_is_gone() -> None:
    late = _event("bounce", None, type="bounce", sg_message_id="", **BOUNCED)

    async with _here() as here:
        await here.tell(late)

    assert here.kept.news == [AddressNews(channel="email", address="pat@family.example", news="unreachable")]


async def test_without_a_group_of_ours_only_our_own_mails_group_events_count() -> None:
    async with _here() as here:
        await here.tell(_event("group_unsubscribe", None, asm_group_id=3), _event("group_resubscribe", asm_group_id=3))

    assert [one.news for one in here.kept.news] == ["opted_in"]


async def test_one_bad_event_does_not_lose_its_neighbours() -> None:
    bad: list[Any] = [
        None,
        7,
        "delivered",
        [],
        {},
        {"event": 3},
        {"event": "delivered", "homeroom": ["outbox-1"]},
        {"event": "bounce", "homeroom": "outbox-2", "type": [], "status": {}, "sg_message_id": 4, "email": 5},
        {"event": "unsubscribe", "email": "no address"},
        {"event": "unsubscribe", "email": "kim@family.example", "timestamp": "yesterday"},
    ]

    async with _here() as here:
        status = await here.tell(_event("delivered", "first"), *bad, _event("delivered", "last"))

    assert status == 204
    assert {one.message_id for one in here.kept.reports} == {"first", "outbox-2", "last"}
    assert [one.address for one in here.kept.news] == ["kim@family.example"]


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)),
    max_leaves=8,
)
_KINDS = st.sampled_from(["processed", "bounce", "dropped", "unsubscribe", "group_unsubscribe", "spamreport", "x"])


@given(
    kind=st.one_of(_KINDS, _JSON),
    message_id=st.one_of(st.just("outbox-7"), _JSON),
    values=st.lists(_JSON, min_size=7, max_size=7),
)
def test_no_event_is_too_odd_to_be_read(kind: Any, message_id: Any, values: list[Any]) -> None:
    names = ("email", "timestamp", "sg_message_id", "type", "status", "reason", "asm_group_id")
    told = told_by({"event": kind, "homeroom": message_id, **dict(zip(names, values, strict=True))}, 12)

    assert told is None or told.report is not None or told.news is not None


async def test_an_event_that_is_told_twice_and_late_changes_nothing_back() -> None:
    left = _event("group_unsubscribe", asm_group_id=12, timestamp=1788271000)
    back = _event("group_resubscribe", asm_group_id=12, timestamp=1788271100)
    left_again = _event("group_unsubscribe", asm_group_id=12, timestamp=1788271200)

    async with _here(asm_group_id=12) as here:
        await here.tell(left)
        await here.tell(back)
        await here.tell(left_again)
        await here.tell(back)
        await here.tell(left, back, left_again)

    assert [one.news for one in here.kept.news] == ["opted_out", "opted_in", "opted_out", "opted_out"]


async def test_what_is_not_signed_by_sendgrid_is_not_heard() -> None:
    stranger = SendGridSimulator()
    body = orjson.dumps([_event("unsubscribe")])

    async with _here() as here:
        signed = THEIRS.signed(body, at=here.clock.now())
        answers = [
            await here.tell(_event("unsubscribe"), simulator=stranger),
            await here.post(body, {}),
            await here.post(body, {SIGNATURE: signed[SIGNATURE]}),
            await here.post(body, {TIMESTAMP: signed[TIMESTAMP]}),
            await here.post(body.replace(b"pat@", b"kim@"), signed),
            await here.post(body + b"\n", signed),
            await here.post(body, {**signed, TIMESTAMP: str(int(signed[TIMESTAMP]) + 1)}),
            await here.post(body, {**signed, SIGNATURE: "not base64"}),
        ]

    assert set(answers) == {403}
    assert here.kept.news == []


async def test_hazard_21_a_body_is_verified_as_it_came_and_not_as_it_would_be_written_again() -> None:
    body = b'[ {"event" : "delivered", "homeroom":"outbox-7","response":"250 \\u00fc\\/"} ]\r\n'

    async with _here() as here:
        status = await here.post(body, THEIRS.signed(body, at=here.clock.now()))

    assert status == 204
    assert [one.state for one in here.kept.reports] == ["delivered"]


async def test_a_call_is_good_as_long_as_sendgrid_repeats_it_and_not_for_ever() -> None:
    body = orjson.dumps([_event("delivered")])

    async with _here() as here:
        signed = THEIRS.signed(body, at=here.clock.now())
        here.clock.move(MAX_AGE)
        in_time = await here.post(body, signed)
        here.clock.move(1)
        too_late = await here.post(body, signed)
        ahead = await here.post(body, THEIRS.signed(body, at=here.clock.now() + timedelta(minutes=10)))

    assert (in_time, too_late, ahead) == (204, 403, 204)
    assert timedelta(hours=24) < timedelta(seconds=MAX_AGE) < timedelta(hours=26)


async def test_while_a_key_is_changed_both_are_good() -> None:
    new = SendGridSimulator()

    async with _here(webhook_public_key=new.public_key, previous_webhook_public_keys=[THEIRS.public_key]) as here:
        assert await here.tell(_event("delivered", "by the new one"), simulator=new) == 204
        assert await here.tell(_event("delivered", "by the old one"), simulator=THEIRS) == 204
        assert await here.tell(_event("delivered"), simulator=SendGridSimulator()) == 403


async def test_without_a_key_no_event_is_accepted() -> None:
    async with _here(webhook_public_key=None) as here:
        assert await here.tell(_event("delivered")) == 403


@pytest.mark.parametrize("body", [b"", b"{}", b'{"event": "delivered"}', b"[", b"<html>", b"\xff\xfe", b"[" * 100_000])
async def test_a_signed_body_that_is_no_list_of_events_is_malformed(body: bytes) -> None:
    async with _here() as here:
        status = await here.post(body, THEIRS.signed(body, at=here.clock.now()))

    assert status == 400


async def test_an_odd_value_of_another_sender_does_not_lose_a_batch() -> None:
    odd = b'[{"event": "delivered", "them": "\\ud800", "n": 1e999}, {"event": "delivered", "homeroom": "outbox-7"},'
    odd += b'{"event": "unsubscribe", "email": "\\ud800@family.example"}, {"event": "bounce", "homeroom": "\\ud800"}]'

    async with _here() as here:
        status = await here.post(odd, THEIRS.signed(odd, at=here.clock.now()))

    assert status == 204
    assert [one.message_id for one in here.kept.reports] == ["outbox-7"]
    assert here.kept.news == []


async def test_more_than_sendgrid_sends_at_once_is_refused_and_what_it_sends_is_not() -> None:
    events = [_event("delivered", f"outbox-{number}", response="250 OK " + "x" * 500) for number in range(900)]
    full = orjson.dumps(events)
    too_large = b"[" + b" " * MAX_BYTES + b"]"

    async with _here() as here:
        taken = await here.post(full, THEIRS.signed(full, at=here.clock.now()))
        refused = await here.post(too_large, THEIRS.signed(too_large, at=here.clock.now()))

    assert 600_000 < len(full) < MAX_BYTES
    assert (taken, refused) == (204, 413)
    assert len(here.kept.reports) == 900


async def test_a_body_of_untold_length_is_read_no_further_than_it_may_be() -> None:
    async with _here() as here:
        async with here.client.request(URL, method="POST") as connection:
            for _ in range(MAX_BYTES // 65536 + 1):
                await connection.send(b" " * 65536)
            await connection.send_complete()
        answer = await connection.as_response()

    assert answer.status_code == 413


async def test_what_cannot_be_stored_is_asked_for_again_and_its_neighbours_are_kept() -> None:
    kept = Failing("outbox-2", "kim@family.example")
    events = [_event("delivered", f"outbox-{number}") for number in range(4)]
    events += [_event("unsubscribe", email="kim@family.example"), _event("unsubscribe", email="lee@family.example")]

    structlog.reset_defaults()  # a test before this one may have left only the errors to be logged
    async with _here(kept) as here:
        with structlog.testing.capture_logs() as logs:
            first = await here.tell(*events)
        stored = {one.message_id for one in kept.reports}
        heard = [one.address for one in kept.news]
        kept.cannot.clear()
        second = await here.tell(*events)

    assert (first, second) == (503, 204)
    assert stored == {"outbox-0", "outbox-1", "outbox-3"}
    assert heard == ["lee@family.example"]
    assert {one.message_id for one in kept.reports} == {"outbox-0", "outbox-1", "outbox-2", "outbox-3"}
    assert {one.address for one in kept.news} == {"lee@family.example", "kim@family.example"}
    assert logs
    assert "family.example" not in str(logs)


async def test_while_nothing_can_be_stored_most_events_are_not_even_tried() -> None:
    names = [f"outbox-{number}" for number in range(900)]
    tried: list[str | None] = []

    class Down(KeptMessages):
        async def report(self, report: DeliveryReport) -> bool:
            tried.append(report.message_id)
            raise OSError("the database is away")

    async with _here(Down()) as here:
        status = await here.tell(*(_event("delivered", name) for name in names))

    assert status == 503
    assert len(tried) < 100


async def test_an_instance_by_another_name_has_its_own_address() -> None:
    given = services("district_mail", scopes=SendGrid.scopes)
    async with running_plugin(SendGrid, THEIRS.settings("https://sendgrid.example"), services=given) as plugin:
        routes = await plugin.ask("routes")
        assert isinstance(routes, Routes)
        body = orjson.dumps([])
        signed = THEIRS.signed(body, at=datetime.now(UTC))
        answer = await routes_app(routes).test_client().post("/plugins/district_mail/events", data=body, headers=signed)

    assert routes.prefix == "/plugins/district_mail"
    assert answer.status_code == 204
