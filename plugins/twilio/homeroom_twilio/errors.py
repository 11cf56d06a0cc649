"""What an error code of Twilio's means for a message, for its address, and for the administrator.

Twilio splits codes from time to time, so what counts is the class; the code itself is kept beside it. Sources: Twilio's
error dictionary (www.twilio.com/docs/api/errors) and its page on test credentials.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal


class NotTold(Exception):
    """Nobody knows whether Twilio took the message; the text says what happened, and nothing of the message."""


class NotReached(Exception):
    """Twilio was not reached at all, so it has taken nothing."""


class Unreadable(Exception):
    """Twilio did not give what was asked for; `status` is its answer's, where there was one."""

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class Fault(enum.Enum):
    """Whose fault an error is, and so what follows from it."""

    OPTED_OUT = "opted out"  # its owner answered STOP: refused, and the address is opted out
    UNREACHABLE = "unreachable"  # there is no such number, or it takes no texts: refused, and the address is marked
    REFUSED = "refused"  # this message will not go out on this channel
    BUSY = "busy"  # nothing was taken; try again
    SETUP = "setup"  # the account's fault and not the message's: kept until an administrator has put it right


@dataclass(frozen=True, slots=True)
class Meaning:
    """The class of a code, and what to tell the administrator."""

    fault: Fault
    reason: str


_ACCOUNT = "Twilio does not accept the account SID and token (or API key); copy them anew from its console"
_INACTIVE = "the Twilio account is suspended or closed; see its console"
_SENDER = "the sender is not a number of this Twilio account that can send texts; see from_number"
_SERVICE = "Twilio does not know this Messaging Service, or it has no numbers; see messaging_service_sid"
_TRIAL = "a trial account of Twilio texts only numbers that were verified there; upgrade it"
_NO_NUMBER = "there is no such telephone number"
_NO_TEXTS = "this number takes no texts: it is a landline, or its carrier cannot be reached"
_TOO_FAST = "more texts than Twilio takes from this account or sender at once"

MEANINGS: Mapping[int, Meaning] = {
    20003: Meaning(Fault.SETUP, _ACCOUNT),
    20404: Meaning(Fault.SETUP, _ACCOUNT),
    10001: Meaning(Fault.SETUP, _INACTIVE),
    20005: Meaning(Fault.SETUP, _INACTIVE),
    10002: Meaning(Fault.SETUP, _TRIAL),
    21608: Meaning(Fault.SETUP, _TRIAL),
    20008: Meaning(Fault.SETUP, "these are Twilio's test credentials; copy the live ones from its console"),
    21212: Meaning(Fault.SETUP, _SENDER),
    21603: Meaning(Fault.SETUP, _SENDER),
    21606: Meaning(Fault.SETUP, _SENDER),
    21607: Meaning(Fault.SETUP, _SENDER),
    21659: Meaning(Fault.SETUP, _SENDER),
    21660: Meaning(Fault.SETUP, _SENDER),
    21661: Meaning(Fault.SETUP, _SENDER),
    21609: Meaning(Fault.SETUP, "Twilio cannot use PUBLIC_BASE_URL for its reports; it must be a public https address"),
    21701: Meaning(Fault.SETUP, _SERVICE),
    21703: Meaning(Fault.SETUP, _SERVICE),
    21704: Meaning(Fault.SETUP, _SERVICE),
    21705: Meaning(Fault.SETUP, _SERVICE),
    14107: Meaning(Fault.BUSY, _TOO_FAST),
    20429: Meaning(Fault.BUSY, _TOO_FAST),
    21611: Meaning(Fault.BUSY, "the sender's queue at Twilio is full"),
    21730: Meaning(Fault.BUSY, "Twilio is being maintained"),
    30001: Meaning(Fault.BUSY, "the sender's queue at Twilio is full"),
    21610: Meaning(Fault.OPTED_OUT, "its owner has answered STOP to this sender"),
    21211: Meaning(Fault.UNREACHABLE, _NO_NUMBER),
    21214: Meaning(Fault.UNREACHABLE, "this number cannot be reached"),
    21217: Meaning(Fault.UNREACHABLE, _NO_NUMBER),
    21614: Meaning(Fault.UNREACHABLE, "this number is no mobile number and takes no texts"),
    21635: Meaning(Fault.UNREACHABLE, _NO_TEXTS),
    30005: Meaning(Fault.UNREACHABLE, "the carrier does not know this number, or it is no longer in use"),
    30006: Meaning(Fault.UNREACHABLE, _NO_TEXTS),
    21408: Meaning(
        Fault.REFUSED,
        "this account may not text the number's country; allow it under Geo permissions in Twilio's console",
    ),
    21602: Meaning(Fault.REFUSED, "the message has no text"),
    21604: Meaning(Fault.REFUSED, "the message has no number to go to"),
    21612: Meaning(Fault.REFUSED, "this number cannot be reached from the district's sender"),
    21617: Meaning(Fault.REFUSED, "the text is longer than the 1600 characters that Twilio takes"),
    21619: Meaning(Fault.REFUSED, "the message has no text"),
    30002: Meaning(Fault.REFUSED, _INACTIVE),
    30003: Meaning(Fault.REFUSED, "the telephone was switched off or out of reach"),
    30004: Meaning(Fault.REFUSED, "its owner or the carrier blocks texts from this sender"),
    30007: Meaning(Fault.REFUSED, "the carrier took the text for spam"),
    30008: Meaning(Fault.REFUSED, "the carrier gave no reason"),
    30022: Meaning(Fault.REFUSED, "more texts than the district's A2P 10DLC registration allows"),
    30032: Meaning(Fault.REFUSED, "the district's toll-free number is not verified with Twilio"),
    30034: Meaning(Fault.REFUSED, "the district's number is not registered for A2P 10DLC"),
    30036: Meaning(Fault.REFUSED, "it could not be sent before it lost its use"),
}


def meaning_of(code: int | None, status: int | None = None) -> Meaning:
    """The class of a code, or of an HTTP status where the code is not known here."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:  # nothing was taken, whatever the code says
        known = MEANINGS.get(code or 0)
        return known if known is not None and known.fault is Fault.BUSY else Meaning(Fault.BUSY, _TOO_FAST)
    if code is not None and code in MEANINGS:
        return MEANINGS[code]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return Meaning(Fault.BUSY, "Twilio cannot take messages at the moment")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Meaning(Fault.SETUP, _ACCOUNT)
    if code is None and status is not None and status not in _ABOUT_THE_MESSAGE:
        return Meaning(Fault.SETUP, f"HTTP status {status} without a word of Twilio's; see base_url and account_sid")
    told = f"error {code}" if code is not None else f"HTTP status {status}" if status is not None else "no reason"
    return Meaning(Fault.REFUSED, f"Twilio refused it with {told}")


_ABOUT_THE_MESSAGE = (400, 413, 422)
_LONGEST_CODE = 9

_STATES: Mapping[str, Literal["accepted", "delivered", "failed"]] = {
    "accepted": "accepted",
    "scheduled": "accepted",
    "queued": "accepted",
    "sending": "accepted",
    "sent": "accepted",
    "partially_delivered": "accepted",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
}


def state_of(status: object) -> Literal["accepted", "delivered", "failed"] | None:
    """What a MessageStatus means; None for one that says nothing of a message to a family."""
    return _STATES.get(status) if isinstance(status, str) else None


def code_of(value: object) -> int | None:
    """An error code as a number; Twilio writes it as one in JSON and as text in callbacks, and 0 or null for none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value)
    return int(text) or None if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_CODE else None
