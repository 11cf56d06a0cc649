"""A small real mail server on loopback, whose handler decides what becomes of each message."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

NO_ANSWER = "no answer"
HANG_UP = "hang up"


class PostOffice:
    """What the server does, and what it has taken. Answers given here take the place of the good ones.

    `NO_ANSWER` waits for ever, `HANG_UP` ends the connection. A message is taken when its last dot has come, whatever
    the answer: so real servers do.
    """

    def __init__(self) -> None:
        self.to_sender: str | None = None
        self.to_recipient: str | None = None
        self.to_data: str | None = None
        self.to_message: str | None = None
        self.password: bytes | None = None
        self.taken: list[Envelope] = []
        self.connections = 0
        self.tried: list[bytes] = []
        self.open: list[SMTP] = []
        self.came = asyncio.Event()

    @property
    def messages(self) -> list[EmailMessage]:
        """What was taken, read as a mail program would."""
        return [message_from_bytes(_content(one), policy=policy.default) for one in self.taken]

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.to_sender is not None:
            return await self.answer(server, self.to_sender)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.to_recipient is not None:
            return self.to_recipient
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.taken.append(envelope)
        self.came.set()
        return await self.answer(server, self.to_message or "250 2.0.0 OK: queued as 1A2B")

    async def answer(self, server: SMTP, chosen: str) -> str:
        """`chosen`, unless it is no answer at all."""
        if chosen == NO_ANSWER:
            await asyncio.Event().wait()
        if chosen == HANG_UP and server.transport is not None:
            server.transport.abort()  # type: ignore[attr-defined] # a socket's transport
            await asyncio.Event().wait()  # until the lost connection cancels this
        return chosen

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: Any) -> AuthResult:
        """Whether somebody may sign in."""
        assert isinstance(given, LoginPassword)
        self.tried.append(given.password)
        return AuthResult(success=given.password == self.password, handled=False)

    def hang_up_everywhere(self) -> None:
        """End every connection, as a server does that is restarted."""
        for one in self.open:
            if one.transport is not None:
                one.transport.abort()  # type: ignore[attr-defined]


class _Counter(SMTP):
    """One connection of a post office."""

    def __init__(self, office: PostOffice, **options: Any) -> None:
        super().__init__(office, hostname="mail.district.example", **options)
        self._office = office
        office.connections += 1
        office.open.append(self)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if self._office.to_data is not None:
            await self.push(await self._office.answer(self, self._office.to_data))
            return
        await super().smtp_DATA(arg)


@contextlib.asynccontextmanager
async def post_office(
    office: PostOffice, *, certificate: ssl.SSLContext | None = None, wrapped: bool = False, **options: Any
) -> AsyncIterator[int]:
    """The port of a running server; with a `certificate` it offers STARTTLS, or is `wrapped` in TLS from the start."""
    loop = asyncio.get_running_loop()
    chosen: dict[str, Any] = {"tls_context": None if wrapped else certificate, "loop": loop, **options}
    if office.password is not None:
        # aiosmtpd sees only its own STARTTLS, not that the whole connection is encrypted.
        chosen |= {"authenticator": office.authenticate, "auth_required": not wrapped, "auth_require_tls": not wrapped}
    server = await loop.create_server(
        lambda: _Counter(office, **chosen), "127.0.0.1", 0, ssl=certificate if wrapped else None
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        office.hang_up_everywhere()
        server.close()
        await server.wait_closed()


def _content(envelope: Envelope) -> bytes:
    assert isinstance(envelope.content, bytes)
    return envelope.content
