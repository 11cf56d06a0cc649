"""Rotating codes as a classroom sees them: fetched by the teacher over HTTP, and again whenever they change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from homeroom.bench.exchange import CannotMeasure, ask, request

PLACEHOLDER = b"######"
"""Stands in a prepared request where the code goes; as long as a code, so that lengths stay right."""

_BUSY = (OSError, TimeoutError, CannotMeasure)
_BETWEEN = 1.0  # seconds until a screen that got none asks again


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


@retry(retry=retry_if_exception_type(_BUSY), stop=stop_after_attempt(5), wait=wait_fixed(_BETWEEN), reraise=True)
async def _first(port: int, teacher: Teacher, codes: dict[str, bytes]) -> datetime:
    """The first code of a session, for which a screen asks a few times. Raises CannotMeasure when there is none."""
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
        try:
            expires = await _fetch(port, teacher, codes)
        except _BUSY:  # a code is good for a step more
            expires = datetime.now(UTC) + timedelta(seconds=_BETWEEN)
