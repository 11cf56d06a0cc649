"""The service by which a channel's plugin tells what a vendor reports: of a message, and of an address."""

from __future__ import annotations

import structlog

from homeroom.notify import consent, outcomes
from homeroom.settings import Settings
from homeroom.store import Store
from homeroom.types import AddressNews, DeliveryReport

log = structlog.get_logger("homeroom.services")


class StoredMessages:
    """What a plugin with these scopes may tell the outbox."""

    def __init__(self, store: Store, plugin: str, scopes: frozenset[str], settings: Settings) -> None:
        self._store = store
        self._plugin = plugin
        self._settings = settings
        self._channels = frozenset(scope.removeprefix("message.") for scope in scopes if scope.startswith("message."))

    async def report(self, report: DeliveryReport) -> bool:
        """Take over what the vendor tells of a message; whether there is such a message of this plugin's."""
        return await self._store.write(
            lambda tx: outcomes.take(tx, self._settings, self._plugin, self._channels, report)
        )

    async def heard(self, news: AddressNews) -> None:
        """Keep what became known of an address."""
        if news.channel not in self._channels:
            log.warning("channel_outside_scopes", plugin=self._plugin, channel=news.channel)
            return
        region = self._settings.notify.region
        await self._store.write(lambda tx: consent.hear(tx, news, source="vendor", region=region))
