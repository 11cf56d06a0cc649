"""Single sign-on end to end against a real OpenID provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from quart import Response

from homeroom.auth import accounts
from homeroom.roster import people
from homeroom.store import Transaction
from homeroom.store import models as m
from homeroom.types import RoleAt
from tests.services import idp, run
from tests.services.front import Front, front

START = "/auth/providers/oidc/start"


@pytest.fixture
def issuer(request: pytest.FixtureRequest) -> str:
    try:
        return idp.issuer()
    except run.NotHere as exc:
        request.node.user_properties.append(("missing", str(exc)))
        pytest.skip(str(exc))


def settings(issuer: str, **more: Any) -> dict[str, Any]:
    return {"issuer": issuer, **idp.CLIENT, "allowed_domains": ["district.example"], **more}


@pytest.fixture
async def place(sqlite_url: str, issuer: str) -> AsyncIterator[Front]:
    sections = {"oidc": settings(issuer)}
    async with front(sqlite_url, enabled=("oidc",), sections=sections, server={"public_base_url": idp.HERE}) as running:
        for user in ("ann", "bob"):
            await running.store.write(partial(add, user=user))
        yield running


def add(tx: Transaction, user: str) -> None:
    email = f"{user}@district.example"
    accounts.add_user(tx, user_id=user, name=user, email=email, roles=[RoleAt(role="student")])


async def go(place: Front) -> str:
    """Where the button leads; the cookie stays with the client."""
    answer = await place.get(START)
    assert answer.status_code == 302
    return answer.headers["Location"]


async def come_back(place: Front, address: str) -> Response:
    parts = urlsplit(address)
    return await place.get(f"{parts.path.removeprefix('/api/v1')}?{parts.query}")


async def sign_in(place: Front, login: str) -> Response:
    return await come_back(place, await asyncio.to_thread(idp.sign_in, await go(place), login))


async def kind(answer: Response) -> tuple[int, str]:
    return answer.status_code, str((await answer.get_json())["type"]).rpartition("/")[2]


async def test_a_person_is_joined_once_by_address_and_then_known_by_subject(place: Front) -> None:
    listed = (await (await place.get("/auth/providers")).get_json())["items"]
    assert listed == [{"name": "oidc", "label": "School account", "start": f"/api/v1{START}"}]
    tokens = await (await sign_in(place, "ann")).get_json()
    me = await (await place.get("/auth/me", token=tokens["access_token"])).get_json()
    assert (me["id"], me["roles"]) == ("ann", [{"role": "student", "org_id": None}])
    await place.store.write(lambda tx: people.remove_contact(tx, "ann", "email", "ann@district.example"))
    again = await (await sign_in(place, "ann")).get_json()
    me = await (await place.get("/auth/me", token=again["access_token"])).get_json()
    assert me["id"] == "ann"


async def test_another_account_with_the_address_of_somebody_joined_stays_outside(place: Front) -> None:
    assert (await sign_in(place, "ann")).status_code == 200
    # At the provider this is another account, with the same address.
    assert await kind(await sign_in(place, "ann@district.example")) == (403, "no-account")


async def test_somebody_unknown_here_has_no_account_and_none_is_made(place: Front) -> None:
    before = place.store.read_now(lambda c: len(c.values(m.User.select(m.User.id))))
    assert await kind(await sign_in(place, "stranger")) == (403, "no-account")
    assert place.store.read_now(lambda c: len(c.values(m.User.select(m.User.id)))) == before


@pytest.mark.parametrize("login", ["ann@elsewhere.example", "unverified-ann"])
async def test_only_verified_addresses_of_the_district_come_in(place: Front, login: str) -> None:
    assert await kind(await sign_in(place, login)) == (403, "sign-in-refused")


async def test_an_answer_works_once(place: Front) -> None:
    address = await asyncio.to_thread(idp.sign_in, await go(place), "ann")
    assert (await come_back(place, address)).status_code == 200
    assert await kind(await come_back(place, address)) == (403, "sign-in-expired")


async def test_an_answer_is_worth_nothing_in_another_browser(place: Front) -> None:
    address = await asyncio.to_thread(idp.sign_in, await go(place), "ann")
    place.client = place.app.test_client()
    assert await kind(await come_back(place, address)) == (403, "sign-in-expired")


async def test_a_code_of_one_attempt_does_not_finish_another(place: Front) -> None:
    first = await asyncio.to_thread(idp.sign_in, await go(place), "ann")
    second = await go(place)
    stolen = parse_qs(urlsplit(first).query)["code"][0]
    state = parse_qs(urlsplit(second).query)["state"][0]
    answer = await place.get(f"/auth/providers/oidc/callback?code={stolen}&state={state}")
    assert await kind(answer) == (403, "sign-in-refused")


async def test_giving_up_at_the_provider_is_told_plainly(place: Front) -> None:
    answer = await come_back(place, await asyncio.to_thread(idp.cancel, await go(place)))
    assert await kind(answer) == (403, "sign-in-refused")
    assert (await answer.get_json())["detail"] == "The sign-in was cancelled."


async def test_a_launch_from_the_providers_own_portal_goes_round_once_more(place: Front) -> None:
    answer = await place.get("/auth/providers/oidc/callback?code=from-a-portal")
    assert answer.status_code == 302
    assert answer.headers["Location"].endswith(START)


async def test_an_attempt_that_took_too_long_or_was_made_up_is_refused(place: Front) -> None:
    address = await asyncio.to_thread(idp.sign_in, await go(place), "ann")
    await place.store.write(lambda tx: tx.run(m.SignInAttempt.update(expires_at=tx.now)))
    assert await kind(await come_back(place, address)) == (403, "sign-in-expired")
    made_up = await place.get("/auth/providers/oidc/callback?code=x&state=made-up")
    assert await kind(made_up) == (403, "sign-in-expired")


async def test_what_is_kept_of_an_attempt_is_sealed(place: Front) -> None:
    state = parse_qs(urlsplit(await go(place)).query)["state"][0]
    kept = place.store.read_now(lambda c: c.sql("SELECT * FROM sign_in_attempts"))
    assert state not in str(kept)
    assert "verifier" not in str(kept)


async def test_an_unknown_provider_is_not_found(place: Front) -> None:
    assert (await place.get("/auth/providers/other/start")).status_code == 404
    assert (await place.get("/auth/providers/other/callback?code=x&state=y")).status_code == 404


async def test_a_wrong_client_secret_signs_nobody_in(sqlite_url: str, issuer: str) -> None:
    sections = {"oidc": settings(issuer, client_secret="not ours")}
    server = {"public_base_url": idp.HERE}
    async with front(sqlite_url, enabled=("oidc",), sections=sections, server=server) as place:
        assert await kind(await sign_in(place, "ann")) == (403, "sign-in-refused")


async def test_a_provider_that_cannot_be_reached_is_told_and_shown_red(sqlite_url: str) -> None:
    sections = {"oidc": settings("http://127.0.0.1:1")}
    async with front(sqlite_url, enabled=("oidc",), sections=sections) as place:
        answer = await place.get(START)
        assert await kind(answer) == (503, "provider-unavailable")
        health = await place.host.health_of("oidc")
        assert health is not None
        assert health["ok"] is False
