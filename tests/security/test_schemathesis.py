"""The running server is asked everything that its own description allows, and much that it does not.

No answer is a 5xx, and none is undocumented: status, media type and body agree with /openapi.json.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from homeroom.host import PluginsConfig
from tests.services.server import Server, serving, settings_for
from tests.services.world import build_in

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
FORM = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
LONG = settings(FORM, max_examples=400)


async def attack(server: Server, who: str | None, form: settings) -> None:
    """Ask every operation as `who`, and hold each answer against the description."""
    headers = {"Authorization": f"Bearer {await server.token(who)}"} if who else {}
    async with httpx2.AsyncClient(base_url=server.url) as client:
        description = (await client.get("/openapi.json")).json()
    schema = schemathesis.openapi.from_dict(description)
    schema.config.update(base_url=server.url)
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr] # an invalid description raises here
        if operation.path.endswith(("/logout", "/auth/sessions/{session_id}")):
            continue  # it would end the sign-in that the others need; tests/integration/test_accounts.py has it

        @form
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=list(CHECKS), timeout=30)

        await asyncio.to_thread(ask)


@pytest.mark.parametrize("who", ["admin", "teacher_a", None])
async def test_no_answer_is_a_fault_or_undocumented(sqlite_url: str, who: str | None) -> None:
    await run(sqlite_url, who, FORM)


@pytest.mark.long
@pytest.mark.parametrize("who", ["admin", "teacher_a", "ann", "guardian_ann"])
async def test_no_answer_is_a_fault_or_undocumented_at_length(database_url: str, who: str) -> None:
    await run(database_url, who, LONG)


async def run(url: str, who: str | None, form: settings) -> None:
    plugins = PluginsConfig(enabled=("rotating_code", "geofence"), sections={"geofence": {"areas": {}}})
    limits = {"requests_per_minute": 1_000_000}
    async with serving(settings_for(url, plugins=plugins, server=limits)) as server:
        build_in(server.district.store)
        await attack(server, who, form)
