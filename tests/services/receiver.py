"""An integrator's server: checks signatures with the recipe of docs/webhooks.md, and answers as a test wants it to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quart import Quart, Response, request

DOCS = Path(__file__).parents[2] / "docs" / "webhooks.md"
ANY_AGE = 10**10
"""Seconds: for tests whose clock stands still."""

HANG = -1
"""In place of a status: no answer ever."""


def recipe() -> str:
    """The Python of docs/webhooks.md."""
    found = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def is_from_homeroom(*given: Any, **named: Any) -> bool:
    """What the recipe says."""
    space: dict[str, Any] = {}
    exec(recipe(), space)  # noqa: S102 - our own page
    return bool(space["is_from_homeroom"](*given, **named))


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One request that came, whatever was answered. `verified`: the recipe takes it, whatever its age."""

    endpoint: str
    id: str
    json: Any
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    verified: bool
    status: int


class Receiver:
    """`app` answers POST /NAME with what `answer` gives for it: a status, HANG, or a whole response."""

    def __init__(self, secrets: dict[str, str] | None = None) -> None:
        self.secrets = secrets or {}
        self.heard: list[Heard] = []
        self.answer: Callable[[str], int | Response] = lambda _name: 200
        self.app = Quart(__name__)
        self.app.add_url_rule("/<name>", view_func=self._take, methods=["POST"])
        self._came = asyncio.Condition()
        self._let_go = asyncio.Event()
        self._hanging: set[asyncio.Event] = set()

    async def end(self) -> None:
        """Answer whatever still hangs, so that no task outlives the test."""
        self._let_go.set()
        for over in self._hanging:
            await over.wait()
        await asyncio.sleep(0)

    def ids(self, endpoint: str | None = None, *, taken: bool = False) -> list[int]:
        """The number of each event, in the order in which they came; with `taken` only those answered 2xx."""
        return [
            int(one.id.partition("-")[0])
            for one in self.heard
            if endpoint in (None, one.endpoint) and (one.status in range(200, 300) or not taken)
        ]

    async def until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        """Return when `condition` holds, looked at whenever something came. Raises TimeoutError."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(condition)

    async def _take(self, name: str) -> Response:
        body = await request.get_data()
        assert isinstance(body, bytes)
        content = await request.get_json()
        headers = {key.lower(): value for key, value in request.headers.items()}
        answer = self.answer(name)  # may kill the sender: from here on to the next await, nobody calls this off
        self.heard.append(
            Heard(
                endpoint=name,
                id=headers["webhook-id"],
                json=content,
                headers=headers,
                body=body,
                verified=name in self.secrets and is_from_homeroom(self.secrets[name], headers, body, seconds=ANY_AGE),
                status=answer if isinstance(answer, int) else answer.status_code,
            )
        )
        async with self._came:
            self._came.notify_all()
        if answer == HANG:
            over = asyncio.Event()
            self._hanging.add(over)
            try:
                await self._let_go.wait()
            finally:
                over.set()
            return Response("at last", 200)
        return answer if isinstance(answer, Response) else Response("thank you, Ana Ruiz", answer)
