"""Sign-in by password over HTTP: a real host, the real plugin, both databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeroom.auth import accounts, sign_in
from homeroom.auth.tokens import secret_token
from homeroom.roster import people
from homeroom.store import Refused, now_utc
from homeroom.store import models as m
from homeroom.types import RoleAt
from homeroom_accounts import totp
from tests.services import world
from tests.services.front import OTHER_PASSWORD, PASSWORD, Front, front

ADMIN = "admin@district.example"
ANN = "ann@district.example"


async def add(place: Front, user_id: str, email: str, password: str = PASSWORD, *roles: RoleAt) -> None:
    """Somebody who can sign in."""
    from homeroom.auth.sign_in import set_password

    await place.store.write(
        lambda tx: accounts.add_user(tx, user_id=user_id, name="Some Body", email=email, roles=roles)
    )
    assert (await set_password(place.host, user_id, password=password, email=email)).refused is None


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Front]:
    async with front(database_url) as running:
        await add(running, "u-admin", ADMIN, PASSWORD, RoleAt(role="district_admin"))
        await add(running, "u-ann", ANN, PASSWORD, RoleAt(role="student"))
        yield running


async def problem_of(answer: Any) -> str:
    assert answer.content_type == "application/problem+json"
    return str((await answer.get_json())["type"]).rpartition("/")[2]


async def test_a_person_signs_in_looks_and_signs_out(place: Front) -> None:
    tokens = await place.login(ADMIN.upper())
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 1800
    me = await (await place.get("/auth/me", token=tokens["access_token"])).get_json()
    assert (me["id"], me["name"], me["roles"]) == ("u-admin", "Some Body", [{"role": "district_admin", "org_id": None}])
    assert (await place.post("/auth/logout", token=tokens["access_token"])).status_code == 204
    assert (await place.get("/auth/me", token=tokens["access_token"])).status_code == 401
    assert (await place.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]})).status_code == 401


async def test_an_unknown_address_and_a_wrong_password_are_told_alike(place: Front) -> None:
    unknown = await place.post("/auth/login", {"email": "no@body.example", "password": PASSWORD})
    wrong = await place.post("/auth/login", {"email": ADMIN, "password": OTHER_PASSWORD})
    assert unknown.status_code == wrong.status_code == 401
    assert await unknown.get_json() == await wrong.get_json()


async def test_a_refresh_token_works_once_and_its_second_use_ends_the_session(place: Front) -> None:
    first = await place.login(ADMIN)
    second = await (await place.post("/auth/refresh", {"refresh_token": first["refresh_token"]})).get_json()
    third = await (await place.post("/auth/refresh", {"refresh_token": second["refresh_token"]})).get_json()
    assert (await place.get("/auth/me", token=third["access_token"])).status_code == 200
    again = await place.post("/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert (again.status_code, await problem_of(again)) == (401, "session-ended")
    assert (await place.get("/auth/me", token=third["access_token"])).status_code == 401
    assert (await place.post("/auth/refresh", {"refresh_token": third["refresh_token"]})).status_code == 401


async def test_of_two_refreshes_at_once_the_second_ends_the_session(place: Front) -> None:
    tokens = await place.login(ADMIN)
    body = {"refresh_token": tokens["refresh_token"]}
    answers = await asyncio.gather(*(place.post("/auth/refresh", body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    assert (await place.get("/auth/me", token=tokens["access_token"])).status_code == 401


@pytest.mark.parametrize("token", ["", "hrr_x", "hrr_a.b.c", "x" * 400])
async def test_a_made_up_refresh_token_is_refused(place: Front, token: str) -> None:
    assert (await place.post("/auth/refresh", {"refresh_token": token})).status_code == 401


async def test_made_up_refresh_tokens_reach_the_writer_never_and_end_in_429(
    place: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "DEAD_REFRESHES", 3)
    tokens = await place.login(ANN)
    written: list[str] = []
    write = place.store.write

    async def noted(unit: Any) -> Any:
        written.extend(["refresh"] if "refreshed" in getattr(unit, "__qualname__", "") else [])
        return await write(unit)

    monkeypatch.setattr(place.store, "write", noted)
    assert (await place.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]})).status_code == 200
    assert written == ["refresh"]
    said = [await place.post("/auth/refresh", {"refresh_token": f"hrr_{n}.x.y"}) for n in range(4)]
    assert [answer.status_code for answer in said] == [401, 401, 401, 429]
    assert int(said[-1].headers["Retry-After"]) > 0
    assert written == ["refresh"]
    await place.login(ANN)  # what was no sign-in counts for none


async def test_single_sign_ons_without_end_are_refused_from_one_address(
    place: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "STARTS", 2)
    said = [(await place.get("/auth/providers/any/start")).status_code for _ in range(3)]
    assert said == [404, 404, 429]


async def test_somebody_switched_off_cannot_sign_in_refresh_or_go_on(place: Front) -> None:
    tokens = await place.login(ANN)
    assert (await place.get("/auth/me", token=tokens["access_token"])).status_code == 200
    await place.store.write(lambda tx: people.patch_person(tx, "u-ann", {"enabled": False}))
    await place.catch_up()
    assert (await place.get("/auth/me", token=tokens["access_token"])).status_code == 401
    assert (await place.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]})).status_code == 401
    assert (await place.post("/auth/login", {"email": ANN, "password": PASSWORD})).status_code == 401


async def test_ones_sessions_are_listed_and_ended_in_every_process(place: Front) -> None:
    phone, laptop = await place.login(ANN), await place.login(ANN)
    stranger = await place.login(ADMIN)
    listed = (await (await place.get("/auth/sessions", token=laptop["access_token"])).get_json())["items"]
    assert [entry["current"] for entry in listed] in ([True, False], [False, True])
    other = next(entry["id"] for entry in listed if not entry["current"])
    assert (await place.delete(f"/auth/sessions/{other}", token=stranger["access_token"])).status_code == 404
    async with front(place.url) as second:
        assert (await second.get("/auth/me", token=phone["access_token"])).status_code == 200
        assert (await place.delete(f"/auth/sessions/{other}", token=laptop["access_token"])).status_code == 204
        assert (await place.get("/auth/me", token=phone["access_token"])).status_code == 401
        await second.catch_up()
        assert (await second.get("/auth/me", token=phone["access_token"])).status_code == 401
        assert (await second.get("/auth/me", token=laptop["access_token"])).status_code == 200
    async with front(place.url) as third:  # started after the end, without having heard of it
        assert (await third.get("/auth/me", token=phone["access_token"])).status_code == 401


async def test_guessing_is_stopped_for_the_account_and_not_for_others(place: Front) -> None:
    wrong = {"email": ANN, "password": OTHER_PASSWORD}
    codes = [(await place.post("/auth/login", wrong)).status_code for _ in range(12)]
    assert codes == [401] * 10 + [429] * 2
    stopped = await place.post("/auth/login", {"email": ANN, "password": PASSWORD})
    assert stopped.status_code == 429
    assert int(stopped.headers["Retry-After"]) > 0
    await place.login(ADMIN)


async def test_a_sign_in_that_succeeds_starts_the_count_anew(place: Front) -> None:
    for _ in range(3):
        for _ in range(8):
            await place.post("/auth/login", {"email": ANN, "password": OTHER_PASSWORD})
        await place.login(ANN)


async def test_guessing_in_parallel_gets_no_further(place: Front) -> None:
    tries = [{"email": ANN, "password": f"{OTHER_PASSWORD} {n}"} for n in range(30)]
    answers = await asyncio.gather(*(place.post("/auth/login", body) for body in tries))
    assert sum(answer.status_code == 401 for answer in answers) == 10


async def test_registration_is_closed_without_an_invitation(place: Front) -> None:
    body = {"email": "new@person.example", "password": PASSWORD, "name": "New Person"}
    answer = await place.post("/auth/register", body)
    assert (answer.status_code, await problem_of(answer)) == (403, "invitation-needed")
    forged = await place.post("/auth/register", {**body, "invitation": "made-up"})
    assert (forged.status_code, await problem_of(forged)) == (403, "invitation-invalid")


async def test_nobody_makes_themselves_an_administrator(database_url: str) -> None:
    async with front(database_url, auth={"registration": "open"}) as place:
        body = {"email": "new@person.example", "password": PASSWORD, "name": "New Person"}
        assert (await place.post("/auth/register", {**body, "role": "district_admin"})).status_code == 422
        assert (await place.post("/auth/register", body)).status_code == 201
        tokens = await place.login(body["email"])
        me = await (await place.get("/auth/me", token=tokens["access_token"])).get_json()
        assert me["roles"] == []
        invite = {"user_id": me["id"]}
        assert (await place.post("/auth/invitations", invite, token=tokens["access_token"])).status_code == 403
        assert (await place.post("/auth/register", body)).status_code == 409
        short = {**body, "email": "other@person.example", "password": "short"}
        assert (await place.post("/auth/register", short)).status_code == 422
        assert (await place.post("/auth/register", {**short, "password": PASSWORD})).status_code == 201


async def test_an_invitation_makes_one_account_with_the_role_it_names(place: Front) -> None:
    admin = (await place.login(ADMIN))["access_token"]
    await place.store.write(world.build)
    body = {"email": "t@district.example", "name": "Tess Teach", "role": "teacher", "school_id": "north"}
    made = await place.post("/auth/invitations", body, token=admin)
    assert made.status_code == 201
    token = (await made.get_json())["token"]
    register = {"email": "t@district.example", "password": "too short", "name": "Tess", "invitation": token}
    weak = await place.post("/auth/register", register)
    assert weak.status_code == 422
    assert (await weak.get_json())["errors"][0]["field"] == "password"
    strange = await place.post("/auth/register", {**register, "password": PASSWORD, "email": "x@y.example"})
    assert strange.status_code == 422
    assert (await place.post("/auth/register", {**register, "password": PASSWORD})).status_code == 201
    assert (await place.post("/auth/register", {**register, "password": PASSWORD})).status_code == 403
    tokens = await place.login("t@district.example")
    me = await (await place.get("/auth/me", token=tokens["access_token"])).get_json()
    assert me["roles"] == [{"role": "teacher", "org_id": "north"}]


async def test_a_mistyped_address_is_not_kept_when_the_password_is_refused(place: Front) -> None:
    await place.store.write(world.build)
    token = secret_token()
    await place.store.write(lambda tx: accounts.invite(tx, invitation_id="i", token=token, user_id="guardian_ann"))
    body = {"email": "mun@home.example", "password": "too short", "name": "Mum", "invitation": token}
    assert (await place.post("/auth/register", body)).status_code == 422
    body |= {"email": ADMIN, "password": PASSWORD}
    taken = await place.post("/auth/register", body)
    assert (taken.status_code, (await taken.get_json())["detail"]) == (422, "This e-mail address cannot be used here.")
    assert (await place.post("/auth/register", {**body, "email": "mum@home.example"})).status_code == 201
    kept = place.store.read_now(lambda c: people.contacts_of(c, "guardian_ann"))
    assert [(one.value, one.source) for one in kept] == [("mum@home.example", people.SELF_ASSERTED)]
    await place.login("mum@home.example")


async def test_known_addresses_cannot_be_listed_by_registering(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "PER_ADDRESS", 3)
    async with front(sqlite_url, auth={"registration": "open"}) as place:
        body = {"email": "new@person.example", "password": PASSWORD, "name": "New Person"}
        codes = [(await place.post("/auth/register", body)).status_code for _ in range(5)]
        assert codes == [201, 409, 409, 409, 429]
        kept = place.store.read_now(lambda c: c.values(m.Contact.select(m.Contact.source)))
        assert kept == [people.SELF_ASSERTED]


async def test_an_invitation_expires_and_a_newer_one_replaces_it(place: Front) -> None:
    tokens = [secret_token() for _ in range(3)]
    units = [
        lambda tx, n=n, days=days: accounts.invite(
            tx, invitation_id=f"i{n}", token=tokens[n], user_id="u-ann", days=days
        )
        for n, days in ((0, 5), (1, 5), (2, 0))
    ]
    body = {"email": ANN, "password": OTHER_PASSWORD, "name": "Ann"}
    await place.store.write(units[0])
    await place.store.write(units[1])
    assert (await place.post("/auth/register", {**body, "invitation": tokens[0]})).status_code == 403
    old = await place.login(ANN)
    assert (await place.post("/auth/register", {**body, "invitation": tokens[1]})).status_code == 201
    assert (await place.get("/auth/me", token=old["access_token"])).status_code == 401
    await place.login(ANN, OTHER_PASSWORD)
    await place.store.write(units[2])
    assert (await place.post("/auth/register", {**body, "invitation": tokens[2]})).status_code == 403


async def test_a_role_that_is_given_or_taken_holds_at_once(place: Front) -> None:
    admin = (await place.login(ADMIN))["access_token"]
    ann = (await place.login(ANN))["access_token"]
    assert (await place.get("/auth/api-keys", token=ann)).status_code == 403
    given = await place.post("/auth/users/u-ann/roles", {"role": "district_admin"}, token=admin)
    assert given.status_code == 204
    await place.catch_up()
    assert (await place.get("/auth/api-keys", token=ann)).status_code == 200
    assert (await place.delete("/auth/users/u-ann/roles/district_admin", token=admin)).status_code == 204
    await place.catch_up()
    assert (await place.get("/auth/api-keys", token=ann)).status_code == 403
    last = await place.delete("/auth/users/u-admin/roles/district_admin", token=admin)
    assert (last.status_code, await problem_of(last)) == (409, "last-administrator")
    half = await place.post("/auth/users/u-ann/roles", {"role": "school_admin"}, token=admin)
    assert half.status_code == 422
    odd = await place.post("/auth/users/u-ann/roles", {"role": "district_admin", "school_id": "north"}, token=admin)
    assert odd.status_code == 422


async def test_an_api_key_is_shown_once_works_with_its_scopes_and_is_revoked(place: Front) -> None:
    admin = (await place.login(ADMIN))["access_token"]
    body = {"name": "Bus", "scopes": ["attendance.read"]}
    made = await (await place.post("/auth/api-keys", body, token=admin)).get_json()
    assert made["key"].startswith("hrk_")
    listed = await (await place.get("/auth/api-keys", token=admin)).get_json()
    assert [entry["id"] for entry in listed["items"]] == [made["id"]]
    assert "key" not in listed["items"][0]
    identity = await place.authenticator.identify_headers({"Authorization": f"Bearer {made['key']}"})
    assert (identity.kind, identity.scopes) == ("service", frozenset({"attendance.read"}))
    assert (await place.get("/auth/api-keys", token=made["key"])).status_code == 403
    assert (await place.get("/auth/me", token=made["key"])).status_code == 403
    assert (await place.delete(f"/auth/api-keys/{made['id']}", token=admin)).status_code == 204
    await place.catch_up()
    assert (await place.get("/auth/me", token=made["key"])).status_code == 401
    assert (await place.delete("/auth/api-keys/none", token=admin)).status_code == 404


@pytest.mark.parametrize(
    "more", [{"scopes": ["all"]}, {"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": "2040-01-01T00:00:00"}]
)
async def test_an_api_key_with_wrong_wishes_is_not_made(place: Front, more: dict[str, Any]) -> None:
    admin = (await place.login(ADMIN))["access_token"]
    body = {"name": "Bus", "scopes": ["attendance.read"], **more}
    assert (await place.post("/auth/api-keys", body, token=admin)).status_code == 422


async def test_a_ticket_stands_for_its_session_once(place: Front) -> None:
    tokens = await place.login(ANN)
    made = await (await place.post("/ws-tickets", token=tokens["access_token"])).get_json()
    assert made["expires_in"] == 30
    redeem = place.authenticator.redeem_ticket
    assert (await redeem(made["ticket"])).subject == "u-ann"
    for ticket, purpose in ((made["ticket"], "websocket"), ("made-up", "websocket")):
        with pytest.raises(Refused):
            await redeem(ticket, purpose=purpose)
    later = await (await place.post("/ws-tickets", token=tokens["access_token"])).get_json()
    with pytest.raises(Refused):
        await redeem(later["ticket"], purpose="another")
    await place.post("/auth/logout", token=tokens["access_token"])
    with pytest.raises(Refused):
        await redeem(later["ticket"])


async def test_a_ticket_is_too_old_after_half_a_minute(place: Front) -> None:
    tokens = await place.login(ANN)
    made = await (await place.post("/ws-tickets", token=tokens["access_token"])).get_json()
    past = now_utc()
    await place.store.write(lambda tx: tx.run(m.Ticket.update(expires_at=past)))
    with pytest.raises(Refused):
        await place.authenticator.redeem_ticket(made["ticket"])


async def test_a_changed_password_ends_the_other_sessions(place: Front) -> None:
    here, there = await place.login(ANN), await place.login(ANN)
    body = {"email": ANN, "password": PASSWORD, "new_password": OTHER_PASSWORD}
    wrong = await place.post("/auth/password", {**body, "password": "not mine at all"}, token=here["access_token"])
    assert wrong.status_code == 401
    somebody = await place.post("/auth/password", {**body, "email": ADMIN}, token=here["access_token"])
    assert somebody.status_code == 403
    weak = await place.post("/auth/password", {**body, "new_password": "password1234567"}, token=here["access_token"])
    assert weak.status_code == 422
    assert (await place.post("/auth/password", body, token=here["access_token"])).status_code == 204
    assert (await place.get("/auth/me", token=here["access_token"])).status_code == 200
    assert (await place.get("/auth/me", token=there["access_token"])).status_code == 401
    await place.login(ANN, OTHER_PASSWORD)


def code(secret: str, offset: int = 0) -> str:
    return totp.code_at(secret, int(time.time()) // totp.STEP_SECONDS + offset)


async def test_a_second_factor_is_asked_for_used_once_and_lets_a_shorter_password_do(place: Front) -> None:
    token = (await place.login(ANN))["access_token"]
    path = "/plugins/accounts/second-factor"
    assert await (await place.get(path, token=token)).get_json() == {"on": False, "has_password": True}
    secret = (await (await place.post(path, token=token)).get_json())["secret"]
    assert (await place.post(f"{path}/confirm", {"code": "000000"}, token=token)).status_code == 422
    await place.login(ANN)  # a proposal alone asks for nothing
    assert (await place.post(f"{path}/confirm", {"code": code(secret, -1)}, token=token)).status_code == 204
    assert (await place.post(path, token=token)).status_code == 409
    asked = await place.post("/auth/login", {"email": ANN, "password": PASSWORD})
    assert (asked.status_code, await problem_of(asked)) == (401, "second-factor-needed")
    wrong = await place.post("/auth/login", {"email": ANN, "password": PASSWORD, "code": code(secret, -1)})
    assert (wrong.status_code, await problem_of(wrong)) == (401, "second-factor-needed")
    used = code(secret)
    await place.login(ANN, code=used)
    again = await place.post("/auth/login", {"email": ANN, "password": PASSWORD, "code": used})
    assert again.status_code == 401
    change = {"email": ANN, "password": PASSWORD, "new_password": "grey owl", "code": code(secret, 1)}
    assert (await place.post("/auth/password", change, token=token)).status_code == 204


async def test_a_second_factor_is_given_up_only_with_a_code_and_a_long_password(place: Front) -> None:
    token = (await place.login(ANN))["access_token"]
    path = "/plugins/accounts/second-factor"
    assert (await place.post(f"{path}/disable", {"code": "123456"}, token=token)).status_code == 409
    assert (await place.post(f"{path}/confirm", {"code": "123456"}, token=token)).status_code == 409
    secret = (await (await place.post(path, token=token)).get_json())["secret"]
    await place.post(f"{path}/confirm", {"code": code(secret, -1)}, token=token)
    assert (await place.post(f"{path}/disable", {"code": "x"}, token=token)).status_code == 422
    await place.store.write(lambda tx: tx.write_sql("UPDATE accounts_credentials SET short = 1"))
    short = await place.post(f"{path}/disable", {"code": code(secret)}, token=token)
    assert short.status_code == 409
    await place.store.write(lambda tx: tx.write_sql("UPDATE accounts_credentials SET short = 0"))
    assert (await place.post(f"{path}/disable", {"code": code(secret)}, token=token)).status_code == 204
    await place.login(ANN)


async def test_second_factor_routes_want_a_sign_in_and_few_guesses(place: Front) -> None:
    path = "/plugins/accounts/second-factor"
    refused = await place.get(path)
    assert (refused.status_code, await problem_of(refused)) == (401, "not-signed-in")
    token = (await place.login(ANN))["access_token"]
    await place.post(path, token=token)
    tries = [(await place.post(f"{path}/confirm", {"code": "000000"}, token=token)) for _ in range(11)]
    assert [answer.status_code for answer in tries] == [422] * 10 + [429]
    assert int(tries[-1].headers["Retry-After"]) > 0


async def test_nothing_secret_lies_in_clear_in_the_database(place: Front) -> None:
    tokens = await place.login(ANN)
    admin = (await place.login(ADMIN))["access_token"]
    made = await (await place.post("/auth/api-keys", {"name": "B", "scopes": ["sync"]}, token=admin)).get_json()
    ticket = (await (await place.post("/ws-tickets", token=admin)).get_json())["ticket"]
    secret = (await (await place.post("/plugins/accounts/second-factor", token=admin)).get_json())["secret"]
    tables = ("accounts_credentials", "sign_in_sessions", "api_keys", "tickets", "contacts", "journal")
    text = str([place.store.read_now(lambda c, t=t: c.sql(f"SELECT * FROM {t}")) for t in tables])  # type: ignore[misc] # noqa: S608
    for clear in (PASSWORD, ANN, ADMIN, tokens["refresh_token"], made["key"], ticket, secret):
        assert clear not in text


async def test_a_password_kept_at_lower_costs_is_hashed_anew_at_the_next_sign_in(sqlite_url: str) -> None:
    def kept(place: Front) -> str:
        return str(place.store.read_now(lambda c: c.sql("SELECT hash FROM accounts_credentials"))[0][0])

    async with front(sqlite_url) as place:
        await add(place, "u-ann", ANN)
        assert "m=64,t=1" in kept(place)
    async with front(sqlite_url, sections={"accounts": {"memory_kib": 128, "passes": 2}}) as place:
        await place.login(ANN)
        assert "m=128,t=2" in kept(place)
        await place.login(ANN)


async def test_an_overloaded_plugin_sends_people_away_for_a_moment(sqlite_url: str) -> None:
    slow = {"memory_kib": 65_536, "passes": 4, "waiting": 1}
    async with front(sqlite_url, sections={"accounts": slow}) as place:
        bodies = [{"email": f"p{n}@district.example", "password": PASSWORD} for n in range(12)]
        answers = await asyncio.gather(*(place.post("/auth/login", body) for body in bodies))
        busy = [answer for answer in answers if answer.status_code == 503]
        assert busy
        assert {answer.status_code for answer in answers} <= {401, 503}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in busy)


async def test_without_a_plugin_that_keeps_passwords_nobody_signs_in_and_none_is_set(sqlite_url: str) -> None:
    async with front(sqlite_url, enabled=(), auth={"registration": "open"}) as place:
        assert (await place.post("/auth/login", {"email": ANN, "password": PASSWORD})).status_code == 401
        body = {"email": ANN, "password": PASSWORD, "name": "Ann"}
        assert (await place.post("/auth/register", body)).status_code == 503
        assert place.store.read_now(lambda c: c.value(m.User.select(m.User.id))) is None


async def test_signs_that_a_database_cannot_hold_are_refused_and_break_nothing(place: Front) -> None:
    nul = "a\x00b"
    admin = (await place.login(ADMIN))["access_token"]
    answers = [
        await place.post("/auth/refresh", {"refresh_token": f"hrr_{nul}.x.y"}),
        await place.post("/auth/login", {"email": nul, "password": nul, "code": nul}),
        await place.post("/auth/register", {"email": ANN, "password": PASSWORD, "name": nul, "invitation": nul}),
        await place.post("/auth/invitations", {"email": "x@y.example", "name": nul, "role": "guardian"}, token=admin),
        await place.post("/auth/invitations", {"user_id": nul}, token=admin),
        await place.post("/auth/users/a%00b/roles", {"role": "teacher", "school_id": nul}, token=admin),
        await place.delete("/auth/sessions/a%00b", token=admin),
        await place.delete("/auth/api-keys/a%00b", token=admin),
        await place.get("/auth/providers/a%00b/callback?code=x&state=%00"),
    ]
    assert {answer.status_code for answer in answers} <= {400, 401, 403, 404, 422}
