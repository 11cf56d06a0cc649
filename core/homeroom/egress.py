"""HTTP out of the server: only to hosts that settings name, with deadlines, and never along a redirect to another."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx2

_TIMEOUT = 10.0
_CONNECT_TIMEOUT = 5.0
_PORTS = {"https": 443, "http": 80}

Origin = tuple[str, str, int]


class NotAllowedOut(Exception):
    """A request to a host that the plugin was not allowed; the text names the host only."""


class GuardedEgress:
    """What one plugin may reach. `inner` replaces the network in tests."""

    def __init__(self, inner: httpx2.AsyncBaseTransport | None = None) -> None:
        self._inner = inner
        self._allowed: set[Origin] = set()
        self._transport: httpx2.AsyncBaseTransport | None = None
        self._client: httpx2.AsyncClient | None = None

    @property
    def client(self) -> httpx2.AsyncClient:
        """The plugin's HTTP client; it follows no redirects, reads no proxy from the environment."""
        import httpx2

        if self._client is None:
            timeout = httpx2.Timeout(_TIMEOUT, connect=_CONNECT_TIMEOUT)
            self._client = httpx2.AsyncClient(transport=self.transport, timeout=timeout, trust_env=False)
        return self._client

    @property
    def transport(self) -> httpx2.AsyncBaseTransport:
        """The same rules for a client of another library."""
        if self._transport is None:
            self._transport = _guarded(self._inner, self._allowed)
        return self._transport

    def allow(self, url: str) -> None:
        """Let requests to the scheme, host and port of `url` out. Raises ValueError for plain `http` to elsewhere."""
        origin = _origin(url)
        if origin[0] != "https" and not _is_here(origin[1]):
            raise ValueError("only https:// addresses can be allowed (http:// for this machine itself)")
        self._allowed.add(origin)

    async def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()
        elif self._transport is not None:
            await self._transport.aclose()
        self._client = self._transport = None


def _guarded(inner: httpx2.AsyncBaseTransport | None, allowed: set[Origin]) -> httpx2.AsyncBaseTransport:
    import httpx2

    network = inner or httpx2.AsyncHTTPTransport()

    class Guarded(httpx2.AsyncBaseTransport):
        """Refuses what is not allowed before a connection is made; redirects pass here too."""

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if _origin(str(request.url)) not in allowed:
                raise NotAllowedOut(f"{request.url.host} is not among the hosts that this plugin's settings allow")
            return await network.handle_async_request(request)

        async def aclose(self) -> None:
            await network.aclose()

    return Guarded()


def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("an address begins with https:// and a host name")
    return parts.scheme, parts.hostname.lower(), parts.port or _PORTS[parts.scheme]


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
