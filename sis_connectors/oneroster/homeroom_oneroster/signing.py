"""How requests to a OneRoster server are signed in: an OAuth 2 token, an OAuth 1.0a signature, or a fixed token."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    import httpx2
    from pydantic import SecretStr


def bearer(token: SecretStr) -> httpx2.Auth:
    """Every request with one token that the vendor has handed out for good."""
    import httpx2

    class Bearer(httpx2.Auth):
        def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
            request.headers["Authorization"] = f"Bearer {token.get_secret_value()}"
            yield request

    return Bearer()


def oauth1(key: str, secret: SecretStr) -> httpx2.Auth:
    """Every request with a signature over its address and all its query parameters (RFC 5849, HMAC-SHA1).

    A server that does not take our time is asked once more by its own.
    """
    import httpx2

    class Signature(httpx2.Auth):
        ahead = 0.0  # seconds by which the server's clock is

        def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
            request.headers["Authorization"] = _signature(request, key, secret, time.time() + self.ahead)
            response = yield request
            ahead = _ahead(response)
            if response.status_code == 401 and abs(ahead - self.ahead) > 1:  # noqa: PLR2004
                self.ahead = ahead
                request.headers["Authorization"] = _signature(request, key, secret, time.time() + ahead)
                yield request

    return Signature()


def _signature(request: httpx2.Request, key: str, secret: SecretStr, now: float) -> str:
    from authlib.oauth1.rfc5849.parameters import prepare_headers
    from authlib.oauth1.rfc5849.signature import construct_base_string, hmac_sha1_signature

    signed = [
        ("oauth_consumer_key", key),
        ("oauth_nonce", secrets.token_urlsafe(16)),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", str(int(now))),
        ("oauth_version", "1.0"),
    ]
    asked = parse_qsl(request.url.query.decode(), keep_blank_values=True)
    base = construct_base_string(request.method, str(request.url), [*asked, *signed])
    signature = hmac_sha1_signature(base, secret.get_secret_value(), "")
    header: str = prepare_headers([*signed, ("oauth_signature", signature)])["Authorization"]
    return header


def _ahead(response: httpx2.Response) -> float:
    try:
        told = parsedate_to_datetime(response.headers["date"])
        return told.replace(tzinfo=told.tzinfo or UTC).timestamp() - time.time()
    except (KeyError, TypeError, ValueError):
        return 0.0
