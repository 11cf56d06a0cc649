"""What a provider says of itself (OpenID Connect Discovery) and the keys it signs with, fetched when needed."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ValidationError

from homeroom import Services

_SECONDS = 3600
_AGAIN_SECONDS = 60  # an unknown key id asks for the keys again, but no stranger makes us ask more often
_LARGEST = 262_144
TENANT = "{tenantid}"


class Unusable(Exception):
    """The provider cannot be used as it is; the text says why, for an administrator."""


class Discovery(BaseModel):
    """The parts of a provider's metadata that are used here."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    id_token_signing_alg_values_supported: list[str] = ["RS256"]
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    authorization_response_iss_parameter_supported: bool = False


class Metadata:
    """One provider's metadata and keys, remembered for an hour."""

    def __init__(self, services: Services, issuer: str) -> None:
        self._services = services
        self._issuer = issuer
        self._discovery: tuple[Discovery, float] | None = None
        self._keys: tuple[KeySet, float] | None = None

    async def discovery(self) -> Discovery:
        """What the provider says of itself. Raises Unusable when it cannot be had, or is another's."""
        if self._discovery is None or self._now() - self._discovery[1] > _SECONDS:
            found = await self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            try:
                discovery = Discovery.model_validate(found)
            except ValidationError as exc:
                raise Unusable("its openid-configuration is incomplete") from exc
            self._check(discovery)
            self._discovery = discovery, self._now()
        return self._discovery[0]

    async def keys(self, key_id: str | None) -> KeySet:
        """The keys that tokens are signed with; asked for anew when `key_id` is not among them."""
        age = self._now() - self._keys[1] if self._keys else _SECONDS + 1
        known = self._keys is not None and (key_id is None or any(key.kid == key_id for key in self._keys[0].keys))
        if self._keys is None or age > _SECONDS or (not known and age > _AGAIN_SECONDS):
            found = await self._get((await self.discovery()).jwks_uri)
            try:
                self._keys = KeySet.import_key_set(found), self._now()
            except (JoseError, LookupError, TypeError, ValueError) as exc:
                raise Unusable("its keys cannot be read") from exc
        return self._keys[0]

    def _check(self, discovery: Discovery) -> None:
        if discovery.issuer != self._issuer and TENANT not in discovery.issuer:
            raise Unusable("its openid-configuration names another issuer")
        secure = urlsplit(self._issuer).scheme
        for url in (discovery.authorization_endpoint, discovery.token_endpoint, discovery.jwks_uri):
            if urlsplit(url).scheme not in ("https", secure):
                raise Unusable("one of its addresses is not https")

    async def _get(self, url: str) -> Any:
        try:
            response = await self._services.http.get(url)
        except Exception as exc:  # refused by the egress rules, or any of the network's many errors
            raise Unusable(f"it cannot be reached ({type(exc).__name__})") from exc
        if response.status_code != 200 or len(response.content) > _LARGEST:  # noqa: PLR2004 - HTTP's OK
            raise Unusable(f"it answered {response.status_code}")
        try:
            return response.json()
        except ValueError as exc:
            raise Unusable("it answered something that is not JSON") from exc

    def _now(self) -> float:
        return self._services.clock.now().timestamp()
