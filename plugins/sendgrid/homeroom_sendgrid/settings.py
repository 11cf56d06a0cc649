"""What a district says about its SendGrid account."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from homeroom_sendgrid.signature import public_key

HOSTS = {"global": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}
"""Where SendGrid's API is, by region."""

_ADDRESS = re.compile(r"[^@\s<>\",;:]+@[^@\s<>\",;:]+\.[^@\s<>\",;:.]+")
_LONGEST_ADDRESS = 254  # RFC 5321, 4.5.3.1.3, without the angle brackets


def is_address(text: str) -> bool:
    """Whether a text looks like one e-mail address and nothing else; whether it exists is for others to say."""
    return len(text) <= _LONGEST_ADDRESS and text.isprintable() and _ADDRESS.fullmatch(text) is not None


def _mailbox(text: str) -> str:
    if not is_address(text.strip()):
        raise ValueError("this is one e-mail address, without a name")
    return text.strip()


def _api(url: str) -> str:
    parts = urlsplit(url)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not here):
        raise ValueError("this is the address of SendGrid's API and begins with https://")
    return url.rstrip("/")


def _key(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("this is an API key from SendGrid: one word, which begins with SG.")
    return SecretStr(text)


def _webhook_key(text: str) -> str:
    public_key(text)
    return text.strip()


WebhookKey = Annotated[str, AfterValidator(_webhook_key)]


class SendGridSettings(BaseModel):
    """The account, who the mails are from, and the key that signs SendGrid's events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: Annotated[SecretStr, AfterValidator(_key)] = Field(
        json_schema_extra={"env": "SENDGRID_API_KEY"},
        description="A restricted API key: Mail Send, and reading suppressions and event webhook settings.",
    )
    from_email: Annotated[str, AfterValidator(_mailbox)] = Field(
        description="Whom the mails are from: a verified sender, or an address of an authenticated domain."
    )
    from_name: str | None = Field(default=None, max_length=200, description="The name beside it; else the school's.")
    reply_to: Annotated[str, AfterValidator(_mailbox)] | None = Field(
        default=None, description="Where a family's answer goes; else to from_email."
    )
    region: Literal["global", "eu"] = Field(default="global", description='"eu" for a regional subuser in the EU.')
    base_url: Annotated[str, AfterValidator(_api)] | None = Field(
        default=None, description="The API's address where it is neither region's: a proxy, a simulator."
    )
    sandbox: bool = Field(default=False, description="SendGrid checks each mail and sends none.")
    asm_group_id: int | None = Field(
        default=None, ge=1, description="The unsubscribe group that these mails belong to, by its number."
    )
    webhook_public_key: WebhookKey | None = Field(
        default=None,
        repr=False,
        description="The verification key of the signed event webhook; without it no event is accepted.",
    )
    previous_webhook_public_keys: tuple[WebhookKey, ...] = Field(
        default=(), repr=False, description="Keys that are still accepted while SendGrid changes to a new one."
    )

    webhook_grace_minutes: float = Field(
        default=30,
        gt=0,
        le=24 * 60,
        description="How long events are waited for before a mail of which none came counts as not sent.",
    )

    @property
    def address(self) -> str:
        """Where the API is."""
        return self.base_url or HOSTS[self.region]

    @property
    def webhook_keys(self) -> tuple[str, ...]:
        """Every key that may have signed an event."""
        return (*filter(None, (self.webhook_public_key,)), *self.previous_webhook_public_keys)
