"""Services for a plugin that is only tried: it may read and ask, and whatever it would keep is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from homeroom.services import KeyValues, PluginStore, Services, ServicesFor
from homeroom.types import AddressNews, DeliveryReport

if TYPE_CHECKING:
    from homeroom.store import Connection, Transaction

T = TypeVar("T")


class NothingIsKept(RuntimeError):
    """A plugin that is only tried wanted to change something for good."""

    def __init__(self) -> None:
        super().__init__("nothing is changed while settings are tried")


def scratch_services(services_for: ServicesFor) -> ServicesFor:
    """Makes the services of the plugin with this name and these scopes, for a trial."""

    def make(name: str, scopes: frozenset[str]) -> Services:
        services = services_for(name, scopes)
        services.kv, services.store = _KeyValues(services.kv), _Tables(services.store)
        services.messages = _Messages()
        return services

    return make


class _KeyValues:
    """The plugin's own keepings, on which nothing new is written."""

    def __init__(self, inner: KeyValues) -> None:
        self._inner = inner
        self._mine: dict[str, str | None] = {}

    async def get(self, key: str) -> str | None:
        return self._mine[key] if key in self._mine else await self._inner.get(key)

    async def set(self, key: str, value: str, *, ttl: float | None = None) -> None:  # noqa: ARG002 - it is gone soon
        self._mine[key] = value

    async def delete(self, key: str) -> None:
        self._mine[key] = None


class _Tables:
    """The plugin's own tables, to be read."""

    def __init__(self, inner: PluginStore) -> None:
        self._inner = inner

    async def submit(self, unit: Callable[[Transaction], Any]) -> NoReturn:  # noqa: ARG002 - as in the protocol
        raise NothingIsKept

    async def read(self, query: Callable[[Connection], T]) -> T:
        return await self._inner.read(query)


class _Messages:
    async def report(self, report: DeliveryReport) -> bool:  # noqa: ARG002 - as in the protocol
        raise NothingIsKept

    async def heard(self, news: AddressNews) -> None:  # noqa: ARG002
        raise NothingIsKept
