"""The plugin: its settings, checked before anybody meets them, and the provider they make."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from homeroom import HOOK_API, Finding, Health, Services, SignInProvider, hookimpl
from homeroom_oidc.metadata import Metadata, Unusable
from homeroom_oidc.presets import PRESETS, PresetName
from homeroom_oidc.provider import Provider


def _folded(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.strip().removeprefix("@").casefold() for name in names)


class OidcSettings(BaseModel):
    """Which provider, the client registered there, and whom the district lets in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: PresetName = "generic"
    issuer: str | None = Field(default=None, description="Needed for generic; for microsoft, to name one tenant.")
    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    label: str | None = Field(default=None, max_length=40, description="What the button says.")
    scope: str = "openid email profile"
    allowed_domains: Annotated[frozenset[str], AfterValidator(_folded)] = frozenset()
    allowed_tenants: frozenset[str] = frozenset()
    extra_hosts: frozenset[str] = Field(
        default=frozenset(),
        description="https://… of a generic provider's endpoints that are not at its issuer's host.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        preset = PRESETS[self.preset]
        if self.issuer is None and preset.issuer is None:
            raise ValueError("a generic provider needs its issuer, for example https://login.district.example")
        if preset.needs and not getattr(self, preset.needs):
            raise ValueError(f"{self.preset} needs {preset.needs}: without it anybody with an account there could try")
        for url in (self.issuer, *self.extra_hosts):
            if url is not None and urlsplit(url).scheme not in ("https", "http"):
                raise ValueError("issuer and extra_hosts are addresses that begin with https://")
        return self


class Oidc:
    """Sign-in through one OpenID provider; for several, give each its name and `use = "oidc"`."""

    hook_api = HOOK_API
    scopes: frozenset[str] = frozenset()
    Settings = OidcSettings

    def __init__(self, settings: OidcSettings, services: Services) -> None:
        preset = PRESETS[settings.preset]
        issuer = settings.issuer or preset.issuer or ""
        for url in (issuer, *preset.hosts, *settings.extra_hosts):
            services.allow_host(url)
        self._metadata = Metadata(services, issuer)
        self._provider = Provider(
            label=settings.label or preset.label,
            key=_key(settings.preset, issuer),
            preset=preset,
            metadata=self._metadata,
            allowed=settings,
            services=services,
            client_id=settings.client_id,
            client_secret=settings.client_secret.get_secret_value(),
            scope=settings.scope,
        )

    @hookimpl
    async def sign_in_provider(self) -> SignInProvider:
        """The one provider of these settings."""
        return self._provider

    @hookimpl
    async def health(self) -> Health:
        """Whether the provider can be reached and is the one that the settings name."""
        try:
            await self._metadata.discovery()
        except Unusable as exc:
            fix = "Check `issuer`, and that this server may reach it."
            return Health(ok=False, detail=str(exc), findings=(Finding(problem=str(exc), fix=fix),))
        return Health(ok=True)


def _key(preset: PresetName, issuer: str) -> str:
    """What names the provider in joined accounts: a person keeps the account when a plugin is renamed.

    Microsoft's subjects hold their tenant, so they stay the same whether one tenant or many are let in.
    """
    return "microsoft" if preset == "microsoft" else issuer.rstrip("/")
