"""What SendGrid's events mean: for a message of ours, and for an address.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from homeroom import AddressNews, DeliveryReport
from homeroom_sendgrid.mail import OUR_ID
from homeroom_sendgrid.settings import is_address

CHANNEL = "email"

News = Literal["opted_out", "opted_in", "unreachable"]

_DROPPED: Mapping[str, tuple[str, News | None]] = {
    "bounced address": ("mails to this address have come back before", "unreachable"),
    "invalid": ("SendGrid says that this is no address", "unreachable"),
    "unsubscribed address": ("the address has unsubscribed", "opted_out"),
    "spam reporting address": ("somebody at this address has reported a mail as spam", "opted_out"),
    "spam content (if spam checker app enabled)": ("SendGrid takes the mail for spam", None),
    "spam content": ("SendGrid takes the mail for spam", None),
    "recipient list over package quota": ("the SendGrid account's quota is used up", None),
    "invalid smtpapi header": ("SendGrid could not read the mail's header", None),
}
_NEWS: Mapping[str, News] = {
    "spamreport": "opted_out",
    "unsubscribe": "opted_out",
    "group_unsubscribe": "opted_out",
    "group_resubscribe": "opted_in",
}
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_CLASS = re.compile(r"[A-Za-z ]{1,40}")
_LONGEST_ID = 200
_LATEST = 10**11  # beyond the year 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one event tells: of a message (`report`), of an address (`news`), or of both; `at` is when it happened."""

    report: DeliveryReport | None = None
    news: AddressNews | None = None
    at: float = 0.0


def told_by(event: object, group: int | None) -> Told | None:
    """What an event tells, or None for one that is not ours, not known, or not read.

    The words of a receiving server are not passed on, for they often quote the address. `group` is the unsubscribe
    group of our mails: who leaves another one goes on getting ours.
    """
    if not isinstance(event, Mapping):
        return None
    kind, message_id = event.get("event"), _id_of(event.get(OUR_ID))
    if not isinstance(kind, str):
        return None
    report = _report(kind, event, message_id) if message_id else None
    address = _text(event.get("email")).strip()
    news = _news(kind, event, is_ours=message_id is not None, group=group) if is_address(address) else None
    if report is None and news is None:
        return None
    return Told(
        report=report,
        news=AddressNews(channel=CHANNEL, address=address, news=news) if news else None,
        at=_time(event.get("timestamp")),
    )


def _report(kind: str, event: Mapping[Any, Any], message_id: str) -> DeliveryReport | None:
    provider_id = _text(event.get("sg_message_id")).partition(".")[0][:_LONGEST_ID] or None
    match kind:
        case "processed":
            return DeliveryReport(state="accepted", message_id=message_id, provider_id=provider_id)
        case "deferred":
            reason = "the receiving server asks to try again; SendGrid does so for up to three days"
            return DeliveryReport(state="accepted", message_id=message_id, provider_id=provider_id, reason=reason)
        case "delivered":
            return DeliveryReport(state="delivered", message_id=message_id, provider_id=provider_id)
        case "bounce":
            reason, code = _bounced(event)
        case "dropped":
            reason, code = _dropped(event)[0], "dropped"
        case _:
            return None
    return DeliveryReport(
        state="failed", message_id=message_id, provider_id=provider_id, reason=f"SendGrid: {reason}", code=code
    )


def _bounced(event: Mapping[Any, Any]) -> tuple[str, str]:
    """Why a mail came back, and the receiving server's enhanced status code (RFC 3463) where it gave one."""
    kind = "blocked" if event.get("type") == "blocked" else "bounce"
    what = "the receiving server did not take it this time" if kind == "blocked" else "the mail came back"
    found = _text(event.get("bounce_classification")).strip()
    why = f" ({found.lower()})" if _CLASS.fullmatch(found) and found.lower() != "unclassified" else ""
    status = _text(event.get("status")).strip()
    return f"{what}{why}", status if _STATUS.fullmatch(status) else kind


def _dropped(event: Mapping[Any, Any]) -> tuple[str, News | None]:
    reason = _text(event.get("reason")).strip().lower()
    return _DROPPED.get(reason, ("it was not sent on", None))


def _news(kind: str, event: Mapping[Any, Any], *, is_ours: bool, group: int | None) -> News | None:
    """What an event says of its address.

    SendGrid sends nothing more to an address that has bounced, unsubscribed or reported spam, whoever's mail it was; so
    that holds for us too, also where an event names no message (a bounce that came later names none).
    """
    match kind:
        case "bounce":
            is_gone = event.get("type") == "bounce" or _text(event.get("bounce_classification")) == "Invalid Address"
            return "unreachable" if is_gone else None
        case "dropped":
            return _dropped(event)[1] if is_ours else None
        case "group_unsubscribe" | "group_resubscribe":
            named = event.get("asm_group_id", group if is_ours else None)
            return _NEWS[kind] if (named == group if group is not None else is_ours) else None
    return _NEWS.get(kind)


def _id_of(value: object) -> str | None:
    is_one = isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable()
    return str(value) if is_one else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _time(value: object) -> float:
    """Seconds since 1970, or 0 for what is no time."""
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LATEST
    return float(value) if is_time else 0.0  # type: ignore[arg-type] # a number, as asked
