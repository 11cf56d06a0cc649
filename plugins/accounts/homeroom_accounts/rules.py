"""Which passwords are good enough (NIST SP 800-63B, revision 4): long, and not one that everybody tries first.

No rules of composition and no expiry: they make passwords worse.
"""

from __future__ import annotations

import unicodedata

from homeroom_accounts.common import PHRASES, ROWS

ALONE = 15
"""The least characters of a password that stands alone."""
WITH_SECOND_FACTOR = 8
"""The least characters of one with a second factor beside it."""
MOST_BYTES = 256
_LEET = str.maketrans({"@": "a", "4": "a", "3": "e", "1": "i", "!": "i", "0": "o", "$": "s", "5": "s", "7": "t"})
_SHORTEST_RUN = 3


def normal(password: str) -> str:
    """The password as it is hashed: composed alike (NFC), however a keyboard has sent it."""
    return unicodedata.normalize("NFC", password)


def objection(password: str, *, second_factor: bool, about: str = "") -> str | None:
    """Why a password will not do, in plain words, or None. `about` is what anybody would guess: the e-mail address."""
    least = WITH_SECOND_FACTOR if second_factor else ALONE
    if len(password) < least:
        return f"Please use at least {least} characters. A few words that only you would put together are good."
    if len(password.encode()) > MOST_BYTES:
        return f"Please use a shorter password: {MOST_BYTES} bytes at most."
    if is_common(password) or _is_about(password, about):
        return "This password is easy to guess. A few words that only you would put together are better."
    return None


def is_common(password: str) -> bool:
    """Whether this is among what is tried first: common phrases however decorated, repetitions, runs on a keyboard."""
    folded = password.casefold()
    bare = "".join(folded.split())
    shapes = {folded, bare, _trimmed(bare), bare.translate(_LEET), _trimmed(bare).translate(_LEET)}
    return any(shape in PHRASES or _repeats(shape) or _runs(shape) for shape in shapes if shape)


def _is_about(password: str, about: str) -> bool:
    local = about.casefold().partition("@")[0]
    return bool(local) and _trimmed(password.casefold()) in {about.casefold(), local, local * 2, _trimmed(local)}


def _trimmed(text: str) -> str:
    """Without the digits and signs that people hang before and behind a word."""
    letters = [index for index, character in enumerate(text) if character.isalpha()]
    return text[letters[0] : letters[-1] + 1] if letters else text


def _repeats(text: str) -> bool:
    """Whether the whole is one piece again and again: "aaaa", "abcabc", "passwordpassword"."""
    return len(text) > 1 and text in (text + text)[1:-1]


def _runs(text: str) -> bool:
    """Whether the whole is made of runs: neighbours on a keyboard's row, or in the alphabet, or among the digits."""
    start = 0
    while start < len(text):
        length = max(_run_length(text[start:], row) for row in ROWS)
        if length < _SHORTEST_RUN:
            return False
        start += length
    return True


def _run_length(text: str, row: str) -> int:
    """How many characters from the start follow one another in `row`, or all are the same."""
    length = 1
    while length < len(text) and (text[length - 1 : length + 1] in row or text[length] == text[length - 1]):
        length += 1
    return length
