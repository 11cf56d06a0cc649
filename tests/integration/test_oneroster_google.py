"""The calls of Google's OneRoster conformance notebooks (1.1 and 1.2), written anew, against the simulator.

What they ask for and what they look at is theirs (googleworkspace/oneroster-integration-conformance-tests, the
rostering part; grades are no business of ours): the scopes, the unencoded filter, the pages of 10,000.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import httpx2
import pytest

from homeroom import AcademicSession
from homeroom.testing import sample_district
from homeroom_oneroster.shapes import Version
from homeroom_oneroster.simulator import OneRosterSimulator

URL = "https://sis.example"
SCOPES = ("roster.readonly", "gradebook.readonly", "gradebook.createput", "gradebook.delete")
SPEC = {"1.1": "v1p1", "1.2": "v1p2"}


@asynccontextmanager
async def _client(version: Version) -> AsyncIterator[tuple[OneRosterSimulator, httpx2.AsyncClient]]:
    """Somebody else's client, signed in as theirs is: by Basic, with scopes for grades that no roster grants."""
    simulator = OneRosterSimulator(sample_district(students=60), version=version)
    simulator.put(
        AcademicSession(
            sourced_id="quarter-1",
            title="Quarter 1",
            kind="gradingPeriod",
            begins_on=date(2026, 8, 17),
            ends_on=date(2026, 10, 17),
            school_year=2027,
            parent="term-1",
        )
    )
    pair = base64.b64encode(f"{simulator.client_id}:{simulator.client_secret}".encode()).decode()
    scope = " ".join(f"https://purl.imsglobal.org/spec/or/{SPEC[version]}/scope/{name}" for name in SCOPES)
    transport = httpx2.ASGITransport(app=simulator.app)  # type: ignore[arg-type] # Quart's ASGI types are its own
    async with httpx2.AsyncClient(transport=transport) as client:
        answer = await client.post(
            f"{URL}{simulator.token_path}",
            headers={"Authorization": f"Basic {pair}", "Content-Type": "application/x-www-form-urlencoded"},
            data={"grant_type": "client_credentials", "scope": scope},
        )
        assert answer.status_code == 200
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        client.base_url = httpx2.URL(f"{URL}{simulator.prefixes[version]}")
        yield simulator, client


async def _rows(client: httpx2.AsyncClient, path: str, wrapped: str) -> list[dict[str, Any]]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()[wrapped]
    return found


@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_the_conformance_calls_find_a_teacher_by_address_the_classes_and_their_students(version: Version) -> None:
    async with _client(version) as (simulator, client):
        email = simulator.district.people("teacher")[0].email

        assert len(await _rows(client, "/teachers?limit=1", "users")) == 1
        [teacher] = await _rows(client, f"/teachers?filter=email='{email}'&limit=10000", "users")
        assert teacher.keys() >= {"email", "sourcedId"}
        classes = await _rows(
            client, f"/teachers/{teacher['sourcedId']}/classes?limit=10000&filter=status='active'", "classes"
        )
        assert classes[0]["school"]["sourcedId"] == simulator.district.classes[0].school
        students = await _rows(client, f"/classes/{classes[0]['sourcedId']}/students?limit=10000", "users")
        assert students
        assert all(student.keys() >= {"email", "sourcedId"} for student in students)
        term = classes[0]["terms"][0]["sourcedId"]
        periods = await _rows(client, f"/terms/{term}/gradingPeriods?limit=10000", "academicSessions")
        assert [period["type"] for period in periods] == ["gradingPeriod"]
        assert periods[0].keys() >= {"sourcedId", "title", "startDate", "endDate", "schoolYear"}


async def test_a_client_without_the_secret_gets_no_token_and_no_rows() -> None:
    async with _client("1.2") as (simulator, client):
        wrong = base64.b64encode(f"{simulator.client_id}:wrong".encode()).decode()
        token = await client.post(
            f"{URL}{simulator.token_path}",
            headers={"Authorization": f"Basic {wrong}"},
            data={"grant_type": "client_credentials"},
        )
        rows = await client.get("/teachers", headers={"Authorization": "Bearer made up"})

    assert (token.status_code, token.json()) == (401, {"error": "invalid_client"})
    assert rows.status_code == 401
