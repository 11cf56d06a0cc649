"""The last time that somebody marked all others at once, kept so that they can take it back."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from homeroom import Services
from homeroom_web.visitors import Visitor

_HOURS = 12 * 3600.0


async def keep(services: Services, visitor: Visitor, session_id: str, records: list[dict[str, Any]]) -> None:
    """Remember what was just marked at this browser, in place of what was before."""
    told = [{"id": record["id"], "version": record["version"]} for record in records]
    await services.kv.set(_key(visitor, session_id), orjson.dumps(told).decode(), ttl=_HOURS)


async def kept(services: Services, visitor: Visitor, session_id: str) -> list[dict[str, Any]]:
    """The ids and versions of what was marked last; empty when there is nothing to take back."""
    text = await services.kv.get(_key(visitor, session_id))
    found: list[dict[str, Any]] = orjson.loads(text) if text else []
    return found


async def forget(services: Services, visitor: Visitor, session_id: str) -> None:
    """There is nothing to take back any more."""
    await services.kv.delete(_key(visitor, session_id))


def _key(visitor: Visitor, session_id: str) -> str:
    return f"bulk:{session_id}:{hashlib.sha256(visitor.cookie.encode()).hexdigest()[:32]}"
