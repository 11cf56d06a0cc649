"""A Twilio to try with: it takes texts, counts them, calls back, and refuses in Twilio's own words."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

from quart import Response, request
from quart.typing import ResponseReturnValue

from homeroom.testing import ChannelSimulator, SampleDistrict, Taken
from homeroom_twilio.signature import HEADER, sign
from homeroom_twilio.simulator import shapes
from homeroom_twilio.simulator.rules import MAGIC_FROM, MAGIC_TO, START, STOP, is_callback, is_number, segments

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
"""Sends a call (URL, headers, body) in place of real HTTP, and gives the status of the answer."""

_BASE = "/2010-04-01/Accounts/<account_sid>"
_LONGEST_TEXT = 1600
_LONGEST_VALIDITY = 36_000
_STATES = {"delivered": "delivered", "undelivered": "failed", "failed": "failed"}


class TwilioSimulator(ChannelSimulator):
    """Twilio's messages of one account, with one number or, as `service`, with a Messaging Service.

    `stopped` are numbers whose owners have answered STOP, `fails` codes with which a text to a number fails after it
    was taken. `inbound_url` is where answers go; in the real console somebody enters it, here it is found beside the
    latest StatusCallback when nobody did.
    """

    name = "twilio"
    title = "Twilio"
    evidence: ClassVar[str] = (
        "Twilio's OpenAPI description of its API, and its pages on errors, test credentials, status callbacks and "
        "signatures; errors, STOP and the order of callbacks are in those pages alone. Never compared with a live one."
    )

    def __init__(
        self,
        district: SampleDistrict | None = None,
        *,
        misbehave: Collection[str] = (),
        post: Post | None = None,
        service: bool = False,
    ) -> None:
        super().__init__(district, misbehave=misbehave, post=post)
        self.account_sid = "AC" + "5a" * 16
        self.auth_token = "made-up-token-of-the-simulator"  # noqa: S105 - a simulator's
        self.api_key = ("SK" + "5b" * 16, "made-up-key-of-the-simulator")
        self.from_number = "+15005550006"
        self.service_sid = "MG" + "5c" * 16 if service else None
        self.account = {"status": "active", "type": "Full"}
        self.stopped: set[str] = set()
        self.fails: dict[str, int] = {}
        self.inbound_url: str | None = None
        self._beside: str | None = None
        self.app.add_url_rule(f"{_BASE}/Messages.json", view_func=self._create, methods=["POST"])
        self.app.add_url_rule(f"{_BASE}/Messages.json", view_func=self._list, methods=["GET"])
        self.app.add_url_rule(f"{_BASE}/Messages/<sid>.json", view_func=self._fetch, methods=["GET"])
        self.app.add_url_rule(f"{_BASE}.json", view_func=self._fetch_account, methods=["GET"])
        self.app.add_url_rule(f"{_BASE}/IncomingPhoneNumbers.json", view_func=self._list_numbers, methods=["GET"])

    def settings(self, url: str) -> dict[str, Any]:
        """The plugin's settings with which it texts through this simulator at `url`."""
        sender = (
            {"from_number": self.from_number}
            if self.service_sid is None
            else {"messaging_service_sid": self.service_sid}
        )
        return {"account_sid": self.account_sid, "auth_token": self.auth_token, **sender, "base_url": url}

    def opt_out(self, address: str) -> None:
        """The owner of this number answers STOP: further texts are refused, and the answer is passed on."""
        self.inbound(address, "STOP")

    def inbound(self, number: str, body: str, *, opt_out_type: str | None = None) -> None:
        """Somebody answers from `number`. STOP and START have their effect, and the call to `inbound_url` is sent.

        `opt_out_type` is what Advanced Opt-Out adds ("STOP", "START", "HELP"), whatever the words.
        """
        word = opt_out_type or body.strip().upper()
        if word in STOP:
            self.stopped.add(number)
        elif word in START:
            self.stopped.discard(number)
        url = self.inbound_url or self._beside
        if url is None:
            return
        sid = _new_sid()
        told = {"MessageSid": sid, "SmsSid": sid, "SmsMessageSid": sid, "AccountSid": self.account_sid}
        told |= {"From": number, "To": self.from_number, "Body": body, "NumMedia": "0", "NumSegments": "1"}
        told |= {"SmsStatus": "received", "ApiVersion": shapes.VERSION, "FromCity": ""}
        if opt_out_type is not None:
            told["OptOutType"] = opt_out_type
        self.call_back([self.signed(url, told)])

    def signed(self, url: str, told: Mapping[str, str]) -> tuple[str, Mapping[str, str], bytes]:
        """A call to `url` as Twilio would make it."""
        signature = sign(url, {name: [value] for name, value in told.items()}, self.auth_token)
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", HEADER: signature}
        return url, headers, urlencode(told).encode()

    async def _create(self, account_sid: str) -> ResponseReturnValue:
        if (refused := self._signed_in(account_sid)) is not None:
            return refused
        form = dict((await request.form).items())
        if (code := self._problem(form)) is not None:
            return shapes.error(code)
        if self.refuses():
            return shapes.error(21612)
        if self.shows_a_page():
            return Response("<!doctype html><title>Twilio</title><h1>Hello</h1>", 200, content_type="text/html")
        taken = self._take(form)
        body = shapes.message(taken, self.account_sid)
        self._carry_on(taken)
        if (spoiled := await self.spoil()) is not None:
            return spoiled
        return shapes.answer(body, HTTPStatus.CREATED)

    def _problem(self, form: Mapping[str, str]) -> int | None:
        """The code of the first thing that is wrong with a message."""
        to, sender, body = form.get("To", ""), form.get("From", ""), form.get("Body", "")
        service = form.get("MessagingServiceSid")
        validity = form.get("ValidityPeriod", "1")
        callback = form.get("StatusCallback")
        stopped = to in self.stopped and service is None  # a service takes it, and finds out when it chooses a sender
        checks = (
            (not to, 21604),
            (not sender and service is None, 21603),
            (not body, 21602),
            (len(body) > _LONGEST_TEXT, 21617),
            (sender in MAGIC_FROM, MAGIC_FROM.get(sender, 0)),
            (service is None and sender != self.from_number, 21606),
            (service is not None and service != self.service_sid, 21701),
            (to in MAGIC_TO, MAGIC_TO.get(to, 0)),
            (not is_number(to), 21211),
            (callback is not None and not is_callback(callback), 21609),
            (not (validity.isdecimal() and 1 <= int(validity) <= _LONGEST_VALIDITY), 20001),
            (stopped, 21610),
        )
        return next((code for wrong, code in checks if wrong), None)

    def _take(self, form: Mapping[str, str]) -> Taken:
        callback = form.get("StatusCallback")
        service = form.get("MessagingServiceSid")
        taken = Taken(
            provider_id=_new_sid(),
            channel="sms",
            to=form["To"],
            body=form["Body"],
            message_id=parse_qs(urlsplit(callback or "").query).get("m", [None])[0],
            at=self.now(),
            more={
                "from": None if service else form["From"],
                "service": service,
                "status": "accepted" if service else "queued",
                "segments": 0 if service else segments(form["Body"]),
                "code": None,
                "date_sent": None,
                "callback": callback,
                "validity": form.get("ValidityPeriod"),
            },
        )
        self.taken.append(taken)
        if callback is not None:
            self._beside = callback.partition("?")[0].removesuffix("/status") + "/inbound"
        return taken

    def _carry_on(self, taken: Taken) -> None:
        """Everything that becomes of a message after the answer, and the calls that tell of it."""
        steps = ["sent", "delivered"]
        code = self.fails.get(taken.to)
        if taken.to in self.stopped:
            steps, code = ["failed"], 21610
        elif code is not None:
            steps = ["sent", "undelivered"]
        if taken.more["service"] is not None:
            steps = ["queued", *steps]  # the first status is not called back, and with a service it is "accepted"
        last = steps[-1]
        taken.state = _STATES[last]
        taken.more |= {"status": last, "code": code, "date_sent": self.now(), "from": self.from_number}
        taken.more["segments"] = segments(taken.body)
        url = taken.more["callback"]
        if url is not None:
            told = [self._status(taken, step, code if step == last else None) for step in steps]
            self.call_back([self.signed(url, one) for one in told])

    def _status(self, taken: Taken, status: str, code: int | None) -> dict[str, str]:
        """What is told of a message that has come to `status`."""
        sid = taken.provider_id
        told = {"MessageSid": sid, "SmsSid": sid, "MessageStatus": status, "SmsStatus": status}
        told |= {"To": taken.to, "From": self.from_number, "AccountSid": self.account_sid, "ApiVersion": shapes.VERSION}
        if taken.more["service"] is not None:
            told["MessagingServiceSid"] = taken.more["service"]
        if code is not None:
            told["ErrorCode"] = str(code)
        return told

    async def _list(self, account_sid: str) -> ResponseReturnValue:
        if (refused := self._signed_in(account_sid)) is not None:
            return refused
        wanted = request.args
        rows = [taken for taken in reversed(self.taken) if _is_wanted(taken, wanted)]
        return shapes.page("messages", [shapes.message(one, self.account_sid) for one in rows])

    async def _fetch(self, account_sid: str, sid: str) -> ResponseReturnValue:
        if (refused := self._signed_in(account_sid)) is not None:
            return refused
        found = next((one for one in self.taken if one.provider_id == sid), None)
        return shapes.error(20404) if found is None else shapes.answer(shapes.message(found, self.account_sid))

    async def _fetch_account(self, account_sid: str) -> ResponseReturnValue:
        if (refused := self._signed_in(account_sid, keys=False)) is not None:
            return refused
        return shapes.answer(shapes.account(self.account_sid, self.auth_token, self.account))

    async def _list_numbers(self, account_sid: str) -> ResponseReturnValue:
        if (refused := self._signed_in(account_sid)) is not None:
            return refused
        own = shapes.number(self.account_sid, self.from_number, self.inbound_url or self._beside)
        like = request.args.get("PhoneNumber", "")
        return shapes.page("incoming_phone_numbers", [own] if like in self.from_number else [])

    def _signed_in(self, account_sid: str, *, keys: bool = True) -> Response | None:
        """The refusal of whoever is not signed in to this account; a key cannot ask for the account itself."""
        given = request.authorization
        pair = (given.username, given.password) if given is not None and given.type == "basic" else None
        if pair != (self.account_sid, self.auth_token) and not (keys and pair == self.api_key):
            return shapes.error(20003)
        return None if account_sid == self.account_sid else shapes.error(20404)


def _new_sid() -> str:
    return "SM" + secrets.token_hex(16)


def _is_wanted(taken: Taken, wanted: Mapping[str, str]) -> bool:
    """Whether a message is among those that are asked for; what has not been sent has no date to be found by."""
    sent = taken.more["date_sent"]
    day = sent.date().isoformat() if sent is not None else None
    filters = {name: wanted[name][:10] for name in ("DateSent", "DateSent>", "DateSent<") if wanted.get(name)}
    if filters and day is None:
        return False
    return (
        wanted.get("To", taken.to) == taken.to
        and wanted.get("From", taken.more["from"]) == taken.more["from"]
        and (day or "") == filters.get("DateSent", day or "")
        and (day or "") >= filters.get("DateSent>", "")
        and (day or "") <= filters.get("DateSent<", "9999")
    )
