"""A check-in as the pages send it: to the session that it names, or to the one of its student's that it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from homeroom_web.visitors import Failed, Visitor

_WRONG = 422
_TRIED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What was filled in or scanned; `session_id` is empty where a device without a network could not tell it."""

    session_id: str
    code: str
    scan: str
    client_id: str
    occurred_at: datetime | None = None
    proof: Mapping[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "proof", {"scan": self.scan} if self.scan else {"code": self.code})


async def send(visitor: Visitor, arrival: Arrival, *, student_id: str, now: datetime, none: Failed) -> dict[str, Any]:
    """The record that a check-in gives. Raises Failed as the route refuses, and `none` where no session fits."""
    refusal = none
    sessions = [arrival.session_id] if arrival.session_id else await _that_fit(visitor, arrival, student_id, now)
    for session_id in sessions[:_TRIED]:
        try:
            return await _send(visitor, arrival, session_id)
        except Failed as refused:
            if refused.status != _WRONG:
                raise
            refusal = refused
    raise refusal


async def _send(visitor: Visitor, arrival: Arrival, session_id: str) -> dict[str, Any]:
    told: dict[str, Any] = {"session_id": session_id, "proof": arrival.proof}
    if arrival.client_id:
        told["client_id"] = arrival.client_id
    if arrival.occurred_at:
        told["occurred_at"] = arrival.occurred_at.isoformat()
    sent: dict[str, Any] = await visitor.send("POST", "/attendance/checkin", told)
    return sent


async def _that_fit(visitor: Visitor, arrival: Arrival, student_id: str, now: datetime) -> list[str]:
    """The student's sessions that were open then and in which nothing stands for them yet, the nearest first."""
    at = arrival.occurred_at or now
    days = f"from={at.date() - timedelta(days=1)}&to={at.date() + timedelta(days=1)}"
    found = []
    for one in (await visitor.get("/classes/?limit=50"))["items"]:
        sessions = (await visitor.get(f"/classes/{one['id']}/sessions?{days}&limit=50"))["items"]
        found += [session for session in sessions if _was_open(session, at)]
    records = (await visitor.get(f"/students/{student_id}/attendance?{days}&limit=200"))["items"]
    settled = {record["session_id"] for record in records if record["origin"] != "close"}
    found.sort(key=lambda session: abs(datetime.fromisoformat(session["starts_at"]) - at))
    return [session["id"] for session in found if session["id"] not in settled]


def _was_open(session: Mapping[str, Any], at: datetime) -> bool:
    """Whether it had not been closed; when it was opened is not told, but its code says whether it had been."""
    return session["closed_at"] is None or datetime.fromisoformat(session["closed_at"]) > at
