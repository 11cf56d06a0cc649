"""Who is who, what is remembered of it, and how soon it is forgotten."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from homeroom.auth import sessions
from homeroom.auth.authenticator import Authenticator
from homeroom.auth.tokens import fingerprint
from homeroom.settings import Settings
from homeroom.store import Refused, Store, Transaction, now_utc
from homeroom.store import models as m
from homeroom.types import Event, RoleAt
from tests.services import world


def sign_in(store: Store, user: str, session: str) -> None:
    def unit(tx: Transaction) -> None:
        sessions.start(tx, session_id=session, user_id=user, refresh_token=f"r-{session}", device="a\nphone", days=30)

    store.write_now(unit)


@pytest.fixture
def who(sqlite_store: Store) -> Authenticator:
    world.build_in(sqlite_store)
    sign_in(sqlite_store, "admin_north", "s-1")
    return Authenticator(Settings(), sqlite_store)


def event(kind: str, **more: Any) -> Event:
    return Event(id=1, at=now_utc(), kind=kind, **more)


def bearer(who: Authenticator, user: str = "admin_north", session: str = "s-1") -> dict[str, str]:
    return {"Authorization": f"bearer {who.access.issue(user_id=user, session_id=session)}"}


async def status(who: Authenticator, headers: dict[str, str]) -> int:
    try:
        await who.identify_headers(headers)
    except Refused as exc:
        return exc.status
    return 200


async def test_a_person_is_known_with_roles_and_session(who: Authenticator) -> None:
    found = await who.identify_headers(bearer(who))
    assert (found.subject, found.kind, found.session_id) == ("admin_north", "person", "s-1")
    assert found.roles == (RoleAt(role="school_admin", org_id="north"),)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer x"},
    ],
)
async def test_whoever_shows_nothing_good_is_not_signed_in(who: Authenticator, headers: dict[str, str]) -> None:
    assert await status(who, headers) == 401


async def test_a_session_that_never_was_or_is_another_persons_signs_nobody_in(who: Authenticator) -> None:
    assert await status(who, bearer(who, session="none")) == 401
    assert await status(who, bearer(who, user="ann")) == 401


async def test_a_session_past_its_days_signs_nobody_in(who: Authenticator, sqlite_store: Store) -> None:
    sqlite_store.write_now(lambda tx: tx.run(m.SignInSession.update(expires_at=tx.now)))
    assert await status(who, bearer(who)) == 401


async def test_what_was_looked_up_is_remembered_until_a_change_is_heard(
    who: Authenticator, sqlite_store: Store
) -> None:
    await who.identify_headers(bearer(who))
    sqlite_store.write_now(lambda tx: tx.run(m.RoleAssignment.delete()))
    assert (await who.identify_headers(bearer(who))).roles
    who.heard(event("user.changed", subject_id="somebody else"))
    assert (await who.identify_headers(bearer(who))).roles
    who.heard(event("role.revoked", subject_id="admin_north"))
    assert (await who.identify_headers(bearer(who))).roles == ()


async def test_nothing_is_remembered_for_longer_than_a_minute(
    who: Authenticator, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await who.identify_headers(bearer(who))
    sqlite_store.write_now(lambda tx: sessions.end(tx, "s-1", reason="x"))  # and nobody hears of it
    assert await status(who, bearer(who)) == 200
    monkeypatch.setattr("homeroom.auth.authenticator.time.monotonic", lambda: 10.0**9)
    assert await status(who, bearer(who)) == 401


async def test_a_change_heard_during_the_look_up_is_not_lost(who: Authenticator, sqlite_store: Store) -> None:
    reading = asyncio.ensure_future(who.identify_headers(bearer(who)))
    await asyncio.sleep(0)  # it waits for the reader now
    who.heard(event("user.changed", student_id="admin_north"))
    await reading
    sqlite_store.write_now(lambda tx: tx.run(m.RoleAssignment.delete()))
    assert (await who.identify_headers(bearer(who))).roles == ()


async def test_two_devices_of_one_person_are_both_remembered(who: Authenticator, sqlite_store: Store) -> None:
    sign_in(sqlite_store, "admin_north", "s-2")
    await who.identify_headers(bearer(who))
    await who.identify_headers(bearer(who, session="s-2"))
    sqlite_store.write_now(lambda tx: tx.run(m.RoleAssignment.delete()))
    for session in ("s-1", "s-2"):
        found = await who.identify_headers(bearer(who, session=session))
        assert (found.session_id, bool(found.roles)) == (session, True)


async def test_no_more_people_are_remembered_than_have_room(
    who: Authenticator, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeroom.auth.authenticator._REMEMBERED_PEOPLE", 2)
    for user in ("ann", "bob", "cy"):
        sign_in(sqlite_store, user, f"s-{user}")
        await who.identify_headers(bearer(who, user=user, session=f"s-{user}"))
    assert list(who._people) == ["bob", "cy"]


async def test_a_session_that_ended_is_refused_at_once_and_forgotten_when_its_tokens_are_dead(
    who: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await who.identify_headers(bearer(who))
    who.heard(event(sessions.ENDED, subject_id="admin_north", data={"session": "s-1"}))
    assert await status(who, bearer(who)) == 401
    assert who.is_ended("s-1")
    monkeypatch.setattr("homeroom.auth.authenticator.time.monotonic", lambda: 10.0**9)
    who.end("s-9")
    assert not who.is_ended("s-1")
    assert who.is_ended("s-9")


@pytest.mark.usefixtures("who")
async def test_a_process_that_starts_knows_what_ended_lately(sqlite_store: Store) -> None:
    sqlite_store.write_now(lambda tx: sessions.end(tx, "s-1", reason="x"))
    fresh = Authenticator(Settings(), sqlite_store)
    await fresh.start()
    assert fresh.is_ended("s-1")
    long_ago = now_utc() - timedelta(days=1)
    sqlite_store.write_now(lambda tx: tx.run(m.SignInSession.update(ended_at=long_ago)))
    later = Authenticator(Settings(), sqlite_store)
    await later.start()
    assert not later.is_ended("s-1")


async def test_an_api_key_is_remembered_until_it_is_revoked_or_expires(
    who: Authenticator, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(tx: Transaction, name: str, **more: Any) -> None:
        tx.insert(
            m.ApiKey,
            id=name,
            name=name,
            key_hash=fingerprint(f"hrk_{name}"),
            scopes=["sync"],
            created_at=tx.now,
            **more,
        )

    soon = now_utc() + timedelta(hours=1)
    sqlite_store.write_now(lambda tx: put(tx, "one"))
    sqlite_store.write_now(lambda tx: put(tx, "two", expires_at=soon))
    sqlite_store.write_now(lambda tx: put(tx, "three", revoked=True))
    statuses = [await status(who, {"Authorization": f"Bearer hrk_{name}"}) for name in ("one", "two", "three", "four")]
    assert statuses == [200, 200, 401, 401]
    monkeypatch.setattr("homeroom.auth.authenticator.now_utc", lambda: soon)
    assert await status(who, {"Authorization": "Bearer hrk_two"}) == 401
    sqlite_store.write_now(lambda tx: tx.run(m.ApiKey.update(revoked=True)))
    assert await status(who, {"Authorization": "Bearer hrk_one"}) == 200
    who.heard(event("api_key.revoked", subject_id="one"))
    assert await status(who, {"Authorization": "Bearer hrk_one"}) == 401


async def test_no_more_keys_are_remembered_than_have_room(
    who: Authenticator, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeroom.auth.authenticator._REMEMBERED_KEYS", 1)
    for name in ("one", "two"):
        values = {"id": name, "name": name, "key_hash": fingerprint(f"hrk_{name}"), "scopes": ["sync"]}
        sqlite_store.write_now(lambda tx, values=values: tx.insert(m.ApiKey, created_at=tx.now, **values))  # type: ignore[misc]
        assert await status(who, {"Authorization": f"Bearer hrk_{name}"}) == 200
    assert len(who._keys) == 1


@pytest.mark.usefixtures("who")
def test_a_device_is_named_without_signs_that_would_break_a_page(sqlite_store: Store) -> None:
    [row] = sqlite_store.read_now(lambda c: sessions.sessions_of(c, "admin_north", now_utc()))
    assert row.device == "aphone"


def test_a_unit_that_runs_again_starts_one_session_and_rotates_once(sqlite_store: Store) -> None:
    world.build_in(sqlite_store)
    for _ in range(2):
        sign_in(sqlite_store, "ann", "s-1")
        rotation = sqlite_store.write_now(
            lambda tx: sessions.rotate(tx, token="r-s-1", genuine=True, session_id="s-1", new_token="r-2", days=1)
        )
        assert rotation.outcome == "rotated"
    kinds = sqlite_store.read_now(lambda c: c.values(m.Journal.select(m.Journal.kind)))
    assert kinds.count("auth.session_started") == 1


def test_a_token_sealed_under_a_former_key_still_refreshes_and_one_not_ours_ends_nothing(sqlite_store: Store) -> None:
    world.build_in(sqlite_store)
    sign_in(sqlite_store, "ann", "s-1")

    def outcome(old: str, new: str) -> str:
        return sqlite_store.write_now(
            lambda tx: sessions.rotate(tx, token=old, genuine=False, session_id="s-1", new_token=new, days=1)
        ).outcome

    assert outcome("made up", "x") == "unknown"
    assert outcome("r-s-1", "r-2") == "rotated"
    assert outcome("r-s-1", "r-3") == "unknown"
    assert outcome("r-2", "r-4") == "rotated"
