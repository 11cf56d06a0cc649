"""What `homeroom bench audit` asks of the plugin: how long sealing takes beside reading and hashing the same rows."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from functools import partial
from typing import Any

import click

from homeroom import Connection
from homeroom_ferpa.log import table
from homeroom_ferpa.log.part import Log
from homeroom_ferpa.log.rows import AUDIT, JOURNAL, SOURCES
from homeroom_ferpa.log.sealing import AT_ONCE, Sealer
from homeroom_ferpa.log.table import Sealed
from homeroom_ferpa.log.tree import Tree, leaf_hash
from homeroom_ferpa.log.verify import verify

_PROOFS = 200


def measure_command(log: Log) -> click.Command:
    """`homeroom audit measure`, which the bench runs."""

    @click.command("measure", hidden=True, epilog="Example: homeroom audit measure")
    def measure() -> None:
        """Seal what waits and prove some of it; print the seconds as JSON. For the bench's own database."""
        click.echo(json.dumps(asyncio.run(_measure(log))))

    return measure


async def _measure(log: Log) -> dict[str, Any]:
    before = await log.services.store.read(table.newest)
    began = time.perf_counter()
    rows = await _read_and_hash(log, before)
    hashed = time.perf_counter()
    last = await Sealer(log.services, log.settings.origin).seal()
    sealed = time.perf_counter()
    proofs = await log.services.store.read(partial(_prove, last=last))
    proven = time.perf_counter()
    report = await verify(log.services.store.read)
    return {
        "rows": rows,
        "hash_seconds": hashed - began,
        "seal_seconds": sealed - hashed,
        "verify_seconds": time.perf_counter() - proven,
        "ok": report.ok and report.size == before.size + rows,
        **proofs,
    }


async def _read_and_hash(log: Log, after: Sealed) -> int:
    """Read every row that waits, in portions, and make the hash of each; gives how many there were."""
    rows = 0
    for of in (AUDIT, JOURNAL):
        position, source = after.last(of), SOURCES[of]
        while found := await log.services.store.read(partial(source.after, row_id=position, limit=AT_ONCE)):
            for row in found:
                leaf_hash(source.leaf(row))
            rows += len(found)
            position = found[-1][0]
    return rows


def _prove(connection: Connection, last: Sealed) -> dict[str, float]:
    """Milliseconds of a proof from the row's id on (the middle one, and the slowest), and the longest as base64."""
    dice = random.Random(1)  # noqa: S311 - which entries are proven is no secret
    ms, longest = [], 0
    for _ in range(_PROOFS):
        row_id = dice.randrange(1, last.last_journal + 1)
        began = time.perf_counter()
        index = table.place_of(connection, JOURNAL, row_id)
        tree: Tree = table.tree(connection, last.size)
        path = tree.inclusion(index) if index is not None else []
        ms.append((time.perf_counter() - began) * 1000)
        longest = max(longest, len(base64.b64encode(b"".join(path))))
    return {"proof_ms": sorted(ms)[_PROOFS // 2], "proof_ms_slowest": max(ms), "proof_base64": longest}
