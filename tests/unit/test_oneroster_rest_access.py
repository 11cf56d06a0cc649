"""Settings of a OneRoster server, the three ways of signing in, and what `check` tells an administrator."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr, ValidationError

from homeroom import NOUNS, Pull, SisHttp, SourceError, VendorError
from homeroom.testing import FakeClock, sample_district, services
from homeroom_oneroster import Connector, OneRoster, RestConnector, Wish
from homeroom_oneroster.gate import signature_of
from homeroom_oneroster.plugin import OneRosterSettings
from homeroom_oneroster.signing import bearer, oauth1
from homeroom_oneroster.simulator import OneRosterSimulator

URL = "https://sis.example"
SERVER = {"base_url": f"{URL}/ims", "token_url": f"{URL}/token", "client_id": "us", "client_secret": "hush"}


def simulated(**options: Any) -> OneRosterSimulator:
    return OneRosterSimulator(sample_district(students=20), **options)


def connected(simulator: OneRosterSimulator, **settings: Any) -> RestConnector:
    given = services("oneroster", http=simulator.app, clock=FakeClock(simulator.now()))
    plugin = OneRoster(OneRosterSettings(**{**simulator.settings(URL), **settings}), given)
    connector = plugin.sis_connector()
    assert isinstance(connector, RestConnector)
    return connector


async def read(connector: RestConnector) -> list[str]:
    return [
        record.sourced_id for noun in NOUNS async for page in connector.pull(Pull(noun=noun)) for record in page.records
    ]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({**SERVER, "source": "/srv/export"}, "source and base_url are both set"),
        ({"base_url": URL}, "oauth2 needs token_url"),
        ({"base_url": URL, "token_url": URL}, "oauth2 needs client_id and client_secret"),
        ({"base_url": URL, "auth": "oauth1", "client_id": "us"}, "oauth1 needs client_id and client_secret"),
        ({"base_url": URL, "auth": "bearer"}, "bearer needs token"),
        ({**SERVER, "page_size": 1}, "page_size"),
        ({**SERVER, "version": "1.0"}, "version"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_with_what_is_missing(
    settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason) as caught:
        OneRosterSettings(**settings)
    assert "hush" not in str(caught.value)


async def test_without_any_source_a_run_names_its_own_and_check_says_what_to_set() -> None:
    plugin = OneRoster(OneRosterSettings(), services())
    connector = plugin.sis_connector()

    [finding] = await connector.check()

    assert isinstance(connector, Connector)
    assert "set source or base_url" in finding.problem
    assert plugin.health().ok


async def test_settings_for_csv_still_read_csv(tmp_path: Path) -> None:
    plugin = OneRoster(OneRosterSettings(source=tmp_path), services())

    assert isinstance(plugin.sis_connector(), Connector)
    assert plugin.health().ok
    assert not OneRoster(OneRosterSettings(source=tmp_path / "gone"), services()).health().ok


def test_a_server_is_not_asked_for_its_health() -> None:
    assert OneRoster(OneRosterSettings(**SERVER), services()).health().ok


def test_an_address_without_https_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="https"):
        OneRoster(OneRosterSettings(**{**SERVER, "base_url": "http://sis.example/ims"}), services())


@pytest.mark.parametrize("auth", ["oauth2", "oauth1", "bearer"])
@pytest.mark.parametrize("version", ["1.2", "1.1"])
async def test_each_way_of_signing_in_reads_everything(auth: Any, version: Any) -> None:
    simulator = simulated(auth=auth, version=version, max_limit=30)
    district = simulator.district
    places = len(district.orgs) + len(district.academic_sessions) + len(district.courses) + len(district.classes)
    everything = places + len(district.users) + len(district.enrollments)

    assert len(set(await read(connected(simulator)))) == everything
    assert {asked.status for asked in simulator.asked} == {200}


async def test_id_and_secret_may_go_in_the_form() -> None:
    assert await read(connected(simulated(), token_auth="form"))


async def test_hazard_9_a_token_that_ends_in_the_middle_is_renewed_and_nothing_is_read_twice() -> None:
    simulator = simulated(misbehave={"token-expiry"}, max_limit=20)

    found = await read(connected(simulator))

    assert len(found) == len(set(found))
    assert [asked.status for asked in simulator.asked].count(401) >= 2


async def test_hazard_14_a_signature_covers_every_query_parameter_on_every_page() -> None:
    simulator = simulated(auth="oauth1", version="1.1", max_limit=20)
    connector = connected(simulator)
    since = simulator.now()

    await read(connector)
    async for _ in connector.pull(Pull(noun="org", since=since)):
        pass

    assert len(simulator.asked) > 15
    assert {asked.status for asked in simulator.asked} == {200}


async def test_a_signature_that_leaves_a_parameter_out_is_refused_by_the_simulator() -> None:
    simulator = simulated(auth="oauth1")
    auth = oauth1(simulator.client_id, SecretStr(simulator.client_secret))
    url = f"{URL}{simulator.prefixes['1.2']}/orgs"
    signed = next(auth.auth_flow(httpx2.Request("GET", url)))
    transport = httpx2.ASGITransport(app=simulator.app)  # type: ignore[arg-type] # Quart's ASGI types are its own
    async with httpx2.AsyncClient(transport=transport) as client:
        whole = await client.get(url, headers={"Authorization": signed.headers["Authorization"]})
        again = await client.get(url, headers={"Authorization": signed.headers["Authorization"]})
        page_2 = await client.get(f"{url}?offset=100", headers={"Authorization": signed.headers["Authorization"]})

    assert (whole.status_code, again.status_code, page_2.status_code) == (200, 401, 401)


def test_signatures_are_those_of_the_standard_s_own_example() -> None:
    """RFC 5849, 1.2: the photo that is asked for with a token; ours has none, so its secret stands in the key."""
    parameters = [
        ("file", "vacation.jpg"),
        ("size", "original"),
        ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
        ("oauth_token", "nnch734d00sl2jdk"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131202"),
        ("oauth_nonce", "chapoH"),
    ]
    signature = signature_of(
        "GET", "http://photos.example.net/photos", parameters, "kd94hf93k423kf44", "pfkkdhi9sl3r4s00"
    )

    assert signature == "MdpQcU8iPSUjWoN/UDMsK2sui9I="


async def test_a_server_whose_clock_is_off_is_signed_to_by_its_own_time() -> None:
    simulator = simulated(auth="oauth1", misbehave={"clock-skew"})

    assert await read(connected(simulator))

    assert [asked.status for asked in simulator.asked].count(401) == 1


async def test_a_wrong_secret_is_one_finding_with_its_fix() -> None:
    [finding] = await connected(simulated(), client_secret="wrong").check()

    assert finding.problem == "The system does not know our client id and secret."
    assert "token_auth" in finding.fix


async def test_a_wrong_signature_and_a_wrong_token_are_told_for_each_collection() -> None:
    for auth, wrong in (("oauth1", {"client_secret": "wrong"}), ("bearer", {"token": "wrong"})):
        findings = await connected(simulated(auth=auth), **wrong).check()

        assert [finding.problem for finding in findings] == ["The system does not accept how we sign in."]


async def test_a_refused_sign_in_is_about_no_collection() -> None:
    with pytest.raises(VendorError, match=r"^the client id and secret were refused$"):
        await read(connected(simulated(), client_secret="wrong"))


async def test_a_scope_that_is_not_granted_is_named() -> None:
    [finding] = await connected(simulated(), scope="https://example.org/scope/other").check()

    assert "does not grant us the scope" in finding.problem
    assert "`scope`" in finding.fix


async def test_a_missing_scope_is_told_by_what_cannot_be_read_without_it() -> None:
    [births] = await connected(simulated(scopes=("roster-core.readonly",))).check()
    all_but = await connected(simulated(scopes=("roster-demographics.readonly",))).check()

    assert births.problem.startswith("We may not read /demographics.")
    assert "roster-demographics.readonly" in births.fix
    assert [finding.problem.split(".")[0] for finding in all_but] == [
        f"We may not read /{name}"
        for name in ("orgs", "academicSessions", "courses", "classes", "users", "enrollments")
    ]


async def test_a_wrong_base_url_is_one_finding_that_shows_a_right_one() -> None:
    simulator = simulated()
    [finding] = await connected(simulator, base_url=f"{URL}{simulator.prefixes['1.2']}/oneroster").check()

    assert finding.problem == "There is no OneRoster at base_url."
    assert "/ims/oneroster/rostering/v1p2" in finding.fix


async def test_an_empty_collection_and_missing_fields_are_told() -> None:
    simulator = simulated()
    simulator.district.courses.clear()
    connector = connected(simulator)
    for shown in simulator.district.users[:20]:
        simulator.put(type(shown)(sourced_id=shown.sourced_id, given_name="", family_name="Ruiz", roles=shown.roles))

    findings = await connector.check()

    assert [finding.problem for finding in findings] == [
        "The system shows us no courses.",
        "The first rows of users lack: givenName.",
    ]


async def test_people_without_roles_and_rows_that_are_none_are_told() -> None:
    class Bare(OneRosterSimulator):
        def shape(self, shapes: Any, collection: str, record: Any) -> Any:
            row = super().shape(shapes, collection, record)
            if collection == "courses":
                return {"sourcedId": ["no text"]}
            return {name: value for name, value in row.items() if name != "roles"}

    findings = await connected(Bare(sample_district(students=20))).check()

    assert [finding.problem for finding in findings] == [
        "The first rows of courses lack: sourcedId, title.",
        "The first rows of users lack: roles.",
    ]


async def test_a_collection_that_is_refused_for_another_reason_is_told_with_its_status() -> None:
    class Choosy(RestConnector):
        def query(self, wish: Wish, offset: int, since: str | None) -> dict[str, str | int]:
            return {**super().query(wish, offset, since), "limit": "many"}

    simulator = simulated(auth="bearer")
    given = services("oneroster", http=simulator.app)
    auth = bearer(SecretStr(simulator.gate.fixed_token))
    connector = Choosy(SisHttp(given, f"{URL}{simulator.prefixes['1.1']}", auth=auth), version="1.1")

    findings = await connector.check()

    assert len(findings) == 7
    assert findings[0].problem == "The system refused /orgs (status 422). Without it no roster can be read."


@pytest.mark.parametrize("shape", ["flat", "wrapped", "html"])
async def test_whatever_an_error_looks_like_its_status_decides(shape: Any) -> None:
    connector = connected(simulated(error_shape=shape, scopes=("roster-demographics.readonly",)))

    with pytest.raises(VendorError) as caught:
        await anext(connector.pull(Pull(noun="user")))

    assert (caught.value.status, str(caught.value)) == (403, "/users: the system does not permit this")


async def test_a_server_that_is_down_is_one_finding() -> None:
    [finding] = await connected(simulated(misbehave={"outage"})).check()

    assert "maintenance" in finding.problem


@pytest.mark.parametrize("auth", ["oauth2", "oauth1", "bearer"])
async def test_no_secret_shows_in_any_repr_log_error_or_address(auth: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    simulator = simulated(auth=auth)
    plain = simulator.settings(URL)
    connector = connected(simulator)
    wrong = connected(simulator, **{name: "secret-and-wrong" for name in ("token", "client_secret") if name in plain})

    await read(connector)
    with pytest.raises(SourceError) as caught:
        await read(wrong)

    told = [repr(connector), repr(vars(connector)), repr(OneRosterSettings(**plain)), str(caught.value), caplog.text]
    told += [asked.path for asked in simulator.asked]
    for secret in (simulator.client_secret, simulator.gate.fixed_token, "secret-and-wrong"):
        assert secret not in "".join(told)
