"""The Twilio plugin as a server runs it, before a simulator that calls it back or a server that says one thing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import orjson
from quart import Quart, Response, request

from homeroom import Message, Receipt, Services
from homeroom.testing import FakeClock, KeptMessages, RunningPlugin, routes_app, running_plugin, services
from homeroom_twilio import Twilio
from homeroom_twilio.simulator import TwilioSimulator

API = "https://api.twilio.example"
PUBLIC = "https://homeroom.example"
ACCOUNT = "AC" + "0a" * 16
TOKEN = "a-token-that-nobody-knows"
SETTINGS: Mapping[str, Any] = {
    "account_sid": ACCOUNT,
    "auth_token": TOKEN,
    "from_number": "+15005550006",
    "base_url": API,
}
PARENT = "+14155550123"


def text(to: str = PARENT, body: str = "Maya was absent today.", **facts: Any) -> Message:
    """A message on its way to a family, its sending begun just now."""
    now = datetime.now(UTC)
    given = {"id": "outbox-1", "channel": "sms", "created_at": now - timedelta(minutes=3), "attempted_at": now, **facts}
    return Message(to=to, body=body, **given)


class Scripted:
    """A server that gives the same answer to whatever it is asked, and keeps what it was asked."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self.answer = (status, body if isinstance(body, str) else orjson.dumps(body).decode(), dict(headers or {}))
        self.forms: list[dict[str, str]] = []
        self.asked: list[httpx2.URL] = []
        self.signed: list[tuple[str | None, str | None]] = []
        self.app = Quart("scripted")
        self.app.add_url_rule("/<path:path>", view_func=self.say, methods=["GET", "POST"])

    async def say(self, path: str) -> Response:  # noqa: ARG002 - whatever it is asked
        given = request.authorization
        assert given is not None
        self.signed.append((given.username, given.password))
        self.asked.append(httpx2.URL(request.url))
        self.forms.append(dict((await request.form).items()))
        status, body, headers = self.answer
        return Response(body, status, {"Content-Type": "application/json", **headers})


@dataclass(frozen=True, kw_only=True)
class Texting:
    """A running plugin with what it told the outbox; `app` serves its routes."""

    plugin: RunningPlugin
    told: KeptMessages
    app: Quart
    clock: FakeClock

    async def deliver(self, message: Message | None = None) -> Receipt:
        """The receipt of a message that the plugin takes for its own."""
        receipt = await self.plugin.ask("deliver", message=message or text())
        assert isinstance(receipt, Receipt)
        return receipt

    async def find(self, message: Message | None = None) -> Any:
        """What becomes of a message of unknown state."""
        return await self.plugin.ask("find_delivery", message=message or text())

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> httpx2.Response:
        """The answer to a call from outside, whatever address it was made to."""
        transport = httpx2.ASGITransport(app=self.app)  # type: ignore[arg-type] # Quart's ASGI types are its own
        async with httpx2.AsyncClient(transport=transport) as client:
            return await client.post(url, headers=dict(headers), content=body)


@contextlib.asynccontextmanager
async def texting(
    http: Quart | httpx2.AsyncBaseTransport,
    settings: Mapping[str, Any] = SETTINGS,
    *,
    public_url: str | None = PUBLIC,
    name: str = "twilio",
) -> AsyncIterator[Texting]:
    """The plugin with these settings before `http`."""
    told, clock = KeptMessages(), FakeClock(datetime.now(UTC))
    given: Services = services(name, scopes=Twilio.scopes, messages=told, http=http, public_url=public_url, clock=clock)
    async with running_plugin(Twilio, settings, services=given) as plugin:
        app = routes_app(await plugin.ask("routes"))
        yield Texting(plugin=plugin, told=told, app=app, clock=clock)


class Called(TwilioSimulator):
    """A simulator whose calls reach the plugin's routes in process; `answers` are the statuses that came back."""

    def __init__(self, *, misbehave: Collection[str] = (), service: bool = False) -> None:
        super().__init__(misbehave=misbehave, service=service, post=self._reach)
        self.answers: list[int] = []
        self.calls: list[tuple[str, Mapping[str, str], bytes]] = []
        self.reached: Texting | None = None

    async def _reach(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        assert self.reached is not None
        self.calls.append((url, headers, body))
        answer = await self.reached.post(url, headers, body)
        self.answers.append(answer.status_code)
        return answer.status_code


@contextlib.asynccontextmanager
async def simulated(simulator: Called, **more: Any) -> AsyncIterator[Texting]:
    """The plugin before a simulator that calls it back."""
    async with texting(simulator.app, {**simulator.settings(API), **more}) as wired:
        simulator.reached = wired
        yield wired
