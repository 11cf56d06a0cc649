"""Stops asking a plugin that keeps failing, and tries it again after a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]

TRIP_AFTER = 3
REST_SECONDS = 60.0


class Breaker:
    """One hook of one plugin: opens after `trip_after` failures in a row, lets one call through after `rest` seconds.

    That one call closes it or opens it again; meanwhile the others still count as failed. `reason` is the error that
    opened it.
    """

    __slots__ = ("_clock", "_failures", "_opened_at", "_probing", "_rest", "_trip_after", "reason")

    def __init__(
        self,
        *,
        trip_after: int = TRIP_AFTER,
        rest: float = REST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trip_after = trip_after
        self._rest = rest
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False
        self.reason: str | None = None

    @property
    def state(self) -> BreakerState:
        """How it is now."""
        if self._opened_at is None:
            return "closed"
        return "half_open" if self._probing or self._clock() - self._opened_at >= self._rest else "open"

    def admit(self) -> bool:
        """Whether a call may be made now; each one admitted ends in `succeeded`, `failed` or `forget`."""
        if self._opened_at is None:
            return True
        if self._probing or self._clock() - self._opened_at < self._rest:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The call was answered. A late answer to a call from before the opening does not close it."""
        if self._opened_at is None:
            self._failures = 0
        elif self._probing:
            self._probing, self._opened_at, self._failures, self.reason = False, None, 0, None

    def failed(self, reason: str) -> None:
        """The call failed."""
        self._failures += 1
        if self._opened_at is not None and not self._probing:
            return  # one that began before the opening: it must not put off the next try
        if self._probing or self._failures >= self._trip_after:
            self.trip(reason)

    def forget(self) -> None:
        """The caller went away before the call ended: it says nothing about the plugin."""
        self._probing = False

    def trip(self, reason: str) -> None:
        """Open at once, whatever was counted."""
        self._opened_at, self._probing, self.reason = self._clock(), False, reason
