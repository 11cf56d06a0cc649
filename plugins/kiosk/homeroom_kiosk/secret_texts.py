"""Texts that are shown once and kept as hashes: a tablet's token, the code that sets it up, a PIN.

Tokens and codes are long and random, so a plain hash keeps them. Cards, PINs and student numbers can be guessed: their
hashes are keyed with the district's key (`Connection.cipher.lookups`), without which a copy of the database tells none.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime

TOKEN_PREFIX = "hrt_"  # noqa: S105 - the beginning that all have
_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that is taken for another
_GROUPS, _IN_GROUP = 3, 4  # 58 bits, for half an hour


def new_id() -> str:
    """An id for a row."""
    return secrets.token_hex(14)


def new_token() -> str:
    """What a tablet shows with every request."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def new_code() -> str:
    """What is typed on a tablet once, in groups that can be read out."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(_IN_GROUP)) for _ in range(_GROUPS))


def new_pin(digits: int) -> str:
    """Random digits."""
    return "".join(secrets.choice("0123456789") for _ in range(digits))


def code_as_typed(text: str) -> str:
    """A code without what people put between its letters."""
    return "".join(letter for letter in text.upper() if letter.isalnum())


def hashed(text: str) -> str:
    """The hash of a text that nobody can guess."""
    return hashlib.sha256(text.encode()).hexdigest()


def text_of(moment: datetime) -> str:
    """A moment as it is stored, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
