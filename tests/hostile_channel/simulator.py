"""A messaging vendor without any quirk of its own, for a channel that has them all."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection
from typing import Any

import orjson
from quart import Response, request

from homeroom.testing import ChannelSimulator, Post, SampleDistrict, Taken

SIGNATURE = "Plain-Signature"
SECRET = "callbacks-of-the-plain-vendor"


class PlainSimulator(ChannelSimulator):
    name = "plain"
    title = "Plain Messages"
    evidence = "Stands for no vendor."

    def __init__(
        self, district: SampleDistrict | None = None, *, misbehave: Collection[str] = (), post: Post | None = None
    ) -> None:
        super().__init__(district, misbehave=misbehave, post=post)
        self.gone: set[str] = set()
        self.callback: str | None = None
        self.app.add_url_rule("/account", view_func=self.account)
        self.app.add_url_rule("/unsubscribed", view_func=self.unsubscribed)
        self.app.add_url_rule("/messages", view_func=self.messages)
        self.app.add_url_rule("/messages", view_func=self.send, methods=["POST"])

    def settings(self, url: str) -> dict[str, Any]:
        return {"base_url": url, "api_key": self.client_secret, "callback_secret": SECRET}

    def opt_out(self, address: str) -> None:
        self.gone.add(address)
        self.tell({"event": "unsubscribed", "address": address})

    async def account(self) -> Any:
        return {"name": "a district"} if self.is_known() else ({"error": "unknown key"}, 401)

    async def unsubscribed(self) -> Any:
        return {"addresses": sorted(self.gone)} if self.is_known() else ({"error": "unknown key"}, 401)

    async def messages(self) -> Any:
        if not self.is_known():
            return {"error": "unknown key"}, 401
        wanted = {"message_id": request.args.get("reference"), "to": request.args.get("to")}
        found = [one for one in self.taken if all(value in (None, getattr(one, key)) for key, value in wanted.items())]
        return {"messages": [{"id": one.provider_id} for one in found]}

    async def send(self) -> Any:
        if not self.is_known():
            return {"error": "unknown key"}, 401
        wanted = await request.get_json()
        if not re.fullmatch(r"\+[1-9]\d{6,14}", wanted["to"]) or wanted["to"] in self.gone or self.refuses():
            return {"error": f"{wanted['to']} is not taken"}, 422
        if self.shows_a_page():
            return Response("<h1>Hello</h1>", 200, content_type="text/html")
        taken = self.take(wanted)
        return await self.spoil() or ({"id": taken.provider_id}, 202)

    def take(self, wanted: dict[str, Any]) -> Taken:
        taken = Taken(
            provider_id=f"plain-{len(self.taken) + 1}",
            channel="sms",
            to=wanted["to"],
            body=wanted["text"],
            message_id=wanted["reference"],
            at=self.now(),
        )
        self.taken.append(taken)
        self.callback = wanted.get("callback")
        self.tell(*({"event": event, "reference": taken.message_id} for event in ("accepted", "delivered")))
        return taken

    def tell(self, *events: dict[str, Any]) -> None:
        if self.callback is not None:
            bodies = [orjson.dumps(event) for event in events]
            self.call_back([(self.callback, {SIGNATURE: signature_of(body)}, body) for body in bodies])

    def is_known(self) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.client_secret}"


def signature_of(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
