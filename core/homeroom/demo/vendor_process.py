"""`python -m homeroom.demo.vendor_process NAME STUDENTS URL`: a vendor's simulator beside the demo, in its own process.

A messaging vendor calls the demo's server back at URL. The process tells its address and settings in one line of JSON,
and serves until a signal comes or standard input ends: that happens when the demo is gone, even one that was killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from homeroom.cli import server, simulate
from homeroom.cli.installation import quiet_logs
from homeroom.cli.output import print_json
from homeroom.testing import ChannelSimulator

if TYPE_CHECKING:
    import socket

    from homeroom.testing import Simulator

_STDIN = 0


async def _serve(simulator: Simulator, listening: socket.socket) -> None:
    stopping = server.stop_signals()

    def look() -> None:
        if not os.read(_STDIN, 1):
            stopping.set()
            asyncio.get_running_loop().remove_reader(_STDIN)

    asyncio.get_running_loop().add_reader(_STDIN, look)
    await simulate.serve(simulator, listening, stopping)


def _main(name: str, students: int, homeroom: str) -> None:
    quiet_logs()
    simulator = simulate.made(name, students)
    if isinstance(simulator, ChannelSimulator):
        simulator.set_up_callbacks(f"{homeroom}/plugins/{simulator.name}")
    with server.listen(simulate.HOST, 0) as listening:
        print_json(simulate.facts(name, simulator, server.url_of(listening), students))
        asyncio.run(_serve(simulator, listening))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
