"""A database that loses connections, goes away and comes back: errors in plain words, and nothing acknowledged lost."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from homeroom.store import Store, Transaction, Unavailable, engine
from homeroom.store.cipher import Cipher
from homeroom.store.migrate import upgrade
from tests.services import postgres
from tests.services.rows import journaled, keys, put


@contextmanager
def administrator() -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(postgres.server_url(), autocommit=True) as connection:
        yield connection


def end_connections(url: str) -> int:
    """Kill every backend of one database; gives how many there were."""
    with administrator() as connection:
        text = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
        row = connection.execute(text, (urlsplit(url).path[1:],)).fetchone()
    assert row is not None
    return int(str(row[0]))


def allow_connections(url: str, *, allowed: bool) -> None:
    name = sql.Identifier(urlsplit(url).path[1:])
    with administrator() as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(name, sql.SQL(str(allowed))))


async def test_a_connection_lost_in_the_middle_of_a_batch_loses_nothing(postgres_store: Store) -> None:
    runs: list[str] = []

    def cut_off(tx: Transaction) -> bool:
        runs.append("run")
        fresh = put("cut-off")(tx)
        if len(runs) == 1:
            end_connections(postgres_store.url)
        return fresh

    tasks = [asyncio.create_task(postgres_store.write(unit)) for unit in (put("a"), cut_off, put("b"))]
    assert await asyncio.gather(*tasks) == [True, True, True]
    assert len(runs) == 2
    assert await postgres_store.read(keys) == ["a", "b", "cut-off"]
    assert sorted(await postgres_store.read(journaled)) == ["a", "b", "cut-off"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_connection_lost_around_commit_neither_loses_nor_doubles(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """After COMMIT the answer never arrives: the batch is run again and finds its rows there."""
    original: Callable[..., object] = postgres_store.database.execute_sql
    cuts: list[str] = []

    def execute(text: str, params: object = None) -> object:
        if text != "COMMIT" or cuts:
            return original(text, params)
        cuts.append(when)
        if when == "after":
            original(text, params)
        end_connections(postgres_store.url)
        return original("SELECT 1")  # the connection is gone, and this tells

    monkeypatch.setattr(postgres_store.database, "execute_sql", execute)
    await postgres_store.write(put("a"))
    monkeypatch.undo()
    assert cuts == [when]
    assert await postgres_store.read(keys) == ["a"]
    assert await postgres_store.read(journaled) == ["a"]


async def test_readers_get_over_a_lost_connection(postgres_store: Store) -> None:
    await postgres_store.write(put("a"))
    for _ in range(5):
        assert await postgres_store.read(keys) == ["a"]
        assert end_connections(postgres_store.url) > 0


async def test_a_database_that_is_away_is_unavailable_and_works_when_it_is_back(
    postgres_url: str, cipher: Cipher
) -> None:
    with Store(postgres_url, cipher=cipher, patience=0.2) as store:
        await store.write(put("before"))
        allow_connections(postgres_url, allowed=False)
        end_connections(postgres_url)
        with pytest.raises(Unavailable, match="cannot be reached"):
            await store.write(put("meanwhile"))
        assert store.failing
        with pytest.raises(Unavailable):
            await store.read(keys)
        allow_connections(postgres_url, allowed=True)
        assert await store.write(put("after"))
        assert store.failing is None
        assert await store.read(keys) == ["after", "before"]


async def test_what_is_written_while_it_is_away_for_a_moment_is_kept(postgres_url: str, cipher: Cipher) -> None:
    with Store(postgres_url, cipher=cipher, patience=30) as store:
        await store.write(put("before"))
        allow_connections(postgres_url, allowed=False)
        end_connections(postgres_url)
        waiting = [asyncio.create_task(store.write(put(f"meanwhile-{n}"))) for n in range(5)]
        await asyncio.wait(waiting, timeout=0.3)
        assert not any(task.done() for task in waiting)
        await asyncio.to_thread(allow_connections, postgres_url, allowed=True)
        assert await asyncio.gather(*waiting) == [True] * 5
        assert len(await store.read(keys)) == 6


async def test_a_file_that_is_away_is_unavailable_and_works_when_it_is_back(
    tmp_path: Path, sqlite_url: str, cipher: Cipher
) -> None:
    away = tmp_path / "away"
    with Store(f"sqlite:///{away / 'homeroom.db'}", cipher=cipher, patience=0.1) as store:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await store.write(put("a"))
        with pytest.raises(Unavailable):
            await store.read(keys)
        away.mkdir()
        shutil.copyfile(sqlite_url.removeprefix("sqlite:///"), away / "homeroom.db")
        assert await store.write(put("a"))
        assert await store.read(keys) == ["a"]


async def test_another_writer_is_waited_for_and_named_when_it_takes_too_long(
    sqlite_store: Store, sqlite_url: str
) -> None:
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    ending = threading.Timer(0.2, other.execute, ["COMMIT"])
    ending.start()
    assert await sqlite_store.write(put("a"))
    ending.join()
    sqlite_store.patience = 0
    await sqlite_store.write(lambda tx: tx.sql("PRAGMA busy_timeout = 50"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="busy"):
        await sqlite_store.write(put("b"))
    other.execute("COMMIT")
    other.close()
    assert await sqlite_store.write(put("b"))


async def test_a_disk_made_read_only_says_so(sqlite_store: Store) -> None:
    await sqlite_store.write(lambda tx: tx.sql("PRAGMA query_only = ON"))
    with pytest.raises(Unavailable, match="read-only"):
        await sqlite_store.write(put("a"))
    assert await sqlite_store.write(put("a"))  # on a new connection


async def test_a_frozen_process_does_not_keep_the_others_from_writing(postgres_store: Store) -> None:
    limits = await postgres_store.write(
        lambda tx: tx.sql(
            "SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')"
        )
    )
    assert limits == [("10s", "30s")]


async def test_two_writers_enter_the_journal_in_the_order_of_their_commits(postgres_url: str, cipher: Cipher) -> None:
    """A reader that only asks for `id > cursor` misses nothing, though two processes write."""
    url = postgres_url
    seen: list[int] = []
    done = threading.Event()

    def follow() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor, last_look = 0, False
            while not last_look:
                last_look = done.is_set()
                for (row,) in connection.execute("SELECT id FROM journal WHERE id > %s ORDER BY id", (cursor,)):
                    seen.append(row)
                    cursor = row

    reader = threading.Thread(target=follow)
    with Store(url, cipher=cipher, batch=8) as first, Store(url, cipher=cipher, batch=8) as second:
        reader.start()
        writes = [store.write(put(f"{n}-{name}")) for n in range(400) for name, store in (("1", first), ("2", second))]
        await asyncio.gather(*writes)
        done.set()
        await asyncio.to_thread(reader.join, 30)
        total = await first.read(lambda c: c.sql("SELECT count(*) FROM journal")[0][0])
    assert len(seen) == total == 800
    assert seen == sorted(seen)


async def test_a_migration_waits_for_nobody_that_only_writes(postgres_store: Store) -> None:
    await postgres_store.write(put("a"))
    assert await asyncio.to_thread(upgrade, postgres_store.url) == []
    assert engine.PATIENCE > 0
