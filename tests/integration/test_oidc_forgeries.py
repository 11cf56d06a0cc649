"""What a provider, or somebody in its place, must not get away with: a small provider that lies as told."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from pydantic import SecretStr, ValidationError
from quart import Quart, request

from homeroom import ExternalIdentity, Services, SignInProvider, SignInRefused
from homeroom.testing import FakeClock, services
from homeroom_oidc import Oidc, OidcSettings

ISSUER = "https://login.district.example"
CLIENT = "homeroom"
SECRET = "a secret between the two of us, long enough to be a key"
HERE = "https://homeroom.example/callback"
KEY = RSAKey.generate_key(2048, {"kid": "one"})
NEXT_KEY = RSAKey.generate_key(2048, {"kid": "two"})


@dataclass(slots=True)
class Liar:
    """A provider whose token has `claims` over the honest ones; a claim of None is left out."""

    clock: FakeClock
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": "one"})
    signed_with: Any = field(default_factory=lambda: KEY)
    published: list[Any] = field(default_factory=lambda: [KEY])
    discovery: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    nonce: str = ""
    verifiers: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    issuer: str = ISSUER

    def app(self) -> Quart:
        app = Quart("liar")

        @app.get("/<path:rest>")
        async def get(rest: str) -> Any:
            self.fetched.append(rest)
            if rest.endswith("openid-configuration"):
                return {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{ISSUER}/authorize",
                    "token_endpoint": f"{ISSUER}/token",
                    "jwks_uri": f"{ISSUER}/keys",
                    "id_token_signing_alg_values_supported": ["RS256", "none", "HS256"],
                    **self.discovery,
                }
            return {"keys": [key.as_dict(private=False) for key in self.published]}

        @app.post("/token")
        async def token() -> Any:
            self.verifiers.append((await request.form)["code_verifier"])
            return {"access_token": "a", "token_type": "Bearer", "id_token": self.token or self.signed()}

        return app

    def signed(self) -> str:
        now = int(self.clock.now().timestamp())
        honest = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "s-1",
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
            "email": "ann@district.example",
            "email_verified": True,
        }
        claims = {name: value for name, value in {**honest, **self.claims}.items() if value is not None}
        return jwt.encode(self.header, claims, self.signed_with, algorithms=[self.header["alg"]])


@dataclass(slots=True)
class Bench:
    """The plugin in front of the liar."""

    liar: Liar
    services: Services
    provider: SignInProvider
    url: str = ""

    async def sign_in(self, **answer: str) -> ExternalIdentity:
        started = await self.provider.start(redirect_uri=HERE, state="state", nonce="nonce-1")
        self.url = started.url
        self.liar.nonce = self.liar.nonce or "nonce-1"
        given = {"code": "c", "state": "state", **answer}
        return await self.provider.finish(redirect_uri=HERE, nonce="nonce-1", keep=started.keep, answer=given)


def bench_of(liar: Liar, **settings: Any) -> Bench:
    given = {"issuer": ISSUER, "allowed_domains": ["district.example"], **settings}
    made = OidcSettings(client_id=CLIENT, client_secret=SecretStr(SECRET), **given)
    offered = services("oidc", clock=liar.clock, http=httpx2.ASGITransport(app=liar.app()))  # type: ignore[arg-type] # Quart is one
    plugin = Oidc(made, offered)
    return Bench(liar=liar, services=offered, provider=plugin._provider)


@pytest.fixture
def liar() -> Liar:
    return Liar(FakeClock())


@pytest.fixture
async def bench(liar: Liar) -> AsyncIterator[Bench]:
    made = bench_of(liar)
    yield made
    await made.services.close()


async def test_an_honest_token_names_the_person(bench: Bench) -> None:
    found = await bench.sign_in()
    assert (found.provider, found.subject, found.email) == (ISSUER, "s-1", "ann@district.example")
    query = parse_qs(urlsplit(bench.url).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["nonce"] == ["nonce-1"]
    assert query["response_type"] == ["code"]
    assert bench.liar.verifiers[0] not in bench.url


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another"},
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": 1},
        {"iat": 4_000_000_000},
        {"iat": None},
        {"sub": None},
        {"sub": 7},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email": "ann@elsewhere.example"},
        {"email": "ann@district.example@elsewhere.example"},
        {"email": None},
    ],
)
async def test_a_token_with_wrong_claims_signs_nobody_in(bench: Bench, claims: dict[str, Any]) -> None:
    bench.liar.claims = claims
    with pytest.raises(SignInRefused):
        await bench.sign_in()


async def test_a_token_signed_with_another_key_of_the_same_name_is_refused(bench: Bench) -> None:
    bench.liar.signed_with = RSAKey.generate_key(2048, {"kid": "one"})
    with pytest.raises(SignInRefused):
        await bench.sign_in()


async def test_a_token_that_is_not_signed_is_refused(bench: Bench) -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    bench.liar.nonce = "nonce-1"
    body = bench.liar.signed().split(".")[1]
    for forged in (f"{part({'alg': 'none'})}.{body}.", "not a token", f"%%%.{body}.x", f"{part({'alg': 'RS256'})}.."):
        bench.liar.token = forged
        with pytest.raises(SignInRefused):
            await bench.sign_in()


async def test_our_own_client_secret_is_no_signing_key(bench: Bench) -> None:
    bench.liar.header = {"alg": "HS256"}
    bench.liar.signed_with = OctKey.import_key(SECRET)
    with pytest.raises(SignInRefused):
        await bench.sign_in()


async def test_a_new_signing_key_is_fetched_once_and_a_made_up_one_not_again_and_again(bench: Bench) -> None:
    await bench.sign_in()
    bench.liar.clock.move(120)
    bench.liar.published = [KEY, NEXT_KEY]
    bench.liar.header, bench.liar.signed_with = {"alg": "RS256", "kid": "two"}, NEXT_KEY
    await bench.sign_in()
    assert bench.liar.fetched.count("keys") == 2
    for _ in range(5):
        bench.liar.header = {"alg": "RS256", "kid": "three"}
        with pytest.raises(SignInRefused):
            await bench.sign_in()
    assert bench.liar.fetched.count("keys") == 2


async def test_the_answer_of_another_provider_is_refused(bench: Bench) -> None:
    with pytest.raises(SignInRefused):
        await bench.sign_in(iss="https://elsewhere.example")
    await bench.sign_in(iss=ISSUER)
    bench.liar.discovery = {"authorization_response_iss_parameter_supported": True}
    fresh = bench_of(bench.liar)
    with pytest.raises(SignInRefused):
        await fresh.sign_in()
    await fresh.services.close()


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://elsewhere.example"},
        {"token_endpoint": "http://login.district.example/token"},
        {"jwks_uri": "https://elsewhere.example/keys"},
        {"jwks_uri": None},
    ],
)
async def test_metadata_that_leads_elsewhere_is_not_followed(liar: Liar, discovery: dict[str, Any]) -> None:
    liar.discovery = discovery
    bench = bench_of(liar)
    with pytest.raises(Exception, match=r"issuer|https|reached|incomplete"):
        await bench.sign_in()
    await bench.services.close()


def google(liar: Liar) -> Bench:
    """The Google preset, asked at our own issuer."""
    return bench_of(liar, preset="google")


@pytest.mark.parametrize("domain", [None, "elsewhere.example"])
async def test_google_needs_the_districts_workspace_not_just_an_address(liar: Liar, domain: str | None) -> None:
    bench = google(liar)
    liar.claims = {"hd": domain}
    with pytest.raises(SignInRefused):
        await bench.sign_in()
    liar.claims = {"hd": "District.Example"}
    assert (await bench.sign_in()).email == "ann@district.example"
    assert "hd=district.example" in bench.url
    await bench.services.close()


async def test_microsoft_needs_the_districts_tenant_and_does_not_believe_an_address(liar: Liar) -> None:
    bench = bench_of(liar, preset="microsoft", allowed_tenants=["t-1"], issuer=f"{ISSUER}/organizations/v2.0")
    liar.issuer = f"{ISSUER}/{{tenantid}}/v2.0"
    honest = {"iss": f"{ISSUER}/t-1/v2.0", "tid": "t-1", "oid": "o-1"}
    for wrong in ({"tid": "t-2", "iss": f"{ISSUER}/t-2/v2.0"}, {"tid": "t-2"}, {"tid": None}, {"oid": None}):
        liar.claims = {**honest, **wrong}
        with pytest.raises(SignInRefused):
            await bench.sign_in()
    liar.claims = honest
    found = await bench.sign_in()
    assert (found.provider, found.subject, found.email) == ("microsoft", "t-1:o-1", None)
    liar.claims = {**honest, "xms_edov": True}
    assert (await bench.sign_in()).email == "ann@district.example"
    liar.claims = {**honest, "xms_edov": True, "email": "ann@elsewhere.example"}
    assert (await bench.sign_in()).email is None
    await bench.services.close()


async def test_clever_needs_the_district_and_gives_an_address_only_when_verified(liar: Liar) -> None:
    bench = bench_of(liar, preset="clever", allowed_tenants=["d-1"])
    for district in (None, "d-2"):
        liar.claims = {"district": district}
        with pytest.raises(SignInRefused):
            await bench.sign_in()
    liar.claims = {"district": "d-1", "email_verified": False}
    assert (await bench.sign_in()).email is None
    liar.claims = {"district": "d-1"}
    assert (await bench.sign_in()).email == "ann@district.example"
    await bench.services.close()


async def test_without_a_list_of_domains_an_address_joins_nobody(liar: Liar) -> None:
    bench = bench_of(liar, allowed_domains=[])
    assert (await bench.sign_in()).email is None
    await bench.services.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"preset": "google"},
        {"preset": "microsoft"},
        {"preset": "clever"},
        {"preset": "generic"},
        {"preset": "generic", "issuer": "ftp://login.district.example"},
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OidcSettings(client_id=CLIENT, client_secret=SecretStr(SECRET), **settings)


def test_an_issuer_without_https_is_refused() -> None:
    made = OidcSettings(client_id=CLIENT, client_secret=SecretStr(SECRET), issuer="http://login.district.example")
    with pytest.raises(ValueError, match="https"):
        Oidc(made, services("oidc"))
