"""What Twilio calls back: accepted exactly when Twilio's own library accepts it, and each call heeded once."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped] # it ships no types
from werkzeug.datastructures import MultiDict

from homeroom import AddressNews, DeliveryReport
from homeroom_twilio.signature import is_signed, sign
from homeroom_twilio.webhooks import MAX_BYTES, START, STOP
from tests.services.texting import PARENT, PUBLIC, SETTINGS, TOKEN, Called, Scripted, Texting, simulated, text, texting

SID = "SM" + "3a" * 16
STATUS = f"{PUBLIC}/plugins/twilio/status?m=outbox-1"
INBOUND = f"{PUBLIC}/plugins/twilio/inbound"
FORM = "application/x-www-form-urlencoded"
DELIVERED = {"MessageSid": SID, "MessageStatus": "delivered", "To": PARENT, "From": "+15005550006"}


@pytest.fixture
async def plugin() -> AsyncIterator[Texting]:
    async with texting(Scripted(500, "").app) as running:
        yield running


async def call(
    plugin: Texting,
    url: str,
    told: Mapping[str, str],
    *,
    token: str = TOKEN,
    at: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx2.Response:
    """A call to `url`, signed by Twilio's library for that address; it arrives `at` another where a proxy did that."""
    params: MultiDict[str, str] = MultiDict(told)
    signature = RequestValidator(token).compute_signature(url, params)
    sent = {"Content-Type": f"{FORM}; charset=UTF-8", "X-Twilio-Signature": signature, **(headers or {})}
    return await plugin.post(at or url, sent, urlencode(list(params.items(multi=True))).encode())


def test_the_published_example_is_accepted_and_any_change_to_it_is_not() -> None:
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    form = {
        "CallSid": ["CA1234567890ABCDE"],
        "Caller": ["+12349013030"],
        "Digits": ["1234"],
        "From": ["+12349013030"],
        "To": ["+18005551212"],
    }
    signature = "0/KCTR6DLpKmkAf8muzZqo1nDgQ="

    assert sign(url, form, "12345") == signature
    assert is_signed(url, form, signature, ["12345"])
    assert is_signed(url.replace(".com", ".com:443"), form, signature, ["54321", "12345"])
    assert not is_signed(url.replace(".com", ".com:8443"), form, signature, ["54321"])
    assert not is_signed(f"{url}&x", form, signature, ["12345"])
    assert not is_signed(url, {**form, "Digits": ["1235"]}, signature, ["12345"])
    assert not is_signed(url, form, "", ["12345"])


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = st.one_of(st.sampled_from(["Body", "From", "a", "A", "bodySHA256"]), WORDS)
PARAMS = st.dictionaries(NAMES, st.lists(WORDS, min_size=1, max_size=3), max_size=5)
HOSTS = st.sampled_from(["example.com", "a.example", "127.0.0.1", "localhost", "[::1]", "user@example.com"])
PORTS = st.sampled_from(["", ":443", ":80", ":8443", ":0", ":x", ":"])
QUERIES = st.one_of(
    st.sampled_from(["", "?", "?m=1", "?m=1&m=2", "?m=%2B1&n", "?bodySHA256=", "#f"]),
    WORDS.map(lambda word: f"?m={word}"),
)
URLS = st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["https", "http", "HTTPS"]),
    HOSTS,
    PORTS,
    st.sampled_from(["", "/", "/plugins/twilio/status", "/a%20b/", "/a//b"]),
    QUERIES,
)
TAMPERING = st.sampled_from(["nothing", "token", "value", "order", "port", "letter", "shorter", "empty", "foreign"])


def library_accepts(url: str, body: Any, signature: str, token: str) -> bool:
    """What Twilio's library says; where it fails over a call, it has not accepted it."""
    try:
        return RequestValidator(token).validate(url, body, signature) is True
    except (TypeError, ValueError):
        return False


def tampered(how: str, url: str, params: Mapping[str, list[str]], token: str) -> str:
    """The signature of a call as somebody forged it, or of the call itself."""
    if how == "port":
        url = url.replace(".example", ".example:443").replace("127.0.0.1", "127.0.0.1:80")
    if how == "value":
        params = {name: [f"{value}x" for value in values] for name, values in params.items()}
    if how == "order":
        params = {name: values[::-1] for name, values in reversed(list(params.items()))}
    text = url + "".join(name + value for name in sorted(params) for value in sorted(set(params[name])))
    validator = RequestValidator(f"{token}x" if how == "token" else token)
    signature: str = validator.compute_signature(text, {})
    changes = {"letter": "A" + signature[1:], "shorter": signature[:-1], "empty": "", "foreign": signature + "ü"}
    return changes.get(how, signature)


@settings(max_examples=400)
@given(url=URLS, params=PARAMS, token=st.sampled_from(["12345", "t", "töken"]), how=TAMPERING)
@example(url="https://a.example/x?m=1", params={"a": ["2", "1", "1"]}, token="t", how="nothing")
@example(url="https://a.example/x", params={"a": ["1"]}, token="t", how="port")
def test_a_form_is_accepted_exactly_when_twilios_library_accepts_it(
    url: str, params: dict[str, list[str]], token: str, how: str
) -> None:
    signature = tampered(how, url, params, token)

    expected = library_accepts(url, MultiDict(params), signature, token)

    assert is_signed(url, params, signature, [token]) is expected


@settings(max_examples=300)
@given(
    url=URLS,
    body=st.one_of(st.just(""), st.just("{}"), WORDS),
    named=st.sampled_from(["right", "wrong", "twice", "none", "capitals"]),
    how=TAMPERING,
)
def test_a_body_of_json_is_accepted_exactly_when_twilios_library_accepts_it(
    url: str, body: str, named: str, how: str
) -> None:
    digest = hashlib.sha256(body.encode()).hexdigest()
    values = {
        "right": [digest],
        "wrong": ["0" * 64],
        "twice": [digest, "0" * 64],
        "none": [],
        "capitals": [digest.upper()],
    }
    for value in values[named]:
        url += f"{'&' if '?' in url else '?'}bodySHA256={value}"
    signature = tampered(how, url, {}, "12345")

    expected = library_accepts(url, body, signature, "12345")

    assert is_signed(url, body.encode(), signature, ["12345"]) is expected


def test_the_comparison_is_not_vacuous() -> None:
    url, params = "https://a.example/x", {"b": ["2", "1"], "a": ["0"]}
    accepted = {
        how: is_signed(url, params, tampered(how, url, params, "t"), ["t"]) for how in ("nothing", "port", "token")
    }

    assert accepted == {"nothing": True, "port": True, "token": False}


@settings(max_examples=60)
@given(
    params=PARAMS,
    query=st.sampled_from(["", "?m=outbox-1", "?m=a%20b&m=c", "?m=%C3%A4", "?M"]),
    how=st.sampled_from(["nothing", "token", "value", "letter", "port"]),
)
async def test_the_routes_accept_exactly_what_twilios_library_accepts(
    params: dict[str, list[str]], query: str, how: str
) -> None:
    url = f"{PUBLIC}/plugins/twilio/inbound{query}"
    signature = tampered(how, url, params, TOKEN)
    body = urlencode([(name, value) for name, values in params.items() for value in values]).encode()
    async with texting(Scripted(500, "").app) as plugin:
        answer = await plugin.post(url, {"Content-Type": FORM, "X-Twilio-Signature": signature}, body)

    accepted = library_accepts(url, MultiDict(params), signature, TOKEN)
    assert answer.status_code == (400 if accepted else 403)  # signed, but about no message


@pytest.mark.parametrize(
    ("status", "code", "report"),
    [
        ("queued", None, DeliveryReport(state="accepted")),
        ("accepted", None, DeliveryReport(state="accepted")),
        ("sending", None, DeliveryReport(state="accepted")),
        ("sent", None, DeliveryReport(state="accepted")),
        ("sent", "30008", DeliveryReport(state="accepted")),
        ("delivered", None, DeliveryReport(state="delivered")),
        ("read", None, DeliveryReport(state="delivered")),
        (
            "undelivered",
            "30007",
            DeliveryReport(state="failed", code="30007", reason="the carrier took the text for spam"),
        ),
        ("failed", "39999", DeliveryReport(state="failed", code="39999", reason="Twilio refused it with error 39999")),
        ("failed", None, DeliveryReport(state="failed", reason="Twilio gave no reason")),
        ("failed", "x" * 50, DeliveryReport(state="failed", reason="Twilio gave no reason")),
        ("canceled", None, DeliveryReport(state="failed", reason="it was cancelled at Twilio")),
    ],
)
async def test_each_status_is_reported_with_its_code(
    plugin: Texting, status: str, code: str | None, report: DeliveryReport
) -> None:
    told = {**DELIVERED, "MessageStatus": status, **({"ErrorCode": code} if code else {})}

    assert (await call(plugin, STATUS, told)).status_code == 204

    (seen,) = plugin.told.reports
    assert (seen.message_id, seen.provider_id) == ("outbox-1", SID)
    assert (seen.state, seen.code, seen.reason) == (report.state, report.code, report.reason)
    assert plugin.told.news == []


@pytest.mark.parametrize(
    ("code", "news"),
    [
        ("21610", "opted_out"),
        ("30005", "unreachable"),
        ("30006", "unreachable"),
        ("21614", "unreachable"),
        ("30003", None),
    ],
)
async def test_hazard_19_what_a_failure_tells_of_the_number_is_heard_once(
    plugin: Texting, code: str, news: Any
) -> None:
    told = {**DELIVERED, "MessageStatus": "undelivered", "ErrorCode": code}
    for _repeated in range(2):
        assert (await call(plugin, STATUS, told)).status_code == 204

    assert plugin.told.news == ([AddressNews(channel="sms", address=PARENT, news=news)] if news else [])
    assert len(plugin.told.reports) == 2  # the outbox itself knows a report that it has had


@pytest.mark.parametrize(
    "told", [{}, {"MessageSid": SID}, {"MessageStatus": "sent"}, {**DELIVERED, "MessageSid": "SM1"}]
)
async def test_a_signed_call_about_no_message_is_malformed(plugin: Texting, told: dict[str, str]) -> None:
    assert (await call(plugin, STATUS, told)).status_code == 400
    assert plugin.told.reports == []


@pytest.mark.parametrize("query", ["", "?m=", "?m=" + "x" * 300, "?m=%00"])
async def test_a_message_may_be_known_by_twilios_id_alone(plugin: Texting, query: str) -> None:
    assert (await call(plugin, f"{PUBLIC}/plugins/twilio/status{query}", DELIVERED)).status_code == 204
    assert [(one.message_id, one.provider_id) for one in plugin.told.reports] == [(None, SID)]


async def test_a_status_that_tells_nothing_of_a_text_is_passed_over(plugin: Texting) -> None:
    assert (await call(plugin, STATUS, {**DELIVERED, "MessageStatus": "received"})).status_code == 204
    assert plugin.told.reports == []


@pytest.mark.parametrize(
    "forged",
    [
        {"token": "another-token"},
        {"headers": {"X-Twilio-Signature": ""}},
        {"headers": {"X-Twilio-Signature": base64.b64encode(b"0" * 20).decode()}},
        {"at": STATUS.replace("outbox-1", "outbox-2")},
        {"at": STATUS.replace("status", "inbound")},
        {"headers": {"Content-Type": "text/plain"}},
        {"headers": {"Content-Type": "application/json"}},
    ],
)
async def test_a_forged_call_is_forbidden_and_changes_nothing(plugin: Texting, forged: dict[str, Any]) -> None:
    answer = await call(plugin, STATUS, DELIVERED, **forged)

    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (plugin.told.reports, plugin.told.news) == ([], [])


async def test_hazard_20_the_host_header_and_what_a_proxy_makes_of_the_address_do_not_matter(plugin: Texting) -> None:
    behind = "http://10.0.0.7:8000/plugins/twilio/status?m=outbox-1"
    hostile = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    assert (await call(plugin, STATUS, DELIVERED, at=behind, headers=hostile)).status_code == 204
    there = "http://evil.example/plugins/twilio/status?m=outbox-1"
    assert (await call(plugin, there, DELIVERED, at=behind, headers={"Host": "evil.example"})).status_code == 403


@pytest.mark.parametrize(
    "public_url", ["https://homeroom.example:8443/", "https://homeroom.example:443", "https://a.example/b"]
)
async def test_hazard_20_port_and_path_of_the_public_address_are_part_of_it(public_url: str) -> None:
    async with texting(Scripted(500, "").app, public_url=public_url) as plugin:
        url = f"{public_url.rstrip('/')}/plugins/twilio/status?m=1"
        inside = "http://127.0.0.1/plugins/twilio/status?m=1"
        answers = [(await call(plugin, url, DELIVERED, at=inside)).status_code]
        answers += [(await call(plugin, url.replace("8443", "443"), DELIVERED, at=inside)).status_code]
    assert answers == [204, 403 if "8443" in public_url else 204]


async def test_a_token_that_is_being_changed_and_its_predecessors_are_both_good() -> None:
    async with texting(Scripted(500, "").app, {**SETTINGS, "previous_auth_tokens": ["old"]}) as plugin:
        answers = [await call(plugin, STATUS, DELIVERED, token=token) for token in (TOKEN, "old", "older")]
    assert [answer.status_code for answer in answers] == [204, 204, 403]


async def test_without_a_public_address_nothing_can_be_signed() -> None:
    async with texting(Scripted(500, "").app, public_url=None) as plugin:
        assert (await call(plugin, STATUS, DELIVERED)).status_code == 403


async def test_json_is_taken_where_its_hash_is_signed(plugin: Texting) -> None:
    body = b'{"MessageSid": "%s", "MessageStatus": "delivered", "n": 1}' % SID.encode()
    url = f"{STATUS}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {
        "Content-Type": "application/json",
        "X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(url, {}),
    }

    answers = [(await plugin.post(url, headers, one)).status_code for one in (body, body + b" ")]

    assert answers == [204, 403]
    assert [one.state for one in plugin.told.reports] == ["delivered"]


async def test_signed_json_that_holds_no_parameters_is_malformed(plugin: Texting) -> None:
    url = f"{STATUS}&bodySHA256={hashlib.sha256(b'[1]').hexdigest()}"
    headers = {
        "Content-Type": "application/json",
        "X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(url, {}),
    }
    assert (await plugin.post(url, headers, b"[1]")).status_code == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"a=" + b"x" * MAX_BYTES, 413),
        (b"a=%FF", 400),
        (b"a=\xff", 400),
        (b"&".join(b"a%d=1" % number for number in range(501)), 400),
        (b"", 403),
    ],
)
async def test_what_cannot_be_a_form_of_twilios_is_turned_away_cleanly(
    plugin: Texting, body: bytes, status: int
) -> None:
    answer = await plugin.post(STATUS, {"Content-Type": FORM, "X-Twilio-Signature": "x"}, body)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


async def test_a_body_that_does_not_say_how_long_it_is_is_cut_short(plugin: Texting) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _piece in range(8):  # half of what the server itself would take
            yield b"a" * MAX_BYTES

    transport = httpx2.ASGITransport(app=plugin.app)  # type: ignore[arg-type] # Quart's ASGI types are its own
    async with httpx2.AsyncClient(transport=transport) as client:
        answer = await client.post(STATUS, headers={"Content-Type": FORM}, content=pieces())
    assert (answer.status_code, answer.json()["detail"]) == (413, "This is more than is ever sent here at once.")


def inbound(body: str, sid: str = SID, **more: str) -> dict[str, str]:
    return {"MessageSid": sid, "From": PARENT, "To": "+15005550006", "Body": body, **more}


@pytest.mark.parametrize(
    ("body", "more", "news"),
    [
        *((word, {}, "opted_out") for word in sorted(STOP)),
        *((word, {}, "opted_in") for word in sorted(START)),
        (" stop ", {}, "opted_out"),
        ("Stop.", {}, "opted_out"),
        ("Yes", {}, "opted_in"),
        ("yes!", {}, None),
        ("HELP", {}, None),
        ("INFO", {}, None),
        ("Please stop by tomorrow", {}, None),
        ("", {}, None),
        ("PARAR", {"OptOutType": "STOP"}, "opted_out"),
        ("VUELVA", {"OptOutType": "START"}, "opted_in"),
        ("STOP", {"OptOutType": "HELP"}, None),
        ("STOP", {"From": "28849"}, None),
        ("STOP", {"From": "whatsapp:+14155550123"}, None),
    ],
)
async def test_an_answer_is_heeded_and_not_answered(
    plugin: Texting, body: str, more: dict[str, str], news: Any
) -> None:
    answer = await call(plugin, INBOUND, inbound(body, **more))

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    assert answer.text.endswith("<Response/>")
    assert plugin.told.news == ([AddressNews(channel="sms", address=PARENT, news=news)] if news else [])


async def test_an_old_answer_that_is_played_again_undoes_nothing(plugin: Texting) -> None:
    start, stop = inbound("START", "SM" + "3b" * 16), inbound("STOP", "SM" + "3c" * 16)
    for told in (start, stop, start, stop, start):
        assert (await call(plugin, INBOUND, told)).status_code == 200

    assert [one.news for one in plugin.told.news] == ["opted_in", "opted_out"]


async def test_an_answer_without_sender_or_id_is_malformed(plugin: Texting) -> None:
    nameless = {name: value for name, value in inbound("STOP").items() if name != "From"}
    assert (await call(plugin, INBOUND, nameless)).status_code == 400
    assert (await call(plugin, INBOUND, inbound("STOP", sid="x"))).status_code == 400


async def test_a_renamed_instance_has_addresses_of_its_own() -> None:
    async with texting(Scripted(500, "").app, name="north") as plugin:
        assert (await call(plugin, INBOUND.replace("twilio", "north"), inbound("STOP"))).status_code == 200
        assert (await call(plugin, INBOUND, inbound("STOP"))).status_code == 404


@pytest.mark.parametrize(
    ("misbehave", "states"),
    [
        ([], ["accepted", "delivered"]),
        (["shuffled-callbacks"], ["delivered", "accepted", "accepted", "delivered"]),
        (["no-callbacks"], []),
    ],
)
async def test_the_simulator_calls_back_and_is_believed(misbehave: list[str], states: list[str]) -> None:
    simulator = Called(misbehave=misbehave)
    async with simulated(simulator) as plugin:
        receipt = await plugin.deliver()
        await simulator.called_back()

    reports = [(one.state, one.message_id, one.provider_id) for one in plugin.told.reports]
    assert reports == [(state, "outbox-1", receipt.provider_id) for state in states]
    assert set(simulator.answers) <= {204}


@pytest.mark.parametrize("service", [False, True])
async def test_hazard_19_who_answers_stop_is_heard_and_gets_no_more_until_start(*, service: bool) -> None:
    simulator = Called(service=service)
    async with simulated(simulator) as plugin:
        await plugin.deliver()
        simulator.inbound(PARENT, "Stop")
        await simulator.called_back()
        second = await plugin.deliver(text(id="outbox-2"))
        await simulator.called_back()
        simulator.inbound(PARENT, "start")
        await simulator.called_back()
        third = await plugin.deliver(text(id="outbox-3"))
        await simulator.called_back()

    # A service finds out only after it has taken the text, and tells so in a callback.
    assert (second.state, third.state) == ("accepted" if service else "refused", "accepted")
    news = [one.news for one in plugin.told.news]
    assert news == ["opted_out", "opted_out", "opted_in"]
    assert plugin.told.reports[-1].state == "delivered"
    if service:
        refused = next(one for one in plugin.told.reports if one.message_id == "outbox-2" and one.state == "failed")
        assert refused.code == "21610"
