"""SendGrid's HTTP API: one POST that sends, and GETs that may wait their turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import orjson

from homeroom import Services
from homeroom_sendgrid.settings import SendGridSettings

PAGE = 500
"""Rows of a page of suppressions, at most (SendGrid's own limit)."""

BUSY = 429
_TURNS = 4  # how often one page is asked for while SendGrid is too busy or fails
_PAUSE = 0.5  # seconds before the second turn, where SendGrid names none; twice that before the third
_LONGEST = 3600.0  # seconds that SendGrid may ask to wait and be believed
_EPOCH = 10**8  # X-RateLimit-Reset is a moment in seconds since 1970; a number below this can only be seconds to wait


class NotKnown(Exception):
    """Nobody knows whether SendGrid has taken the message; the text says why, and names nobody."""


class NotReached(Exception):
    """No connection was made, so SendGrid has nothing."""


class Unread(Exception):
    """SendGrid did not give what was asked for; `status` is its answer's, where there was one."""

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What SendGrid said: `data` is None where the body is empty or no JSON, `is_page` when it is HTML."""

    status: int
    data: Any = field(repr=False)
    is_page: bool
    headers: Mapping[str, str] = field(repr=False)


class Client:
    """One account's API. The key leaves in the Authorization header only."""

    def __init__(self, settings: SendGridSettings, services: Services) -> None:
        self._settings = settings
        self._services = services
        services.allow_host(settings.address)

    def __repr__(self) -> str:
        return f"Client({self._settings.address})"

    async def send(self, mail: Mapping[str, Any]) -> Answer:
        """SendGrid's answer to a mail. Raises NotReached before, and NotKnown after something may have been sent."""
        try:
            response = await self._services.http.post(
                f"{self._settings.address}/v3/mail/send",
                content=orjson.dumps(mail),
                headers={**self._headers(), "Content-Type": "application/json"},
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise NotReached("SendGrid could not be reached") from None
        except httpx2.TimeoutException:
            raise NotKnown("SendGrid did not answer in time; it may have taken the message") from None
        except httpx2.RequestError:
            raise NotKnown("the connection to SendGrid broke; it may have taken the message") from None
        return _answer(response)

    async def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """The JSON that SendGrid keeps at `path`. Raises Unread, with a text for the administrator."""
        answer = await self._get(path, params or {})
        if answer.status != httpx2.codes.OK or answer.is_page or answer.data is None:
            raise Unread(f"SendGrid answered {answer.status} instead of what was asked for", status=answer.status)
        return answer.data

    async def rows(self, path: str, params: Mapping[str, str | int]) -> AsyncIterator[Any]:
        """Every row of a list, page by page, no faster than SendGrid's rate limit allows. Raises Unread."""
        offset, before = 0, None
        while True:
            page = await self._page(path, {**params, "limit": PAGE, "offset": offset})
            if page and page == before:
                raise Unread("SendGrid gave the same page again instead of the next one")
            for row in page:
                yield row
            if len(page) < PAGE:
                return
            offset, before = offset + PAGE, page

    async def _page(self, path: str, params: Mapping[str, str | int]) -> list[Any]:
        for turn in range(1, _TURNS + 1):
            try:
                answer = await self._get(path, params)
            except Unread:
                if turn == _TURNS:
                    raise
                continue
            wait = seconds_to_wait(answer.headers, self._now())
            if (answer.status == BUSY or answer.status >= httpx2.codes.INTERNAL_SERVER_ERROR) and turn < _TURNS:
                await asyncio.sleep(_PAUSE * turn if wait is None else wait)
            elif answer.status != httpx2.codes.OK:
                raise Unread(f"SendGrid answered {answer.status} instead of a list", status=answer.status)
            elif isinstance(answer.data, list):
                if answer.headers.get("x-ratelimit-remaining") == "0" and wait:
                    await asyncio.sleep(wait)
                return answer.data
        raise Unread("SendGrid's answer is no list")

    async def _get(self, path: str, params: Mapping[str, str | int]) -> Answer:
        try:
            response = await self._services.http.get(
                f"{self._settings.address}{path}", params=dict(params), headers=self._headers()
            )
        except httpx2.RequestError:
            raise Unread("SendGrid could not be reached, or the connection broke") from None
        return _answer(response)

    def _headers(self) -> dict[str, str]:
        key = self._settings.api_key.get_secret_value()
        return {"Authorization": f"Bearer {key}", "Accept": "application/json"}

    def _now(self) -> float:
        return self._services.clock.now().timestamp()


def seconds_to_wait(headers: Mapping[str, str], now: float) -> float | None:
    """How long SendGrid asks to wait, by Retry-After or by the moment of X-RateLimit-Reset on its own clock."""
    with contextlib.suppress(KeyError, ValueError):
        return _bounded(float(headers["retry-after"]))
    with contextlib.suppress(KeyError, ValueError):
        reset = float(headers["x-ratelimit-reset"])
        return _bounded(reset if reset < _EPOCH else reset - _time_of(headers, now))
    return None


def _bounded(seconds: float) -> float:
    return min(_LONGEST, max(0.0, seconds))


def _time_of(headers: Mapping[str, str], now: float) -> float:
    """SendGrid's own clock, which its limits go by; ours where it does not tell."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return parsedate_to_datetime(headers["date"]).timestamp()
    return now


def _answer(response: httpx2.Response) -> Answer:
    try:
        data = orjson.loads(response.content) if response.content else None
    except orjson.JSONDecodeError:
        data = None
    content, kind = response.content.strip(), response.headers.get("content-type", "")
    return Answer(
        status=response.status_code,
        data=data,
        is_page=bool(content) and ("html" in kind or content.startswith(b"<")),
        headers=response.headers,
    )
