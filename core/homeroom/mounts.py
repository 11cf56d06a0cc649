"""Where plugins' pages and APIs hang: each plugin's routes are a small app of their own below its prefix.

So a plugin can be switched off (404 below its prefix), on, or restarted with new settings while the server runs, which
blueprints of the main app could not be.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from quart import Quart

from homeroom.types import Routes

App = Callable[[Any, Any, Any], Awaitable[None]]

_ALLOWED = re.compile(r"/|/plugins/[a-z0-9_]+|/api/v1/[a-z0-9_-]+")
_CORE = frozenset({"api", "ws", "health", "metrics", "docs", "redoc", "openapi.json", "plugins"})


class PrefixTaken(ValueError):
    """A plugin asked for a prefix that is not allowed, or that the core or another plugin has."""


@dataclass(frozen=True, slots=True)
class _Mount:
    plugin: str
    prefix: str
    app: Quart


class Mounts:
    """The ASGI app in front: sends a request below a plugin's prefix to that plugin, all else to the core.

    `build` makes an app for a plugin and its paths that take documents; `is_on` says whether a plugin is on now.
    """

    def __init__(self, build: Callable[[str, Sequence[str]], Quart], is_on: Callable[[str], bool]) -> None:
        self._build = build
        self._is_on = is_on
        self._mounts: dict[str, _Mount] = {}
        self.core_words: frozenset[str] = frozenset()

    def mount(self, plugin: str, routes: Routes) -> None:
        """Hang `routes` below their prefix, in place of what the same plugin had. Raises PrefixTaken."""
        prefix = routes.prefix.rstrip("/") or "/"
        if not _ALLOWED.fullmatch(prefix) or (prefix.startswith("/plugins/") and prefix != f"/plugins/{plugin}"):
            raise PrefixTaken(f"{prefix} is not /plugins/{plugin}, /api/v1/WORD or /")
        taken = self._mounts.get(prefix)
        if (taken and taken.plugin != plugin) or prefix.removeprefix("/api/v1/") in self.core_words:
            raise PrefixTaken(f"{prefix} is taken by {taken.plugin if taken else 'the core'}")
        below = prefix.rstrip("/")
        app = self._build(plugin, [f"{below}{rule}" for rule in routes.uploads])
        app.register_blueprint(routes.blueprint, url_prefix=prefix if prefix != "/" else None)
        self._mounts = {key: kept for key, kept in self._mounts.items() if kept.plugin != plugin}
        self._mounts[prefix] = _Mount(plugin, prefix, app)

    def apps(self) -> Sequence[Quart]:
        """The apps of the plugins that are switched on."""
        return [mount.app for mount in self._mounts.values() if self._is_on(mount.plugin)]

    def find(self, path: str) -> Quart | None:
        """The plugin's app that serves `path`, or None when the core does (also: its 404)."""
        if not self._mounts:
            return None
        first, _, rest = path.lstrip("/").partition("/")
        if first == "plugins":
            prefix = f"/plugins/{rest.partition('/')[0]}"
        elif first == "api":
            prefix = f"/api/v1/{rest.removeprefix('v1/').partition('/')[0]}"
        else:
            prefix = "/" if first not in _CORE else ""
        mount = self._mounts.get(prefix)
        return mount.app if mount and self._is_on(mount.plugin) else None

    def before(self, core: App) -> App:
        """`core`, with the plugins' apps before it."""

        async def serve(scope: Any, receive: Any, send: Any) -> None:
            app = self.find(scope["path"]) if scope["type"] in ("http", "websocket") else None
            await (app.asgi_app if app is not None else core)(scope, receive, send)

        return serve
