"""A run gives way to what others write, and to nobody else."""

from __future__ import annotations

import asyncio

import pytest

from homeroom.store import Store, Transaction
from homeroom.store.courtesy import Courtesy


def nothing(_tx: Transaction) -> None:
    """A unit of work that does nothing."""


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []

    async def rest(seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", rest)
    return taken


async def test_a_run_that_is_alone_never_rests(sqlite_store: Store, rests: list[float]) -> None:
    courtesy = Courtesy(sqlite_store)
    for _ in range(3):
        await sqlite_store.write(nothing)
        await courtesy.give_way()

    assert rests == []


async def test_after_a_step_in_which_others_wrote_it_rests_for_a_moment(
    sqlite_store: Store, rests: list[float]
) -> None:
    courtesy = Courtesy(sqlite_store)
    await asyncio.gather(*(sqlite_store.write(nothing) for _ in range(10)))
    await courtesy.give_way()
    await sqlite_store.write(nothing)
    await courtesy.give_way()

    assert len(rests) == 1
    assert 0 < rests[0] <= 0.25
