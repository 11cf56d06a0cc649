"""The plugin: mails out, events and suppressions back."""

from __future__ import annotations

import asyncio
from datetime import datetime

from homeroom import HOOK_API, Health, Message, NotSent, Receipt, Routes, Services, Suppressions, hookimpl
from homeroom_sendgrid import checks, mail, suppressions
from homeroom_sendgrid.client import Client, NotReached, Unread
from homeroom_sendgrid.events import CHANNEL
from homeroom_sendgrid.settings import SendGridSettings
from homeroom_sendgrid.silence import Silence
from homeroom_sendgrid.webhook import EventWebhook

_PATIENCE = 28.0  # seconds for all suppressions; the hook has thirty


class SendGrid:
    """E-mail through SendGrid.

    SendGrid cannot be asked what became of a mail: its events, which carry the message's id, settle what was unknown.
    """

    hook_api = HOOK_API
    scopes = frozenset({f"message.{CHANNEL}"})
    Settings = SendGridSettings

    def __init__(self, settings: SendGridSettings, services: Services) -> None:
        self.settings = settings
        self._clock = services.clock
        self._client = Client(settings, services)
        self._silence = Silence(settings, services)
        self._webhook = EventWebhook(settings, services, self._silence)

    @hookimpl
    async def start(self) -> None:
        """Note that events may have been missed while this process was not there."""
        await self._silence.interrupted()

    @hookimpl
    async def deliver(self, message: Message) -> Receipt | None:
        """What SendGrid said of a mail. Raises NotKnown where nobody knows whether it was taken."""
        if message.channel != CHANNEL:
            return None
        if (refused := mail.refused_unsent(message)) is not None:
            return refused
        try:
            answer = await self._client.send(mail.mail_of(message, self.settings))
        except NotReached as exc:
            return Receipt(state="retry", reason=str(exc))
        return mail.receipt_of(answer, self.settings, self._clock.now().timestamp())

    @hookimpl
    async def find_delivery(self, message: Message) -> NotSent | None:
        """`NotSent` where SendGrid's events would have told of the mail, None where they may still; it is not asked."""
        return await self._silence.about(message) if message.channel == CHANNEL else None

    @hookimpl
    async def suppressions(self, since: datetime | None) -> Suppressions | None:
        """The addresses that SendGrid no longer sends to. Raises Unread with a text for the administrator."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return await suppressions.read(self._client, since, self._clock.now(), self.settings.asm_group_id)
        except TimeoutError:
            raise Unread("SendGrid's suppressions are too many, or it is too slow, to be read at once") from None

    @hookimpl
    def routes(self) -> Routes:
        """The address for SendGrid's events."""
        return Routes(prefix=self._webhook.prefix, blueprint=self._webhook.blueprint())

    @hookimpl
    async def health(self) -> Health:
        """Whether the key is good, may do what it must, and the events come back signed."""
        return await checks.look(self._client, self.settings, self._webhook.address)
