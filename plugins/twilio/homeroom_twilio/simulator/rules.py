"""What Twilio's pages say of numbers, texts and words: magic numbers, segments, STOP and START."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

MAGIC_FROM: Mapping[str, int] = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}
"""Senders that fail in a certain way (www.twilio.com/docs/iam/test-credentials)."""

MAGIC_TO: Mapping[str, int] = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
"""Numbers that cannot be texted, each for a reason of its own (the same page)."""

STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "CANCEL", "REVOKE", "OPTOUT"})
START = frozenset({"START", "YES", "UNSTOP"})

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = frozenset("^{}\\[~]|€\f")  # these take two places
_GSM_SIZES = (160, 153)
_UCS_SIZES = (70, 67)


def is_number(text: str) -> bool:
    """Whether Twilio would take this for a telephone number."""
    return re.fullmatch(r"\+[1-9][0-9]{6,14}", text) is not None


def is_callback(url: str) -> bool:
    """Whether Twilio would call this address: http or https, and a host without underscores."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "_" not in (parts.hostname or "")


def segments(text: str) -> int:
    """How many texts this one is sent and charged as."""
    if set(text) <= _GSM | _GSM_TWICE:
        length = len(text) + sum(letter in _GSM_TWICE for letter in text)
        alone, joined = _GSM_SIZES
    else:
        length = len(text.encode("utf-16-le")) // 2
        alone, joined = _UCS_SIZES
    return 1 if length <= alone else math.ceil(length / joined)
