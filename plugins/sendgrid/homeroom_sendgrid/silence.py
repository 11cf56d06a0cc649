"""What it means that SendGrid has told nothing of a mail whose sending was never answered.

SendGrid cannot be asked for a mail. But of each one that it takes it tells within a minute or so ("processed"), by the
event webhook; so its silence about a mail means that there is none, if it tells of later ones and was heard all along.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from homeroom import Message, NotSent, Services
from homeroom_sendgrid.events import Told
from homeroom_sendgrid.settings import SendGridSettings

_SINCE = "events:since"
_LATEST = "events:latest"
_STEPS = 100  # of the time to wait: an event that is newer by less than one of them is not kept anew


class Silence:
    """What is kept of the events: since when this server has listened, and when the newest event happened."""

    def __init__(self, settings: SendGridSettings, services: Services) -> None:
        self._grace = settings.webhook_grace_minutes * 60
        self._services = services
        self._latest = 0.0
        self._missed = False

    async def interrupted(self) -> None:
        """Keep that events may have been missed until now: a process starts, or could not store what it was told."""
        self._missed = True
        with contextlib.suppress(Exception):  # then before the next event is heard
            await self._services.kv.set(_SINCE, str(self._now()))
            self._missed = False

    async def heard(self, told: Sequence[Told]) -> None:
        """Keep when the newest of these events happened, as far as they are about mails of ours."""
        newest = max((one.at for one in told if one.report is not None), default=0.0)
        if self._missed:
            await self.interrupted()
        if self._missed or newest < self._latest + self._grace / _STEPS:
            return
        with contextlib.suppress(Exception):  # the events themselves are stored; the next one will do as well
            self._latest = max(newest, await self._read(_LATEST))
            await self._services.kv.set(_LATEST, str(self._latest))

    async def about(self, message: Message) -> NotSent | None:
        """`NotSent` where SendGrid would have told of the mail by now; None where that is not sure.

        SendGrid brings events that it could not deliver again after longer and longer waits. So after a start this
        server must have listened once more as long as it may have been away.
        """
        attempted = (message.attempted_at or message.created_at).timestamp()
        since = await self._read(_SINCE)
        has_listened = self._now() - since >= max(self._grace, since - attempted)
        return NotSent() if has_listened and await self._read(_LATEST) > attempted + self._grace else None

    async def _read(self, key: str) -> float:
        return float(await self._services.kv.get(key) or 0.0)

    def _now(self) -> float:
        return self._services.clock.now().timestamp()
