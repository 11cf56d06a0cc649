"""The plugin: texts out, and what Twilio tells of them back."""

from __future__ import annotations

import contextlib

from homeroom import HOOK_API, Health, Message, NotSent, Receipt, Routes, Services, hookimpl
from homeroom_twilio import checks, delivery, lookup
from homeroom_twilio.client import Client
from homeroom_twilio.delivery import CHANNEL
from homeroom_twilio.errors import NotReached
from homeroom_twilio.settings import TwilioSettings
from homeroom_twilio.webhooks import Webhooks


class Twilio:
    """Text messages through Twilio's Messages API, from one number or a Messaging Service."""

    hook_api = HOOK_API
    scopes = frozenset({f"message.{CHANNEL}"})
    Settings = TwilioSettings

    def __init__(self, settings: TwilioSettings, services: Services) -> None:
        self.settings = settings
        self._services = services
        self._client = Client(settings, services)
        self._webhooks = Webhooks(settings, services)

    @hookimpl
    async def deliver(self, message: Message) -> Receipt | None:
        """What Twilio said of a text. Raises NotTold where nobody knows whether it was taken."""
        if message.channel != CHANNEL:
            return None
        now = self._services.clock.now()
        if (refused := delivery.refused_unsent(message, now)) is not None:
            return refused
        form = delivery.form_of(message, self.settings, now, self._webhooks.status_url(message.id))
        try:
            receipt = delivery.receipt_of(await self._client.send(form))
        except NotReached as exc:
            return Receipt(state="retry", reason=str(exc))
        return await self._told(message, receipt)

    @hookimpl
    async def find_delivery(self, message: Message) -> Receipt | NotSent | None:
        """What became of a text whose sending was not answered; None where Twilio's list leaves any doubt."""
        if message.channel != CHANNEL:
            return None
        found = await lookup.look(self._client, message)
        return await self._told(message, found) if isinstance(found, Receipt) else found

    @hookimpl
    def routes(self) -> Routes:
        """The addresses for Twilio's reports and for people's answers."""
        return Routes(prefix=self._webhooks.prefix, blueprint=self._webhooks.blueprint())

    @hookimpl
    async def health(self) -> Health:
        """Whether the account and its sender are good, and whether Twilio can reach this server."""
        return await checks.look(self._client, self.settings, self._webhooks, self._services.public_url)

    async def _told(self, message: Message, receipt: Receipt) -> Receipt:
        """The receipt, once what it tells of the address is kept, if it can be."""
        if receipt.state == "refused" and (news := delivery.news_of(receipt.code, message.to)) is not None:
            with contextlib.suppress(Exception):  # without its receipt the message would be unknown, and not go on
                await self._services.messages.heard(news)
        return receipt
