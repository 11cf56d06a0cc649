"""How many segments a text message takes: 160 characters of GSM-7, or 70 of anything else; fewer where it is joined.

3GPP TS 23.038 (the alphabet) and TS 23.040 (joined messages). A character that takes two places is never cut in two:
where only one is left in a part, it goes into the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")  # each takes two places
_GSM = (160, 153)  # alone, and in each part of a joined one
_UCS2 = (70, 67)
_LAST_OF_ONE_UNIT = "\uffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """A text as networks count it. `wide` are the characters that make it UCS-2, each once."""

    encoding: Literal["GSM-7", "UCS-2"]
    units: int
    segments: int
    wide: str = ""


def length_of(text: str) -> Length:
    """The length of a text message."""
    wide = "".join(dict.fromkeys(char for char in text if char not in _BASIC and char not in _EXTENDED))
    if wide:
        pairs = [char > _LAST_OF_ONE_UNIT for char in text]
        return Length(encoding="UCS-2", units=len(text) + sum(pairs), segments=_segments(pairs, *_UCS2), wide=wide)
    pairs = [char in _EXTENDED for char in text]
    return Length(encoding="GSM-7", units=len(text) + sum(pairs), segments=_segments(pairs, *_GSM))


def _segments(pairs: list[bool], alone: int, joined: int) -> int:
    """How many parts hold the characters; `pairs` says of each whether it takes two places."""
    units = len(pairs) + sum(pairs)
    if units <= alone:
        return 1
    return _packed(pairs, joined) if any(pairs) else -(-units // joined)


def _packed(pairs: Iterable[bool], joined: int) -> int:
    parts, used = 1, 0
    for pair in pairs:
        size = 2 if pair else 1
        if used + size > joined:
            parts, used = parts + 1, 0
        used += size
    return parts
