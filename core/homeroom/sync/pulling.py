"""Reading one noun from a connector into staging, page by page, from the checkpoint after the source said "later"."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential_jitter

from homeroom.ahead import closing, one_ahead
from homeroom.records import Noun, Page, Pull, SisConnector, SourceError
from homeroom.store.courtesy import Courtesy
from homeroom.sync.staging import Prepared, begin_noun, checkpoint, complete_noun, is_in_vain, prepare, stage
from homeroom.sync.steps import UnderWay
from homeroom.sync.tidy import clear_noun

ATTEMPTS = 5  # how often a noun is read on without getting any further, when the source says "later"
_LONGEST_WAIT = 300.0


async def pull_noun(under_way: UnderWay, connector: SisConnector, noun: Noun, since: datetime | None) -> None:
    """Read one noun to its end into staging. Raises SourceError when the source cannot be read, or goes in circles."""
    store, job = under_way.store, under_way.job
    courtesy = Courtesy(store)
    fruitless_since = 0
    seen: set[int] = set()
    attempts = AsyncRetrying(
        retry=retry_if_exception(lambda exc: isinstance(exc, SourceError) and exc.retry),
        stop=lambda state: state.attempt_number - fruitless_since >= ATTEMPTS,
        wait=_wait,
        reraise=True,
    )
    async for attempt in attempts:
        with attempt:
            point = await store.read(lambda connection: checkpoint(connection, job, noun))
            if point is not None and point.complete:
                return
            if is_in_vain(point):
                await clear_noun(store, job, noun)
            cursor = await store.write(lambda tx: begin_noun(tx, job, noun))
            done = point.pulled if point is not None and cursor is not None else 0
            seen = {*seen, hash(cursor)} if cursor is not None else set()
            pages = connector.pull(Pull(noun=noun, cursor=cursor, since=since))
            onward = one_ahead(_onward(pages, noun, seen), courtesy.rested)
            ahead = one_ahead(_prepared(under_way, noun, onward, since), courtesy.rested)
            async with closing(ahead) as ready:
                async for prepared in ready:
                    prepared.before = done
                    await store.write(partial(stage, job=job, prepared=prepared))
                    done += prepared.pulled
                    if prepared.cursor is not None:
                        fruitless_since = attempt.retry_state.attempt_number - 1
                    under_way.tell("pulling", noun, done, prepared.total)
                    await courtesy.give_way()
            await store.write(lambda tx: complete_noun(tx, job, noun))


async def _prepared(
    under_way: UnderWay, noun: Noun, pages: AsyncIterator[Page], since: datetime | None
) -> AsyncIterator[Prepared]:
    """Each page as it goes to staging."""
    async with closing(pages):
        async for page in pages:
            prepared = await under_way.store.read(partial(prepare, job=under_way.job, noun=noun, page=page))
            prepared.delta = page.delta or (since is not None and not page.whole)
            yield prepared


async def _onward(pages: AsyncIterator[Page], noun: Noun, seen: set[int]) -> AsyncIterator[Page]:
    """`pages`, as long as each leads on: a cursor whose hash was `seen` before would lead round for ever."""
    async with closing(pages):
        async for page in pages:
            if page.cursor is not None:
                if hash(page.cursor) in seen:
                    raise SourceError(
                        f"the source gives the same page of {noun} records again and again",
                        fix="Ask its support; nothing here is changed by this.",
                    )
                seen.add(hash(page.cursor))
            yield page


def _wait(state: RetryCallState) -> float:
    """As long as the source named, else a little longer each time."""
    error = state.outcome.exception() if state.outcome else None
    named = error.retry_after if isinstance(error, SourceError) else None
    return min(named, _LONGEST_WAIT) if named is not None else wait_exponential_jitter(multiplier=0.5, max=60)(state)
