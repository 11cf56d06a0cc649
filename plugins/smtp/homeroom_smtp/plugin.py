"""The plugin: what the mail server's answers mean to the outbox."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from homeroom import HOOK_API, AddressNews, Health, Message, Receipt, Services, hookimpl
from homeroom_smtp.letter import letter, mailbox
from homeroom_smtp.server import Answer, CannotTake, MailServer, NotReached
from homeroom_smtp.settings import SmtpSettings

CHANNEL = "email"

_NOBODY_THERE = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})
"""RFC 3463 and RFC 7505: no such mailbox, domain or address, moved without a trace, a domain that takes no mail."""

_SIGN_IN_FIRST = frozenset({530, 534, 535, 538})
_HEALTH_SECONDS = 2.5  # the hook's deadline is 3
_ADMINISTRATOR_SECONDS = 300.0


class Smtp:
    """E-mail through the district's own mail server.

    SMTP cannot be asked what became of a message, so there is no `find_delivery`: what is unknown stays so.
    """

    hook_api = HOOK_API
    scopes = frozenset({"message.email"})
    Settings = SmtpSettings

    def __init__(self, settings: SmtpSettings, services: Services) -> None:
        self.settings = settings
        self.services = services
        domain = settings.from_email.rpartition("@")[2]
        self._server = MailServer(settings, own_name=_own_name(services.public_url) or domain)

    @hookimpl
    async def stop(self) -> None:
        """Take leave of the mail server."""
        await self._server.close()

    @hookimpl
    async def deliver(self, message: Message) -> Receipt | None:
        """What the mail server said. Raises when it said nothing after it had been handed the message."""
        if message.channel != CHANNEL:
            return None
        to = mailbox(message.to)
        if to is None:
            return Receipt(state="refused", reason="this is not an e-mail address", code="address")
        made = letter(
            message,
            to,
            sender=self.settings.from_email,
            sender_name=self.settings.from_name,
            reply_to=self.settings.reply_to,
            at=self.services.clock.now(),
        )
        try:
            answer = await self._server.send(made)
        except NotReached as exc:
            return Receipt(state="retry", reason=exc.finding.problem, code=exc.code, retry_after=exc.retry_after)
        except CannotTake:
            reason = "the mail server takes no addresses with such letters (SMTPUTF8)"
            return Receipt(state="refused", reason=reason, code="smtputf8")
        if answer.taken:
            return Receipt(state="accepted", provider_id=made.id)
        if answer.for_good and answer.enhanced in _NOBODY_THERE and answer.step != "sender":
            news = AddressNews(channel=CHANNEL, address=message.to, news="unreachable")
            with contextlib.suppress(Exception):  # without its receipt the message would be unknown, and not go on
                await self.services.messages.heard(news)
        return _receipt(answer)

    @hookimpl
    async def health(self) -> Health:
        """Whether the mail server lets us in now."""
        try:
            return Health(ok=True, detail=await self._server.check(_HEALTH_SECONDS))
        except NotReached as exc:
            return Health(ok=False, detail=exc.finding.problem, findings=(exc.finding,))


def _receipt(answer: Answer) -> Receipt:
    """What becomes of a message that the server did not take."""
    if not answer.for_good:
        return Receipt(state="retry", reason="the mail server asks to try again later", code=answer.text)
    if answer.step == "sender" or answer.code in _SIGN_IN_FIRST:
        # Nothing is wrong with this message: the next one would fare alike until an administrator has seen to it.
        reason = "the mail server does not let this sender send; see username, password and from_email"
        return Receipt(state="retry", reason=reason, code=answer.text, retry_after=_ADMINISTRATOR_SECONDS)
    what = "the address" if answer.step == "recipient" else "the message"
    return Receipt(state="refused", reason=f"the mail server refused {what}", code=answer.text)


def _own_name(public_url: str | None) -> str | None:
    """The name under which this machine is known, where it is one that a mail server may be greeted with."""
    name = urlsplit(public_url or "").hostname or ""
    return name if "." in name and name.isascii() and not name.replace(".", "").isdigit() else None
