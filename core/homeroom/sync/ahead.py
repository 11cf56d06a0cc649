"""Getting the next thing while the last one is worked on: a page of the source, or the plan for the next rows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from homeroom.store.courtesy import Courtesy

_T = TypeVar("_T")


async def one_ahead(items: AsyncIterator[_T], courtesy: Courtesy) -> AsyncIterator[_T]:
    """`items`, each given while the next one is got; what is being got is called off at the end."""

    async def get() -> _T | None:
        await courtesy.rested()
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
