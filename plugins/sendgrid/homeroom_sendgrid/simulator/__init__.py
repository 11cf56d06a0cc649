"""A SendGrid of one's own: it takes mails, keeps suppressions, and calls back with signed events."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from quart import Response, request
from quart.typing import ResponseReturnValue

from homeroom.testing import ChannelSimulator, SampleDistrict, Taken
from homeroom_sendgrid.checks import EVENTS
from homeroom_sendgrid.mail import OUR_ID
from homeroom_sendgrid.signature import SIGNATURE, TIMESTAMP
from homeroom_sendgrid.simulator import rules
from homeroom_sendgrid.webhook import PATH

_PAGE = "<!doctype html><title>Welcome</title><h1>Please sign in to the school's network</h1>"
_EMPTY = {"Content-Type": "text/plain; charset=utf-8"}
_LISTS = ("bounces", "blocks", "invalid_emails", "spam_reports", "unsubscribes")
_DROPPED_FOR = {
    "unsubscribes": "Unsubscribed Address",
    "spam_reports": "Spam Reporting Address",
    "bounces": "Bounced Address",
    "invalid_emails": "Invalid",
}
_SCOPES = (
    "mail.send",
    "suppression.read",
    "asm.groups.read",
    "user.webhooks.event.settings.read",
    "whitelabel.read",
)
_LIMIT = 600  # requests a minute, as the rate limit's headers say
_DEFAULT_PAGE, _LARGEST_PAGE = 500, 500


class SendGridSimulator(ChannelSimulator):
    """SendGrid's v3 API on loopback.

    Mail to bounce@… comes back, to blocked@… is not taken by the receiving server, to invalid@… is dropped; what is
    sent to anybody else arrives. Events go to `events_url`, where one is set, signed with a key of its own.
    """

    name = "sendgrid"
    title = "SendGrid"
    evidence = (
        "SendGrid's own API descriptions, against which it is checked with Prism, the documentation of its events, and "
        "events that other people have recorded. It was never compared with SendGrid itself."
    )

    def __init__(
        self,
        district: SampleDistrict | None = None,
        *,
        misbehave: Collection[str] = (),
        post: Callable[..., Any] | None = None,
        events_url: str | None = None,
        scopes: Iterable[str] = _SCOPES,
    ) -> None:
        super().__init__(district, misbehave=misbehave, post=post)
        self.events_url = events_url
        self.scopes = list(scopes)
        self.api_key = f"SG.{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(32)}"
        self.from_email = "attendance@school.example"
        self.lists: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in _LISTS}
        self.left: dict[tuple[str, int], int] = {}
        self.webhook: dict[str, Any] = {"enabled": True, **dict.fromkeys(EVENTS, True), "open": False, "click": False}
        self._signing = ec.generate_private_key(ec.SECP256R1())
        self._add_routes()

    @property
    def public_key(self) -> str:
        """The verification key of its events, as SendGrid shows it."""
        der = self._signing.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    def settings(self, url: str) -> dict[str, Any]:
        """The plugin's settings with which it sends through this simulator at `url`."""
        return {
            "base_url": url,
            "api_key": self.api_key,
            "from_email": self.from_email,
            "webhook_public_key": self.public_key,
        }

    def signed(self, body: bytes, *, at: datetime | None = None) -> dict[str, str]:
        """The headers of a call of the event webhook with this body."""
        timestamp = str(int((at or datetime.now(UTC)).timestamp()))
        signature = self._signing.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "Content-Type": "application/json",
            SIGNATURE: base64.b64encode(signature).decode(),
            TIMESTAMP: timestamp,
        }

    def set_up_callbacks(self, plugin_url: str) -> None:
        """Somebody enters the address of an event webhook, as docs/sendgrid.md says."""
        self.events_url = f"{plugin_url}{PATH}"

    def opt_out(self, address: str) -> None:
        """The owner of `address` leaves every mail of the account."""
        self.unsubscribe(address)

    def unsubscribe(self, address: str, *, group: int | None = None) -> None:
        """Somebody leaves: every mail of the account, or only those of an unsubscribe group."""
        if group is None:
            self._list("unsubscribes", address)
            self._tell([self._about(address, "unsubscribe")])
        else:
            self.left[address.casefold(), group] = _seconds()
            self._tell([self._about(address, "group_unsubscribe", asm_group_id=group)])

    def resubscribe(self, address: str, *, group: int) -> None:
        """Somebody comes back into an unsubscribe group."""
        self.left.pop((address.casefold(), group), None)
        self._tell([self._about(address, "group_resubscribe", asm_group_id=group)])

    def report_spam(self, address: str) -> None:
        """Somebody calls the last mail spam."""
        self._list("spam_reports", address, ip="192.0.2.1")
        self._tell([self._about(address, "spamreport")])

    def _add_routes(self) -> None:
        self.app.add_url_rule("/v3/mail/send", view_func=self._send, methods=["POST"])
        self.app.add_url_rule("/v3/scopes", view_func=self._show_scopes)
        self.app.add_url_rule("/v3/suppression/<name>", view_func=self._show_list)
        self.app.add_url_rule("/v3/asm/suppressions", view_func=self._show_left)
        self.app.add_url_rule("/v3/user/webhooks/event/settings/all", view_func=self._show_webhooks)
        self.app.add_url_rule("/v3/whitelabel/domains", view_func=self._show_domains)

    async def _send(self) -> ResponseReturnValue:
        if (refused := self._refused("mail.send")) is not None:
            return refused
        if self.shows_a_page():
            return Response(_PAGE, 200, {"Content-Type": "text/html"})
        mail = await request.get_json(silent=True)
        wrong = rules.first_refusal(mail)
        if wrong is None and self.refuses():
            wrong = "Does not contain a valid address.", "personalizations.0.to.0.email"
        if wrong is not None:
            return _errors(400, *wrong)
        if mail.get("mail_settings", {}).get("sandbox_mode", {}).get("enable") is True:
            return Response("", 200, _EMPTY)
        message = secrets.token_urlsafe(16)
        self._take(mail, message)
        return await self.spoil() or Response("", 202, {**_EMPTY, "X-Message-Id": message})

    def _take(self, mail: Mapping[str, Any], message: str) -> None:
        """Take a mail, and decide what becomes of it."""
        first: list[dict[str, Any]] = []
        last: list[dict[str, Any]] = []
        group = mail.get("asm", {}).get("group_id")
        for number, personalization in enumerate(mail["personalizations"]):
            for address in rules.recipients(personalization):
                args = personalization.get("custom_args", {})
                taken = Taken(
                    provider_id=message,
                    channel="email",
                    to=address,
                    subject=mail["subject"],
                    body=mail["content"][0]["value"],
                    message_id=args.get(OUR_ID),
                    at=datetime.now(UTC),
                    more={"mail": mail, "args": args, "sg_message_id": f"{message}.recvd-7f8-x-1-{number}.0"},
                )
                self.taken.append(taken)
                taken.state, events = self._fate(taken, group)
                first += events[:-1]
                last += events[-1:]
        self._tell(first, last)

    def _fate(self, taken: Taken, group: int | None) -> tuple[str, list[dict[str, Any]]]:
        """How a mail ends, and the events that tell of it."""
        address, box = taken.to.casefold(), taken.to.partition("@")[0].casefold()
        if box == "invalid":
            self._list("invalid_emails", address, reason="Mail domain mentioned in email address is unknown")
        for name, reason in _DROPPED_FOR.items():
            if address in self.lists[name]:
                return "dropped", [self._event(taken, "dropped", reason=reason)]
        if group is not None and (address, group) in self.left:
            return "dropped", [self._event(taken, "dropped", reason="Unsubscribed Address")]
        processed = self._event(taken, "processed")
        if box in ("bounce", "blocked"):
            kind = {"bounce": "bounces", "blocked": "blocks"}[box]
            status, why = ("5.1.1", "Invalid Address") if box == "bounce" else ("4.7.1", "Reputation")
            words = f"550 {status} <{taken.to}>: the recipient was not accepted"
            self._list(kind, address, reason=words, status=status)
            told = {"reason": words, "status": status, "type": box, "bounce_classification": why, "ip": "192.0.2.1"}
            return box, [processed, self._event(taken, "bounce", **told)]
        return "delivered", [processed, self._event(taken, "delivered", response="250 OK", ip="192.0.2.1", tls=1)]

    def _event(self, taken: Taken, kind: str, **more: Any) -> dict[str, Any]:
        return {
            "email": taken.to,
            "timestamp": _seconds(),
            "smtp-id": f"<{taken.provider_id}@geopod-ismtpd-1>",
            "event": kind,
            "sg_event_id": secrets.token_urlsafe(24),
            "sg_message_id": taken.more["sg_message_id"],
            **taken.more["args"],
            **more,
        }

    def _about(self, address: str, kind: str, **more: Any) -> dict[str, Any]:
        """An event of an address, which names the last mail to it where there was one."""
        mails = [one for one in self.taken if one.to.casefold() == address.casefold()]
        if mails:
            return self._event(mails[-1], kind, **more)
        sent = {"email": address, "timestamp": _seconds(), "event": kind, "sg_event_id": secrets.token_urlsafe(24)}
        return {**sent, **more}

    def _tell(self, *batches: list[dict[str, Any]]) -> None:
        """Call back with each batch, where somebody wants to hear."""
        if self.events_url is None:
            return
        bodies = [orjson.dumps(batch) for batch in batches if batch]
        self.call_back([(self.events_url, self.signed(body), body) for body in bodies])

    def _list(self, name: str, address: str, **more: Any) -> None:
        self.lists[name][address.casefold()] = {"created": _seconds(), "email": address.casefold(), **more}

    async def _show_scopes(self) -> ResponseReturnValue:
        return self._refused(None) or {"scopes": self.scopes}

    async def _show_list(self, name: str) -> ResponseReturnValue:
        if (refused := self._refused("suppression.read")) is not None:
            return refused
        if name not in self.lists:
            return _errors(404, "not found")
        start, end = request.args.get("start_time", 0, int), request.args.get("end_time", 2**53, int)
        limit = min(request.args.get("limit", _DEFAULT_PAGE, int), _LARGEST_PAGE)
        offset = request.args.get("offset", 0, int)
        rows = [row for row in self.lists[name].values() if start <= row["created"] <= end]
        newest_first = sorted(rows, key=lambda row: (-row["created"], row["email"]))
        return _json(newest_first[offset : offset + limit], self._limits())

    async def _show_left(self) -> ResponseReturnValue:
        if (refused := self._refused("asm.groups.read")) is not None:
            return refused
        rows = [
            {"email": address, "group_id": group, "group_name": "Attendance", "created_at": at}
            for (address, group), at in self.left.items()
        ]
        return _json(rows, self._limits())

    async def _show_webhooks(self) -> ResponseReturnValue:
        if (refused := self._refused("user.webhooks.event.settings.read")) is not None:
            return refused
        ours = {"id": "webhook-1", "url": self.events_url, "public_key": self.public_key, **self.webhook}
        return {"max_allowed": 5, "webhooks": [ours] if self.events_url else []}

    async def _show_domains(self) -> ResponseReturnValue:
        if (refused := self._refused("whitelabel.read")) is not None:
            return refused
        return _json([{"id": 1, "domain": self.from_email.partition("@")[2], "valid": True}], self._limits())

    def _refused(self, scope: str | None) -> Response | None:
        """The refusal of a caller without the key, or whose key may not do this."""
        if request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return _errors(401, "The provided authorization grant is invalid, expired, or revoked")
        if scope is not None and scope not in self.scopes:
            return _errors(403, "access forbidden")
        return None

    def _limits(self) -> dict[str, str]:
        reset = str(_seconds() // 60 * 60 + 60)
        return {"X-RateLimit-Limit": str(_LIMIT), "X-RateLimit-Remaining": str(_LIMIT - 1), "X-RateLimit-Reset": reset}


def _errors(status: int, sentence: str, field: str | None = None) -> Response:
    body = orjson.dumps({"errors": [{"message": sentence, "field": field}]})
    return Response(body, status, {"Content-Type": "application/json"})


def _json(data: Any, headers: Mapping[str, str]) -> Response:
    return Response(orjson.dumps(data), 200, {"Content-Type": "application/json", **headers})


def _seconds() -> int:
    return int(datetime.now(UTC).timestamp())
