"""Getting the next thing while the last one is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from homeroom import closing, one_ahead


class Lost(Exception):
    """The source cannot be read."""


class Source:
    """Numbers up to `count`; notes which were asked for, and whether it was closed."""

    def __init__(self, count: int, *, fails_at: int | None = None) -> None:
        self.asked: list[int] = []
        self._asked_for = [asyncio.Event() for _ in range(count + 1)]
        self.closed = False
        self._count = count
        self._fails_at = fails_at

    async def was_asked_for(self, number: int) -> None:
        """Come back once it was."""
        async with asyncio.timeout(10):
            await self._asked_for[number].wait()

    async def numbers(self) -> AsyncIterator[int]:
        """Each number, as soon as it is asked for."""
        try:
            for number in range(self._count):
                self.asked.append(number)
                self._asked_for[number].set()
                if number == self._fails_at:
                    raise Lost
                yield number
        finally:
            self.closed = True


async def test_each_is_given_while_the_next_is_got() -> None:
    source = Source(3)
    given = []
    async for number in one_ahead(source.numbers()):
        given.append(number)
        if number < 2:
            await source.was_asked_for(number + 1)
    assert given == [0, 1, 2]


async def test_what_goes_wrong_ahead_is_raised_only_after_what_came_before_it() -> None:
    source = Source(3, fails_at=1)
    numbers = one_ahead(source.numbers())
    assert await anext(numbers) == 0
    with pytest.raises(Lost):
        await anext(numbers)


async def test_who_stops_early_leaves_nothing_open_and_gets_no_more_than_one_ahead() -> None:
    source = Source(5)
    async with closing(one_ahead(source.numbers())) as numbers:
        async for _ in numbers:
            await source.was_asked_for(1)
            break
    assert source.asked == [0, 1]
    assert source.closed


async def test_the_next_is_got_only_when_it_may_be() -> None:
    source, free = Source(2), asyncio.Event()
    free.set()
    numbers = one_ahead(source.numbers(), free.wait)
    assert await anext(numbers) == 0
    await source.was_asked_for(1)
    free.clear()
    assert await anext(numbers) == 1
    assert source.asked == [0, 1]
    free.set()
    assert await anext(numbers, None) is None
