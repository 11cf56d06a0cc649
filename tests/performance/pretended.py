"""A server that says what Homeroom says and does wrong what its environment asks, to test the measuring clients."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from quart import Quart, request, websocket

app = Quart("pretended", static_folder=None)
WRONG = os.environ.get("PRETEND", "")
CODE = "123456"
SENT = {"lost": 0, "doubled": 2}
_sockets: list[Any] = []
_seen = 0


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/api/v1/sessions/<session_id>/challenge")
async def challenge(session_id: str) -> tuple[dict[str, str], int]:
    if WRONG == "no-code":
        return {"title": "No code"}, 403
    expires = datetime.now(UTC) + timedelta(seconds=0.2)
    return {"kind": session_id, "code": CODE, "expires_at": expires.isoformat()}, 200


@app.post("/api/v1/attendance/checkin")
async def check_in() -> tuple[dict[str, Any], int]:
    global _seen  # noqa: PLW0603 - one process, one count
    _seen += 1
    number = _seen
    body = await request.get_json()
    if body["proof"]["code"] != CODE or (WRONG == "refuses" and number % 5 == 0):
        return {"title": "That is not the code"}, 422
    if WRONG == "dies" and number == 10:
        os._exit(1)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    message = f'{{"type":"attendance","cursor":"{number}","recorded_at":"{now}"}}'
    for place, socket in enumerate(list(_sockets)):
        for _ in range(SENT.get(WRONG, 1) if place == 0 and number == 2 else 1):
            await socket.send(message)
    return {"id": str(number)}, 201


@app.websocket("/ws/class/<class_id>")
async def watch(class_id: str) -> None:
    if WRONG == "closes":
        await websocket.accept()
        await websocket.close(4403)
        return
    await websocket.send(f'{{"type":"hello","class_id":"{class_id}","padding":"{"x" * 70_000}"}}')
    _sockets.append(websocket._get_current_object())  # type: ignore[attr-defined]
    while True:
        await websocket.receive()
