"""What SendGrid keeps of addresses, read back page by page and no faster than it allows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from quart import Quart, Response, request

from homeroom import AddressNews, Suppressions
from homeroom.testing import FakeClock, HurriedLoop, RunningPlugin, hurried, running_plugin, services
from homeroom_sendgrid import SendGrid
from homeroom_sendgrid.client import Unread
from homeroom_sendgrid.simulator import SendGridSimulator

URL = "https://sendgrid.example"


@contextlib.asynccontextmanager
async def _reading(
    simulator: SendGridSimulator, app: Quart | None = None, **settings: Any
) -> AsyncIterator[RunningPlugin]:
    clock = FakeClock(datetime.now(UTC))
    given = services("sendgrid", scopes=SendGrid.scopes, clock=clock, http=app or simulator.app)
    async with running_plugin(SendGrid, {**simulator.settings(URL), **settings}, services=given) as plugin:
        yield plugin


async def _read(simulator: SendGridSimulator, since: datetime | None = None, **settings: Any) -> Suppressions:
    async with _reading(simulator, **settings) as plugin:
        answer = await plugin.ask("suppressions", since=since)
    assert isinstance(answer, Suppressions)
    return answer


def _put(simulator: SendGridSimulator, name: str, address: str, created: datetime) -> None:
    simulator.lists[name][address] = {"created": int(created.timestamp()), "email": address}


async def test_each_list_says_one_thing_of_its_addresses_and_blocks_say_nothing() -> None:
    simulator = SendGridSimulator()
    now = datetime.now(UTC)
    for name in simulator.lists:
        _put(simulator, name, f"{name}@family.example", now)

    answer = await _read(simulator)

    assert answer.items == (
        AddressNews(channel="email", address="bounces@family.example", news="unreachable"),
        AddressNews(channel="email", address="invalid_emails@family.example", news="unreachable"),
        AddressNews(channel="email", address="spam_reports@family.example", news="opted_out"),
        AddressNews(channel="email", address="unsubscribes@family.example", news="opted_out"),
    )
    assert abs(answer.until - now) < timedelta(minutes=1)


async def test_only_our_own_unsubscribe_group_is_looked_at() -> None:
    simulator = SendGridSimulator()
    simulator.unsubscribe("ours@family.example", group=12)
    simulator.unsubscribe("theirs@family.example", group=99)

    with_group = await _read(simulator, asm_group_id=12)
    without = await _read(simulator)

    assert [(one.address, one.news) for one in with_group.items] == [("ours@family.example", "opted_out")]
    assert without.items == ()


async def test_what_was_told_already_is_not_asked_for_again() -> None:
    simulator = SendGridSimulator()
    now = datetime.now(UTC)
    for address, days in (("old@family.example", 9), ("new@family.example", 1)):
        _put(simulator, "unsubscribes", address, now - timedelta(days=days))
        simulator.left[address, 12] = int((now - timedelta(days=days)).timestamp())

    answer = await _read(simulator, now - timedelta(days=2), asm_group_id=12)

    assert [one.address for one in answer.items] == ["new@family.example"]


async def test_a_row_that_sendgrid_shows_late_is_not_missed() -> None:
    simulator = SendGridSimulator()
    last = datetime.now(UTC)
    _put(simulator, "bounces", "late@family.example", last - timedelta(minutes=50))

    assert [one.address for one in (await _read(simulator, last)).items] == ["late@family.example"]


async def test_a_long_list_is_read_to_its_end_and_each_address_once() -> None:
    simulator = SendGridSimulator()
    now = datetime.now(UTC)
    for number in range(1203):
        _put(simulator, "unsubscribes", f"p{number}@family.example", now - timedelta(seconds=number))

    answer = await _read(simulator)

    assert len({one.address for one in answer.items}) == len(answer.items) == 1203
    assert len(simulator.asked) == 3 + 3


@pytest.mark.parametrize("kind", ["429", "429-bare", "500", "truncated", "slow-drip"])
def test_a_server_that_is_busy_or_clumsy_is_read_in_the_end(kind: str) -> None:
    simulator = SendGridSimulator(misbehave={kind})
    now = datetime.now(UTC)
    for number in range(1203):
        _put(simulator, "unsubscribes", f"p{number}@family.example", now - timedelta(seconds=number))

    answer = hurried(_read(simulator))

    assert len(answer.items) == 1203


@pytest.mark.parametrize("kind", ["outage", "html"])
async def test_a_page_in_place_of_a_list_is_never_an_empty_list(kind: str) -> None:
    lists = SendGridSimulator(misbehave={"outage"} if kind == "outage" else set())
    page = Quart("page")

    @page.get("/<path:_>")
    async def show(_: str) -> str:
        return "<h1>Please sign in to the school's network</h1>"

    async with _reading(lists, page if kind == "html" else None) as plugin:
        with pytest.raises(Unread):
            await plugin.ask("suppressions", since=None)


async def test_a_key_that_may_not_read_is_told_to_the_administrator() -> None:
    simulator = SendGridSimulator(scopes=("mail.send",))

    async with _reading(simulator) as plugin:
        with pytest.raises(Unread, match="may not read suppressions"):
            await plugin.ask("suppressions", since=None)


def _slow_app(asked: list[str], *, answers: dict[int, tuple[int, dict[str, str]]]) -> Quart:
    """A SendGrid with empty lists, whose `answers` to single requests are busy or near the limit."""
    app = Quart("slow")

    @app.get("/<path:path>")
    async def show(path: str) -> Response:
        asked.append(path)
        status, headers = answers.get(len(asked), (200, {}))
        return Response(orjson.dumps([]), status, {"Content-Type": "application/json", **headers})

    return app


def test_the_rate_limit_is_waited_for_by_sendgrids_own_clock() -> None:
    date = "Tue, 14 Nov 2023 22:13:20 GMT"
    ahead = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000007", "Date": date}
    busy = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000011", "Date": date}
    asked: list[str] = []
    app = _slow_app(asked, answers={1: (200, ahead), 2: (429, busy)})

    async def read() -> list[float]:
        async with _reading(SendGridSimulator(), app) as plugin:
            await plugin.ask("suppressions", since=None)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, HurriedLoop)
        return [seconds for seconds in loop.slept if seconds >= 1]

    assert hurried(read()) == [7.0, 11.0]
    assert asked == [
        f"v3/suppression/{name}" for name in ("bounces", *["invalid_emails"] * 2, "spam_reports", "unsubscribes")
    ]


def test_a_server_that_stays_busy_is_given_up() -> None:
    asked: list[str] = []
    app = _slow_app(asked, answers={turn: (429, {}) for turn in range(1, 99)})

    async def read() -> None:
        async with _reading(SendGridSimulator(), app) as plugin:
            await plugin.ask("suppressions", since=None)

    with pytest.raises(Unread, match="429"):
        hurried(read())
    assert len(asked) == 4


async def test_a_server_that_does_not_turn_pages_is_given_up() -> None:
    app = Quart("stuck")

    @app.get("/<path:_>")
    async def show(_: str) -> Response:
        page = [{"email": f"p{number}@family.example", "created": 1} for number in range(500)]
        return Response(orjson.dumps(page), 200, {"Content-Type": "application/json"})

    async with _reading(SendGridSimulator(), app) as plugin:
        with pytest.raises(Unread, match="same page"):
            await plugin.ask("suppressions", since=None)


async def test_rows_that_hold_no_address_are_passed_over() -> None:
    app = Quart("odd")

    @app.get("/<path:path>")
    async def show(path: str) -> Response:
        rows: list[Any] = [None, 3, {}, {"email": None}, {"email": "none"}, {"email": " pat@family.example "}]
        assert request.args["end_time"]
        return Response(
            orjson.dumps(rows if path.endswith("bounces") else []), 200, {"Content-Type": "application/json"}
        )

    async with _reading(SendGridSimulator(), app) as plugin:
        answer = await plugin.ask("suppressions", since=None)

    assert [one.address for one in answer.items] == ["pat@family.example"]
