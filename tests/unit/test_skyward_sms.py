"""Skyward SMS 2.0's own API: its sign-in, its cursors, and what it cannot give."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from quart import Response, request

from homeroom import Page, Pull, SisConnector, SourceError, User
from homeroom.testing import SampleDistrict, hurried, sample_district, services
from homeroom_skyward import Skyward, SkywardSettings
from homeroom_skyward.simulator import SkywardSmsSimulator

URL = "https://skyward.example"


@pytest.fixture(scope="module")
def district() -> SampleDistrict:
    return sample_district(students=60)


def _connector(simulator: SkywardSmsSimulator, **more: Any) -> SisConnector:
    settings = SkywardSettings(**{**simulator.settings(URL), "page_size": 25, **more})
    return Skyward(settings, services("skyward", http=simulator.app)).sis_connector()


async def _pages(connector: SisConnector, noun: Any = "user", cursor: str | None = None) -> list[Page]:
    return [page async for page in connector.pull(Pull(noun=noun, cursor=cursor))]


def _ids(pages: list[Page]) -> list[str]:
    return [record.sourced_id for page in pages for record in page.records]


def _answering(simulator: SkywardSmsSimulator, change: Callable[[Any], Any], path: str = "/api/v1/students") -> None:
    """Let the server give what `change` makes of its answers at `path`."""

    async def after(response: Response) -> Response:
        if request.path == path and response.status_code == 200:
            data = orjson.loads(await response.get_data(as_text=False))
            response.set_data(orjson.dumps(change(data)))
        return response

    simulator.app.after_request(after)


async def test_schools_and_students_are_read_and_nothing_else_is_offered(district: SampleDistrict) -> None:
    connector = _connector(SkywardSmsSimulator(district))

    users, schools = await _pages(connector), await _pages(connector, "org")

    assert connector.nouns == ("org", "user")
    assert len(_ids(users)) == len(set(_ids(users))) == 60
    assert set(_ids(schools)) == {"1000", "1001"}
    [first] = [user for page in users for user in page.records if user.sourced_id == _ids(users)[0]]
    assert isinstance(first, User)
    assert first.only == ("given_name", "family_name", "roles")  # all else stays as it is known here
    assert [role.role for role in first.roles] == ["student"]


async def test_the_cursor_is_taken_from_a_link_that_calls_it_otherwise(district: SampleDistrict) -> None:
    simulator = SkywardSmsSimulator(district)

    pages = await _pages(_connector(simulator))

    assert [len(page.records) for page in pages] == [25, 25, 10]
    assert [page.cursor is None for page in pages] == [False, False, True]


async def test_a_link_to_another_server_is_not_followed(district: SampleDistrict) -> None:
    simulator = SkywardSmsSimulator(district)

    async def elsewhere(response: Response) -> Response:
        if "Link" in response.headers:
            response.headers["Link"] = response.headers["Link"].replace("skyward.example", "evil.example")
        return response

    simulator.app.after_request(elsewhere)

    assert len(_ids(await _pages(_connector(simulator)))) == 60


@pytest.mark.parametrize("basic", ["empty", "client"])
async def test_a_token_is_had_by_password_with_a_basic_header_beside_it(district: SampleDistrict, basic: str) -> None:
    simulator = SkywardSmsSimulator(district)
    seen: list[tuple[str, dict[str, str]]] = []

    async def look() -> None:
        if request.path == "/api/token":
            form = await request.form
            seen.append((request.headers["Authorization"], form.to_dict()))

    simulator.app.before_request(look)
    await _pages(_connector(simulator, basic=basic), "org")

    [(header, form)] = seen
    pair = ":" if basic == "empty" else f"{simulator.client_id}:{simulator.client_secret}"
    assert header == f"Basic {base64.b64encode(pair.encode()).decode()}"
    assert form == {
        "grant_type": "password",
        "username": simulator.client_id,
        "password": simulator.client_secret,
    }


async def test_the_case_of_names_does_not_matter(district: SampleDistrict) -> None:
    simulator = SkywardSmsSimulator(district)
    _answering(simulator, lambda rows: [{name.upper(): value for name, value in row.items()} for row in rows])

    assert len(_ids(await _pages(_connector(simulator)))) == 60


async def test_hazard_11_a_student_without_an_id_is_told_and_the_others_are_read(district: SampleDistrict) -> None:
    simulator = SkywardSmsSimulator(district)
    _answering(simulator, lambda rows: [{**rows[0], "NameId": ""}, *rows[1:]])

    pages = await _pages(_connector(simulator))

    errors = [error for page in pages for error in page.errors]
    assert {(error.field, error.reason, error.sourced_id) for error in errors} == {("NameId", "this is empty", None)}
    assert len(_ids(pages)) == 60 - len(pages)


async def test_a_student_of_no_school_keeps_the_known_ones(district: SampleDistrict) -> None:
    simulator = SkywardSmsSimulator(district)
    without = ("NameId", "FirstName", "LastName")
    _answering(simulator, lambda rows: [{name: row[name] for name in without} for row in rows])

    [first, *_] = [record for page in await _pages(_connector(simulator)) for record in page.records]

    assert isinstance(first, User)
    assert first.only == ("given_name", "family_name")


def test_pages_that_go_round_end_the_run(district: SampleDistrict) -> None:
    simulator = SkywardSmsSimulator(district)

    async def back(response: Response) -> Response:
        if request.path == "/api/v1/students":
            second = base64.urlsafe_b64encode(b"row 25").decode()
            response.headers["Link"] = f"<{URL}/api/v1/students?paging.limit=25&cursor={second}>"
        return response

    simulator.app.after_request(back)

    with pytest.raises(SourceError, match="go round in a circle"):
        hurried(_pages(_connector(simulator)))


def test_hazard_13_a_page_that_comes_twice_is_asked_for_once_more(district: SampleDistrict) -> None:
    simulator = SkywardSmsSimulator(district, misbehave={"repeat-page"})

    assert len(set(_ids(hurried(_pages(_connector(simulator)))))) == 60


async def test_a_repeated_page_is_noticed_also_where_reading_goes_on(district: SampleDistrict) -> None:
    whole = SkywardSmsSimulator(district)
    first, *rest = await _pages(_connector(whole))
    again = SkywardSmsSimulator(district, misbehave={"repeat-page"})

    assert _ids(await _pages(_connector(again), cursor=first.cursor)) == _ids(rest)


def test_hazard_9_tokens_that_end_in_the_middle_lose_nobody() -> None:
    district = sample_district(students=300)
    simulator = SkywardSmsSimulator(district, misbehave={"token-expiry"})

    assert len(set(_ids(hurried(_pages(_connector(simulator)))))) == 300


async def test_what_it_cannot_give_is_said_until_the_district_has_chosen_it(district: SampleDistrict) -> None:
    simulator = SkywardSmsSimulator(district)

    [finding] = await _connector(simulator, roster=None).check()

    assert "no classes, no staff, no guardians" in finding.problem
    assert 'roster = "oneroster"' in finding.fix
    assert await _connector(simulator, roster="api").check() == []


async def test_missing_fields_are_named(district: SampleDistrict) -> None:
    simulator = SkywardSmsSimulator(district)
    _answering(simulator, lambda rows: [{"NameId": row["NameId"], "LastName": row["LastName"]} for row in rows])

    [finding] = await _connector(simulator).check()

    assert finding.problem == "The first rows of /v1/students lack: FirstName, SchoolId, schoolIds."


async def test_a_wrong_secret_is_told_with_where_the_right_one_is(district: SampleDistrict) -> None:
    [finding] = await _connector(SkywardSmsSimulator(district), client_secret="wrong").check()

    assert finding.problem == "Skyward does not accept our key and secret."
    assert "Secured User" in finding.fix


async def test_oneroster_1_1_gives_classes_where_it_is_licensed(district: SampleDistrict) -> None:
    simulator = SkywardSmsSimulator(district, roster="oneroster")
    connector = _connector(simulator)

    assert await connector.check() == []
    assert len(_ids(await _pages(connector, "class"))) == len(district.classes)
    assert len(_ids(await _pages(connector, "enrollment"))) == len(district.enrollments)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"version": "1.2"}, r"OneRoster 1\.1 only"),
        ({"attendance": "api"}, "no way is known to write attendance"),
        ({"roster": "oneroster", "oneroster_url": None}, "needs oneroster_url"),
        ({"token_url": None}, "token_url"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_reason(more: Any, text: str) -> None:
    simulator = SkywardSmsSimulator(SampleDistrict())

    with pytest.raises(ValidationError, match=text):
        SkywardSettings(**{**simulator.settings(URL), **more})
