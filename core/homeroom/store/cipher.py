"""AES-256-GCM for what must not lie in clear in the database: contacts, notes, reasons, tokens, plugin secrets.

A sealed text names its key, so keys can be rotated: the first key seals, the older ones still open. Each person's own
data is sealed under a key of that person, itself sealed here; destroying that key erases the data wherever it lies.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from homeroom.store.dice import Dice
from homeroom.store.errors import StoreError

_NONCE = 12
_NONCES = Dice(_NONCE)


class CannotOpen(StoreError):
    """A sealed text whose key is not configured, or that was changed."""


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"homeroom key id" + key).hexdigest()[:8]


class Cipher:
    """Seals with the first of `keys` (32 bytes each) and opens with any of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._current = next(iter(self._ciphers))
        self._lookup_keys: list[bytes] = []

    def __repr__(self) -> str:
        return f"Cipher({', '.join(self._ciphers)})"

    @property
    def key_id(self) -> str:
        """The id of the key that seals now."""
        return self._current

    def seal(self, text: str, context: str) -> str:
        """`text`, encrypted and bound to `context` (table, column and owner): it opens nowhere else."""
        nonce = _NONCES.throw()
        sealed = self._ciphers[self._current].encrypt(nonce, text.encode(), context.encode())
        return f"{self._current}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def unseal(self, sealed: str, context: str) -> str:
        """The text that was sealed. Raises CannotOpen when its key is missing, or it was changed or moved."""
        key_id, _, body = sealed.partition(".")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise CannotOpen(f"sealed under key {key_id}, which is not configured; add it to previous_encryption_keys")
        try:
            raw = base64.b64decode(body, altchars=b"-_", validate=True)
            return cipher.decrypt(raw[:_NONCE], raw[_NONCE:], context.encode()).decode()
        except (InvalidTag, ValueError) as exc:
            raise CannotOpen(f"a value sealed under key {key_id} has been changed or moved") from exc

    def has_key_of(self, sealed: str) -> bool:
        """Whether the key that a text was sealed under is among these."""
        return sealed.partition(".")[0] in self._ciphers

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose only, the same in every process and after every restart."""
        return self._derive(self._keys[0], purpose)

    def lookup(self, kind: str, value: str) -> str:
        """A keyed hash by which a folded address is found without being kept in clear."""
        return self.lookups(kind, value)[0]

    def lookups(self, kind: str, value: str) -> list[str]:
        """The hashes of a value under every configured key, the current one first."""
        folded = f"{kind}:{value.strip().casefold()}".encode()
        if not self._lookup_keys:  # kept: a roster looks up hundreds of thousands
            self._lookup_keys = [self._derive(key, "lookup") for key in self._keys]
        return [hmac.digest(key, folded, "sha256").hex() for key in self._lookup_keys]

    @staticmethod
    def _derive(key: bytes, purpose: str) -> bytes:
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=f"homeroom {purpose}".encode()).derive(key)
