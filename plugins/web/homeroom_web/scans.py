"""What a phone has scanned: exchanged at once for a receipt, because the picture changes while its owner signs in."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import orjson
from quart import Response, request

from homeroom import Services
from homeroom_web.visitors import call

_COOKIE = "homeroom_scan"
_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Receipt:
    """For which session something was scanned, and the proof of it. `good` is False for a picture that had changed."""

    session_id: str
    scan: str
    good: bool = True


class Scans:
    """Receipts of scans. `route` is where they are given; `secure` whether cookies travel over TLS only."""

    def __init__(self, services: Services, *, route: str, secure: bool) -> None:
        self._services = services
        self._route = route
        self._secure = secure

    async def exchange(self, target: str) -> Receipt | None:
        """The receipt for a link that was scanned; None when it is another link, or receipts are not to be had."""
        parts = urlsplit(target)
        asked = parse_qs(parts.query)
        if parts.path != "/check-in" or not asked.get("session") or not asked.get("scan"):
            return None
        session_id, token = asked["session"][0], asked["scan"][0]
        answer = await call(self._services, "POST", self._route, json={"session_id": session_id, "token": token})
        if answer.status == 201:  # noqa: PLR2004
            return Receipt(session_id, orjson.loads(answer.body)["scan"])
        return Receipt(session_id, "", good=False) if answer.status == 422 else None  # noqa: PLR2004

    def keep(self, response: Response, receipt: Receipt) -> None:
        """Let the browser keep a receipt while its owner signs in."""
        if receipt.good:
            value = f"{receipt.session_id}.{receipt.scan}"
            response.set_cookie(_COOKIE, value, max_age=_SECONDS, httponly=True, secure=self._secure, samesite="Lax")

    def kept(self) -> Receipt | None:
        """The receipt that the browser has kept."""
        session_id, found, scan = request.cookies.get(_COOKIE, "").partition(".")
        return Receipt(session_id, scan) if found and session_id and scan else None

    def forget(self, response: Response) -> None:
        """Let the browser keep none."""
        response.delete_cookie(_COOKIE)
