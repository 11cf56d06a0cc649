"""The plugin: its settings and its connector."""

from __future__ import annotations

from homeroom import HOOK_API, Health, Services, SisConnector, SourceError, hookimpl
from homeroom_edfi.connector import Connector
from homeroom_edfi.settings import EdFiSettings


class EdFi:
    """Rosters from an Ed-Fi ODS/API, and attendance events into it."""

    hook_api = HOOK_API
    scopes: frozenset[str] = frozenset()
    Settings = EdFiSettings

    def __init__(self, settings: EdFiSettings, services: Services) -> None:
        self._connector = Connector(settings, services)

    @hookimpl
    def sis_connector(self) -> SisConnector:
        """The one connector of these settings."""
        return self._connector

    @hookimpl
    async def health(self) -> Health:
        """Whether the ODS answers."""
        try:
            await self._connector.client.newest_change()
        except SourceError as exc:
            return Health(ok=False, detail=f"the Ed-Fi ODS cannot be asked: {exc}")
        return Health(ok=True)
