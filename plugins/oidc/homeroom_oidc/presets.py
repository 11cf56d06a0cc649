"""What is particular about each provider: whom a token names, and whether the district lets that person's group in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from homeroom import SignInRefused

PresetName = Literal["google", "microsoft", "clever", "generic"]


class Allowed(Protocol):
    """The settings that say whom the district lets in."""

    @property
    def allowed_domains(self) -> frozenset[str]:
        """Domains of e-mail addresses, in folded case."""
        ...

    @property
    def allowed_tenants(self) -> frozenset[str]:
        """Tenants or districts, by the provider's own id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom a verified token names. `email` is given only where the provider vouches for it."""

    subject: str
    email: str | None = field(default=None, repr=False)


class Judge(Protocol):
    """Reads whom a verified token names. Raises SignInRefused for somebody whose group was not let in."""

    def __call__(self, claims: Mapping[str, Any], allowed: Allowed) -> Person:
        """The person behind `claims`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One provider. `issuer` None: the settings name it. `hosts` are those of endpoints not at the issuer's."""

    label: str
    judge: Judge
    issuer: str | None = None
    hosts: tuple[str, ...] = ()
    needs: Literal["allowed_domains", "allowed_tenants"] | None = None


def _outside() -> SignInRefused:
    return SignInRefused("This account does not belong to the district. Please use your school account.")


def _google(claims: Mapping[str, Any], allowed: Allowed) -> Person:
    """`hd` is the Workspace domain, and Google's own word for who runs the account; an address alone is not."""
    domain = _text(claims, "hd").casefold()
    if domain not in allowed.allowed_domains:
        raise _outside()
    return Person(subject=_text(claims, "sub"), email=_verified(claims))


def _microsoft(claims: Mapping[str, Any], allowed: Allowed) -> Person:
    """`tid` and `oid` name a person for good; `sub` differs for each application.

    An address in a token is whatever the tenant wrote there. `xms_edov` (an optional claim, switched on for the
    application) says that the tenant owns its domain; without it the address joins nobody.
    """
    tenant = _text(claims, "tid")
    if tenant not in allowed.allowed_tenants:
        raise _outside()
    owned = claims.get("xms_edov") in (True, "1", "true", 1)
    email = _email(claims) if owned else None
    if email and allowed.allowed_domains and _domain(email) not in allowed.allowed_domains:
        email = None
    return Person(subject=f"{tenant}:{_text(claims, 'oid')}", email=email)


def _clever(claims: Mapping[str, Any], allowed: Allowed) -> Person:
    """`district` is Clever's id of the district; `email_verified` is false unless Clever's support has set it."""
    if _text(claims, "district") not in allowed.allowed_tenants:
        raise _outside()
    return Person(subject=_text(claims, "sub"), email=_verified(claims))


def _generic(claims: Mapping[str, Any], allowed: Allowed) -> Person:
    """Without a list of domains an address joins nobody, and only people who were joined otherwise come in."""
    email = _verified(claims)
    if not allowed.allowed_domains:
        return Person(subject=_text(claims, "sub"))
    if email is None or _domain(email) not in allowed.allowed_domains:
        raise _outside()
    return Person(subject=_text(claims, "sub"), email=email)


PRESETS: Mapping[PresetName, Preset] = {
    "google": Preset(
        label="Google",
        judge=_google,
        issuer="https://accounts.google.com",
        hosts=("https://oauth2.googleapis.com", "https://www.googleapis.com"),
        needs="allowed_domains",
    ),
    "microsoft": Preset(
        label="Microsoft",
        judge=_microsoft,
        issuer="https://login.microsoftonline.com/organizations/v2.0",
        needs="allowed_tenants",
    ),
    "clever": Preset(
        label="Clever",
        judge=_clever,
        issuer="https://clever.com",
        hosts=("https://api.clever.com",),
        needs="allowed_tenants",
    ),
    "generic": Preset(label="School account", judge=_generic),
}


def _verified(claims: Mapping[str, Any]) -> str | None:
    return _email(claims) if claims.get("email_verified") is True else None


def _email(claims: Mapping[str, Any]) -> str | None:
    email = claims.get("email")
    return email if isinstance(email, str) and email.count("@") == 1 else None


def _domain(email: str) -> str:
    return email.rpartition("@")[2].casefold()


def _text(claims: Mapping[str, Any], name: str) -> str:
    """A claim that must be there. Raises SignInRefused when it is missing: somebody of no group is of none of ours."""
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise _outside()
    return value
