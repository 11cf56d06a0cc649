"""From a message to the form that Twilio takes, and from what Twilio says of it back to a receipt."""

from __future__ import annotations

import re
from datetime import datetime
from http import HTTPStatus

from homeroom import AddressNews, Message, Receipt
from homeroom_twilio.client import Answer, Row
from homeroom_twilio.errors import Fault, Meaning, NotTold, code_of, meaning_of, state_of
from homeroom_twilio.settings import TwilioSettings, is_number

CHANNEL = "sms"

_LONGEST_VALIDITY = 36_000  # seconds; Twilio's own default, and the most it takes
_SETUP_PAUSE = 300.0  # seconds between two attempts that only an administrator can help
_SID = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")


def refused_unsent(message: Message, now: datetime) -> Receipt | None:
    """The receipt of a message that is not worth sending; None for every other."""
    if not is_number(message.to):
        return Receipt(state="refused", reason="this is no telephone number with its country code", code="number")
    if message.expires_at is not None and message.expires_at <= now:
        return Receipt(state="refused", reason="it would have come too late to be of use", code="expired")
    return None


def form_of(message: Message, settings: TwilioSettings, now: datetime, status_url: str | None) -> dict[str, str]:
    """What is posted to send `message`: no more of it than number and text."""
    form = {"To": message.to, "Body": message.body}
    if settings.messaging_service_sid is not None:
        form["MessagingServiceSid"] = settings.messaging_service_sid
    elif settings.from_number is not None:
        form["From"] = settings.from_number
    if status_url is not None:
        form["StatusCallback"] = status_url
    if message.expires_at is not None:
        left = int((message.expires_at - now).total_seconds())
        form["ValidityPeriod"] = str(min(max(left, 1), _LONGEST_VALIDITY))
    if settings.smart_encoded:
        form["SmartEncoded"] = "true"
    return form


def receipt_of(answer: Answer) -> Receipt:
    """What an answer to a message says. Raises NotTold where it says nothing that can be relied on."""
    code = code_of(answer.data.get("code")) if answer.data is not None else None
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:  # whoever says so has taken nothing, in whatever words
        return _refusal(answer, code)
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE and (code is not None or answer.retry_after is not None):
        return _refusal(answer, code)
    if answer.data is None:
        raise NotTold(f"Twilio's answer (HTTP {answer.status}) cannot be read; it may have taken the message")
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        receipt = receipt_of_row(answer.data)
        if receipt is None:
            raise NotTold("Twilio's answer names no message; it may have taken it")
        return receipt
    if answer.status in _DEFINITE and answer.status != HTTPStatus.REQUEST_TIMEOUT:
        return _refusal(answer, code)
    raise NotTold(f"Twilio failed with HTTP {answer.status}; it may have taken the message")


def receipt_of_row(row: Row) -> Receipt | None:
    """What Twilio's record of a message says; None where it is no such record."""
    sid = sid_of(row.get("sid"))
    if sid is None:
        return None
    segments = code_of(row.get("num_segments"))  # 0 until a Messaging Service has chosen the sender
    state = state_of(row.get("status")) or "accepted"
    if state != "failed":
        return Receipt(state=state, provider_id=sid, segments=segments)
    code = code_of(row.get("error_code"))
    return Receipt(
        state="refused",
        provider_id=sid,
        segments=segments,
        reason=reason_of(row.get("status"), code),
        code=text_of(code),
    )


def sid_of(value: object) -> str | None:
    """The id of a message at Twilio; None for what is none."""
    return value if isinstance(value, str) and _SID.fullmatch(value) else None


def reason_of(status: object, code: int | None) -> str:
    """Why a message did not arrive, for staff."""
    if status == "canceled":
        return "it was cancelled at Twilio"
    return "Twilio gave no reason" if code is None else meaning_of(code).reason


def text_of(code: int | None) -> str | None:
    """An error code as it is kept."""
    return None if code is None else str(code)


def news_of(code: str | None, address: str) -> AddressNews | None:
    """What an error code tells of an address beyond the one message."""
    fault = meaning_of(code_of(code)).fault
    if fault is Fault.OPTED_OUT:
        return AddressNews(channel=CHANNEL, address=address, news="opted_out")
    if fault is Fault.UNREACHABLE:
        return AddressNews(channel=CHANNEL, address=address, news="unreachable")
    return None


_DEFINITE = range(400, 500)  # the request itself was turned down; a 5xx may come from something in between


def _refusal(answer: Answer, code: int | None) -> Receipt:
    meaning: Meaning = meaning_of(code, answer.status)
    kept = text_of(code) or str(answer.status)
    match meaning.fault:
        case Fault.BUSY:
            return Receipt(state="retry", reason=meaning.reason, code=kept, retry_after=answer.retry_after)
        case Fault.SETUP:
            wait = _SETUP_PAUSE if answer.retry_after is None else answer.retry_after
            return Receipt(state="retry", reason=meaning.reason, code=kept, retry_after=wait)
        case _:
            return Receipt(state="refused", reason=meaning.reason, code=kept)
