"""The audit log: what is entered, how it is sealed, and that a verification finds it whole."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from quart import Quart, Response, request

from homeroom import Connection, Event, Identity
from homeroom.live.tail import events_after
from homeroom.store import Store, Unavailable, now_utc
from homeroom.store.cipher import Cipher
from homeroom.testing import FakeClock
from homeroom_ferpa.log import rows, table, verifier
from homeroom_ferpa.log.part import STARTED, STOPPED, off_intervals
from homeroom_ferpa.log.sealing import CLOCK_BACK
from homeroom_ferpa.log.settings import LogSettings
from homeroom_ferpa.log.tree import TreeDamaged, leaf_hash
from homeroom_ferpa.log.verify import verify
from tests.services.sealed import Sealing, a_read, fill, marks, sealing, with_tables


@pytest.fixture
def place(database_url: str, cipher: Cipher) -> Iterator[Sealing]:
    with Store(with_tables(database_url), cipher=cipher) as store:
        yield sealing(store)


@pytest.fixture
def one(sqlite_url: str, cipher: Cipher) -> Iterator[Sealing]:
    """The same on SQLite alone, for what does not differ."""
    with Store(with_tables(sqlite_url), cipher=cipher) as store:
        yield sealing(store)


# Entries


async def test_a_read_is_one_row_with_who_what_whose_why_and_on_what_basis(place: Sealing) -> None:
    await place.read_by("t-1", "u-2", "u-1", class_id="c-1")
    names = ", ".join(rows.SOURCES[rows.AUDIT].columns)
    (row,) = place.sql(f"SELECT {names} FROM ferpa_audit")  # noqa: S608 - constants
    entry = dict(zip(rows.SOURCES[rows.AUDIT].columns, row, strict=True))
    assert entry | {"id": 0, "key": "", "at": ""} == {
        "id": 0,
        "key": "",
        "at": "",
        "actor": "t-1",
        "kind": "read",
        "action": "attendance.read",
        "purpose": "education",
        "basis": "staff",
        "student_ids": '["u-1","u-2"]',
        "class_id": "c-1",
        "fields": '["status"]',
        "rows": 2,
        "request_id": "r-1",
        "recipient": None,
        "reason": None,
    }


async def test_a_hand_out_and_a_denial_are_told_apart(one: Sealing) -> None:
    await one.read_by("t-1", "u-1", recipient="twilio")
    await one.read_by("t-1", "u-9", allowed=False, reason="not-found")
    found = one.sql("SELECT kind, recipient, reason, student_ids FROM ferpa_audit ORDER BY id")
    assert found == [("hand_out", "twilio", None, '["u-1"]'), ("denied", None, "not-found", '["u-9"]')]


async def test_a_denial_of_somebody_unknown_has_no_actor(one: Sealing) -> None:
    request, outcome = a_read("x", "u-1", allowed=False)
    object.__setattr__(request, "identity", None)
    await one.log.enter(request, outcome)
    assert one.sql("SELECT actor FROM ferpa_audit") == [(None,)]
    object.__setattr__(request, "identity", Identity(subject="key-1", kind="service"))
    await one.log.enter(request, outcome)
    assert one.sql("SELECT actor FROM ferpa_audit WHERE id = 2") == [("key-1",)]


async def test_a_unit_that_runs_twice_enters_once(place: Sealing) -> None:
    entry = rows.entry_of(*a_read("t-1", "u-1"))
    for _ in range(2):
        place.store.write_now(lambda tx: rows.enter(tx, entry))
    assert place.sql("SELECT count(*) FROM ferpa_audit") == [(1,)]


async def test_what_cannot_be_entered_is_raised(one: Sealing) -> None:
    one.store.close()
    with pytest.raises(Unavailable):
        await one.read_by("t-1", "u-1")


# Sealing


async def test_a_log_of_reads_and_changes_holds(place: Sealing) -> None:
    await fill(place, rounds=20)
    report = await place.verify()
    assert report.problems == []
    entries = place.sql("SELECT (SELECT count(*) FROM journal) + (SELECT count(*) FROM ferpa_audit)")[0][0]
    assert (report.size, report.checkpoints, report.pending) == (entries, 20, 0)


async def test_an_empty_log_holds(place: Sealing) -> None:
    report = await place.verify()
    assert (report.ok, report.size, report.root) == (True, 0, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")


async def test_the_bytes_of_an_entry_are_those_that_are_documented(one: Sealing) -> None:
    await one.read_by("t-1", "u-ü")
    one.store.write_now(partial(marks, count=1))
    await one.seal()
    tile = one.store.read_now(lambda c: table.leaf_tiles(c, 0, 1))[0]
    for at, (word, name) in enumerate((("homeroom.audit.1", "ferpa_audit"), ("homeroom.journal.1", "journal"))):
        columns = ", ".join(rows.SOURCES[tile.ref(at)[0]].columns)
        row = one.sql(f"SELECT {columns} FROM {name}")[0]  # noqa: S608 - constants
        leaf = json.dumps([word, *row], ensure_ascii=False, separators=(",", ":")).encode()
        assert tile.hashes[at * 32 : at * 32 + 32] == leaf_hash(leaf)


async def test_checkpoints_are_signed_notes_that_count_and_tell_the_time(one: Sealing) -> None:
    await fill(one, rounds=3)
    keys = [verifier.parse_key(key.published) for key in one.store.read_now(table.keys)]
    for number, text in enumerate(one.notes(), start=1):
        note = verifier.parse_note(text)
        verifier.check_signed(note, keys)
        assert (note.origin, note.extension("number")) == ("district.example/log", str(number))
    assert text.splitlines()[:3] == ["district.example/log", str(note.size), base64.b64encode(note.root).decode()]


async def test_nothing_new_makes_no_checkpoint(one: Sealing) -> None:
    await fill(one, rounds=2)
    await one.seal()
    assert len(one.notes()) == 2


async def test_a_backlog_is_sealed_in_portions(place: Sealing) -> None:
    place.store.write_now(partial(marks, count=700))
    place.log.sealer._at_once = 300
    await place.seal()
    assert [row[0] for row in place.sql("SELECT size FROM ferpa_log_checkpoints ORDER BY number")] == [300, 600, 700]
    assert (await place.verify()).problems == []


async def test_many_processes_seal_at_once_and_the_log_is_one(place: Sealing) -> None:
    others = [sealing(place.store, clock=place.clock) for _ in range(4)]

    async def work(number: int, log: Sealing) -> None:
        for turn in range(6):
            await log.read_by(f"t-{number}", f"u-{turn}")
            await log.log.sealer.seal()

    await asyncio.gather(*(work(number, log) for number, log in enumerate(others)))
    report = await place.verify()
    assert report.problems == []
    assert report.size == 24
    assert len({key.published for key in place.store.read_now(table.keys)}) == 1


async def test_a_read_meanwhile_is_pending_and_no_problem(one: Sealing) -> None:
    await fill(one, rounds=2)
    await one.read_by("t-1", "u-1")
    report = await one.verify()
    assert (report.problems, report.pending) == ([], 1)


async def test_the_log_may_grow_while_it_is_verified(one: Sealing) -> None:
    await fill(one, rounds=12)
    before = one.log.sealer.last.size
    turns = 0

    async def read(query: object) -> object:
        nonlocal turns
        turns += 1
        await fill(one, rounds=1, seed=turns)
        return await one.services.store.read(query)  # type: ignore[arg-type]

    from homeroom_ferpa.log.verify import verify

    report = await verify(read)
    assert report.problems == []
    assert report.size > before
    assert report.size < one.log.sealer.last.size


async def test_events_are_sealed_when_consume_returns_and_twice_is_once(place: Sealing) -> None:
    place.store.write_now(partial(marks, count=5))
    events: list[Event] = place.store.read_now(lambda c: events_after(c, 0, 10))
    for _ in range(2):
        assert await place.log.consume(events) == events[-1].id
    assert place.log.sealer.last.last_journal >= events[-1].id
    assert place.sql("SELECT count(*) FROM ferpa_log_checkpoints") == [(1,)]
    assert (await place.verify()).size == 5


async def test_while_a_process_seals_every_second_consume_waits_for_its_turn(one: Sealing) -> None:
    await one.log.start()
    one.store.write_now(partial(marks, count=20))
    events = one.store.read_now(lambda c: events_after(c, 0, 100))
    for event in events:  # as they would trickle in
        await one.log.consume([event])
    await one.log.stop()
    assert len(one.notes()) <= 4
    report = await one.verify()
    assert (report.problems, report.pending) == ([], 0)


async def test_a_clock_that_runs_backwards_is_recorded_and_nothing_is_lost(place: Sealing) -> None:
    await fill(place, rounds=2)
    before = place.log.sealer.last.at
    place.clock.move(-7200)
    await fill(place, rounds=3, seed=2)
    assert {row[0] for row in place.sql("SELECT at FROM ferpa_log_checkpoints WHERE number > 2")} == {before}
    assert place.sql("SELECT count(*) FROM journal WHERE kind = ?", CLOCK_BACK) == [(1,)]
    report = await place.verify()
    assert report.problems == []
    health = await place.log.health()
    assert not health.ok
    assert "clock is behind" in health.findings[0].problem
    place.clock.move(9000)
    await fill(place, rounds=1, seed=3)
    assert place.log.sealer.last.at > before
    verifier.check_file("\n".join(place.notes()), [verifier.parse_key(place.store.read_now(table.keys)[0].published)])


async def test_a_damaged_log_is_not_sealed_over(one: Sealing) -> None:
    await fill(one, rounds=3)
    one.sql("DELETE FROM ferpa_log_checkpoints WHERE number = 3")
    await one.read_by("t-1", "u-1")
    with pytest.raises(TreeDamaged):
        await one.seal()
    await one.log._seal()
    health = await one.log.health()
    assert not health.ok
    assert health.findings[0].fix == "Run: homeroom audit verify"


async def test_a_key_lives_as_long_as_the_log_and_is_handed_on_by_itself(place: Sealing) -> None:
    await fill(place, rounds=2)
    await place.log.sealer.rotate()
    await fill(place, rounds=2, seed=2)
    first, second = place.store.read_now(table.keys)
    assert (first.since, second.since) == (1, 3)
    change = verifier.parse_note(place.notes()[2])
    assert change.extension("next-key") == second.published
    assert len(change.signatures) == 2
    assert (await place.verify(*place.notes())).problems == []
    verifier.check_file("\n".join(place.notes()), [verifier.parse_key(first.published)])


async def test_rows_let_go_by_the_book_are_counted_and_no_problem(place: Sealing) -> None:
    await fill(place, rounds=4)
    assert place.store.write_now(lambda tx: rows.purge(tx, [1, 2, 5, 10_000])) == 3
    await place.seal()
    report = await place.verify()
    assert (report.problems, report.purged) == ([], 3)


async def test_a_purge_that_is_not_sealed_yet_is_told_and_is_no_tampering(place: Sealing) -> None:
    await fill(place, rounds=3)
    place.store.write_now(lambda tx: rows.purge(tx, [1, 2]))
    report = await place.verify()
    assert (report.problems, report.purged, report.purged_unsealed, report.pending) == ([], 2, 2, 1)
    place.sql("DELETE FROM ferpa_audit WHERE id = 5")
    (problem,) = (await place.verify()).problems
    assert "audit row 5 is gone" in problem
    await place.seal()
    report = await place.verify()
    assert (len(report.problems), report.purged, report.purged_unsealed, report.pending) == (1, 2, 0, 0)


async def test_a_purge_while_a_log_is_looked_at_is_no_tampering(one: Sealing) -> None:
    await fill(one, rounds=3)
    looks = 0

    async def read(query: Callable[[Connection], Any]) -> Any:
        nonlocal looks
        looks += 1
        if looks == 2:  # it is known where the log ends, and no row was looked at yet
            one.store.write_now(lambda tx: rows.purge(tx, [3]))
            await one.seal()
        return await one.store.read(query)

    report = await verify(read)
    assert (report.problems, report.purged, report.purged_unsealed) == ([], 1, 1)
    assert (await one.verify()).purged_unsealed == 0


@pytest.mark.parametrize("data", ["", "[]", '"3"', '{"entries": null}', '{"entries": [[3], {}, "3"]}'])
async def test_a_pending_row_that_no_purge_has_written_lets_nothing_go(one: Sealing, data: str) -> None:
    await fill(one, rounds=2)
    one.store.write_now(lambda tx: rows.purge(tx, [3]))
    one.sql("UPDATE journal SET data = ? WHERE kind = ?", data, rows.PURGED)
    (problem,) = (await one.verify()).problems
    assert "audit row 3 is gone" in problem


async def test_a_proof_in_a_large_log_is_short_and_quick(one: Sealing) -> None:
    at_once = 50_000
    one.log.sealer._at_once = at_once
    for _ in range(2):
        one.store.write_now(partial(marks, count=at_once))
    await one.seal()
    size = one.log.sealer.last.size
    assert size == 2 * at_once
    best = 1.0
    for row_id in (1, 7, 40_001, 65_536, 65_537, 99_999, size):

        def prove(connection: object, row_id: int = row_id) -> tuple[int, list[bytes], bytes]:
            tree = table.tree(connection, size)  # type: ignore[arg-type]
            index = table.place_of(connection, rows.JOURNAL, row_id)  # type: ignore[arg-type]
            assert index is not None
            return index, tree.inclusion(index), tree.root()

        began = time.perf_counter()
        index, path, root = one.store.read_now(prove)
        best = min(best, time.perf_counter() - began)
        assert index == row_id - 1
        row = one.store.read_now(lambda c, row_id=row_id: rows.SOURCES[rows.JOURNAL].after(c, row_id - 1, 1))[0]  # type: ignore[misc]
        verifier.check_inclusion(leaf_hash(rows.SOURCES[rows.JOURNAL].leaf(row)), index, size, path, root)
        assert len(base64.b64encode(b"".join(path))) < 1024
    assert best < 0.05


# Being on and off


async def test_start_and_stop_are_in_the_log_and_a_gap_between_is_told(place: Sealing) -> None:
    await place.log.start()
    await place.log.stop()
    (stopped,) = place.sql("SELECT at FROM journal WHERE kind = ?", STOPPED)
    again = sealing(place.store)
    await again.log.start()
    await again.log.stop()
    started = place.sql("SELECT at, data FROM journal WHERE kind = ? ORDER BY id", STARTED)
    assert json.loads(started[0][1])["off_since"] is None
    ((since, until),) = place.store.read_now(off_intervals)
    assert (since, until) == (stopped[0], started[1][0])
    report = await place.verify()
    assert (report.problems, report.pending) == ([], 0)


async def test_a_process_that_was_killed_is_told_and_one_that_runs_beside_leaves_no_gap(place: Sealing) -> None:
    for name, age, stopped in (("killed", timedelta(minutes=5), 0),):
        seen = rows.text_of(now_utc() - age)
        place.sql("INSERT INTO ferpa_log_processes (process, seen_at, stopped) VALUES (?, ?, ?)", name, seen, stopped)
    await place.log.start()
    other = sealing(place.store)
    await other.log.start()
    await other.log.stop()
    await place.log.stop()
    (first, second) = (
        json.loads(row[0]) for row in place.sql("SELECT data FROM journal WHERE kind = ? ORDER BY id", STARTED)
    )
    assert (first["off_since"], first["ended_without_stop"]) == (seen, ["killed"])
    assert (second["off_since"], second["ended_without_stop"]) == (None, [])


async def test_changes_made_while_the_plugin_was_off_are_sealed_when_it_is_on_again(place: Sealing) -> None:
    await fill(place, rounds=2)
    place.store.write_now(partial(marks, count=300))  # nobody seals
    again = sealing(place.store, clock=FakeClock(place.clock.now() + timedelta(days=3)))
    await again.seal()
    report = await again.verify()
    assert (report.problems, report.pending) == ([], 0)


async def test_sealing_goes_on_every_second_by_itself(one: Sealing) -> None:
    await one.log.start()
    await one.read_by("t-1", "u-1")
    async with asyncio.timeout(5):
        while one.log.sealer.last.last_audit < 1:
            await one.log._turn.wait()
    await one.log.stop()


async def test_health_tells_the_last_checkpoint_and_what_waits(one: Sealing) -> None:
    await fill(one, rounds=2)
    health = await one.log.health()
    assert health.ok
    assert health.detail.startswith("checkpoint 2 of 2026-09-01T14:00:02")
    assert "no witness is set" in health.detail
    await one.read_by("t-1", "u-1")
    one.clock.move((now_utc() - one.clock.now()).total_seconds() + 60)
    late = await one.log.health()
    assert not late.ok
    assert "1 entries wait" in late.findings[0].problem


# Witnesses


async def test_the_witness_file_gets_every_checkpoint_once_also_from_two_processes(
    one: Sealing, tmp_path: Path
) -> None:
    path = tmp_path / "witness.txt"
    logs = [sealing(one.store, clock=one.clock, witness_file=path) for _ in range(2)]
    for turn in range(10):
        await logs[turn % 2].read_by("t-1", "u-1")
        await asyncio.gather(*(log.log._seal() for log in logs))
    kept = list(verifier.notes(path.read_text(encoding="utf-8").split("\n")))
    assert kept == one.notes()
    assert (await one.verify(*kept)).problems == []
    assert path.stat().st_mode & 0o077 == 0
    for log in logs:
        log.log.witness.close()


async def test_a_witness_file_that_cannot_be_written_is_told_and_made_up_for(one: Sealing, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    log = sealing(one.store, witness_file=folder / "witness.txt")
    for _ in range(3):
        await log.read_by("t-1", "u-1")
        await log.log._seal()
    health = await log.log.health()
    assert not health.ok
    assert "it cannot be written: FileNotFoundError" in health.findings[0].problem
    folder.mkdir()
    await log.log._seal()
    assert (await log.log.health()).ok
    assert (folder / "witness.txt").read_text(encoding="utf-8") == one.notes()[-1] + "\n"
    log.log.witness.close()


async def test_a_log_set_back_is_found_by_its_own_witness_file(one: Sealing, tmp_path: Path) -> None:
    path = tmp_path / "witness.txt"
    log = sealing(one.store, witness_file=path)
    for _ in range(3):
        await log.read_by("t-1", "u-1")
        await log.log._seal()
    kept = path.read_bytes()
    for name in ("ferpa_log_tiles", "ferpa_log_checkpoints", "ferpa_audit"):
        one.sql(f"DELETE FROM {name}")  # noqa: S608 - constants
    await log.log._seal()
    health = await log.log.health()
    assert "the log was rewritten, or a backup was restored" in health.findings[0].problem
    assert path.read_bytes() == kept
    log.log.witness.close()


async def test_the_newest_checkpoint_is_posted_and_a_witness_that_is_down_is_told(one: Sealing) -> None:
    got: list[str] = []
    down = [True]
    app = Quart("witness")

    @app.post("/checkpoints")
    async def take() -> Response:
        if down:
            return Response("no", 503)
        got.append(str(await request.get_data(as_text=True)))
        return Response("", 204)

    log = sealing(one.store, http=app, witness_url="https://witness.example/checkpoints", witness_seconds=1)
    await log.read_by("t-1", "u-1")
    await log.log._seal(now=True)
    assert "it answers HTTP 503" in (await log.log.health()).findings[0].problem
    down.clear()
    await log.log._seal(now=True)
    await log.log._seal(now=True)
    assert got == one.notes()
    assert (await log.log.health()).ok
    log.log.witness.close()


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "x" * 201, "a\nb"])
def test_an_origin_that_would_break_a_note_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError):
        LogSettings(origin=origin)
