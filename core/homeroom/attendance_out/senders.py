"""This process's loops that send attendance, one for each connector that the district has named."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import Protocol

from homeroom.attendance_out.runner import AttendanceOut, Host
from homeroom.live.tail import Tail
from homeroom.settings import Settings
from homeroom.store import Store


class Home(Protocol):
    """What is needed of the district."""

    @property
    def settings(self) -> Settings: ...  # noqa: D102 - the class says it
    @property
    def store(self) -> Store: ...  # noqa: D102
    @property
    def tail(self) -> Tail: ...  # noqa: D102
    @property
    def host(self) -> Host: ...  # noqa: D102


class Senders:
    """The loops under way; `holder` is who holds their leases."""

    def __init__(self, home: Home, holder: str) -> None:
        self._home = home
        self._holder = holder
        self._loops: dict[str, tuple[AttendanceOut, asyncio.Task[None]]] = {}

    async def keep(self, wanted: Collection[str]) -> None:
        """Have a loop for each wanted connector, and for no other."""
        for name in [name for name in self._loops if name not in wanted]:
            sender, task = self._loops.pop(name)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await sender.let_go()
        for name in wanted:
            if name not in self._loops:
                sender = self._sender(name)
                self._loops[name] = sender, asyncio.create_task(sender.run(), name=f"attendance-out-{name}")

    async def stop(self) -> None:
        """End every loop; what is on its way into a SIS is sent again, under the same key, by whoever goes on."""
        await self.keep(())

    def problems(self) -> dict[str, str]:
        """Why nothing is sent, by connector, where that is so."""
        return {name: sender.error for name, (sender, _) in self._loops.items() if sender.error}

    def _sender(self, name: str) -> AttendanceOut:
        home = self._home
        settings = home.settings
        return AttendanceOut(
            name,
            host=home.host,
            store=home.store,
            tail=home.tail,
            holder=self._holder,
            delay=timedelta(seconds=settings.sync.attendance_delay_seconds),
            weekdays=settings.attendance.school_days,
        )
