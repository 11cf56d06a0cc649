"""What is Infinite Campus's own: its settings, how it is signed in to, its links, and the ids of two versions."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from homeroom import Enrollment, Pull, Record, SisConnector, SourceError, User, WithAttendanceFile
from homeroom.testing import SampleDistrict, hurried, sample_district, services
from homeroom_infinite_campus import InfiniteCampus, InfiniteCampusSettings
from homeroom_infinite_campus.bridge import Bridge, legacy_id
from homeroom_infinite_campus.simulator import InfiniteCampusSimulator

URL = "https://campus.example"


@pytest.fixture(scope="module")
def district() -> SampleDistrict:
    return sample_district(students=40)


def _connector(simulator: InfiniteCampusSimulator, **more: Any) -> SisConnector:
    settings = InfiniteCampusSettings(**{**simulator.settings(URL), "page_size": 25, **more})
    return InfiniteCampus(settings, services("infinite_campus", http=simulator.app)).sis_connector()


async def _read(connector: SisConnector, noun: Any) -> dict[str, Record]:
    pages = [page async for page in connector.pull(Pull(noun=noun))]
    return {record.sourced_id: record for page in pages for record in page.records}


def _settings(**more: Any) -> InfiniteCampusSettings:
    told = {"base_url": URL, "token_url": f"{URL}/token", "client_id": "us", "client_secret": "x"}
    return InfiniteCampusSettings(**{**told, **more})


@pytest.mark.parametrize("token_auth", ["basic", "form"])
@pytest.mark.parametrize("version", ["1.2", "1.1"])
async def test_campus_is_signed_in_to_by_header_and_by_form(
    district: SampleDistrict, version: Any, token_auth: str
) -> None:
    simulator = InfiniteCampusSimulator(district, version=version)
    connector = _connector(simulator, token_auth=token_auth)

    assert await connector.check() == []
    assert len(await _read(connector, "org")) == len(district.orgs)


async def test_any_form_of_the_base_address_is_taken_as_it_is(district: SampleDistrict) -> None:
    simulator = InfiniteCampusSimulator(district)
    prefix = "/campus/api/oneroster/v1p2/homeroom/ims/oneroster/rostering/v1p2"
    simulator.app.add_url_rule(f"{prefix}/<path:path>", "elsewhere", simulator._view("1.2"))
    connector = _connector(simulator, base_url=f"{URL}{prefix}/")

    assert len(await _read(connector, "class")) == len(district.classes)
    assert {asked.path for asked in simulator.asked if "classes" in asked.path} == {f"{prefix}/classes"}


async def test_a_token_address_without_the_application_is_told(district: SampleDistrict) -> None:
    simulator = InfiniteCampusSimulator(district)
    connector = _connector(simulator, token_url=f"{URL}{simulator.token_path}")

    found = await connector.check()

    assert [finding.problem for finding in found][-1] == "token_url names no appName."
    assert "?appName=" in found[-1].fix


@pytest.mark.parametrize("totals", [True, False])
@pytest.mark.parametrize("noun", ["user", "enrollment"])
async def test_links_that_go_round_and_a_last_page_that_is_the_current_one_lose_nobody(
    district: SampleDistrict, noun: Any, *, totals: bool
) -> None:
    simulator = InfiniteCampusSimulator(district, totals=totals)
    wanted = district.users if noun == "user" else district.enrollments

    read = await _read(_connector(simulator), noun)

    assert set(read) == {record.sourced_id for record in wanted}


async def test_hazard_10_ids_that_changed_with_the_version_are_bridged(district: SampleDistrict) -> None:
    old, new = (InfiniteCampusSimulator(district, version=version) for version in ("1.1", "1.2"))
    before, after = _connector(old), _connector(new, ids="legacy")

    for noun in ("user", "enrollment"):
        was, now = await _read(before, noun), await _read(after, noun)
        assert set(was) == set(now)
        assert [_people(was[one]) for one in was] == [_people(now[one]) for one in was]
    assert "Sschool-1-s00001" in await _read(after, "user")


def _people(record: Record) -> Any:
    """Whom a record names."""
    if isinstance(record, User):
        return record.agents
    assert isinstance(record, Enrollment)
    return record.user


async def test_without_the_bridge_people_have_the_ids_of_1_2(district: SampleDistrict) -> None:
    read = await _read(_connector(InfiniteCampusSimulator(district)), "user")

    assert set(read) == {user.sourced_id for user in district.users}


async def test_a_campus_that_does_not_tell_the_old_ids_is_found_before_a_run(
    district: SampleDistrict, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = InfiniteCampusSimulator(district)
    assert await _connector(simulator, ids="legacy").check() == []
    monkeypatch.setattr(InfiniteCampusSimulator, "shape", InfiniteCampusSimulator.__mro__[1].shape)  # type: ignore[attr-defined] # its parent's

    [finding] = await _connector(simulator, ids="legacy").check()

    assert finding.problem == "Campus does not tell which ids people had in OneRoster 1.1."


def test_a_bridge_that_cannot_be_read_whole_lets_nobody_in_as_new(district: SampleDistrict) -> None:
    simulator = InfiniteCampusSimulator(district, misbehave={"half"}, totals=True)

    with pytest.raises(SourceError, match="not everybody's ids could be read") as told:
        hurried(_read(_connector(_miscounting(simulator), ids="legacy"), "enrollment"))
    assert told.value.retry


def _miscounting(simulator: InfiniteCampusSimulator) -> InfiniteCampusSimulator:
    """The server, which counts more people than it gives."""

    async def count(response: Any) -> Any:
        if response.headers.get("X-Total-Count"):
            response.headers["X-Total-Count"] = str(int(response.headers["X-Total-Count"]) + 5)
        return response

    simulator.app.after_request(count)
    return simulator


def test_an_old_id_that_two_people_share_is_given_to_neither() -> None:
    bridge = Bridge()
    told = [("new-1", "S1"), ("new-2", "S1"), ("new-3", "S3")]
    bridge.add([{"sourcedId": now, "metadata": {"ic": {"legacySourceId": old}}} for now, old in told])
    bridge.complete()

    assert [bridge[one] for one in ("new-1", "new-2", "new-3", "new-4", None)] == [
        "new-1",
        "new-2",
        "S3",
        "new-4",
        None,
    ]


@pytest.mark.parametrize(
    "metadata",
    [{"ic": {"legacySourceId": " S1 "}}, {"ic.legacySourceId": "S1"}],
)
def test_the_old_id_is_found_in_either_form(metadata: Any) -> None:
    assert legacy_id({"metadata": metadata}) == "S1"


@pytest.mark.parametrize("metadata", [None, "", [], {}, {"ic": None}, {"ic": {"legacySourceId": ""}}, {"ic": 7}])
def test_no_old_id_is_no_trouble(metadata: Any) -> None:
    assert legacy_id({"metadata": metadata}) is None


async def test_attendance_goes_out_only_where_a_folder_is_set(district: SampleDistrict, tmp_path: Path) -> None:
    simulator = InfiniteCampusSimulator(district)
    without = _connector(simulator)
    with_folder = _connector(simulator, attendance_folder=tmp_path, attendance_level="day")

    assert isinstance(with_folder, WithAttendanceFile)
    assert (without.attendance_out, with_folder.attendance_out, with_folder.attendance_level) == ("none", "file", "day")
    missing = _connector(simulator, attendance_folder=tmp_path / "none")
    assert [one.problem for one in await missing.check()] == ["The folder for attendance files is not there."]


def test_the_ids_of_1_1_need_no_bridge_in_1_1() -> None:
    with pytest.raises(ValidationError, match=r"ids = legacy is for version 1\.2"):
        _settings(version="1.1", ids="legacy")


def test_the_secret_is_never_printed() -> None:
    settings = _settings(client_secret="a-secret-of-campus")

    assert "a-secret-of-campus" not in f"{settings!r} {settings} {InfiniteCampus(settings, services())!r}"


def test_the_settings_on_the_page_are_ones_that_it_takes() -> None:
    page = Path("docs/infinite-campus.md").read_text("utf-8")
    [block] = [part.partition("```")[0] for part in page.split("```toml\n")[1:]]
    told = tomllib.loads(block.replace("\n# ", "\n"))["plugins"]["infinite_campus"]

    settings = InfiniteCampusSettings(**{**told, "client_id": "us", "client_secret": "x", "min_interval": 0.5})

    assert settings.ids == "legacy"
    assert set(told) >= {"base_url", "token_url", "attendance_folder", "attendance_level", "scope"}
