"""Guessing and replaying against two processes of one district: what one has counted, the other knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeroom.auth import sign_in
from homeroom.roster import people
from homeroom_accounts.hashing import Hasher
from tests.integration.test_accounts import ANN, add
from tests.services.front import CHEAP, OTHER_PASSWORD, PASSWORD, Front, front
from tests.services.served import served


@pytest.fixture
async def pair(postgres_url: str, redis_url: str) -> AsyncIterator[tuple[Front, Front]]:
    """Two processes' applications on one PostgreSQL and one Redis, and somebody who can sign in."""
    shared: dict[str, Any] = {"redis": {"url": redis_url}}
    async with front(postgres_url, **shared) as one, front(postgres_url, **shared) as other:
        await add(one, "u-ann", ANN)
        yield one, other


async def test_passwords_guessed_at_both_processes_are_counted_together(pair: tuple[Front, Front]) -> None:
    wrong = {"email": ANN, "password": OTHER_PASSWORD}
    said = [(await pair[number % 2].post("/auth/login", wrong)).status_code for number in range(14)]
    assert said == [401] * sign_in.PER_ACCOUNT_HERE + [429] * (14 - sign_in.PER_ACCOUNT_HERE)
    for process in pair:
        answer = await process.post("/auth/login", {"email": ANN, "password": PASSWORD})
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0


async def test_guessing_at_once_at_both_gets_no_further(pair: tuple[Front, Front]) -> None:
    wrong = {"email": ANN, "password": OTHER_PASSWORD}
    said = await asyncio.gather(*(pair[number % 2].post("/auth/login", wrong) for number in range(24)))
    assert [answer.status_code for answer in said].count(401) <= sign_in.PER_ACCOUNT_HERE


async def test_a_refresh_token_shown_at_both_processes_ends_the_session_in_both(pair: tuple[Front, Front]) -> None:
    tokens = await pair[0].login(ANN)
    body = {"refresh_token": tokens["refresh_token"]}
    said = await asyncio.gather(*(process.post("/auth/refresh", body) for process in pair))
    assert sorted(answer.status_code for answer in said) == [200, 401]
    for process in pair:
        await process.catch_up()
        assert (await process.get("/auth/me", token=tokens["access_token"])).status_code == 401


async def test_codes_guessed_at_both_processes_are_counted_together(postgres_url: str, redis_url: str) -> None:
    shared: dict[str, Any] = {"redis": {"url": redis_url}}
    codes = ("accounts", "rotating_code")
    async with (
        served(postgres_url, enabled=codes, sections={"accounts": CHEAP}, **shared) as one,
        front(postgres_url, enabled=codes, **shared) as other,
    ):
        opened = await one.post("~/classes/algebra/sessions", "teacher_a")
        session = (await opened.get_json())["id"]
        wrong = {"session_id": session, "proof": {"code": "000000"}}
        said = []
        for number in range(12):
            if number % 2:
                answer = await one.post("~/attendance/checkin", "ann", wrong)
            else:
                answer = await other.post("/attendance/checkin", wrong, token=one.token("ann"))
            said.append(answer.status_code)
        assert said.count(422) <= 6  # five for the student, and one by which the other process learns of the block
        assert said[-4:] == [429] * 4


async def test_a_scan_that_was_used_records_nobody_twice_and_nobody_else(sqlite_url: str) -> None:
    async with served(sqlite_url, enabled=("accounts", "rotating_code"), sections={"accounts": CHEAP}) as api:
        session = (await (await api.post("~/classes/algebra/sessions", "teacher_a")).get_json())["id"]
        shown = await (await api.get(f"~/sessions/{session}/challenge", "teacher_a")).get_json()
        sent = {"session_id": session, "proof": {"code": shown["code"]}}
        said = [(await api.post("~/attendance/checkin", "ann", sent)).status_code for _ in range(3)]
        assert said == [201, 200, 200]
        assert (await api.post("~/attendance/checkin", "ann", {**sent, "student_id": "bob"})).status_code == 422
        assert (await api.post("~/attendance/checkin", "bob", sent)).status_code == 404  # not of this class


async def test_every_sign_in_that_fails_costs_one_check_of_a_password(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: known, unknown, switched off and without a password cost the same."""
    checked: list[str] = []
    real = Hasher._matches

    def counted(self: Hasher, kept: str, password: str) -> bool:
        checked.append(kept.partition("p=1$")[0])
        return real(self, kept, password)

    monkeypatch.setattr(Hasher, "_matches", counted)
    async with front(sqlite_url) as place:
        await add(place, "u-ann", ANN)
        await add(place, "u-off", "off@district.example")
        await place.store.write(lambda tx: people.patch_person(tx, "u-off", {"enabled": False}))
        await place.store.write(
            lambda tx: people.create_person(
                tx,
                person_id="u-none",
                roles=[],
                given_name="No",
                family_name="Password",
                contacts={"email": "none@district.example"},
            )
        )
        costs = {}
        for email in (ANN, "off@district.example", "none@district.example", "nobody@district.example"):
            checked.clear()
            answer = await place.post("/auth/login", {"email": email, "password": OTHER_PASSWORD})
            assert answer.status_code == 401
            costs[email] = list(checked)
        assert {len(cost) for cost in costs.values()} == {1}, costs
        assert len({cost[0] for cost in costs.values()}) == 1
