"""Codes of an authenticator app (RFC 6238: SHA-1, six digits, 30 seconds, which is what every app can do)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from datetime import datetime
from urllib.parse import quote

STEP_SECONDS = 30
_DIGITS = 6
_AROUND = (0, -1, 1)  # a phone's clock may be half a minute off


def new_secret() -> str:
    """A fresh secret of 160 bits, in base32."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def code_at(secret: str, step: int) -> str:
    """The code of one time step."""
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    (number,) = struct.unpack(">I", digest[offset : offset + 4])
    return str((number & 0x7FFF_FFFF) % 10**_DIGITS).zfill(_DIGITS)


def step_of(secret: str, code: str, now: datetime, *, after: int = 0) -> int | None:
    """The time step that `code` belongs to, or None when it is wrong, or not of a step later than `after`."""
    current = int(now.timestamp()) // STEP_SECONDS
    given = code.replace(" ", "").encode()
    for step in (current + offset for offset in _AROUND):
        if step > after and hmac.compare_digest(code_at(secret, step).encode(), given):
            return step
    return None


def uri(secret: str, issuer: str) -> str:
    """What the app reads from a QR code. It names no person: apps show it beside the issuer, for others to see."""
    return f"otpauth://totp/{quote(issuer)}?secret={secret}&issuer={quote(issuer)}"
