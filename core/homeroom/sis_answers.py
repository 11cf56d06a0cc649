"""A vendor's answers as they come over HTTP: data, or what is wrong with it in words for an administrator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import orjson

from homeroom.records import SourceError

if TYPE_CHECKING:
    import httpx2

_DOWN = "Try again when it is back; nothing here is changed by this."
_LATER = "Try again later, and ask its support when it goes on."
BUSY = (429, 503, 509)  # 509: PowerSchool's throttle, as one client has seen it
_MAX_BYTES = 64 * 1024**2
_REFUSALS: Mapping[int, tuple[str, str]] = {
    401: ("the system does not accept our token", "Check the credentials in the connector's settings."),
    403: ("the system does not permit this", "Give the account that we use there the right to read it."),
    404: ("the system does not know this address", "Check the address in the connector's settings."),
}


class VendorError(SourceError):
    """The vendor refused a request: `status` and the `data` it gave, for the connector to tell what is missing.

    `signing_in` says that it was not yet the request itself, but the sign-in before it.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int,
        data: Any = None,
        retry: bool = False,
        retry_after: float | None = None,
        signing_in: bool = False,
        fix: str | None = None,
    ) -> None:
        super().__init__(reason, retry=retry, retry_after=retry_after, fix=fix)
        self.status = status
        self.data = data
        self.signing_in = signing_in

    @property
    def of_all(self) -> bool:
        """Whether no other request would fare better now: the sign-in was refused, or the system asks to slow down."""
        return self.signing_in or self.status in BUSY


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: its `data` (None for an empty body), headers, and where the next page is (`Link: rel=next`)."""

    status: int
    data: Any = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    next: str | None = field(default=None, repr=False)


class Unsure(SourceError):
    """Nobody knows whether the request arrived."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, retry=True)


async def read(response: httpx2.Response) -> bytes:
    """The whole body. Raises SourceError for one that is too large."""
    pieces = bytearray()
    async for piece in response.aiter_bytes():
        pieces += piece
        if len(pieces) > _MAX_BYTES:
            raise SourceError("one answer is larger than 64 MiB; ask for smaller pages")
    return bytes(pieces)


def reply_of(response: httpx2.Response, body: bytes) -> Reply:
    """The answer that a body holds. Raises SourceError for a redirect, a page in place of data, and half a body."""
    status = response.status_code
    if 300 <= status < 400:  # noqa: PLR2004
        raise VendorError(
            "the system sent us to another page; it is probably down for maintenance",
            status=status,
            retry=True,
            fix=_DOWN,
        )
    data = None
    if body.strip():
        try:
            data = _data_of(body, response.charset_encoding)
        except (ValueError, LookupError):
            if status < 300:  # noqa: PLR2004 - an error page of another status says enough by its number
                raise _no_data(response, status) from None
    elif status == 200 and "html" in response.headers.get("content-type", ""):  # noqa: PLR2004
        raise _no_data(response, status)
    link = response.links.get("next", {}).get("url")
    headers = dict(response.headers)
    return Reply(status=status, data=data, headers=headers, next=urljoin(str(response.url), link) if link else None)


def _data_of(body: bytes, charset: str | None) -> Any:
    """What JSON says, also behind a byte order mark or in the named charset. Raises ValueError, LookupError."""
    try:
        return orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        if charset is None or charset.casefold() in ("utf-8", "utf8"):
            raise
        return orjson.loads(body.decode(charset))


def _no_data(response: httpx2.Response, status: int) -> SourceError:
    if "json" in response.headers.get("content-type", ""):
        return Unsure("an answer was cut off in the middle")
    return VendorError(
        "the system answered with a page instead of data; it is probably down for maintenance",
        status=status,
        retry=True,
        fix=_DOWN,
    )


def refusal(reply: Reply, after: float | None) -> VendorError:
    """What to say of an answer that refuses; `after` are the seconds that it asks us to wait."""
    status, data = reply.status, reply.data
    if status in BUSY:
        words, fix = "the system asks us to slow down", "Try again later; set a longer min_interval if it goes on."
        return VendorError(words, status=status, data=data, retry=True, retry_after=after, fix=fix)
    if status >= 500:  # noqa: PLR2004
        return VendorError(f"the system failed (status {status})", status=status, data=data, retry=True, fix=_LATER)
    reason, told = _REFUSALS.get(status, (f"the system refused the request (status {status})", None))
    return VendorError(reason, status=status, data=data, fix=told)
