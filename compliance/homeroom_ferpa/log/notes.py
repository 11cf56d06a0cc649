"""Signed checkpoints in the form of C2SP's tlog-checkpoint and signed-note, and the keys that sign them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519 = b"\x01"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKey:
    """One key of the log: checkpoints from number `since` on are signed with it. `secret` is None where only shown."""

    name: str
    public: bytes
    since: int
    secret: bytes | None = field(default=None, repr=False)

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def published(self) -> str:
        """The key alone, as it is handed out: NAME+ID+KEY."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    def published_until(self, until: int | None) -> str:
        """The key with the numbers of the checkpoints that it signs: NAME+ID+KEY since=N until=N."""
        return f"{self.published} since={self.since}" + (f" until={until}" if until is not None else "")

    def sign(self, body: str) -> str:
        """The signature line under a checkpoint."""
        if self.secret is None:
            raise LookupError("this key can only verify")
        signature = Ed25519PrivateKey.from_private_bytes(self.secret).sign(body.encode())
        return f"\u2014 {self.name} {base64.b64encode(self.key_id + signature).decode()}\n"

    def has_signed(self, body: bytes, signature: bytes) -> bool:
        """Whether the signature of `body` is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, body)
        except (InvalidSignature, ValueError):
            return False
        return True


def published_keys(keys: Sequence[LogKey]) -> list[str]:
    """All keys of a log, oldest first, as they are handed out.

    Where there are several each says what it signs: one that was replaced, perhaps because it was known to others, is
    not to be believed in any later checkpoint.
    """
    if len(keys) == 1:
        return [keys[0].published]
    ends = [*(key.since for key in keys[1:]), None]
    return [key.published_until(end) for key, end in zip(keys, ends, strict=True)]


def public_of(secret: bytes) -> bytes:
    """The public half of a key."""
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def checkpoint(
    *,
    origin: str,
    size: int,
    root: bytes,
    number: int,
    at: str,
    keys: Sequence[LogKey],
    following: LogKey | None = None,
) -> str:
    """A signed checkpoint. `following` names the key that signs from then on."""
    lines = [origin, str(size), base64.b64encode(root).decode(), f"number {number}", f"time {at}"]
    if following is not None:
        lines.append(f"next-key {following.published}")
    body = "\n".join(lines) + "\n"
    return body + "\n" + "".join(key.sign(body) for key in keys)
