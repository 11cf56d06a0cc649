"""Tablets at the door over REST: what they do for a student, for a class and for the office."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from homeroom.settings import Settings
from homeroom.store import Store, now_utc
from homeroom.store import models as m
from tests.services import world
from tests.services.commands import facts, installed, run
from tests.services.doors import KIOSK, Tablet, answer, card_of, in_time, numbered, pin_of, tablet
from tests.services.front import CHEAP
from tests.services.served import Served, served

DAY = {"day_ends": "23:59:59"}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=KIOSK, sections={"accounts": CHEAP, "kiosk": DAY}) as running:
        yield running


@pytest.fixture
async def door(api: Served) -> Tablet:
    return await tablet(api)


async def _opened(api: Served, class_id: str = "algebra", **given: Any) -> str:
    session = await answer(await api.post(f"~/classes/{class_id}/sessions", "admin", given), 201)
    return str(session["id"])


async def _record(api: Served, session: str, student: str) -> dict[str, Any] | None:
    found = await answer(await api.get(f"~/sessions/{session}/attendance", "admin"))
    return next((one for one in found["items"] if one["student_id"] == student), None)


async def _journal(api: Served, kind: str) -> list[tuple[Any, ...]]:
    text = "SELECT student_id, data FROM journal WHERE kind = ? ORDER BY id"
    return [
        (student, json.loads(data)) for student, data in await api.district.store.read(lambda c: c.sql(text, (kind,)))
    ]


async def test_a_card_lets_a_student_in_and_the_corridor_sees_a_first_name(api: Served, door: Tablet) -> None:
    await card_of(api, "ann", "0004815162342")

    told = await answer(await door.shows(card="0004815162342"), 201)

    assert told.pop("at")
    assert told == {"first_name": "Ann", "direction": "in", "outcome": "arrived"}
    ((student, data),) = await _journal(api, "kiosk.in")
    assert (student, data["school"], data["place"], data["early"]) == ("ann", "north", "Main entrance", False)


async def test_a_number_and_a_pin_do_as_well(api: Served, door: Tablet) -> None:
    pin = await pin_of(api, "ann", "100234")
    told = await answer(await door.shows("out", number=" 100234 ", pin=pin), 201)
    assert (told["first_name"], told["outcome"]) == ("Ann", "left-early")


async def test_whose_account_is_switched_off_comes_in_all_the_same(api: Served, door: Tablet) -> None:
    await card_of(api, "ann", "0004815162342")
    await api.district.store.write(lambda tx: tx.run(m.User.update(enabled=False).where(m.User.id == "ann")))
    assert (await answer(await door.shows(card="0004815162342"), 201))["first_name"] == "Ann"


async def test_a_class_that_takes_the_door_gets_the_check_in(api: Served, door: Tablet) -> None:
    session = await _opened(api, methods=["kiosk"])
    await card_of(api, "ann", "card-ann")
    assert (await answer(await door.shows(card="card-ann"), 201))["outcome"] == "present"
    record = await _record(api, session, "ann")
    assert record is not None
    assert (record["status"], record["origin"], record["needs_review"]) == ("present", "check_in", False)
    assert [one["method"] for one in record["evidence"]] == ["kiosk"]
    text = "SELECT actor_id FROM journal WHERE kind = 'attendance.recorded' AND subject_id = ?"
    assert await api.district.store.read(lambda c: c.sql(text, (record["id"],))) == [(door.id,)]


async def test_a_class_that_asks_for_another_proof_gets_none(api: Served, door: Tablet) -> None:
    sessions = [
        await _opened(api, methods=["rotating_code"]),
        await _opened(api, methods=["kiosk", "rotating_code"], require="all", starts_at=_ago(1)),
    ]
    await card_of(api, "ann", "card-ann")
    assert (await answer(await door.shows(card="card-ann"), 201))["outcome"] == "arrived"
    assert [await _record(api, session, "ann") for session in sessions] == [None, None]


async def test_who_comes_late_is_late_and_a_teachers_mark_stays(api: Served, door: Tablet) -> None:
    session = await _opened(api, methods=["kiosk"], starts_at=_ago(20))
    other = await _opened(api, "biology", methods=["kiosk"])
    await card_of(api, "ann", "card-ann")
    await card_of(api, "bob", "card-bob")
    marks = {"marks": [{"student_id": "bob", "status": "excused"}]}
    await answer(await api.call("PUT", f"~/sessions/{other}/attendance", by="admin", json=marks))
    assert (await answer(await door.shows(card="card-ann"), 201))["outcome"] == "tardy"
    assert (await answer(await door.shows(card="card-bob"), 201))["outcome"] == "arrived"
    late, marked = await _record(api, session, "ann"), await _record(api, other, "bob")
    assert late is not None
    assert marked is not None
    assert (late["minutes_late"], marked["status"]) == (20, "excused")


async def test_who_came_before_class_is_in_once_the_class_begins(api: Served, door: Tablet) -> None:
    await card_of(api, "ann", "card-ann")
    await answer(await door.shows(card="card-ann"), 201)
    session = await _opened(api, methods=["kiosk"])

    async def came() -> dict[str, Any] | None:
        return await _record(api, session, "ann")

    record = await in_time(came)
    assert record["status"] == "present"


async def test_who_has_left_again_is_not_in_when_the_class_begins(api: Served, door: Tablet) -> None:
    for student in ("ann", "bob"):
        await card_of(api, student, f"card-{student}")
        await answer(await door.shows(card=f"card-{student}"), 201)
    await answer(await door.shows("out", card="card-ann"), 201)
    session = await _opened(api, methods=["kiosk"])
    after = await _opened(api, "biology", methods=["kiosk"])

    async def came() -> dict[str, Any] | None:
        return await _record(api, after, "bob")

    assert await in_time(came)  # the journal is in order: the class before was looked at already
    assert await _record(api, session, "ann") is None


async def test_shown_twice_in_a_moment_is_once(api: Served, door: Tablet) -> None:
    await card_of(api, "ann", "card-ann")
    for _ in range(3):
        assert (await answer(await door.shows(card="card-ann"), 201))["first_name"] == "Ann"
    found = await answer(await api.get("~/kiosk/schools/north/entries", "admin_north"))
    assert [(one["student_id"], one["direction"]) for one in found["items"]] == [("ann", "in")]
    assert len(await _journal(api, "kiosk.in")) == 1


async def test_the_office_sees_who_left_early_and_when(api: Served, door: Tablet) -> None:
    for student in ("ann", "bob"):
        await card_of(api, student, f"card-{student}")
        await answer(await door.shows(card=f"card-{student}"), 201)
    left = await answer(await door.shows("out", card="card-ann"), 201)
    found = await answer(await api.get("~/kiosk/schools/north/entries?early=true", "admin_north"))
    ((student, data),) = await _journal(api, "kiosk.out")
    assert [(one["student_id"], one["at"], one["place"]) for one in found["items"]] == [
        ("ann", left["at"], "Main entrance")
    ]
    assert (student, data["early"]) == ("ann", True)
    yesterday = world.YESTERDAY.isoformat()
    assert (await answer(await api.get(f"~/kiosk/schools/north/entries?day={yesterday}", "admin")))["items"] == []


async def test_leaving_after_the_day_has_ended_is_not_early(sqlite_url: str) -> None:
    async with served(sqlite_url, enabled=KIOSK, sections={"accounts": CHEAP, "kiosk": {"day_ends": "00:00"}}) as api:
        door = await tablet(api)
        await card_of(api, "ann", "card-ann")
        state = await answer(await api.get("~/kiosk/tablet", headers=door.headers))
        assert state == {"place": "Main entrance", "direction": "out"}
        assert (await answer(await door.shows("out", card="card-ann"), 201))["outcome"] == "left"


async def test_a_lost_card_is_blocked_at_once_and_is_good_again_when_it_is_found(api: Served, door: Tablet) -> None:
    card = await card_of(api, "ann", "card-ann")
    await answer(await api.call("DELETE", f"~/kiosk/students/ann/cards/{card}", by="admin_north"), 204)
    assert (await door.shows(card="card-ann")).status_code == 422
    ((student, data),) = await _journal(api, "kiosk.blocked_card_shown")
    assert (student, data["place"]) == ("ann", "Main entrance")
    held = await answer(await api.get("~/kiosk/students/ann", "admin_north"))
    assert held["cards"][0]["blocked_at"]
    assert "card-ann" not in json.dumps(held)
    assert await card_of(api, "ann", "card-ann") != card
    await answer(await door.shows(card="card-ann"), 201)


async def test_a_card_that_somebody_has_is_not_given_to_another(api: Served) -> None:
    mine = await card_of(api, "ann", "card-1")
    assert await card_of(api, "ann", "CARD-1 ") == mine
    refused = await api.post("~/kiosk/students/bob/cards", "admin_north", {"card": "card-1"})
    assert refused.status_code == 409


@pytest.mark.parametrize("card", ["", "abc", "    ", "x" * 201])
async def test_what_is_no_card_is_refused(api: Served, card: str) -> None:
    assert (await api.post("~/kiosk/students/ann/cards", "admin", {"card": card})).status_code == 422


@pytest.mark.parametrize(
    "proof", [{}, {"card": "card-ann", "pin": "1"}, {"number": "1"}, {"pin": "1"}, {"card": "abc"}, {"face": "x"}]
)
async def test_what_is_no_proof_is_refused(api: Served, door: Tablet, proof: dict[str, str]) -> None:
    assert (await door.shows(**proof)).status_code == 422
    assert await _journal(api, "kiosk.in") == []


async def test_many_cards_are_given_out_at_once_and_what_cannot_be_is_named(api: Served, door: Tablet) -> None:
    for student, number in (("ann", "1"), ("bob", "2"), ("cy", "3")):
        await numbered(api, student, number)
    blocked = await card_of(api, "dan", "card-9")
    await answer(await api.call("DELETE", f"~/kiosk/students/dan/cards/{blocked}", by="admin"), 204)
    rows = [("1", "card-1"), ("2", "card-1"), ("3", "card-3"), ("404", "card-4"), ("2", "card-9"), ("2", "card-2")]
    sent = {"rows": [{"student_number": number, "card": card} for number, card in rows]}
    told = await answer(await api.post("~/kiosk/schools/north/cards", "admin_north", sent))
    assert (told["given"], told["unchanged"]) == (2, 0)
    assert [(one["row"], one["outcome"]) for one in told["refused"]] == [
        (2, "somebody-elses"),
        (3, "unknown-student"),
        (4, "unknown-student"),
        (5, "blocked"),
    ]
    again = await answer(await api.post("~/kiosk/schools/north/cards", "admin_north", sent))
    assert (again["given"], again["unchanged"]) == (0, 2)
    assert (await answer(await door.shows(card="card-2"), 201))["first_name"] == "Bob"


async def test_a_student_number_that_two_have_is_nobodys(api: Served, door: Tablet) -> None:
    pin = await pin_of(api, "ann", "7")
    await numbered(api, "bob", "7")
    assert (await door.shows(number="7", pin=pin)).status_code == 422


async def test_whoever_was_erased_leaves_no_card_pin_or_entry(api: Served, door: Tablet) -> None:
    await card_of(api, "ann", "card-ann")
    await pin_of(api, "ann", "100234")
    await answer(await door.shows(card="card-ann"), 201)
    await api.district.store.write(lambda tx: tx.journal("person.erased", student_id="ann", subject_id="ann"))

    async def gone() -> bool:
        text = (
            "SELECT student_id FROM kiosk_cards UNION ALL SELECT student_id FROM kiosk_pins "
            "UNION ALL SELECT student_id FROM kiosk_entries"
        )
        return await api.district.store.read(lambda c: c.sql(text)) == []

    assert await in_time(gone)


async def test_a_tablet_moves_to_another_device_by_a_new_code(api: Served, door: Tablet) -> None:
    code = await answer(await api.post(f"~/kiosk/schools/north/tablets/{door.id}/code", "admin_north"), 201)
    assert (await api.get("~/kiosk/tablet", headers=door.headers)).status_code == 200
    told = await answer(await api.post("~/kiosk/set-up", json={"code": code["code"].lower()}), 201)
    assert (await api.get("~/kiosk/tablet", headers=door.headers)).status_code == 401
    moved = Tablet(api, door.id, told["token"])
    assert (await api.get("~/kiosk/tablet", headers=moved.headers)).status_code == 200


async def test_the_schools_that_one_looks_after_are_listed(api: Served) -> None:
    assert (await answer(await api.get("~/kiosk/schools", "admin")))["items"] == [
        {"id": "north", "name": "North"},
        {"id": "south", "name": "South"},
    ]
    assert [one["id"] for one in (await answer(await api.get("~/kiosk/schools", "admin_south")))["items"]] == ["south"]


async def test_old_entries_are_dropped(sqlite_url: str) -> None:
    sections: dict[str, dict[str, Any]] = {"accounts": CHEAP, "kiosk": {**DAY, "keep_days": 1}}
    async with served(sqlite_url, enabled=KIOSK, sections=sections) as api:
        door = await tablet(api)
        await card_of(api, "ann", "card-ann")
        await answer(await door.shows(card="card-ann"), 201)
        plugin = api.district.host
        with time_machine.travel(now_utc() + timedelta(days=3)):
            told = await plugin.ask("kiosk", "consume", events=())
            assert told is not None
            assert told.error is None
        assert await api.district.store.read(lambda c: c.sql("SELECT 1 FROM kiosk_entries")) == []


def _ago(minutes: int) -> str:
    return (now_utc() - timedelta(minutes=minutes, seconds=1)).isoformat()


class TestOnTheCommandLine:
    """Cards from a list."""

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        with installed(tmp_path, monkeypatch, '[plugins]\nenabled = ["kiosk"]\n') as folder:
            assert run("db", "upgrade").exit_code == 0
            with Store(f"sqlite:///{folder / 'district.db'}", cipher=Settings().cipher()) as store:
                world.build_in(store)
                store.write_now(lambda tx: tx.write_sql("UPDATE users SET identifier = 'n-' || id"))
            yield folder

    def test_cards_are_taken_and_what_cannot_be_is_named_by_its_line(self, folder: Path) -> None:
        rows = "student_number,card,note\nn-ann,card-ann,x\nn-cy,card-cy,\n,card-x,\nn-bob,abc,\nn-bob,card-bob,\n"
        (folder / "cards.csv").write_text(f"\ufeff{rows}", encoding="utf-8")
        first = run("kiosk", "import-cards", "cards.csv", "--school", "north", "--json")
        assert (first.exit_code, facts(first)["given"]) == (1, 2)
        assert facts(first)["refused"] == [
            {"line": 3, "outcome": "unknown-student"},
            {"line": 4, "outcome": "unreadable"},
            {"line": 5, "outcome": "unreadable"},
        ]
        again = run("kiosk", "import-cards", "cards.csv", "--school", "north")
        assert "0 cards given out, 2 were known, 3 rows not taken" in again.stdout
        assert "line 3: no student of this school has this number today" in again.stderr
        assert "card-" not in again.output

    @pytest.mark.parametrize("content", [b"number;card\n1;2\n", b"\xff\xfe\x00", b""])
    def test_what_is_no_list_of_cards_is_said_in_one_line(self, folder: Path, content: bytes) -> None:
        (folder / "cards.csv").write_bytes(content)
        said = run("kiosk", "import-cards", "cards.csv", "--school", "north")
        assert said.exit_code == 1
        assert said.stderr.startswith("Error: cards.csv ")
