"""Attacks on the tablets at the door: guessing, replaying, a stolen or foreign tablet, what may be learned there."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import structlog
import time_machine
from quart import Quart

from homeroom.api.operation import OPERATION, PUBLIC
from homeroom.store import now_utc
from tests.services.doors import KIOSK, Tablet, answer, card_of, pin_of, tablet
from tests.services.front import CHEAP
from tests.services.served import Served, served

TRIES = {"tries_per_student": 5, "tries_per_tablet": 12, "day_ends": "23:59:59"}


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=KIOSK, sections={"accounts": CHEAP, "kiosk": TRIES}) as running:
        yield running


@pytest.fixture
async def door(api: Served) -> Tablet:
    return await tablet(api)


async def _entries(api: Served) -> list[Any]:
    return await api.district.store.read(lambda c: c.sql("SELECT student_id, direction FROM kiosk_entries"))


def _another(pin: str, number: int) -> str:
    return f"{(int(pin) + number) % 10 ** len(pin):0{len(pin)}d}"


async def test_pins_guessed_at_many_tablets_are_counted_together(api: Served) -> None:
    pin = await pin_of(api, "ann", "100234")
    doors = [await tablet(api, place=f"Door {number}") for number in range(6)]

    said = await asyncio.gather(
        *(door.shows(number="100234", pin=_another(pin, number + 1)) for number, door in enumerate(doors * 2))
    )

    assert sorted(one.status_code for one in said) == [422] * 5 + [429] * 7
    right = await doors[0].shows(number="100234", pin=pin)
    assert right.status_code == 429
    assert int(right.headers["Retry-After"]) > 11 * 3600
    assert await _entries(api) == []

    await answer(await api.post("~/kiosk/students/ann/release", "admin_north"), 204)
    assert (await answer(await doors[0].shows(number="100234", pin=pin), 201))["first_name"] == "Ann"


async def test_a_locked_pin_locks_no_card_and_nobody_elses_pin(api: Served, door: Tablet) -> None:
    pin, other = await pin_of(api, "ann", "1"), await pin_of(api, "bob", "2")
    await card_of(api, "ann", "card-ann")
    for number in range(5):
        await door.shows(number="1", pin=_another(pin, number + 1))
    assert (await door.shows(number="1", pin=pin)).status_code == 429
    await answer(await door.shows(card="card-ann"), 201)
    await answer(await door.shows(number="2", pin=other), 201)
    held = await answer(await api.get("~/kiosk/students/ann", "admin_north"))
    assert held["locked"] is True


async def test_a_lock_ends_by_itself(api: Served, door: Tablet) -> None:
    pin = await pin_of(api, "ann", "1")
    for number in range(6):
        await door.shows(number="1", pin=_another(pin, number + 1))
    with time_machine.travel(now_utc() + timedelta(hours=12, minutes=1)):
        await answer(await door.shows(number="1", pin=pin), 201)


async def test_a_new_pin_releases_a_lock_and_the_old_one_is_good_for_nothing(api: Served, door: Tablet) -> None:
    old = await pin_of(api, "ann", "1")
    for number in range(5):
        await door.shows(number="1", pin=_another(old, number + 1))
    new = await pin_of(api, "ann", "1")
    await answer(await door.shows(number="1", pin=new), 201)
    if new != old:
        assert (await door.shows(number="1", pin=old)).status_code == 422


@pytest.mark.parametrize("kind", ["card", "pin"])
async def test_one_tablet_cannot_guess_through_the_school(api: Served, door: Tablet, kind: str) -> None:
    await card_of(api, "ann", "card-ann")
    for number in range(12):
        proof = {"card": f"guess-{number}"} if kind == "card" else {"number": str(number), "pin": "000000"}
        assert (await door.shows(**proof)).status_code == 422
        if kind == "card":
            await answer(await door.shows("out", number="1", pin=await pin_of(api, "bob", "1")), 201)
    proof = {"card": "card-ann"} if kind == "card" else {"number": "99", "pin": "000000"}
    assert (await door.shows(**proof)).status_code == 429
    listed = await answer(await api.get("~/kiosk/schools/north/tablets", "admin_north"))
    assert [one["locked"] for one in listed["items"]] == [True]
    await answer(await api.post(f"~/kiosk/schools/north/tablets/{door.id}/release", "admin_north"), 204)
    await answer(await door.shows(card="card-ann"), 201)


async def test_showing_ones_own_card_does_not_set_a_tablets_count_back(api: Served, door: Tablet) -> None:
    await card_of(api, "ann", "card-ann")
    for number in range(12):
        await answer(await door.shows(card="card-ann"), 201)
        assert (await door.shows(card=f"guess-{number}")).status_code == 422
    assert (await door.shows(card="card-ann")).status_code == 429


async def test_a_number_that_nobody_has_is_locked_like_any_other(api: Served) -> None:
    doors = [await tablet(api, place=f"Door {number}") for number in range(2)]
    await pin_of(api, "ann", "1")
    said = {}
    for number in ("1", "404"):
        said[number] = [(await door.shows(number=number, pin="x")).status_code for door in doors for _ in range(4)]
    assert said["1"] == said["404"] == [422] * 5 + [429] * 3


async def test_a_request_that_was_sent_before_lets_nobody_in(api: Served, door: Tablet) -> None:
    await card_of(api, "ann", "card-ann")
    once = "a-text-of-the-tablets-own"
    await answer(await door.shows(card="card-ann", once=once), 201)
    again = await door.shows(card="card-ann", once=once)
    with time_machine.travel(now_utc() + timedelta(hours=1)):
        later = await door.shows("out", card="card-ann", once=once)
    assert (again.status_code, later.status_code) == (409, 409)
    assert "Ann" not in await again.get_data(as_text=True)
    assert await _entries(api) == [("ann", "in")]


async def test_a_tablet_that_was_switched_off_does_nothing_from_that_moment(api: Served, door: Tablet) -> None:
    await card_of(api, "ann", "card-ann")
    code = await answer(await api.post(f"~/kiosk/schools/north/tablets/{door.id}/code", "admin"), 201)
    await answer(await api.call("DELETE", f"~/kiosk/schools/north/tablets/{door.id}", by="admin_north"), 204)
    assert (await door.shows(card="card-ann")).status_code == 401
    assert (await api.get("~/kiosk/tablet", headers=door.headers)).status_code == 401
    assert (await api.post("~/kiosk/set-up", json={"code": code["code"]})).status_code == 422
    assert (await api.post(f"~/kiosk/schools/north/tablets/{door.id}/code", "admin")).status_code == 404
    assert await _entries(api) == []


async def test_a_tablet_knows_the_students_of_its_own_school_alone(api: Served, door: Tablet) -> None:
    await card_of(api, "cy", "card-cy")
    pin = await pin_of(api, "cy", "3")
    for refused in (await door.shows(card="card-cy"), await door.shows(number="3", pin=pin)):
        assert refused.status_code == 422
    south = await tablet(api, "south")
    assert (await answer(await south.shows(card="card-cy"), 201))["first_name"] == "Cy"


async def test_who_is_no_student_any_more_is_not_let_in(api: Served, door: Tablet) -> None:
    await card_of(api, "ann", "card-ann")
    await api.district.store.write(lambda tx: tx.write_sql("UPDATE users SET ended = ? WHERE id = 'ann'", (True,)))
    assert (await door.shows(card="card-ann")).status_code == 422


async def test_whatever_is_wrong_is_one_and_the_same_refusal(api: Served, door: Tablet) -> None:
    await pin_of(api, "ann", "1")
    blocked = await card_of(api, "bob", "card-bob")
    await card_of(api, "cy", "card-cy")
    await answer(await api.call("DELETE", f"~/kiosk/students/bob/cards/{blocked}", by="admin"), 204)
    wrong = (
        {"card": "card-nobody"},
        {"card": "card-bob"},
        {"card": "card-cy"},
        {"number": "1", "pin": "x"},
        {"number": "404", "pin": "x"},
    )
    said = {await (await door.shows(**proof)).get_data(as_text=True) for proof in wrong}
    assert len(said) == 1
    assert "not-recognized" in said.pop()


async def test_a_refusal_takes_the_same_time_and_the_same_steps(sqlite_url: str) -> None:
    settings = {"tries_per_student": 50, "tries_per_tablet": 1000}
    async with served(sqlite_url, enabled=KIOSK, sections={"accounts": CHEAP, "kiosk": settings}) as api:
        door = await tablet(api)
        await pin_of(api, "ann", "1")
        await card_of(api, "cy", "card-cy")
        pairs = (
            ({"number": "1", "pin": "x"}, {"number": "404", "pin": "x"}),
            ({"card": "card-cy"}, {"card": "card-nobody"}),
        )
        for known, unknown in pairs:
            took: dict[str, list[float]] = {"known": [], "unknown": []}
            for _ in range(25):
                for name, proof in (("known", known), ("unknown", unknown)):
                    began = time.perf_counter()
                    assert (await door.shows(**proof)).status_code == 422
                    took[name].append(time.perf_counter() - began)
            ratio = statistics.median(took["known"]) / statistics.median(took["unknown"])
            assert 0.6 < ratio < 1.6


def _get_routes(app: Quart) -> list[str]:
    found = []
    for rule in app.url_map.iter_rules():
        declared = getattr(app.view_functions[rule.endpoint], OPERATION, None)
        if declared is not None and declared.action != PUBLIC and "GET" in (rule.methods or ()):
            found.append(re.sub(r"<\w+>", "ann", re.sub(r"<int:\w+>", "1", rule.rule)))
    return found


async def test_a_tablets_token_opens_no_other_route(api: Served, door: Tablet) -> None:
    paths = [*_get_routes(api.app), "/api/v1/kiosk/schools", "/api/v1/kiosk/students/ann"]
    paths += ["/api/v1/kiosk/schools/north/entries", "/api/v1/kiosk/schools/north/tablets"]
    assert len(paths) > 30
    for path in paths:
        assert (await api.get(path, headers=door.headers)).status_code == 401, path
    for path in ("~/attendance/checkin", "~/kiosk/students/ann/cards", "~/kiosk/schools/north/tablets"):
        assert (await api.post(path, headers=door.headers, json={})).status_code in (401, 415), path


@pytest.mark.parametrize("shown", [None, "", "hrt_", "hrt_wrong", "hrk_wrong", "Basic", "\x00"])
async def test_whoever_is_no_tablet_is_told_nothing(api: Served, shown: str | None) -> None:
    headers = {} if shown is None else {"Authorization": f"Bearer {shown}"}
    given = {"direction": "in", "once": "x" * 20, "proof": {"card": "card-ann"}}
    assert (await api.get("~/kiosk/tablet", headers=headers)).status_code == 401
    assert (await api.post("~/kiosk/entries", json=given, headers=headers)).status_code == 401
    assert (await api.post("~/kiosk/entries", "admin", given)).status_code == 401


async def test_a_code_sets_up_one_tablet_once_and_in_time(api: Served) -> None:
    made = await answer(await api.post("~/kiosk/schools/north/tablets", "admin", {"place": "Gate"}), 201)
    told = await asyncio.gather(*(api.post("~/kiosk/set-up", json={"code": made["code"]}) for _ in range(5)))
    assert sorted(one.status_code for one in told) == [201, 422, 422, 422, 422]
    late = await answer(await api.post("~/kiosk/schools/north/tablets", "admin", {"place": "Gate"}), 201)
    with time_machine.travel(now_utc() + timedelta(minutes=31)):
        assert (await api.post("~/kiosk/set-up", json={"code": late["code"]})).status_code == 422


OFFICE: tuple[tuple[str, str, Any], ...] = (
    ("GET", "~/kiosk/schools/{school}/tablets", None),
    ("POST", "~/kiosk/schools/{school}/tablets", {"place": "Gate"}),
    ("POST", "~/kiosk/schools/{school}/tablets/{tablet}/code", {}),
    ("POST", "~/kiosk/schools/{school}/tablets/{tablet}/release", {}),
    ("DELETE", "~/kiosk/schools/{school}/tablets/{tablet}", None),
    ("GET", "~/kiosk/schools/{school}/entries", None),
    ("POST", "~/kiosk/schools/{school}/cards", {"rows": [{"student_number": "1", "card": "card-1"}]}),
    ("GET", "~/kiosk/students/{student}", None),
    ("POST", "~/kiosk/students/{student}/cards", {"card": "card-1"}),
    ("DELETE", "~/kiosk/students/{student}/cards/{card}", None),
    ("PUT", "~/kiosk/students/{student}/pin", None),
    ("DELETE", "~/kiosk/students/{student}/pin", None),
    ("POST", "~/kiosk/students/{student}/release", {}),
)


@pytest.mark.parametrize(("method", "path", "body"), OFFICE, ids=[f"{m} {p}" for m, p, _ in OFFICE])
async def test_the_offices_routes_are_for_the_school_of_the_office(
    api: Served, method: str, path: str, body: Any
) -> None:
    door = await tablet(api)
    card = await card_of(api, "ann", "card-ann")
    here = path.format(school="north", student="ann", tablet=door.id, card=card)
    said = {
        user: (await api.call(method, here, by=user, json=body)).status_code
        for user in ("ann", "guardian_ann", "teacher_a", "nobody", "admin_south")
    }
    assert said == {"ann": 403, "guardian_ann": 403, "teacher_a": 403, "nobody": 403, "admin_south": 404}
    assert (await api.call(method, here, json=body)).status_code == 401
    if "{tablet}" in path:
        there = path.format(school="south", tablet=door.id)
        assert (await api.call(method, there, by="admin_south", json=body)).status_code == 404
    assert (await api.get("~/kiosk/tablet", headers=door.headers)).status_code == 200
    assert (await api.call(method, here, by="admin_north", json=body)).status_code in (200, 201, 204)


async def test_nothing_that_is_shown_or_who_it_was_gets_into_the_log(
    api: Served, door: Tablet, caplog: pytest.LogCaptureFixture
) -> None:
    pin = await pin_of(api, "ann", "100234")
    await card_of(api, "bob", "card-of-bob-77")
    with caplog.at_level("INFO"), structlog.testing.capture_logs() as entries:
        await answer(await door.shows(number="100234", pin=pin), 201)
        await answer(await door.shows(card="card-of-bob-77"), 201)
        await door.shows(card="card-of-nobody-78")
        await door.shows(number="100235", pin="314159")
    said = f"{caplog.text} {entries}"
    journal = await api.district.store.read(lambda c: c.sql("SELECT data FROM journal"))
    for secret in ("100234", pin, "100235", "314159", "card-of", door.token, "Ann", "Bob"):
        assert secret not in said
        assert secret not in json.dumps(journal)
