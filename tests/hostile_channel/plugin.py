"""One channel that can be bad in each way that the conformance kit looks for: `bad` says in which, "" in none."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx2
import orjson
from pydantic import BaseModel, ConfigDict, SecretStr
from quart import Blueprint, request

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
    Suppressions,
    hookimpl,
)
from tests.hostile_channel.simulator import SIGNATURE, signature_of

CHANNEL = "sms"


class HostileSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    api_key: SecretStr
    callback_secret: SecretStr
    bad: str = ""


class Unknown(Exception):
    pass


class Hostile:
    hook_api = 1
    scopes = frozenset({"message.sms"})
    Settings = HostileSettings

    def __init__(self, settings: HostileSettings, services: Services) -> None:
        self.bad = settings.bad
        self._settings = settings
        self._services = services
        self._last: Message | None = None
        self._heard: set[str] = set()
        services.allow_host(settings.base_url)

    def __repr__(self) -> str:
        return f"Hostile({self._secret})" if self.bad == "secret in its repr" else "Hostile()"

    @property
    def _secret(self) -> str:
        return self._settings.api_key.get_secret_value()

    @hookimpl
    async def health(self) -> Health:
        match self.bad:
            case "health finds faults":
                return Health(ok=True, findings=(Finding(problem="Something may be wrong.", fix="Look again."),))
            case "health says nothing":
                return Health(ok=True)
            case "health sends":
                await self._post(
                    Message(
                        id="test", channel=CHANNEL, to="+13125550199", body="x", created_at=self._services.clock.now()
                    )
                )
        try:
            answer = await self._ask("GET", "/account")
        except httpx2.HTTPError:
            if self.bad == "health raises":
                raise
            return Health(ok=False, detail="it cannot be reached")
        if answer.is_success and (self.bad == "health trusts pages" or "name" in _data(answer)):
            return Health(ok=True)
        fix = "" if self.bad == "health has no fix" else "Set api_key."
        return Health(ok=False, findings=(Finding(problem="The vendor does not know us.", fix=fix),))

    @hookimpl
    async def deliver(self, message: Message) -> Receipt | None:
        if message.channel != CHANNEL and self.bad != "answers for pigeons":
            return None
        message = await self._spoiled(message)
        if self.bad == "answers before it asks":
            return Receipt(state="accepted")
        try:
            answer = await self._post(message)
            if self.bad == "sends twice":
                await self._post(message)
        except httpx2.HTTPError as exc:
            return await self._unanswered(message, exc)
        except asyncio.CancelledError:
            if self.bad == "takes cancelling for an error":
                raise Unknown("the request was given up") from None
            if self.bad != "deaf":
                raise
            await asyncio.Event().wait()
        return await self._read(message, answer)

    async def _spoiled(self, message: Message) -> Message:
        """The message that is sent; what is bad before anything is sent happens here."""
        before, self._last = self._last, message
        match self.bad:
            case "mixes up":
                await asyncio.sleep(0)
                return self._last
            case "remembers the family before" if before is not None:
                return replace(message, body=f"{message.body} (also to {before.to})")
            case "writes in Latin letters":
                return replace(message, body=message.body.encode("ascii", "replace").decode())
            case "blocks":
                time.sleep(0.15)  # noqa: ASYNC251 - the point
            case "secret in the log":
                self._services.log.info("sending", key=self._secret)
            case "secret on paper":
                print(self._secret)  # noqa: T201 - the point
            case "address in the log":
                self._services.log.info("sending", family=message.to)
        return message

    async def _unanswered(self, message: Message, exc: httpx2.HTTPError) -> Receipt:
        """What is said where no answer came."""
        if isinstance(exc, httpx2.ConnectError | httpx2.ConnectTimeout) and self.bad != "never tries again":
            return Receipt(state="retry")
        match self.bad:
            case "sends again after silence":
                return await self._read(message, await self._post(message))
            case "takes silence for a yes":
                return Receipt(state="accepted")
            case "takes silence for a no" if isinstance(exc, httpx2.TimeoutException):
                return Receipt(state="retry")
            case "takes a broken line for a no" if not isinstance(exc, httpx2.TimeoutException):
                return Receipt(state="retry")
            case "secret in an error":
                raise Unknown(self._secret)
            case "text in an error":
                raise Unknown(message.body)
        raise Unknown("no answer came")

    async def _read(self, message: Message, answer: httpx2.Response) -> Receipt:
        """What is said of an answer."""
        data = _data(answer)
        match answer.status_code, data:
            case 202, {"id": str(provider_id)}:
                if self.bad == "wants a length" and "content-length" not in answer.headers:
                    raise Unknown("an answer without a length")
                return Receipt(state="accepted", provider_id=None if self.bad == "names nothing" else provider_id)
            case 422, {"error": str(error)}:
                return self._refused(message, error)
            case 429, _:
                return await self._throttled(answer)
            case 401, _:
                return Receipt(state="refused" if self.bad == "blames the family for its key" else "retry")
        return await self._unread(message, answer)

    def _refused(self, message: Message, error: str) -> Receipt:
        match self.bad:
            case "raises for bad addresses" if not message.to.startswith("+1312"):
                raise Unknown("a bad address")
            case "tries bad addresses again" if not message.to.startswith("+1312"):
                return Receipt(state="retry")
            case "tries refusals again":
                return Receipt(state="retry")
            case "keeps writing to who left" if message.id.endswith("9"):
                return Receipt(state="retry")
        return Receipt(state="refused", reason=error if self.bad == "address in its answer" else "not taken")

    async def _throttled(self, answer: httpx2.Response) -> Receipt:
        named = float(answer.headers.get("Retry-After", 0))
        match self.bad:
            case "gives up when throttled":
                return Receipt(state="refused")
            case "is at a loss when throttled":
                raise Unknown("429")
            case "forgets the wait":
                return Receipt(state="retry")
            case "waits itself" if named:
                await asyncio.sleep(named)
        return Receipt(state="retry", retry_after=named)

    async def _unread(self, message: Message, answer: httpx2.Response) -> Receipt:
        """What is said of an answer that cannot be read."""
        status = answer.status_code
        match self.bad:
            case "takes a failure for a yes" if status == 500:
                return Receipt(state="accepted")
            case "takes a page for a yes" if status == 200:
                return Receipt(state="accepted")
            case "takes a page for a no" if status == 200:
                return Receipt(state="retry")
            case "sends again after a page" if status == 200:
                return await self._read(message, await self._post(message))
            case "takes half an answer for a no" if status == 202:
                return Receipt(state="refused")
            case "takes a proxy for a no" if status == 502:
                return Receipt(state="retry")
            case "follows redirects" if status == 302:
                await self._ask("GET", "/maintenance")
        raise Unknown(f"status {status}")

    @hookimpl
    async def find_delivery(self, message: Message) -> Receipt | NotSent | None:
        if message.channel != CHANNEL:
            return None
        if self.bad == "sends when it is asked":
            await self._post(message)
        params = {"to": message.to} if self.bad == "finds the first" else {"reference": message.id}
        try:
            answer = await self._ask("GET", "/messages", params=params)
        except httpx2.HTTPError:
            if self.bad == "raises when it is asked":
                raise
            return NotSent() if self.bad == "guesses" else None
        match answer.status_code, _data(answer):
            case 200, {"messages": [{"id": str(provider_id)}, *_]} if self.bad != "finds nothing":
                return Receipt(state="accepted", provider_id=provider_id)
            case 200, {"messages": [*_]}:
                return NotSent()
        return None

    @hookimpl
    async def suppressions(self, since: datetime | None) -> Suppressions | None:
        _ = since
        addresses = _data(await self._ask("GET", "/unsubscribed")).get("addresses", [])
        if self.bad == "suppresses everybody" and self._last is not None:
            addresses = [*addresses, self._last.to]
        gone = tuple(AddressNews(channel=CHANNEL, address=one, news="opted_out") for one in addresses)
        return Suppressions(items=gone, until=self._services.clock.now())

    @hookimpl
    def routes(self) -> Routes:
        pages = Blueprint(self._services.name, __name__)
        pages.add_url_rule("/events", view_func=self._hear, methods=["POST"])
        return Routes(prefix=self._prefix, blueprint=pages)

    async def _hear(self) -> tuple[str, int]:
        body = await self._body()
        if body is None:
            return "", 200
        if not self._is_signed(body):
            return "", 204 if self.bad == "answers forgeries kindly" else 403
        if self.bad == "fails when it is called":
            return "", 500
        event = orjson.loads(body)
        if event["event"] == "unsubscribed":
            await self._unsubscribed(event["address"])
        else:
            await self._told(event)
        return "", 204

    async def _body(self) -> bytes | None:
        if self.bad == "reads everything":
            return b"".join([bytes(piece) async for piece in request.body])
        try:
            return await request.get_data(cache=True, as_text=False, parse_form_data=False)
        except Exception:
            if self.bad == "takes everything":
                return None
            raise

    def _is_signed(self, body: bytes) -> bool:
        given = request.headers.get(SIGNATURE)
        match self.bad:
            case "checks no signature":
                return True
            case "checks signatures that are there":
                return given in (None, signature_of(body))
        return given == signature_of(body)

    async def _told(self, event: Mapping[str, str]) -> None:
        state, message_id = event["event"], event["reference"]
        key, heard = f"{message_id} {state}", self._heard
        match self.bad:
            case "reports nothing":
                return
            case "reports the last message" if self._last is not None:
                message_id = self._last.id
            case "wants them in order":
                if key in heard:
                    return
                heard.add(key)
                if state == "delivered" and f"{message_id} accepted" not in heard:
                    return
        report = DeliveryReport(state="delivered" if state == "delivered" else "accepted", message_id=message_id)
        await self._services.messages.report(report)

    async def _unsubscribed(self, address: str) -> None:
        if self.bad == "hears nobody":
            return
        addresses = [address, self._last.to] if self.bad == "hears everybody" and self._last else [address]
        for one in addresses:
            await self._services.messages.heard(AddressNews(channel=CHANNEL, address=one, news="opted_out"))

    async def _post(self, message: Message) -> httpx2.Response:
        data = {"to": message.to, "text": message.body, "reference": message.id, **self._callback()}
        path = "/messages"
        match self.bad:
            case "tags the address":
                data["tags"] = message.to
            case "repeats the text":
                data["note"] = message.body
            case "address in the path":
                path = f"/messages?for={quote(message.to)}"
            case "keeps a reference of its own":
                data["reference"] = message.id[::-1]
            case "secret in the address":
                path = f"/messages?key={self._secret}"
        return await self._ask("POST", path, json=data)

    def _callback(self) -> dict[str, str]:
        if self.bad == "asks for no calls":
            return {}
        public_url = "https://elsewhere.example" if self.bad == "is called elsewhere" else self._services.public_url
        return {"callback": f"{public_url}{self._prefix}/events"}

    @property
    def _prefix(self) -> str:
        return "/plugins/plain" if self.bad == "knows one name" else f"/plugins/{self._services.name}"

    async def _ask(self, method: str, path: str, **what: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self._secret}"}
        return await self._services.http.request(method, f"{self._settings.base_url}{path}", headers=headers, **what)


def _data(answer: httpx2.Response) -> Any:
    with contextlib.suppress(orjson.JSONDecodeError):
        return orjson.loads(answer.content)
    return {}
