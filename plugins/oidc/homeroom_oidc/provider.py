"""One OpenID provider: the way there with PKCE, and what its token says on the way back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError

from homeroom import ExternalIdentity, Services, SignInRefused, SignInStart
from homeroom_oidc.metadata import TENANT, Metadata
from homeroom_oidc.presets import Allowed, Preset

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Public-key algorithms only: with "none" or HS256 anybody could sign, or our own client secret would be the key."""

_SKEW_SECONDS = 60
_OLDEST_SECONDS = 600
_AGAIN = "The sign-in did not succeed. Please begin again."


class Provider:
    """A sign-in provider as the core drives it. `key` names the provider in joined accounts."""

    def __init__(
        self,
        *,
        label: str,
        key: str,
        preset: Preset,
        metadata: Metadata,
        allowed: Allowed,
        services: Services,
        client_id: str,
        client_secret: str,
        scope: str,
    ) -> None:
        self._label = label
        self._key = key
        self._preset = preset
        self._metadata = metadata
        self._allowed = allowed
        self._services = services
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope

    @property
    def label(self) -> str:
        """What the button says."""
        return self._label

    async def start(self, *, redirect_uri: str, state: str, nonce: str) -> SignInStart:
        """The provider's page to go to, with a PKCE challenge (S256) whose verifier is kept."""
        discovery = await self._metadata.discovery()
        verifier = secrets.token_urlsafe(48)
        url, _ = self._client(redirect_uri).create_authorization_url(
            discovery.authorization_endpoint,
            state=state,
            nonce=nonce,
            code_challenge=_challenge(verifier),
            code_challenge_method="S256",
            **self._hints(),
        )
        return SignInStart(url=url, keep={"verifier": verifier})

    async def finish(
        self, *, redirect_uri: str, nonce: str, keep: Mapping[str, str], answer: Mapping[str, str]
    ) -> ExternalIdentity:
        """Who came back with `answer`. Raises SignInRefused."""
        if "error" in answer or "code" not in answer:
            raise SignInRefused("The sign-in was cancelled." if answer.get("error") == "access_denied" else _AGAIN)
        discovery = await self._metadata.discovery()
        issuer = answer.get("iss")
        if issuer != discovery.issuer and (issuer or discovery.authorization_response_iss_parameter_supported):
            raise SignInRefused(_AGAIN)  # RFC 9207: the answer of another provider
        try:
            tokens = await self._client(redirect_uri).fetch_token(
                discovery.token_endpoint,
                code=answer["code"],
                code_verifier=keep.get("verifier", ""),
                grant_type="authorization_code",
            )
        except OAuthError as exc:
            self._services.log.warning("code_refused", error=exc.error)
            raise SignInRefused(_AGAIN) from None
        claims = await self._verified(tokens.get("id_token"), nonce)
        person = self._preset.judge(claims, self._allowed)
        return ExternalIdentity(provider=self._key, subject=person.subject, email=person.email)

    async def _verified(self, token: object, nonce: str) -> Mapping[str, Any]:
        """The claims of a genuine ID token (OpenID Connect Core, 3.1.3.7). Raises SignInRefused for any other."""
        if not isinstance(token, str):
            raise SignInRefused(_AGAIN)
        discovery = await self._metadata.discovery()
        offered = [name for name in ALGORITHMS if name in discovery.id_token_signing_alg_values_supported]
        keys = await self._metadata.keys(_key_id(token))
        try:
            claims = jwt.decode(token, keys, algorithms=offered).claims
        except (JoseError, LookupError, TypeError, ValueError) as exc:
            self._services.log.warning("id_token_refused", error=type(exc).__name__)
            raise SignInRefused(_AGAIN) from None
        if reason := self._objection(claims, nonce, discovery.issuer):
            self._services.log.warning("id_token_refused", error=reason)
            raise SignInRefused(_AGAIN)
        return claims

    def _objection(self, claims: Mapping[str, Any], nonce: str, issuer: str) -> str | None:
        """What is wrong with the claims, in a word for the log; it holds none of them."""
        now = self._services.clock.now().timestamp()
        audience = claims.get("aud")
        listed = audience if isinstance(audience, list) else [audience]
        expires, issued = _number(claims.get("exp")), _number(claims.get("iat"))
        checks = {
            "issuer": claims.get("iss") == issuer.replace(TENANT, str(claims.get("tid", ""))),
            "audience": self._client_id in listed and claims.get("azp", self._client_id) == self._client_id,
            "authorized party": len(listed) == 1 or "azp" in claims,
            "nonce": hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()),
            "expiry": expires > now - _SKEW_SECONDS,
            "age": now - _OLDEST_SECONDS < issued < now + _SKEW_SECONDS,
        }
        return next((name for name, fine in checks.items() if not fine), None)

    def _client(self, redirect_uri: str) -> Any:
        """An OAuth client over the plugin's guarded transport; it holds nothing that needs to be closed."""
        return AsyncOAuth2Client(
            client_id=self._client_id,
            client_secret=self._client_secret,
            scope=self._scope,
            redirect_uri=redirect_uri,
            transport=self._services.transport,
            trust_env=False,
            timeout=10,
        )

    def _hints(self) -> dict[str, str]:
        """Google shows only accounts of the one domain then; the answer is judged all the same."""
        domains = sorted(self._allowed.allowed_domains)
        return {"hd": domains[0]} if self._preset.needs == "allowed_domains" and len(domains) == 1 else {}


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _key_id(token: str) -> str | None:
    """The key id in a token's header, before anything of it is believed."""
    header = token.partition(".")[0]
    try:
        found = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except ValueError:
        raise SignInRefused(_AGAIN) from None
    key_id = found.get("kid") if isinstance(found, dict) else None
    return key_id if isinstance(key_id, str) else None


def _number(value: object) -> float:
    """A claim's time, or the beginning of time for what is none."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
