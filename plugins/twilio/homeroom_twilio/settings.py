"""What a district says about its Twilio account."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

_NUMBER = r"\+[1-9][0-9]{6,14}"


def _formed(pattern: str, problem: str) -> Callable[[str], str]:
    """What refuses a text that is not of this pattern, in words that do not repeat it."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(problem)
        return text

    return check


def _address(url: str) -> str:
    parts = urlsplit(url)
    allowed = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))
    if not (allowed and parts.hostname) or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("this is the address of Twilio's API and begins with https://")
    return url.rstrip("/")


def _secret(given: SecretStr) -> SecretStr:
    text = given.get_secret_value()
    if not text or not text.isascii() or text != text.strip():
        raise ValueError("this is empty, or has spaces around it; copy it anew from Twilio's console")
    return given


def is_loopback(url: str) -> bool:
    """Whether `url` names this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_number(text: str) -> bool:
    """Whether `text` is a telephone number in E.164: no short code, no `whatsapp:` and no name."""
    return re.fullmatch(_NUMBER, text) is not None


AccountSid = Annotated[
    str,
    AfterValidator(
        _formed(r"AC[0-9a-fA-F]{32}", "an account SID is AC and 32 hexadecimal digits, as in Twilio's console")
    ),
]
KeySid = Annotated[
    str, AfterValidator(_formed(r"SK[0-9a-fA-F]{32}", "an API key's SID is SK and 32 hexadecimal digits"))
]
ServiceSid = Annotated[
    str, AfterValidator(_formed(r"MG[0-9a-fA-F]{32}", "a Messaging Service's SID is MG and 32 hexadecimal digits"))
]
Sender = Annotated[
    str,
    AfterValidator(_formed(rf"{_NUMBER}|[0-9]{{5,6}}", "a sender is a number such as +15551230100, or a short code")),
]
Secret = Annotated[SecretStr, AfterValidator(_secret)]


class TwilioSettings(BaseModel):
    """The account, what signs Homeroom in to it, and the sender of the district's texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account_sid: AccountSid = Field(
        json_schema_extra={"env": "TWILIO_ACCOUNT_SID"}, description="AC…, from the front page of Twilio's console."
    )
    auth_token: Secret = Field(
        json_schema_extra={"env": "TWILIO_AUTH_TOKEN"},
        description="From the same page. It proves that a webhook is Twilio's, and signs Homeroom in.",
    )
    previous_auth_tokens: tuple[Secret, ...] = Field(
        default=(), description="Tokens with which Twilio may still sign webhooks, while the token is being changed."
    )
    api_key_sid: KeySid | None = Field(
        default=None, description="SK…: signs Homeroom in for sending, in place of the auth token."
    )
    api_key_secret: Secret | None = Field(default=None, description="The secret of that API key.")
    from_number: Sender | None = Field(default=None, description="The number that texts come from, as +15551230100.")
    messaging_service_sid: ServiceSid | None = Field(
        default=None, description="MG…: the Messaging Service that texts come from, in place of one number."
    )
    smart_encoded: bool = Field(
        default=False,
        description="Let Twilio replace characters such as curly quotes that would make a text cost twice as much.",
    )
    base_url: Annotated[str, AfterValidator(_address)] = Field(
        default="https://api.twilio.com", description="Twilio's API; another one for a region outside the USA."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = []
        if (self.from_number is None) == (self.messaging_service_sid is None):
            problems.append("set either from_number or messaging_service_sid, and not both")
        if (self.api_key_sid is None) != (self.api_key_secret is None):
            problems.append("api_key_sid and api_key_secret belong together; set both or none")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def sign_in(self) -> tuple[str, str]:
        """User and password for sending."""
        if self.api_key_sid is not None and self.api_key_secret is not None:
            return self.api_key_sid, self.api_key_secret.get_secret_value()
        return self.account_sid, self.auth_token.get_secret_value()

    @property
    def tokens(self) -> tuple[str, ...]:
        """Every token with which a webhook may be signed, the present one first."""
        return tuple(token.get_secret_value() for token in (self.auth_token, *self.previous_auth_tokens))
