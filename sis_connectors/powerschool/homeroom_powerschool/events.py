"""PowerSchool's event subscriptions, taken as hints: something has changed, so a run comes sooner.

What PowerSchool delivers, and how it would be signed, is not documented. So the address holds a secret, the body is not
read, and the roster comes from the API as always; a lost or an invented event changes nothing but the time.
"""

from __future__ import annotations

import hmac

from quart import Blueprint

from homeroom import Call, Refused, Services, SourceError, operation
from homeroom_powerschool.client import Client

RESOURCES = ("/ws/v1/student", "/ws/v1/staff", "/ws/v1/section", "/ws/v1/section_enrollment")
_A_MINUTE = 30


class Events:
    """The address that PowerSchool calls, and telling PowerSchool of it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.secret = services.derive_key("events").hex()[:40]
        self.prefix = f"/plugins/{services.name}"

    @property
    def address(self) -> str | None:
        """What PowerSchool calls; None while nobody can reach this server by name."""
        base = self._services.public_url
        return f"{base.rstrip('/')}{self.prefix}/events/{self.secret}" if base else None

    async def subscribe(self, client: Client) -> None:
        """Tell PowerSchool the address. A failure is only logged: without events the schedule still holds."""
        if self.address is None:
            self._services.log.warning("events_not_subscribed", reason="PUBLIC_BASE_URL is not set")
            return
        try:
            await client.subscribe(self.address, RESOURCES)
        except SourceError as exc:
            self._services.log.warning("events_not_subscribed", reason=str(exc))

    def blueprint(self) -> Blueprint:
        """The one route."""
        pages = Blueprint("powerschool", __name__)

        @pages.post("/events/<secret>")
        @operation("public", answers={204: None}, problems=(404, 429))
        async def take_event(_call: Call, secret: str) -> tuple[None, int]:
            """A hint that something has changed in PowerSchool."""
            if not hmac.compare_digest(secret.encode(), self.secret.encode()):
                raise Refused(404, "not-found", "There is nothing here.")
            if (await self._services.limiter.hit("events", _A_MINUTE, 60)).allowed:
                await self._services.sync_soon()
            return None, 204

        return pages
