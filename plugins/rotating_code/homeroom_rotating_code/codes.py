"""The arithmetic of rotating codes: pure functions of a session's secret and the time.

Nothing is stored. A code is the HMAC-SHA256 of the step's number under the session's secret, reduced to digits; taken
from all 256 bits, no code is noticeably likelier than another. A scanned token is a longer HMAC of the same step, and a
receipt says that a token was shown to the server while it was good.
"""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime, timedelta
from typing import Literal

Age = Literal["good", "expired", "wrong"]

REMEMBERED = timedelta(minutes=5)
"""How long after its time a code is told apart from a wrong one, so that the message can help."""
_MAC = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def step_of(secret: bytes, moment: datetime, step_seconds: int) -> int:
    """The number of the step that a moment lies in."""
    return (moment - _EPOCH - _shift(secret, step_seconds)) // timedelta(seconds=step_seconds)


def end_of(secret: bytes, step: int, step_seconds: int) -> datetime:
    """The first moment after a step."""
    return _EPOCH + _shift(secret, step_seconds) + (step + 1) * timedelta(seconds=step_seconds)


def code_of(secret: bytes, step: int, digits: int) -> str:
    """The code of one step."""
    # Not hmac.digest: it gives up the interpreter's lock for a microsecond's work, and waits to have it back.
    number = int.from_bytes(hmac.new(secret, b"code %d" % step, "sha256").digest())
    return f"{number % 10**digits:0{digits}d}"


def token_of(secret: bytes, step: int) -> str:
    """What the QR picture holds during one step."""
    return f"{step:x}.{_mac(secret, b'token %d' % step)}"


def receipt_of(secret: bytes, expires: int) -> str:
    """What stands for a token that was shown in time; good until the Unix second `expires`."""
    return f"r.{expires:x}.{_mac(secret, b'receipt %d' % expires)}"


def age_of_code(secret: bytes, code: str, now: int, *, grace: int, remembered: int, digits: int) -> Age:
    """Whether `code` is the one of step `now` or of up to `grace` steps before; compared in constant time."""
    given = code.encode()
    good = [hmac.compare_digest(given, code_of(secret, now - n, digits).encode()) for n in range(grace + 1)]
    if any(good):
        return "good"
    past = range(grace + 1, grace + 1 + remembered)
    old = [hmac.compare_digest(given, code_of(secret, now - n, digits).encode()) for n in past]
    return "expired" if any(old) else "wrong"


def age_of_token(secret: bytes, token: str, now: int, *, grace: int) -> Age:
    """Whether `token` was made for step `now` or up to `grace` steps before."""
    step = _number(token.partition(".")[0])
    if step is None or not hmac.compare_digest(token.encode(), token_of(secret, step).encode()):
        return "wrong"
    return "good" if now - grace <= step <= now else "expired"


def age_of_receipt(secret: bytes, receipt: str, moment: datetime, *, lasts: int | None = None) -> Age:
    """Whether `receipt` is one of this session's and still good; with `lasts`, also that it existed at `moment`.

    `lasts` is for how many seconds a receipt is good.
    """
    expires = _number(receipt.removeprefix("r.").partition(".")[0])
    if expires is None or not hmac.compare_digest(receipt.encode(), receipt_of(secret, expires).encode()):
        return "wrong"
    if lasts is not None and moment.timestamp() < expires - lasts:
        return "wrong"
    return "good" if moment.timestamp() < expires else "expired"


def _shift(secret: bytes, step_seconds: int) -> timedelta:
    """By how much a session's steps begin later than others': all screens of a school would ask at one moment."""
    number = int.from_bytes(hmac.new(secret, b"shift", "sha256").digest())
    return timedelta(milliseconds=number % (1000 * step_seconds))


def _mac(secret: bytes, text: bytes) -> str:
    return base64.urlsafe_b64encode(hmac.digest(secret, text, "sha256")[:_MAC]).rstrip(b"=").decode()


def _number(text: str) -> int | None:
    try:
        return int(text, 16) if 0 < len(text) <= 16 else None  # noqa: PLR2004 - 64 bits
    except ValueError:
        return None
