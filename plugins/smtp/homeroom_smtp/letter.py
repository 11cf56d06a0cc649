"""What is mailed: one message to one address, with headers that no text can break out of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

from homeroom import Message

_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f-\x9f@<>()\[\],;:\\\"]{1,64}")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LONGEST_DOMAIN = 253
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")
# Everything that ends a line or is not meant to be seen; a tab and a line feed stay in texts.
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """An e-mail address in two parts; `domain` is in ASCII, as mail servers need it."""

    local: str = field(repr=False)
    domain: str = field(repr=False)

    @property
    def text(self) -> str:
        """The address as the mail server is told it."""
        return f"{self.local}@{self.domain}"

    @property
    def is_plain(self) -> bool:
        """Whether every mail server can take it; letters beyond ASCII before the @ need SMTPUTF8 (RFC 6531)."""
        return self.local.isascii()


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message ready for the mail server. `id` is its Message-ID, without the brackets."""

    id: str
    sender: str
    to: Mailbox
    content: bytes = field(repr=False)


def mailbox(text: str) -> Mailbox | None:
    """The address in its parts, or None when it is none that could be mailed to."""
    local, _, domain = text.rpartition("@")
    if (
        len(domain) > _LONGEST_DOMAIN
        or _LOCAL.fullmatch(local) is None
        or local.startswith(".")
        or local.endswith(".")
        or ".." in local
    ):
        return None
    try:
        local.encode()
        ascii_domain = domain.encode("idna").decode()
    except UnicodeError:
        return None
    if len(ascii_domain) > _LONGEST_DOMAIN or not all(_LABEL.fullmatch(label) for label in ascii_domain.split(".")):
        return None
    return Mailbox(local=local, domain=ascii_domain)


def letter(
    message: Message, to: Mailbox, *, sender: str, sender_name: str, reply_to: str | None, at: datetime
) -> Letter:
    """The letter to `to` that says what `message` says, sent at the moment `at`.

    Its Message-ID is the same at every attempt, so that a mail server can tell a repetition.
    """
    ours = mailbox(sender)
    assert ours is not None  # noqa: S101 - the settings were checked
    message_id = f"{_NOT_IN_IDS.sub('-', message.id) or '-'}@{ours.domain}"
    made = EmailMessage(policy=SMTP if to.is_plain else SMTPUTF8)
    headers: Mapping[str, str | Address | datetime | None] = {
        "From": Address(display_name=_one_line(message.sender or sender_name), username=ours.local, domain=ours.domain),
        "To": Address(username=to.local, domain=to.domain),
        "Reply-To": reply_to,
        "Subject": _one_line(message.subject),
        "Date": at,
        "Message-ID": f"<{message_id}>",
        "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office note comes back
    }
    for name, value in headers.items():
        if value:
            made[name] = value
    made.set_content(_text(message.body))
    if message.html:
        made.add_alternative(_text(message.html), subtype="html")
    if _LANGUAGE.fullmatch(message.language):
        made["Content-Language"] = (
            message.language
        )  # after the contents, which would carry it off into their first part
    content = made.as_bytes()
    return Letter(
        id=message_id, sender=ours.text, to=to, content=content if content.endswith(b"\r\n") else content + b"\r\n"
    )


def _text(given: str) -> str:
    """A text that can be mailed as it is: lines end in one way, and there is nothing in it that cannot be encoded."""
    return _encodable(_LINE_ENDS.sub("\n", given)).translate(_CONTROLS)


def _one_line(given: str) -> str:
    """A text fit for a header: whatever could end the line is a space."""
    return " ".join(_text(given).split())


def _encodable(given: str) -> str:
    return given.encode(errors="replace").decode()
