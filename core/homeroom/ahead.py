"""Getting the next thing while the last one is worked on: a page of the source, or the plan for the next rows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")


async def one_ahead(
    items: AsyncIterator[_T], rested: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[_T]:
    """`items`, each given while the next one is got; what is being got is called off at the end.

    With `rested` each waits for that first, before it is got.
    """

    async def get() -> _T | None:
        if rested is not None:
            await rested()
        return await anext(items, None)

    async with closing(items):
        coming = asyncio.create_task(get())
        try:
            while (item := await coming) is not None:
                coming = asyncio.create_task(get())
                yield item
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


@contextlib.asynccontextmanager
async def closing(items: AsyncIterator[_T]) -> AsyncIterator[AsyncIterator[_T]]:
    """`items`, closed at the end even where they were not read to theirs: files and connections do not wait for gc."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
