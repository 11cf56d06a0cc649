"""Attendance reaches the SIS by itself: woken by the journal, from one process at a time, only where it is wanted."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from homeroom import jobs as jobs_module
from homeroom.attendance_out import AttendanceOut, retry, runner
from homeroom.attendance_out.queue import cursor_of
from homeroom.jobs import Jobs
from homeroom.live.bus import Bus
from homeroom.live.tail import Tail
from homeroom.records import SourceError
from homeroom.settings import Settings, SyncSettings
from homeroom.store import Store
from homeroom.store import models as m
from tests.services.classroom import EVERY_DAY
from tests.services.outgoing import SIS, Out, out
from tests.services.scripted_sis import ScriptedSis
from tests.services.sender import written
from tests.services.waiting import until

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Answered:
    """An answer of the plugin host."""

    value: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Plugins:
    """Stands where the plugin host does: one connector, on or off."""

    sis: ScriptedSis | None
    plugins: tuple[Any, ...] = ()

    def implementers(self, _hook: str) -> tuple[str, ...]:
        return ()

    async def ask(self, name: str, hook: str, **_arguments: Any) -> Answered | None:
        assert (name, hook) == (SIS, "sis_connector")
        return None if self.sis is None else Answered(self.sis)


@dataclass(slots=True)
class Home:
    """What the jobs need of a district."""

    store: Store
    host: Any  # stands where the plugin host does
    tail: Tail
    settings: Settings = field(default_factory=Settings)


@pytest.fixture
async def tail(store: Store) -> AsyncIterator[Tail]:
    """The journal, followed."""
    following = Tail(store, Bus(store))
    await following.start()
    yield following
    await following.stop()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits between looks."""
    monkeypatch.setattr(runner, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr(jobs_module, "_ROUND_SECONDS", 0.05)


def sender(one: Out, tail: Tail, *, holder: str = "here", delay: float = 0.0) -> AttendanceOut:
    return AttendanceOut(
        SIS,
        host=Plugins(one.sis),
        store=one.store,
        tail=tail,
        holder=holder,
        delay=timedelta(seconds=delay),
        weekdays=EVERY_DAY,
    )


def wanted(*names: str, **more: Any) -> Settings:
    return Settings(sync=SyncSettings(attendance_out=list(names), attendance_delay_seconds=0, **more))


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_journal_wakes_it_at_once(store: Store, tail: Tail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_IDLE_SECONDS", 3600.0)
    one = out(store)
    running = asyncio.create_task(sender(one, tail).run())
    session = one.room.open()
    for status in ("absent", "present"):
        await asyncio.to_thread(one.mark, session, one.students[0], status)
        await until(lambda status=status: list(one.sis.attendance.values()) == [status])  # type: ignore[misc]
    await end(running)


async def test_a_correction_at_once_costs_no_second_write(store: Store, tail: Tail) -> None:
    one = out(store)
    running = asyncio.create_task(sender(one, tail, delay=0.4).run())
    session = one.room.open()
    for status in ("absent", "tardy", "present"):
        await asyncio.to_thread(one.mark, session, one.students[0], status)
    await until(lambda: bool(one.sis.attendance))
    await end(running)
    assert list(one.sis.attendance.values()) == ["present"]
    assert one.sis.writes == 1


async def test_a_correction_made_while_others_are_sent_is_taken_in_between(store: Store, tail: Tail) -> None:
    one = out(store, students=250)
    session = one.room.open()
    one.room.close(session.id)
    begun = sender(one, tail)
    last = max(one.students)
    push = one.sis.push

    async def corrects_meanwhile(marks: Any) -> Any:
        if not one.sis.pushed:
            await asyncio.to_thread(one.correct, session, last, "excused")
        return await push(marks)

    one.sis.push = corrects_meanwhile  # type: ignore[method-assign]
    await begun.step()
    assert one.sis.writes == 250
    place = (f"sis-{one.students.index(last)}", "sis-class", session.school_day)
    assert one.sis.attendance[place] == "excused"


@pytest.mark.usefixtures("quick")
async def test_nothing_leaves_unless_the_district_named_the_connector(store: Store, tail: Tail) -> None:
    one = out(store, begun=False)
    session = one.room.open()
    home = Home(store, Plugins(one.sis), tail, Settings())
    jobs = Jobs(home)
    await jobs.start()
    await asyncio.to_thread(one.mark, session, one.students[0], "absent")
    await tail.catch_up()
    await jobs.stop()
    assert (one.sis.pushed, one.rows()) == ([], [])
    home.settings = wanted(SIS)
    jobs = Jobs(home)
    await jobs.start()
    await until(lambda: store.read_now(lambda c: c.get(m.Cursor, cursor_of(SIS))) is not None)
    await asyncio.to_thread(one.mark, session, one.students[1], "absent")
    await until(lambda: bool(one.sis.attendance))
    await jobs.stop()
    assert [mark.student for push in one.sis.pushed for mark in push] == ["sis-1"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("sis", "reason"),
    [(None, "it is switched off or gives no connector"), (ScriptedSis(), "it takes no attendance")],
)
async def test_a_connector_that_was_named_and_cannot_send_is_shown_red(
    sqlite_store: Store, sis: ScriptedSis | None, reason: str
) -> None:
    tail = Tail(sqlite_store, Bus(sqlite_store))
    await tail.start()
    jobs = Jobs(Home(sqlite_store, Plugins(sis), tail, wanted(SIS)))
    await jobs.start()
    await until(lambda: jobs.health() == {"ok": False, "detail": f"no attendance goes to acme: {reason}"})
    await jobs.stop()
    await tail.stop()


@pytest.mark.usefixtures("quick")
async def test_a_pause_is_shown_red_until_the_sis_answers(store: Store, tail: Tail) -> None:
    one = out(store)
    one.sis.before_push = [SourceError("The SIS is down for maintenance.", retry_after=3600)]
    jobs = Jobs(Home(store, Plugins(one.sis), tail, wanted(SIS)))
    await jobs.start()
    session = one.room.open()
    await asyncio.to_thread(one.mark, session, one.students[0], "absent")
    await until(lambda: not jobs.health()["ok"])
    assert jobs.health()["detail"] == "no attendance goes to acme: The SIS is down for maintenance."
    await asyncio.to_thread(one.mark, session, one.students[1], "absent")
    await until(lambda: one.status().waiting == 2)
    assert len(one.sis.pushed) == 1
    await store.write(lambda tx: retry(tx, SIS))
    await until(lambda: len(one.sis.attendance) == 2)
    await until(lambda: bool(jobs.health()["ok"]))
    await jobs.stop()


@pytest.mark.usefixtures("quick")
async def test_one_process_at_a_time_sends_and_another_goes_on_when_it_stops(store: Store, tail: Tail) -> None:
    one = out(store)
    other = Out(room=one.room, sis=ScriptedSis(attendance_out="api"), store=store)
    first, second = (Jobs(Home(store, Plugins(sis), tail, wanted(SIS))) for sis in (one.sis, other.sis))
    session = one.room.open()
    await first.start()
    await asyncio.to_thread(one.mark, session, one.students[0], "absent")
    await until(lambda: len(one.sis.attendance) == 1)
    await second.start()
    await asyncio.to_thread(one.mark, session, one.students[1], "absent")
    await until(lambda: len(one.sis.attendance) == 2)
    assert other.sis.pushed == []
    await first.stop()
    await asyncio.to_thread(one.mark, session, one.students[2], "absent")
    await until(lambda: len(other.sis.attendance) == 1)
    await second.stop()


@pytest.mark.parametrize("turns", range(6))
async def test_news_at_the_moment_at_which_it_is_to_stop_does_not_keep_it_going(
    store: Store, tail: Tail, turns: int
) -> None:
    one = out(store)
    begun = sender(one, tail)
    running = asyncio.create_task(begun.run())
    await until(lambda: begun._begun and bool(begun._news._waiters))
    begun._news.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    _, still = await asyncio.wait([running], timeout=5)
    assert not still


async def test_a_push_that_is_cut_short_by_the_server_stopping_goes_again_under_the_same_keys(
    store: Store, tail: Tail
) -> None:
    one = out(store)
    one.room.close(one.room.open().id)
    under_way, push = asyncio.Event(), one.sis.push

    async def hangs(marks: Any) -> Any:
        await push(marks)
        under_way.set()
        await asyncio.Event().wait()

    one.sis.push = hangs  # type: ignore[method-assign]
    running = asyncio.create_task(sender(one, tail).run())
    async with asyncio.timeout(10):
        await under_way.wait()
    await end(running)
    one.sis.push = push  # type: ignore[method-assign]
    await sender(one, tail).step()
    first, again = one.sis.pushed
    assert again == first
    assert one.sis.writes == 3
    assert one.status().sent == 3


async def test_killed_between_push_and_commit_it_sends_the_same_key_again_and_the_sis_has_one_record(
    store: Store, tmp_path: Path
) -> None:
    one = out(store)
    one.room.close(one.room.open().id)
    await one.follow()
    file = tmp_path / "sis.jsonl"

    def send(fate: str) -> int:
        command = [sys.executable, "-m", "tests.services.sender", store.url, str(file), fate]
        return subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode

    assert await asyncio.to_thread(send, "killed") == -signal.SIGKILL
    assert one.status().sent == 0
    assert await asyncio.to_thread(send, "lives") == 0
    lines = written(file)
    keys = [line["key"] for line in lines]
    assert keys[:3] == keys[3:]
    assert [line["fresh"] for line in lines] == [True] * 3 + [False] * 3
    assert [row.state for row in one.rows()] == ["sent"] * 3
