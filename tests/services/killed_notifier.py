"""Processes that send messages as `homeroom worker` does, for a nursery, each of which may end itself on its way.

`where` is "claimed" (a turn has claimed messages), "begun" (the attempt is kept, nothing has left), "answered" (the
vendor's answer is there, and not kept), "statement" (of the database's writer), or "" for one that goes on until it is
killed; `times` is at which time of these it ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any

from pydantic import SecretStr

from homeroom.district import District
from homeroom.host import PluginsConfig
from homeroom.notify import claims, outcomes
from homeroom.settings import DatabaseSettings, LogSettings, NotifySettings, SecuritySettings, ServerSettings, Settings

KEY = bytes(range(32))
ASK_AFTER = 0.5


@dataclass(frozen=True, kw_only=True)
class Life:
    """One process: what it works with, and where it ends."""

    url: str
    public_url: str
    plugins: Mapping[str, Mapping[str, Any]]
    where: str = ""
    times: int = 1


def settings_of(life: Life) -> Settings:
    """The settings of a district that sends with these plugins, at any hour and impatiently."""
    return Settings(
        server=ServerSettings(public_base_url=life.public_url),
        database=DatabaseSettings(url=life.url, readers=2),
        security=SecuritySettings(encryption_key=SecretStr(KEY.hex())),
        notify=NotifySettings(quiet_from=time(0), quiet_until=time(0), ask_after_seconds=ASK_AFTER, at_once=6),
        log=LogSettings(level="warning"),
        plugins=PluginsConfig(
            enabled=tuple(life.plugins), sections={key: dict(life.plugins[key]) for key in life.plugins}
        ),
    )


class _End:
    """Ends this process at the right step."""

    def __init__(self, life: Life, district: District) -> None:
        self._where, self._left = life.where, life.times
        self._write = district.store.write
        self._execute: Any = district.store.database.execute_sql
        district.store.write = self._unit  # type: ignore[method-assign] # it sees every unit
        district.store.database.execute_sql = self._statement  # type: ignore[method-assign] # and every statement

    async def _unit(self, unit: Any) -> Any:
        work = getattr(unit, "func", None)
        if work is outcomes.settle:
            self._at("answered")
        done = await self._write(unit)
        if getattr(work, "__name__", "") == "_claim" and done[0]:
            self._at("claimed")
        if work is claims.begin:
            self._at("begun")
        return done

    def _statement(self, *given: Any, **named: Any) -> Any:
        if threading.current_thread().name == "homeroom-writer":
            self._at("statement")
        return self._execute(*given, **named)

    def _at(self, where: str) -> None:
        self._left -= where == self._where
        if not self._left and where == self._where:
            os.kill(os.getpid(), signal.SIGKILL)


async def _live(life: Life) -> None:
    district = District(settings_of(life))
    _End(life, district)
    await district.start()
    await asyncio.Event().wait()


def live(**life: Any) -> None:
    """Be one of them."""
    asyncio.run(_live(Life(**life)))
