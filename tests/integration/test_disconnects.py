"""Clients that hang up in mid-request neither tear a change nor cost anybody else an acknowledged one.

This is the scenario in which peewee's asyncio lost acknowledged writes (a task cancelled while its transaction waits
for the lock poisons the pooled connection), over real sockets.
"""

from __future__ import annotations

import asyncio
import json
import random
from urllib.parse import urlsplit

import pytest

from homeroom.attendance.statistics import recount
from homeroom.store import Connection
from homeroom.store import models as m
from tests.services.server import serving, settings_for
from tests.services.world import build_in, identity

ROUNDS = 150


def request(path: str, token: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: homeroom\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def post(url: str, data: bytes, *, hang_up_after: float | None = None) -> tuple[int, dict[str, object]] | None:
    """The answer to one request on a connection of its own; None for one that hung up before it came."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(data)
    try:
        if hang_up_after is not None:
            await asyncio.sleep(hang_up_after)  # the point: anywhere in the request's life
            writer.transport.abort()
            return None
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return int(head.split()[1]), json.loads(await reader.readexactly(length))
    finally:
        writer.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_was_acknowledged_is_there_whoever_hangs_up(database_url: str, seed: int) -> None:
    dice = random.Random(seed)
    async with serving(settings_for(database_url)) as server:
        build_in(server.district.store)
        admin = await server.token("admin")
        assert identity("admin").has("district_admin")

        async def one(number: int) -> str | None:
            data = request("/api/v1/classes", admin, {"title": f"Class {number}", "school_id": "north"})
            wait = dice.uniform(0, 0.03) if number % 2 else None
            answer = await post(server.url, data, hang_up_after=wait)
            if answer is None:
                return None
            status, body = answer
            assert status == 201, body
            return str(body["id"])

        answered = [made for made in await asyncio.gather(*(one(n) for n in range(ROUNDS))) if made is not None]
        assert len(answered) == ROUNDS // 2

        def kept(connection: Connection) -> tuple[set[str], list[str]]:
            ids = set(connection.values(m.Class.select(m.Class.id)))
            entered = connection.values(m.Journal.select(m.Journal.class_id).where(m.Journal.kind == "class.created"))
            return ids, entered

        ids, entered = await server.district.store.read(kept)
        assert set(answered) <= ids
        made = ids - {"algebra", "biology", "chemistry", "drama"}
        assert sorted(entered) == sorted(made), "a change without its journal row, or a row without its change"
        assert await server.district.store.read(recount) is not None
        assert server.district.store.waiting == 0


async def test_a_connection_ends_with_its_client(sqlite_url: str) -> None:
    """A phone that has gone leaves nothing behind, though the server would keep a quiet one for a minute."""
    async with serving(settings_for(sqlite_url)) as server:
        kept = await _served(server.url)  # whatever else runs, runs from here on
        before = asyncio.all_tasks()
        (await _served(server.url)).close()
        async with asyncio.timeout(10):
            while asyncio.all_tasks() - before:  # noqa: ASYNC110 - nothing tells of the end of a task of Hypercorn
                await asyncio.sleep(0)
        kept.close()
        await kept.wait_closed()


async def _served(url: str) -> asyncio.StreamWriter:
    """A connection on which one request was answered."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: homeroom\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    return writer
