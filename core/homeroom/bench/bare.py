"""The baselines: what Quart does on the same server with nothing of ours in it. Imports nothing but Quart.

POST /bare      reads JSON, answers a small JSON with 201, and sends the message to every listener, one after another
POST /message   sets that message; MARK in it becomes the moment of sending
WS /bare        a listener to every post
WS /bare/OF     a listener to those whose session_id is OF
GET /health     says that it serves
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from quart import Quart, request, websocket

MARK = "0000-00-00T00:00:00.000000Z"

app = Quart("bare", static_folder=None)
_sockets: defaultdict[str, set[Any]] = defaultdict(set)
_message = ""


@app.get("/health")
async def health() -> dict[str, str]:
    """Whether it serves."""
    return {"status": "ok"}


@app.post("/message")
async def keep() -> tuple[dict[str, str], int]:
    """Keep the text that later posts send."""
    global _message  # noqa: PLW0603 - a baseline is as plain as can be
    _message = str(await request.get_data(as_text=True))
    return {"status": "kept"}, 201


@app.post("/bare")
async def post() -> tuple[dict[str, Any], int]:
    """Answer a JSON body, after a plain loop over whoever listens."""
    body = await request.get_json()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if listening := [*_sockets[""], *_sockets[body["session_id"]]]:
        message = _message.replace(MARK, now)
        for socket in listening:
            await socket.send(message)
    return {"id": "bare", "session_id": body["session_id"], "status": "present", "recorded_at": now}, 201


@app.websocket("/bare", defaults={"of": ""})
@app.websocket("/bare/<of>")
async def listen(of: str) -> None:
    """Be among those who are sent the message."""
    socket = websocket._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - Werkzeug's documented name
    await socket.accept()
    _sockets[of].add(socket)
    try:
        while True:
            await socket.receive()
    finally:
        _sockets[of].discard(socket)
