"""The texts of `homeroom plugins new --kind channel`: a messaging channel, and a small vendor to test it."""

from __future__ import annotations

from string import Template

PLUGIN = Template('''\
"""Hands e-mails to $cls, and hears from it what became of them."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from typing import Any

import httpx2
from homeroom import (
    AddressNews,
    DeliveryReport,
    Finding,
    Health,
    Message,
    NotSent,
    Receipt,
    Routes,
    Services,
    hookimpl,
)
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from quart import Blueprint, request

CHANNEL = "email"
SIGNATURE = "${cls}-Signature"


class ${cls}Settings(BaseModel):
    """What a district sets in [plugins.$name]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(description="$cls's API, https://…")
    api_key: SecretStr = Field(json_schema_extra={"env": "${env}_API_KEY"})
    callback_secret: SecretStr = Field(json_schema_extra={"env": "${env}_CALLBACK_SECRET"})


class Unknown(Exception):
    """Nobody knows whether $cls has the message; the text names nobody."""


class $cls:
    """Delivers messages of the channel "email"."""

    hook_api = 1
    scopes = frozenset({"message.email"})
    Settings = ${cls}Settings

    def __init__(self, settings: ${cls}Settings, services: Services) -> None:
        self._settings = settings
        self._services = services
        self._prefix = f"/plugins/{services.name}"
        services.allow_host(settings.base_url)

    @hookimpl
    async def deliver(self, message: Message) -> Receipt | None:
        """Hand one message over, once. Raises Unknown where it may have been taken."""
        if message.channel != CHANNEL:
            return None
        texts = {"to": message.to, "subject": message.subject, "text": message.body, "html": message.html}
        try:
            answer = await self._ask("POST", "/messages", json={**texts, **self._ours(message)})
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            return Receipt(state="retry", reason="$cls cannot be reached")
        except httpx2.HTTPError:
            raise Unknown("the line to $cls broke after the message was sent") from None
        match answer.status_code, _data(answer):
            case 202, {"id": str(provider_id)}:
                return Receipt(state="accepted", provider_id=provider_id)
            case 422, {"error": str(code)}:
                return Receipt(state="refused", reason="$cls does not take this message", code=code)
            case 429, _:
                return Receipt(state="retry", reason="$cls asks us to slow down", retry_after=_named_wait(answer))
            case 401 | 403, _:
                return Receipt(state="retry", reason="$cls does not know our key")
        raise Unknown(f"$cls answered with status {answer.status_code} and nothing that could be read")

    @hookimpl
    async def find_delivery(self, message: Message) -> Receipt | NotSent | None:
        """What $cls has under this message's id; None when it cannot be asked."""
        if message.channel != CHANNEL:
            return None
        with contextlib.suppress(httpx2.HTTPError):
            answer = await self._ask("GET", "/messages", params={"reference": message.id})
            match answer.status_code, _data(answer):
                case 200, {"messages": []}:
                    return NotSent()
                case 200, {"messages": [{"id": str(provider_id)}, *_]}:
                    return Receipt(state="accepted", provider_id=provider_id)
        return None

    @hookimpl
    async def health(self) -> Health:
        """Whether $cls knows our key."""
        try:
            answer = await self._ask("GET", "/account")
        except httpx2.HTTPError:
            return _unwell("$cls cannot be reached.", "Check base_url and the firewall.")
        match answer.status_code, _data(answer):
            case 200, {"name": str(account)}:
                return Health(ok=True, detail=account)
            case 401 | 403, _:
                return _unwell("$cls does not know this key.", "Set api_key as $cls shows it.")
        return _unwell("$cls does not answer as it should.", "Try again later; ask $cls if it lasts.")

    @hookimpl
    def routes(self) -> Routes:
        """Where $cls tells what became of messages."""
        pages = Blueprint(self._services.name, __name__)
        pages.add_url_rule("/events", view_func=self._hear, methods=["POST"])
        return Routes(prefix=self._prefix, blueprint=pages)

    async def _hear(self) -> tuple[str, int]:
        """Take one event, if $cls has signed the very bytes that came."""
        body = await request.get_data(cache=True, as_text=False, parse_form_data=False)
        key = self._settings.callback_secret.get_secret_value().encode()
        signature = hmac.new(key, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature.encode(), request.headers.get(SIGNATURE, "").encode()):
            return "", 403
        match json.loads(body):
            case {"event": "accepted" | "delivered" | "failed" as state, "reference": str(message_id)}:
                await self._services.messages.report(DeliveryReport(state=state, message_id=message_id))
            case {"event": "unsubscribed", "address": str(address)}:
                news = AddressNews(channel=CHANNEL, address=address, news="opted_out")
                await self._services.messages.heard(news)
        return "", 204

    async def _ask(self, method: str, path: str, **what: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self._settings.api_key.get_secret_value()}"}
        return await self._services.http.request(method, f"{self._settings.base_url}{path}", headers=headers, **what)

    def _ours(self, message: Message) -> dict[str, str]:
        """What $cls keeps and gives back: the message's id and where to call, and nothing about anybody."""
        public_url = self._services.public_url
        callback = {"callback": f"{public_url}{self._prefix}/events"} if public_url else {}
        return {"reference": message.id, **callback}


def _data(answer: httpx2.Response) -> Any:
    """The JSON of an answer; None where it is something else."""
    try:
        return answer.json()
    except ValueError:
        return None


def _named_wait(answer: httpx2.Response) -> float | None:
    """The seconds that Retry-After names."""
    named = answer.headers.get("Retry-After", "")
    return float(named) if named.isdecimal() else None


def _unwell(problem: str, fix: str) -> Health:
    return Health(ok=False, detail=problem, findings=(Finding(problem=problem, fix=fix),))
''')

SIMULATOR = Template('''\
"""A small $cls to test against, and to try things out: `homeroom simulate $name`."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection
from typing import Any

from homeroom.testing import ChannelSimulator, Post, SampleDistrict, Taken
from quart import Response, request

from $package import CHANNEL, SIGNATURE

Answer = Response | tuple[dict[str, Any], int]


class ${cls}Simulator(ChannelSimulator):
    """Behaves as $cls's manual says. Record real answers, and make it give them."""

    name = "$name"
    title = "$cls"
    evidence = "Made up with the project; compare it with a real $cls before you trust it."

    def __init__(
        self, district: SampleDistrict | None = None, *, misbehave: Collection[str] = (), post: Post | None = None
    ) -> None:
        super().__init__(district, misbehave=misbehave, post=post)
        self._gone: set[str] = set()
        self._callback: str | None = None
        self.app.add_url_rule("/account", view_func=self._account)
        self.app.add_url_rule("/messages", view_func=self._find)
        self.app.add_url_rule("/messages", view_func=self._send, methods=["POST"])

    def settings(self, url: str) -> dict[str, Any]:
        """What a district would write."""
        return {"base_url": url, "api_key": self.client_secret, "callback_secret": self._signing_secret}

    def opt_out(self, address: str) -> None:
        """Somebody presses "unsubscribe"."""
        self._gone.add(address)
        self._tell({"event": "unsubscribed", "address": address})

    @property
    def _signing_secret(self) -> str:
        return f"callbacks-{self.client_secret}"

    @property
    def _knows_caller(self) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.client_secret}"

    async def _account(self) -> Answer:
        return ({"name": "North District"}, 200) if self._knows_caller else ({"error": "unknown key"}, 401)

    async def _find(self) -> Answer:
        if not self._knows_caller:
            return {"error": "unknown key"}, 401
        found = [one for one in self.taken if one.message_id == request.args.get("reference")]
        return {"messages": [{"id": one.provider_id} for one in found]}, 200

    async def _send(self) -> Answer:
        if not self._knows_caller:
            return {"error": "unknown key"}, 401
        wanted = await request.get_json()
        name, _, host = wanted["to"].partition("@")
        if not (name and host) or any(letter.isspace() for letter in wanted["to"]):
            return {"error": "bad-address"}, 422
        if wanted["to"] in self._gone or self.refuses():
            return {"error": "not-wanted"}, 422
        if self.shows_a_page():
            return Response("<h1>Welcome to $cls</h1>", 200, {"Content-Type": "text/html"})
        taken = self._take(wanted)
        return await self.spoil() or ({"id": taken.provider_id}, 202)

    def _take(self, wanted: dict[str, Any]) -> Taken:
        taken = Taken(
            provider_id=f"$name-{len(self.taken) + 1}",
            channel=CHANNEL,
            to=wanted["to"],
            subject=wanted["subject"],
            body=wanted["text"],
            message_id=wanted["reference"],
            at=self.now(),
        )
        self.taken.append(taken)
        self._callback = wanted.get("callback")
        self._tell(*({"event": event, "reference": taken.message_id} for event in ("accepted", "delivered")))
        taken.state = "delivered"
        return taken

    def _tell(self, *events: dict[str, Any]) -> None:
        """Call back, with each event signed."""
        if self._callback is not None:
            bodies = [json.dumps(event).encode() for event in events]
            self.call_back([(self._callback, self._signed(body), body) for body in bodies])

    def _signed(self, body: bytes) -> dict[str, str]:
        signature = hmac.new(self._signing_secret.encode(), body, hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", SIGNATURE: signature}
''')

TEST = Template("""\
from datetime import UTC, datetime

from homeroom import Message, Services
from homeroom.testing import channel_tests, plugin_tests, running_plugin, services

from $package import $cls
from $package.simulator import ${cls}Simulator

SIMULATOR = ${cls}Simulator()
SETTINGS = SIMULATOR.settings("https://vendor.example")


def with_vendor() -> Services:
    return services("$name", scopes=$cls.scopes, http=SIMULATOR.app)


TestPlugin = plugin_tests($cls, SETTINGS, services=with_vendor)
TestChannel = channel_tests($cls, simulator=${cls}Simulator)


async def test_a_refusal_keeps_the_vendors_own_word() -> None:
    at = datetime(2026, 9, 1, tzinfo=UTC)
    message = Message(id="message-1", channel="email", to="nobody", body="Hello", created_at=at)
    async with running_plugin($cls, SETTINGS, services=with_vendor()) as plugin:
        receipt = await plugin.ask("deliver", message=message)
    assert (receipt.state, receipt.code) == ("refused", "bad-address")
""")
