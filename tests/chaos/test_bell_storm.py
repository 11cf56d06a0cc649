"""The first bell, and everything goes wrong at once: what was answered stands, and what must happen once happens once.

A seed decides everything: the database, the faults, their order and their length. To run one again:

    HOMEROOM_CHAOS_SEED=17 uv run pytest -n0 tests/chaos/test_bell_storm.py -k one_more
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Coroutine
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest
import time_machine

from homeroom.settings import Settings
from homeroom.store import Store
from tests.services import faults, run
from tests.services.aftermath import Aftermath, Seen, closed
from tests.services.deployment import Deployment, deployed
from tests.services.faults import Fault, Faults
from tests.services.storm import Board, Storm
from tests.services.waiting import until
from tests.services.weather import MONDAY

AGAIN = ("code-expired", "code-wrong", "too-many-attempts")
BOARDS = 4
SERIES = 11  # of the seeds: one in which ten of them hold every kind of fault
SHORT, LONG = range(10), range(10, 100)


def _kind(seed: int) -> str:
    return "sqlite" if seed % 3 == 2 else "postgresql"


def _plan(seed: int) -> list[Fault]:
    return faults.schedule(Random(f"bell {SERIES} {seed}"), _kind(seed))


async def _blow(there: Deployment, plan: list[Fault]) -> Seen:
    """The storm with its faults; when this returns everything is whole again and every roll is closed."""
    tokens = there.bell.tokens
    storms = [
        Storm(
            url=there.url,
            tokens={student: tokens[student] for student in room.coming},
            teacher=tokens[room.teacher],
            session=room.session_id,
            at_once=1,
            again=AGAIN,
        )
        for room in there.bell.rooms
    ]
    boards = [
        Board(url=there.url, token=tokens[room.teacher], class_id=room.class_id) for room in there.bell.rooms[:BOARDS]
    ]
    seen = Seen(storms=storms, boards=boards)
    async with _beside(*(board.watch() for board in boards), _read(there, seen)):
        await until(lambda: all(board.hellos for board in boards), 120)
        strikes = asyncio.create_task(_strike(there, plan, storms))
        await asyncio.gather(*(_first_hour(there, storm) for storm in storms), strikes)
        with contextlib.suppress(TimeoutError):  # then the comparison says who is missing
            await until(lambda: _all_shown(there, boards), 120)
    return seen


async def _first_hour(there: Deployment, storm: Storm) -> None:
    """One class: its students check in, then its roll is closed."""
    await storm.blow()
    await closed(there.url, storm.teacher, storm.session)


async def _strike(there: Deployment, plan: list[Fault], storms: list[Storm]) -> None:
    """One fault after the other, each when so many more have checked in or the last of them has."""
    everybody = sum(len(storm.tokens) for storm in storms)
    making = Faults(there)
    for number, fault in enumerate(plan):
        due = (number + 1) * everybody // (len(plan) + 2)
        await until(lambda many=due: sum(storm.checked_in for storm in storms) >= many, 180)  # type: ignore[misc]
        await making.strike(fault)


async def _read(there: Deployment, seen: Seen) -> None:
    """A teacher who looks at the roll again and again; what is answered is kept."""
    room = there.bell.rooms[0]
    headers = {"Authorization": f"Bearer {there.bell.tokens[room.teacher]}"}
    path = f"/api/v1/sessions/{room.session_id}/attendance"
    async with httpx2.AsyncClient(base_url=there.url, timeout=5, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx2.TransportError):
                answer = await client.get(path, headers=headers)
                if answer.status_code == 200 and answer.json()["items"]:
                    seen.reads.append(answer.headers["X-Request-Id"])
            await asyncio.sleep(0.1)


def _all_shown(there: Deployment, boards: list[Board]) -> bool:
    sizes = {room.class_id: len(room.students) for room in there.bell.rooms}
    return all(len(board.seen) >= sizes[board.class_id] for board in boards)


@contextlib.asynccontextmanager
async def _beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _storm(seed: int, place: Path) -> str:
    """One seed from beginning to end; gives a line that says what happened."""
    kind = _kind(seed)
    plan = _plan(seed)
    said = f"chaos seed {seed} on {kind}: {', '.join(map(str, plan))}"
    began = time.monotonic()
    since = time.time()
    try:
        with time_machine.travel(MONDAY, tick=True):
            async with deployed(kind, place, since) as there:
                marks = [time.monotonic()]
                seen = await _blow(there, plan)
                marks.append(time.monotonic())
                with Store(there.database_url, cipher=Settings().cipher()) as store:
                    after = Aftermath(there, store, seen)
                    await after.settle()
                    marks.append(time.monotonic())
                    for daemon in reversed(there.daemons):
                        assert await asyncio.to_thread(daemon.stop) == 0, daemon.log()[-3000:]
                    await after.check()
    except BaseException as exc:
        again = f"HOMEROOM_CHAOS_SEED={seed} uv run pytest -n0 tests/chaos/test_bell_storm.py -k one_more"
        exc.add_note(f"{said}\nAgain: {again}")
        raise
    lost = sum(storm.lost for storm in seen.storms)
    took = " + ".join(f"{end - begin:.0f}" for begin, end in pairwise([began, *marks, time.monotonic()]))
    return f"{said}; {lost} answers lost, all held; {took} s"


async def _recorded(request: pytest.FixtureRequest, seed: int, place: Path) -> None:
    try:
        line = await _storm(seed, place)
    except run.NotHere as exc:
        pytest.skip(str(exc))
    request.node.user_properties.append(("figure", line))


def test_the_short_run_knows_every_kind_of_fault() -> None:
    for kind, kinds in faults.KINDS.items():
        assert {fault.kind for seed in SHORT if _kind(seed) == kind for fault in _plan(seed)} == set(kinds)


@pytest.mark.parametrize("seed", SHORT)
async def test_a_bell_storm_with_faults_holds_everything(
    request: pytest.FixtureRequest, tmp_path: Path, seed: int
) -> None:
    await _recorded(request, seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", LONG)
async def test_many_more_do_too(request: pytest.FixtureRequest, tmp_path: Path, seed: int) -> None:
    await _recorded(request, seed, tmp_path)


@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("HOMEROOM_CHAOS_SEED", "").split(",") if seed])
async def test_one_more(request: pytest.FixtureRequest, tmp_path: Path, seed: int) -> None:
    await _recorded(request, seed, tmp_path)
