"""Students who check in as students do: most in time, some late, some with a wrong code first, and one not at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import structlog

from homeroom.store import now_utc

log = structlog.get_logger("homeroom.demo")

LATE_AFTER_MINUTES = 5
ON_TIME_SECONDS = 45.0
"""How long after the demo began students still come in time."""
LAST_SECONDS = 75.0
_SHARE_LATE = 0.15
_SHARE_WRONG_FIRST = 0.2
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One student's coming: when, in seconds after the start, and whether the first code is mistyped."""

    student_id: str
    after: float
    wrong_first: bool


def plan_visits(student_ids: Sequence[str], *, seed: int = 1) -> list[Visit]:
    """Who comes when; the last of the students stays away."""
    dice = random.Random(seed)  # noqa: S311 - a play, and the same one each time
    coming = list(student_ids)[:-1]
    late = set(coming[-max(1, round(len(coming) * _SHARE_LATE)) :])
    visits = [
        Visit(
            student_id=student,
            # Most come early, so that there is something to see at once.
            after=dice.uniform(ON_TIME_SECONDS + 2, LAST_SECONDS)
            if student in late
            else (ON_TIME_SECONDS - 2) * dice.random() ** 2,
            wrong_first=dice.random() < _SHARE_WRONG_FIRST,
        )
        for student in coming
    ]
    return sorted(visits, key=lambda visit: visit.after)


class Api:
    """The REST API as one person's app uses it."""

    def __init__(self, client: httpx2.AsyncClient, token: str) -> None:
        self._client = client
        self.token = token
        self._headers = {"Authorization": f"Bearer {token}"}

    async def get(self, path: str) -> dict[str, Any]:
        """What the path answers. Raises HTTPError for anything but success."""
        answer = await self._client.get(f"/api/v1{path}", headers=self._headers)
        return dict(answer.raise_for_status().json())

    async def post(self, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """The answer, whatever it is."""
        return await self._client.post(f"/api/v1{path}", json=dict(body), headers=self._headers)


async def sign_in(client: httpx2.AsyncClient, email: str, password: str) -> Api:
    """The API for the person with this sign-in. Raises HTTPError when it is refused."""
    answer = await client.post("/api/v1/auth/login", json={"email": email, "password": password})
    return Api(client, answer.raise_for_status().json()["access_token"])


async def open_session(teacher: Api, class_id: str) -> str:
    """A session that began as long ago as makes those late who come after ON_TIME_SECONDS; gives its id."""
    began = now_utc() - timedelta(minutes=LATE_AFTER_MINUTES) + timedelta(seconds=ON_TIME_SECONDS)
    body = {
        "starts_at": began.isoformat().replace("+00:00", "Z"),
        "late_after_minutes": LATE_AFTER_MINUTES,
        "methods": ["rotating_code"],
    }
    answer = await teacher.post(f"/classes/{class_id}/sessions", body)
    return str(answer.raise_for_status().json()["id"])


async def simulate(teacher: Api, students: Mapping[str, Api], session_id: str, visits: Sequence[Visit]) -> int:
    """Let everybody come at their time; gives how many were recorded."""
    began = asyncio.get_running_loop().time()

    async def come(visit: Visit) -> bool:
        await asyncio.sleep(began + visit.after - asyncio.get_running_loop().time())
        try:
            return await _check_in(teacher, students[visit.student_id], session_id, wrong_first=visit.wrong_first)
        except httpx2.HTTPError as exc:
            log.warning("simulated_check_in_failed", error=type(exc).__name__)
            return False

    return sum(await asyncio.gather(*(come(visit) for visit in visits)))


async def _check_in(teacher: Api, student: Api, session_id: str, *, wrong_first: bool) -> bool:
    """Read the code off the teacher's screen and send it, as often as a patient student would."""
    for attempt in range(_TRIES):
        code = str((await teacher.get(f"/sessions/{session_id}/challenge"))["code"])
        sent = _mistyped(code) if wrong_first and attempt == 0 else code
        answer = await student.post("/attendance/checkin", {"session_id": session_id, "proof": {"code": sent}})
        if answer.status_code in (200, 201):
            return True
        if answer.status_code == 409:  # noqa: PLR2004 - the session is closed: nobody comes any more
            return False
        await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))
    return False


def _mistyped(code: str) -> str:
    """The code with its last digit wrong."""
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"
