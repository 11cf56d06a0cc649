"""The baseline on Hypercorn just as `homeroom serve` sets it up: the same options, the same rules for the collector."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys

from homeroom.bench.bare import app
from homeroom.bench.exchange import HOST
from homeroom.cli import connections, server


async def _serve(listening: socket.socket) -> None:
    stopping = server.stop_signals()

    @app.before_serving
    async def settled() -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)

    config = server.hypercorn_config(listening, None)
    await connections.serve(app, config, stop=stopping.wait)


def main() -> None:
    """Serve on the port that the first argument names."""
    with server.listen(HOST, int(sys.argv[1])) as listening:
        asyncio.run(_serve(listening))


if __name__ == "__main__":
    main()
