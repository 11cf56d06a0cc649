"""Where events go, and which events may leave the district at all."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from homeroom_webhooks.event import key_of

BY_ITSELF = ("attendance.", "class.", "session.")
"""What an endpoint gets that names no kinds: what happened in class, which is what integrators come for.

Its events name a student, a class and a code, by ids that mean nothing without the API and a key to it.
"""

ON_REQUEST = ("absence.", "attendance_code.", "calendar.", "course.", "enrollment.", "org.")
"""What an endpoint gets only when it names it: more of the same sort, seldom wanted.

The list is closed, and new kinds of events join it by a change here. Left out are events on how people sign in and
what they may do (auth, api_key, invitation, accounts, user, role: a map for an attacker), on families (guardianship,
messages), and on who looked at what (data, plugin, consumer, sync), which are the district's own affair.
"""


def _kind(text: str) -> str:
    if not text.startswith(BY_ITSELF + ON_REQUEST):
        raise ValueError(f"these events may not leave; a kind begins with one of {', '.join(BY_ITSELF + ON_REQUEST)}")
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not text.isascii() or not text.isprintable() or " " in text or parts.fragment:
        raise ValueError("an address begins with https:// and a host name")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a name or password in the address would not be sent; the signature proves who we are")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):
        raise ValueError("events leave by https:// only (http:// for a program on this machine)")
    return text


def _secret(secret: SecretStr) -> SecretStr:
    if key_of(secret.get_secret_value()) is None:
        raise ValueError("a secret is whsec_ and 24 to 64 bytes in base64; docs/webhooks.md shows how to make one")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_secret)]


class Endpoint(BaseModel):
    """One system that is told, and what it is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="Shown to administrators; its queue goes by it."
    )
    url: Annotated[str, AfterValidator(_url)] = Field(max_length=2000, repr=False)
    secret: Secret = Field(description="whsec_…; shared with the receiver, who checks signatures with it.")
    previous_secret: Secret | None = Field(
        default=None, description="Signs too, while the receiver changes from it to the new one."
    )
    kinds: list[Annotated[str, AfterValidator(_kind)]] = Field(
        default=[], description='How the kinds of events begin, for example "attendance."; all of class life if empty.'
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that sign, the newest first."""
        both = (self.secret, self.previous_secret)
        return tuple(secret.get_secret_value() for secret in both if secret is not None)

    def wants(self, kind: str) -> bool:
        """Whether events of this kind go there."""
        return kind.startswith(tuple(self.kinds) or BY_ITSELF)


class WebhooksSettings(BaseModel):
    """The endpoints, and how much patience there is with them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoints: list[Endpoint] = Field(default=[], max_length=50)
    timeout: float = Field(default=10, ge=0.1, le=15, description="Seconds that an endpoint may take to answer.")
    failing_after: int = Field(default=8, ge=1, le=100, description="After so many failures in a row it is shown red.")
    retention_days: float = Field(default=7, gt=0, le=60, description="How long an event waits before it is given up.")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [endpoint.name for endpoint in self.endpoints]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two endpoints have the name {twice[0]}; each needs one of its own")
        return self

    @property
    def retention(self) -> timedelta:
        """How long an event waits before it is given up."""
        return timedelta(days=self.retention_days)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
