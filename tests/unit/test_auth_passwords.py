"""The accounts plugin's rules, codes and threads, by themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom import Credentials
from homeroom.store import Store
from homeroom.testing import FakeClock, services
from homeroom_accounts import Accounts, rules, totp
from homeroom_accounts.hashing import Hasher, Overloaded
from homeroom_accounts.plugin import AccountsSettings
from tests.services.front import PASSWORD, prepare


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "Password1234567",
        "P@ssw0rd1234567",
        "p4ssw0rd!!!!!!!!!",
        "1234567890123456",
        "9876543210987654",
        "aaaaaaaaaaaaaaaa",
        "abcabcabcabcabcabc",
        "abcdefghijklmnop",
        "qwertyuiopasdfghjkl",
        "qwertyuiop123456",
        "1qaz2wsx3edc4rfv",
        "iloveyou iloveyou",
        "I love you so much",
        "correct horse battery staple",
        "CorrectHorseBatteryStaple1!",
        "this is my password",
        "welcome to school 2026",
        "!!!!homeroom2026!!!!",
        "1111222233334444",
    ],
)
def test_what_everybody_tries_first_is_refused(password: str) -> None:
    assert len(password) >= rules.ALONE
    assert "easy to guess" in (rules.objection(password, second_factor=False) or "")


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "kitchen rain on tuesdays",
        "four boats under one bridge",
        "нечто совсем другое",
        "一二三四五六七八九十甲乙丙丁戊",
        "xK9#vLq2!mZr7@wT",
        "my grandmother's blue teapot",
    ],
)
def test_a_long_password_of_ones_own_will_do_whatever_it_is_made_of(password: str) -> None:
    assert rules.objection(password, second_factor=False) is None


def test_fifteen_characters_alone_and_eight_beside_a_second_factor() -> None:
    assert rules.objection("owl kettle rai", second_factor=False)
    assert rules.objection("owl kettle rain", second_factor=False) is None
    assert rules.objection("owl ket", second_factor=True)
    assert rules.objection("owl kett", second_factor=True) is None
    assert rules.objection("password", second_factor=True)


def test_a_password_is_bounded_in_bytes() -> None:
    most = "kitchen rain " * 30
    assert rules.objection(most[:256], second_factor=False) != rules.objection(most[:257], second_factor=False)
    assert "shorter" in (rules.objection("ä rain " * 40, second_factor=False) or "")


def test_ones_own_address_is_no_password() -> None:
    address = "anastasia.ruiz.perez@district.example"
    for password in (address, "anastasia.ruiz.perez", "anastasia.ruiz.perez2026!"):
        assert rules.objection(password, second_factor=False, about=address)
    assert rules.objection(PASSWORD, second_factor=False, about=address) is None


@given(st.text(max_size=40))
def test_any_text_gets_a_plain_answer(password: str) -> None:
    objection = rules.objection(rules.normal(password), second_factor=False, about="ann@district.example")
    assert objection is None or objection.endswith(".")


def test_a_password_typed_on_another_keyboard_is_the_same() -> None:
    assert rules.normal("cafe\u0301 con leche y pan") == rules.normal("caf\u00e9 con leche y pan")


# RFC 6238, appendix B (SHA-1), the last six of its eight digits.
@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert totp.code_at(secret, seconds // 30) == code


def test_a_code_counts_one_step_around_now_and_only_later_than_the_last() -> None:
    secret, now = totp.new_secret(), datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
    step = int(now.timestamp()) // 30
    code = totp.code_at(secret, step)
    assert totp.step_of(secret, f"{code[:3]} {code[3:]}", now) == step
    for seconds, wanted in ((30, step), (-30, step), (60, None), (-60, None)):
        assert totp.step_of(secret, code, now + timedelta(seconds=seconds)) == wanted
    assert totp.step_of(secret, code, now, after=step) is None
    assert totp.step_of(secret, "é", now) is None


def test_what_the_app_scans_names_no_person() -> None:
    assert (
        totp.uri("ABC", "Lincoln District") == "otpauth://totp/Lincoln%20District?secret=ABC&issuer=Lincoln%20District"
    )


@pytest.fixture
async def hasher() -> AsyncIterator[Hasher]:
    made = Hasher(memory_kib=64, passes=1, waiting=4)
    made.start()
    yield made
    await made.stop()


async def test_a_password_is_hashed_and_known_again(hasher: Hasher) -> None:
    kept = await hasher.hash("one")
    assert kept.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert await hasher.verify(kept, "one")
    assert not await hasher.verify(kept, "two")
    assert not await hasher.verify(None, "one")
    assert not await hasher.verify("not a hash", "one")
    assert not hasher.is_outdated(kept)
    assert Hasher(memory_kib=128, passes=1).is_outdated(kept)


async def test_the_costs_are_owasps_unless_settings_say_otherwise() -> None:
    made = Hasher()
    made.start()
    assert (await made.hash("one")).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await made.stop()


async def test_somebody_unknown_costs_one_check_like_somebody_known(hasher: Hasher) -> None:
    kept = await hasher.hash("one")
    await hasher.verify(None, "one")
    checked: list[str] = []
    matches = hasher._matches

    def count(kept: str, password: str) -> bool:
        checked.append(kept)
        return matches(kept, password)

    hasher._matches = count  # type: ignore[method-assign]
    await hasher.verify(kept, "two")
    await hasher.verify(None, "two")
    assert len(checked) == 2
    assert {given.split("p=1$")[0] for given in checked} == {"$argon2id$v=19$m=64,t=1,"}


async def test_more_than_may_wait_are_sent_away_and_the_rest_is_answered(hasher: Hasher) -> None:
    gate, at_it = threading.Event(), threading.Barrier(3, timeout=10)

    def hold() -> bool:
        at_it.wait()
        return gate.wait(10)

    waiting = [asyncio.ensure_future(hasher._run(hold)) for _ in range(2)]
    await asyncio.to_thread(at_it.wait)  # both threads are busy now
    queued = [asyncio.ensure_future(hasher.hash("x")) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await hasher.hash("one too many")
    queued[0].cancel()
    gate.set()
    assert all(await asyncio.gather(*waiting, *queued[1:]))


async def test_stopping_calls_off_what_still_waits() -> None:
    made = Hasher(memory_kib=64, passes=1, waiting=4)
    waiting = asyncio.ensure_future(made.hash("x"))
    await asyncio.sleep(0)
    await made.stop()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_change_of_password_needs_an_account_and_a_second_factor_if_it_is_short(sqlite_store: Store) -> None:
    prepare(sqlite_store.url)
    offered = services("accounts", scopes=Accounts.scopes, store=sqlite_store, clock=FakeClock(datetime.now(UTC)))
    plugin = Accounts(AccountsSettings(memory_kib=64, passes=1), offered)
    await plugin.start()

    async def put(password: str, **more: str) -> str | None:
        fields = {"password": password, **more}
        return (await plugin.set_password("u", Credentials(kind="password", fields=fields))).refused

    assert "address" in (await put(PASSWORD) or "")
    assert await put(PASSWORD, email="ann@district.example") is None
    assert "at least 15" in (await put("owl kett") or "")
    await sqlite_store.write(lambda tx: tx.write_sql("UPDATE accounts_credentials SET totp = 'sealed'"))
    assert await put("owl kett") is None
    assert sqlite_store.read_now(lambda c: c.sql("SELECT short FROM accounts_credentials")) == [(1,)]
    assert await put(PASSWORD, email="ann@district.example") is None  # set up anew
    assert sqlite_store.read_now(lambda c: c.sql("SELECT short, totp FROM accounts_credentials")) == [(0, None)]
    other = Credentials(kind="password", fields={"password": PASSWORD, "email": "ANN@district.example "})
    taken = await plugin.set_password("v", other)
    assert (taken.field, taken.refused is None) == ("email", False)
    await plugin.stop()
    await offered.close()
