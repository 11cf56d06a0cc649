"""Access tokens (short, signed), refresh tokens (opaque, kept as a hash) and other one-time secrets."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from homeroom.settings import AuthSettings
from homeroom.store import Refused

ISSUER = "homeroom"
SKEW_SECONDS = 60  # how far ahead another host's clock may be; expiry gets no such grace
LONGEST = 2048
_REMEMBERED = 8192
_RANDOM_BYTES = 32
_SEAL_LENGTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a genuine access token says; times in seconds since 1970."""

    user_id: str
    session_id: str
    issued: int
    expires: int


def not_signed_in(detail: str = "Please sign in.") -> Refused:
    """The refusal of whoever has not shown who they are."""
    return Refused(401, "not-signed-in", detail)


class AccessTokens:
    """Makes and verifies access tokens.

    One algorithm, set by the district, is ever accepted. `kid` names the key; older keys of `previous_keys` still
    verify. Verified tokens are remembered, but expiry is judged each time.
    """

    def __init__(self, settings: AuthSettings) -> None:
        secrets_ = [settings.secret_key, *settings.previous_keys]
        keys = [secret.get_secret_value().encode() for secret in secrets_]
        self._keys = {_key_id(key): OctKey.import_key(key) for key in keys}
        self._current = _key_id(keys[0])
        self._algorithm = settings.algorithm
        self._registry = JWSRegistry(algorithms=[settings.algorithm])
        self._verified: OrderedDict[str, Claims] = OrderedDict()
        self.lifetime = settings.access_token_minutes * 60

    def issue(self, *, user_id: str, session_id: str, now: float | None = None) -> str:
        """A token for this person and sign-in session, good for `lifetime` seconds from `now` (seconds since 1970)."""
        issued = int(time.time() if now is None else now)
        header = {"alg": self._algorithm, "kid": self._current}
        claims = {
            "iss": ISSUER,
            "sub": user_id,
            "sid": session_id,
            "iat": issued,
            "exp": issued + self.lifetime,
            "jti": secrets.token_urlsafe(12),
        }
        return jwt.encode(header, claims, self._keys[self._current], registry=self._registry)

    def verify(self, token: str, now: float) -> Claims:
        """What `token` says. Raises Refused 401 when it is forged, expired, from the future or of another kind."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            self._verified[token] = claims
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(token)
        if claims.expires <= now:
            self._verified.pop(token, None)
            raise not_signed_in("Your sign-in has expired. Please sign in again, or refresh it.")
        if claims.issued > now + SKEW_SECONDS:
            raise not_signed_in("This token is from the future; please check the clocks.")
        return claims

    def _decode(self, token: str) -> Claims:
        if len(token) > LONGEST:
            raise not_signed_in()
        try:
            found = jwt.decode(token, self._key, registry=self._registry).claims
            claims = Claims(
                user_id=_text(found["sub"]), session_id=_text(found["sid"]), issued=found["iat"], expires=found["exp"]
            )
            if found["iss"] != ISSUER or type(claims.issued) is not int or type(claims.expires) is not int:
                raise not_signed_in()
        except (JoseError, LookupError, ValueError, TypeError):
            raise not_signed_in() from None
        return claims

    def _key(self, signed: Any) -> OctKey:
        return self._keys[signed.headers()["kid"]]


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a claim has the wrong type")
    return value


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"homeroom token key id" + key).hexdigest()[:8]


class RefreshTokens:
    """Makes refresh tokens and knows its own again.

    A token carries its session's id, a random part and a seal over both, so that any earlier token of a session is
    recognised however often the session was refreshed since. The database holds only the newest one's hash.
    """

    PREFIX = "hrr_"

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, session_id: str) -> str:
        """A fresh token for this session."""
        body = f"{session_id}.{secrets.token_urlsafe(_RANDOM_BYTES)}"
        return f"{self.PREFIX}{body}.{self._seal(body)}"

    def session_of(self, token: str) -> str:
        """The session that a token names, whoever wrote it."""
        return token.removeprefix(self.PREFIX).partition(".")[0]

    def is_ours(self, token: str) -> bool:
        """Whether we made this token, under today's key."""
        body, _, seal = token.removeprefix(self.PREFIX).rpartition(".")
        return token.startswith(self.PREFIX) and hmac.compare_digest(seal.encode(), self._seal(body).encode())

    def _seal(self, body: str) -> str:
        return hmac.new(self._key, body.encode(), hashlib.sha256).hexdigest()[:_SEAL_LENGTH]


def secret_token(prefix: str = "") -> str:
    """A fresh unguessable token (256 bits) for a key, an invitation or a ticket."""
    return prefix + secrets.token_urlsafe(_RANDOM_BYTES)


def fingerprint(token: str) -> str:
    """The hash under which such a token is kept; the token itself is random, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()
