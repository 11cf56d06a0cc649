"""A plugin's routes served in a test, without a district behind them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar

from quart import Quart

from homeroom.api import openapi, problem
from homeroom.limits import MemoryLimiter
from homeroom.settings import Settings
from homeroom.store import Refused
from homeroom.types import Identity, Routes

T = TypeVar("T")


class _NoPlugins:
    required: frozenset[str] = frozenset()

    def implements(self, _hook: str) -> bool:
        return False


class _OneCaller:
    def __init__(self, caller: Identity | None) -> None:
        self._caller = caller

    async def identify(self, _request: Any) -> Identity:
        if self._caller is None:
            raise Refused(401, "not-signed-in", "Please sign in.")
        return self._caller


class _NoDatabase:
    async def read(self, query: Callable[[Any], T]) -> T:
        return query(None)


def routes_app(routes: Routes, *, caller: Identity | None = None) -> Quart:
    """An app that serves `routes` below their prefix to `caller` (None: nobody has signed in).

    For operations that are PUBLIC or "account.self"; what needs people and classes needs a district.
    """
    app = Quart("plugin", static_folder=None)
    settings = Settings()
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = settings.server.max_body_bytes
    app.extensions["homeroom"] = SimpleNamespace(
        settings=settings,
        host=_NoPlugins(),
        store=_NoDatabase(),
        requests=MemoryLimiter(),
        authenticator=_OneCaller(caller),
    )
    openapi.install(app)
    problem.install(app)
    app.register_blueprint(routes.blueprint, url_prefix=routes.prefix)
    return app
