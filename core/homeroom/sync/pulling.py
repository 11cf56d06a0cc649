"""Reading one noun from a connector into staging, page by page, from the checkpoint after the source said "later"."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from functools import partial

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from homeroom.records import Noun, Page, Pull, SisConnector, SourceError
from homeroom.sync.staging import begin_noun, checkpoint, complete_noun, prepare, stage
from homeroom.sync.steps import UnderWay

ATTEMPTS = 5  # how often a noun is read on after the source said "later", as long as nothing more comes
_LONGEST_WAIT = 300.0


async def pull_noun(under_way: UnderWay, connector: SisConnector, noun: Noun, since: datetime | None) -> None:
    """Read one noun to its end into staging. Raises SourceError when the source cannot be read, or goes in circles."""
    store, job = under_way.store, under_way.job
    attempts = AsyncRetrying(
        retry=retry_if_exception(lambda exc: isinstance(exc, SourceError) and exc.retry),
        stop=stop_after_attempt(ATTEMPTS),
        wait=_wait,
        reraise=True,
    )
    async for attempt in attempts:
        with attempt:
            point = await store.read(lambda connection: checkpoint(connection, job, noun))
            if point is not None and point.complete:
                return
            cursor = await store.write(lambda tx: begin_noun(tx, job, noun))
            done = point.pulled if point is not None and cursor is not None else 0
            pages = connector.pull(Pull(noun=noun, cursor=cursor, since=since))
            async with _closing(_onward(pages, noun, cursor)) as onward:
                async for page in onward:
                    prepared = await store.read(partial(prepare, job=job, noun=noun, page=page))
                    prepared.before = done
                    prepared.delta = page.delta or (since is not None and not page.whole)
                    await store.write(partial(stage, job=job, prepared=prepared))
                    done += prepared.pulled
                    under_way.tell("pulling", noun, done, page.total)
            await store.write(lambda tx: complete_noun(tx, job, noun))


async def _onward(pages: AsyncIterator[Page], noun: Noun, cursor: str | None) -> AsyncIterator[Page]:
    """`pages`, as long as each leads on: a cursor that was there before would lead round for ever."""
    seen = {hash(cursor)} if cursor is not None else set()
    async with _closing(pages):
        async for page in pages:
            if page.cursor is not None:
                if hash(page.cursor) in seen:
                    raise SourceError(f"the source gives the same page of {noun} records again and again")
                seen.add(hash(page.cursor))
            yield page


@contextlib.asynccontextmanager
async def _closing(pages: AsyncIterator[Page]) -> AsyncIterator[AsyncIterator[Page]]:
    """`pages`, closed at the end even where they were not read to theirs: files and connections do not wait for gc."""
    try:
        yield pages
    finally:
        if isinstance(pages, AsyncGenerator):
            await pages.aclose()


def _wait(state: RetryCallState) -> float:
    """As long as the source named, else a little longer each time."""
    error = state.outcome.exception() if state.outcome else None
    named = error.retry_after if isinstance(error, SourceError) else None
    return min(named, _LONGEST_WAIT) if named is not None else wait_exponential_jitter(multiplier=0.5, max=60)(state)
