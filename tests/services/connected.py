"""A district with connectors of its own choosing, where the plugin host and the application do not matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from homeroom.gate import Granted
from homeroom.records import SisConnector
from homeroom.settings import Settings
from homeroom.store import Store


@dataclass(slots=True)
class Connectors:
    """Stands where the plugin host does: plugins that give these connectors, and do nothing else."""

    given: dict[str, SisConnector] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    lasting: dict[str, Granted] = field(default_factory=dict)

    def implements(self, _hook: str) -> bool:
        return False

    def seeing(self, _hook: str, _argument: Any) -> tuple[str, ...]:
        return ()

    @property
    def plugins(self) -> list[Any]:
        return []

    def implementers(self, hook: str) -> tuple[str, ...]:
        return tuple(self.given) if hook == "sis_connector" else ()

    async def ask(self, name: str, hook: str, **_arguments: Any) -> Any:
        if hook != "sis_connector" or name not in self.given:
            return None
        return SimpleNamespace(plugin=name, value=self.given[name], error=None)

    async def ask_all(self, hook: str, **arguments: Any) -> list[Any]:
        return [await self.ask(name, hook, **arguments) for name in self.implementers(hook)]


@dataclass(slots=True)
class Connected:
    """What background runs need of a district."""

    store: Store
    host: Connectors
    settings: Settings


def connected(store: Store, given: dict[str, SisConnector], **sync: Any) -> Connected:
    """A district in UTC; `sync` is that section of homeroom.toml."""
    settings = Settings.model_validate({"sync": sync, "attendance": {"time_zone": "UTC"}})
    return Connected(store, Connectors(given), settings)
