"""The writer: one commit for many, each failure alone, nothing acknowledged that is not there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from homeroom.store import ORIGIN, Busy, Origin, Refused, Store, StoreError, Transaction, Unavailable, conflict
from homeroom.store.cipher import Cipher
from homeroom.store.models import Journal, KeyValue
from tests.services.rows import journaled, keys, put


class Held:
    """Keeps the writer busy with one unit until released, so that everything submitted meanwhile is one batch."""

    def __init__(self, store: Store) -> None:
        self._began, self._go = threading.Event(), threading.Event()
        self._task = asyncio.get_running_loop().create_task(store.write(self._unit))

    def _unit(self, _tx: Transaction) -> None:
        self._began.set()
        self._go.wait(10)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._began.wait, 10)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._go.set()
        await self._task


def statements(store: Store) -> list[str]:
    """The list to which every further statement of the store is added."""
    seen: list[str] = []
    store.database.query_hooks.append(lambda event: seen.append(str(event.sql)))
    return seen


async def queued(store: Store, count: int) -> None:
    """Let the tasks go on until `count` units wait."""
    while store.waiting < count:  # noqa: ASYNC110 - a queue between threads has no asyncio event
        await asyncio.sleep(0)


async def together(store: Store, units: list[Callable[[Transaction], Any]]) -> list[Any]:
    """The answers of `units`, run as one batch."""
    async with Held(store):
        tasks = [asyncio.create_task(store.write(unit)) for unit in units]
        await queued(store, len(units))
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_many_units_share_one_commit(store: Store) -> None:
    seen = statements(store)
    answers = await together(store, [put(f"{n:03}") for n in range(50)])
    assert answers == [True] * 50
    assert await store.read(keys) == [f"{n:03}" for n in range(50)]
    assert seen.count("COMMIT") == 2  # the held unit's and the batch's
    assert not [text for text in seen if text.startswith("SAVEPOINT")]


async def test_a_unit_that_fails_fails_alone(store: Store) -> None:
    def broken(tx: Transaction) -> None:
        put("broken")(tx)
        raise conflict("no", "Not like this.")

    def twice(tx: Transaction) -> None:
        tx.insert(KeyValue, plugin="test", key="a", value="again")

    answers = await together(store, [put("a"), broken, twice, put("b")])
    assert answers[0] is True
    assert answers[3] is True
    assert isinstance(answers[1], Refused)
    assert type(answers[2]).__name__ == "IntegrityError"
    assert await store.read(keys) == ["a", "b"]
    assert await store.read(journaled) == ["a", "b"]


async def test_a_refusal_before_writing_costs_no_second_run(store: Store) -> None:
    runs: list[str] = []

    def refuses(_tx: Transaction) -> None:
        runs.append("refused")
        raise conflict("no", "Not like this.")

    def counts(tx: Transaction) -> bool:
        runs.append("counted")
        return put("a")(tx)

    answers = await together(store, [refuses, counts])
    assert isinstance(answers[0], Refused)
    assert answers[1] is True
    assert runs == ["refused", "counted"]


async def test_a_journal_row_that_the_database_refuses_fails_its_unit_alone(postgres_store: Store) -> None:
    def bad(tx: Transaction) -> None:
        tx.journal("test.bad", subject_id="\x00")  # PostgreSQL keeps no NUL in text

    answers = await together(postgres_store, [put("a"), bad, put("b")])
    assert answers[0] is answers[2] is True
    assert isinstance(answers[1], Exception)
    assert await postgres_store.read(journaled) == ["a", "b"]


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt(), StopIteration(), GeneratorExit()])
async def test_a_unit_that_asks_the_process_to_end_gets_an_error(sqlite_store: Store, ending: BaseException) -> None:
    def ends(_tx: Transaction) -> None:
        raise ending

    with pytest.raises(StoreError, match=type(ending).__name__):
        await sqlite_store.write(ends)
    with pytest.raises(StoreError, match=type(ending).__name__):
        await sqlite_store.read(ends)  # type: ignore[arg-type]
    assert await sqlite_store.write(put("after"))


async def test_a_unit_that_swallows_an_error_of_the_database_is_undone(store: Store) -> None:
    def swallows(tx: Transaction) -> str:
        try:
            tx.write_sql("INSERT INTO no_such_table VALUES (1)")
        except Exception:  # noqa: BLE001 - as careless code does
            return "swallowed"
        return "done"

    answers = await together(store, [put("a"), swallows, put("b")])
    assert answers[0] is answers[2] is True
    assert await store.read(keys) == ["a", "b"]


async def test_cancelled_callers_lose_nothing_that_was_acknowledged(store: Store) -> None:
    """The scenario in which peewee's own asyncio acknowledged writes that were later rolled back."""
    acknowledged: list[str] = []

    async def keep(key: str) -> None:
        if await store.write(put(key)):
            acknowledged.append(key)

    for round_ in range(20):
        async with Held(store):
            doomed = [asyncio.create_task(keep(f"doomed-{round_}-{n}")) for n in range(5)]
            later = [asyncio.create_task(keep(f"later-{round_}-{n}")) for n in range(5)]
            await queued(store, 10)
            for task in doomed:
                task.cancel()
        await asyncio.gather(*doomed, *later, return_exceptions=True)
    assert len([key for key in acknowledged if key.startswith("later")]) == 100
    kept = set(await store.read(keys))
    assert set(acknowledged) <= kept
    assert len(kept) == 200  # the units of those who left were done all the same, whole


async def test_units_run_in_the_order_of_their_submission_and_so_does_the_journal(store: Store) -> None:
    await together(store, [put(f"{n:04}") for n in range(1200)])
    assert await store.read(journaled) == [f"{n:04}" for n in range(1200)]


async def test_the_journal_names_on_whose_behalf(store: Store) -> None:
    token = ORIGIN.set(Origin(actor_id="someone", purpose="education", basis="99.31", request_id="r1"))
    await store.write(put("a"))
    ORIGIN.reset(token)
    await store.write(put("b"))
    rows = await store.read(lambda c: c.all(Journal.select().order_by(Journal.id)))
    assert [(row.actor_id, row.purpose, row.basis, row.request_id) for row in rows] == [
        ("someone", "education", "99.31", "r1"),
        (None, None, None, None),
    ]


async def test_too_many_waiting_is_busy_and_what_waits_is_done(sqlite_url: str, cipher: Cipher) -> None:
    with Store(sqlite_url, cipher=cipher, limit=3) as store:
        async with Held(store):
            waiting = [asyncio.create_task(store.write(put(str(n)))) for n in range(3)]
            await queued(store, 3)
            with pytest.raises(Busy):
                await store.write(put("over"))
        await asyncio.gather(*waiting)
        assert await store.read(keys) == ["0", "1", "2"]


def test_closing_finishes_what_was_queued_and_refuses_the_rest(sqlite_url: str, cipher: Cipher) -> None:
    store = Store(sqlite_url, cipher=cipher).open()
    results: list[bool] = []
    threads = [threading.Thread(target=lambda n=n: results.append(store.write_now(put(str(n))))) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    store.close()
    assert results == [True] * 5
    for late in (lambda: store.write_now(put("late")), lambda: store.read_now(keys)):
        with pytest.raises(Unavailable, match="stopping"):
            late()


def test_the_cli_writes_and_reads_without_an_event_loop(store: Store) -> None:
    assert store.write_now(put("a")) is True
    assert store.write_now(put("a")) is False
    assert store.read_now(keys) == ["a"]


async def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(Exception, match=r"read-?only"):
        await store.read(lambda c: c.sql("INSERT INTO key_values (plugin, key, value) VALUES ('test', 'x', '')"))
    assert await store.read(keys) == []


async def test_a_read_that_fails_leaves_the_reader_usable(store: Store) -> None:
    for _ in range(4):
        with pytest.raises(Exception, match="no_such_table"):
            await store.read(lambda c: c.sql("SELECT 1 FROM no_such_table"))
        with pytest.raises(ZeroDivisionError):
            await store.read(lambda _c: 1 / 0)
    assert await store.read(lambda c: c.sql("SELECT 1")) == [(1,)]


async def test_a_snapshot_does_not_see_what_is_committed_meanwhile(store: Store) -> None:
    began, go = threading.Event(), threading.Event()

    def looks_twice(connection: Any) -> tuple[list[str], list[str]]:
        with connection.snapshot():
            first = keys(connection)
            began.set()
            go.wait(10)
            return first, keys(connection)

    await store.write(put("before"))
    looking = asyncio.create_task(store.read(looks_twice))
    await asyncio.to_thread(began.wait, 10)
    await store.write(put("meanwhile"))
    go.set()
    assert await looking == (["before"], ["before"])
    assert await store.read(keys) == ["before", "meanwhile"]


async def test_listeners_hear_of_commits_that_entered_the_journal_and_cannot_break_the_writer(store: Store) -> None:
    heard: list[str] = []

    def faulty() -> None:
        heard.append("faulty")
        raise RuntimeError

    store.committed += [faulty, lambda: heard.append("heard")]
    await store.write(put("a"))
    await store.write(lambda _tx: None)
    await store.write(put("b"))
    await asyncio.to_thread(store.close)
    assert heard == ["faulty", "heard"] * 2


async def test_a_loop_that_ended_meanwhile_does_not_stop_the_writer(sqlite_store: Store) -> None:
    def in_a_short_loop() -> None:
        async def leave() -> None:
            task = asyncio.create_task(sqlite_store.write(put("left")))
            await queued(sqlite_store, 1)
            task.cancel()

        asyncio.run(leave())

    async with Held(sqlite_store):
        await asyncio.to_thread(in_a_short_loop)
    assert await sqlite_store.write(put("after"))
    assert await sqlite_store.read(keys) == ["after", "left"]


async def test_a_full_disk_says_so_and_loses_nothing(sqlite_store: Store, tmp_path: Path) -> None:
    assert await sqlite_store.write(put("before"))

    def limit(tx: Transaction) -> None:
        pages = tx.sql("PRAGMA page_count")[0][0]
        tx.sql(f"PRAGMA max_page_count = {pages + 4}")

    await sqlite_store.write(limit)
    kept = ["before"]
    with pytest.raises(Unavailable, match="disk is full"):  # noqa: PT012 - it fills up at some point
        for n in range(50):
            await sqlite_store.write(put(f"fill-{n:02}", "x" * 1500))
            kept.append(f"fill-{n:02}")
    assert sqlite_store.failing == "the database's disk is full"
    assert await sqlite_store.read(keys) == kept
    # The writer let go of its connection, and with it of the limit: as when somebody has made room.
    assert await sqlite_store.write(put("later", "x" * 1500))
    assert sqlite_store.failing is None
    assert (tmp_path / "homeroom.db").stat().st_size > 0
