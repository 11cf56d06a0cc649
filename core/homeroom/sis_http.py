"""A vendor's HTTP API as every SIS connector speaks to it: paced, signed in, retried, and never trusted.

    http = SisHttp(services, "https://district.example", token=ClientCredentials(url="/oauth/access_token", ...))
    reply = await http.get("/ws/v1/district")
    reply.data

A page instead of data, a redirect and a cut-off body are the vendor's trouble and never "no students".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from homeroom.egress import NotAllowedOut
from homeroom.records import SourceError
from homeroom.sis_answers import BUSY, Reply, Unsure, VendorError, read, refusal, reply_of

if TYPE_CHECKING:
    import httpx2
    from pydantic import SecretStr

    from homeroom.services import Services

Params = Mapping[str, str | int | float | bool | list[str]]

_SAFE = ("GET", "HEAD", "PUT", "DELETE")
_PATIENCE = 60.0  # seconds that one request may wait for the vendor; the engine waits longer, from the checkpoint
_DEADLINE = 60.0  # seconds for one whole answer, however slowly it drips
_EARLY = 30.0  # a token is renewed this many seconds before it ends
_LONGEST_TOKEN = 86400.0  # one that is good for longer, or for ever, is renewed after a day all the same
_SENTENCE = 1000  # bytes of an answer in which `token_ended` is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """How a token is asked for. `url` may be relative to the API's; `auth` says where id and secret go.

    `grant_type` and `form` serve vendors that call it something else (Skyward SMS 2.0: password).
    """

    url: str
    client_id: str
    client_secret: SecretStr
    auth: Literal["basic", "form", "none"] = "basic"
    scope: str | None = None
    grant_type: str = "client_credentials"
    form: Mapping[str, str] = field(default_factory=dict, repr=False)


class SisHttp:
    """The API below `base_url`. Requests go one after another, `min_interval` seconds apart at least.

    `token_ended` is the text by which a vendor says that a token has ended where others answer 401.

    Raises SourceError (VendorError where the vendor answered) with a text for the administrator; `retry` says that
    later may be better.
    """

    def __init__(
        self,
        services: Services,
        base_url: str,
        *,
        token: ClientCredentials | None = None,
        auth: httpx2.Auth | None = None,
        min_interval: float = 0.0,
        attempts: int = 4,
        token_ended: str | None = None,
    ) -> None:
        self._services = services
        self.base_url = base_url.rstrip("/")
        self._token = token
        self._auth = auth
        self._interval = min_interval
        self._attempts = attempts
        self._token_ended = token_ended.encode() if token_ended else None
        self._turn = asyncio.Lock()
        self._signing_in = asyncio.Lock()
        self._last: float | None = None
        self._access: str | None = None
        self._access_until: datetime | None = None
        self.skew = timedelta(0)
        services.allow_host(base_url)
        if token is not None and "://" in token.url:
            services.allow_host(token.url)

    def __repr__(self) -> str:
        return f"SisHttp({self.base_url})"

    async def get(self, path: str, params: Params | None = None, *, accept: Collection[int] = ()) -> Reply:
        """Read. `path` is below the base URL, or a whole URL of the same origin (a next page); see `request`."""
        return await self.request("GET", path, params=params, accept=accept)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
        idempotent: bool | None = None,
    ) -> Reply:
        """Send one request and give its answer; statuses in `accept` are answers too.

        `idempotent` says that sending it twice does no harm (default: by method), so that it is repeated also when
        nobody knows whether it arrived.
        """
        again = method in _SAFE if idempotent is None else idempotent
        sending = _Sending(
            method=method, url=self._url(path), params=params, json=json, form=form, headers=headers or {}
        )
        attempts = AsyncRetrying(
            retry=retry_if_exception(lambda exc: _may_repeat(exc, again=again)),
            stop=stop_after_attempt(self._attempts),
            wait=_wait,
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                return await self._once(sending, accept)
        raise AssertionError  # pragma: no cover - tenacity returns or raises

    def _url(self, path: str) -> str:
        if "://" not in path:
            return f"{self.base_url}/{path.lstrip('/')}"
        if _origin(path) != _origin(self.base_url):
            raise SourceError("the system sent us to an address of another server, which we did not follow")
        return path

    async def _once(self, sending: _Sending, accept: Collection[int]) -> Reply:
        if self._token is None:
            reply = await self._send(sending, {})
        else:
            token = await self._current_token(self._token)
            reply = await self._send(sending, _bearer(token))
            if reply.status == 401:  # noqa: PLR2004 - one new token, then it is refused
                token = await self._current_token(self._token, instead_of=token)
                reply = await self._send(sending, _bearer(token))
        if 200 <= reply.status < 300 or reply.status in accept:  # noqa: PLR2004
            return reply
        raise self._refusal(reply)

    async def _current_token(self, how: ClientCredentials, *, instead_of: str | None = None) -> str:
        """The token that is good now; requests that meet the end of one together ask for one new token."""
        async with self._signing_in:
            now = self._services.clock.now()
            ended = self._access_until is not None and now >= self._access_until
            if self._access is None or self._access == instead_of or ended:
                self._access, seconds = await self._new_token(how)
                self._access_until = now + timedelta(seconds=max(seconds - _EARLY, seconds / 2)) if seconds else None
            return self._access

    async def _new_token(self, how: ClientCredentials) -> tuple[str, float | None]:
        import base64

        secret = how.client_secret.get_secret_value()
        form = {"grant_type": how.grant_type, **({"scope": how.scope} if how.scope else {}), **how.form}
        headers: dict[str, str] = {}
        if how.auth == "basic":
            pair = base64.b64encode(f"{how.client_id}:{secret}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        elif how.auth == "form":
            form |= {"client_id": how.client_id, "client_secret": secret}
        url = how.url if "://" in how.url else self._url(how.url)
        reply = await self._send(_Sending(method="POST", url=url, form=form), headers)
        if reply.status in (400, 401, 403):
            raise VendorError(
                "the client id and secret were refused",
                status=reply.status,
                data=reply.data,
                signing_in=True,
                fix="Put those that the system shows now into the connector's settings.",
            )
        if reply.status not in (200, 201):
            raise self._refusal(reply)
        try:
            seconds = reply.data.get("expires_in")
            good_for = min(float(seconds), _LONGEST_TOKEN) if seconds not in (None, "") else None
            return str(reply.data["access_token"]), good_for
        except (AttributeError, KeyError, TypeError, ValueError):
            raise SourceError("the answer to the sign-in holds no access token") from None

    async def _send(self, sending: _Sending, headers: Mapping[str, str]) -> Reply:
        import httpx2

        client = self._services.http
        request = client.build_request(
            sending.method,
            sending.url,
            params=sending.params,
            json=sending.json,
            data=sending.form,
            headers={"Accept": "application/json", **sending.headers, **headers},
        )
        try:
            async with self._paced(), asyncio.timeout(_DEADLINE):
                response = await client.send(request, auth=self._auth or httpx2.USE_CLIENT_DEFAULT, stream=True)
                try:
                    body = await read(response)
                finally:
                    await response.aclose()
        except NotAllowedOut as exc:
            raise SourceError(str(exc)) from None
        except (TimeoutError, httpx2.TimeoutException):
            raise Unsure("the system did not answer in time") from None
        except httpx2.ConnectError:
            fix = "Check the address in the settings and the way there, or try again later."
            raise SourceError("the system cannot be reached", retry=True, fix=fix) from None
        except httpx2.RequestError:
            raise Unsure("the connection broke off in the middle of an answer") from None
        self._note_time(response.headers.get("date"))
        if self._token_ended is not None and self._token_ended in body[:_SENTENCE]:
            return Reply(status=401, data=None, headers={})
        return reply_of(response, body)

    @contextlib.asynccontextmanager
    async def _paced(self) -> AsyncIterator[None]:
        """One request at a time, and not too soon after the last."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if self._last is not None and (wait := self._last + self._interval - loop.time()) > 0:
                await asyncio.sleep(wait)
            try:
                yield
            finally:
                self._last = loop.time()

    def _refusal(self, reply: Reply) -> VendorError:
        return refusal(reply, self._seconds_named(reply.headers.get("retry-after")))

    def _seconds_named(self, retry_after: str | None) -> float | None:
        """Seconds, from a number or a date by the vendor's own clock (RFC 9110, 10.2.3); None when it is neither."""
        with contextlib.suppress(TypeError, ValueError):
            return max(0.0, float(retry_after or ""))
        with contextlib.suppress(TypeError, ValueError):
            until = parsedate_to_datetime(retry_after or "")
            return max(0.0, (until - self._services.clock.now() - self.skew).total_seconds())
        return None

    def _note_time(self, date: str | None) -> None:
        """Keep how far the vendor's clock is ahead of ours, to ask for changes by the vendor's own time."""
        with contextlib.suppress(TypeError, ValueError):
            told = parsedate_to_datetime(date or "")
            if told.tzinfo is None:  # two dates in one header: the first one is taken, and all are in UTC
                told = told.replace(tzinfo=UTC)
            self.skew = told.astimezone(UTC) - self._services.clock.now()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sending:
    """A request that may have to be sent more than once."""

    method: str
    url: str
    params: Params | None = field(default=None, repr=False)
    json: Any = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def _bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port; what is no such address has an origin of its own."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", None, None


def _may_repeat(exc: BaseException, *, again: bool) -> bool:
    """Whether the request may be sent once more: it surely was not taken, or taking it twice does no harm."""
    if not isinstance(exc, SourceError) or not exc.retry:
        return False
    if isinstance(exc, VendorError):
        return (exc.retry_after or 0.0) <= _PATIENCE if exc.status in BUSY else again
    return again or not isinstance(exc, Unsure)


_growing: Callable[[RetryCallState], float] = wait_exponential(multiplier=0.2, max=10) + wait_random(0, 0.2)


def _wait(state: RetryCallState) -> float:
    """As long as the vendor named, else a little longer each time."""
    error = state.outcome.exception() if state.outcome else None
    named = error.retry_after if isinstance(error, SourceError) else None
    return named if named is not None else _growing(state)
