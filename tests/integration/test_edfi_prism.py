"""The Ed-Fi Alliance's own description of the API, through Prism, judges our requests and the simulator's answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import httpx2
import pytest

from homeroom import NOUNS, OutgoingMark, Pull
from homeroom.testing import sample_district, services
from homeroom_edfi import EdFi
from homeroom_edfi.connector import Connector
from homeroom_edfi.simulator import EdFiSimulator
from tests.services import prism
from tests.services.judge import judged, on_loopback
from tests.services.run import NotHere


@pytest.fixture
def specification(request: pytest.FixtureRequest) -> Path:
    try:
        path = prism.specification("edfi/resources-ds-5.0.yaml")
        prism.command()
    except NotHere as exc:
        request.node.user_properties.append(("missing", str(exc)))
        pytest.skip(str(exc))
    return path


@pytest.fixture(params=["section", "school"])
async def connector(specification: Path, request: pytest.FixtureRequest) -> AsyncIterator[Connector]:
    simulator = EdFiSimulator(sample_district(students=30))
    async with on_loopback(simulator.app) as url, judged(f"{url}/data/v3", specification) as judge:
        given = services("edfi", http=httpx2.AsyncHTTPTransport())
        # The description holds the resources alone; tokens come from the simulator itself.
        values = {**simulator.settings(judge), "token_url": f"{url}/oauth/token", "data_path": "/"}
        yield Connector(EdFi.Settings.model_validate({**values, "attendance": request.param}), given)
        await given.close()


async def test_every_request_and_every_answer_keeps_to_the_description(connector: Connector) -> None:
    found = {noun: [page async for page in connector.pull(Pull(noun=noun))] for noun in NOUNS}
    assert all(page.records for pages in found.values() for page in pages)
    seat = next(
        record for page in found["enrollment"] for record in page.records if getattr(record, "role", "") == "student"
    )
    mark = OutgoingMark(
        key="1",
        student=getattr(seat, "user", ""),
        school=getattr(seat, "school", ""),
        class_=getattr(seat, "class_", ""),
        school_day=date(2026, 9, 14),
        status="absent",
        code="MED",
        recorded_at=datetime(2026, 9, 14, 14, tzinfo=UTC),
    )
    (first,) = await connector.push([mark])
    (second,) = await connector.push([replace(mark, status="tardy", held=first.held)])
    assert (first.error, second.error, second.held) == (None, None, "Tardy")
