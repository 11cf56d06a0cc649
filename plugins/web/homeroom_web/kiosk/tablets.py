"""Which tablet a browser is: the token behind its cookie, and the three routes that a tablet may call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from quart import Response, request

from homeroom import Services
from homeroom_web.visitors import Failed, call
from homeroom_web.words import to_say

COOKIE = "homeroom_kiosk"
PATH = "/kiosk"
_YEAR = 365 * 24 * 3600
NOT_IN_USE = to_say("Tablets at the door are not in use here: the plugin kiosk is not switched on.")


@dataclass(frozen=True, slots=True)
class Told:
    """What a route answered to the tablet."""

    status: int
    body: dict[str, Any] = field(repr=False)

    @property
    def went_well(self) -> bool:
        """Whether it was done."""
        return self.status < 400  # noqa: PLR2004


class Tablets:
    """Browsers that are tablets. `secure` is whether cookies travel over TLS only."""

    def __init__(self, services: Services, *, secure: bool) -> None:
        self._services = services
        self._secure = secure

    async def state(self) -> Told | None:
        """Where this tablet stands; None for a browser that is none, or is none any more."""
        if not request.cookies.get(COOKIE):
            return None
        told = await self._ask("GET", "/tablet")
        return None if told.status == 401 else told  # noqa: PLR2004

    async def enter(self, direction: str, once: str, proof: dict[str, str]) -> Told:
        """What becomes of somebody who shows this at the tablet."""
        return await self._ask("POST", "/entries", {"direction": direction, "once": once, "proof": proof})

    async def set_up(self, code: str) -> Told:
        """What becomes of the office's code."""
        return await self._ask("POST", "/set-up", {"code": code})

    def keep(self, response: Response, token: str) -> None:
        """Let this browser be the tablet. No script can read the cookie, and no other page is sent it."""
        response.set_cookie(
            COOKIE, token, max_age=_YEAR, path=PATH, httponly=True, secure=self._secure, samesite="Strict"
        )

    def forget(self, response: Response) -> None:
        """Let this browser be no tablet any more."""
        response.delete_cookie(COOKIE, path=PATH)

    async def _ask(self, method: str, path: str, json: Any = None) -> Told:
        token = request.cookies.get(COOKIE)
        answer = await call(self._services, method, f"/api/v1/kiosk{path}", json=json, access=token)
        if answer.status == 404:  # noqa: PLR2004 - below the prefix of a plugin that is not there
            raise Failed(answer.status, NOT_IN_USE)
        return Told(answer.status, orjson.loads(answer.body) if answer.body else {})
