"""What a district says of its mail server, and in whose name messages go out."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FilePath, SecretStr, model_validator

from homeroom_smtp.letter import mailbox

LONGEST = 14.0
"""Seconds: an attempt ends before the outbox stops waiting for it (15 s), or nobody would know what became of it."""


def _address(text: str) -> str:
    if mailbox(text) is None or not text.isascii():
        raise ValueError("this is not an e-mail address, such as attendance@district.example")
    return text


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("this must be one line of plain text")
    return text


Address = Annotated[str, AfterValidator(_address)]


class SmtpSettings(BaseModel):
    """The mail server, how to sign in to it, and the sender."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$", description="The mail server's name.")
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description='"starttls" (usual on port 587), "tls" (usual on 465), or "none" for a server on this machine.',
    )
    ca_file: FilePath | None = Field(
        default=None, description="Certificates (PEM) to trust besides the system's, for a district with its own."
    )
    username: str | None = Field(default=None, min_length=1, description="Left out where the server needs no sign-in.")
    password: SecretStr | None = Field(default=None, min_length=1)
    from_email: Address = Field(description="The sender's address; what cannot be delivered comes back to it.")
    from_name: Annotated[str, AfterValidator(_line)] = Field(
        default="", max_length=100, description="The sender's name in messages that name no school."
    )
    reply_to: Address | None = Field(default=None, description="Where a family's answer goes, if not to from_email.")
    timeout: float = Field(
        default=13, ge=1, le=LONGEST, description="Seconds for one message; the first half is for what comes before it."
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.security == "none" and not _is_here(self.host):
            raise ValueError('security "none" is only for a server on this machine; use "starttls" or "tls"')
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: set both, or neither")
        return self


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
