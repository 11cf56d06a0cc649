"""Addresses as vendors want them: numbers in E.164, e-mail in its usual form; what is neither is nobody's address."""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

from homeroom.store.cipher import Cipher

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"[^\s\x00-\x1f\x7f@<>\"',;:()\[\]\\]{{1,64}}@(?:{_LABEL}\.)+[A-Za-z]{{2,63}}")
_LONGEST = 254  # RFC 5321, 4.5.3.1.3

KINDS: dict[str, tuple[str, ...]] = {"sms": ("sms",), "email": ("email",), "voice": ("phone", "sms")}
"""Which kinds of contact a channel can use; a channel of another name uses contacts of its own name."""


def kinds_for(channel: str, *, text_phones: bool) -> tuple[str, ...]:
    """The kinds of contact for a channel, the best first."""
    kinds = KINDS.get(channel, (channel,))
    return (*kinds, "phone") if channel == "sms" and text_phones else kinds


@lru_cache(maxsize=65536)
def normal(channel: str, value: str, region: str = "US") -> str | None:
    """The address in the one form in which it is sent to and compared; None when it is none.

    Numbers are E.164; those without a country code are of `region` (ISO 3166). A number without an area code reaches
    nobody, and one with an extension a switchboard.
    """
    text = value.strip()
    if channel == "email":
        return text if len(text) <= _LONGEST and _EMAIL.fullmatch(text) else None
    if channel not in ("sms", "voice"):
        return text or None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    reason = phonenumbers.is_possible_number_with_reason(number)  # the plain question takes local numbers, too
    if number.extension or reason != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def lookup(cipher: Cipher, channel: str, address: str) -> str:
    """The keyed hash under which consent for a normal address is kept."""
    return cipher.lookup(f"message.{channel}", address)


def lookups(cipher: Cipher, channel: str, address: str) -> list[str]:
    """The hashes under every configured key, the current one first."""
    return cipher.lookups(f"message.{channel}", address)
