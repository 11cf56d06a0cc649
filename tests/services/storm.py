"""A class full of students who all check in at once, over HTTP, and boards that watch it, whatever the server does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import httpx2
import websockets

from homeroom import gate
from homeroom.auth import sessions
from homeroom.auth.tokens import AccessTokens, RefreshTokens
from homeroom.settings import Settings
from homeroom.store import Connection, Store, Transaction
from homeroom.store import models as m
from tests.services.world import TODAY

CLASS, SESSION = "storm", "storm-session"
_AT_ONCE = 24


@dataclass(slots=True)
class Storm:
    """What has happened so far. `answers` holds each student's answers in order: status and record id.

    `again` are the problems after which a student tries again, with the code that is shown then.
    """

    url: str
    tokens: dict[str, str]
    teacher: str
    session: str = SESSION
    at_once: int = _AT_ONCE
    again: Collection[str] = ("code-expired",)
    code: str = ""
    answers: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    odd: list[tuple[int, str]] = field(default_factory=list)
    lost: int = 0

    @property
    def checked_in(self) -> int:
        """How many students have an answer."""
        return len(self.answers)

    async def blow(self) -> None:
        """Check every student in; who gets no answer tries again."""
        waiting = deque(self.tokens)
        async with httpx2.AsyncClient(base_url=self.url, timeout=10) as client:
            showing = asyncio.create_task(self._show(client))
            await asyncio.gather(*(self._student(client, waiting) for _ in range(self.at_once)))
            showing.cancel()

    async def _show(self, client: httpx2.AsyncClient) -> None:
        """Keep the code on the teacher's screen fresh."""
        headers = {"Authorization": f"Bearer {self.teacher}"}
        while True:
            with contextlib.suppress(httpx2.TransportError):
                answer = await client.get(f"/api/v1/sessions/{self.session}/challenge", headers=headers)
                if answer.status_code == 200:
                    self.code = answer.json()["code"]
            await asyncio.sleep(1 if self.code else 0.02)

    async def _student(self, client: httpx2.AsyncClient, waiting: deque[str]) -> None:
        while waiting:
            student = waiting.popleft()
            while not await self._check_in(client, student):  # noqa: ASYNC110 - there is no event in another process
                await asyncio.sleep(0.02)

    async def _check_in(self, client: httpx2.AsyncClient, student: str) -> bool:
        headers = {"Authorization": f"Bearer {self.tokens[student]}"}
        body: dict[str, Any] = {"session_id": self.session, "proof": {"code": self.code}}
        if not self.code:
            return False
        try:
            answer = await client.post("/api/v1/attendance/checkin", json=body, headers=headers)
        except httpx2.TransportError:
            self.lost += 1
            return False
        if answer.status_code in (422, 429) and any(word in answer.text for word in self.again):
            self.code = "" if self.code == body["proof"]["code"] else self.code
            return False
        if answer.status_code == 503 or gate.NOT_CHECKED in answer.text:
            return False
        if answer.status_code not in (200, 201):
            self.odd.append((answer.status_code, answer.text))
            return True
        self.answers.setdefault(student, []).append((answer.status_code, answer.json()["id"]))
        return True


@dataclass(slots=True)
class Board:
    """One that comes back with its cursor each time it is cut off. `seen` holds the students in the order shown."""

    url: str
    token: str
    class_id: str = CLASS
    seen: list[str] = field(default_factory=list)
    cursor: str | None = None
    connections: int = 0
    hellos: int = 0

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                async with websockets.connect(self._address(), additional_headers=self._headers()) as connection:
                    self.connections += 1
                    async for text in connection:
                        self._hear(json.loads(text))
            except (OSError, websockets.WebSocketException):
                pass
            await asyncio.sleep(0.02)

    def _hear(self, message: dict[str, Any]) -> None:
        self.cursor = message.get("cursor", self.cursor)
        self.hellos += message["type"] == "hello"
        if message["type"] == "attendance":
            self.seen.append(message["student_id"])

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def _address(self) -> str:
        after = f"?after={self.cursor}" if self.cursor else ""
        return f"{self.url.replace('http', 'ws', 1)}/ws/class/{self.class_id}{after}"


def gather_class(store: Store, settings: Settings, count: int) -> dict[str, str]:
    """One class of `count` students with an open session and a teacher; gives everybody's access token."""
    access, refresh = AccessTokens(settings.auth), RefreshTokens(store.cipher.derive("refresh tokens"))
    students = [f"student{n:05}" for n in range(count)]
    people = [("teacher", "teacher"), *((student, "student") for student in students)]
    secrets = {user: refresh.make(f"session-{user}") for user, _ in people}

    def build(tx: Transaction) -> None:
        tx.insert(m.Org, id="district", name="District", kind="district", time_zone="UTC", changed_at=tx.now)
        tx.insert(
            m.Org, id="school", name="School", kind="school", parent_id="district", time_zone="UTC", changed_at=tx.now
        )
        tx.insert(m.Class, id=CLASS, title="Storm", school_id="school", changed_at=tx.now)
        for user, role in people:
            tx.insert(m.User, id=user, given_name=user, family_name="S", sort_name=user, changed_at=tx.now)
            tx.insert(m.RoleAssignment, user_id=user, role=role, org_id="school")
            tx.insert(m.Enrollment, user_id=user, class_id=CLASS, role=role, changed_at=tx.now)
            session = f"session-{user}"
            sessions.start(tx, session_id=session, user_id=user, refresh_token=secrets[user], device="", days=1)
        values = {"school_day": TODAY, "starts_at": tx.now, "late_after_minutes": 5, "methods": ["rotating_code"]}
        tx.insert(m.ClassSession, id=SESSION, class_id=CLASS, school_id="school", **values)

    store.write_now(build)
    return {user: access.issue(user_id=user, session_id=f"session-{user}") for user, _ in people}


def kept(connection: Connection) -> tuple[dict[str, str], Counter[str], int]:
    """What the database holds: record ids by student, journal rows by student, and the class's counter."""
    records = dict(connection.sql("SELECT student_id, id FROM attendance_records WHERE session_id = ?", (SESSION,)))
    told = connection.sql("SELECT student_id FROM journal WHERE kind = 'attendance.recorded'")
    counted = connection.sql("SELECT present + tardy FROM attendance_counts WHERE class_id = ?", (CLASS,))
    return records, Counter(row[0] for row in told), int(counted[0][0]) if counted else 0
