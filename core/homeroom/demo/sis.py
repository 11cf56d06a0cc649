"""The demo's SIS: the bundled PowerSchool simulator, as a process of its own that ends with the demo."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click
import httpx2
import orjson

from homeroom.cli import simulate
from homeroom.host import discovery
from homeroom.testing.simulator import INSPECTION

CONNECTOR = "powerschool"
TITLE = "PowerSchool"
SAID = f"Its {TITLE} is a simulator on this machine, which was never checked against a live {TITLE}."

_STOP_SECONDS = 5.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sis:
    """A simulator that serves on `url`; `settings` are those with which its connector reads it."""

    url: str
    settings: Mapping[str, Any]


def is_installed() -> bool:
    """Whether both the connector and its simulator are part of this installation; nothing is imported."""
    return all(CONNECTOR in discovery.installed(group) for group in (discovery.GROUP, simulate.GROUP))


class SisProcess:
    """The simulator's process, from its start on."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ready(self) -> Sis:
        """The simulator, once it serves. Raises ClickException when it could not be started."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = await self._process.stdout.readline()
        if not line:
            raise click.ClickException(
                f"{TITLE}'s simulator could not be started. Try it alone: homeroom simulate {CONNECTOR}"
            )
        facts = orjson.loads(line)
        return Sis(url=facts["url"], settings=facts["settings"])

    async def stop(self) -> None:
        """End it, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def begun(students: int) -> AsyncIterator[SisProcess]:
    """The simulator's process, started and stopped at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "homeroom.demo.sis_process", CONNECTOR, str(students)),
        stdin=asyncio.subprocess.PIPE,  # its end is how the process learns that the demo was killed
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is the demo's to take: the server ends first, then what it writes to
    )
    sis = SisProcess(process)
    try:
        yield sis
    finally:
        await sis.stop()


def holds(marks: int) -> str:
    """How many marks the simulator has, in words."""
    return f"{TITLE} has {marks} mark{'' if marks == 1 else 's'}"


async def watch(sis: Sis, tell: Callable[[str], None]) -> None:
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
