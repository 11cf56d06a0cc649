"""The two addresses that Twilio calls: what became of a message, and what somebody has answered."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qs, quote, urlsplit

from quart import Blueprint, Response, request

from homeroom import PUBLIC, AddressNews, Call, DeliveryReport, Refused, Services, operation, raw_body
from homeroom_twilio.delivery import CHANNEL, news_of, reason_of, sid_of, text_of
from homeroom_twilio.errors import code_of, state_of
from homeroom_twilio.settings import TwilioSettings, is_loopback, is_number
from homeroom_twilio.signature import HEADER, Form, is_signed

MAX_BYTES = 64 * 1024
"""A call larger than this is refused; Twilio's have a few kilobytes."""

STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "CANCEL", "REVOKE", "OPTOUT"})
START = frozenset({"START", "YES", "UNSTOP"})

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 500
_LONGEST_ID = 200
_KEEP = 400 * 24 * 3600.0  # seconds for which news that was heard is not heard again from the same call
_NO_ANSWER = '<?xml version="1.0" encoding="UTF-8"?><Response/>'


class Webhooks:
    """What Twilio calls. Addresses are None while Twilio could not reach this server."""

    def __init__(self, settings: TwilioSettings, services: Services) -> None:
        self._settings = settings
        self._services = services
        self.prefix = f"/plugins/{services.name}"
        self._base = services.public_url.rstrip("/") if services.public_url else None
        self.is_reachable = self._base is not None and _is_reachable(self._base, settings)

    def status_url(self, message_id: str) -> str | None:
        """What Twilio is to call when something becomes of this message."""
        if not self.is_reachable:
            return None
        return f"{self._base}{self.prefix}/status?m={quote(message_id, safe='')}"

    @property
    def inbound_url(self) -> str | None:
        """What Twilio is to call when somebody answers; it is entered in its console."""
        return f"{self._base}{self.prefix}/inbound" if self.is_reachable else None

    def blueprint(self) -> Blueprint:
        """The two routes, below the plugin's prefix."""
        pages = Blueprint(self._services.name, __name__)

        @pages.post("/status")
        @operation(PUBLIC, answers={204: None}, problems=(400, 403, 413))
        async def take_status(_call: Call) -> tuple[None, int]:
            """What became of a message, from Twilio itself."""
            await self._take_status(await self._signed(), request.args.get("m", ""))
            return None, 204

        @pages.post("/inbound")
        @operation(PUBLIC, answers={200: "text/xml"}, problems=(400, 403, 413))
        async def take_inbound(_call: Call) -> Response:
            """What somebody has answered, from Twilio itself; STOP and START are heeded, nothing is answered."""
            await self._take_inbound(await self._signed())
            return Response(_NO_ANSWER, 200, content_type="text/xml; charset=utf-8")

        return pages

    async def _take_status(self, told: Mapping[str, str], message_id: str) -> None:
        sid = sid_of(told.get("MessageSid") or told.get("SmsSid"))
        status = told.get("MessageStatus") or told.get("SmsStatus")
        if sid is None or status is None:
            raise Refused(400, "malformed", "This tells nothing of a message.")
        state = state_of(status)
        if state is None:
            return
        code = code_of(told.get("ErrorCode")) if state == "failed" else None
        if (news := news_of(text_of(code), told.get("To", ""))) is not None:
            await self._hear(news, f"{sid}:{code}")
        await self._services.messages.report(
            DeliveryReport(
                state=state,
                message_id=_message_id(message_id),
                provider_id=sid,
                reason=reason_of(status, code) if state == "failed" else "",
                code=text_of(code),
            )
        )

    async def _take_inbound(self, told: Mapping[str, str]) -> None:
        sid = sid_of(told.get("MessageSid") or told.get("SmsSid"))
        if sid is None or not told.get("From"):
            raise Refused(400, "malformed", "This is no message.")
        wish = _wish(told)
        if wish is not None:
            await self._hear(AddressNews(channel=CHANNEL, address=told["From"], news=wish), sid)

    async def _hear(self, news: AddressNews, call: str) -> None:
        """Hand news on once: a call that is repeated later must not undo what its owner has wished since."""
        key = f"heard:{call}"
        if not is_number(news.address) or await self._services.kv.get(key) is not None:
            return
        await self._services.messages.heard(news)
        await self._services.kv.set(key, news.news, ttl=_KEEP)

    async def _signed(self) -> dict[str, str]:
        """The parameters of a call that Twilio has signed. Raises Refused for any other."""
        body = await raw_body(MAX_BYTES)
        form = _form(body) if request.mimetype == _FORM else None
        signature = request.headers.get(HEADER, "")
        if not is_signed(self._called(), body if form is None else form, signature, self._settings.tokens):
            await self._log_refusal()
            raise Refused(403, "not-allowed", "This was not signed by Twilio.")
        return _parameters(body) if form is None else {name: values[0] for name, values in form.items()}

    def _called(self) -> str:
        """The address as Twilio has it: the public one, whatever a proxy has made of it, and the query as it came.

        The Host header is not looked at: whoever calls could write anything there.
        """
        raw = request.scope.get("raw_path") or request.path.encode()
        tail = raw.decode("ascii", "replace").rpartition(self.prefix)[2]
        query = request.query_string.decode("ascii", "replace")
        return f"{self._base}{self.prefix}{tail}" + (f"?{query}" if query else "")

    async def _log_refusal(self) -> None:
        """Say so in the log once a minute: mostly it is PUBLIC_BASE_URL or the token that does not fit."""
        if (await self._services.limiter.hit("refused-calls", 1, 60)).allowed:
            self._services.log.warning("twilio_call_refused", reason="the signature fits neither address nor token")


def _is_reachable(base: str, settings: TwilioSettings) -> bool:
    """Whether the Twilio of these settings can call `base`; the real one knows nothing of this machine."""
    try:
        parts = urlsplit(base)
        here = is_loopback(base)
    except ValueError:
        return False
    if here:
        return parts.scheme in ("http", "https") and is_loopback(settings.base_url)
    return parts.scheme == "https" and bool(parts.hostname)


def _form(body: bytes) -> Form:
    try:
        return parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:  # also what is not UTF-8
        raise Refused(400, "malformed", "This is no form.") from None


def _parameters(body: bytes) -> dict[str, str]:
    """The parameters in a body of JSON."""
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise Refused(400, "malformed", "This holds no parameters.")
    return {name: str(value) for name, value in data.items() if isinstance(value, str | int)}


def _message_id(text: str) -> str | None:
    return text if 0 < len(text) <= _LONGEST_ID and text.isprintable() else None


def _wish(told: Mapping[str, str]) -> Literal["opted_out", "opted_in"] | None:
    """Whether somebody wants no more messages, or wants them again; Advanced Opt-Out knows words of its own."""
    kind = told.get("OptOutType", "").strip().upper()
    word = told.get("Body", "").strip().upper()
    if kind:
        return "opted_out" if kind == "STOP" else "opted_in" if kind == "START" else None
    # "Stop." and "stop!" are meant like STOP; to come back it takes the very word, for Twilio itself wants it too.
    if re.sub(r"[^\w]+", "", word) in STOP:
        return "opted_out"
    return "opted_in" if word in START else None
