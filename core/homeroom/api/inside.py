"""The REST routes called in process, for plugins that act with the rights of the person who is signed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from homeroom.services import ApiAnswer

_NOBODY = "in-process"
_NOT_LOCAL = {"Forwarded": "for=unknown"}
"""Being inside gives no rights of its own, also where the address that is asked for is this machine's."""


class InProcess:
    """Calls `app` as a client over the network would, without the network."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        client: str | None = None,
    ) -> ApiAnswer:
        """The answer to one request; `headers` carry the caller's own Authorization.

        `client` is the address for which it is made, so that limits by address count who asks and not this process.
        """
        transport = httpx2.ASGITransport(app=self._app, client=(client or _NOBODY, 0), raise_app_exceptions=False)
        sent = {**(headers or {}), **_NOT_LOCAL}
        request = httpx2.Request(method, f"http://homeroom{path}", headers=sent, json=json)
        answer = await transport.handle_async_request(request)
        return ApiAnswer(status=answer.status_code, headers=dict(answer.headers), body=await answer.aread())
