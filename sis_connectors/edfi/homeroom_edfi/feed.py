"""From a moment to a change version: Ed-Fi counts changes and does not say when they were made.

At the start of each run the newest version is kept beside the time; a later run for "what changed since" begins at the
newest version that was seen before that moment.
"""

from __future__ import annotations

from datetime import datetime

import orjson

from homeroom import Services
from homeroom_edfi.client import Client

_KEY = "change-versions"
_KEPT = 50


class Feed:
    """The change versions that were seen, kept with the plugin's small keepings."""

    def __init__(self, client: Client, services: Services) -> None:
        self._client = client
        self._services = services

    async def note(self) -> None:
        """Keep the newest version of this moment; an ODS without change queries has none."""
        now = self._services.clock.now()
        newest = await self._client.newest_change()
        if newest is not None:
            seen = [*await self._seen(), (now.isoformat(), newest)]
            await self._services.kv.set(_KEY, orjson.dumps(seen[-_KEPT:]).decode())

    async def before(self, moment: datetime) -> int | None:
        """The newest version that was seen at `moment` or earlier; None when none was: then everything is read."""
        found = [version for at, version in await self._seen() if datetime.fromisoformat(at) <= moment]
        return max(found, default=None)

    async def _seen(self) -> list[tuple[str, int]]:
        text = await self._services.kv.get(_KEY)
        return [(at, version) for at, version in orjson.loads(text)] if text else []
