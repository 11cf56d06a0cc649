"""1EdTech's own description of OneRoster 1.2, through Prism, judges our requests and the simulator's answers."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import orjson
import pytest
from pydantic import SecretStr

from homeroom import NOUNS, Pull, SisHttp
from homeroom.testing import sample_district, services
from homeroom_oneroster import RestConnector
from homeroom_oneroster.signing import bearer
from homeroom_oneroster.simulator import OneRosterSimulator
from tests.services import prism
from tests.services.judge import judged, on_loopback
from tests.services.run import NotHere

SPECIFICATION = "oneroster/onerosterv1p2rostersservice_openapi3_v1p0.json"
SINCE = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.fixture
def specification(request: pytest.FixtureRequest) -> Path:
    try:
        path = prism.specification(SPECIFICATION)
        prism.command()
    except NotHere as exc:
        request.node.user_properties.append(("missing", str(exc)))
        pytest.skip(str(exc))
    return path


@pytest.fixture
def mocked(specification: Path) -> Iterator[str]:
    """The address of a server made from the specification alone."""
    with prism.mock(specification) as url:
        yield url


@contextlib.asynccontextmanager
async def _judged(simulator: OneRosterSimulator, specification: Path) -> AsyncIterator[str]:
    """The address of the simulator behind Prism: it answers 422 or 500 where the specification is broken."""
    async with on_loopback(simulator.app) as url, judged(f"{url}{simulator.prefixes['1.2']}", specification) as judge:
        yield judge


@contextlib.asynccontextmanager
async def _connector(url: str, token: str = "any") -> AsyncIterator[RestConnector]:  # noqa: S107 - no secret
    given = services("oneroster", http=httpx2.AsyncHTTPTransport())
    yield RestConnector(SisHttp(given, url, auth=bearer(SecretStr(token))))
    await given.close()


async def test_the_connector_reads_a_server_made_from_the_specification(mocked: str) -> None:
    taken, set_aside = set(), set[tuple[str, str | None]]()
    async with _connector(mocked) as connector:
        for noun, since in itertools.product(NOUNS, (None, SINCE)):
            async for page in connector.pull(Pull(noun=noun, since=since)):
                taken |= {(record.noun, since) for record in page.records}
                set_aside |= {(error.noun, error.field) for error in page.errors}

        assert await connector.check() == []
    assert taken == {(noun, since) for noun in NOUNS for since in (None, SINCE)}
    assert set_aside == set()  # also of a term whose year is the word "string", as Prism's sample has it


async def test_the_simulator_keeps_to_the_specification_and_so_do_our_requests(specification: Path) -> None:
    district = sample_district(students=60)
    simulator = OneRosterSimulator(district, auth="bearer", max_limit=100)
    read = 0
    async with (
        _judged(simulator, specification) as url,
        _connector(url, simulator.gate.fixed_token) as connector,
    ):
        for noun in NOUNS:
            for since in (None, SINCE):
                pages = [page async for page in connector.pull(Pull(noun=noun, since=since))]
                assert not any(page.errors for page in pages)
                read += sum(len(page.records) for page in pages)

    places = len(district.orgs) + len(district.academic_sessions) + len(district.courses) + len(district.classes)
    assert read == places + len(district.users) + len(district.enrollments)
    assert {asked.status for asked in simulator.asked} == {200}


async def test_every_path_of_the_specification_is_served_and_its_errors_have_its_shape(specification: Path) -> None:
    simulator = OneRosterSimulator(sample_district(students=60), auth="bearer")
    one = simulator.district.classes[0]
    student = simulator.district.people("student")[0]
    ids = {
        "sourcedId": "none",
        "schoolSourcedId": one.school,
        "classSourcedId": one.sourced_id,
        "courseSourcedId": str(one.course),
        "studentSourcedId": student.sourced_id,
        "userSourcedId": student.sourced_id,
        "teacherSourcedId": simulator.district.people("teacher")[0].sourced_id,
        "termSourcedId": "term-1",
    }
    single = {
        "orgs": "district",
        "schools": one.school,
        "classes": one.sourced_id,
        "courses": str(one.course),
        "enrollments": simulator.district.enrollments[0].sourced_id,
        "academicSessions": "year",
        "terms": "term-1",
        "teachers": ids["teacherSourcedId"],
    }
    paths = _paths(specification)
    async with _judged(simulator, specification) as url:
        headers = {"Authorization": f"Bearer {simulator.gate.fixed_token}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
            for path in paths:
                collection = path.split("/")[1]
                asked = path.format(**{**ids, "sourcedId": single.get(collection, student.sourced_id)})
                if collection == "gradingPeriods" and "{" in path:
                    continue  # the sample has none
                response = await client.get(asked, params={} if path.endswith("sourcedId}") else {"limit": 3})
                assert response.status_code == 200, f"{path}: {response.text[:500]}"
            unknown = await client.get("/users/none")
            refused = await client.get("/users", params={"filter": "nothing"})
            unsigned = await client.get("/users", headers={"Authorization": "Bearer wrong"})

    assert len(paths) == 41
    assert [unknown.status_code, refused.status_code, unsigned.status_code] == [404, 400, 401]
    assert (
        unsigned.json()["imsx_CodeMinor"]["imsx_codeMinorField"][0]["imsx_codeMinorFieldValue"] == "unauthorisedrequest"
    )


def _paths(specification: Path) -> list[str]:
    return list(orjson.loads(specification.read_bytes())["paths"])
