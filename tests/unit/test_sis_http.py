"""How a connector speaks HTTP: paced, signed in, repeated where that does no harm, never fooled by a bad answer."""

from __future__ import annotations

import asyncio
import base64
import gzip
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from quart import Quart, Response, jsonify, request

from homeroom import ClientCredentials, Reply, SisHttp, SourceError, VendorError, testing
from homeroom.testing import FakeClock, HurriedLoop, hurried

BASE = "https://sis.example/api"
SECRET = "a-secret-that-nobody-may-read"

Answer = Callable[[], Awaitable[Any]]


class Vendor:
    """A server that gives its `answers` one after the other, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers) or [jsonify_one]
        self.asked: list[tuple[str, str, str | None]] = []
        self.bodies: list[str | bytes] = []
        self.at: list[float] = []
        self.most_at_once = self._now = 0
        self.tokens = itertools.count(1)
        self.token_seconds: Any = 3600
        self.app = Quart("vendor")
        self.app.add_url_rule("/api/token", view_func=self.token, methods=["GET", "POST"])
        self.app.add_url_rule("/api/<path:path>", view_func=self.answer, methods=["GET", "POST", "PUT", "DELETE"])

    async def token(self) -> Any:
        self._keep(await request.get_data(as_text=False))
        pair = base64.b64encode(f"us:{SECRET}".encode()).decode()
        form = await request.form
        if request.headers.get("Authorization") != f"Basic {pair}" and form.get("client_secret") != SECRET:
            return {"error": "invalid_client"}, 401
        return {"access_token": f"token-{next(self.tokens)}", "expires_in": self.token_seconds}

    async def answer(self, **_: str) -> Any:
        self._keep(await request.get_data(as_text=False))
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer() if callable(answer) else answer

    def _keep(self, body: str | bytes) -> None:
        self.asked.append((request.method, request.full_path.rstrip("?"), request.headers.get("Authorization")))
        self.bodies.append(body)
        self.at.append(asyncio.get_running_loop().time())


async def jsonify_one() -> Response:
    return jsonify({"ok": True})


def after(seconds: str) -> tuple[str, int, dict[str, str]]:
    return "{}", 429, {"Retry-After": seconds}


def page(status: int = 200) -> tuple[str, int, dict[str, str]]:
    return "<h1>Back soon</h1>", status, {"Content-Type": "text/html"}


def http(vendor: Vendor | Quart | httpx2.AsyncBaseTransport, *, clock: FakeClock | None = None, **more: Any) -> SisHttp:
    inner = vendor.app if isinstance(vendor, Vendor) else vendor
    return SisHttp(testing.services("acme", http=inner, clock=clock), BASE, **more)


def credentials(**more: Any) -> ClientCredentials:
    return ClientCredentials(**{"url": "/token", "client_id": "us", "client_secret": SecretStr(SECRET), **more})


def slept() -> list[float]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HurriedLoop)
    return [seconds for seconds in loop.slept if seconds]


def refused(vendor: Vendor, method: str = "GET", **more: Any) -> SourceError:
    """The error that a request ends with; it must be one for the administrator's eyes."""

    async def ask() -> SourceError:
        with pytest.raises(SourceError) as caught:
            await http(vendor).request(method, "/students", **more)
        return caught.value

    return hurried(ask())


def test_an_answer_has_its_data_status_and_next_page() -> None:
    async def ask() -> Reply:
        linked = ('{"rows": [1]}', 200, {"Link": '</api/students?page=2>; rel="next"', "Content-Type": "text/json"})
        return await http(Vendor(linked)).get("/students", {"page": 1})

    reply = hurried(ask())
    assert (reply.status, reply.data) == (200, {"rows": [1]})
    assert reply.next == "https://sis.example/api/students?page=2"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('\ufeff{"name": "Zo\u00eb"}'.encode(), "application/json"),
        ('{"name": "Zo\u00eb"}'.encode("latin-1"), "application/json; charset=ISO-8859-1"),
        ('{"name": "Zo\u00eb"}'.encode("utf-16"), "application/json; charset=utf-16"),
    ],
)
def test_an_answer_is_read_behind_a_byte_order_mark_and_in_the_charset_it_names(body: bytes, kind: str) -> None:
    assert hurried(http(Vendor((body, 200, {"Content-Type": kind}))).get("/x")).data == {"name": "Zo\u00eb"}


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "no-such-charset", "utf-16"])
def test_half_an_answer_is_none_in_any_charset(charset: str) -> None:
    kind = {"Content-Type": f"application/json; charset={charset}"}

    assert "cut off" in str(refused(Vendor((b'{"name": "Zo\xff', 200, kind))))


def test_an_empty_body_is_an_answer_without_data() -> None:
    async def ask() -> Reply:
        return await http(Vendor(("", 204, {}))).request("DELETE", "/marks/1")

    assert hurried(ask()).data is None


def test_statuses_that_were_asked_for_are_answers() -> None:
    async def ask() -> Reply:
        return await http(Vendor(({"error": "none"}, 404))).get("/students", accept=(404,))

    assert hurried(ask()).status == 404


def test_requests_go_one_after_the_other_and_not_too_soon() -> None:
    async def ask() -> tuple[Vendor, list[float]]:
        vendor = Vendor()
        client = http(vendor, min_interval=5.0)
        await asyncio.gather(*(client.get("/students") for _ in range(4)))
        return vendor, slept()

    vendor, waits = hurried(ask())
    assert vendor.most_at_once == 1
    assert len(waits) == 3
    assert all(4.5 < wait <= 5.0 for wait in waits)


@pytest.mark.parametrize("status", [429, 503, 509])
def test_a_vendor_that_is_busy_is_waited_for_as_long_as_it_says(status: int) -> None:
    async def ask() -> tuple[Any, list[float]]:
        reply = await http(Vendor(("{}", status, {"Retry-After": "17"}), jsonify_one)).get("/students")
        return reply.data, slept()

    assert hurried(ask()) == ({"ok": True}, [17.0])


def test_a_date_in_retry_after_is_by_the_vendors_own_clock() -> None:
    async def ask() -> list[float]:
        clock = FakeClock()
        theirs = clock.now() + timedelta(minutes=10)
        named = {"Retry-After": format_datetime(theirs + timedelta(seconds=20), usegmt=True)}
        busy = ("{}", 503, {**named, "Date": format_datetime(theirs, usegmt=True)})
        await http(Vendor(busy, jsonify_one), clock=clock).get("/students")
        return slept()

    assert hurried(ask()) == [20.0]


@pytest.mark.parametrize("named", ["", "soon", "-5", "nan", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_nonsense_in_retry_after_never_stops_a_request(named: str) -> None:
    async def ask() -> tuple[Any, list[float]]:
        return (await http(Vendor(after(named), jsonify_one)).get("/students")).data, slept()

    data, waits = hurried(ask())
    assert data == {"ok": True}
    assert all(wait < 1 for wait in waits)


def test_a_wait_that_is_too_long_is_left_to_the_engine() -> None:
    vendor = Vendor(after("3600"))
    error = refused(vendor)
    assert (error.retry, error.retry_after, len(vendor.asked)) == (True, 3600.0, 1)


def test_a_vendor_that_stays_busy_is_asked_four_times() -> None:
    vendor = Vendor(("{}", 429, {}))
    error = refused(vendor)
    assert str(error) == "the system asks us to slow down"
    assert error.retry
    assert len(vendor.asked) == 4


def test_a_post_that_was_refused_for_haste_is_sent_again() -> None:
    async def ask() -> Any:
        return (await http(Vendor(after("1"), jsonify_one)).request("POST", "/marks", json={})).data

    assert hurried(ask()) == {"ok": True}


def test_a_get_is_repeated_after_a_failure_and_a_post_is_not() -> None:
    getting, posting, again = (Vendor(page(500)) for _ in range(3))
    assert refused(getting).retry
    assert refused(posting, "POST", json={}).retry
    assert refused(again, "POST", json={}, idempotent=True).retry
    assert [len(vendor.asked) for vendor in (getting, posting, again)] == [4, 1, 4]


def test_a_post_that_surely_never_arrived_is_sent_again() -> None:
    class Away(httpx2.AsyncBaseTransport):
        tries = 0

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            self.tries += 1
            raise httpx2.ConnectError("no route", request=request)

    async def ask() -> tuple[str, int]:
        away = Away()
        with pytest.raises(SourceError) as caught:
            await http(away).request("POST", "/marks", json={})
        return str(caught.value), away.tries

    assert hurried(ask()) == ("the system cannot be reached", 4)


def test_a_token_is_fetched_once_and_used_until_shortly_before_its_end() -> None:
    async def ask() -> Vendor:
        vendor, clock = Vendor(), FakeClock()
        vendor.token_seconds = "3600"  # PowerSchool sends text
        client = http(vendor, clock=clock, token=credentials())
        await asyncio.gather(client.get("/a"), client.get("/b"))
        clock.move(3569)
        await client.get("/c")
        clock.move(2)
        await client.get("/d")
        return vendor

    asked = hurried(ask()).asked
    assert [path for _, path, _ in asked] == ["/api/token", "/api/a", "/api/b", "/api/c", "/api/token", "/api/d"]
    assert asked[-1][2] == "Bearer token-2"


def test_a_token_without_an_end_in_sight_is_used_like_any_other() -> None:
    async def ask() -> Vendor:
        vendor = Vendor()
        vendor.token_seconds = 2**63 - 1  # what Java calls for ever
        client = http(vendor, token=credentials())
        await client.get("/a")
        await client.get("/b")
        return vendor

    assert [path for _, path, _ in hurried(ask()).asked] == ["/api/token", "/api/a", "/api/b"]


def test_a_refused_token_is_replaced_once_and_then_it_is_refused() -> None:
    vendor = Vendor(({}, 401))

    async def ask() -> str:
        with pytest.raises(VendorError) as caught:
            await http(vendor, token=credentials()).get("/a")
        return str(caught.value)

    assert hurried(ask()) == "the system does not accept our token"
    assert [told for _, path, told in vendor.asked if path == "/api/a"] == ["Bearer token-1", "Bearer token-2"]


def test_a_vendor_may_say_in_words_that_a_token_has_ended() -> None:
    async def ask() -> Vendor:
        vendor = Vendor(("Your token has expired", 500, {"Content-Type": "text/plain"}), jsonify_one)
        await http(vendor, token=credentials(), token_ended="token has expired").get("/a")
        return vendor

    told = [told for _, path, told in hurried(ask()).asked if path == "/api/a"]
    assert told == ["Bearer token-1", "Bearer token-2"]


def test_requests_that_meet_the_end_of_a_token_together_ask_for_one_new_one() -> None:
    vendor = Vendor()

    async def by_token() -> Any:
        return ({}, 401) if request.headers["Authorization"] == "Bearer token-1" else {"ok": True}

    vendor.answers = [by_token]

    async def ask() -> None:
        client = http(vendor, token=credentials())
        await asyncio.gather(client.get("/a"), client.get("/b"), client.get("/c"))

    hurried(ask())
    assert [path for _, path, _ in vendor.asked].count("/api/token") == 2


def test_wrong_credentials_are_told_as_such_and_not_tried_again() -> None:
    vendor = Vendor()

    async def ask() -> VendorError:
        with pytest.raises(VendorError) as caught:
            await http(vendor, token=credentials(client_secret=SecretStr("wrong"))).get("/a")
        return caught.value

    error = hurried(ask())
    assert (str(error), error.status, error.retry) == ("the client id and secret were refused", 401, False)
    assert len(vendor.asked) == 1


def test_id_and_secret_may_go_into_the_form() -> None:
    async def ask() -> Vendor:
        vendor = Vendor()
        await http(vendor, token=credentials(auth="form", scope="roster", form={"x": "1"})).get("/a")
        return vendor

    body = hurried(ask()).bodies[0]
    assert body == f"grant_type=client_credentials&scope=roster&x=1&client_id=us&client_secret={SECRET}".encode()


def test_a_sign_in_without_a_token_is_told() -> None:
    app = Quart("vendor")

    @app.post("/api/token")
    async def token() -> list[str]:
        return ["no", "token"]

    async def ask() -> None:
        await http(app, token=credentials()).get("/a")

    with pytest.raises(SourceError, match="holds no access token"):
        hurried(ask())


def test_requests_can_be_signed_each_by_itself() -> None:
    class Signed(httpx2.Auth):
        def auth_flow(self, request: httpx2.Request) -> Any:
            request.headers["Authorization"] = f"OAuth {request.url.query.decode()}"
            yield request

    async def ask() -> Vendor:
        vendor = Vendor()
        await http(vendor, auth=Signed()).get("/a", {"limit": 2})
        return vendor

    assert hurried(ask()).asked == [("GET", "/api/a?limit=2", "OAuth limit=2")]


@pytest.mark.parametrize("body", ["<h1>Unavailable</h1>", ""])
def test_a_page_instead_of_data_is_an_outage_and_never_an_empty_list(body: str) -> None:
    error = refused(Vendor((body, 200, {"Content-Type": "text/html"})))
    assert "page instead of data" in str(error)
    assert error.retry


def test_a_redirect_is_an_outage_and_is_not_followed() -> None:
    vendor = Vendor(("", 302, {"Location": "https://message.powerschool.example/"}))
    error = refused(vendor)
    assert "probably down for maintenance" in str(error)
    assert error.retry
    assert {path for _, path, _ in vendor.asked} == {"/api/students"}


def test_an_answer_that_was_cut_off_is_asked_for_again() -> None:
    async def ask() -> Any:
        cut = ('{"rows": [{"id": ', 200, {"Content-Type": "application/json"})
        return (await http(Vendor(cut, jsonify_one)).get("/students")).data

    assert hurried(ask()) == {"ok": True}


def test_a_compressed_answer_that_is_damaged_is_asked_for_again() -> None:
    async def ask() -> Any:
        head = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        damaged = b"no gzip at all" + gzip.compress(b"{}")
        return (await http(Vendor((damaged, 200, head), jsonify_one)).get("/students")).data

    assert hurried(ask()) == {"ok": True}


def test_an_answer_that_drips_for_ever_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeroom.sis_http._DEADLINE", 0.05)

    class Drip(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.1)

    class Dripping(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, stream=Drip(), request=request)

    async def ask() -> None:
        await http(Dripping(), attempts=1).get("/students")

    with pytest.raises(SourceError, match="did not answer in time"):
        hurried(ask())


def test_an_answer_without_end_is_cut_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeroom.sis_answers._MAX_BYTES", 1000)
    error = refused(Vendor(('"' + "x" * 2000 + '"', 200, {"Content-Type": "application/json"})))
    assert "smaller pages" in str(error)
    assert not error.retry


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/api/students?page=2",
        "http://sis.example/api/students?page=2",
        "https://sis.example:8443/api/students?page=2",
        "https://sis.example@evil.example/students",
        "ftp://sis.example/students",
        "https://[broken/students",
    ],
)
def test_a_next_page_elsewhere_is_not_followed(link: str) -> None:
    async def ask() -> None:
        client = http(Vendor(), token=credentials(url="https://login.example/token"))
        await client.get(link)

    with pytest.raises(SourceError, match="another server"):
        hurried(ask())


def test_a_token_is_asked_for_at_another_host_only_where_the_settings_name_it() -> None:
    async def ask() -> None:
        client = http(Vendor(), token=credentials(url="https://login.example/api/token"))
        await client.get("/a")

    hurried(ask())


def test_the_vendors_clock_is_noted() -> None:
    async def ask() -> timedelta:
        clock = FakeClock()
        ahead = format_datetime(clock.now() + timedelta(minutes=10), usegmt=True)
        client = http(Vendor(("{}", 200, {"Date": ahead})), clock=clock)
        await client.get("/a")
        return client.skew

    assert hurried(ask()) == timedelta(minutes=10)


def test_a_refusal_says_what_the_vendor_said_to_the_connector_only() -> None:
    error = refused(Vendor(({"message": "Ada Lovelace may not"}, 403)))
    assert isinstance(error, VendorError)
    assert (str(error), error.data) == ("the system does not permit this", {"message": "Ada Lovelace may not"})
    assert "Ada" not in repr(error)


def test_secrets_are_in_no_repr_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def ask() -> str:
        how = credentials(form={"password": SECRET})
        vendor = Vendor(jsonify_one, ({"secret": SECRET}, 403))
        client = http(vendor, token=how)
        reply = await client.get("/a")
        with pytest.raises(VendorError) as caught:
            await client.get("/b")
        return f"{client!r} {how!r} {reply!r} {caught.value!r} {caught.value}"

    shown = hurried(ask()) + caplog.text
    assert SECRET not in shown
    assert "token-1" not in shown


def test_a_request_that_is_cancelled_gives_its_turn_to_the_next() -> None:
    begun = asyncio.Event()

    class HangsOnce(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if not begun.is_set():
                begun.set()
                await asyncio.Event().wait()
            return httpx2.Response(200, json={"ok": True}, request=request)

    async def ask() -> Any:
        client = http(HangsOnce())
        task = asyncio.create_task(client.get("/a"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return (await client.get("/b")).data

    assert hurried(ask()) == {"ok": True}
