"""Sign-in through Google, Microsoft Entra, Clever or any other OpenID provider."""

from homeroom_oidc.plugin import Oidc, OidcSettings

__all__ = ["Oidc", "OidcSettings"]
