"""The demo's SIS: the bundled PowerSchool simulator, and how many marks it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2

from homeroom.demo import vendors
from homeroom.demo.vendors import Vendor
from homeroom.testing.simulator import INSPECTION

CONNECTOR = "powerschool"
TITLE = "PowerSchool"
SAID = f"Its {TITLE} is a simulator on this machine, which was never checked against a live {TITLE}."

_LOOK_SECONDS = 1.0


def is_installed() -> bool:
    """Whether both the connector and its simulator are part of this installation; nothing is imported."""
    return vendors.is_installed(CONNECTOR)


def holds(marks: int) -> str:
    """How many marks the simulator has, in words."""
    return f"{TITLE} has {marks} mark{'' if marks == 1 else 's'}"


async def watch(sis: Vendor, tell: Callable[[str], None]) -> None:
    """Tell how many marks the simulator has, itself asked, whenever that changes; until cancelled."""
    told = holds(0)
    async with httpx2.AsyncClient(base_url=sis.url, timeout=5, trust_env=False) as client:
        while True:
            try:
                answer = (await client.get(INSPECTION)).raise_for_status()
                line = holds(len(answer.json()["attendance"]))
            except httpx2.HTTPError:
                line = f"{TITLE} does not answer"
            if line != told:
                tell(line)
                told = line
            await asyncio.sleep(_LOOK_SECONDS)
