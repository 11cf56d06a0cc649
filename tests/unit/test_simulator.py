"""A simulator behaves like the vendor's server, and misbehaves in exactly the way that was asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import orjson
import pytest

from homeroom.testing import MISBEHAVIOURS, Simulator, hurried, sample_district
from tests.hostile_connector.simulator import PlainSimulator

DISTRICT = sample_district(students=30)
USERS = len(DISTRICT.users)
BASIC = ("us", "homeroom-secret-of-the-simulator")


class Client:
    """Signed in to a simulator."""

    def __init__(self, simulator: Simulator) -> None:
        transport = httpx2.ASGITransport(app=simulator.app)  # type: ignore[arg-type] # Quart's ASGI types are its own
        self._http = httpx2.AsyncClient(transport=transport, base_url="https://sis.example")
        self.token = simulator.issue_token()

    async def rows(self, offset: int = 0, limit: int = 10) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self._http.get("/rows/user", params={"offset": offset, "limit": limit}, headers=headers)

    async def sign_in(self) -> httpx2.Response:
        return await self._http.post("/token", auth=BASIC)


def asked(work: Callable[[Client], Awaitable[Any]], *misbehave: str) -> Any:
    async def go() -> Any:
        return await work(Client(PlainSimulator(DISTRICT, misbehave=misbehave)))

    return hurried(go())


def statuses(*misbehave: str) -> list[int]:
    async def some(client: Client) -> list[int]:
        return [(await client.rows()).status_code for _ in range(8)]

    told: list[int] = asked(some, *misbehave)
    return told


def ids(offset: int, *misbehave: str, turns: int = 1) -> list[list[str]]:
    async def page(client: Client) -> list[list[str]]:
        answers = [await client.rows(offset) for _ in range(turns)]
        return [[row["sourced_id"] for row in answer.json()["rows"]] for answer in answers]

    told: list[list[str]] = asked(page, *misbehave)
    return told


GOOD = [user.sourced_id for user in DISTRICT.users]


@pytest.mark.parametrize("kind", MISBEHAVIOURS)
def test_what_was_written_can_be_looked_at_however_the_server_misbehaves(kind: str) -> None:
    async def look() -> tuple[Any, int]:
        simulator = PlainSimulator(DISTRICT, misbehave={kind})
        client = simulator.app.test_client()
        told = [await (await client.get("/_simulator/attendance")).get_json() for _ in range(5)]
        return told, len(simulator.asked)

    assert hurried(look()) == ([{"attendance": []}] * 5, 0)


def test_a_server_that_behaves_gives_every_row_by_pages() -> None:
    pages = [ids(offset)[0] for offset in range(0, USERS, 10)]
    assert [one for page in pages for one in page] == GOOD


def test_what_was_asked_is_kept_and_a_secret_in_it_is_not_shown() -> None:
    async def go() -> list[Any]:
        simulator = PlainSimulator(DISTRICT)
        client = Client(simulator)
        await client.sign_in()
        await client.rows()
        return simulator.asked

    first, second = hurried(go())
    assert (first.method, first.path, first.status) == ("POST", "/token", 200)
    assert (second.method, second.path, second.status) == ("GET", "/rows/user", 200)
    assert "json" not in repr(first)


def test_an_unknown_misbehaviour_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown misbehaviour late; there are: 429,"):
        PlainSimulator(DISTRICT, misbehave={"late"})


def test_every_third_request_may_be_throttled() -> None:
    assert statuses("429") == statuses("429-bare") == [200, 200, 429, 200, 200, 429, 200, 200]


def test_a_throttled_answer_may_or_may_not_name_a_wait() -> None:
    async def third(client: Client) -> str | None:
        return [(await client.rows()).headers.get("Retry-After") for _ in range(3)][-1]

    assert asked(third, "429") == "0"
    assert asked(third, "429-bare") is None


def test_every_fourth_request_may_fail() -> None:
    assert statuses("500") == [200, 200, 200, 500, 200, 200, 200, 500]


def test_a_token_may_end_after_five_requests() -> None:
    assert statuses("token-expiry") == [200] * 5 + [401] * 3


def test_tokens_can_be_ended_and_unknown_ones_never_count() -> None:
    async def go() -> tuple[int, frozenset[str]]:
        simulator = PlainSimulator(DISTRICT)
        client = Client(simulator)
        simulator.expire_tokens()
        return (await client.rows()).status_code, simulator.tokens

    assert hurried(go()) == (401, frozenset())


def test_the_second_page_may_be_the_first_one_again_once() -> None:
    assert ids(10, "repeat-page", turns=2) == [GOOD[:10], GOOD[10:20]]


def test_rows_may_move_between_pages() -> None:
    assert ids(0, "moving-rows") == [GOOD[:10]]
    assert ids(10, "moving-rows") == [GOOD[9:19]]


def test_every_fourth_answer_may_be_cut_off() -> None:
    async def some(client: Client) -> list[bool]:
        return [_is_json(await client.rows()) for _ in range(4)]

    assert asked(some, "truncated") == [True, True, True, False]


def test_an_outage_is_a_redirect_to_a_page_even_for_the_sign_in() -> None:
    async def both(client: Client) -> list[tuple[int, str, str]]:
        answers = [await client.rows(), await client.sign_in()]
        return [(one.status_code, one.headers["Location"], one.headers["Content-Type"]) for one in answers]

    assert set(asked(both, "outage")) == {(302, PlainSimulator.outage_url, "text/html")}


def test_the_clock_may_be_ten_minutes_ahead() -> None:
    async def skew(client: Client) -> float:
        told = parsedate_to_datetime((await client.rows()).headers["Date"])
        return (told - datetime.now(UTC)).total_seconds()

    assert abs(asked(skew)) < 60
    assert abs(asked(skew, "clock-skew") - 600) < 60
    assert PlainSimulator(DISTRICT, misbehave={"clock-skew"}).now() > datetime.now(UTC) + timedelta(minutes=9)


def test_lists_may_be_empty_or_end_in_the_middle() -> None:
    assert ids(0, "empty") == [[]]
    assert ids(USERS // 2 - 2, "half") == [GOOD[USERS // 2 - 2 : USERS // 2]]


def test_records_may_have_a_field_too_many_or_lack_an_optional_one() -> None:
    async def first(client: Client) -> dict[str, Any]:
        row: dict[str, Any] = (await client.rows()).json()["rows"][0]
        return row

    good = asked(first)
    assert asked(first, "unknown-field") == {**good, "x_undocumented": {"since": "yesterday"}}
    assert asked(first, "removed-field") == {key: value for key, value in good.items() if key != "email"}


def test_an_answer_may_drip() -> None:
    async def whole(client: Client) -> tuple[int, bool]:
        answer = await client.rows()
        return len(answer.json()["rows"]), "Content-Length" in answer.headers

    assert asked(whole, "slow-drip") == (10, False)


def test_the_sign_in_is_neither_cut_off_nor_dripped() -> None:
    async def tokens(client: Client) -> list[bool]:
        return [_is_json(await client.sign_in()) for _ in range(5)]

    assert asked(tokens, "truncated", "slow-drip") == [True] * 5


def test_every_misbehaviour_is_described() -> None:
    assert all(meaning and not meaning.endswith(".") for meaning in MISBEHAVIOURS.values())


def test_a_simulator_runs_where_pytest_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; "
        "from homeroom.testing import MISBEHAVIOURS, Simulator, sample_district, services; "
        "Simulator(sample_district(students=30)); services('x'); print('fine')"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stdout.strip() == "fine", told.stderr


def _is_json(answer: httpx2.Response) -> bool:
    try:
        orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return False
    return True
