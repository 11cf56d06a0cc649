"""Who may read a simulated OneRoster server: OAuth 2 with scopes, OAuth 1.0a signatures, or a fixed token."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, quote, unquote

import orjson
from quart import Response, request

if TYPE_CHECKING:
    from homeroom.testing.simulator import Simulator
    from homeroom_oneroster.selection import Selected
    from homeroom_oneroster.shapes import Version

SCOPES = ("roster-core.readonly", "roster.readonly", "roster-demographics.readonly")
"""The scopes of OneRoster 1.2, by their last part."""

_LATE = 300.0  # seconds by which a signature's time may be off


class Gate:
    """Decides on each request."""

    def __init__(
        self, simulator: Simulator, auth: Literal["oauth2", "oauth1", "bearer"], scopes: Collection[str]
    ) -> None:
        self.auth: Literal["oauth2", "oauth1", "bearer"] = auth
        self.fixed_token = "token-of-the-simulator-for-good"  # noqa: S105 - a simulator's
        self._simulator = simulator
        self._scopes = set(scopes)
        self._granted: dict[str, set[str]] = {}
        self._nonces: set[str] = set()

    async def token(self) -> Response:
        """A token for the client, by Basic or in the form; scopes that it has not are left out of the grant."""
        form = await request.form
        given = request.authorization
        pair = (given.username, given.password) if given is not None and given.type == "basic" else None
        pair = pair or (form.get("client_id"), form.get("client_secret"))
        if pair != (self._simulator.client_id, self._simulator.client_secret):
            return _oauth_error(401, "invalid_client")
        if (form.get("grant_type") or request.args.get("grant_type")) != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type")
        asked = form.get("scope", "").split()
        granted = {one for one in self._scopes if not asked or any(scope.endswith(f"/{one}") for scope in asked)}
        if not granted:
            return _oauth_error(400, "invalid_scope")
        token = self._simulator.issue_token()
        self._granted[token] = granted
        return _json({"access_token": token, "token_type": "bearer", "expires_in": 3600, "scope": " ".join(granted)})

    def refusal(self, selected: Selected, version: Version) -> int | None:
        """The status with which this request is refused; None lets it in."""
        if not self._is_known():
            return 401
        if self.auth != "oauth2":
            return None
        granted = self._granted.get(_token(), set())
        if selected.collection == "demographics":
            return None if "roster-demographics.readonly" in granted else 403
        is_core = not selected.nested and "roster-core.readonly" in granted
        return None if version == "1.1" or is_core or "roster.readonly" in granted else 403

    def _is_known(self) -> bool:
        if self.auth == "oauth1":
            return self._is_signed()
        if self.auth == "bearer":
            return hmac.compare_digest(_token().encode(), self.fixed_token.encode())
        return self._simulator.token_is_good()

    def _is_signed(self) -> bool:
        """Whether the signature covers this very request (RFC 5849, 3.2), once, and now."""
        header = request.headers.get("Authorization", "")
        if not header.startswith("OAuth "):
            return False
        pairs = (part.strip().split("=", 1) for part in header.removeprefix("OAuth ").split(",") if "=" in part)
        told = {name: unquote(value.strip('"')) for name, value in pairs}
        signature, nonce = told.pop("oauth_signature", ""), told.get("oauth_nonce", "")
        told.pop("realm", None)
        asked = parse_qsl(request.query_string.decode(), keep_blank_values=True)
        expected = signature_of(
            request.method, request.base_url, [*asked, *told.items()], self._simulator.client_secret
        )
        late = abs(float(told.get("oauth_timestamp") or 0) - self._simulator.now().timestamp())
        is_good = (
            told.get("oauth_consumer_key") == self._simulator.client_id
            and hmac.compare_digest(signature.encode(), expected.encode())
            and nonce not in self._nonces
            and late <= _LATE
        )
        self._nonces.add(nonce)
        return is_good


def signature_of(
    method: str, address: str, parameters: Collection[tuple[str, str]], secret: str, token_secret: str = ""
) -> str:
    """The HMAC-SHA1 signature of a request with these decoded parameters (RFC 5849, 3.4)."""
    encoded = sorted((_escaped(name), _escaped(value)) for name, value in parameters)
    joined = "&".join(f"{name}={value}" for name, value in encoded)
    base = "&".join((method.upper(), _escaped(address), _escaped(joined)))
    digest = hmac.digest(f"{_escaped(secret)}&{_escaped(token_secret)}".encode(), base.encode(), hashlib.sha1)
    return base64.b64encode(digest).decode()


def _token() -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _escaped(text: str) -> str:
    return quote(text, safe="-._~")


def _oauth_error(status: int, error: str) -> Response:
    return _json({"error": error}, status)


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, {"Content-Type": "application/json"})
