"""A vendor of messages for `homeroom bench notify`: a plugin that takes each one, and answers after a set time.

It stands in nobody's list of plugins: `offered` makes a folder in which Python finds it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from homeroom.hookspecs import hookimpl
from homeroom.services import Services
from homeroom.types import Message, Receipt

NAME = "bench_vendor"


class VendorSettings(BaseModel):
    """How it answers, and where it notes what it has taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    taken: Path = Field(description="A file with the id of each message, one a line.")
    latency: float = Field(default=0.0, ge=0, description="Seconds before each answer; 0 answers at once.")
    spread: float = Field(default=0.0, ge=0, le=1, description="By how much of it answers come sooner or later.")


class Vendor:
    """Takes texts and e-mails."""

    hook_api = 1
    scopes = frozenset({"message.sms", "message.email"})
    Settings = VendorSettings

    def __init__(self, settings: VendorSettings, services: Services) -> None:
        del services
        self._settings = settings
        self._chance = random.Random(1)  # noqa: S311 - it keeps no secret
        self._taken = settings.taken.open("a", buffering=1)

    @hookimpl
    async def stop(self) -> None:
        """Close the file."""
        self._taken.close()

    @hookimpl
    async def deliver(self, message: Message) -> Receipt | None:
        """Take it."""
        self._taken.write(f"{message.id}\n")
        if self._settings.latency:
            spread = self._settings.spread
            await asyncio.sleep(self._settings.latency * self._chance.uniform(1 - spread, 1 + spread))
        return Receipt(state="accepted", provider_id=message.id, segments=1)


def offered(folder: Path) -> Path:
    """A folder that makes the plugin look installed to a process that has it on its path."""
    place = folder / "offered"
    info = place / "homeroom_bench_vendor-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.3\nName: homeroom-bench-vendor\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[homeroom.plugins]\n{NAME} = {__name__}:{Vendor.__name__}\n")
    return place


def taken(file: Path) -> Counter[str]:
    """How often each message was taken."""
    return Counter(file.read_text().split()) if file.exists() else Counter()
