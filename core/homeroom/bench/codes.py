"""Rotating codes as a classroom sees them: fetched by the teacher over HTTP, and again whenever they change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from homeroom.bench.exchange import CannotMeasure, ask, request

PLACEHOLDER = b"######"
"""Stands in a prepared request where the code goes; as long as a code, so that lengths stay right."""

_TRIES = 5
_BETWEEN = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """Who shows the code of which session."""

    session_id: str
    token: str


@contextlib.asynccontextmanager
async def shown(port: int, teachers: list[Teacher]) -> AsyncIterator[Mapping[str, bytes]]:
    """The current code of each session by its id, kept current until the end."""
    codes: dict[str, bytes] = {}
    expiries = [await _first(port, teacher, codes) for teacher in teachers]
    tasks = [asyncio.create_task(_keep(port, t, codes, e)) for t, e in zip(teachers, expiries, strict=True)]
    try:
        yield codes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first(port: int, teacher: Teacher, codes: dict[str, bytes]) -> datetime:
    """The first code of a session, for which a screen asks a few times. Raises CannotMeasure when there is none."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(OSError, TimeoutError, CannotMeasure):
            return await _fetch(port, teacher, codes)
        await asyncio.sleep(_BETWEEN)
    return await _fetch(port, teacher, codes)


async def _fetch(port: int, teacher: Teacher, codes: dict[str, bytes]) -> datetime:
    answer = await ask(port, request("GET", f"/api/v1/sessions/{teacher.session_id}/challenge", token=teacher.token))
    if answer.status != 200:  # noqa: PLR2004 - the only good one
        raise CannotMeasure(f"the challenge of a session was answered {answer.status}: {answer.body[:300].decode()}")
    challenge = orjson.loads(answer.body)
    codes[teacher.session_id] = challenge["code"].encode()
    return datetime.fromisoformat(challenge["expires_at"])


async def _keep(port: int, teacher: Teacher, codes: dict[str, bytes], expires: datetime) -> None:
    while True:
        await asyncio.sleep(max(0.1, (expires - datetime.now(UTC)).total_seconds()))
        # A code is good for a step more; a screen that got none at a busy moment asks again.
        with contextlib.suppress(OSError, TimeoutError, CannotMeasure):
            expires = await _fetch(port, teacher, codes)
