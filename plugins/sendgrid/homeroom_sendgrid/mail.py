"""A message as SendGrid's `POST /v3/mail/send` takes it, and what SendGrid's answer to it means.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from homeroom import Message, Receipt
from homeroom_sendgrid.client import BUSY, Answer, NotKnown, seconds_to_wait
from homeroom_sendgrid.settings import SendGridSettings, is_address

OUR_ID = "homeroom"
"""The custom argument that comes back with every event: the outbox row, and the only thing that SendGrid may keep."""

BAD_ADDRESS = "bad-address"
TOO_LARGE = "too-large"

_ACCEPTED = 202
_SANDBOXED = 200
_BAD = (400, 413)
_MENDING = 300.0  # seconds
_NOT_THE_MESSAGES = {
    401: "SendGrid does not accept the API key, or the account has no credits left: see SendGrid, then api_key.",
    403: "SendGrid does not let this key send from this address: give the key Mail Send, and verify from_email.",
    404: "SendGrid's API is not at this address: see region and base_url.",
    405: "SendGrid's API is not at this address: see region and base_url.",
    406: "SendGrid's API is not at this address: see region and base_url.",
    415: "SendGrid's API is not at this address: see region and base_url.",
}
_FIELD = re.compile(r"[a-z_.0-9]{1,80}")
_RECIPIENT = re.compile(r"(personalizations(\.\d+)?\.)?to\b.*")
_SETTING = re.compile(r"(from|reply_to|asm|mail_settings|tracking_settings)\b.*")


def mail_of(message: Message, settings: SendGridSettings) -> dict[str, Any]:
    """The mail: one recipient, no categories, nothing tracked, and no word of whom it is about outside its text."""
    name = settings.from_name or message.sender
    content = [{"type": "text/plain", "value": message.body}]
    if message.html:
        content.append({"type": "text/html", "value": message.html})
    mail: dict[str, Any] = {
        "personalizations": [{"to": [{"email": message.to}], "custom_args": {OUR_ID: message.id}}],
        "from": {"email": settings.from_email, **({"name": name} if name else {})},
        "subject": message.subject,
        "content": content,
        "headers": {"Auto-Submitted": "auto-generated"},  # RFC 3834: no out-of-office notes, please
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
            "ganalytics": {"enable": False},
        },
    }
    if settings.reply_to:
        mail["reply_to"] = {"email": settings.reply_to}
    if settings.asm_group_id:
        mail["asm"] = {"group_id": settings.asm_group_id}
    if settings.sandbox:
        mail["mail_settings"] = {"sandbox_mode": {"enable": True}}
    return mail


def refused_unsent(message: Message) -> Receipt | None:
    """The refusal of a message that SendGrid would surely not take, or None."""
    if not is_address(message.to):
        return Receipt(state="refused", reason="this is no e-mail address", code=BAD_ADDRESS)
    if not message.subject.strip() or not message.body.strip():
        return Receipt(state="refused", reason="a mail needs a subject and a text", code="empty")
    return None


def receipt_of(answer: Answer, settings: SendGridSettings, now: float) -> Receipt:
    """What the answer to a mail means. Raises NotKnown for one after which nobody knows whether it was taken.

    SendGrid's own sentences are not passed on, for they may quote an address.
    """
    if answer.status == _ACCEPTED and not answer.is_page:
        return Receipt(state="accepted", provider_id=answer.headers.get("x-message-id"))
    if answer.status == _SANDBOXED and settings.sandbox and not answer.is_page:
        return Receipt(state="accepted", reason="sandbox: nothing was sent")
    if answer.status == BUSY:
        wait = seconds_to_wait(answer.headers, now)
        return Receipt(state="retry", reason="SendGrid asks to send more slowly", code="429", retry_after=wait)
    if answer.status in _NOT_THE_MESSAGES:
        return _to_mend(_NOT_THE_MESSAGES[answer.status], answer.status)
    if answer.status in _BAD and (fields := _fields_of(answer.data)) is not None:
        return _refusal(answer.status, fields)
    if answer.is_page:
        raise NotKnown(f"SendGrid's address answered {answer.status} with a page; it may have taken the message")
    raise NotKnown(f"SendGrid answered {answer.status}; it may have taken the message")


def _refusal(status: int, fields: list[str]) -> Receipt:
    if any(_RECIPIENT.fullmatch(one) for one in fields):
        return Receipt(state="refused", reason="SendGrid says that this is no e-mail address", code=BAD_ADDRESS)
    if setting := next((one for one in fields if _SETTING.fullmatch(one)), None):
        return _to_mend(f"SendGrid does not take a setting of this plugin ({setting})", status)
    if status != _BAD[0]:
        return Receipt(state="refused", reason="SendGrid says that the mail is too large", code=TOO_LARGE)
    named = f" ({fields[0]})" if fields else ""
    return Receipt(state="refused", reason=f"SendGrid does not take this mail{named}", code=str(status))


def _to_mend(reason: str, status: int) -> Receipt:
    """A retry that waits for an administrator: after too many vain requests SendGrid shuts an account out."""
    return Receipt(state="retry", reason=reason, code=str(status), retry_after=_MENDING)


def _fields_of(data: Any) -> list[str] | None:
    """The fields that SendGrid finds wrong; None when this is not how SendGrid refuses."""
    errors = data.get("errors") if isinstance(data, Mapping) else None
    if not isinstance(errors, list):
        return None
    named = [error.get("field") for error in errors if isinstance(error, Mapping)]
    return [one for one in named if isinstance(one, str) and one != "null" and _FIELD.fullmatch(one)]
