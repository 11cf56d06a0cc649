"""Twilio's HTTP API: one POST that sends, and GETs that change nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from homeroom import Services
from homeroom_twilio.errors import NotReached, NotTold, Unreadable
from homeroom_twilio.settings import TwilioSettings

PAGE = 1000
"""Messages of one page of a list, at most (Twilio's own limit)."""

_PAGES = 20  # a list that is longer than this many pages is not read to its end
_LONGEST = 3600.0  # seconds that Twilio may ask to wait and be believed

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Twilio said: `data` is None where the body is no JSON object; `retry_after` is in seconds."""

    status: int
    data: Row | None = field(repr=False)
    retry_after: float | None


class Client:
    """One account's API. The token leaves in the Authorization header only."""

    def __init__(self, settings: TwilioSettings, services: Services) -> None:
        self._settings = settings
        self._services = services
        self._account = f"{settings.base_url}/2010-04-01/Accounts/{settings.account_sid}"
        services.allow_host(settings.base_url)

    def __repr__(self) -> str:
        return f"Client({self._settings.base_url})"

    async def send(self, form: Mapping[str, str]) -> Answer:
        """Twilio's answer to a message. Raises NotReached before, and NotTold after something may have been sent."""
        try:
            response = await self._services.http.post(
                f"{self._account}/Messages.json", data=dict(form), auth=self._settings.sign_in
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise NotReached("Twilio could not be reached") from None
        except httpx2.TimeoutException:
            raise NotTold("Twilio did not answer in time; it may have taken the message") from None
        except httpx2.RequestError:
            raise NotTold("the connection to Twilio broke; it may have taken the message") from None
        return self._answer(response)

    async def messages_to(self, number: str) -> AsyncIterator[Row]:
        """Every message to `number`; the list was read whole once this ends. Raises Unreadable where it could not be.

        Not narrowed by `DateSent`: what is still queued may have none, and is just what is looked for.
        """
        url: str = f"{self._account}/Messages.json"
        params: dict[str, str | int] | None = {"To": number, "PageSize": PAGE}
        seen: set[str] = set()
        for _page in range(_PAGES):
            data = await self._get(url, params, self._settings.sign_in)
            rows = data.get("messages")
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise Unreadable("Twilio's list of messages holds no messages")
            for row in rows:
                yield row
            if "next_page_uri" not in data:
                raise Unreadable("Twilio's list of messages does not say whether it goes on")
            following = data["next_page_uri"]
            if following is None:
                return
            if not isinstance(following, str) or not following.startswith("/") or following in seen:
                raise Unreadable("Twilio's list of messages goes on at an address that cannot be right")
            seen.add(following)
            url, params = f"{self._settings.base_url}{following}", None
        raise Unreadable("Twilio's list of messages is too long to be read whole")

    async def account(self) -> Row:
        """What Twilio says of the account; an API key may not ask for it. It holds the token: not to be shown."""
        own = (self._settings.account_sid, self._settings.auth_token.get_secret_value())
        return await self._get(f"{self._account}.json", None, own)

    async def numbers(self, like: str) -> list[Row]:
        """The account's numbers that are like this one, asked for with what signs Homeroom in for sending."""
        data = await self._get(
            f"{self._account}/IncomingPhoneNumbers.json", {"PhoneNumber": like, "PageSize": 20}, self._settings.sign_in
        )
        rows = data.get("incoming_phone_numbers")
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    async def _get(self, url: str, params: Mapping[str, str | int] | None, sign_in: tuple[str, str]) -> Row:
        try:
            response = await self._services.http.get(url, params=params, auth=sign_in)
        except httpx2.RequestError:
            raise Unreadable("Twilio could not be reached, or the connection broke") from None
        answer = self._answer(response)
        if answer.status != httpx2.codes.OK or answer.data is None:
            raise Unreadable(f"Twilio answered {answer.status} instead of what was asked for", status=answer.status)
        return answer.data

    def _answer(self, response: httpx2.Response) -> Answer:
        try:
            data = response.json()
        except ValueError:
            data = None
        wait = _seconds(response.headers.get("retry-after"), self._services.clock.now())
        return Answer(status=response.status_code, data=data if isinstance(data, dict) else None, retry_after=wait)


def _seconds(text: str | None, now: datetime) -> float | None:
    """A Retry-After in seconds: it may also be a date (RFC 9110, 10.2.3)."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        if text.strip().isdecimal():
            return min(float(text), _LONGEST)
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return min(max(0.0, (moment - now).total_seconds()), _LONGEST)
    return None
