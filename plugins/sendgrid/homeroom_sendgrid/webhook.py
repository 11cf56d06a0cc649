"""The address that SendGrid's event webhook calls: only what SendGrid has signed, each event by itself, none twice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import Sequence

from quart import Blueprint, request

from homeroom import Call, DeliveryReport, Refused, Services, operation, raw_body
from homeroom_sendgrid.events import Told, told_by
from homeroom_sendgrid.settings import SendGridSettings
from homeroom_sendgrid.signature import SIGNATURE, TIMESTAMP, is_signed, public_key
from homeroom_sendgrid.silence import Silence

PATH = "/events"

MAX_BYTES = 1024 * 1024
"""A call larger than this is refused; SendGrid fills one up to 768 KB."""

MAX_AGE = 25 * 3600
"""Seconds after which a signed call is refused. SendGrid repeats one for 24 hours, perhaps as it first signed it."""

_AT_ONCE = 50  # reports that wait for one commit together


class EventWebhook:
    """The one route. `address` is what a district enters at SendGrid, or None while this server has no public name."""

    def __init__(self, settings: SendGridSettings, services: Services, silence: Silence) -> None:
        self._services = services
        self._silence = silence
        self._group = settings.asm_group_id
        self._keys = [public_key(text) for text in settings.webhook_keys]
        self._hashing = services.derive_key("addresses")
        self.prefix = f"/plugins/{services.name}"
        self.address = f"{services.public_url.rstrip('/')}{self.prefix}{PATH}" if services.public_url else None

    def blueprint(self) -> Blueprint:
        """The route, below the plugin's prefix."""
        pages = Blueprint(self._services.name, __name__)

        @pages.post(PATH)
        @operation("public", answers={204: None}, problems=(400, 403, 413, 503))
        async def take_events(_call: Call) -> tuple[None, int]:
            """What became of mails, from SendGrid itself."""
            body = await raw_body(MAX_BYTES)
            self._check(request.headers.get(SIGNATURE, ""), request.headers.get(TIMESTAMP, ""), body)
            await self.take(_events_in(body))
            return None, 204

        return pages

    async def take(self, events: Sequence[object]) -> None:
        """Hand every event on. Raises Refused when one could not be stored, so that SendGrid brings all of them again.

        What was stored already is then told a second time, which changes nothing.
        """
        told = [one for one in (told_by(event, self._group) for event in events) if one is not None]
        reports = [one.report for one in told if one.report is not None]
        heard = await self._hear([one for one in told if one.news is not None])  # nobody who left waits for the rest
        reported = await self._report(reports)
        if not (heard and reported):
            await self._silence.interrupted()
            raise Refused(503, "unavailable", "Not every event could be stored. Please send them again.")
        await self._silence.heard(told)

    async def _report(self, reports: Sequence[DeliveryReport]) -> bool:
        """Whether every report was stored. Where a whole handful fails, the rest is not tried."""
        messages, failed = self._services.messages, 0
        for start in range(0, len(reports), _AT_ONCE):
            handful = reports[start : start + _AT_ONCE]
            answers = await asyncio.gather(*(messages.report(one) for one in handful), return_exceptions=True)
            errors = [one for one in answers if isinstance(one, BaseException)]
            failed += len(errors)
            if len(errors) == len(handful):
                break
        return self._counted("report", failed)

    async def _hear(self, told: Sequence[Told]) -> bool:
        """Whether all news of addresses were kept, one after another: who left and came back is in again."""
        failed = 0
        for one in told:
            try:
                await self._hear_one(one)
            except Exception:  # noqa: BLE001 - one that cannot be stored must not lose its neighbours
                failed += 1
        return self._counted("news", failed)

    async def _hear_one(self, told: Told) -> None:
        """Keep what is news of an address, unless something newer was heard of it: events come late and repeated."""
        assert told.news is not None  # noqa: S101 - as `take` has chosen
        if told.news.news == "unreachable":
            await self._services.messages.heard(told.news)
            return
        key = f"heard:{hmac.new(self._hashing, told.news.address.casefold().encode(), hashlib.sha256).hexdigest()}"
        last = await self._services.kv.get(key)
        if last is not None and told.at < float(last):
            return
        await self._services.messages.heard(told.news)
        await self._services.kv.set(key, str(told.at), ttl=2 * MAX_AGE)

    def _counted(self, what: str, failed: int) -> bool:
        if failed:
            self._services.log.warning("sendgrid_events_not_stored", what=what, count=failed)
        return not failed

    def _check(self, signature: str, timestamp: str, body: bytes) -> None:
        """Raises Refused for a call that SendGrid has not signed, or has signed too long ago."""
        if not self._keys:
            raise Refused(403, "not-allowed", "No verification key is set for SendGrid's events, so none is accepted.")
        if not is_signed(self._keys, signature=signature, timestamp=timestamp, body=body):
            raise Refused(403, "not-allowed", "This was not signed by SendGrid.")
        with contextlib.suppress(ValueError):
            if self._services.clock.now().timestamp() - int(timestamp) <= MAX_AGE:
                return
        raise Refused(403, "not-allowed", "This was signed too long ago to be accepted again.")


def _events_in(body: bytes) -> list[object]:
    try:
        # Forgiving: other senders' own arguments are in these bodies too, and one odd character must not lose a batch.
        events = json.loads(body)
    except (ValueError, RecursionError):
        events = None
    if not isinstance(events, list):
        raise Refused(400, "malformed", "This is no list of events.")
    return events
