"""Vendors' simulators beside the demo, each a process of its own that ends with the demo."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import click
import orjson

from homeroom.cli import simulate
from homeroom.host import discovery

_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A simulator that serves on `url`; `settings` are those with which the plugin `name` uses it."""

    name: str
    url: str
    settings: Mapping[str, Any]


def is_installed(name: str) -> bool:
    """Whether both a plugin and its simulator are part of this installation; nothing is imported."""
    return all(name in discovery.installed(group) for group in (discovery.GROUP, simulate.GROUP))


class VendorProcess:
    """A simulator's process, from its start on."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process

    async def ready(self) -> Vendor:
        """The simulator, once it serves. Raises ClickException when it could not be started."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = await self._process.stdout.readline()
        if not line:
            raise click.ClickException(
                f"The simulator of {self._name} could not be started. Try it alone: homeroom simulate {self._name}"
            )
        facts = orjson.loads(line)
        return Vendor(name=self._name, url=facts["url"], settings=facts["settings"])

    async def stop(self) -> None:
        """End it, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def begun(name: str, students: int, homeroom: str) -> AsyncIterator[VendorProcess]:
    """A simulator's process, started and stopped at the end; `homeroom` is where it calls back."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "homeroom.demo.vendor_process", name, str(students), homeroom),
        stdin=asyncio.subprocess.PIPE,  # its end is how the process learns that the demo was killed
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is the demo's to take: the server ends first, then what it writes to
    )
    vendor = VendorProcess(name, process)
    try:
        yield vendor
    finally:
        await vendor.stop()
