"""The kiosk as a plugin, and the hashes that it keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import homeroom_kiosk
from homeroom import Attempt, Verdict
from homeroom.store import Store, migrate
from homeroom.testing import SESSION, plugin_tests, running_plugin, services
from homeroom_kiosk import Kiosk, KioskSettings, entries, keys
from homeroom_kiosk.keys import NewCard
from homeroom_kiosk.secret_texts import code_as_typed, new_code, new_pin, text_of

FOLDER = Path(homeroom_kiosk.__file__).parent / "migrations"
AT = datetime(2026, 9, 1, 14, 3, tzinfo=UTC)

# `consume` works on the plugin's tables; tests/integration/test_kiosk.py has it run for real.
TestKiosk = plugin_tests(Kiosk, {"day_ends": "15:00"}, skip=frozenset({"consume"}))


@pytest.fixture
def kept(store: Store) -> Store:
    migrate.upgrade(store.url, {"kiosk": FOLDER})
    return store


@pytest.mark.parametrize("shown", ["", "x", 7, None, [], "\ud800", "e1." + "0" * 64, "x" * 10_000])
async def test_only_a_tablets_own_receipt_is_accepted(shown: Any) -> None:
    given = services("kiosk", scopes=Kiosk.scopes)
    async with running_plugin(Kiosk, services=given) as running:
        session = replace(SESSION, methods=("kiosk",))
        attempt = Attempt(session=session, student_id="ann", at=AT, proof={"entrance": shown})
        evidence = await running.ask("verify_check_in", attempt=attempt)
        assert evidence is None if shown is None else evidence.verdict is Verdict.REJECT
        kiosk = running.instance
        assert isinstance(kiosk, Kiosk)
        receipt = kiosk.desk.receipt("e1", "ann")
        good = replace(attempt, proof={"entrance": receipt})
        assert (await running.ask("verify_check_in", attempt=good)).verdict is Verdict.ACCEPT
        of_another = replace(good, student_id="bob")
        assert (await running.ask("verify_check_in", attempt=of_another)).verdict is Verdict.REJECT
        elsewhere = replace(good, session=replace(session, methods=("rotating_code",)))
        assert await running.ask("verify_check_in", attempt=elsewhere) is None


async def test_a_card_proves_nothing_on_a_students_own_phone() -> None:
    async with running_plugin(Kiosk, services=services("kiosk", scopes=Kiosk.scopes)) as running:
        session = replace(SESSION, methods=("kiosk",))
        attempt = Attempt(session=session, student_id="ann", at=AT, proof={"card": "0001", "number": "7", "pin": "1"})
        assert await running.ask("verify_check_in", attempt=attempt) is None


async def test_nothing_that_is_shown_lies_in_the_tables_in_clear(kept: Store) -> None:
    def unit(tx: Any) -> None:
        keys.give(tx, NewCard(id="c1", student_id="ann", card="CARD-4815162342"), "admin", found_again=False)
        keys.set_pin(tx, "ann", "271828", "admin")

    await kept.write(unit)
    rows = await kept.read(lambda c: [*c.sql("SELECT * FROM kiosk_cards"), *c.sql("SELECT * FROM kiosk_pins")])
    assert "4815162342" not in str(rows)
    assert "271828" not in str(rows)


async def test_a_card_is_found_however_the_scanner_ends_its_line(kept: Store) -> None:
    new = NewCard(id="c1", student_id="ann", card="04A2BC9F")
    assert await kept.write(lambda tx: keys.give(tx, new, "admin", found_again=False)) == "given"
    for read in ("04A2BC9F", " 04a2bc9f\r\n"):
        found = await kept.read(partial(keys.find_card, card=read))
        assert found is not None
        assert found.id == "c1"
    assert await kept.read(lambda c: keys.find_card(c, "04A2BC9")) is None


async def test_a_pin_fits_its_student_alone(kept: Store) -> None:
    await kept.write(lambda tx: keys.set_pin(tx, "ann", "271828", "admin"))
    asked = [("ann", "271828"), ("ann", "271829"), ("bob", "271828"), ("", "271828")]
    found = await kept.read(lambda c: [keys.fits(c, student, pin) for student, pin in asked])
    assert found == [True, False, False, False]


def test_a_code_can_be_typed_as_it_is_read_out() -> None:
    code = new_code()
    assert code_as_typed(f" {code.lower().replace('-', ' ')} ") == code_as_typed(code)
    assert len(code_as_typed(code)) == 12
    assert len({new_code() for _ in range(100)}) == 100


def test_a_pin_is_digits() -> None:
    assert all(len(pin) == 6 and pin.isdigit() for pin in (new_pin(6) for _ in range(50)))


def test_times_are_stored_so_that_their_order_is_that_of_texts() -> None:
    chicago = AT.astimezone(ZoneInfo("America/Chicago"))
    assert text_of(chicago) == text_of(AT) == "2026-09-01T14:03:00.000000Z"


@pytest.mark.parametrize(
    ("school", "utc", "offered"),
    [("north", 19, "in"), ("north", 20, "out"), ("south", 20, "in"), ("south", 21, "out")],
)
def test_a_tablet_offers_to_leave_once_its_schools_day_has_ended(school: str, utc: int, offered: str) -> None:
    settings = KioskSettings(day_ends=time(15), day_ends_at={"south": time(15, 30)})
    now = datetime(2026, 9, 1, utc, 0, tzinfo=UTC)
    assert entries.offered(now, school, settings, ZoneInfo("America/Chicago")) == offered
