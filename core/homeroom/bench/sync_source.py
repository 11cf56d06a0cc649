"""The SIS of `homeroom bench sync`: a vendor's simulator in a process of its own.

Beside the vendor's routes it answers

GET /health          that it serves
GET /bench/settings  the connector's settings for it
GET /bench/asked     what it was asked since this was asked last: [method, path with query, status, hash of the body]
GET /bench/marks     how many marks of attendance were written to it
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from homeroom.bench.exchange import HOST
from homeroom.cli import server
from homeroom.host import discovery
from homeroom.testing import sample_district
from homeroom.testing.simulator import Simulator

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_GROUP = "homeroom.simulators"
_OK = 200
_SINCE = timedelta(days=60)  # how long school has been on


@dataclass(slots=True)
class _Answer:
    """One answer as it was sent."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class Source:
    """An ASGI application around a simulator."""

    def __init__(self, simulator: Simulator, url: str) -> None:
        self._simulator = simulator
        self._url = url
        self._asked: list[tuple[str, str, int, int]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        app: Any = self._simulator.app
        path = scope.get("path", "")
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif path == "/health" or path.startswith("/bench/"):
            await _send(send, _Answer(_OK, [(b"content-type", b"application/json")], self._told(path)))
        else:
            await self._serve(app, scope, receive, send)

    async def _serve(self, app: Any, scope: Scope, receive: Receive, send: Send) -> None:
        target = f"{scope['path']}?{scope['query_string'].decode()}"
        body = await _body(receive)
        answer = await _answer(app, scope, body)
        self._asked.append((scope["method"], target, answer.status, hash(body)))
        await _send(send, answer)

    def _told(self, path: str) -> bytes:
        match path:
            case "/bench/settings":
                return orjson.dumps(self._simulator.settings(self._url))
            case "/bench/asked":
                asked, self._asked = self._asked, []
                return orjson.dumps(asked)
            case "/bench/marks":
                return orjson.dumps(len(self._simulator.attendance()))
        return b'{"status": "ok"}'


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _answer(app: Any, scope: Scope, body: bytes) -> _Answer:
    answer = _Answer()
    waiting = asyncio.Event()

    async def give() -> Message:
        if waiting.is_set():
            await asyncio.Event().wait()  # the client stays until it is answered
        waiting.set()
        return {"type": "http.request", "body": body, "more_body": False}

    async def take(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], list(message["headers"])
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")

    await app(scope, give, take)
    return answer


async def _send(send: Send, answer: _Answer) -> None:
    headers = [(name, value) for name, value in answer.headers if name.lower() != b"content-length"]
    length = (b"content-length", str(len(answer.body)).encode())
    await send({"type": "http.response.start", "status": answer.status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def _serve(source: Source, listening: Any) -> None:
    from homeroom.cli import connections

    stopping = server.stop_signals()
    app: Any = source
    await connections.serve(app, server.hypercorn_config(listening, None), stop=stopping.wait)


def command(name: str, students: int) -> Callable[[int], list[str]]:
    """How to start the simulator `name` on a port."""
    return lambda port: [sys.executable, "-m", __name__, name, str(students), str(port)]


def main() -> None:
    """Serve on the port of the last argument."""
    name, students, port = sys.argv[1:]
    found: Any = discovery.load(name, _GROUP)
    began = datetime.now(UTC).date() - _SINCE
    simulator: Simulator = found(sample_district(students=int(students), starts_on=began))
    gc.collect()
    gc.freeze()
    with server.listen(HOST, int(port)) as listening:
        asyncio.run(_serve(Source(simulator, server.url_of(listening)), listening))


if __name__ == "__main__":
    main()
