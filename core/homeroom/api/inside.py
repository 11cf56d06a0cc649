"""The REST routes called in process, for plugins that act with the rights of the person who is signed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from homeroom.services import ApiAnswer

_NOBODY = ("in-process", 0)  # not a loopback address: being inside gives no rights of its own


class InProcess:
    """Calls `app` as a client over the network would, without the network."""

    def __init__(self, app: Any) -> None:
        transport = httpx2.ASGITransport(app=app, client=_NOBODY, raise_app_exceptions=False)
        self._client = httpx2.AsyncClient(transport=transport, base_url="http://homeroom", follow_redirects=False)

    async def __call__(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, json: Any = None
    ) -> ApiAnswer:
        """The answer to one request; `headers` carry the caller's own Authorization or Cookie."""
        answer = await self._client.request(method, path, headers=dict(headers or {}), json=json)
        return ApiAnswer(status=answer.status_code, headers=dict(answer.headers), body=answer.content)
