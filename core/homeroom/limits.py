"""How often something may happen: in this process, or with Redis across all of them.

Each key has one number, the time at which its allowance is whole again (the generic cell rate algorithm): `limit` at
once, then one more each `seconds / limit`. It costs the same at any limit and cannot be gamed at a window's edge.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

import structlog

from homeroom.services import Allowance, Limiter

log = structlog.get_logger("homeroom.limits")

_KEYS = 50_000  # kept at most in one process; beyond it what has expired is dropped

_SCRIPT = """
local at = redis.call('TIME')
local now = at[1] + at[2] / 1000000
local each = ARGV[2] / ARGV[1]
local whole = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = whole + each - now - ARGV[2]
if wait > 0.000001 then return tostring(wait) end
if ARGV[3] == '1' then
  redis.call('SET', KEYS[1], string.format('%.6f', whole + each), 'PX', math.ceil((whole + each - now) * 1000))
end
return '0'
"""


class MemoryLimiter:
    """Limits within this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._whole: dict[str, float] = {}

    async def hit(self, key: str, limit: int, seconds: float) -> Allowance:
        """Count one and say whether it was within `limit` per `seconds`; one that is refused is not counted."""
        return self._ask(key, limit, seconds, count=True)

    async def peek(self, key: str, limit: int, seconds: float) -> Allowance:
        """Whether one more would be allowed now, without counting it."""
        return self._ask(key, limit, seconds, count=False)

    async def forget(self, key: str) -> None:
        """Start counting `key` anew."""
        self._whole.pop(key, None)

    def _ask(self, key: str, limit: int, seconds: float, *, count: bool) -> Allowance:
        now = self._clock()
        each = seconds / limit
        whole = max(self._whole.get(key, 0.0), now)
        wait = whole + each - now - seconds
        if wait > 1e-6:  # noqa: PLR2004 - rounding
            return Allowance(allowed=False, retry_after=math.ceil(wait))
        if count:
            if len(self._whole) >= _KEYS and key not in self._whole:
                self._make_room(now)
            self._whole[key] = whole + each
        return Allowance(allowed=True)

    async def close(self) -> None:
        """Nothing is held that would have to be given back."""

    def _make_room(self, now: float) -> None:
        self._whole = {key: whole for key, whole in self._whole.items() if whole > now}
        while len(self._whole) >= _KEYS:  # an attack with many keys: the oldest go
            del self._whole[next(iter(self._whole))]


class RedisLimiter:
    """Limits across processes; while Redis is away each process limits by itself."""

    def __init__(self, redis: Any, *, fallback: Limiter | None = None) -> None:
        self._redis = redis
        self._script = redis.register_script(_SCRIPT)
        self._fallback = fallback or MemoryLimiter()
        self._lost = False

    async def hit(self, key: str, limit: int, seconds: float) -> Allowance:
        """Count one and say whether it was within `limit` per `seconds`; one that is refused is not counted."""
        wait = await self._ask(key, limit, seconds, count=True)
        return await self._fallback.hit(key, limit, seconds) if wait is None else _allowance(wait)

    async def peek(self, key: str, limit: int, seconds: float) -> Allowance:
        """Whether one more would be allowed now, without counting it."""
        wait = await self._ask(key, limit, seconds, count=False)
        return await self._fallback.peek(key, limit, seconds) if wait is None else _allowance(wait)

    async def forget(self, key: str) -> None:
        """Start counting `key` anew."""
        from redis.exceptions import RedisError

        await self._fallback.forget(key)
        try:
            await self._redis.delete(f"homeroom:limit:{key}")
        except (RedisError, OSError):
            self._note(lost=True)

    async def close(self) -> None:
        """Hang up at Redis."""
        from redis.exceptions import RedisError

        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()

    async def _ask(self, key: str, limit: int, seconds: float, *, count: bool) -> float | None:
        """Seconds to wait, 0 when it is allowed; None when Redis does not answer."""
        from redis.exceptions import RedisError

        try:
            wait = await self._script(keys=[f"homeroom:limit:{key}"], args=[limit, seconds, int(count)])
        except (RedisError, OSError):
            self._note(lost=True)
            return None
        self._note(lost=False)
        return float(wait)

    def _note(self, *, lost: bool) -> None:
        if lost != self._lost:
            self._lost = lost
            log.warning("limits_are_per_process" if lost else "limits_are_shared_again")


def _allowance(wait: float) -> Allowance:
    return Allowance(allowed=wait <= 0, retry_after=math.ceil(wait))
