"""The WebSocket of the contract: `/ws/class/{class_id}`. Refusals accept first, so that a browser sees the code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from quart import Blueprint, Websocket, current_app, websocket

from homeroom.gate import NOTICE_HEADER
from homeroom.live.board import close_code
from homeroom.live.listener import NOT_ALLOWED, UNAVAILABLE
from homeroom.live.views import position_of
from homeroom.store import Refused, StoreError
from homeroom.types import Identity

if TYPE_CHECKING:
    from homeroom.district import District

live = Blueprint("live", __name__)


@live.websocket("/ws/class/<class_id>")
async def watch_class(class_id: str) -> None:
    """A class's board: a hello or what was missed since `?after=`, then every change as it is committed."""
    district: District = current_app.extensions["homeroom"]
    socket: Websocket = websocket._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - werkzeug's documented way past the proxy
    door = _Door(socket)
    if not origin_allowed(socket, district):
        await door.close(NOT_ALLOWED, "origin")
        return
    try:
        identity, renew = await _identify(socket, district)
        after = position_of(socket.args.get("after", ""))
        await district.boards.watch(door, identity, class_id, after=after, renew=renew)
    except Refused as refusal:
        await door.close(close_code(refusal))
    except StoreError:
        await door.close(UNAVAILABLE)


class _Door:
    """A WebSocket that is accepted once it is known which notice goes with the handshake, or to close it."""

    def __init__(self, socket: Websocket) -> None:
        self._socket = socket

    async def accept(self, notice: str | None = None) -> None:
        await self._socket.accept({NOTICE_HEADER: notice} if notice is not None else {})  # again, it does nothing

    async def send(self, data: str) -> None:
        await self._socket.send(data)

    async def receive(self) -> object:
        return await self._socket.receive()

    async def close(self, code: int, reason: str = "") -> None:
        await self.accept()
        await self._socket.close(code, reason)


async def _identify(socket: Websocket, district: District) -> tuple[Identity, Callable[[], Awaitable[Identity]]]:
    """Who this is, and how to ask later whether they still are."""
    authenticator = district.authenticator
    headers = socket.headers
    ticket = socket.args.get("ticket")
    if ticket and "Authorization" not in headers:
        identity = await authenticator.redeem_ticket(ticket, purpose="websocket")
    else:
        identity = await authenticator.identify_headers(headers)
    if identity.kind == "service":
        return identity, lambda: authenticator.identify_headers(headers)
    return identity, lambda: authenticator.person(identity.subject, identity.session_id or "")


def origin_allowed(socket: Websocket, district: District) -> bool:
    """Whether the page that opened the socket is one of ours, or allowed in the settings; no browser, no Origin."""
    origin = socket.headers.get("Origin")
    if origin is None:
        return True
    server = district.settings.server
    scheme = "https" if socket.scheme == "wss" else "http"
    ours = f"{scheme}://{socket.headers.get('Host', '')}"
    asking = _origin(origin)
    return asking is not None and asking in map(_origin, (ours, server.public_base_url or "", *server.allowed_origins))


def _origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of a URL, None when it has none of the web's."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None
